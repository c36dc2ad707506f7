"""Real programs: the proxies that are measured, and the clients that go through them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

ROOT: Final = Path(__file__).parents[1]
SCRIPT: Final = ROOT / "addon" / "inject.py"
BIN: Final = Path(sys.executable).parent
# `uv run` tells its own program; a name on the PATH may be a shim that works in this folder alone, as pyenv's does
UV: Final = shutil.which(os.environ.get("UV", "")) or shutil.which("uv", path=str(BIN)) or shutil.which("uv") or "uv"
TOKEN: Final = "BENCHMARK_TOKEN"
"""The variable that the rules here read the secret from."""

# What the user's own shell says of proxies, trust, tokens and tools is not what is measured.
_CLEAN: Final = re.compile(r".*(PROXY|_CA_|CERT|CAINFO|TOKEN|^PIP_|^UV_|^GATEPASS_|^XDG_).*|VIRTUAL_ENV", re.IGNORECASE)
_PATIENCE: Final = 30.0
_NCSA: Final = "/usr/lib/squid/basic_ncsa_auth"
# uv opens ten connections at once. Of these servers' queues of five some would be asked again after a second, and that
# second would be what is measured.
_PATIENT: Final = """\
import runpy, socketserver, sys
socketserver.TCPServer.request_queue_size = 128
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_numbers = itertools.count(1)


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would change how a program goes out."""
    kept = {name: value for name, value in os.environ.items() if not _CLEAN.fullmatch(name)}
    return kept | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"} | extra


def end(number: int, _frame: FrameType | None) -> NoReturn:
    """End with what was started: a signal may come before it is known here that it was."""
    servers = {str(server.pid) for server in multiprocessing.active_children()}  # they end with their pipes
    for children in Path("/proc/self/task").glob("*/children"):
        for child in set(children.read_text(encoding="ascii").split()) - servers:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGTERM)
    sys.exit(128 + number)


def runs(program: str) -> bool:
    """Whether a program is there, and works in any folder."""
    command = [UV if program == "uv" else program, "-v" if program == "haproxy" else "--version"]
    try:
        return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@dataclass(frozen=True)
class Proxy:
    """A proxy that listens; `bundle` is what its clients trust."""

    port: int
    pid: int
    bundle: Path
    started: float
    """Seconds from the start of the program until it said that it listens."""
    credentials: str | None = None
    """USER:PASSWORD, where it asks for them."""

    @property
    def url(self) -> str:
        known = f"{self.credentials}@" if self.credentials else ""
        return f"http://{known}127.0.0.1:{self.port}"

    def resident(self) -> int:
        """The most bytes of memory it has had since `reset`, or its start."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def reset(self) -> int:
        """Forget the peak of memory, and say what there is now, in bytes (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.resident()


@contextmanager
def mitmdump(
    folder: Path, confdir: Path, bundle: Path, upstream_ca: Path, *options: str, variables: Mapping[str, str]
) -> Iterator[tuple[Proxy, Path]]:
    """mitmdump on a free port, with these options, showing no flows; and its log."""
    log = folder / f"mitmdump-{next(_numbers)}.log"
    command: list[str | Path] = [BIN / "mitmdump", "--listen-host", "127.0.0.1", "--listen-port", "0"]
    command += ["--set", f"confdir={confdir}", "--set", f"ssl_verify_upstream_trusted_ca={upstream_ca}"]
    command += ["--set", "flow_detail=0", *options]
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(**variables), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        port = _listening(process, log)
        yield Proxy(port, process.pid, bundle, time.perf_counter() - start), log
        if process.poll() is not None:
            raise RuntimeError(f"mitmdump has ended:\n{log.read_text()}")
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def squid(bundle: Path, credentials: str, host: str, more: str = "") -> Iterator[Proxy]:
    """Debian's Squid, which asks for a user and password, and lets them go to that host alone; nothing is cached.

    `more` are lines of its configuration.
    """
    user, _, password = credentials.partition(":")
    port = free_port()
    # a folder of its own, open to others: of root's rights it keeps none
    with tempfile.TemporaryDirectory(prefix="gatepass-squid-") as name:
        place = Path(name)
        place.chmod(0o777)
        run(["htpasswd", "-cbB", place / "users", user, password], {}, place)
        (place / "squid.conf").write_text(
            f"http_port 127.0.0.1:{port}\n"
            f"auth_param basic program {_NCSA} {place / 'users'}\n"
            f"acl known proxy_auth REQUIRED\nacl there dstdomain {host}\n"
            "http_access allow known there\nhttp_access deny all\n"
            f"access_log stdio:{place / 'access.log'}\ncache_log {place / 'log'}\npid_filename none\n"
            f"coredump_dir {place}\ncache deny all\npinger_enable off\nshutdown_lifetime 0 seconds\n{more}",
            encoding="utf-8",
        )
        # a name of its own: else two of them share their memory
        command = ["squid", "-N", "-n", f"bench{port}", "-f", str(place / "squid.conf")]
        start = time.perf_counter()
        with (place / "output").open("wb") as output:
            process = subprocess.Popen(
                command, env=environment(), cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            while not _answers(port):
                if process.poll() is not None or time.perf_counter() > start + _PATIENCE:
                    raise RuntimeError(f"squid does not listen:\n{(place / 'output').read_text()}")
                time.sleep(0.01)
            yield Proxy(port, process.pid, bundle, time.perf_counter() - start, credentials)
        finally:
            _end(process)


@contextmanager
def http_server(folder: Path) -> Iterator[int]:
    """The port of `python -m http.server`, with this folder."""
    with _server(
        folder, lambda port: ["http.server", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1", str(port)]
    ) as port:
        yield port


@contextmanager
def pypiserver(folder: Path) -> Iterator[int]:
    """The port of pypiserver, with the packages in this folder, and a hash for each."""
    options = ["--disable-fallback", "--hash-algo", "sha256", "--log-stream", "none"]
    with _server(folder, lambda port: ["pypiserver", "run", "-i", "127.0.0.1", "-p", str(port), *options, "."]) as port:
        yield port


@contextmanager
def _server(folder: Path, module: Callable[[int], list[str]]) -> Iterator[int]:
    """A module of Python that serves a folder on the port that it is given."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", _PATIENT, *module(port)],
        env=environment(),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_it_answers(process, port)
        yield port
    finally:
        _end(process)


def until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for a program that was started to take connections.

    Raises:
        RuntimeError: it ended, or took too long.
    """
    end = time.monotonic() + _PATIENCE
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} does not listen on port {port}")
        time.sleep(0.01)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listening(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if match := re.search(r"proxy listening at (?:http://)?127\.0\.0\.1:(\d+)", log.read_text()):
            return int(match[1])
        time.sleep(0.002)
    raise RuntimeError(f"mitmdump does not listen:\n{log.read_text()}")


def run(command: list[str | Path], variables: Mapping[str, str], folder: Path, seconds: float = 180) -> str:
    """Run a program to its end; its output.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        command,
        env=environment(**variables),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Download:
    """What curl says of one."""

    size: int
    seconds: float
    version: str

    @property
    def speed(self) -> float:
        """In bytes a second."""
        return self.size / self.seconds


def curl(url: str, bundle: Path, proxy: str | None, *options: str) -> Download:
    """Download to nowhere, redirects followed."""
    command = _curl(url, bundle, proxy, *options)
    return _read(run(command, {}, bundle.parent))


def curls(urls: list[str], bundle: Path, proxy: str, *options: str) -> list[Download]:
    """The same, all at once."""
    processes = [
        subprocess.Popen(
            _curl(url, bundle, proxy, *options),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        for url in urls
    ]
    try:
        return [_read(process.communicate(timeout=180)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _curl(url: str, bundle: Path, proxy: str | None, *options: str) -> list[str | Path]:
    command: list[str | Path] = ["curl", "-q", "-sSfL", "--cacert", bundle, "-o", os.devnull, *options]
    command += ["-w", "%{size_download} %{time_total} %{http_version}"]
    return [*command, *(["--proxy", proxy] if proxy else ["--noproxy", "*"]), url]


def _read(output: str) -> Download:
    try:
        size, seconds, version = output.split()
    except ValueError:
        raise RuntimeError(f"curl says {output!r}") from None
    return Download(int(size), float(seconds), version)
