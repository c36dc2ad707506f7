"""What the proxy shows and saves of requests holds no secret: flow files, HAR exports, the log, mitmweb's page."""

from __future__ import annotations

import json
import re
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from gatepass.demo.standin import DEFAULT_TOKEN, Fault, Role
from harness import Client, Proxy, background, eventually, free_port, mitmdump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn

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
