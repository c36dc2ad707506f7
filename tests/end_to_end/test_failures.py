"""Failures that explain themselves: each cause by name, in the words that clients really print."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mitmproxy.io import FlowReader

from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository, StandIn, Token
from harness import BIN, Client, Proxy, background, clean_environment, eventually, mitmdump, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness import Running

TRANSCRIPTS = Path(__file__).parent / "transcripts"
WHEEL = "acme_tool-1.0-py3-none-any.whl"

# ruff: noqa: ARG001 — each of these takes the same two, and spoils one of them
type Spoil = Callable[[StandIn, Repository], str | None]
"""Makes the download fail; gives the path to ask for, if it is another than the wheel's."""


def no_right(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token(DEFAULT_TOKEN, repositories=set())]


def no_right_fine_grained(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token(DEFAULT_TOKEN, contents=False, kind="fine-grained")]


def bad_token(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token("another")]


def locked_out(github: StandIn, repository: Repository) -> None:
    github.bad_logins, github.locked_until = github.max_bad_logins, github.clock() + 300


def sso(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token(DEFAULT_TOKEN, sso="https://github.com/orgs/acme/sso?authorization_request=A1B2")]


def ip_allow_list(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token(DEFAULT_TOKEN, ip_allowed=False)]


def missing_tag(github: StandIn, repository: Repository) -> str:
    repository.releases += [Release("v1.0.1"), Release("nightly"), Release("v2.0", draft=True)]
    return f"v1.O/{WHEEL}"


def draft(github: StandIn, repository: Repository) -> str:
    github.tokens[:] = [Token(DEFAULT_TOKEN, push=True)]
    repository.releases.append(Release("v2.0", draft=True))
    return f"v2.0/{WHEEL}"


def no_release(github: StandIn, repository: Repository) -> None:
    repository.releases.clear()


def missing_asset(github: StandIn, repository: Repository) -> str:
    return "v1.0/acme_tool-1.0-py2-none-any.whl"


def renamed_upload(github: StandIn, repository: Repository) -> str:
    repository.releases[0].assets.append(Asset("acme.tool.final.zip", b"x"))
    return "v1.0/acme%20tool%20(final).zip"


def empty_release(github: StandIn, repository: Repository) -> None:
    repository.releases[0].assets.clear()


def unfinished_upload(github: StandIn, repository: Repository) -> None:
    repository.releases[0].assets[0].state = "starter"


def renamed_repository(github: StandIn, repository: Repository) -> str:
    repository.rename(f"acme/new-{repository.name}")
    return "v1.0/acme_tool-1.1-py3-none-any.whl"


def rate_limit(github: StandIn, repository: Repository) -> None:
    github.tokens[:] = [Token(DEFAULT_TOKEN, limit=5000, used=5000, reset=int(github.clock()) + 1790)]


def secondary_rate_limit(github: StandIn, repository: Repository) -> None:
    github.faults.append(Fault.secondary_limit(seconds=60, times=99))


def api_failure(github: StandIn, repository: Repository) -> None:
    github.faults.append(Fault("api", status=503, times=99))


def malformed(github: StandIn, repository: Repository) -> None:
    github.faults.append(Fault.malformed_json(times=99))


CAUSES: dict[str, Spoil] = {
    "repository-not-visible": no_right,
    "bad-credential": bad_token,
    "locked-out": locked_out,
    "sso-required": sso,
    "address-not-allowed": ip_allow_list,
    "tag-not-found": missing_tag,
    "only-a-draft": draft,
    "no-release": no_release,
    "asset-not-found": missing_asset,
    "renamed-upload": renamed_upload,
    "empty-release": empty_release,
    "asset-not-uploaded": unfinished_upload,
    "renamed-repository": renamed_repository,
    "rate-limited": rate_limit,
    "secondary-rate-limited": secondary_rate_limit,
    "upstream-failed": api_failure,
    "malformed-answer": malformed,
}
OF_THE_ACCOUNT = {"bad-credential", "locked-out", "rate-limited", "secondary-rate-limited"}
KINDS = {
    "no-release": "tag-not-found",
    "renamed-upload": "asset-not-found",
    "empty-release": "asset-not-found",
    "renamed-repository": "asset-not-found",
}


def settled(text: str, github: StandIn) -> str:
    """What was printed, without what differs from run to run."""
    for changing, stable in (
        (r"\x1b\[[0-9;]*m", ""),
        (re.escape(github.web), "forge.test"),
        (re.escape(github.asset_host), "assets.test"),
        (r"(acme/(?:new-)?tool)-\d+\b", r"\1"),
        (r'("repo":"tool)-\d+"', r'\1"'),
        (r'"request-id":"\w+"', '"request-id":"ID"'),
        (r"(?i)(content-length: )\d+", r"\1N"),
        (r"(?<=full again in )\d+ min", "N min"),
        (r'(?i)(retry-after"?: ?)\d+', r"\1N"),
        (r"(?m)^Using .*\n", ""),
        (r"\n {7,}", " "),  # uv breaks lines, and at other places for a port of other length
        (r"after 3 retries in [\d.]+s", "after 3 retries in Ns"),
    ):
        text = re.sub(changing, stable, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def transcript(client: Client, url: str, *, patient: bool) -> str:
    """What uv, pip and curl print when they cannot get the wheel."""
    told = ["$ curl -sS -i URL", client.curl("-i", "--suppress-connect-headers", url).output.replace("\r", "")]
    if patient:  # uv and pip ask again, after seconds, for what may pass by itself
        told += [
            "\n$ uv pip install URL",
            client.uv("pip", "install", "--target", "t", url, UV_HTTP_RETRIES="0").output,
        ]
        return "\n".join(told)
    told += ["\n$ uv pip install URL", client.uv("pip", "install", "--target", "t", url).output]
    told += ["$ pip install --no-input URL", client.pip("install", "--no-input", "--target", "t", url).output]
    return "\n".join(told)


@pytest.mark.parametrize("cause", CAUSES)
def test_transcripts(
    github: StandIn, repository: Repository, tmp_path: Path, cause: str, request: pytest.FixtureRequest
) -> None:
    """uv, pip and curl show what is wrong and what to do, in words that are written down in `transcripts`."""
    proxy: Proxy = request.getfixturevalue("lone_proxy" if cause in OF_THE_ACCOUNT else "proxy")
    client = Client(tmp_path, proxy.variables())
    asked = repository.full_name
    target = CAUSES[cause](github, repository) or f"v1.0/{WHEEL}"
    url = f"https://{github.web}/{asked}/releases/download/{target}"
    before = len(proxy.running.lines)

    head = client.fetch(url, "-I")
    reply = client.fetch(url)
    problem = json.loads(reply.body)
    kind = KINDS.get(cause, cause)
    assert problem["type"] == f"urn:gatepass:problem:{kind}"
    assert problem["status"] == reply.status
    assert reply.headers["content-type"] == "application/problem+json"
    assert (head.status, head.reason) == (404, reply.reason)
    assert reply.reason.isascii()
    assert {"owner", "repo", "tag", "asset", "credential-source"} <= set(problem)
    if reply.status == 429:
        assert int(reply.headers["retry-after"]) == problem["retry-after"]
    logged = f"GET {url}: {problem['title']}: {problem['detail']}"
    eventually(lambda: logged in "".join(proxy.running.lines[before:]))

    told = settled(transcript(client, url, patient=reply.status in (429, 502)), github)
    assert DEFAULT_TOKEN not in told
    file = TRANSCRIPTS / f"{cause}.txt"
    if request.config.getoption("--write-transcripts"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(told)
    assert told == file.read_text()


def test_a_refused_credential_is_not_tried_on(
    lone_proxy: Proxy, github: StandIn, publish: Callable[..., str], tmp_path: Path
) -> None:
    """A bad token is not tried for one asset after another, which would lock the proxy's address out."""
    urls = [publish(b"x", tag=f"v{number}") for number in range(8)]
    bad_token(github, github.repositories[-1])
    client = Client(tmp_path, lone_proxy.variables())
    assert [client.fetch(url).status for url in urls] == [401] * 8
    assert len(github.calls("api")) == 1


def test_enquiries_are_rare(client: Client, github: StandIn, repository: Repository) -> None:
    """However often it fails, why it does is asked once a minute at the most; and never for what succeeds."""
    url = github.download_url(repository.full_name, "v9", WHEEL)
    for name in ("a", "b", "c"):
        assert client.fetch(url + name).status == 404
    assert len(github.calls("api")) == 3
    github.forget()
    assert client.fetch(github.download_url(repository.full_name, "v1.0", WHEEL)).status == 302
    assert len(github.calls("api")) == 2


def test_an_enquiry_that_fails(client: Client, github: StandIn, repository: Repository) -> None:
    """When the API does not say why, what is known is said."""
    url = github.download_url(repository.full_name, "v9", WHEEL)
    github.faults.append(Fault("api", f"/repos/{repository.full_name}/releases?", status=500))
    reply = client.fetch(url)
    assert (reply.status, json.loads(reply.body)["type"]) == (404, "urn:gatepass:problem:release-not-found")


def test_kinds_of_token(client: Client, github: StandIn, repository: Repository) -> None:
    """The remedy for a missing right is that of the kind of token."""
    no_right(github, repository)
    problem = json.loads(client.fetch(github.download_url(repository.full_name, "v1.0", WHEEL)).body)
    assert "classic token from `env:STANDIN_TOKEN`" in problem["detail"]
    assert "scope `repo`" in problem["hint"]


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))], ids=["UTC", "+0200"])
def test_a_token_that_expires(
    github: StandIn, rules: Path, publish: Callable[..., str], tmp_path: Path, zone: timezone
) -> None:
    """A token near its end is told once, while it works; past its end the refusal says so."""
    end = datetime.now(zone) + timedelta(days=3)
    github.tokens[:] = [Token(DEFAULT_TOKEN, expires=end)]
    one, two = publish(b"1", name="one"), publish(b"2", tag="v2.0", name="two")
    with mitmdump(tmp_path, rules, github.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(one).status == 302
        assert client.fetch(two).status == 302
        notice = f"the classic token from `env:STANDIN_TOKEN` expires on {end.astimezone(UTC):%Y-%m-%d}"
        assert proxy.log.count(notice) == 1


def test_a_token_that_has_expired(
    lone_proxy: Proxy, github: StandIn, publish: Callable[..., str], tmp_path: Path
) -> None:
    """A token whose end was known is not called bad when it comes, but expired, and when."""
    client = Client(tmp_path, lone_proxy.variables())
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    github.tokens[:] = [Token(DEFAULT_TOKEN, expires=end)]
    assert client.fetch(publish(b"x")).status == 302
    other = publish(b"y", tag="v2.0")
    eventually(lambda: datetime.now(UTC) > end)
    problem = json.loads(client.fetch(other).body)
    assert (problem["type"], problem["status"]) == ("urn:gatepass:problem:expired-credential", 401)
    assert f"expired on {end:%Y-%m-%d}" in problem["detail"]


def test_the_flow_list(github: StandIn, rules: Path, publish: Callable[..., str], tmp_path: Path) -> None:
    """The flow list of mitmweb and mitmproxy, and a flow file, tell what was done: a mark, and the words."""
    url = publish(b"x")
    asset = github.repositories[-1].releases[0].assets[-1].id
    with mitmdump(tmp_path, rules, github.ca_file, "-w", tmp_path / "flows", STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        for address in (
            url,
            url,
            url.replace("v1.0", "v9"),
            f"https://{github.web}/injected/x",
            f"https://{github.web}/",
        ):
            client.fetch(address)
    with (tmp_path / "flows").open("rb") as file:
        told = [(flow.marked, flow.comment) for flow in FlowReader(file).stream()]
    rule = f"{github.web}/acme/*/releases/download/*"
    assert told[:2] == [
        (":white_check_mark:", f"gatepass: {rule}: asset {asset}"),
        (":white_check_mark:", f"gatepass: {rule}: asset {asset}, known"),
    ]
    assert told[2][0] == ":x:"
    assert told[2][1].startswith("gatepass: release not found: ")
    assert told[3:] == [(":white_check_mark:", f"gatepass: {github.web}/injected/*"), ("", "")]


def test_a_renamed_repository_is_told(client: Client, proxy: Proxy, github: StandIn, repository: Repository) -> None:
    """An old name works, and the log says once what the new one is."""
    asked = repository.full_name
    repository.rename(f"acme/new-{repository.name}")
    for name in (WHEEL, "acme_tool-1.0.tar.gz"):
        assert client.fetch(github.download_url(asked, "v1.0", name)).status == 302
    assert proxy.log.count(f"{asked} is now {repository.full_name}") == 1


def test_an_owner_that_no_rule_covers(client: Client, github: StandIn, repository: Repository) -> None:
    """A 404 for what no rule covers says so; what is public passes, and so does every other page."""
    private = Repository("other", repository.name, releases=[Release("v1.0", [Asset("f", b"x")])])
    public = Repository(
        "other", f"open-{repository.name}", private=False, releases=[Release("v1.0", [Asset("f", b"x")])]
    )
    github.repositories += [private, public]
    reply = client.fetch(github.download_url(private.full_name, "v1.0", "f"))
    assert (reply.status, json.loads(reply.body)["type"]) == (404, "urn:gatepass:problem:not-in-rules")
    assert f"{github.web}/acme/*/releases/download/*" in json.loads(reply.body)["detail"]
    assert client.fetch(github.download_url(private.full_name, "v1.0", "f"), "-I").status == 404
    assert client.fetch(github.download_url(public.full_name, "v1.0", "f"), "-L").body == b"x"
    assert client.fetch(f"https://{github.web}/other/nothing").headers["content-type"].startswith("text/html")
    assert all("authorization" not in call.headers for call in github.calls())


# --------------------------------------------------------------------- network


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A loopback server that does this to each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with closing(connection):
                    serve(connection)

        thread = threading.Thread(target=loop)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join()


def plain(connection: socket.socket) -> None:
    """Speaks HTTP where TLS is expected."""
    connection.settimeout(5)
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


NETWORK = """\
version: 1
forges:
  - {{web: dns.test, api: "https://nowhere.invalid"}}
  - {{web: refused.test, api: "https://localhost:1"}}
  - {{web: untrusted.test, api: "https://localhost:{untrusted}"}}
  - {{web: plain.test, api: "https://localhost:{plain}"}}
  - {{web: nowhere.invalid, api: "https://api.nowhere.invalid"}}
  - {{web: "localhost:1", api: "https://localhost:1"}}
  - {{web: "localhost:{untrusted}", api: "https://localhost:{untrusted}"}}
  - {{web: "localhost:{plain}", api: "{api}"}}
  - {{web: "{web}", api: "{api}"}}
credentials:
  empty: {{from: [env:NOT_SET, env:NEITHER], hosts: [dns.test]}}
  ours:
    from: [env:STANDIN_TOKEN]
    hosts:
      [dns.test, refused.test, untrusted.test, plain.test, "{web}", nowhere.invalid, "localhost:1",
       "localhost:{untrusted}", "localhost:{plain}"]
rules:
  - {{match: nowhere.invalid/given/*, headers: {{X-A: b}}, methods: [GET, HEAD, POST]}}
  - {{match: "localhost:1/given/*", headers: {{X-A: b}}, methods: [GET, HEAD, POST]}}
  - {{match: "localhost:{untrusted}/given/*", headers: {{X-A: b}}, methods: [GET, HEAD, POST]}}
  - {{match: "localhost:{plain}/given/*", headers: {{X-A: b}}, methods: [GET, HEAD, POST]}}
  - {{match: "{web}/given/*", headers: {{X-A: b}}, methods: [GET, HEAD, POST]}}
  - {{match: dns.test/empty/*, resolve: github-release, credential: empty}}
  - {{match: dns.test/acme/*, resolve: github-release, credential: ours}}
  - {{match: refused.test/acme/*, resolve: github-release, credential: ours}}
  - {{match: untrusted.test/acme/*, resolve: github-release, credential: ours}}
  - {{match: plain.test/acme/*, resolve: github-release, credential: ours}}
  - {{match: "{web}/acme/*", resolve: github-release, credential: ours}}
  - {{match: nowhere.invalid/*, resolve: github-release, credential: ours}}
  - {{match: "localhost:1/*", resolve: github-release, credential: ours}}
  - {{match: "localhost:{untrusted}/*", resolve: github-release, credential: ours}}
  - {{match: "localhost:{plain}/*", resolve: github-release, credential: ours}}
"""


@pytest.fixture(scope="module")
def network(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, dict[str, str]]]:
    """The proxy, and the ports of the servers that nobody trusts and that speak no TLS."""
    folder = tmp_path_factory.mktemp("network")
    with StandIn() as stranger, listener(plain) as port:
        rules = folder / "rules.yaml"
        untrusted = stranger.web.partition(":")[2]
        rules.write_text(NETWORK.format(web=_standin.web, api=_standin.api, untrusted=untrusted, plain=port))
        with mitmdump(folder, rules, _standin.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
            yield proxy, {"untrusted": untrusted, "plain": str(port)}
        assert stranger.calls() == [], "nothing was asked of a server that is not trusted"
    assert "Traceback" not in proxy.log, proxy.log
    assert DEFAULT_TOKEN not in proxy.log


@pytest.fixture
def networked(network: tuple[Proxy, dict[str, str]], github: StandIn, tmp_path: Path) -> Client:
    return Client(tmp_path, network[0].variables())


@pytest.mark.parametrize(
    ("host", "status", "kind", "words"),
    [
        (
            "dns.test/empty",
            401,
            "no-credential",
            "`empty` has no value: `env:NOT_SET` is not set, `env:NEITHER` is not set",
        ),
        ("dns.test/acme", 502, "name-not-resolved", "DNS has no address for nowhere.invalid"),
        ("refused.test/acme", 502, "unreachable", "localhost:1: "),
        ("untrusted.test/acme", 502, "certificate-not-trusted", "issued by `"),
        ("plain.test/acme", 502, "unreachable", "localhost:"),
    ],
)
def test_network(networked: Client, host: str, status: int, kind: str, words: str) -> None:
    """DNS, connection, certificate and TLS are told apart, each with its server; and a missing credential."""
    url = f"https://{host}/tool/releases/download/v1/f"
    reply = networked.fetch(url)
    problem = json.loads(reply.body)
    assert (reply.status, problem["type"]) == (status, f"urn:gatepass:problem:{kind}")
    assert words in problem["detail"]
    if kind == "certificate-not-trusted":
        assert "checked against the CAs in `" in problem["detail"]
    assert networked.fetch(url, "-I").status == 404


@pytest.mark.parametrize(
    ("web", "kind", "words"),
    [
        ("nowhere.invalid", "name-not-resolved", "DNS has no address for nowhere.invalid"),
        ("localhost:1", "unreachable", "localhost:1: "),
        ("localhost:{untrusted}", "certificate-not-trusted", "issued by `"),
        ("localhost:{plain}", "unreachable", "localhost:{plain}: "),
    ],
)
def test_a_web_host_that_cannot_be_asked(
    networked: Client, network: tuple[Proxy, dict[str, str]], web: str, kind: str, words: str
) -> None:
    """Where a rule leaves the owner open the web host is asked first: why that failed is told as of the API."""
    ports = network[1]
    url = f"https://{web.format(**ports)}/other/tool/releases/download/v1/f"
    reply = networked.fetch(url)
    problem = json.loads(reply.body)
    assert (reply.status, problem["type"]) == (502, f"urn:gatepass:problem:{kind}")
    assert words.format(**ports) in problem["detail"]
    assert "the API was asked, too: " in problem["detail"]
    assert reply.reason.startswith("gatepass: ")


@pytest.mark.parametrize("path", ["page", "given/page"])
@pytest.mark.parametrize(
    ("web", "kind", "words"),
    [
        ("nowhere.invalid", "name-not-resolved", "DNS has no address for nowhere.invalid"),
        ("localhost:1", "unreachable", "localhost:1: "),
        ("localhost:{untrusted}", "certificate-not-trusted", "was checked against the CAs in `"),
        ("localhost:{plain}", "unreachable", "localhost:{plain}: "),
    ],
)
def test_a_server_that_cannot_be_reached(
    networked: Client, network: tuple[Proxy, dict[str, str]], web: str, path: str, kind: str, words: str
) -> None:
    """What passes, or gets a header, and meets no server that is trusted is answered with the reason, as an asset is.

    The next request on the connection of the client, and a request with a body, too.
    """
    proxy, ports = network
    url = f"https://{web.format(**ports)}/{path}"
    for reply in (networked.fetch(url), networked.fetch(url, "-d", "content")):
        problem = json.loads(reply.body)
        assert (reply.status, problem["type"]) == (502, f"urn:gatepass:problem:{kind}")
        assert words.format(**ports) in problem["detail"]
    done = networked.curl("-s", "-o", "one", "-o", "two", "-w", "%{http_code} %{num_connects} ", url, url)
    assert done.output.split() == ["502", "1", "502", "0"]
    head = networked.fetch(url, "-I")
    assert (head.status, head.reason) == (404, reply.reason)
    assert f"gatepass: GET {url}: {problem['title']}" in proxy.log


@pytest.mark.parametrize("path", ["page", "given/page"])
@pytest.mark.parametrize(
    "fault", [Fault("web", close=True, times=9), Fault("web", status=200, body=b"x" * 100, cut_after=50, times=9)]
)
def test_a_server_that_breaks_off(networked: Client, github: StandIn, path: str, fault: Fault) -> None:
    """A server that ends before its answer is whole is named, where the client has had nothing of it yet."""
    github.faults.append(fault)
    reply = networked.fetch(f"https://{github.web}/{path}")
    problem = json.loads(reply.body)
    assert (reply.status, problem["type"]) == (502, "urn:gatepass:problem:broken-answer")
    assert f"{github.web}: " in problem["detail"]


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("nowhere.invalid", "name-not-resolved"),
        ("localhost:1", "unreachable"),
        ("localhost:{untrusted}", "certificate-not-trusted"),
    ],
)
def test_an_asset_host_that_cannot_be_reached(
    networked: Client,
    network: tuple[Proxy, dict[str, str]],
    github: StandIn,
    publish: Callable[..., str],
    host: str,
    kind: str,
) -> None:
    """An asset that is sent on to its host meets the same, told with the asset and without the signature."""
    proxy, ports = network
    date = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-Expires=300&X-Amz-Signature=s1gned"
    signed = {"location": f"https://{host.format(**ports)}/f?{query}"}
    github.faults.append(Fault("api", "/releases/assets/", status=302, headers=signed, times=9))
    reply = networked.fetch(publish(b"x" * 200_000), "-H", "Authorization: Bearer mine")
    problem = json.loads(reply.body)
    assert (reply.status, problem["type"], problem["asset"]) == (502, f"urn:gatepass:problem:{kind}", "data.bin")
    assert host.format(**ports) in problem["detail"]
    assert b"s1gned" not in reply.body
    assert "s1gned" not in proxy.log


def test_the_api_knows_what_the_web_host_cannot_tell(
    networked: Client, network: tuple[Proxy, dict[str, str]], publish: Callable[..., str]
) -> None:
    """While the web host is down, a private asset is had by the API."""
    path = publish(b"content").partition("/acme/")[2]
    assert networked.fetch(f"https://localhost:{network[1]['plain']}/acme/{path}", "-L").body == b"content"


def test_a_company_proxy_that_refuses(
    github: StandIn, rules: Path, wheel_url: str, company: tuple[str, Running], tmp_path: Path
) -> None:
    """A proxy that wants another password is named to the client, with what it says."""
    address = company[0].rpartition("@")[2]
    options = ("--mode", f"upstream:http://{address}", "--set", "upstream_auth=me:wrong")
    with mitmdump(tmp_path, rules, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        reply = Client(tmp_path, proxy.variables()).fetch(wheel_url)
        problem = json.loads(reply.body)
        assert (reply.status, problem["type"]) == (502, "urn:gatepass:problem:proxy-refused")
        assert f"the proxy at {address} answered 407" in problem["detail"]
        reply = Client(tmp_path, proxy.variables()).fetch(f"https://{github.web}/page")
        problem = json.loads(reply.body)
        assert (reply.status, problem["type"]) == (502, "urn:gatepass:problem:proxy-refused")
        assert f"the proxy at {address} answered 407 when it was asked for {github.web}" in problem["detail"]
        assert "wrong" not in proxy.log


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("{web}/acme/none/releases/download/v1/f", "repository not visible"),
        ("dns.test/empty/tool/releases/download/v1/f", "no credential found"),
        ("refused.test/acme/tool/releases/download/v1/f", "cannot reach localhost"),
        ("localhost:1/page", "cannot reach localhost"),
    ],
)
def test_wget_spider(networked: Client, github: StandIn, path: str, title: str) -> None:
    """`wget --spider`, which asks by HEAD alone, shows status and reason; it ends as for what is not there."""
    url = f"https://{path.format(web=github.web)}"
    trust = f"--ca-certificate={networked.variables['SSL_CERT_FILE']}"
    done = networked.run(need("wget"), "--spider", "-t", "1", trust, url, WGETRC="")
    assert done.code == 8, done.output
    assert f"awaiting response... 404 gatepass: {title}\n" in done.output


def test_the_asset_host_refuses(networked: Client, github: StandIn, publish: Callable[..., str]) -> None:
    """A signed URL that is refused at once is told as such, in place and streamed."""
    url = publish(b"0123456789")
    github.faults.append(Fault("asset", status=403, times=9))
    for arguments in (("-r", "0-3"), ("-L", "-r", "0-")):
        reply = networked.fetch(url, *arguments)
        assert (reply.status, json.loads(reply.body)["type"]) == (502, "urn:gatepass:problem:signed-url-refused")


@pytest.mark.slow
def test_timeout(networked: Client, github: StandIn, publish: Callable[..., str]) -> None:
    """An API that does not answer is given up well inside uv's 30 seconds."""
    github.faults.append(Fault("api", hang=60))
    reply = networked.fetch(publish(b"x"))
    assert (reply.status, json.loads(reply.body)["type"]) == (504, "urn:gatepass:problem:timed-out")


# ------------------------------------------------------------------------ run


def test_run_repeats_the_causes(github: StandIn, rules: Path, repository: Repository, tmp_path: Path) -> None:
    """`gatepass run` repeats why it failed after the output of a child that failed, each cause once, on stderr."""
    url = github.download_url(repository.full_name, "v9", WHEEL)
    script = f"curl -sS -o one {url}; curl -sS -o two {url}; echo the child is done; exit 3"
    env = clean_environment(SSL_CERT_FILE=str(github.ca_file), STANDIN_TOKEN=DEFAULT_TOKEN)
    with background([BIN / "gatepass", "run", "--rules", rules, "--", "sh", "-c", script], env, tmp_path) as running:
        running.wait_for("the child is done")
        assert running.process.wait(30) == 3
    child, _, causes = running.output.partition("the child is done\n")
    assert child == ""
    assert causes.count("has no release with the tag `v9`") == 1


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_answer_that_repeats_the_token(
    lone_proxy: Proxy, tmp_path: Path, github: StandIn, wheel_url: str, status: int
) -> None:
    """A server that says what it was sent does not say it to the client; nor is it in the log (see `lone_proxy`)."""
    said = f"Bearer {DEFAULT_TOKEN}"
    body = json.dumps({"message": f"no: you sent {said}"}).encode()
    headers = {"x-github-request-id": DEFAULT_TOKEN, "x-github-sso": f"required; url=https://x.test/?{DEFAULT_TOKEN}"}
    github.faults.append(Fault("api", status=status, body=body, headers=headers, times=99))
    reply = Client(tmp_path, lone_proxy.variables()).fetch(wheel_url)
    assert reply.status >= 400
    assert DEFAULT_TOKEN not in f"{reply.headers}{reply.body!r}{reply.reason}"
