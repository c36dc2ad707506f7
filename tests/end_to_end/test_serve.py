"""`gatepass serve`: the proxy for clients of other shells, as it tells them, or `gatepass env` does; and `script`."""

from __future__ import annotations

import re
import signal
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.shell import environment, running
from harness import DEADLINE, GATEPASS, Client, background, call, clean_environment, eventually, mitmdump
from shells import gatepass_env, parse, session

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from gatepass.demo.standin import StandIn
    from harness import Running, Shell

pytestmark = pytest.mark.slow  # each starts a server of its own


def exports(output: str) -> dict[str, str]:
    """The variables that `serve` tells a client to set."""
    return dict(re.findall(r"^export (\w+)=(\S+)$", output, re.MULTILINE))


def test_serve(shell: Shell, wheel_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`serve` prints two lines to export, and they are all that a client needs."""
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = exports(running.output)
        assert list(variables) == ["HTTPS_PROXY", "SSL_CERT_FILE"]
        client = Client(tmp_path_factory.mktemp("client"), variables)
        result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {wheel_url}")
        assert result.code == 0, result.output
        assert client.fetch(wheel_url, "-L").status == 200
    assert DEFAULT_TOKEN not in running.output


def serving(shell: Shell, *options: str) -> AbstractContextManager[Running]:
    """`gatepass serve` on a free port."""
    return background(
        [GATEPASS, "serve", "--rules", shell.rules, "--listen=127.0.0.1:0", *options], shell.env, shell.home
    )


def told(running: Running) -> dict[str, str]:
    """The variables that it tells, once it listens."""
    running.wait_for(r"export SSL_CERT_FILE=\S+\n")
    return exports(running.output)


def test_serve_has_a_password(shell: Shell, wheel_url: str, github: StandIn, outsider: Client) -> None:
    """Who has no password, or a wrong one, gets 407 and no token works for them; each start makes another."""
    passwords = set()
    for _ in range(2):
        with serving(shell) as running:
            proxy = urlsplit(told(running)["HTTPS_PROXY"])
            assert proxy.password
            passwords.add(proxy.password)
            assert "warning" not in running.output
            listed = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
            assert not any(proxy.password.encode() in arguments for arguments in listed)
            for user in ("", "gatepass:wrong@", f"{proxy.password}@", "gatepass:@"):
                for url in (wheel_url, wheel_url.replace("https:", "http:")):
                    reply = outsider.curl("-v", "-k", "-x", f"http://{user}127.0.0.1:{proxy.port}", url)
                    assert "407" in reply.output
            assert github.calls() == []
            assert outsider.fetch(wheel_url, "-k", "-x", proxy.geturl()).status == 302
            github.forget()
    assert len(passwords) == 2


def test_serve_without_a_password(shell: Shell, wheel_url: str, outsider: Client) -> None:
    """`--no-password`, or an empty `proxyauth`, asks none, and says what that means."""
    for options in (("--no-password",), ("--", "--set", "proxyauth=")):
        with serving(shell, *options) as running:
            proxy = told(running)["HTTPS_PROXY"]
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", proxy)
            assert "warning: no password is asked: whoever reaches the port" in running.output
            assert outsider.fetch(wheel_url, "-k", "-x", proxy).status == 302


def test_serve_with_a_password_of_the_users(shell: Shell, wheel_url: str, outsider: Client) -> None:
    """The user's own `proxyauth` wins over both, is told to clients as a URL has it, and gets into no flow file."""
    own = ("--", "--set", "proxyauth=me:p@ss/1 %41", "-w", "flows")
    (shell.home / "confdir").mkdir()
    (shell.home / "confdir" / "config.yaml").write_text("proxyauth: me:p@ss/1 %41\n")
    for options in (own, ("--no-password", *own), ("--", "--set", "confdir=confdir")):
        with serving(shell, *options) as running:
            proxy = told(running)["HTTPS_PROXY"]
            assert proxy.startswith("http://me:p%40ss%2F1%20%2541@127.0.0.1:")
            assert "warning" not in running.output
            assert outsider.fetch(wheel_url, "-k", "-x", proxy).status == 302
            bare = f"http://{proxy.partition('@')[2]}"
            assert "407" in outsider.curl("-v", "-k", "-x", bare, wheel_url).output
    flows = (shell.home / "flows").read_bytes()
    assert b"releases/download" in flows
    assert b"p@ss/1" not in flows


def test_serve_with_passwords_that_cannot_be_told(shell: Shell, wheel_url: str, outsider: Client) -> None:
    """Where `proxyauth` names a file clients are told to bring what is in it; where it takes any they are given one."""
    (shell.home / "users").write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")  # `password`
    with serving(shell, "--", "--set", "proxyauth=@users") as running:
        proxy = told(running)["HTTPS_PROXY"]
        assert "hint: put a user and a password that it accepts into what follows" in running.output
        assert outsider.fetch(wheel_url, "-k", "-x", proxy.replace("//", "//me:password@")).status == 302
    with serving(shell, "--", "--set", "proxyauth=any") as running:
        assert outsider.fetch(wheel_url, "-k", "-x", told(running)["HTTPS_PROXY"]).status == 302
        assert "hint" not in running.output


def test_serve_as_a_reverse_proxy(shell: Shell, wheel_url: str, github: StandIn, outsider: Client) -> None:
    """A reverse proxy asks for the password as a server does: with 401, and the client's is not handed on."""
    with serving(shell, "--", "--mode", f"reverse:https://{github.web}") as running:
        proxy = urlsplit(told(running)["HTTPS_PROXY"])
        here = wheel_url.replace(f"https://{github.web}", f"http://127.0.0.1:{proxy.port}")
        assert outsider.fetch(here).status == 401
        assert github.calls() == []
        assert outsider.fetch(here, "-u", f"gatepass:{proxy.password}").status == 302
        assert proxy.password
        assert not any(proxy.password in str(request.headers) for request in github.calls())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_serve_ends_in_order(shell: Shell, name: str) -> None:
    """A signal ends `serve`, and what it had made for its time is gone."""
    places = [shell.home / "tmp", shell.home / "runtime"]
    for place in places:
        place.mkdir()
    mine = replace(shell, env={**shell.env, "TMPDIR": str(places[0]), "XDG_RUNTIME_DIR": str(places[1])})
    with serving(mine) as running:
        told(running)
        assert list(places[0].iterdir())
        running.process.send_signal(signal.Signals[name])
        assert running.process.wait(DEADLINE) == 0
    assert "Traceback" not in running.output
    assert [path for place in places for path in place.rglob("*") if not path.is_dir()] == []
    assert list(places[0].iterdir()) == []


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_serve_ends_in_order_before_it_serves(shell: Shell, name: str) -> None:
    """So it does as soon as it has begun; a hangup, too, for there are no rules yet to be read again."""
    place = shell.home / "tmp"
    place.mkdir()
    with serving(replace(shell, env={**shell.env, "TMPDIR": str(place)})) as running:
        eventually(lambda: list(place.glob("*/lock")))
        running.process.send_signal(signal.Signals[name])
        running.process.wait(DEADLINE)
    assert "Traceback" not in running.output
    assert list(place.iterdir()) == []


def test_serve_under_nohup(shell: Shell, wheel_url: str) -> None:
    """Where hangups are ignored they stay so."""
    command = ("nohup", GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        variables = told(running)
        running.process.send_signal(signal.SIGHUP)
        assert Client(shell.home, variables).fetch(wheel_url).status == 302


def test_serve_passes_options_on(shell: Shell, wheel_url: str) -> None:
    """What stands behind `--` is mitmdump's: here a flow file, and a filter of flows."""
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0", "--", "-w", "flows", "~m HEAD")
    with background(command, shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        client = Client(shell.home, exports(running.output))
        assert client.fetch(wheel_url).status == 302
        assert (shell.home / "flows").read_bytes() == b""
        assert client.fetch(wheel_url, "-I").status == 200
    assert b"acme_tool" in (shell.home / "flows").read_bytes()


def test_serve_with_an_upstream_ca(shell: Shell, github: StandIn, wheel_url: str) -> None:
    """mitmdump's option for upstream trust wins over what the shell trusts."""
    env = {name: value for name, value in shell.env.items() if name != "SSL_CERT_FILE"}
    trusted = f"ssl_verify_upstream_trusted_ca={github.ca_file}"
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0", "--", "--set", trusted)
    with background(command, env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        assert Client(shell.home, exports(running.output)).fetch(wheel_url).status == 302


def test_serve_on_a_port_in_use(shell: Shell) -> None:
    """A port that another program has is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = shell.gatepass("serve", "--rules", shell.rules, "--listen", f"127.0.0.1:{port}")
    said = (done.stdout + done.stderr).decode()
    assert done.returncode != 0
    assert str(port) in said
    assert "in use" in said
    assert "Traceback" not in said
    assert "export" not in said


def test_script(shell: Shell, github: StandIn, wheel_url: str) -> None:
    """`mitmdump -s "$(gatepass script)"` is the proxy."""
    script = Path(call([GATEPASS, "script"], clean_environment()).output.strip())
    with mitmdump(shell.home, shell.rules, github.ca_file, script=script, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        assert Client(shell.home, proxy.variables()).fetch(wheel_url).status == 302


# ------------------------------------------------------------------ found by `env`


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    return session(tmp_path)


def test_serve_and_env(
    base: dict[str, str],
    github: StandIn,
    rules: Path,
    wheel_url: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """`serve` is found while it listens, `env` is all that a client needs, and no secret lies where they meet."""
    env = base | {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN}
    command = (GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0")
    with background(command, env, tmp_path) as serving:
        serving.wait_for(r"export SSL_CERT_FILE=\S+\n")
        (file,) = running.folder(base).iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert DEFAULT_TOKEN not in file.read_text()
        (known,) = running.find(base)
        assert known.pid == serving.process.pid
        assert known.proxy in serving.output

        client = Client(tmp_path_factory.mktemp("client"), {name: base[name] for name in ("PATH", "XDG_RUNTIME_DIR")})
        script = f'eval "$(gatepass env)" && uv pip install --target site "acme-tool @ {wheel_url}"'
        result = client.run("bash", "-c", script, UV_PYTHON=sys.executable)
        assert result.code == 0, result.output
        assert (client.home / "site" / "acme_tool.py").exists()
        assert client.run("sh", "-c", 'eval "$(gatepass env)"; env').output.count(known.proxy) >= len(environment.PROXY)

        # the line that `serve` prints is enough for a client that the two exports are not enough for
        (line,) = re.findall(r"^eval .*$", serving.output, re.MULTILINE)
        variables = parse(client.run("sh", "-c", f"{line}; env -0").output.encode())
        result = Client(client.home, variables).pip("download", "--no-deps", "--no-index", wheel_url)
        assert result.code == 0, result.output
    assert list(running.folder(base).iterdir()) == []


def test_serve_that_was_killed(base: dict[str, str], rules: Path, tmp_path: Path) -> None:
    """A server that could not tidy up leaves a file, which misleads nobody, and goes when it is met."""
    command = (GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0")
    with background(command, base, tmp_path) as serving:
        serving.wait_for("export SSL_CERT_FILE")
        serving.process.send_signal(signal.SIGKILL)
        serving.process.wait(60)
        (file,) = running.folder(base).iterdir()
        assert "no `gatepass serve` is running" in gatepass_env(base).stderr
        assert not file.exists()


def test_serve_without_a_place_to_tell(base: dict[str, str], rules: Path, tmp_path: Path) -> None:
    """Where the file cannot be written, `serve` says so, and serves."""
    (tmp_path / "file").touch()
    env = base | {"XDG_RUNTIME_DIR": str(tmp_path / "file")}
    with background((GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0"), env, tmp_path) as serving:
        serving.wait_for("export SSL_CERT_FILE")
        assert "`gatepass env` will not find this server" in serving.output
    assert "Traceback" not in serving.output
