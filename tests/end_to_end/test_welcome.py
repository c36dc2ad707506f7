"""http://gatepass.internal/: what a proxy tells the people behind it, and what they make of it; `env --proxy URL`."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.shell import environment, joining
from gatepass.shell.elsewhere import ProxyUrl
from gatepass.trust import authority, certificates
from harness import BIN, DEADLINE, GATEPASS, Client, background, call, clean_environment, listening, mitmdump, need
from shells import parse, program
from terminal import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Reply, Running, Shell

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

URL = "http://gatepass.internal"


@contextmanager
def serving(shell: Shell, *options: str | Path) -> Iterator[tuple[Running, str]]:
    """`gatepass serve`, and its URL with user and password."""
    command: list[str | Path] = [GATEPASS, "serve", "--rules", shell.rules, "--listen=127.0.0.1:0", *options]
    with background(command, shell.env, shell.home) as running:
        yield running, running.wait_for(r"export HTTPS_PROXY=(\S+)\n")[1]
    assert "Traceback" not in running.output


def bare(proxy: str) -> str:
    """The proxy's URL without user and password."""
    return f"http://{urlsplit(proxy).netloc.rpartition('@')[2]}"


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory, github: StandIn) -> Client:
    """Another machine, with neither Gatepass nor a token; it trusts the stand-in, as a company's machines do."""
    return Client(tmp_path_factory.mktemp("away"), {"SSL_CERT_FILE": str(github.ca_file)})


def asked(away: Client, proxy: str, path: str, *arguments: str) -> Reply:
    return away.fetch(f"{URL}{path}", "-x", proxy, *arguments)


# ---------------------------------------------------------------------- the page


def test_the_page(shell: Shell, away: Client, github: StandIn) -> None:
    """Without a password it tells what the proxy is and its CA's fingerprint, gives the CA, and holds no secret."""
    with serving(shell) as (_, proxy):
        home = asked(away, bare(proxy), "/")
        assert home.status == 200
        page = home.body.decode()
        found = authority.load(shell.home / ".config" / "gatepass" / "ca")
        assert found is not None
        assert found.fingerprint in page
        assert f"<code>{bare(proxy)}</code>" in page
        assert asked(away, bare(proxy), "/ca.pem").body.decode() == found.pem
        password = urlsplit(proxy).password
        assert password
        for path in ("/", "/ca.pem", "/env?shell=bash", "/env?shell=fish", "/env?shell=pwsh"):
            for through in (bare(proxy), proxy):
                reply = asked(away, through, path)
                assert password.encode() not in reply.body
                assert reply.headers["content-security-policy"].startswith("default-src 'none'; ")
                assert reply.headers["x-content-type-options"] == "nosniff"
                assert reply.headers["cache-control"] == "no-store"
        assert not re.search(r"(?:src|href)=[\"'](?!/)", page)
        assert github.calls() == []
        assert "407" in away.curl("-v", "-x", bare(proxy), "http://localhost:1/").output


def test_what_is_not_there(shell: Shell, away: Client) -> None:
    """Other paths are 404, methods 405, shells 400; a HEAD has the headers of a GET; a body is not waited for."""
    with serving(shell) as (_, proxy):
        assert asked(away, proxy, "/secrets").status == 404
        assert asked(away, proxy, "/ca.pem/../x").status == 404
        assert asked(away, proxy, "/env?shell=<script>").status == 400
        assert asked(away, proxy, "/env?shell=nushell").status == 400
        assert asked(away, proxy, f"/env?{'&'.join(['shell=bash'] * 50)}").status == 400
        for method in ("POST", "DELETE", "OPTIONS"):
            reply = asked(away, proxy, "/", "-X", method)
            assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        get, head = asked(away, proxy, "/"), asked(away, proxy, "/", "-I")
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.body))
        with socket.create_connection(("127.0.0.1", urlsplit(proxy).port or 0), 10) as connection:
            head_ = f"POST {URL}/ HTTP/1.1\r\nHost: gatepass.internal\r\nContent-Length: 1000000\r\n\r\n"
            connection.sendall(head_.encode())
            assert b" 405 " in connection.recv(1000)


def test_the_name_does_not_leave(shell: Shell, away: Client, github: StandIn) -> None:
    """However it is written, on whatever port, by CONNECT and in every mode: the name never leaves the proxy. What is
    behind TLS on its port is for who has a password, and an index; anything else is refused to everybody.
    """
    names = ("GatePass.Internal", "gatepass.internal.", "gatepass.internal:8080", "GATEPASS.INTERNAL.:1")
    with_tls = names[:2]
    options = ("--set", "proxyauth=me:secret")
    with listening(b"") as (other, seen):
        for mode in ("regular", f"upstream:http://127.0.0.1:{other}"):
            with mitmdump(shell.home, shell.rules, github.ca_file, "--mode", mode, *options) as proxy:
                for name in names:
                    assert b"This is a Gatepass proxy" in away.fetch(f"http://{name}/", "-x", proxy.url).body
                    own = " 501 gatepass: that name is the proxy's own"
                    assert own in away.curl("-v", "-x", proxy.url, "-p", f"http://{name}/").output
                    told = away.curl("-v", "-x", proxy.url, "-k", f"https://{name}/").output
                    assert ("CONNECT tunnel failed, response 407" if name in with_tls else own) in told
                for name in with_tls:
                    known = proxy.url.replace("//", "//me:secret@")
                    assert b"no index at that address" in away.fetch(f"https://{name}/", "-k", "-x", known).body
        with mitmdump(shell.home, shell.rules, github.ca_file, "--mode", "socks5") as proxy:
            socks = proxy.url.replace("http:", "socks5h:")
            for name in names:
                assert b"This is a Gatepass proxy" in away.fetch(f"http://{name}/", "-x", socks).body
                assert (away.curl("-k", "-x", socks, f"https://{name}/").code == 0) == (name in with_tls)
            assert "that is the proxy's own name" in proxy.log
            assert "getaddrinfo" not in proxy.log
    assert seen == []


def test_the_public_url(shell: Shell, away: Client) -> None:
    """The proxy is named as `--public-url` says; what is no URL, or holds a password, is told before it starts."""
    with serving(shell, "--public-url", "https://proxy.example.com:3128/") as (_, proxy):
        assert "https://proxy.example.com:3128" in asked(away, proxy, "/").body.decode()
        assert "https://proxy.example.com:3128" in asked(away, proxy, "/env").body.decode()
    for url in ("proxy.example.com:3128", "http://a'b/", "http://me:secret@proxy.example.com", "ftp://x"):
        done = shell.gatepass("serve", "--public-url", url)
        assert done.returncode == 1
        assert b"error: --public-url: expected " in done.stderr
        assert b"secret" not in done.stderr


# ------------------------------------------------------------------- the scripts

JOIN = {
    "bash": "eval \"$(curl -fsS -x {proxy} '{url}/env?shell=bash')\"",
    "zsh": "eval \"$(curl -fsS -x {proxy} '{url}/env?shell=zsh')\"",
    "fish": "curl -fsS -x {proxy} '{url}/env?shell=fish' | source",
    "powershell": "curl -fsS -x {proxy} '{url}/env?shell=pwsh' | Out-String | Invoke-Expression",
}


@pytest.mark.parametrize("shell_name", joining.NAMES)
def test_the_script(shell_name: str, shell: Shell, away: Client, wheel_url: str) -> None:
    """What the script sets is all that curl and uv need, in each shell; done twice it is done once; it says nothing."""
    need("curl")
    command = program(shell_name)
    with serving(shell) as (_, proxy):
        join = JOIN[shell_name].format(proxy=bare(proxy), url=URL)
        file = away.home / "listing"
        script = f"{join}\nenv -0 > {file}1\n{join}\nenv -0 > {file}2\ncurl -fsSL -o wheel '{wheel_url}'"
        result = call([*command, script], away.env | {"HTTPS_PROXY": proxy}, cwd=away.home)
        assert (result.code, result.output) == (0, "")
        assert (away.home / "wheel").read_bytes().startswith(b"PK")
        once, twice = (parse((away.home / f"listing{n}").read_bytes()) for n in "12")
        assert once == twice
        folder = away.home / ".config" / "gatepass" / "proxies" / ProxyUrl.parse(bare(proxy), "").folder
        wanted = environment.for_client(proxy, folder / "gatepass-bundle.pem", folder / "ca.pem", {})
        assert {name: once[name] for name in wanted} == wanted
        assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
        assert (folder / "gatepass-bundle.pem").read_text().count("BEGIN") > 10
        settled = Client(away.home, {name: once[name] for name in wanted})
        install = settled.uv("pip", "install", "--target", "site", f"acme-tool @ {wheel_url}")
        assert install.code == 0, install.output
    assert DEFAULT_TOKEN not in str(once)


@pytest.mark.parametrize("shell_name", joining.NAMES)
def test_the_script_where_it_cannot_write(shell_name: str, shell: Shell, away: Client) -> None:
    """Where the files cannot be written nothing is set, and that is said: a shell half set up trusts nobody."""
    need("curl")
    command = program(shell_name)
    (away.home / ".config").write_text("a file")
    with serving(shell) as (_, proxy):
        script = JOIN[shell_name].format(proxy=bare(proxy), url=URL)
        result = call([*command, f"{script}\nenv"], away.env, cwd=away.home)
    assert "HTTPS_PROXY" not in result.output
    assert "gatepass: nothing was set" in result.output or shell_name == "powershell"


@pytest.mark.parametrize("shell_name", joining.NAMES)
def test_scripts_quote(shell_name: str, tmp_path: Path) -> None:
    """Whatever a URL may hold, it is a word in each shell, and no command."""
    command = program(shell_name)
    proxy = ProxyUrl("http", "x'$(touch no)`touch no`\"; touch no; #", 1)
    script = f"{joining.script(shell_name, proxy, 'PUBLIC', 'CA')}\nenv -0 > {tmp_path / 'listing'}"
    result = call([*command, script], clean_environment(HOME=str(tmp_path)), cwd=tmp_path)
    assert (result.code, result.output) == (0, "")
    assert parse((tmp_path / "listing").read_bytes())["HTTPS_PROXY"] == proxy.url()
    assert not list(tmp_path.rglob("no"))


# -------------------------------------------------------------- env --proxy URL


def joined(away: Client, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [str(GATEPASS), "env", "--shell", "bash", *arguments]
    return subprocess.run(
        command,
        env=away.env | extra,
        cwd=away.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def fingerprint(shell: Shell) -> str:
    found = authority.load(shell.home / ".config" / "gatepass" / "ca")
    assert found is not None
    return found.fingerprint


def test_env_with_a_fingerprint(shell: Shell, away: Client, wheel_url: str) -> None:
    """With the CA's fingerprint, in any of its forms, and a password from the environment, it sets up a shell."""
    with serving(shell) as (_, proxy):
        parts = urlsplit(proxy)
        url = f"http://{parts.username}@{parts.hostname}:{parts.port}"
        shown = fingerprint(shell)
        for form in (shown, shown.replace(":", "").lower(), f"SHA256:{shown}", f"sha256 Fingerprint={shown}"):
            done = joined(away, "--proxy", url, "--fingerprint", form, GATEPASS_PROXY_PASSWORD=parts.password or "")
            assert (done.returncode, done.stderr) == (0, "")
        script = f"{done.stdout}\nuv pip install --target site 'acme-tool @ {wheel_url}'"
        result = away.run("bash", "-c", script, UV_PYTHON=sys.executable)
        assert result.code == 0, result.output
        # known by now; the password is in the variables that the shell has
        again = joined(away, "--proxy", url, HTTPS_PROXY=proxy)
        assert (again.returncode, again.stderr) == (0, "")
        assert proxy in again.stdout


def test_env_with_a_wrong_fingerprint(shell: Shell, away: Client) -> None:
    """Another CA than was named is not trusted, nor, without a terminal, one that nobody named; nothing is written."""
    with serving(shell) as (_, proxy):
        url = bare(proxy)
        other = ":".join(["AB"] * 32)
        done = joined(away, "--proxy", url, "--fingerprint", other)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"--fingerprint: expected the CA {other}, got {fingerprint(shell)}" in done.stderr
        done = joined(away, "--proxy", url)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"expected a fingerprint for the CA of {url}, got none; it shows {fingerprint(shell)}" in done.stderr
        assert not (away.home / ".config").exists()
        done = joined(away, "--proxy", url, "--fingerprint", "AB:CD")
        assert "--fingerprint: expected a SHA-256, 64 hexadecimal digits, got `AB:CD`" in done.stderr


def test_env_asks(shell: Shell, away: Client) -> None:
    """In a terminal it shows the fingerprint and asks, and then for the password, which is not shown."""
    with serving(shell) as (_, proxy):
        parts = urlsplit(proxy)
        command = (GATEPASS, "env", "--shell", "bash", "--proxy", f"http://gatepass@{parts.hostname}:{parts.port}")
        with terminal(command, away.env, away.home) as shown:
            shown.wait_for(f"SHA-256 {fingerprint(shell)}")
            shown.wait_for(r"\[y/N\]: $")
            shown.press("n\n")
            assert shown.end() == 1
            assert "the CA is not trusted" in shown.output
        with terminal(command, away.env, away.home) as shown:
            shown.wait_for(r"\[y/N\]: $")
            shown.press("y\n")
            shown.wait_for("Password: $")
            shown.press("its secret\n")
            assert shown.end() == 0
            assert f"export HTTPS_PROXY=http://gatepass:its%20secret@127.0.0.1:{parts.port}" in shown.output
            assert "its secret" not in shown.output


def test_env_with_a_next_ca(shell: Shell, away: Client) -> None:
    """Of two CAs that a proxy shows only those are trusted that were named, and the one in use has to be."""
    folder = shell.home / ".config" / "gatepass" / "ca"
    with serving(shell):
        old = authority.load(folder)
    assert shell.gatepass("ca", "next", "--rules", shell.rules).returncode == 0
    both = authority.succession(folder)
    assert both is not None
    assert both.next is not None
    assert old is not None
    with serving(shell) as (_, proxy):
        page = asked(away, bare(proxy), "/").body.decode()
        assert old.fingerprint in page
        assert both.next.fingerprint in page
        for path in ("/ca.pem", "/env?shell=bash"):
            assert (old.pem + both.next.pem).strip() in asked(away, bare(proxy), path).body.decode()
        port = urlsplit(proxy).port
        url = f"http://127.0.0.1:{port}"
        alone = joined(away, "--proxy", url, "--fingerprint", old.fingerprint)
        assert alone.returncode == 0
        assert f"has another CA beside, which is not trusted yet: {both.next.name}" in alone.stderr
        (ca,) = (away.home / ".config" / "gatepass" / "proxies").glob("*/ca.pem")
        assert ca.read_text() == old.pem
        # so it stays, until somebody names it
        assert joined(away, "--proxy", url).returncode == 0
        assert ca.read_text() == old.pem
        failed = joined(away, "--proxy", url, "--fingerprint", both.next.fingerprint)
        assert failed.returncode == 1
        assert f"expected the CA {both.next.fingerprint}, got {old.fingerprint}" in failed.stderr
        named = ("--fingerprint", old.fingerprint, "--fingerprint", both.next.fingerprint)
        done = joined(away, "--proxy", url, *named)
        assert (done.returncode, done.stderr) == (0, "")
        assert ca.read_text() == old.pem + both.next.pem
    assert shell.gatepass("ca", "switch", "--rules", shell.rules).returncode == 0
    with serving(shell, "--listen", f"127.0.0.1:{port}"):
        done = joined(away, "--proxy", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert ca.read_text() == both.next.pem + old.pem


def test_env_with_a_new_ca(shell: Shell, away: Client) -> None:
    """When a proxy that is known shows another CA, that one has to be trusted anew."""
    with serving(shell) as (_, proxy):
        port = urlsplit(proxy).port
        assert joined(away, "--proxy", bare(proxy), "--fingerprint", fingerprint(shell)).returncode == 0
    assert shell.gatepass("ca", "renew", "--rules", shell.rules).returncode == 0
    with (
        serving(shell, "--listen", f"127.0.0.1:{port}"),
        terminal((GATEPASS, "env", "--proxy", f"http://127.0.0.1:{port}"), away.env, away.home) as shown,
    ):
        shown.wait_for("shows another CA than before")
        shown.press("n\n")
        assert shown.end() == 1


def test_env_over_tls(shell: Shell, away: Client, tmp_path: Path) -> None:
    """With an https URL the proxy itself is asked over TLS, and has to be trusted for it."""
    issued = certificates.issue(["localhost"])
    (tmp_path / "server.pem").write_text(issued.server)
    (tmp_path / "issuer.pem").write_text(issued.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with serving(shell) as (_, proxy), _tls_before(urlsplit(proxy).port or 0, context) as port:
        url, shown = f"https://localhost:{port}", fingerprint(shell)
        done = joined(away, "--proxy", url, "--fingerprint", shown)
        assert done.returncode == 1
        assert "certificate verify failed" in done.stderr
        done = joined(away, "--proxy", url, "--fingerprint", shown, SSL_CERT_FILE=str(tmp_path / "issuer.pem"))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"export HTTPS_PROXY={url}\n" in done.stdout


@contextmanager
def _tls_before(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """TLS before a proxy, for one request a connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    accepted, _ = server.accept()
                except OSError:
                    return
                with accepted:
                    try:
                        outer = context.wrap_socket(accepted, server_side=True)
                    except OSError:
                        continue
                    with outer, socket.create_connection(("127.0.0.1", port), 10) as inner:
                        inner.sendall(outer.recv(10_000))
                        inner.settimeout(1)
                        try:
                            while data := inner.recv(10_000):
                                outer.sendall(data)
                        except TimeoutError:
                            pass

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]


def test_env_of_no_gatepass(away: Client, shell: Shell) -> None:
    """What is no proxy, or another one, is told; and so is a password among the arguments, which it does not show."""
    done = joined(away, "--proxy", "http://127.0.0.1:1")
    assert "--proxy: expected a proxy at http://127.0.0.1:1, got `" in done.stderr
    done = joined(away, "--proxy", "http://me:secret@127.0.0.1:1")
    assert "--proxy: expected a URL without a password" in done.stderr
    assert "secret" not in done.stderr
    with background((BIN / "mitmdump", "--listen-host=127.0.0.1", "--listen-port=0"), shell.env, shell.home) as other:
        port = other.wait_for(r"listening at 127\.0\.0\.1:(\d+)")[1]
        done = joined(away, "--proxy", f"http://127.0.0.1:{port}")
        assert f"expected the proxy's CA at {URL}/ca.pem, got 502" in done.stderr
    assert joined(away, "--fingerprint", "00" * 32).returncode == 2
