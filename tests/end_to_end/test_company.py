"""A company's network: CAs of its own, wherever they are named, and a proxy that is the only way out."""

from __future__ import annotations

import ensurepip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.demo.standin.exchange import REAL_HOSTS
from gatepass.shell.undo import MEMORY
from harness import GATEPASS, background, free_port
from packages import npm_package
from road import Road, road
from shells import read_environment_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Publish
    from gatepass.demo.standin import StandIn
    from harness import Running, Shell

pytestmark = pytest.mark.slow  # a matrix of tools, variables and settings

STORE = "/etc/ssl/certs"


def without(shell: Shell, *names: str, **variables: str) -> Shell:
    """The same shell with less in its environment, and other things."""
    return replace(shell, env={name: value for name, value in shell.env.items() if name not in names} | variables)


# ---------------------------------------------------------------- CAs: the system's


@pytest.fixture(params=["file", "folder"])
def store(request: pytest.FixtureRequest, github: StandIn, tmp_path: Path) -> list[str | Path]:
    """What runs a command where the system's store is the company's alone: a namespace of its own, and no file here."""
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(github.ca_file, folder / "company.pem")
    if request.param == "file":
        shutil.copy(github.ca_file, folder / "ca-certificates.crt")
    else:
        subprocess.run(["openssl", "rehash", folder], check=True)
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside: list[str | Path] = [
        "unshare",
        "--mount",
        *user,
        "sh",
        "-c",
        f'mount --bind {folder} {STORE} && exec "$@"',
        "-",
    ]
    done = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {done.stderr.strip()}")
    return inside


def test_run_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """Under `run` a CA that the system alone knows counts, for Gatepass' own calls and in the clients' bundle."""
    mine = without(shell, "SSL_CERT_FILE")
    download = 'curl -sSfL -o out "$0" && cat "$SSL_CERT_FILE"'
    command = [*store, GATEPASS, "run", "--rules", shell.rules, "--", "sh", "-c", download, wheel_url]
    done = subprocess.run(command, env=mine.env, cwd=shell.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (shell.home / "store" / "company.pem").read_text().strip() in done.stdout
    assert (shell.home / "out").stat().st_size > 0


def test_explain_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """So it does for `explain`."""
    mine = without(shell, "SSL_CERT_FILE")
    command = [*store, GATEPASS, "explain", "--rules", shell.rules, wheel_url]
    done = subprocess.run(command, env=mine.env, cwd=shell.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_serve_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """So it does for `serve`, and for its clients."""
    mine = without(shell, "SSL_CERT_FILE", XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    serve = [*store, GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0"]
    path = f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"
    with background(serve, mine.env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        script = 'eval "$(gatepass env)" && curl -sSfL -o out "$0"'
        done = subprocess.run(
            ["bash", "-c", script, wheel_url], env={**mine.env, "PATH": path}, cwd=shell.home, check=False
        )
    assert done.returncode == 0
    assert (shell.home / "out").stat().st_size > 0


# --------------------------------------------------------------- what was direct


@pytest.fixture
def plain() -> Iterator[tuple[str, list[str]]]:
    """A plain server on this machine: its URL, and what it was asked, line by line."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.extend((self.requestline, *map(": ".join, self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"plain")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.mark.parametrize("variables", [("HTTPS_PROXY",), ("https_proxy", "HTTP_PROXY"), ("ALL_PROXY",)])
def test_what_was_direct_stays_so(
    shell: Shell, plain: tuple[str, list[str]], company: tuple[str, Running], variables: tuple[str, ...]
) -> None:
    """A plain request to this machine is not handed to the company's proxy, nor is that one's password to its server.

    The client keeps its connection, and asks twice.
    """
    url, seen = plain
    proxy, running = company
    mine = without(shell, **dict.fromkeys(variables, proxy))
    done = mine.run("curl", "-sSf", f"{url}/a", f"{url}/b")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"plainplain", b"")
    assert [line for line in seen if line.startswith("GET ")] == ["GET /a HTTP/1.1", "GET /b HTTP/1.1"]
    assert not any("authorization" in line.lower() or "proxy" in line.lower() for line in seen)
    assert "client connect" not in running.output


def test_what_was_not_direct_is_not(shell: Shell, company: tuple[str, Running]) -> None:
    """A plain request goes to the company's proxy, with its password, where the shell says so; and not where not."""
    proxy, running = company
    command = ("curl", "-sS", "-o", "out", "-w", "%{http_code}", "http://no-such-name.test/")
    without(shell, HTTPS_PROXY=proxy).run(*command)
    assert "no-such-name.test" not in running.output
    without(shell, HTTPS_PROXY=proxy, HTTP_PROXY=proxy).run(*command)
    assert running.wait_for("GET http://no-such-name.test/")
    assert "407" not in running.output


# ------------------------------------------------------------------- the way out


@pytest.fixture
def only_way(github: StandIn) -> Iterator[tuple[Road, StandIn]]:
    """A proxy that is the only one to know github.com's names, which are the stand-in."""
    with road() as way:
        web, asset = (urlsplit(f"//{host}").port or 0 for host in (github.web, github.asset_host))
        way.ports = {name: asset if role == "asset" else web for name, role in REAL_HOSTS.items()}
        yield way, github


def test_serve_takes_the_shells_way(shell: Shell, only_way: tuple[Road, StandIn], publish: Publish) -> None:
    """`serve` goes out through the proxy that its shell names, for its own calls and for the bytes, and says so."""
    way, github = only_way
    url = publish(b"x" * 100).replace(github.web, "github.com")
    mine = without(shell, HTTPS_PROXY=way.url, GH_TOKEN=DEFAULT_TOKEN, XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    with background((GATEPASS, "serve", "--listen", "127.0.0.1:0"), mine.env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        assert f"gatepass: goes out through {way.url}, as $HTTPS_PROXY says\n" in serving.output
        script = 'eval "$(gatepass env)" && curl -sSfL -o out "$0"'
        env = {**mine.env, "PATH": f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"}
        done = subprocess.run(["bash", "-c", script, url], env=env, cwd=shell.home, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (shell.home / "out").read_bytes() == b"x" * 100


def test_serve_does_not_show_the_password(shell: Shell, company: tuple[str, Running], wheel_url: str) -> None:
    """The password of the shell's proxy is used, and is neither said nor in an argument list."""
    proxy, _ = company
    mine = without(shell, HTTPS_PROXY=proxy, XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0")
    with background(command, mine.env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        arguments = Path(f"/proc/{serving.process.pid}/cmdline").read_bytes()
        env = {**mine.env, "PATH": f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"}
        script = 'eval "$(gatepass env)" && curl -sSfL -o out "$0"'
        done = subprocess.run(["bash", "-c", script, wheel_url], env=env, cwd=shell.home, check=False)
    assert done.returncode == 0
    assert b"gatepass" in arguments
    assert not any(secret in arguments + serving.output.encode() for secret in (b"p@ss", b"p%40ss"))


@pytest.mark.parametrize("variables", [{}, {MEMORY: '{"HTTPS_PROXY":null}'}])
def test_serve_in_a_shell_that_it_set_up(shell: Shell, wheel_url: str, variables: dict[str, str]) -> None:
    """A server that is started again, in a shell whose proxy it is, does not go out through itself."""
    listen = f"127.0.0.1:{free_port()}"
    mine = without(shell, XDG_RUNTIME_DIR=str(shell.home / "runtime"), HTTPS_PROXY=f"http://{listen}", **variables)
    env = {**mine.env, "PATH": f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"}
    with background((GATEPASS, "serve", "--rules", shell.rules, "--listen", listen), env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        script = 'eval "$(gatepass env)" && curl -sSfL -o out "$0"'
        done = subprocess.run(["bash", "-c", script, wheel_url], env=env, cwd=shell.home, check=False)
    assert (done.returncode, "goes out through" in serving.output) == (0, False)


def test_serve_with_a_mode_of_its_own(shell: Shell, company: tuple[str, Running]) -> None:
    """Who names a mode names the way: neither the shell's proxy nor its password is used."""
    proxy, _ = company
    mine = without(shell, HTTPS_PROXY=proxy, XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0", "--", "--mode", "regular")
    with background(command, mine.env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        assert "goes out through" not in serving.output


def test_serve_with_another_proxy_of_its_own(shell: Shell, company: tuple[str, Running]) -> None:
    """Plain requests go there, too, whatever this shell would keep from its own proxy."""
    proxy, running = company
    other = urlsplit(proxy)
    way = ("--mode", f"upstream:http://{other.hostname}:{other.port}", "--set", "upstream_auth=me:p@ss")
    mine = without(shell, NO_PROXY="no-such-name.test", XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    command = (GATEPASS, "serve", "--no-password", "--rules", shell.rules, "--listen", "127.0.0.1:0", "--", *way)
    with background(command, mine.env, shell.home) as serving:
        address = serving.wait_for("HTTPS_PROXY=(http://127.+)")[1]
        ask = ["curl", "-sS", "--proxy", address, "-o", "out", "http://no-such-name.test/"]
        subprocess.run(ask, env=shell.env, cwd=shell.home, check=False)
        assert running.wait_for("GET http://no-such-name.test/")


def test_explain_takes_the_shells_way(shell: Shell, only_way: tuple[Road, StandIn], publish: Publish) -> None:
    """`explain` goes out as `run` would, and says so; that the proxy is no Gatepass is another matter."""
    way, github = only_way
    url = publish(b"x" * 100).replace(github.web, "github.com")
    mine = without(shell, HTTPS_PROXY=way.url, GH_TOKEN=DEFAULT_TOKEN)
    told = json.loads(mine.gatepass("explain", "--json", url).stdout)
    steps = {step["name"]: step for step in told["steps"]}
    assert steps["way-out"]["finding"] == f"goes out through {way.url}, as $HTTPS_PROXY says"
    assert {name for name, step in steps.items() if step["state"] == "fail"} == {"through"}
    assert steps["asset"]["state"] == "ok"


def test_explain_past_another_kind_of_proxy(shell: Shell, wheel_url: str) -> None:
    """A proxy that `run` would refuse is told, without its password, and what can be found out is."""
    mine = without(shell, ALL_PROXY="socks5://me:S3CR3T@socks.test:1080")
    done = mine.gatepass("explain", "--json", "--rules", shell.rules, wheel_url)
    steps = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    assert (steps["way-out"]["state"], steps["asset"]["state"]) == ("warn", "ok")
    assert b"S3CR3T" not in done.stdout + done.stderr


def test_explain_with_a_broken_memory(shell: Shell, wheel_url: str) -> None:
    """What `gatepass env` remembered and cannot be read any more is told, and what can be found out is."""
    mine = without(shell, **{MEMORY: "{"})
    done = mine.gatepass("explain", "--json", "--rules", shell.rules, wheel_url)
    steps = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    assert (steps["way-out"]["state"], steps["asset"]["state"]) == ("warn", "ok")
    assert f"unset {MEMORY}" in steps["way-out"]["hint"]


# ---------------------------------------------------------- settings of the tools' own

NOWHERE = "http://me:S3CR3T@127.0.0.1:1"
"""A company's proxy that is not there: what goes to it fails."""


def pip() -> list[str | Path]:
    (bundled,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    options = ("--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--no-index", "--retries", "0")
    return [sys.executable, bundled / "pip", "install", *options, "--target", "site"]


COMMANDS: dict[str, Callable[[str], list[str | Path]]] = {
    "pip": lambda url: [*pip(), f"acme-tool @ {url}"],
    "npm": lambda url: ["npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0", url],
    "wget": lambda url: ["wget", "-q", "-t", "1", "-O", "out", url],
    "curl": lambda url: ["curl", "-sSfL", "-o", "out", url],
    "git": lambda url: ["sh", "-c", f'test "$(git config --get-urlmatch http.proxy {url})" = "$HTTPS_PROXY"'],
}

SETTINGS = {
    "pip": (".config/pip/pip.conf", f"[global]\nproxy = {NOWHERE}\n", 2),
    "npm": (".npmrc", f"proxy={NOWHERE}\nhttps-proxy={NOWHERE}\n", 1),
    "wget": (".wgetrc", f"https_proxy = {NOWHERE}\nproxy_user = me\nproxy_password = S3CR3T\n", 1),
    "curl": (".curlrc", f'proxy = "{NOWHERE}"\nproxy-user = "me:S3CR3T"\nsilent\n', 1),
    "git": (".gitconfig", f'[http "https://localhost"]\n\tproxy = {NOWHERE}\n[http]\n\tproxy = {NOWHERE}\n', 2),
}
VARIABLES = {"PIP_PROXY": "pip", "npm_config_https_proxy": "npm", "NPM_CONFIG_PROXY": "npm"}


@pytest.fixture
def tarball(publish: Publish) -> str:
    """A package of npm's."""
    return publish(npm_package(), name="acme-1.0.0.tgz")


@pytest.mark.parametrize("tool", SETTINGS)
def test_a_proxy_in_settings_is_overruled(tool: str, shell: Shell, wheel_url: str, tarball: str) -> None:
    """A tool that its settings send to another proxy comes to Gatepass all the same; which file it was is told."""
    needs(tool)
    name, content, line = SETTINGS[tool]
    path = shell.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    done = shell.run(*COMMANDS[tool](tarball if tool == "npm" else wheel_url))
    assert done.returncode == 0, done.stderr.decode()
    assert f"gatepass: {path}:{line} sends {tool} to a proxy: overruled, ".encode() in done.stderr
    assert b"S3CR3T" not in done.stdout + done.stderr


def test_no_proxy_in_settings(shell: Shell, wheel_url: str) -> None:
    """A curl that its settings let use no proxy comes to Gatepass; that it asks a host directly is told by line."""
    needs("curl")
    settings = shell.home / ".curlrc"
    settings.write_text('proxy = ""\n')
    done = shell.run(*COMMANDS["curl"](wheel_url))
    assert (done.returncode, done.stderr) == (0, b"")
    settings.write_text('noproxy = "localhost"\n')
    done = shell.run(*COMMANDS["curl"](wheel_url))
    assert done.returncode == 22, "it went through the proxy"
    said = f"gatepass: {settings}:1 has `localhost`: what curl asks of localhost:"
    assert said.encode() in done.stderr


@pytest.mark.parametrize("name", VARIABLES)
def test_a_proxy_in_a_variable_is_overruled(name: str, shell: Shell, wheel_url: str, tarball: str) -> None:
    """So does one that a variable of its own sends there."""
    needs(tool := VARIABLES[name])
    done = without(shell, **{name: NOWHERE}).run(*COMMANDS[tool](tarball if tool == "npm" else wheel_url))
    assert done.returncode == 0, done.stderr.decode()
    assert f"gatepass: ${name} sends {tool} to a proxy: overruled, ".encode() in done.stderr


@pytest.mark.parametrize("tool", SETTINGS)
def test_env_overrules_too(tool: str, shell: Shell, wheel_url: str, tarball: str) -> None:
    """What `gatepass env` prints is as good as `run`, and its last word undoes it."""
    needs(tool)
    name, content, _ = SETTINGS[tool]
    (shell.home / name).parent.mkdir(parents=True, exist_ok=True)
    (shell.home / name).write_text(content)
    mine = without(shell, XDG_RUNTIME_DIR=str(shell.home / "runtime"), GH_TOKEN="")
    path = f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"
    with background((GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0"), mine.env, shell.home) as s:
        s.wait_for("gatepass: listening")
        script = 'env >before; eval "$(gatepass env)" && "$@" && eval "$(gatepass env --unset)" && env >after'
        command = ["bash", "-c", script, "-", *COMMANDS[tool](tarball if tool == "npm" else wheel_url)]
        done = subprocess.run(
            command, env={**mine.env, "PATH": path}, cwd=shell.home, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    before, after = ({*(shell.home / name).read_text().splitlines()} for name in ("before", "after"))
    assert {line for line in before ^ after if not line.startswith("_=")} == set()


def test_a_proxy_that_nothing_overrules(shell: Shell) -> None:
    """uv's settings come before its variables: its file and line are told, whatever else the shell names."""
    path = shell.home / ".config/uv/uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'offline = false\nhttps-proxy = "{NOWHERE}"\n')
    done = without(shell, "UV_NO_CONFIG").run("true")
    assert done.stderr.decode().startswith(f"gatepass: {path}:2 sends uv to a proxy, past this one, and nothing over")


def test_cas_of_settings_join(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """A CA that pip.conf alone names is trusted upstream, and in the bundle that takes pip.conf's place."""
    path = shell.home / ".config/pip/pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(f"[global]\ncert = {github.ca_file}\n")
    mine = without(shell, "SSL_CERT_FILE")
    done = mine.run("sh", "-c", 'curl -sSfL -o out "$0" && cat "$PIP_CERT"', wheel_url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert github.ca_file.read_bytes().strip() in done.stdout
    assert mine.gatepass("explain", "--rules", shell.rules, wheel_url).returncode == 0


OTHERS = "user_agent = caf\xe9\n".encode("latin-1")


@pytest.mark.parametrize("actions", [False, True], ids=["shell", "github-actions"])
@pytest.mark.parametrize("program", ["wget", "homebrew"])
def test_env_brings_files(shell: Shell, wheel_url: str, github: StandIn, program: str, actions: bool) -> None:
    """What wget and Homebrew read is a file: `gatepass env` names it, for a job's next steps too, with the user's own
    lines, whatever their encoding.
    """
    (shell.home / ".wgetrc").write_bytes(OTHERS)
    (shell.home / ".curlrc").write_bytes(OTHERS.replace(b"_", b"-").replace(b"= ", b'= "').replace(b"\n", b'"\n'))
    job = shell.home / "github_env"
    mine = without(shell, "SSL_CERT_FILE", XDG_RUNTIME_DIR=str(shell.home / "runtime"), GITHUB_ENV=str(job))
    env = {**mine.env, "PATH": f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"}
    serve = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0")
    with background(serve, {**env, "SSL_CERT_FILE": str(github.ca_file)}, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        if actions:
            subprocess.run([GATEPASS, "env", "--github-actions"], env=env, cwd=shell.home, check=True)
            env |= read_environment_file(job.read_text())
        setup = "true" if actions else 'eval "$(gatepass env)"'
        fetch = {
            "wget": 'wget -q -t 1 -O out "$0"',
            "homebrew": 'exec env -i "PATH=$PATH" "HTTPS_PROXY=$HTTPS_PROXY" "HOMEBREW_CURLRC=$HOMEBREW_CURLRC" '
            'sh -c \'curl -q --config "$HOMEBREW_CURLRC" -sSfL -o out "$0"\' "$0"',
        }[program]
        done = subprocess.run(["bash", "-c", f"{setup} && {fetch}", wheel_url], env=env, cwd=shell.home, check=False)
    assert done.returncode == 0
    assert (shell.home / "out").stat().st_size > 0
    seen = {call.headers.get("user-agent", "") for call in github.calls("asset")}
    assert any("caf" in agent for agent in seen)


def needs(program: str) -> None:
    if program != "pip" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
