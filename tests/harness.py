"""Real programs for the tests: the proxy as users start it, and the clients that go through it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import curl
from gatepass import files
from gatepass.shell import environment
from gatepass.trust import bundles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gatepass.demo.standin import Recorded, StandIn

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "addon" / "inject.py"
BIN = Path(sys.executable).parent
# that of this environment: a name on the PATH may be a shim that works in this folder alone, as pyenv's does
UV = Path(shutil.which("uv", path=BIN) or shutil.which(os.environ.get("UV", "")) or shutil.which("uv") or "uv")
GATEPASS = BIN / "gatepass"
PIP = (sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")

# What the developer's own shell says of proxies, trust, tokens and tools must not reach the programs under test.
_CLEAN = re.compile(
    r".*(PROXY|_CA_|CERT|CAINFO|TOKEN|^PIP_|^UV_|^UV$|^GATEPASS_|^XDG_|^COV_|^PYTEST_).*|VIRTUAL_ENV", re.IGNORECASE
)
DEADLINE = 60.0


def need(program: str) -> str:
    """A program of this machine; the test is skipped where it is not installed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def htpasswd(*arguments: str | Path) -> None:
    """Have Apache's `htpasswd` write a file."""
    subprocess.run([need("htpasswd"), *arguments], check=True, capture_output=True)


def tracked() -> list[Path]:
    """The files of the repository, as git would have them next."""
    command = [need("git"), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would change how the programs under test go out."""
    kept = {name: value for name, value in os.environ.items() if not _CLEAN.fullmatch(name)}
    # last of all a client with curl's name, for machines without curl
    kept["PATH"] = os.pathsep.join((str(UV.parent), kept["PATH"], str(ROOT / "tests" / "bin")))
    return kept | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"} | extra


@dataclass
class Running:
    """A program in the background, and what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in the output; fails when the program ends, or is silent too long, before there is one."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if match := re.search(pattern, self.output):
                return match
            if self.process.poll() is not None:
                self._reader.join(DEADLINE)
                if match := re.search(pattern, self.output):
                    return match
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in the output:\n{self.output}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(DEADLINE)
        return code


@contextmanager
def background(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None) -> Iterator[Running]:
    """Run a program for as long as the block."""
    process = subprocess.Popen(
        [str(part) for part in command],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        running.stop()
        assert process.stdout is not None
        process.stdout.close()


@dataclass(frozen=True)
class Proxy:
    """A proxy that listens, and what a client needs for it."""

    url: str
    bundle: Path
    running: Running

    def variables(self) -> dict[str, str]:
        return environment.for_client(self.url, self.bundle, self.bundle, {})

    @property
    def log(self) -> str:
        return self.running.output


@contextmanager
def serving(speak: Callable[[socket.socket, Any], None], address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server that does this with each connection and its peer's address, one after the other; its port."""

    def serve() -> None:
        while True:
            try:
                connection, peer = server.accept()
            except OSError:
                return
            with connection:
                speak(connection, peer)

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20)


@contextmanager
def listening(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server of one answer: its port, and the heads that it heard."""
    heard: list[bytes] = []

    def speak(connection: socket.socket, _: object) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(answer)

    with serving(speak) as port:
        yield port, heard


@contextmanager
def mitmdump(
    folder: Path,
    rules: Path | None,
    upstream_ca: Path,
    *options: str | Path,
    program: str = "mitmdump",
    script: Path = SCRIPT,
    **extra: str,
) -> Iterator[Proxy]:
    """`mitmdump -s addon/inject.py` on a free port; it and its clients trust `upstream_ca` and nothing public."""
    confdir = folder / "mitmproxy"
    confdir.mkdir(exist_ok=True)
    command: list[str | Path] = [BIN / program, "-s", script, "--listen-host", "127.0.0.1", "--listen-port", "0"]
    command += ["--set", f"confdir={confdir}", "--set", f"ssl_verify_upstream_trusted_ca={upstream_ca}"]
    if rules is not None:
        command += ["--set", f"gatepass_rules={rules}"]
    with background([*command, *options], clean_environment(**extra), cwd=folder) as running:
        # "proxy": mitmweb also says where its web server listens
        port = running.wait_for(
            r"[Pp]roxy(?: to \S+| \(\w+ mode\))? listening at (?:http://)?(?:\*|127\.0\.0\.1):(\d+)"
        )[1]
        running.wait_for(r"gatepass: .*(rule|error)")
        yield Proxy(f"http://127.0.0.1:{port}", client_bundle(confdir, upstream_ca), running)


def client_bundle(confdir: Path, *others: Path) -> Path:
    """The proxy's CA, and these."""
    texts = [path.read_text() for path in (confdir / "mitmproxy-ca-cert.pem", *others)]
    return files.write(confdir / "client.pem", bundles.combine(*texts))


@dataclass(frozen=True)
class Result:
    """How a program ended, and all that it printed."""

    code: int
    output: str


def call(
    command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None, stdin: str | None = None
) -> Result:
    """Run a program to its end."""
    done = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=cwd,
        input=stdin if stdin is not None else "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )
    return Result(done.returncode, done.stdout)


@dataclass(frozen=True)
class Reply:
    """The last answer that curl got; `headers` have lower-case names."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, heads: str, body: bytes) -> Reply:
        """Read what curl wrote of the heads of all answers, and the body of the last."""
        status_line, *fields = heads.strip().split("\n\n")[-1].splitlines()
        _, status, reason = f"{status_line} ".split(" ", 2)
        pairs = (field.partition(":") for field in fields)
        return cls(int(status), reason.strip(), {name.strip().lower(): value.strip() for name, _, value in pairs}, body)


@dataclass(frozen=True)
class Client:
    """Clients on a machine of their own: a home, an environment, a working folder."""

    home: Path
    variables: Mapping[str, str]

    @property
    def env(self) -> dict[str, str]:
        # a cache of its own: what another test downloaded must not answer for the proxy
        return clean_environment(HOME=str(self.home), UV_CACHE_DIR=str(self.home / "cache"), UV_NO_CONFIG="1") | dict(
            self.variables
        )

    def run(self, *command: str | Path, **extra: str) -> Result:
        return call(command, self.env | extra, cwd=self.home)

    def curl(self, *arguments: str) -> Result:
        """Run curl, or what stands in for it; a test that asks more than that can do is skipped."""
        # what hangs should fail here, and tell so
        result = self.run("curl", "-sS", "--max-time", "30", *arguments)
        if result.code == curl.UNKNOWN and not shutil.which("curl"):
            pytest.skip(f"curl is not installed, and without it: {result.output.strip()}")
        return result

    def fetch(self, url: str, *arguments: str) -> Reply:
        """What curl gets, whatever the status is."""
        head, body = self.home / "curl.head", self.home / "curl.body"
        body.write_bytes(b"")  # curl leaves it alone when the body is empty
        result = self.curl("--suppress-connect-headers", "-D", str(head), "-o", str(body), *arguments, url)
        assert result.code == 0, result.output
        return Reply.parse(head.read_text(), b"" if "-I" in arguments else body.read_bytes())

    def pip(self, *arguments: str | Path) -> Result:
        """The pip of this environment: not every Python brings one."""
        return self.run(*PIP, "--isolated", *arguments)

    def uv(self, *arguments: str | Path, **extra: str) -> Result:
        return self.run(UV, "--no-progress", *arguments, UV_PYTHON=sys.executable, **extra)

    def venv(self) -> Path:
        """A virtual environment for `uv pip install --python` and its likes."""
        result = self.uv("venv", "--quiet", "venv")
        assert result.code == 0, result.output
        return self.home / "venv"


@dataclass(frozen=True)
class Shell:
    """A developer's shell: a home, the stand-in's CA and a token in the environment."""

    home: Path
    rules: Path
    env: Mapping[str, str]

    def gatepass(self, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [str(part) for part in (GATEPASS, *arguments)]
        return subprocess.run(
            command, env=self.env, cwd=self.home, input=stdin, capture_output=True, timeout=DEADLINE, check=False
        )

    def run(self, *command: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """`gatepass run -- COMMAND`."""
        return self.gatepass("run", "--rules", self.rules, "--", *command, stdin=stdin)


def eventually[T](condition: Callable[[], T]) -> T:
    """The first true value of `condition`, which is asked until the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def connections(running: Running) -> set[str]:
    """The servers of this machine that a mitmproxy has connected to."""
    return set(re.findall(r"server connect (localhost:\d+)", running.output))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def strays(github: StandIn, secret: str) -> list[Recorded]:
    """The requests that hold the secret and should not: only the API may see it, and the path of the header rule."""
    return [
        request
        for request in github.calls()
        if secret in f"{request.target} {request.headers}"
        and request.role != "api"
        and not (request.role == "web" and request.path.startswith("/injected/"))
    ]


def peak(process: int) -> int:
    """The most memory that a process has held so far, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
