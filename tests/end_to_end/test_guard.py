"""Where clients may go, end to end: real clients, a real proxy, and servers that must not be reached."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from auditing import awaited
from conftest import RULES
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository, StandIn
from harness import Client, free_port, mitmdump, serving
from networks import add_address, in_a_network_of_its_own, names
from origin import Trust, echo, origin, redirect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Publish
    from harness import Proxy, Running, Shell

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

PUBLIC, OTHER = "93.184.215.14", "93.184.215.15"
"""Of a network of a test's own: here they are anybody's."""
HTTP_RULE = "rules: [{match: files.example.com/x, headers: {x: y}}]\n"


class Inside:
    """A plain server that nobody is to reach, and the requests that did."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.port = 0


@contextmanager
def inside(
    address: str = "127.0.0.1", port: int = 0, text: bytes = b"inside\n", version: str = "HTTP/1.0"
) -> Iterator[Inside]:
    server = Inside()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = version

        def do_GET(self) -> None:
            server.asked.append(self.path)
            server.hosts.append(self.headers.get("host", ""))
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
            pass

    httpd = ThreadingHTTPServer((address, port), Handler)
    server.port = httpd.server_port
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def hidden() -> Iterator[Inside]:
    """A server on this machine's loopback; in the end nobody has reached it."""
    with inside() as server:
        yield server
    assert server.asked == []


@pytest.fixture
def start(github: StandIn, tmp_path: Path) -> Callable[..., AbstractContextManager[Proxy]]:
    """Starts a proxy with these rules, and options of mitmdump."""

    def start(rules: str, *options: str, ca: Path = github.ca_file) -> AbstractContextManager[Proxy]:
        path = tmp_path / "rules.yaml"
        path.write_text(rules if rules.startswith("version") else f"version: 1\n{rules}")
        return mitmdump(tmp_path, path, ca, *options, STANDIN_TOKEN=DEFAULT_TOKEN)

    return start


def raw(proxy: Proxy, request: str, wait: float = 20) -> bytes:
    """What the proxy answers to these bytes, as no client would write them, till it closes or has said its problem."""
    got = b""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=wait) as connection:
        connection.sendall(request.encode())
        while part := connection.recv(65_536):
            got += part
            head, end, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if end and length and len(body) >= int(length[1]):
                break
    return got


def problem(answer: bytes) -> tuple[int, str]:
    """The status of an answer, and the kind of its problem document."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["type"].removeprefix("urn:gatepass:problem:")


# ------------------------------------------------------- addresses that are not public

SPELLINGS = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "0",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::]",
    "169.254.169.254",
    "[fd00:ec2::254]",
]


@pytest.fixture(scope="module")
def guarded(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose rules have `egress`, and allow every host."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "rules.yaml").write_text(f"version: 1\negress: {{}}\n{HTTP_RULE}")
    with mitmdump(folder, folder / "rules.yaml", _standin.ca_file) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log


@pytest.mark.parametrize("host", SPELLINGS)
def test_an_address_that_is_not_public(guarded: Proxy, hidden: Inside, host: str) -> None:
    """No spelling of such an address is reached, by a plain request or by CONNECT; the answer says why."""
    where = f"{host}:{hidden.port}"
    plain = raw(guarded, f"GET http://{where}/secret HTTP/1.1\r\nHost: {where}\r\n\r\n")
    assert problem(plain) == (403, "address-not-public")
    tunnel = raw(guarded, f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n")
    assert problem(tunnel) == (403, "address-not-public")
    assert re.match(rb"HTTP/1.1 403 gatepass: \S+ is not public, nor in egress.private\r\n", tunnel)


@pytest.mark.parametrize("host", ["0", "2130706433", "[::ffff:127.0.0.1]", "127.0.0.1"])
def test_curl_at_an_address_that_is_not_public(guarded: Proxy, hidden: Inside, tmp_path: Path, host: str) -> None:
    """curl gets the problem as an answer, and for a tunnel the reason phrase."""
    client = Client(tmp_path, guarded.variables())
    reply = client.fetch(f"http://{host}:{hidden.port}/")
    assert (reply.status, json.loads(reply.body)["type"]) == (403, "urn:gatepass:problem:address-not-public")
    tunnelled = client.curl("-v", f"https://{host}:{hidden.port}/")
    assert tunnelled.code != 0
    assert "403 gatepass: " in tunnelled.output


def test_a_body_is_not_waited_for(guarded: Proxy, hidden: Inside) -> None:
    """A refusal comes before any of the request's body."""
    where = f"127.0.0.1:{hidden.port}"
    head = f"POST http://{where}/ HTTP/1.1\r\nHost: {where}\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
    assert problem(raw(guarded, head)) == (403, "address-not-public")


def test_a_redirect_to_an_address_that_is_not_public(
    start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside, tmp_path: Path
) -> None:
    """Whatever leads a client there, a redirect of a host that it may ask, does not lead through."""
    trust = Trust(tmp_path)
    with origin(trust) as server:
        server.answers["/away"] = redirect
        rules = f"egress: {{}}\nrules: [{{match: {server.host}/*, headers: {{x: y}}}}]\n"
        with start(rules, ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            for to in ("http://169.254.169.254/", f"http://2130706433:{hidden.port}/"):
                reply = client.fetch(server.url(f"/away?to={to}"), "-L")
                assert (reply.status, json.loads(reply.body)["status"]) == (403, 403)
        assert len(server.asked) == 2, "the host that the rule names is reached, on loopback, too"


def test_without_the_keys(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path) -> None:
    """Where rules have none of the keys a developer reaches the servers of their own machine, as ever."""
    with inside() as server, start(HTTP_RULE) as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(f"http://127.0.0.1:{server.port}/a").status == 200
        assert server.asked == ["/a"]


def test_a_listener_beyond_loopback(start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside) -> None:
    """Who listens for others is guarded without a word in the rules."""
    with start(HTTP_RULE, "--listen-host", "0.0.0.0") as proxy:
        where = f"127.0.0.1:{hidden.port}"
        assert problem(raw(proxy, f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\n\r\n"))[0] == 403


def test_private(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path) -> None:
    """What `egress.private` holds is reached, by its name, too; what else is not public is not."""
    rules = f"egress: {{private: [127.0.0.0/8, '::1']}}\n{HTTP_RULE}"
    with inside() as server, start(rules) as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(f"http://127.0.0.1:{server.port}/a").status == 200
        assert client.fetch(f"http://localhost:{server.port}/b").status == 200
        assert client.fetch("http://169.254.169.254/").status == 403
        assert server.asked == ["/a", "/b"]


def test_socks(start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside, tmp_path: Path) -> None:
    """A client of the SOCKS mode gets there neither by http nor through a tunnel, nor to a host that is denied."""
    with start(f"egress: {{deny: [denied.example]}}\n{HTTP_RULE}", "--mode", "socks5") as proxy:
        client = Client(tmp_path, {})
        through = ("--proxy", proxy.url.replace("http:", "socks5h:"))
        for host in (f"localhost:{hidden.port}", "denied.example"):
            for scheme in ("http", "https"):
                assert client.curl("--insecure", *through, f"{scheme}://{host}/").code != 0
        assert "is not public" in proxy.log
        assert "egress.deny has denied.example" in proxy.log


def test_another_addon(start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside, tmp_path: Path) -> None:
    """Where another addon leads a connection is judged as well: the last word is the guard's."""
    script = tmp_path / "lead.py"
    script.write_text(f"def server_connect(data): data.server.address = ('127.0.0.1', {hidden.port})\n")
    rules = "egress: {}\nrules: [{match: 'localhost:1/x', headers: {x: y}}]\n"
    with start(rules, "-s", str(script)) as proxy:
        reply = Client(tmp_path, proxy.variables()).fetch("http://localhost:1/")
        assert (reply.status, json.loads(reply.body)["type"]) == (403, "urn:gatepass:problem:address-not-public")


BROKEN = """\
from gatepass.egress.destinations import Reach

def broken(*_): raise ZeroDivisionError

Reach.forbidden = broken
"""


@pytest.mark.parametrize("mode", ["regular", "socks5"])
def test_a_check_that_fails(
    start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside, tmp_path: Path, mode: str
) -> None:
    """An error that nobody foresaw, inside the checks, refuses."""
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    with start(f"egress: {{private: [127.0.0.1]}}\n{HTTP_RULE}", "-s", str(script), "--mode", mode) as proxy:
        client, where = Client(tmp_path, proxy.variables()), f"127.0.0.1:{hidden.port}"
        if mode == "regular":
            assert client.fetch(f"http://{where}/").status == 500
            assert problem(raw(proxy, f"CONNECT {where} HTTP/1.1\r\n\r\n")) == (500, "internal")
        else:
            assert client.curl("--proxy", proxy.url.replace("http:", "socks5h:"), f"http://{where}/").code != 0
        assert "ZeroDivisionError" in proxy.log


def test_run(shell: Shell, hidden: Inside) -> None:
    """`gatepass run` obeys the keys, too: what keeps a program that one does not trust from this machine's servers."""
    shell.rules.with_name("guarded.yaml").write_text(f"{shell.rules.read_text()}egress: {{}}\n")
    guarded = replace(shell, rules=shell.rules.with_name("guarded.yaml"))
    told = ("-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}")
    for scheme, expected in (("http", b"403 000"), ("https", b"000 403")):
        done = guarded.run("curl", *told, f"{scheme}://127.0.0.1:{hidden.port}/")
        assert done.stdout == expected, done.stderr


@in_a_network_of_its_own
def test_transparent(tmp_path: Path) -> None:
    """Where the network tells an address alone the SNI's name is judged and dialled: a client may claim any name."""
    add_address(f"{PUBLIC}/32")
    trust = Trust(tmp_path, "public.example")
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"version: 1\negress: {{allow: [public.example]}}\n{HTTP_RULE}")
    port = free_port()
    redirected = f"""\
        table ip nat {{
          chain output {{
            type nat hook output priority -100
            ip saddr 127.0.0.2 tcp dport 443 redirect to :{port}
          }}
        }}
    """
    subprocess.run(["nft", "-f", "-"], input=redirected.encode(), check=True)
    httpd = ThreadingHTTPServer((PUBLIC, 443), Hello)
    with (
        names(tmp_path, {"public.example": [[PUBLIC]]}),
        trust.serve(httpd),
        counted("127.0.0.1", 443) as reached,
        mitmdump(tmp_path, rules, trust.ca, "--mode", "transparent", "--listen-port", str(port)) as proxy,
    ):
        client = Client(tmp_path, {"CURL_CA_BUNDLE": str(trust.ca)})
        as_client = ("--interface", "127.0.0.2")
        claimed = client.fetch("https://public.example/", *as_client, "--resolve", "public.example:443:127.0.0.1")
        assert claimed.body == b"hello"
        assert client.curl(*as_client, "--insecure", "https://127.0.0.1/").code != 0
        lacking = ("--resolve", "other.example:443:127.0.0.1")
        assert client.curl(*as_client, "--insecure", *lacking, "https://other.example/").code != 0
        assert "not in egress.allow: other.example" in proxy.log
        assert reached == []


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        pass


@contextmanager
def counted(address: str, port: int) -> Iterator[list[object]]:
    """A listener that notes who connects to it."""
    reached: list[object] = []
    with serving(lambda _, peer: reached.append(peer), address, port):
        yield reached


# --------------------------------------------------------------------- allow and deny


def test_allow_and_deny(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path) -> None:
    """`allow` and `deny` are asked before a name is resolved, and the refusal names the entry, over CONNECT, too."""
    rules = f'egress: {{allow: ["localhost:9", "*.acme.example"], deny: ["*.paste.example"]}}\n{HTTP_RULE}'
    with start(rules) as proxy:
        client = Client(tmp_path, proxy.variables())
        denied = client.fetch("http://a.paste.example/")
        assert (denied.status, denied.reason) == (403, "gatepass: egress.deny has *.paste.example: a.paste.example")
        lacking = client.fetch("http://github.com/")
        assert (lacking.status, lacking.reason) == (403, "gatepass: not in egress.allow: github.com")
        tunnelled = client.curl("-v", "https://a.paste.example/")
        assert "403 gatepass: egress.deny has *.paste.example" in tunnelled.output
        assert problem(raw(proxy, "CONNECT localhost:10 HTTP/1.1\r\n\r\n")) == (403, "host-not-allowed")
        assert problem(raw(proxy, "CONNECT localhost:9 HTTP/1.1\r\n\r\n")) == (403, "address-not-public")
        assert problem(raw(proxy, "CONNECT x.acme.example:443 HTTP/1.1\r\n\r\n")) == (502, "name-not-resolved")


def test_report_only(start: Callable[..., AbstractContextManager[Proxy]], hidden: Inside, tmp_path: Path) -> None:
    """With `report_only` what would be refused passes, is told, and gets no credential; addresses are guarded."""
    trust = Trust(tmp_path)
    with origin(trust) as server:
        server.answers["/"] = echo
        rules = (
            "credentials: {{c: {{from: [env:STANDIN_TOKEN], hosts: ['{host}']}}}}\n"
            "egress: {{allow: [{allow}], report_only: true}}\n"
            "rules: [{{match: '{host}/*', headers: {{x-token: '{{credential}}'}}, credential: c}}]\n"
        )
        with start(rules.format(host=server.host, allow="other.example"), ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            assert client.fetch(server.url("/a")).status == 200
            assert server.last().values("x-token") == []
            assert f"would be refused: not in egress.allow: {server.host.partition(':')[0]}" in proxy.log
            assert client.fetch(f"http://127.0.0.1:{hidden.port}/").status == 403
        with start(rules.format(host=server.host, allow=f"'{server.host}'"), ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            assert client.fetch(server.url("/b")).status == 200
            assert server.last().values("x-token") == [DEFAULT_TOKEN]
            assert "would be refused" not in proxy.log


# --------------------------------------------------------- what the proxy fetches itself


@pytest.mark.parametrize("arguments", [("-r", "0-9"), ("-I",), ("-r", "0-2000000")], ids=["part", "head", "large"])
def test_an_asset_host_that_is_not_public(
    start: Callable[..., AbstractContextManager[Proxy]],
    github: StandIn,
    publish: Publish,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    """What the proxy fetches in place is guarded, too, where the API's `Location` says the host."""
    url = publish(b"0123456789" * 10)
    rules = RULES.format(web=github.web, api=github.api)
    with start(f"{rules}egress: {{}}\n") as proxy:
        reply = Client(tmp_path, proxy.variables()).fetch(url, *arguments)
        assert reply.status == (404 if "-I" in arguments else 403)
        if reply.body:
            assert json.loads(reply.body)["type"] == "urn:gatepass:problem:address-not-public"
    assert github.calls("api"), "the API is a host that the rules name"
    assert github.calls("asset") == []


def test_an_asset_host_that_the_rules_name(
    start: Callable[..., AbstractContextManager[Proxy]], github: StandIn, publish: Publish, tmp_path: Path
) -> None:
    """An asset host among the forge's `assets` may be where it likes."""
    url = publish(b"0123456789" * 10)
    rules = RULES.format(web=github.web, api=github.api)
    rules = rules.replace(f"api: {github.api}\n", f"api: {github.api}\n    assets: ['{github.asset_host}']\n")
    with start(f"{rules}egress: {{}}\n") as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(url, "-r", "0-9").body == b"0123456789"
        assert client.fetch(url, "-r", "0-2000000").status == 206
        assert client.fetch(url, "-L").status == 200


# ------------------------------------------------------------------- an upstream proxy


def test_an_upstream_proxy(
    start: Callable[..., AbstractContextManager[Proxy]],
    company: tuple[str, Running],
    hidden: Inside,
    github: StandIn,
    publish: Publish,
    tmp_path: Path,
) -> None:
    """Names are the upstream proxy's to resolve, which stands on loopback here; addresses are judged all the same."""
    url = publish(b"x" * 10)
    parts = urlsplit(company[0])
    upstream = ("--mode", f"upstream:http://127.0.0.1:{parts.port}", "--set", "upstream_auth=me:p@ss/1")
    rules = RULES.format(web=github.web, api=github.api)
    with start(f"{rules}egress: {{}}\n", *upstream) as proxy:
        client = Client(tmp_path, proxy.variables())
        assert client.fetch(url, "-r", "0-4").body == b"xxxxx"
        # an unnamed name, which the upstream finds on loopback: that is its own affair
        assert b"AccessDenied" in client.fetch(f"https://{github.asset_host}/", "--insecure").body
        for host in ("127.0.0.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"):
            where = f"{host}:{hidden.port}"
            assert problem(raw(proxy, f"CONNECT {where} HTTP/1.1\r\n\r\n")) == (403, "address-not-public")
            plain = raw(proxy, f"GET http://{where}/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert problem(plain) == (403, "address-not-public")
        assert "names are the upstream proxy's to resolve" in proxy.log


# ------------------------------------------------------------- tunnels, opened at CONNECT

LOOPBACK = f"egress: {{private: [127.0.0.0/8, '::1']}}\n{HTTP_RULE}"


@contextmanager
def speaker(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server that speaks first, as those of SSH and SMTP do, and echoes what it is told; its port."""

    def speak(connection: socket.socket, _: object) -> None:
        connection.settimeout(20)
        connection.sendall(b"220 speaks first\r\n")
        connection.sendall(connection.recv(100))

    with serving(speak, address, port) as where:
        yield where


def tunnelled(proxy: Proxy, where: str) -> bytes:
    """What a server says through a tunnel, of its own accord and then to `hello`."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=20) as connection:
        connection.sendall(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
        got = b""
        while b"first\r\n" not in got and (part := connection.recv(1000)):
            got += part
        connection.sendall(b"hello")
        while part := connection.recv(1000):
            got += part
        return got


def test_a_server_that_speaks_first(start: Callable[..., AbstractContextManager[Proxy]]) -> None:
    """A tunnel is open when the client is told so: it hears a server that speaks before the client does."""
    with speaker() as port, start(LOOPBACK) as proxy:
        head, _, said = tunnelled(proxy, f"localhost:{port}").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert said == b"220 speaks first\r\nhello"


def test_a_dead_destination(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path) -> None:
    """What cannot be reached is told at CONNECT; where none of the keys is used a tunnel is opened late, as ever."""
    where = f"127.0.0.1:{free_port()}"
    with start(LOOPBACK) as proxy:
        answer = raw(proxy, f"CONNECT {where} HTTP/1.1\r\n\r\n")
        assert problem(answer) == (502, "unreachable")
        assert b"connection refused (at 127.0.0.1)" in answer
        client = Client(tmp_path, proxy.variables())
        assert "502 gatepass: cannot reach 127.0.0.1" in client.curl("-v", f"https://{where}/").output
    with start(HTTP_RULE) as proxy, socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0)) as late:
        late.sendall(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
        assert late.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_through_an_upstream_proxy(
    start: Callable[..., AbstractContextManager[Proxy]], company: tuple[str, Running]
) -> None:
    """There a tunnel is asked for before its client is told that it is open: what speaks first is heard, what the
    client has sent early is not lost, and what cannot be reached is told at CONNECT.
    """
    port = urlsplit(company[0]).port
    way = ("--mode", f"upstream:http://127.0.0.1:{port}", "--set", "upstream_auth=me:p@ss/1")
    with speaker() as first, start(LOOPBACK, *way) as proxy:
        head, _, said = tunnelled(proxy, f"localhost:{first}").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert said == b"220 speaks first\r\nhello"
        early = raw(proxy, f"CONNECT localhost:{first} HTTP/1.1\r\n\r\nhello")
        assert early.endswith(b"220 speaks first\r\nhello")
        answer = raw(proxy, f"CONNECT localhost:{free_port()} HTTP/1.1\r\n\r\n")
        assert problem(answer) == (502, "proxy-refused")
    with start(LOOPBACK, "--mode", f"upstream:http://127.0.0.1:{free_port()}") as proxy:
        answer = raw(proxy, "CONNECT files.example.net:443 HTTP/1.1\r\n\r\n")
        assert problem(answer) == (502, "unreachable")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        start(LOOPBACK, "--mode", f"upstream:http://127.0.0.1:{silent.getsockname()[1]}") as proxy,
    ):
        answer = raw(proxy, "CONNECT files.example.net:443 HTTP/1.1\r\n\r\n")
        assert problem(answer) == (504, "timed-out")


def test_a_host_that_a_rule_names_is_not_connected_to(
    start: Callable[..., AbstractContextManager[Proxy]],
) -> None:
    """What is decrypted is connected to when a request needs it, guarded or not."""
    port = free_port()
    rules = f"egress: {{}}\nrules: [{{match: 'localhost:{port}/x', headers: {{x: y}}}}]\n"
    with start(rules) as proxy, socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0)) as connection:
        connection.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


@in_a_network_of_its_own
def test_a_destination_with_several_addresses(tmp_path: Path) -> None:
    """Where an address does not answer the next one is tried, and the dead one is tried last from then on."""
    for address in (PUBLIC, OTHER):
        add_address(f"{address}/32")
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"version: 1\negress: {{}}\n{HTTP_RULE}")
    trust = Trust(tmp_path)
    with (
        names(tmp_path, {"two.example": [[PUBLIC, OTHER]], "swapped.example": [[OTHER, PUBLIC]]}),
        speaker(OTHER, 25),
        mitmdump(tmp_path, rules, trust.ca) as proxy,
    ):
        for name in ("two.example", "swapped.example", "two.example"):
            assert b"220 speaks first" in tunnelled(proxy, f"{name}:25"), name
        assert len(re.findall(r"error establishing server connection", proxy.log)) <= 1


@pytest.mark.slow
@in_a_network_of_its_own
def test_a_destination_that_is_silent(tmp_path: Path) -> None:
    """One that does not answer in time is a 504, and a name that is not told in time a 502, each within 15 s."""
    add_address(f"{PUBLIC}/32")
    drop = f"table ip f {{ chain i {{ type filter hook input priority 0; ip daddr {PUBLIC} tcp dport 81 drop\n}}\n}}"
    subprocess.run(["nft", "-f", "-"], input=drop.encode(), check=True)
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"version: 1\negress: {{}}\n{HTTP_RULE}")
    trust = Trust(tmp_path)
    with (
        names(tmp_path, {"silent.example": [[PUBLIC]]}, "untold.example"),
        mitmdump(tmp_path, rules, trust.ca) as proxy,
    ):
        assert problem(raw(proxy, "CONNECT silent.example:81 HTTP/1.1\r\n\r\n", 15)) == (504, "timed-out")
        assert problem(raw(proxy, "CONNECT untold.example:443 HTTP/1.1\r\n\r\n", 15)) == (502, "name-not-resolved")


# --------------------------------------------------------------------- domain fronting


@pytest.mark.parametrize("target", ["/a", "https://evil.example/a"], ids=["host", "absolute"])
def test_fronting(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path, target: str) -> None:
    """Inside a decrypted connection a Host that is not the connection's is refused, and so is another's URL."""
    trust = Trust(tmp_path)
    with origin(trust) as server:
        server.answers["/"] = echo
        rules = f"egress: {{}}\nrules: [{{match: {server.host}/none, headers: {{x: y}}}}]\n"
        with start(rules, ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            arguments = ("-H", "Host: evil.example") if target == "/a" else ("--request-target", target)
            fronted = client.fetch(server.url("/a"), *arguments)
            assert (fronted.status, json.loads(fronted.body)["type"]) == (421, "urn:gatepass:problem:misdirected")
            assert server.asked == []
            upper = client.fetch(server.url("/a"), "-H", f"Host: {server.host.upper()}")
            assert upper.status == 200
            port = server.host.partition(":")[2]
            assert client.fetch(server.url("/a"), "-H", f"Host: localhost.:{port}").status == 200
            assert client.fetch(server.url("/a"), "-H", f"Host: localhost:{int(port) - 1}").status == 421
            assert client.fetch(server.url("/a"), "-H", "Host: localhost").status == 421
        with start(rules.replace("egress: {}\n", ""), ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            assert client.fetch(server.url("/a"), "-H", "Host: evil.example").status == 200, "as ever"


def test_a_tunnel_within_a_connection(start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path) -> None:
    """A CONNECT in a decrypted connection leads nowhere; it is refused in our words, and told as a refusal."""
    trust, file = Trust(tmp_path), tmp_path / "audit.jsonl"
    with origin(trust) as server:
        rules = f"egress: {{}}\nrules: [{{match: {server.host}/none, headers: {{x: y}}}}]\n"
        with start(rules, f"--set=gatepass_audit={file}", ca=trust.ca) as proxy:
            client = Client(tmp_path, proxy.variables())
            reply = client.fetch(server.url("/a"), "-X", "CONNECT", "--request-target", "169.254.169.254:80")
            assert reply.status == 400
            assert json.loads(reply.body)["type"] == "urn:gatepass:problem:malformed-request"
            told = awaited(file, lambda told: told["url"]["domain"] == "169.254.169.254")
    assert (told["event"]["action"], told["http"]["response"]["status_code"]) == ("refuse", 400)
    assert told["gatepass"]["problem"] == "urn:gatepass:problem:malformed-request"


def test_a_connection_that_outlives_its_rules(
    start: Callable[..., AbstractContextManager[Proxy]], tmp_path: Path
) -> None:
    """What was judged by rules that are no more is judged anew, though its client's connection is the same."""
    with inside(version="HTTP/1.1") as server, start("egress: {private: [127.0.0.0/8]}\n" + HTTP_RULE) as proxy:
        kept = http.client.HTTPConnection("127.0.0.1", urlsplit(proxy.url).port or 0, timeout=20)
        kept.request("GET", f"http://127.0.0.1:{server.port}/before")
        assert kept.getresponse().read() == b"inside\n"
        connection = kept.sock
        (tmp_path / "rules.yaml").write_text(f"version: 1\negress: {{}}\n{HTTP_RULE}")
        proxy.running.wait_for("rules read again")
        kept.request("GET", f"http://127.0.0.1:{server.port}/after")
        assert kept.getresponse().status == 403
        assert kept.sock is connection
        kept.close()
        assert server.asked == ["/before"]


def test_fronting_of_a_plain_request(start: Callable[..., AbstractContextManager[Proxy]]) -> None:
    """Of a plain request the URL counts: its server gets no other Host."""
    with inside() as server, start(f"egress: {{private: [127.0.0.1]}}\n{HTTP_RULE}") as proxy:
        answer = raw(proxy, f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert b" 200 " in answer
        assert server.hosts == [f"127.0.0.1:{server.port}"]


# ----------------------------------------------------------------- names that change


@in_a_network_of_its_own
def test_a_name_that_changes_its_answer(tmp_path: Path) -> None:
    """DNS rebinding gets nowhere: a name is asked for once, and what is dialled is the address that was judged."""
    add_address(f"{PUBLIC}/32")
    answers = {"rebind.example": [[PUBLIC], ["127.0.0.1"]], "mixed.example": [[PUBLIC, "127.0.0.1"]]}
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"version: 1\negress: {{}}\n{HTTP_RULE}")
    trust = Trust(tmp_path, "rebind.example")
    with (
        names(tmp_path, answers) as server,
        inside(PUBLIC, 80, b"public\n") as public,
        inside("127.0.0.1", 80) as hidden,
        mitmdump(tmp_path, rules, trust.ca) as proxy,
    ):
        client = Client(tmp_path, proxy.variables())
        assert client.fetch("http://rebind.example/1").body == b"public\n"
        assert server.asked == ["rebind.example"], "asked for once"
        assert client.fetch("http://rebind.example/2").status == 403, "the second answer is judged as the first was"
        server.answers["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
        server.asked.clear()
        tunnel = client.fetch("http://rebind.example/3", "--proxytunnel")
        assert tunnel.body == b"public\n"
        assert server.asked == ["rebind.example"]
        assert client.fetch("http://mixed.example/").status == 403
        assert public.asked == ["/1", "/3"]
        assert hidden.asked == []
        assert problem(raw(proxy, "CONNECT nowhere.example:443 HTTP/1.1\r\n\r\n")) == (502, "name-not-resolved")


@in_a_network_of_its_own
def test_a_decrypted_connection_to_a_name_that_changes(tmp_path: Path) -> None:
    """Where a rule names the host its name is TLS's to prove; it is dialled where it was found first."""
    add_address(f"{PUBLIC}/32")
    private = Repository("acme", "tool", releases=[Release("v1.0", [Asset("data.bin", b"x" * 10)])])
    with StandIn(repositories=[private]) as github:
        text = RULES.format(web=github.web, api=github.api)
        rules = tmp_path / "rules.yaml"
        rules.write_text(f"{text}egress: {{}}\n")
        host, _, port = github.asset_host.partition(":")
        with names(tmp_path, {}), mitmdump(tmp_path, rules, github.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
            client = Client(tmp_path, proxy.variables())
            url = github.download_url("acme/tool", "v1.0", "data.bin")
            assert client.fetch(url.replace("/releases/", "/other/")).status == 404
            assert client.fetch(url, "-r", "0-4").status == 403, f"{host}:{port} is not public"
