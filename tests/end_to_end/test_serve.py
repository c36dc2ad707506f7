"""`gatepass serve`: the proxy for clients of other shells, as it tells them, or `gatepass env` does; and `script`."""

from __future__ import annotations

import re
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.shell import environment, running
from harness import GATEPASS, Client, background, call, clean_environment, mitmdump
from shells import gatepass_env, session

if TYPE_CHECKING:
    from gatepass.demo.standin import StandIn
    from harness import Shell


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
