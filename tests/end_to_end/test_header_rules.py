"""Header rules, end to end: what they set reaches the server that they name, and no other place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from harness import Client, Proxy, background, eventually, free_port, mitmdump, peak
from origin import Asked, Origin, Trust, basic, echo, guarded, origin, redirect, switch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cr:t/and+more"
LATER = "an0ther-secret"
BASIC = basic("reader", SECRET)

RULES = """\
version: 1
credentials:
  token: {{from: [env:RULE_TOKEN], hosts: ["{host}"]}}
  rotated: {{from: [{{command: [sh, -c, "echo >> {folder}/asked; cat {folder}/secret"]}}], hosts: ["{host}"]}}
  absent: {{from: [env:NOT_SET], hosts: ["{host}"]}}
rules:
  - match: {host}/several/*
    headers: {{X-Token: "token {{credential}}!", X-Again: "{{credential}}{{credential}}", X-Kind: literal}}
    credential: token
    drop_response_headers: [set-cookie, X-INTERNAL]
  - match: {host}/basic/*
    headers: {{Authorization: "{{basic:reader}}"}}
    credential: token
  - match: {host}/nobody/*
    headers: {{Authorization: "{{basic:}}"}}
    credential: token
  - match: {host}/literal/*
    headers: {{X-Kind: literal}}
  - match: {host}/refuse/*
    headers: {{X-Token: "{{credential}}", X-Kind: literal}}
    credential: token
    on_existing: refuse
    methods: [GET, HEAD, POST]
  - match: {host}/refused/*
    headers: {{Authorization: "Bearer {{credential}}"}}
    credential: token
    on_existing: refuse
  - match: {host}/keep/*
    headers: {{X-Token: "{{credential}}", X-Kind: literal}}
    credential: token
    on_existing: keep
  - match: {host}/kept/*
    headers: {{X-Token: "{{credential}}"}}
    credential: absent
    on_existing: keep
  - match: {host}/each/*
    headers: {{X-Token: "{{credential}}", X-Kind: literal}}
    credential: token
    on_existing: {{x-token: keep, X-Kind: refuse}}
  - match: {host}/placeholder/*
    headers: {{X-Token: "token {{credential}}", Authorization: "{{basic:reader}}"}}
    credential: token
    on_existing: placeholder
    placeholder: hollow
  - match: {host}/cookie/*
    headers: {{Cookie: "session={{credential}}"}}
    credential: token
    on_existing: placeholder
    placeholder: hollow
  - match: {host}/upload/*
    headers: {{X-Token: "{{credential}}"}}
    credential: token
    methods: [POST]
  - match: {host}/a/*/private/*.bin
    headers: {{X-Token: "{{credential}}"}}
    credential: token
  - match: {host}/rotated/*
    headers: {{X-Token: "{{credential}}"}}
    credential: rotated
"""

WAITING = ("/several/waiting", "/basic/waiting")


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def _server(trust: Trust) -> Iterator[Origin]:
    with origin(trust) as server:
        server.answers |= {"/": echo, "/several/switch": switch, "/several/to": redirect}
        server.answers["/rotated/"] = guarded("X-Token", LATER, 401, b"welcome\n")
        released = threading.Event()
        server.answers |= dict.fromkeys(WAITING, lambda asked: (released.wait(60), echo(asked))[1])
        yield server
        released.set()


@pytest.fixture(scope="module")
def _elsewhere(trust: Trust) -> Iterator[Origin]:
    with origin(trust, "127.0.0.1") as server:
        server.answers["/"] = echo
        yield server


@pytest.fixture
def server(_server: Origin) -> Origin:
    """The server that the rules name; it has been asked nothing yet."""
    _server.asked.clear()
    return _server


@pytest.fixture
def elsewhere(_elsewhere: Origin) -> Origin:
    """A server that no rule names."""
    _elsewhere.asked.clear()
    return _elsewhere


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def rules(_server: Origin, folder: Path) -> Path:
    path = folder / "rules.yaml"
    path.write_text(RULES.format(host=_server.host, folder=folder))
    return path


def leaks(text: object) -> list[str]:
    """What of `text` no one should see: the secret, and Basic of it."""
    secrets = (SECRET, json.dumps(SECRET)[1:-1], BASIC.removeprefix("Basic "), basic("", SECRET).removeprefix("Basic "))
    return [secret for secret in secrets if secret in str(text)]


@pytest.fixture(scope="module")
def proxy(_server: Origin, rules: Path, folder: Path) -> Iterator[Proxy]:
    """One proxy for all; what it has printed is searched for secrets at the end."""
    with mitmdump(folder, rules, _server.trust.ca, "-v", "--flow-detail", "4", RULE_TOKEN=SECRET) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log
    assert leaks(proxy.log) == []


@pytest.fixture
def client(proxy: Proxy, tmp_path: Path) -> Client:
    return Client(tmp_path, proxy.variables())


def exchange(proxy: Proxy, server: Origin, *requests: bytes) -> bytes:
    """What comes back for these bytes, sent one after another on one connection to the server, until its end."""
    trust = ssl.create_default_context(cafile=str(proxy.bundle))
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=20) as plain:
        plain.sendall(f"CONNECT {server.host} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in plain.recv(1000)
        with trust.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=True) as secure:
            received = b""
            try:
                for request in requests:
                    secure.sendall(request)
                    received += secure.recv(100_000)
                while part := secure.recv(100_000):
                    received += part
            except OSError:
                pass  # the proxy has ended the connection
    return received


def request(server: Origin, path: str, *lines: str, method: str = "GET", last: bool = True) -> bytes:
    """The bytes of a request; the last one on its connection says so."""
    host = () if any(line.lower().startswith("host:") for line in lines) else (f"Host: {server.host}",)
    close = ("Connection: close",) if last and not any("onnection:" in line for line in lines) else ()
    return "\r\n".join((f"{method} {path} HTTP/1.1", *host, *lines, *close, "", "")).encode("latin-1")


# ---------------------------------------------------------------- what is set


def test_several_headers(client: Client, server: Origin) -> None:
    """A rule sets all of its headers, each placeholder replaced wherever it stands, the rest of the request kept."""
    assert client.fetch(server.url("/several/x?q=1"), "-H", "X-Mine: 1").body == b"GET of 0 bytes\n"
    (asked,) = server.asked
    assert asked.target == "/several/x?q=1"
    assert asked.values("X-Token") == [f"token {SECRET}!"]
    assert asked.values("X-Again") == [SECRET + SECRET]
    assert (asked.values("X-Kind"), asked.values("X-Mine")) == (["literal"], ["1"])


@pytest.mark.parametrize(("path", "user"), [("/basic/x", "reader"), ("/nobody/x", "")])
def test_basic(client: Client, server: Origin, path: str, user: str) -> None:
    """`{basic:USER}` reaches the server as RFC 7617 writes USER and the secret, whatever colons are in the secret."""
    client.fetch(server.url(path))
    (value,) = server.last().values("Authorization")
    scheme, _, encoded = value.partition(" ")
    assert (scheme, base64.b64decode(encoded, validate=True).decode()) == ("Basic", f"{user}:{SECRET}")


def test_literal(client: Client, server: Origin) -> None:
    """A rule without a credential sets its literal headers, and no secret."""
    assert client.fetch(server.url("/literal/x")).status == 200
    assert server.last().values("X-Kind") == ["literal"]
    assert leaks(server.last().headers) == []


@pytest.mark.parametrize("path", ["/", "/other", "/several", "/Several/x", "/x/several/x", "/severa%6C/x"])
def test_other_path(client: Client, server: Origin, path: str) -> None:
    """A path that no rule names gets no header, keeps its own, and loses none of its response's."""
    reply = client.fetch(server.url(path), "-H", "X-Token: mine")
    assert (server.last().target, server.last().values("X-Token")) == (path, ["mine"])
    assert {"set-cookie", "x-internal"} <= reply.headers.keys()
    assert leaks(server.last().headers) == []


@pytest.mark.parametrize(
    ("path", "is_named"),
    [
        ("/a/b/private/c.bin", True),
        ("/a/b/c/private/d/e.bin?x=.txt", True),
        ("/a/b/private/c.txt", False),
        ("/a/private/c.bin", False),
        ("/a/b/public/c.bin", False),
        ("/a/b/public/c.txt?/private/c.bin", False),
        ("/a/b/private/../../x.bin", False),
        ("/a/b/private/..%2fx.bin", False),
        ("/a/b/public#/private/c.bin", False),
    ],
)
def test_pattern(proxy: Proxy, server: Origin, path: str, is_named: bool) -> None:
    """A pattern holds for the raw path: neither its query, nor dot segments or a fragment, bring the header along."""
    exchange(proxy, server, request(server, path))
    assert server.last().target == path
    assert server.last().values("X-Token") == ([SECRET] if is_named else [])


# ------------------------------------------------------------- on_existing


OWN = [("X-Token: mine", ["mine"]), ("x-tOKEN: mine", ["mine"]), ("X-Token;", [""])]


@pytest.mark.parametrize(("own", "_values"), OWN, ids=["same", "other case", "empty"])
def test_replace(client: Client, server: Origin, own: str, _values: list[str]) -> None:
    """By default the client's own header is replaced, all of that name."""
    client.fetch(server.url("/several/x"), "-H", own, "-H", "X-TOKEN: also mine")
    assert server.last().values("X-Token") == [f"token {SECRET}!"]


@pytest.mark.parametrize(("own", "values"), OWN, ids=["same", "other case", "empty"])
def test_keep(client: Client, server: Origin, own: str, values: list[str]) -> None:
    """`keep` leaves the client's own header, and sets the rule's others."""
    client.fetch(server.url("/keep/x"), "-H", own)
    assert (server.last().values("X-Token"), server.last().values("X-Kind")) == (values, ["literal"])
    client.fetch(server.url("/keep/x"), "-H", "X-Kind: mine")
    assert (server.last().values("X-Token"), server.last().values("X-Kind")) == ([SECRET], ["mine"])


def test_keep_needs_no_credential(client: Client, server: Origin) -> None:
    """Where nothing is to be set no credential is looked up; where something is, and there is none, it is refused."""
    assert client.fetch(server.url("/kept/x"), "-H", "X-Token: mine").status == 200
    assert server.last().values("X-Token") == ["mine"]
    server.asked.clear()
    assert client.fetch(server.url("/kept/x")).reason == "gatepass: no credential found"
    assert server.asked == []


@pytest.mark.parametrize(("own", "_values"), OWN, ids=["same", "other case", "empty"])
def test_refuse(client: Client, server: Origin, own: str, _values: list[str]) -> None:
    """`refuse` answers a GET with 403 and the reason, a HEAD with 404, and the server is not asked."""
    full, head = (
        client.fetch(server.url("/refuse/x"), "-H", own),
        client.fetch(server.url("/refuse/x"), "-H", own, "-I"),
    )
    title = "the request brings a header of its own"
    assert (full.status, full.reason) == (403, f"gatepass: {title}")
    assert (head.status, head.reason) == (404, f"gatepass: {title}")
    problem = json.loads(full.body)
    assert problem["title"] == title
    assert "`X-Token`" in problem["detail"]
    assert "on_existing: replace" in problem["hint"]
    assert server.asked == []


def test_refuse_without_cause(client: Client, server: Origin) -> None:
    """`refuse` does not refuse what brings none of the rule's headers."""
    assert client.fetch(server.url("/refuse/x"), "-H", "X-Tok: mine").status == 200
    assert server.last().values("X-Token") == [SECRET]


def test_each_header_of_its_own(client: Client, server: Origin) -> None:
    """What becomes of the client's own is said for each header, whatever the case of its name."""
    client.fetch(server.url("/each/x"), "-H", "X-Token: mine")
    assert (server.last().values("X-Token"), server.last().values("X-Kind")) == (["mine"], ["literal"])
    client.fetch(server.url("/each/x"))
    assert (server.last().values("X-Token"), server.last().values("X-Kind")) == ([SECRET], ["literal"])
    server.asked.clear()
    assert client.fetch(server.url("/each/x"), "-H", "X-Kind: mine").status == 403
    assert server.asked == []


def test_a_placeholder(client: Client, server: Origin) -> None:
    """The secret takes the place of what the client sends for it: in a header, and as a password."""
    client.fetch(server.url("/placeholder/x"), "-H", "X-Token: token hollow")
    assert (server.last().values("X-Token"), server.last().values("Authorization")) == ([f"token {SECRET}"], [])
    client.fetch(server.url("/placeholder/x"), "-u", "reader:hollow")
    assert (server.last().values("X-Token"), server.last().values("Authorization")) == ([], [BASIC])


def test_a_cookie(client: Client, server: Origin) -> None:
    """A secret may stand in a cookie, which is a header like any other: no other cookie is touched."""
    client.fetch(server.url("/cookie/x"), "-b", "session=hollow")
    assert server.last().values("Cookie") == [f"session={SECRET}"]
    client.fetch(server.url("/cookie/x"), "-b", "session=mine")
    assert server.last().values("Cookie") == ["session=mine"]


@pytest.mark.parametrize(
    "own",
    [(), ("-H", "X-Token: token mine"), ("-H", "X-Token: hollow"), ("-u", "me:hollow"), ("-H", "X-Other: hollow")],
)
def test_no_placeholder(client: Client, server: Origin, own: tuple[str, ...]) -> None:
    """Where a client sends no placeholder, or not as the rule has the secret, nothing is set, and its own goes on."""
    assert client.fetch(server.url("/placeholder/x"), *own).status == 200
    assert leaks(server.last().headers.items()) == []
    sent = {name.lower(): value for name, value in server.last().headers.items()}
    if "-H" in own:
        name, value = own[1].split(": ")
        assert sent[name.lower()] == value
    assert ("authorization" in sent) == ("-u" in own)


def test_uv_shows_the_refusal(client: Client, server: Origin) -> None:
    """uv, with a user in its URL, shows why it was refused."""
    url = server.url("/refused/acme_tool-1.0-py3-none-any.whl").replace("https://", "https://me:mine@")
    result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {url}")
    assert result.code != 0
    assert "Server message: the request brings a header of its own" in result.output
    assert "`on_existing: replace`" in result.output
    assert server.asked == []


# ----------------------------------------------------------------- methods


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_default_methods(client: Client, server: Origin, method: str) -> None:
    """A rule that names no methods is for GET and HEAD."""
    client.fetch(server.url("/several/x"), *(["-I"] if method == "HEAD" else []))
    assert (server.last().method, server.last().values("X-Again")) == (method, [SECRET + SECRET])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_other_method(client: Client, server: Origin, method: str) -> None:
    """Another method passes without the rule's headers and with its own: TRACE too, whose answer would repeat them."""
    reply = client.fetch(server.url("/several/x"), "-X", method, "-H", "X-Token: mine")
    assert (server.last().method, server.last().values("X-Token")) == (method, ["mine"])
    assert leaks(server.last().headers) == []
    assert "set-cookie" in reply.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_named_methods_alone(client: Client, server: Origin, method: str) -> None:
    """A rule that names POST is not for GET or HEAD."""
    client.fetch(server.url("/upload/x"), *(["-I"] if method == "HEAD" else []))
    assert server.last().values("X-Token") == []


@pytest.mark.parametrize("framing", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")], ids=str)
@pytest.mark.parametrize("size", [0, 10, 300_000])
def test_post(client: Client, server: Origin, framing: tuple[str, ...], size: int) -> None:
    """A rule for POST sets its header, and the body arrives as it was sent, whatever frames it."""
    body = bytes(index % 251 for index in range(size))
    (client.home / "body").write_bytes(body)
    reply = client.fetch(server.url("/upload/x"), *framing, "--data-binary", "@body")
    assert reply.body == f"POST of {size} bytes\n".encode()
    assert (server.last().values("X-Token"), server.last().digest) == ([SECRET], hashlib.sha256(body).hexdigest())
    assert server.last().values("Expect") == []


def sparse(client: Client) -> Path:
    """A file of 200 MB."""
    big = client.home / "big"
    with big.open("wb") as file:
        file.truncate(200_000_000)
    return big


def test_a_large_body_is_not_held(client: Client, proxy: Proxy, server: Origin) -> None:
    """200 MB that are posted arrive, and were never in memory."""
    client.fetch(server.url("/upload/x"), "--data-binary", "x" * 100_000)
    before = peak(proxy.running.process.pid)
    reply = client.fetch(server.url("/upload/x"), "-X", "POST", "-T", str(sparse(client)))
    assert reply.body == b"POST of 200000000 bytes\n"
    assert peak(proxy.running.process.pid) - before < 30_000_000


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_a_large_body_that_is_refused(client: Client, proxy: Proxy, server: Origin, expect: str) -> None:
    """A large body of a refused request is neither held nor sent on, and its client is told why, before its end."""
    said = proxy.log.count("/refuse/big: the request brings a header of its own")
    before = peak(proxy.running.process.pid)
    arguments = ("-X", "POST", "-H", expect, "-H", "X-Token: mine", "-T", str(sparse(client)))
    reply = client.fetch(server.url("/refuse/big"), *arguments)
    assert (reply.status, json.loads(reply.body)["title"]) == (403, "the request brings a header of its own")
    assert peak(proxy.running.process.pid) - before < 30_000_000
    assert server.asked == []
    # what was logged comes through a pipe
    eventually(lambda: proxy.log.count("/refuse/big: the request brings a header of its own") == said + 1)


def test_a_small_body_that_is_refused(client: Client, server: Origin) -> None:
    """A client that sends little is told why it was refused, also when it waits for leave to send."""
    for expect in ("Expect:", "Expect: 100-continue"):
        reply = client.fetch(server.url("/refuse/x"), "-H", expect, "-H", "X-Token: mine", "-d", "x")
        assert (reply.status, reply.reason) == (403, "gatepass: the request brings a header of its own")
    assert server.asked == []


# ----------------------------------------------------- drop_response_headers


@pytest.mark.parametrize("arguments", [(), ("-I",)], ids=["GET", "HEAD"])
def test_dropped(client: Client, server: Origin, arguments: tuple[str, ...]) -> None:
    """Response headers that the rule drops do not arrive, none of that name, in whatever case; others do."""
    reply = client.fetch(server.url("/several/x"), *arguments)
    assert not {"set-cookie", "x-internal"} & reply.headers.keys()
    assert reply.headers["x-kept"] == "yes"


def test_not_dropped(client: Client, server: Origin) -> None:
    """A rule that drops nothing leaves every header, each of several with one name."""
    result = client.curl("-i", server.url("/literal/x"))
    assert re.findall(r"(?i)^set-cookie: (.*?)\r?$", result.output, re.MULTILINE) == ["a=1", "b=2"]
    assert "X-Internal: x" in result.output


# ------------------------------------------------------ where the secret goes


def test_redirect_to_another_host(client: Client, server: Origin, elsewhere: Origin) -> None:
    """A client that follows a redirect to another host takes no header there."""
    reply = client.fetch(server.url(f"/several/to?to={elsewhere.url('/several/x')}"), "-L")
    assert reply.status == 200
    assert [asked.target for asked in elsewhere.asked] == ["/several/x"]
    assert server.last().values("X-Kind") == ["literal"]
    assert elsewhere.last().values("X-Token") + elsewhere.last().values("X-Kind") == []


@pytest.mark.parametrize(("path", "is_named"), [("/basic/x", True), ("/other", False)])
def test_redirect_on_the_same_host(client: Client, server: Origin, path: str, is_named: bool) -> None:
    """A redirect on the same host is another request: what its own rule sets goes with it, if there is one."""
    assert client.fetch(server.url(f"/several/to?to={path}"), "-L").status == 200
    assert server.last().values("Authorization") == ([BASIC] if is_named else [])
    assert server.last().values("X-Token") == []


@contextmanager
def under_way(own: Proxy, server: Origin, folder: Path) -> Iterator[None]:
    """Requests that wait for their answers for as long as the block."""
    with ExitStack() as stack:
        for path in WAITING:
            command = ["curl", "-sS", "-o", "out", server.url(path)]
            stack.enter_context(background(command, Client(folder, own.variables()).env, folder))
        eventually(lambda: {asked.target for asked in server.asked} >= set(WAITING))
        yield


def test_nothing_is_saved(client: Client, server: Origin, rules: Path) -> None:
    """Neither the secret nor Basic of it stands in flow files, HAR export or log; of a WebSocket its last message."""
    flowfile, har = client.home / "flows", client.home / "flows.har"
    (client.home / "proxy").mkdir()
    options = (
        "-w",
        flowfile,
        "--set",
        f"hardump={har}",
        "--flow-detail",
        "4",
        "-v",
        "--set",
        "termlog_verbosity=debug",
    )
    with mitmdump(client.home / "proxy", rules, server.trust.ca, *options, RULE_TOKEN=SECRET) as own:
        through = Client(client.home, own.variables())
        for path in ("/several/x", "/basic/x", "/nobody/x", "/upload/x", "/several/switch"):
            assert through.fetch(server.url(path), *(["-d", "x"] if path == "/upload/x" else [])).status == 200
        assert through.fetch(server.url("/refuse/x"), "-H", "X-Token: mine").status == 403
        exchange(own, server, request(server, "/several/switch", *WEBSOCKET))
        with under_way(own, server, client.home):
            own.running.stop()
    seen = str([asked.headers.items() for asked in server.asked])
    assert len(leaks(seen)) >= 2, "nothing was injected"
    with flowfile.open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    assert [flow.response is None for flow in flows] == [*[False] * 7, *[True] * len(WAITING)]
    assert leaks([flow.get_state() for flow in flows]) == []
    assert [message.text for flow in flows if flow.websocket for message in flow.websocket.messages] == ["ho"]
    assert leaks(har.read_text()) == []
    assert leaks(own.log) == []


def test_nothing_is_shown(client: Client, server: Origin, rules: Path) -> None:
    """mitmweb's page shows requests that are over and requests under way, without the secret and Basic of it."""
    port = free_port()
    (client.home / "proxy").mkdir()
    options = ("--no-web-open-browser", "--web-port", str(port), "--set", "web_password=x")
    with mitmdump(client.home / "proxy", rules, server.trust.ca, *options, program="mitmweb", RULE_TOKEN=SECRET) as own:
        through = Client(client.home, own.variables())
        for path in ("/several/x", "/basic/x"):
            assert through.fetch(server.url(path)).status == 200
        with (
            under_way(own, server, client.home),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/flows?token=x") as answer,
        ):
            flows = json.load(answer)
    assert len(flows) == 2 + len(WAITING)
    assert leaks(json.dumps(flows)) == []
    assert leaks(own.log) == []


def test_a_refused_secret_is_asked_for_anew(client: Client, server: Origin, folder: Path) -> None:
    """After a 401, which the client gets as it is, the source is asked again; while its secret is good it is not."""
    (folder / "secret").write_text(SECRET)
    assert client.fetch(server.url("/rotated/x")).status == 401
    (folder / "secret").write_text(LATER)
    for _ in range(3):
        assert client.fetch(server.url("/rotated/x")).body == b"welcome\n"
    assert [asked.values("X-Token") for asked in server.asked] == [[SECRET], *[[LATER]] * 3]
    assert (folder / "asked").read_text() == "\n\n"


# ------------------------------------------------------- what clients may try


WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: bWU6bWU=")


def tokens(asked: Asked) -> list[str]:
    """What a server that takes `_` for `-`, as CGI does, finds under the header that the rules set."""
    return [value for name, value in asked.headers.items() if name.lower().replace("_", "-") == "x-token"]


@pytest.mark.parametrize("own", ["X_Token: mine", "x_tokeN: mine"])
def test_a_name_that_servers_take_for_the_rules(client: Client, server: Origin, own: str) -> None:
    """A header whose name many servers take for the rule's is one of its name: replaced, kept, or refused."""
    client.fetch(server.url("/several/x"), "-H", own)
    assert tokens(server.last()) == [f"token {SECRET}!"]
    client.fetch(server.url("/keep/x"), "-H", own)
    assert tokens(server.last()) == ["mine"]
    assert client.fetch(server.url("/refuse/x"), "-H", own).status == 403


@pytest.mark.parametrize(
    "end", ["\r", "\r\n ", "\r\n\t", "\0", "\r\r"], ids=["CR", "fold", "fold by tab", "NUL", "CR CR"]
)
def test_no_header_within_a_header(proxy: Proxy, server: Origin, end: str) -> None:
    """What a server may take for the end of a line is a space: no second header goes along."""
    exchange(proxy, server, request(server, "/several/x", f"X-Mine: 1{end}X-Token: mine"))
    for asked in server.asked:
        assert asked.values("X-Token") == [f"token {SECRET}!"]
        assert asked.values("X-Mine") == ["1 X-Token: mine"]


@pytest.mark.parametrize("option", ["X-Token", "close, x-token", "x_token,Host", "keep-alive, X-Kind", "Host"])
def test_connection_options(proxy: Proxy, server: Origin, option: str) -> None:
    """A client cannot have the next proxy take away what the rule set: what it names in Connection does not go on."""
    exchange(
        proxy,
        server,
        request(server, "/several/x", f"Connection: {option}, x-other", "X-Other: 1", "Connection: close"),
    )
    connection = ",".join(server.last().values("Connection")).lower()
    assert server.last().values("X-Token") == [f"token {SECRET}!"]
    assert not set(re.split(r"[, ]+", connection.replace("_", "-"))) & {"x-token", "x-kind", "host"}
    assert "x-other" in connection


def test_host_header(proxy: Proxy, server: Origin) -> None:
    """Whatever the client says of the host, in Host or in the request target, the server hears its own name."""
    for lines in (("Host: evil.test",), ("Host: evil.test", "Host: other.test")):
        exchange(proxy, server, request(server, "/several/x", *lines))
        assert (server.last().values("Host"), server.last().values("X-Kind")) == ([server.host], ["literal"])
    for authority in ("evil.test", f"evil.test@{server.host}"):
        exchange(proxy, server, request(server, f"https://{authority}/several/x"))
        for asked in server.asked:
            assert (asked.target, asked.values("Host")) == ("/several/x", [server.host])


@pytest.mark.parametrize(("scheme", "values"), [("https", ["literal"]), ("http", [])])
def test_without_connect(proxy: Proxy, server: Origin, scheme: str, values: list[str]) -> None:
    """A client that asks the proxy itself for an https URL is served over TLS; one of plain HTTP gets no header."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=20) as plain:
        plain.sendall(request(server, f"{scheme}://{server.host}/several/x"))
        while plain.recv(10_000):
            pass
    assert [value for asked in server.asked for value in asked.values("X-Kind")] == values


def test_the_next_request_on_a_connection(proxy: Proxy, server: Origin) -> None:
    """A header is set on the request that a rule names, and not on the next one on the same connection."""
    received = exchange(proxy, server, request(server, "/several/x", last=False), request(server, "/other"))
    assert received.count(b"HTTP/1.1 200") == 2
    assert [asked.values("X-Kind") for asked in server.asked] == [["literal"], []]


@pytest.mark.parametrize(("method", "first"), [("GET", "/several/x"), ("GET", "/other"), ("REPORT", "/several/x")])
def test_a_body_is_no_request(proxy: Proxy, server: Origin, method: str, first: str) -> None:
    """A body that a server leaves unread is a request to it: the next one, with the secret, is no body of that."""
    smuggled = request(server, "/notes", "Content-Length: 120", method="POST", last=False)
    begun = request(server, first, f"Content-Length: {len(smuggled)}", method=method, last=False) + smuggled
    exchange(proxy, server, begun, request(server, "/several/y"))
    assert server.asked[0].target == first
    assert leaks([asked.start for asked in server.asked]) == []


def test_versions(proxy: Proxy, server: Origin) -> None:
    """Whatever version a client speaks, or says that it speaks, the server gets the header, and over HTTP/1."""
    context = ssl.create_default_context(cafile=str(proxy.bundle))
    with httpx2.Client(http2=True, proxy=proxy.url, verify=context, trust_env=False) as both:
        answer = both.get(server.url("/several/x"), headers={"x-token": "mine"})
    assert answer.http_version == "HTTP/1.1"
    assert server.last().values("X-Token") == [f"token {SECRET}!"]
    for version in (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/3.0"):
        exchange(proxy, server, request(server, "/several/x").replace(b"HTTP/1.1", version))
        assert server.last().values("X-Token") == [f"token {SECRET}!"]
    assert len(server.asked) == 4


def test_websocket(proxy: Proxy, server: Origin) -> None:
    """A WebSocket is opened with the rule's headers, and its answer is without those that the rule drops."""
    received = exchange(proxy, server, request(server, "/several/switch", *WEBSOCKET))
    head, _, frames = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"set-cookie" not in head.lower()
    assert re.search(b"hi.*ho", frames)
    assert server.last().values("X-Token") == [f"token {SECRET}!"]


@pytest.mark.parametrize("upgrade", ["h2c", "h2c, websocket", "tls/1.0"])
def test_no_tunnel(proxy: Proxy, server: Origin, upgrade: str) -> None:
    """No other protocol is switched to: in it nothing would be dropped from responses."""
    lines = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    exchange(proxy, server, request(server, "/several/switch", *lines, "Connection: close"))
    assert set(server.last().values("Upgrade")) <= {"websocket"}
    assert server.last().values("X-Token") == [f"token {SECRET}!"]
