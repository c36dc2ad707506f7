"""Several `gatepass serve`, and HAProxy before them: started, looked at, killed and started again.

Knows neither what is asked of them nor what comes of it.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from benchmarks import client, programs, servers
from benchmarks.bench import CREDENTIALS
from benchmarks.programs import Proxy
from gatepass import files
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    import ssl

    from benchmarks.bench import Bench

_PATIENCE: Final = 30.0
_DEPLOYED: Final = programs.ROOT / "deploy" / "haproxy" / "haproxy.cfg"
_TICK: Final = os.sysconf("SC_CLK_TCK")
_RULES: Final = """\
version: 1
forges:
  - {{web: '{web}', api: '{api}'}}
  - {{web: '{fast}', api: '{fast_api}'}}
clients:
  ci: {{password: [env:BENCHMARK_PASSWORD]}}
trusted_proxies: [127.0.0.1/32]
credentials:
  benchmark: {{from: ['file:{token}'], hosts: ['{web}', '{fast}']}}
rules:
  - {{match: '{web}/acme/*/releases/download/*', resolve: github-release, credential: benchmark}}
  - {{match: '{fast}/acme/*/releases/download/*', resolve: github-release, credential: benchmark}}
egress:
  allow: ['{web}', '{assets}', '{fast}', '{fast_assets}']
  private: [127.0.0.0/8, "::1"]
limits: {{misses: 100000}}
"""
# What serves where nothing is deployed yet, with the same variables.
_PLAIN: Final = """\
global
    maxconn 8192
defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout queue 10s
frontend clients
    bind "$GATEPASS_BIND"
    http-request set-header X-Forwarded-For %[src]
    default_backend gatepass
backend gatepass
    balance leastconn
    http-reuse never
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server check inter 1s fastinter 500ms downinter 1s fall 2 rise 2
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    http-request disable-l7-retry unless { method CONNECT GET HEAD OPTIONS }
    server gatepass-1 "$GATEPASS_1" addr "$GATEPASS_1_ADMIN"
"""
# A machine of the replica's own, as far as files go: names, a resolver that is not there, a small disk.
_ALONE: Final = """\
set -e
mount --make-rprivate /
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
mount -t tmpfs -o size=32m gatepass-load "$3"
shift 3
exec "$@"
"""


def may_be_alone() -> bool:
    """Whether mounts of a process's own can be made here."""
    try:
        command = ["unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@dataclass
class Replica:
    """One `gatepass serve`; `disk` is the folder of its audit, on a small disk of its own if it is `alone`."""

    command: list[str | Path]
    variables: dict[str, str]
    folder: Path
    port: int
    admin: int
    alone: bool
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def disk(self) -> Path:
        """The small disk, as it is seen from here."""
        return Path(f"/proc/{self.pid}/root{self.folder / 'disk'}")

    @property
    def names(self) -> Path:
        """Its /etc/hosts, where it is alone; changed in place, it is another at once."""
        return self.folder / "hosts"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = self.command
        if self.alone:
            (self.folder / "disk").mkdir(exist_ok=True)
            self.names.write_text("127.0.0.1 localhost\n::1 ip6-localhost\n", encoding="ascii")
            # nobody listens there
            (self.folder / "resolv.conf").write_text("nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
            places = (self.names, self.folder / "resolv.conf", self.folder / "disk")
            command = ["unshare", "-m", "sh", "-c", _ALONE, "sh", *places, *self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=programs.environment(**self.variables),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _PATIENCE
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"gatepass serve is not ready:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request("GET", "/readyz", headers={"Host": "localhost"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)  # at once: nothing is to be drained
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        self.process.wait()

    def resident(self) -> float:
        """Memory, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024 / 1e6

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """Seconds that it has computed so far."""
        return cpu(self.pid)

    def told(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def cpu(pid: int) -> float:
    """Seconds that a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@dataclass
class Fleet:
    """So many replicas, between `with` and the end of the block; with HAProxy before them unless there is but one."""

    bench: Bench
    count: int
    alone: bool = False
    """Whether each replica has names and a disk of its own."""
    balanced: bool = True
    more: str = ""
    """Of the rules."""
    replicas: list[Replica] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        bench = self.bench
        self.folder = bench.fresh("fleet")
        self.rules, self.token = self.folder / "rules.yaml", self.folder / "token"
        self.write_token(bench.github.token)
        self.assets = bench.github.ask(servers.asset_host)
        self.text = self.more + _RULES.format(
            web=bench.github.web,
            api=bench.github.api,
            assets=self.assets,
            fast=bench.upstream.web,
            fast_api=bench.upstream.api,
            fast_assets=bench.upstream.asset_host,
            token=self.token,
        )
        self.rules.write_text(self.text, encoding="utf-8")
        home = self.folder / "home"
        home.mkdir()
        variables = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "SSL_CERT_FILE": str(bench.upstream_ca),
            "BENCHMARK_PASSWORD": CREDENTIALS.partition(":")[2],
        }
        for number in range(self.count):
            folder = self.folder / f"replica-{number + 1}"
            folder.mkdir()
            port, admin = programs.free_port(), programs.free_port()
            audit = folder / ("disk/audit.jsonl" if self.alone else "audit.jsonl")
            command: list[str | Path] = [programs.BIN / "gatepass", "serve", "--rules", self.rules]
            command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--audit", audit]
            replica = Replica(command, variables, folder, port, admin, self.alone)
            self.replicas.append(replica)
            self._stack.callback(replica.stop)
            replica.start()
        (ca,) = home.rglob(authority.CERTIFICATE_FILE)
        text = bundles.combine(ca.read_text(encoding="ascii"), bench.upstream_ca.read_text(encoding="ascii"))
        self.bundle = files.write(self.folder / "clients.pem", text)
        self.port = self._haproxy(home) if self.balanced else self.replicas[0].port

    def write_token(self, token: str) -> None:
        """What the credential is, from now on."""
        files.write(self.token, token.encode(), 0o600)

    @property
    def trust(self) -> ssl.SSLContext:
        return client.context(self.bundle)

    @property
    def proxy(self) -> Proxy:
        """What clients go through."""
        return Proxy(self.port, self.replicas[0].pid, self.bundle, 0, CREDENTIALS)

    def _haproxy(self, home: Path) -> int:
        port = programs.free_port()
        hosts, suffixes = self.folder / "hosts", self.folder / "suffixes"
        hosts.write_text("localhost\ngatepass.internal\n", encoding="ascii")
        suffixes.write_text(".githubusercontent.com\n", encoding="ascii")
        path = self.folder / "haproxy.cfg"
        path.write_text(configuration(self.count), encoding="utf-8")
        variables = {
            "HOME": str(home),
            "GATEPASS_BIND": f"127.0.0.1:{port}",
            "GATEPASS_HOSTS": str(hosts),
            "GATEPASS_SUFFIXES": str(suffixes),
            "OTHER_HOSTS": "refused",
        }
        for number, replica in enumerate(self.replicas, 1):
            variables |= {
                f"GATEPASS_{number}": f"127.0.0.1:{replica.port}",
                f"GATEPASS_{number}_ADMIN": f"127.0.0.1:{replica.admin}",
            }
        with (self.folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen(
                ["haproxy", "-db", "-f", path],
                env=programs.environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        programs.until_it_answers(process, port)
        self.haproxy = process.pid
        # what it finds out of the replicas takes it a second or two
        time.sleep(2.5)
        return port


def configuration(count: int) -> str:
    """The configuration that is deployed, for so many replicas and whatever user this is; else a plain one."""
    text = _PLAIN
    if _DEPLOYED.exists():
        text = re.sub(r"(?m)^\s*(?:user|group|chroot) .*\n", "", _DEPLOYED.read_text(encoding="utf-8"))
    server = re.compile(r"(?m)^.*\bserver gatepass-(\d+) .*\n")
    first = server.search(text)
    if first is None:
        raise RuntimeError(f"{_DEPLOYED}: expected a server `gatepass-1`")
    lines = [first[0].replace("gatepass-1", f"gatepass-{n}").replace("_1", f"_{n}") for n in range(1, count + 1)]
    head = text[: first.start()]
    return head + "".join(lines) + server.sub("", text[first.end() :])


# -------------------------------------------------------------------- Redis


class Store:
    """A Redis on loopback that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = programs.free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Redis or Valkey, where one is installed."""
        return shutil.which("redis-server") or shutil.which("valkey-server")

    def start(self) -> None:
        program = self.program()
        assert program is not None
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [program, *options],
            env=programs.environment(),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        programs.until_it_answers(self._process, self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
