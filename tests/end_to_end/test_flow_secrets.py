"""What the proxy shows and saves of requests holds no secret: flow files, HAR exports, the log, mitmweb's page."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from gatepass.demo.standin import DEFAULT_TOKEN, Fault, Role
from gatepass.errors import printable
from harness import Client, Proxy, background, eventually, free_port, mitmdump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn
    from harness import Shell

# A signed URL is a secret for some minutes. It may stand where the client itself is told of it.
SECRETS = re.compile(rf"{DEFAULT_TOKEN}|X-Amz-Signature", re.IGNORECASE)
TALKATIVE = ("--flow-detail", "4", "-v", "--set", "termlog_verbosity=debug")


@pytest.fixture
def url(publish: Publish) -> str:
    return publish(b"0123456789")


@pytest.fixture
def injected(github: StandIn) -> str:
    """A URL under the rule that sets a header."""
    return f"https://{github.web}/injected/big/10"


def saved(flowfile: Path) -> list[HTTPFlow]:
    """The flows of a file, without the Location of their responses."""
    with flowfile.open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    for flow in flows:
        if flow.response is not None:
            flow.response.headers.pop("location", None)
    return flows


def leaks(text: object) -> list[str]:
    """What of `text` no one should see, with what stands before it."""
    return [str(text)[max(0, found.start() - 60) : found.end()] for found in SECRETS.finditer(str(text))]


def without_location(log: str) -> str:
    """What was printed, without the response header that tells the client its signed URL."""
    return re.sub(r"(?im)^\s*location:.*$", "", log)


def test_header_rule(client: Client, github: StandIn, injected: str) -> None:
    """A header rule sets its header, in place of one of that name; the rest of the request is as it was."""
    assert client.fetch(injected, "-H", "x-token: mine", "-H", "X-Other: mine").status == 200
    (call,) = github.calls()
    assert (call.role, call.target) == ("web", "/injected/big/10")
    assert call.headers["x-token"] == f"token {DEFAULT_TOKEN}"
    assert call.headers["x-other"] == "mine"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_header_rule_elsewhere(client: Client, github: StandIn, injected: str, method: str) -> None:
    """What the header rule does not match keeps its own header: another path, another method."""
    url = injected if method == "POST" else injected.replace("/injected/", "/other/")
    assert client.fetch(url, "-X", method, "-H", "x-token: mine").status == 200
    assert [call.headers["x-token"] for call in github.calls()] == ["mine"]


@pytest.mark.parametrize("streamed", [False, True], ids=["redirected", "streamed"])
def test_finished(
    github: StandIn, rules: Path, tmp_path: Path, publish: Publish, url: str, injected: str, streamed: bool
) -> None:
    """A request that is over has left no secret: not in the flow file, not in the HAR export, not in the log."""
    github.stream_assets = github.stream_ranges = streamed
    flowfile, har = tmp_path / "flows", tmp_path / "flows.har"
    options = ("-w", flowfile, "--set", f"hardump={har}", *TALKATIVE)
    with mitmdump(tmp_path, rules, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        for arguments in ((), ("-I",), ("-r", "0-4"), ("-r", "0-"), ("-H", 'If-None-Match: "x"')):
            assert client.fetch(url, *arguments).status in (200, 206, 302)
        assert client.fetch(injected).status == 200
        github.faults.append(Fault("api", "/releases/assets/", close=True, times=9))
        github.faults.append(Fault("asset", close=True, times=9))
        other = publish(b"0123456789", tag="v2.0")
        for arguments in ((), ("-I",), ("-r", "0-4")):
            assert client.fetch(other, *arguments).status in (404, 502)
        assert client.fetch(url, "-r", "0-").status == 502
    assert proxy.running.process.returncode == 0
    assert any(DEFAULT_TOKEN in str(request.headers) for request in github.calls("api")), "nothing was injected"
    assert any(DEFAULT_TOKEN in str(request.headers) for request in github.calls("web")), "nothing was injected"

    flows = saved(flowfile)
    assert [flow.request.pretty_url for flow in flows] == [url] * 5 + [injected] + [other] * 3 + [url]
    assert leaks([flow.get_state() for flow in flows]) == []

    entries = json.loads(har.read_text())["log"]["entries"]
    assert len(entries) == len(flows)
    for entry in entries:
        answer = entry["response"]
        answer["redirectURL"] = ""
        answer["headers"] = [header for header in answer["headers"] if header["name"].lower() != "location"]
    assert leaks(entries) == []
    assert leaks(without_location(proxy.log)) == []


# Where a request may have to wait: the stand-in's role, a part of its target there, and what curl is told. The API is
# where a forge streams assets from; a small range would not be waited for by the flow.
WAITS: dict[str, tuple[Role, str, tuple[str, ...]]] = {
    "API": ("api", "/releases/assets/", ()),
    "asset host": ("asset", "", ("-r", "0-")),
    "header rule's server": ("web", "/injected/", ()),
}


@contextmanager
def under_way(github: StandIn, proxy: Proxy, folder: Path, url: str, wait: str) -> Iterator[None]:
    """A request that waits for the stand-in's answer, for as long as the block."""
    role, match, arguments = WAITS[wait]
    with github.lock:
        before = len(github.requests)
    fault = Fault(role, match, hang=60)
    github.faults.append(fault)
    client = Client(folder, proxy.variables())
    with background(["curl", "-sS", *arguments, url], client.env, folder):
        eventually(lambda: any(match in call.target and call.role == role for call in github.calls()[before:]))
        yield


@pytest.mark.parametrize("wait", WAITS)
def test_under_way_at_the_end(github: StandIn, rules: Path, tmp_path: Path, url: str, injected: str, wait: str) -> None:
    """What mitmproxy saves and prints when it is stopped, with a request under way, holds no secret either."""
    flowfile = tmp_path / "flows"
    options = ("-w", flowfile, *TALKATIVE)
    target = injected if "injected" in WAITS[wait][1] else url
    github.stream_assets = wait == "API"
    with mitmdump(tmp_path, rules, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        assert Client(tmp_path, proxy.variables()).fetch(target).status in (200, 302)
        with under_way(github, proxy, tmp_path, target, wait):
            proxy.running.stop()
    flows = saved(flowfile)
    assert [flow.response is None for flow in flows] == [False, True]
    assert leaks([flow.get_state() for flow in flows]) == []
    assert leaks(without_location(proxy.log)) == []


def test_mitmweb(github: StandIn, rules: Path, tmp_path: Path, publish: Publish, url: str, injected: str) -> None:
    """mitmweb's page shows requests that are over and requests under way, and holds no secret."""
    port = free_port()
    web = ("--no-web-open-browser", "--web-port", str(port), "--set", "web_password=x")
    with (
        mitmdump(tmp_path, rules, github.ca_file, *web, program="mitmweb", STANDIN_TOKEN=DEFAULT_TOKEN) as proxy,
        ExitStack() as stack,
    ):
        client = Client(tmp_path, proxy.variables())
        for address in (url, injected):
            assert client.fetch(address, "-L", "-r", "0-4").status in (200, 206)
            assert client.fetch(address, "-L").status == 200
        streamed = publish(b"0123456789", tag="v2.0")
        github.stream_assets = True
        assert client.fetch(streamed).status == 200
        for wait, target in zip(WAITS, (streamed, url, injected), strict=True):
            stack.enter_context(under_way(github, proxy, tmp_path, target, wait))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/flows?token=x") as answer:
            flows = json.load(answer)
        assert len(flows) == 5 + len(WAITS)
        for flow in flows:
            if response := flow.get("response"):
                response["headers"] = [pair for pair in response["headers"] if pair[0].lower() != "location"]
        assert leaks(flows) == []
    assert leaks(without_location(proxy.log)) == []


def test_what_mitmproxy_sends_is_logged_without_secrets(
    github: StandIn, rules: Path, tmp_path: Path, url: str, injected: str
) -> None:
    """With `proxy_debug`, mitmproxy logs the bytes of each request, and all that it logs is cleared of secrets."""
    debug = ("--set", "proxy_debug=true", "--set", "termlog_verbosity=debug", "--set", "flow_detail=0")
    with mitmdump(tmp_path, rules, github.ca_file, *debug, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(url, "-r", "0-").status == 206
        github.stream_assets = True
        assert client.fetch(url.replace("data.bin", "acme_tool-1.0.tar.gz")).status == 200
        assert client.fetch(injected).status == 200
        client.fetch(f"https://{github.web}/acme/other", "-H", "Authorization: Bearer the-clients-own-secret")
    assert any(DEFAULT_TOKEN in str(call.headers) for call in github.calls("api"))
    assert "SendData(server, b'GET " in proxy.log
    assert "[removed]" in proxy.log
    assert DEFAULT_TOKEN not in proxy.log
    assert "the-clients-own-secret" not in proxy.log
    assert not re.search(r"X-Amz-Signature=(?!\[removed\])", proxy.log)


HIDINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda text: base64.b64encode(f"u:{text}".encode()).decode(),
    "percent": lambda text: "".join(f"%{ord(character):02x}" for character in text),
    "hexadecimal": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
@pytest.mark.parametrize("streamed", [False, True], ids=["redirected", "streamed"])
def test_a_server_that_repeats_a_secret(
    github: StandIn,
    rules: Path,
    tmp_path: Path,
    injected: str,
    publish: Publish,
    hide: Callable[[str], str],
    streamed: bool,
) -> None:
    """No client gets a secret from headers or problems, be it repeated in any encoding, or led to in a Location."""
    said = hide(DEFAULT_TOKEN)
    github.stream_assets = streamed
    first, second, third = (publish(b"0123456789", tag=tag) for tag in ("v1", "v2", "v3"))
    with mitmdump(tmp_path, rules, github.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())

        def told(url: str, **fault: Any) -> str:
            github.faults[:] = [Fault(**fault)]
            return client.curl("-i", "--suppress-connect-headers", url).output

        answers = [
            told(injected, role="web", status=200, headers={"x-said": f"it was {said}"}),
            told(first, role="api", match="/releases/tags/", status=403, body=f'{{"message": "no: {said}"}}'.encode()),
        ]
        location = f"https://{github.asset_host}/x?s={said}"
        if streamed:
            assert client.fetch(second).status == 200  # what is known is asked for through mitmproxy
        answers.append(told(second, role="api", match="/assets/", status=302, headers={"location": location}))
        answers.append(told(third, role="api", match="/assets/", status=403, headers={"x-github-request-id": said}))
    assert "x-said: it was " in answers[0]
    assert "no: " in answers[1]
    assert "malformed-answer" in answers[2]
    for text in answers:
        assert "[removed]" in text or "malformed-answer" in text
    for text in (*answers, proxy.log):
        assert said not in text
        assert DEFAULT_TOKEN not in text


def test_what_is_foreign_steers_no_terminal(shell: Shell, github: StandIn, url: str) -> None:
    """A tag with CSI and OSC in it, and an asset's state, are harmless in reason phrase, answer and `run`'s summary."""
    bad = url.replace("/v1.0/", "/v1%c2%9b2J%c2%9d0;owned%e2%80%ae%e2%80%8b/")
    state = (
        b'{"id": 1, "tag_name": "v1.0", "assets": [{"id": 1, "name": "data.bin", "size": 1, "state": "\\u001b[2J"}]}'
    )
    for target, fault in ((bad, None), (url, Fault("api", match="/releases/tags/", status=200, body=state))):
        if fault is not None:
            github.faults.append(fault)
        done = shell.run("curl", "-gsS", "-i", "--suppress-connect-headers", "--fail-with-body", target)
        shown = (done.stdout + done.stderr).decode().replace("\r\n", "\n")
        assert done.returncode == 22
        assert b"gatepass: " in done.stderr
        assert all(printable(line) == line for line in shown.split("\n")), shown
