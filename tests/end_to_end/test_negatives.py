"""The secret goes to the API alone, and what no rule names is left alone.

What the stand-in's log must show is checked after every test that asks for `proxy`: the token, at the API and nowhere
else. Here is what could go wrong, case by case.
"""

from __future__ import annotations

import gzip
import secrets
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository
from gatepass.trust import certificates
from harness import DEADLINE, Client, Proxy, mitmdump, peak, strays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import StandIn

CONTENT = b"0123456789"
FILE = "/releases/download/v1.0/data.bin"


@pytest.fixture
def path(repository: Repository) -> str:
    """The path of a private asset that the rules allow."""
    repository.releases[0].assets.append(Asset("data.bin", CONTENT))
    return f"/{repository.full_name}{FILE}"


@pytest.fixture
def url(github: StandIn, path: str) -> str:
    return f"https://{github.web}{path}"


def assert_untouched(github: StandIn) -> None:
    """Nobody asked the API about this test's repositories, and nobody saw the token."""
    names = [repository.full_name for repository in github.repositories]
    # what the test before has set off may still come in
    assert [call.target for call in github.calls("api") if any(name in call.target for name in names)] == []
    assert strays(github, DEFAULT_TOKEN) == []


def test_it_injects(client: Client, url: str, github: StandIn) -> None:
    """The sibling of all that follows: the API gets the token, the asset host does not."""
    assert client.fetch(url, "-L").body == CONTENT
    assert {call.headers["authorization"] for call in github.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}
    assert ["authorization" in call.headers for call in github.calls("asset")] == [False]


@pytest.mark.parametrize(
    ("right", "written"),
    [("/acme/", "/ACME/"), ("/acme/", "//acme/"), ("/releases/", "//releases///"), ("/download/", "//download//")],
)
def test_spellings(client: Client, url: str, github: StandIn, right: str, written: str) -> None:
    """It injects as well where the owner is written in other letters, or a slash more than once."""
    assert client.fetch(url.replace(right, written, 1), "-L").body == CONTENT
    assert {call.role for call in github.calls()} == {"api", "asset"}


# -------------------------------------------------- what no rule matches


@pytest.mark.parametrize("arguments", [(), ("-I",), ("-r", "0-4")], ids=["GET", "HEAD", "range"])
@pytest.mark.parametrize("owner", ["other", "acme-evil", "acm", "acme.evil"])
def test_other_owner(client: Client, github: StandIn, owner: str, arguments: tuple[str, ...]) -> None:
    """A rule for one owner is not one for another, whatever the token could do there."""
    github.repositories.append(Repository(owner, "tool", releases=[Release("v1.0", [Asset("data.bin", CONTENT)])]))
    assert client.fetch(f"https://{github.web}/{owner}/tool{FILE}", *arguments).status == 404
    assert_untouched(github)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/releases/tag/v1.0",
        "/releases/expanded_assets/v1.0",
        "/archive/v1.0.tar.gz",
        "/releases/download/v1.0",
        "/releases/download//data.bin",
        "/releases/latest/download/v1.0/data.bin",
        "/Releases/download/v1.0/data.bin",
        "/releases/download/v1.0/",
        "/issues/releases/download/v1.0/data.bin",
    ],
)
def test_other_path(client: Client, github: StandIn, repository: Repository, rest: str) -> None:
    """A page of the repository that is no download URL passes, and is answered by the web host itself."""
    reply = client.fetch(f"https://{github.web}/{repository.full_name}{rest}")
    assert (reply.status, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert_untouched(github)


@pytest.mark.parametrize(
    "path",
    [
        "/acme/../other/tool/releases/download/v1.0/data.bin",
        "/acme/tool/releases/download/../../../../other/tool/releases/download/v1.0/data.bin",
        "/acme/%2e%2e/other/releases/download/v1.0/data.bin",
        "/acme/..%2fother/releases/download/v1.0/data.bin",
        "/acme/tool%2F..%2F..%2Fother%2Ftool/releases/download/v1.0/data.bin",
        "/acme/tool/releases/download/%2e%2e/data.bin",
        "/acme/tool/releases/download/v1.0/..%2f..%2fdata.bin",
        "/acme/tool/releases/download/v1.0/..",
        "/acme/tool/releases/download/v1.0/a%2Fb.bin",
        "/acme/tool/releases/download/v1.0/a%00.bin",
        "/acme/tool/releases/download/v1.0/a%0d%0aX-Evil:1",
        "/acme/tool/releases/download/v1.0/%ff.bin",
        "/acme/../releases/download/v1.0/data.bin",
        "/acme%2Ftool/releases/download/v1.0/data.bin",
    ],
)
def test_crooked_path(client: Client, github: StandIn, path: str) -> None:
    """Dot segments, encoded slashes and control characters make a path no download URL."""
    assert client.fetch(f"https://{github.web}{path}", "--path-as-is").status == 404
    assert_untouched(github)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_method(client: Client, url: str, github: StandIn, method: str) -> None:
    """Only GET and HEAD are resolved; the rest passes with its body and its own Authorization."""
    own = ("-H", "Authorization: Basic bWU6bWU=", "-H", "Cookie: mine=1", "--data-binary", "x" * 5000)
    reply = client.fetch(url, "-X", method, *own)
    assert (reply.status, reply.body) == (200, f"{method} of 5000 bytes\n".encode())
    (call,) = github.calls()
    assert (call.role, call.headers["authorization"], call.headers["cookie"]) == ("web", "Basic bWU6bWU=", "mine=1")


def test_plain_http(client: Client, proxy: Proxy, url: str, github: StandIn) -> None:
    """Without TLS nothing is injected, though host, port and path are those of a rule."""
    client.fetch(url.replace("https:", "http:"), "--proxy", proxy.url)
    assert_untouched(github)


# ---------------------------------------------------------------- other hosts


def test_spoofed_host_header(client: Client, url: str, path: str, github: StandIn) -> None:
    """The Host header decides nothing: neither can another server borrow the name, nor the name be taken away."""
    reply = client.fetch(f"https://{github.asset_host}{path}", "-H", f"Host: {github.web}")
    assert reply.status == 403
    assert_untouched(github)
    assert client.fetch(url, "-H", "Host: evil.test").status == 302
    assert {call.host for call in github.calls("api")} == {github.web}


def test_connection_to_another_server(client: Client, url: str, path: str, github: StandIn) -> None:
    """The same with `--connect-to`: what counts is the server that the proxy was asked to connect to."""
    assert client.fetch(url, "--connect-to", f"{github.web}:{github.asset_host}").status == 403
    assert_untouched(github)
    turned = ("--connect-to", f"{github.asset_host}:{github.web}")
    assert client.fetch(f"https://{github.asset_host}{path}", *turned).status == 302
    assert {call.host for call in github.calls("api")} == {github.web}


@pytest.mark.parametrize("target", ["https://evil.test{path}", "http://{web}{path}", "https://{asset}{path}"])
def test_absolute_target(client: Client, path: str, github: StandIn, target: str) -> None:
    """A request target with a host of its own, inside the connection, leads nowhere else."""
    target = target.format(path=path, web=github.web, asset=github.asset_host)
    client.curl("-o", "out", "--request-target", target, f"https://{github.web}/")
    assert {call.role for call in github.calls()} <= {"api", "web"}


@pytest.mark.parametrize(
    "address",
    [
        "{asset}{path}",
        "{asset}/{web}{path}",
        "{web}@{asset}{path}",
        "user:{token}@{asset}{path}",
        "localhost.evil.test:{port}{path}",
        "evil-localhost:{port}{path}",
        "127.0.0.1:{port}{path}",
    ],
    ids=["port", "host in the path", "host as the user", "password", "suffix", "prefix", "address"],
)
def test_look_alike(client: Client, path: str, github: StandIn, address: str) -> None:
    """A host that resembles a rule's is another host."""
    port = github.web.partition(":")[2]
    url = address.format(web=github.web, asset=github.asset_host, path=path, port=port, token="mine")
    client.curl("-L", "-o", "out", f"https://{url}")
    assert_untouched(github)


@pytest.mark.parametrize("host", ["LOCALHOST", "LocalHost"])
def test_upper_case_host(client: Client, path: str, github: StandIn, host: str) -> None:
    """The case of a host's name means nothing."""
    assert client.fetch(f"https://{github.web.replace('localhost', host)}{path}", "-L").body == CONTENT


def test_user_in_the_url(client: Client, url: str, github: StandIn) -> None:
    """A user and password in the URL are the client's own credentials: replaced."""
    assert client.fetch(url.replace("https://", "https://me:mine@"), "-L").body == CONTENT
    assert {call.headers["authorization"] for call in github.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}
    assert all("authorization" not in call.headers for call in github.calls("asset"))


def test_trailing_dot(client: Client, url: str, github: StandIn) -> None:
    """A host with a trailing dot is spelt as no rule spells it: tunnelled, if there is such a host at all."""
    client.curl("-o", "out", url.replace("localhost", "localhost."))
    assert_untouched(github)


def test_unnamed_host_is_tunnelled(client: Client, github: StandIn) -> None:
    """A client of a host that no rule names sees that server's own certificate."""
    own = ("--cacert", str(github.ca_file))
    assert client.fetch(f"https://{github.asset_host}/", *own).status == 403


def test_named_host_is_intercepted(client: Client, github: StandIn) -> None:
    """The sibling: a client of a host that a rule names sees the proxy's."""
    result = client.curl("--cacert", str(github.ca_file), f"https://{github.web}/")
    assert "certificate" in result.output
    assert github.calls() == []


def test_fronting_is_tunnelled(client: Client, path: str, github: StandIn) -> None:
    """Who asks the proxy for a rule's host, and TLS for another server, is not intercepted."""
    fronted = ("--connect-to", f"api.github.com:443:{github.web}", "--cacert", str(github.ca_file))
    reply = client.fetch(f"https://api.github.com{path}", *fronted)
    assert "gatepass" not in reply.reason
    repository = github.repositories[0].full_name
    assert [
        call.target for call in github.calls() if repository in call.target and "authorization" in call.headers
    ] == []


# ------------------------------------------------------------------ redirects


@pytest.mark.parametrize("arguments", [(), ("-I",), ("-r", "0-4")], ids=["GET", "HEAD", "range"])
@pytest.mark.parametrize(
    ("match", "status"), [("/releases/tags/", 301), ("/releases/assets/", 302)], ids=["release", "asset"]
)
@pytest.mark.parametrize(
    "location",
    ["https://{web}/elsewhere", "http://{asset}/x", "https://u:p@{asset}/x", "//evil.test@{web}/x", "https://[", ""],
    ids=["web host", "http", "userinfo", "relative", "no URL", "empty"],
)
def test_api_redirects(
    client: Client, url: str, github: StandIn, match: str, status: int, location: str, arguments: tuple[str, ...]
) -> None:
    """A redirect of the API to somewhere that is neither the API nor an asset host is refused, not followed."""
    location = location.format(web=github.web, asset=github.asset_host)
    github.faults.append(Fault("api", match, status=status, headers={"location": location}, times=9))
    reply = client.fetch(url, *arguments)
    assert reply.status == (404 if arguments == ("-I",) else 502)
    assert reply.reason.startswith("gatepass: ")
    assert {call.role for call in github.calls()} == {"api"}


@pytest.mark.parametrize("arguments", [("-I",), ("-r", "0-4")], ids=["HEAD", "range"])
def test_asset_endpoint_redirects(client: Client, url: str, github: StandIn, arguments: tuple[str, ...]) -> None:
    """Wherever the asset endpoint redirects to, the credential is not sent along."""
    headers = {"location": f"https://{github.asset_host}/elsewhere"}
    github.faults.append(Fault("api", "/releases/assets/", status=302, headers=headers))
    reply = client.fetch(url, *arguments)
    assert reply.reason == "gatepass: the asset host refused the signed URL"
    assert [call.target for call in github.calls("asset")] == ["/elsewhere"]
    assert "authorization" not in github.calls("asset")[0].headers


@pytest.mark.parametrize("host", ["exa mple.test", f"{'a' * 64}.test", "a..b.test", "-.test", "xn--a.test", "no.test"])
def test_odd_asset_hosts(client: Client, url: str, github: StandIn, host: str) -> None:
    """A redirect to a host that cannot be is a failure to the client; the request is not passed on instead."""
    headers = {"location": f"https://{host}/elsewhere"}
    github.faults.append(Fault("api", "/releases/assets/", status=302, headers=headers, times=2))
    head, part = client.fetch(url, "-I"), client.fetch(url, "-r", "0-4")
    assert (head.status, part.status) == (404, 502)
    assert head.reason.startswith("gatepass: ")
    assert github.calls("web") == []


# ------------------------------------------------------- proxies of their own


def refused(client: Client, github: StandIn, url: str, title: str) -> None:
    """The request is refused with that title, and the API has seen nothing of it."""
    for arguments in ((), ("-I",), ("-r", "0-4")):
        reply = client.fetch(url, *arguments)
        assert reply.reason == f"gatepass: {title}"
    assert all("authorization" not in call.headers for call in github.calls())


def test_ssl_insecure(github: StandIn, rules: Path, tmp_path: Path, url: str) -> None:
    """While upstream certificates are not verified no credential is sent, and other requests pass."""
    options = ("--ssl-insecure",)
    with mitmdump(tmp_path, rules, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        refused(client, github, url, "upstream certificates are not verified")
        assert b"ssl_insecure" in client.fetch(url).body
        refused(client, github, f"https://{github.web}/injected/big/10", "upstream certificates are not verified")
        assert github.calls() == []
        assert client.fetch(f"https://{github.web}/big/10").body == bytes(10)


def test_missing_token(github: StandIn, rules: Path, tmp_path: Path, url: str) -> None:
    """Without a token nothing is sent anywhere, and the client is told where one was looked for."""
    with mitmdump(tmp_path, rules, github.ca_file) as proxy:
        client = Client(tmp_path, proxy.variables())
        refused(client, github, url, "no credential found")
        refused(client, github, f"https://{github.web}/injected/big/10", "no credential found")
        assert b"env:STANDIN_TOKEN" in client.fetch(url).body
    assert github.calls() == []


def test_untrusted_upstream(github: StandIn, rules: Path, tmp_path: Path, url: str) -> None:
    """An API whose certificate is not trusted is sent nothing."""
    other = tmp_path / "other.pem"
    other.write_text(certificates.issue(["localhost"]).ca)
    with mitmdump(tmp_path, rules, other, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        client = Client(tmp_path, proxy.variables())
        refused(client, github, url, "certificate of localhost not trusted")
        assert b"was checked against" in client.fetch(url).body
        assert client.fetch(f"https://{github.web}/injected/big/10").status == 502
    assert github.calls() == []


# --------------------------------------------------------------- pass-through


def test_memory(client: Client, proxy: Proxy, github: StandIn) -> None:
    """300 MB through the intercepted host arrive, and were never in memory."""
    assert client.fetch(f"https://{github.web}/big/1000000").body == bytes(1_000_000)
    before = peak(proxy.running.process.pid)
    form = "%{size_download}"
    result = client.curl("-o", "/dev/null", "-w", form, f"https://{github.web}/big/300000000")
    assert result.output == "300000000"
    assert peak(proxy.running.process.pid) - before < 30_000_000


class _Echo(BaseHTTPRequestHandler):
    """Answers a POST with its own body, chunked, and its Content-Encoding."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = b""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        for name in ("content-type", "content-encoding"):
            self.send_header(name, self.headers[name])
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 50_000):
            part = body[at : at + 50_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        pass


@contextmanager
def echo(folder: Path) -> Iterator[tuple[str, Path]]:
    """`localhost:PORT` of a server that echoes, and the CA to trust."""
    pem = certificates.issue(["localhost"])
    ca, server = folder / "echo-ca.pem", folder / "echo.pem"
    ca.write_text(pem.ca)
    server.write_text(pem.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as httpd:
        httpd.daemon_threads = True
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"localhost:{httpd.server_port}", ca
        finally:
            httpd.shutdown()
            thread.join()


def test_git(tmp_path: Path) -> None:
    """What git sends and gets passes unchanged: packs, gzip, with and without a known length."""
    pack = gzip.compress(secrets.token_bytes(3_000_000))
    (tmp_path / "pack").write_bytes(pack)
    rules = tmp_path / "rules.yaml"
    with echo(tmp_path) as (host, ca):
        rules.write_text(
            f"version: 1\ncredentials:\n  x:\n    from: [env:X_TOKEN]\n    hosts: ['{host}']\n"
            f"rules:\n  - match: {host}/*\n    headers: {{X-Token: '{{credential}}'}}\n    credential: x\n"
        )
        with mitmdump(tmp_path, rules, ca, X_TOKEN="x") as proxy:
            client = Client(tmp_path, proxy.variables())
            git = ("-H", "Content-Type: application/x-git-upload-pack-request", "-H", "Content-Encoding: gzip")
            for framing in ((), ("-H", "Transfer-Encoding: chunked")):
                url = f"https://{host}/acme/tool.git/git-upload-pack"
                reply = client.fetch(url, *git, *framing, "--data-binary", "@pack")
                assert reply.body == pack
                assert reply.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(("options", "is_told"), [((), True), (("--proxyauth", "me:mine"), False)])
def test_open_to_others(github: StandIn, rules: Path, tmp_path: Path, options: tuple[str, ...], is_told: bool) -> None:
    """A proxy that others reach, and that asks nobody for a password, says so at its start."""
    everywhere = ("--listen-host", "0.0.0.0", *options)
    with mitmdump(tmp_path, rules, github.ca_file, *everywhere, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        proxy.running.wait_for("gatepass: 3 rules")
    assert ("whoever reaches the port uses the credentials" in proxy.log) is is_told


# ------------------------------------------------------------ requests with a body


def exchange(proxy: Proxy, github: StandIn, *requests: bytes) -> bytes:
    """What comes back for these bytes, sent one after another on one connection to the web host."""
    trust = ssl.create_default_context(cafile=str(proxy.bundle))
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=DEADLINE) as plain:
        plain.sendall(f"CONNECT {github.web} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in plain.recv(1000)
        with trust.wrap_socket(plain, server_hostname="localhost") as secure:
            received = b""
            try:
                for request in requests:
                    secure.sendall(request)
                    received += secure.recv(100_000)
            except OSError:
                pass  # the proxy has ended the connection
    return received


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("arguments", ["", "Range: bytes=0-\r\n"], ids=["whole", "range"])
def test_a_body_is_no_second_request(proxy: Proxy, github: StandIn, url: str, streamed: bool, arguments: str) -> None:
    """The body of a download goes nowhere: unframed, it would be read as a request, with the next one's credential."""
    github.stream_assets = github.stream_ranges = streamed
    smuggled = f"GET /repos/EVIL HTTP/1.1\r\nHost: {github.web}\r\nX-Ignore: ".encode()
    head = f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: {github.web}\r\n{arguments}".encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    counted = b"Content-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    for body in (counted, b"Transfer-Encoding: chunked\r\n\r\n" + chunked):
        exchange(proxy, github, head + body, head + b"\r\n")
    assert "EVIL" not in str(github.calls())


def test_the_client_does_not_choose_by_host(proxy: Proxy, github: StandIn) -> None:
    """A header rule's secret goes to the server that the rule names, whatever Host says."""
    answer = exchange(proxy, github, b"GET /injected/x HTTP/1.1\r\nHost: attacker.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    (call,) = github.calls()
    assert (call.headers["host"], "x-token" in call.headers) == (github.web, True)


def test_a_body_is_not_held(client: Client, proxy: Proxy, github: StandIn, url: str) -> None:
    """However much is sent with a download or to a header rule, the proxy does not hold it."""
    big = client.home / "big"
    with big.open("wb") as file:
        file.truncate(300_000_000)
    client.fetch(url)
    before = peak(proxy.running.process.pid)
    for address in (url, f"https://{github.web}/injected/x"):
        result = client.curl("-X", "GET", "-H", "Expect:", "-T", str(big), "-o", "out", address)
        assert result.code != 28, "its connection was not ended"
    assert peak(proxy.running.process.pid) - before < 30_000_000


def test_a_small_body_is_refused(client: Client, url: str) -> None:
    """A download that comes with a body is refused with its reason."""
    reply = client.fetch(url, "-X", "GET", "--data-binary", "x")
    assert (reply.status, reply.reason) == (400, "gatepass: a download has no body")
