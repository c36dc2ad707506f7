"""`gatepass serve --index`: package indexes as a plain web server, with neither a proxy nor a CA."""

from __future__ import annotations

import json
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository
from harness import GATEPASS, Client, background, eventually, free_port, strays
from project import CLIENTS, RULES, adds, good, locked, project, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Running, Shell

    type Serve = Callable[..., AbstractContextManager[Served]]

pytestmark = pytest.mark.slow  # real clients, each with packages to get

BIG = 3 * 1024 * 1024


class Served:
    """An index that is served: where, and by which process."""

    def __init__(self, url: str, running: Running) -> None:
        self.url = url
        self.running = running

    @property
    def bare(self) -> str:
        """Its URL without user and password."""
        return f"http://{urlsplit(self.url).netloc.rpartition('@')[2]}"

    def known(self, user: str, password: str) -> str:
        return self.bare.replace("//", f"//{user}:{password}@")


@pytest.fixture
def tool(github: StandIn) -> Repository:
    """`acme/tool`, private: `acme_tool` 1.0, and 2.0 as a wheel of some megabytes."""
    files = (package.wheel("acme_tool", "1.0"), package.sdist("acme_tool", "1.0"))
    large = package.wheel("acme_tool", "2.0", BIG)
    tool = Repository(
        "acme",
        "tool",
        releases=[
            Release("v1.0", [Asset(file.name, file.content) for file in files]),
            Release("v2.0", [Asset(large.name, large.content)]),
        ],
    )
    github.repositories.append(tool)
    return tool


@pytest.fixture
def serve(shell: Shell, github: StandIn) -> Serve:
    """Starts `gatepass serve --index` on a free port, with these rules besides, and options."""

    @contextmanager
    def serve(*options: str, more: str = "", **extra: str) -> Iterator[Served]:
        path = shell.home / "rules.yaml"
        path.write_text(RULES % {"web": github.web, "api": github.api} + more)
        command: list[str | Path] = [GATEPASS, "serve", "--rules", path, *(options or ("--listen", "off"))]
        passwords = {"CI_PROXY_PASSWORD": "ci-sesame-1", "DEV_PROXY_PASSWORD": "dev-sesame-1"}
        with background(
            [*command, "--index", "127.0.0.1:0"], {**shell.env, **passwords, **extra}, shell.home
        ) as running:
            root = running.wait_for(r"\n(http://\S+)/acme/simple/\n")[1]
            running.wait_for("gatepass: listening")
            yield Served(root, running)
        assert "Traceback" not in running.output, running.output
        assert DEFAULT_TOKEN not in running.output
        assert "getaddrinfo" not in running.output
        assert strays(github, DEFAULT_TOKEN) == []

    return serve


def test_uv_and_pip(serve: Serve, tool: Repository, outsider: Client) -> None:
    """`uv add --index NAME=URL`, `uv sync` and pip need nothing but the URL that is told at the start; links lead back,
    and no lock holds the password.
    """
    with serve() as served:
        url = f"{served.url}/acme/simple/"
        project(outsider, url="https://localhost:1/")
        (outsider.home / "pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = []\n'
        )
        good(outsider.uv("add", "--index", f"acme={url}", "acme-tool"))
        lock = locked(outsider)
        assert (tool.releases[-1].assets[0].digest or "") in lock
        assert f"{served.bare}/acme/files/" in lock
        assert (urlsplit(served.url).password or "?") not in lock
        good(outsider.uv("pip", "install", "--target", "there", "--index", url, "acme-tool==1.0"))
        good(outsider.pip("install", "--index-url", url, "--no-deps", "--target", "here", "acme-tool==1.0"))
        good(outsider.pip("download", "--index-url", url, "--no-deps", "--dest", "files", "acme-tool"))
        assert (outsider.home / "files" / tool.releases[-1].assets[0].name).read_bytes()[:2] == b"PK"


def test_it_asks(serve: Serve, tool: Repository, outsider: Client, github: StandIn) -> None:
    """Whoever is not known gets 401 with a challenge, for pages and files alike, and no API is asked for them; clients
    are known by HTTP Basic, and an index that is for others is 403.
    """
    file = f"/acme/files/{github.web}/acme/tool/releases/download/v1.0/{tool.releases[0].assets[0].name}"
    ours = f'  ours: {{repositories: ["{github.web}/acme/tool"], credential: mine, clients: [ci]}}\n'
    private = "egress: {private: [127.0.0.0/8]}\n"
    with serve(more=ours + CLIENTS + private) as served:
        assert "user ci with its password" in served.running.output
        for path in ("/acme/simple/", "/acme/simple/acme-tool/", file, f"{file}.metadata", "/"):
            for arguments in ((), ("-u", "ci:wrong"), ("-I",)):
                reply = outsider.fetch(f"{served.bare}{path}", *arguments)
                assert (reply.status, reply.headers["www-authenticate"][:6]) == (401, "Basic ")
        assert github.calls() == []
        ci, dev = served.known("ci", "ci-sesame-1"), served.known("dev", "dev-sesame-1")
        assert outsider.fetch(f"{ci}{file}").status == 302
        assert outsider.fetch(f"{ci}{file}.metadata").body.startswith(b"Metadata-Version")
        assert outsider.fetch(f"{ci}/ours/simple/").status == 200
        for arguments in ((), ("-I",)):
            assert outsider.fetch(f"{dev}/ours/simple/", *arguments).status == 403
        good(outsider.pip("install", "--index-url", f"{ci}/ours/simple/", "--no-deps", "--target", "here", "acme-tool"))
        assert not any("sesame" in str(request.headers) for request in github.calls())


def test_files_in_place(serve: Serve, tool: Repository, outsider: Client, github: StandIn) -> None:
    """A range, small or large, and a HEAD are answered here, with nothing of the client's own going on; a file that is
    in no release of the index is 404, and one of a repository that is not in it.
    """
    asset = tool.releases[1].assets[0]
    github.repositories.append(Repository("acme2", "other", releases=[Release("v1.0", [Asset("x-1.0.tar.gz", b"x")])]))
    with serve() as served:
        files = f"{served.url}/acme/files/{github.web}"
        url = f"{files}/acme/tool/releases/download/v2.0/{asset.name}"
        content = outsider.fetch(url, "-L").body
        for wanted, expected in (("0-99", content[:100]), ("5-2500000", content[5:2_500_001])):
            reply = outsider.fetch(url, "-r", wanted)
            assert (reply.status, reply.body) == (206, expected)
        head = outsider.fetch(url, "-I")
        assert (head.status, head.headers["content-length"]) == (200, str(len(content)))
        assert outsider.fetch(f"{files}/acme/tool/releases/download/v2.0/none-1.0.tar.gz").status == 404
        assert outsider.fetch(f"{files}/acme2/other/releases/download/v1.0/x-1.0.tar.gz").status == 404
        password = urlsplit(served.url).password or "?"
        assert not any(password in str(request.headers) for request in github.calls())
        assert not any("authorization" in request.headers for request in github.calls("asset"))


def test_nothing_else_is_there(serve: Serve, tool: Repository, outsider: Client, github: StandIn) -> None:
    """Whatever Host, absolute URL or CONNECT a client sends: nothing is proxied, and no name of a page that lures a
    browser here is answered.
    """
    assert tool.releases
    with serve("--listen", "off", "--no-password") as served:
        assert "warning: no password is asked" in served.running.output
        for arguments in (("-H", "Host: github.com"), ("-H", "Host: evil.example")):
            assert outsider.fetch(f"{served.url}/acme/simple/", *arguments).status == 421
        for target in (f"https://{github.web}/acme/tool", f"http://{github.web}/", "http://gatepass.internal/"):
            for request in (
                f"GET {target} HTTP/1.1\r\nHost: localhost",
                f"GET {target} HTTP/1.1\r\nHost: {github.web}",
            ):
                assert said(served, request).split(b" ")[1] in (b"403", b"421", b"400"), request
        assert said(served, f"CONNECT {github.web} HTTP/1.1\r\nHost: {github.web}").split(b" ")[1] in (b"400", b"502")
        assert outsider.fetch(f"{served.url}/").status == 403
        assert outsider.fetch(f"{served.url}/acme/simple/", "-X", "POST", "-d", "x").status == 405
        assert github.calls("web") == []
    # with a password no page can have lured anybody
    with serve() as served:
        assert outsider.fetch(f"{served.url}/acme/simple/", "-H", "Host: packages.example.com").status == 200


def said(served: Served, head: str) -> bytes:
    with socket.create_connection(("127.0.0.1", urlsplit(served.bare).port or 0), 20) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        return connection.recv(65536)


def test_beside_a_proxy(serve: Serve, tool: Repository, outsider: Client, shell: Shell) -> None:
    """The index and the proxy are one server: each asks for the same password, and neither is the other."""
    with serve("--listen", "127.0.0.1:0") as served:
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", served.running.output, re.MULTILINE))
        adds(Client(outsider.home, variables), tool)
        proxy = variables["HTTPS_PROXY"]
        assert urlsplit(proxy).password == urlsplit(served.url).password
        (shell.home / "in").mkdir()
        other = Client(shell.home / "in", {"SSL_CERT_FILE": outsider.env["SSL_CERT_FILE"]})
        adds(other, tool, f"{served.url}/acme/simple/")
        # by the index nobody gets to be proxied, and the index's address is no destination of the proxy's
        assert other.curl("-v", "-x", served.url, f"https://{urlsplit(served.bare).netloc}/").code != 0
        assert "403" in other.curl("-v", "-x", proxy, f"http://{urlsplit(served.bare).netloc}/acme/simple/").output


def test_what_does_not_start(shell: Shell, github: StandIn) -> None:
    """Beyond loopback without `clients`, whatever password there is; and what makes no sense, each with its reason."""
    path = shell.home / "rules.yaml"
    path.write_text(RULES % {"web": github.web, "api": github.api})
    taken = free_port()
    for options, told in (
        (("--index", "0.0.0.0:0"), "--index: expected `clients` in the rules, where other machines reach it"),
        (("--index", "0.0.0.0:0", "--listen", "off", "--", "--set", "proxyauth=me:x"), "--index: expected `clients`"),
        (("--listen", "off"), "--listen: expected `off` beside an index, got it alone"),
        (("--listen", "off", "--listen", "127.0.0.1:0", "--index", "127.0.0.1:0"), "--listen: expected `off` alone"),
        (("--listen", "off", "--index", "127.0.0.1:0", "--", "--mode", "socks5"), "--mode: expected none"),
        (("--index", "here"), "--index: expected HOST:PORT, got `here`"),
        (("--index", f"127.0.0.1:{taken}", "--listen", f"127.0.0.1:{taken}"), "--index: expected another address"),
    ):
        done = shell.gatepass("serve", "--rules", path, *options)
        assert done.returncode == 1, options
        assert told in done.stderr.decode(), options


def test_beyond_loopback(shell: Shell, tool: Repository, github: StandIn, outsider: Client) -> None:
    """With `clients` it is for other machines; addresses are judged then, and the name is none of them."""
    assert tool.releases
    path = shell.home / "rules.yaml"
    private = "egress: {private: [127.0.0.0/8]}\n"
    path.write_text(RULES % {"web": github.web, "api": github.api} + CLIENTS + private)
    command = (GATEPASS, "serve", "--rules", path, "--listen", "off", "--index", "0.0.0.0:0")
    env = {**shell.env, "CI_PROXY_PASSWORD": "ci-sesame-1", "DEV_PROXY_PASSWORD": "dev-sesame-1"}
    with background(command, env, shell.home) as running:
        port = running.wait_for(r"http://USER:PASSWORD@127.0.0.1:(\d+)/acme/simple/")[1]
        running.wait_for("gatepass: listening")
        url = f"http://ci:ci-sesame-1@127.0.0.1:{port}/acme/simple/"
        good(outsider.pip("install", "--index-url", url, "--no-deps", "--target", "here", "acme-tool"))
        assert outsider.fetch(f"{url}acme-tool/").status == 200


def test_an_upstream_proxy(serve: Serve, tool: Repository, outsider: Client, github: StandIn) -> None:
    """What the shell's proxy is for goes there: the index's own calls, and the bytes of files in place; its password
    goes to it alone.
    """
    seen: list[bytes] = []
    asset = tool.releases[1].assets[0]
    with recording(seen) as port:
        for options in (("--listen", "off"), ("--listen", "127.0.0.1:0")):
            with serve(*options, HTTPS_PROXY=f"http://me:sesame@127.0.0.1:{port}") as served:
                assert f"goes out through http://127.0.0.1:{port}, as $HTTPS_PROXY says" in served.running.output
                seen.clear()
                url = f"{served.url}/acme/files/{github.web}/acme/tool/releases/download/v2.0/{asset.name}"
                reply = outsider.fetch(url, "-r", "5-2500000")
                assert (reply.status, len(reply.body)) == (206, 2_499_996)
                asked = {head.split(b" ")[1].decode() for head in seen}
                assert asked == {urlsplit(github.api).netloc, github.asset_host}
                assert all(b"proxy-authorization: basic" in head.lower() for head in seen)
                for request in github.calls():
                    assert "authorization" not in request.headers or request.role == "api"
                github.forget()
    assert not any("bWU6c2VzYW1l" in str(request.headers) for request in github.calls())


def test_fault(serve: Serve, tool: Repository, outsider: Client, github: StandIn) -> None:
    """While the API fails it is 502 with a problem document, never 404, and uv fails with it."""
    assert tool.releases
    with serve() as served:
        github.faults.append(Fault("api", status=500, times=99))
        reply = outsider.fetch(f"{served.url}/acme/simple/acme-tool/")
        assert (reply.status, reply.headers["content-type"]) == (502, "application/problem+json")
        assert json.loads(reply.body)["status"] == 502
        assert outsider.fetch(f"{served.url}/acme/simple/acme-tool/", "-I").status == 502
        project(outsider, '"acme-tool"', f"{served.url}/acme/simple/")
        assert outsider.uv("lock", UV_HTTP_RETRIES="0").code != 0


def test_a_reload(serve: Serve, tool: Repository, outsider: Client, shell: Shell) -> None:
    """Rules that change are at work within seconds, with an index that they name anew, and for hosts that the CA may
    not vouch for: nothing is decrypted here.
    """
    assert tool.releases
    with serve() as served:
        assert outsider.fetch(f"{served.url}/acme/simple/").status == 200
        assert outsider.fetch(f"{served.url}/more/simple/").status == 403
        path = shell.home / "rules.yaml"
        text = path.read_text().replace("  acme:", "  more:")
        rule = 'rules: [{match: "b.test/x", headers: {x: y}}, '
        path.write_text(text.replace("rules: [", rule))
        eventually(lambda: outsider.fetch(f"{served.url}/more/simple/").status == 200)
        assert outsider.fetch(f"{served.url}/acme/simple/").status == 403


def test_trusted_proxies(serve: Serve, tool: Repository, outsider: Client) -> None:
    """Where nobody is asked a proxy that the rules trust may ask by any name, such as the company's TLS server."""
    assert tool.releases
    host = ("-H", "Host: packages.example.com")
    for more, status in (("", 421), ("trusted_proxies: [127.0.0.1/32]\n", 200)):
        with serve("--listen", "off", "--no-password", more=more) as served:
            assert outsider.fetch(f"{served.url}/acme/simple/", *host).status == status
