"""`gatepass run`, `serve` and `script`, as a user starts them."""

from __future__ import annotations

import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.cli import COMMANDS
from gatepass.demo.standin import DEFAULT_TOKEN
from harness import DEADLINE, GATEPASS, Client, background, call, clean_environment, eventually, mitmdump

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractContextManager

    from gatepass.demo.standin import StandIn
    from harness import Running, Shell


def silent(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.stdout == b"" and done.stderr == b""


# ----------------------------------------------------------------------- run


@pytest.mark.parametrize("code", [0, 3])
def test_run_passes_the_exit_code_on(shell: Shell, code: int) -> None:
    """The exit code is the command's, and Gatepass itself prints nothing."""
    done = shell.run("sh", "-c", f"exit {code}")
    assert done.returncode == code
    assert silent(done)


def test_run_leaves_streams_alone(shell: Shell) -> None:
    """Standard input, output and error are the command's own, byte for byte."""
    every = bytes(range(256)) * 1000
    done = shell.run("sh", "-c", "cat; echo oops >&2", stdin=every)
    assert (done.returncode, done.stdout, done.stderr) == (0, every, b"oops\n")


def test_run_passes_options_on(shell: Shell) -> None:
    """What stands behind the command is the command's."""
    assert shell.run("echo", "--rules", "--help", "--", "-x").stdout == b"--rules --help -- -x\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1"])
def test_run_passes_signals_on(shell: Shell, name: str) -> None:
    """A signal to Gatepass reaches the command, which may make of it what it likes."""
    program = (
        "import signal, sys\n"
        f"signal.signal(signal.{name}, lambda *_: (print('got it', flush=True), sys.exit(5)))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n"
    )
    command = (GATEPASS, "run", "--rules", shell.rules, "--", sys.executable, "-c", program)
    with background(command, shell.env, shell.home) as running:
        running.wait_for("ready")
        running.process.send_signal(signal.Signals[name])
        running.wait_for("got it")
        assert running.process.wait(60) == 5


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_run_dies_as_the_command_died(shell: Shell, name: str) -> None:
    """A command that a signal killed looks to the shell as if it had been run without Gatepass."""
    done = shell.run("sh", "-c", f"kill -{name.removeprefix('SIG')} $$")
    assert done.returncode == -signal.Signals[name]
    assert silent(done)


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/hostname", 126)])
def test_run_without_a_command_to_run(shell: Shell, command: str, code: int) -> None:
    """A command that cannot be run gives what a shell gives: 127, 126, and why."""
    done = shell.run(command)
    assert done.returncode == code
    assert f"`{command}`" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_run_installs(shell: Shell, wheel_url: str) -> None:
    """The main job: `gatepass run -- uv pip install URL`."""
    done = shell.run("uv", "pip", "install", "--target", "site", f"acme-tool @ {wheel_url}")
    assert done.returncode == 0, done.stderr.decode()
    assert (shell.home / "site" / "acme_tool.py").exists()
    assert b"gatepass" not in done.stdout + done.stderr


def test_run_tells_why_it_failed(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """When the command fails, what the proxy had to say follows; no secret is in it."""
    github.tokens.clear()
    done = shell.run("curl", "-sSf", wheel_url)
    assert done.returncode == 22
    assert b"bad credential" in done.stderr
    assert b"hint: " in done.stderr
    assert DEFAULT_TOKEN.encode() not in done.stdout + done.stderr


def test_run_leaves_nothing_behind(shell: Shell) -> None:
    """The folder of the proxy's CA key goes with the command, and no one else could read the key."""
    done = shell.run(
        "sh", "-c", 'dirname "$SSL_CERT_FILE"; stat -c "%n %a" "$(dirname "$SSL_CERT_FILE")"/mitmproxy-ca.pem'
    )
    folder, key = done.stdout.decode().splitlines()
    assert key.endswith("mitmproxy-ca.pem 600")
    assert not Path(folder).exists()


# ------------------------------------------------------------ errors in common


@pytest.mark.parametrize(
    "command", [("run", "--rules", "wrong.yaml", "--", "true"), ("serve", "--rules", "wrong.yaml")]
)
def test_wrong_rules(shell: Shell, command: tuple[str, ...]) -> None:
    """Wrong rules are told before anything starts: where, what was expected, what was got; no traceback."""
    (shell.home / "wrong.yaml").write_text(shell.rules.read_text().replace("/acme/*/releases/download/*", "", 1))
    done = shell.gatepass(*command)
    assert done.returncode == 1
    assert re.search(rb"wrong\.yaml:10:\d+: rules\[0\]\.match: expected HOST/PATH, got `localhost:", done.stderr)
    assert b"hint: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("run", "--rules", "none.yaml", "--", "true"), ("serve", "--rules", "none.yaml")])
def test_missing_rules(shell: Shell, command: tuple[str, ...]) -> None:
    """A rules file that is named and not there is an error."""
    done = shell.gatepass(*command)
    assert done.returncode == 1
    assert b"none.yaml: expected a rules file" in done.stderr


# --------------------------------------------------------------------- serve


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


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_serve_ends_in_order(shell: Shell, name: str) -> None:
    """A signal ends `serve`, and what it had made for its time is gone: as soon as it has begun, or when it serves."""
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
    with serving(mine) as running:
        eventually(lambda: list(places[0].glob("*/lock")))
        running.process.send_signal(signal.Signals[name])
        running.process.wait(DEADLINE)
    assert "Traceback" not in running.output
    assert list(places[0].iterdir()) == []


def test_serve_under_nohup(shell: Shell, wheel_url: str) -> None:
    """Where hangups are ignored they stay so."""
    command = ("nohup", GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        variables = told(running)
        running.process.send_signal(signal.SIGHUP)
        assert Client(shell.home, variables).fetch(wheel_url).status == 302


def test_run_under_nohup(shell: Shell) -> None:
    """Nor does `run` bring a hangup to a command that would have ignored it."""
    command = ("nohup", GATEPASS, "run", "--rules", shell.rules, "--", "sh", "-c", "echo here; sleep 1; echo there")
    with background(command, shell.env, shell.home) as running:
        running.wait_for("here")
        running.process.send_signal(signal.SIGHUP)
        assert running.process.wait(DEADLINE) == 0
    assert "there" in running.output


# ------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--no-such", "--", "touch", "ran"),
        ("run", "--verbos", "touch", "ran"),
        ("run", "-x", "touch", "ran"),
        ("run", "--rule=x", "touch", "ran"),
        ("serve", "--no-such"),
        ("serve", "--set", "confdir=x"),
        ("serve", "-w", "flows"),
    ],
)
def test_an_option_that_is_none(shell: Shell, arguments: tuple[str, ...]) -> None:
    """An option that is none of the command's is wrong usage: neither a command to run, nor mitmdump's."""
    done = shell.gatepass(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"No such option" in done.stderr
    assert not (shell.home / "ran").exists()


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("ca", "show"), ("ca", "trust")])
def test_short_help(shell: Shell, command: tuple[str, ...]) -> None:
    """`-h` is `--help`, of each command; and `-V` is `--version`."""
    short, long = (shell.gatepass(*command, option) for option in ("-h", "--help"))
    assert short.returncode == 0
    assert short.stdout == long.stdout != b""
    if not command:
        assert shell.gatepass("-V").stdout == shell.gatepass("--version").stdout == b"gatepass, version 0.1.0\n"


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


@pytest.mark.parametrize("address", ["8080", "localhost:http", "127.0.0.1:99999", "127.0.0.1:", "[::1:8080"])
def test_serve_on_a_wrong_address(shell: Shell, address: str) -> None:
    """An address that is none is an error with an example."""
    done = shell.gatepass("serve", "--rules", shell.rules, "--listen", address)
    assert done.returncode == 1
    assert f"--listen: expected HOST:PORT, got `{address}`" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("options", [("--mode", "transparent"), ("-m", "local:curl"), ("--set", "mode=wireguard")])
def test_serve_in_a_mode_of_addresses(shell: Shell, options: tuple[str, ...]) -> None:
    """Where certificates would name addresses, for which its CA may not vouch, `serve` says so before it starts."""
    done = shell.gatepass("serve", "--listen", "127.0.0.1:0", "--", *options)
    assert done.returncode == 1
    assert b"error: --mode: expected one in which clients tell the server by its name" in done.stderr
    assert b"hint: " in done.stderr


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


# -------------------------------------------------------------------- script


def test_script(shell: Shell, github: StandIn, wheel_url: str) -> None:
    """`mitmdump -s "$(gatepass script)"` is the proxy."""
    script = Path(call([GATEPASS, "script"], clean_environment()).output.strip())
    with mitmdump(shell.home, shell.rules, github.ca_file, script=script, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        assert Client(shell.home, proxy.variables()).fetch(wheel_url).status == 302
