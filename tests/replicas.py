"""Several `gatepass serve` as they run behind a load balancer: one user, one CA, one rules file, ports of their own."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, Asset, Release, Repository, StandIn
from gatepass.demo.standin.exchange import REAL_HOSTS
from gatepass.shell import environment
from harness import DEADLINE, GATEPASS, Client, background, clean_environment, eventually, free_port
from road import Road, road

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from harness import Running

RULES = """\
version: 1
clients:
  ci: {password: [env:CI_PROXY_PASSWORD]}
  nearby: {networks: [127.0.0.2/32]}
trusted_proxies: [127.0.0.1/32]
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
rules:
  - match: github.com/*/releases/download/*
    resolve: github-release
    credential: github
"""
PASSWORD = "ci-sesame-opens-42"
AUTHORIZATION = {"Proxy-Authorization": f"Basic {base64.b64encode(f'ci:{PASSWORD}'.encode()).decode()}"}
WHEEL = package.wheel("acme_tool", "1.0")
URL = f"https://github.com/acme/tool/releases/download/v1.0/{WHEEL.name}"
_DIRECT = build_opener(ProxyHandler({}))


@contextmanager
def private_github() -> Iterator[StandIn]:
    """github.com, with one private asset, at `URL`."""
    with StandIn(names=GITHUB) as standin:
        asset = Asset(WHEEL.name, WHEEL.content)
        standin.repositories.append(Repository("acme", "tool", releases=[Release("v1.0", [asset])]))
        yield standin


@contextmanager
def way_to(world: StandIn) -> Iterator[Road]:
    """The way out, where github.com's names are the stand-in."""
    with road() as way:
        web, asset = (urlsplit(f"//{host}").port or 0 for host in (world.web, world.asset_host))
        way.ports = {name: asset if role == "asset" else web for name, role in REAL_HOSTS.items()}
        yield way


def status(url: str) -> int:
    """What an admin listener answers there; 0 where nobody does."""
    try:
        with _DIRECT.open(url, timeout=5) as reply:
            return int(reply.status)
    except OSError as error:
        return int(getattr(error, "code", 0))


@dataclass
class Replica:
    """One of several: it can be ended and started again, at the same addresses."""

    home: Path
    env: Mapping[str, str]
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    logs: list[str] = field(default_factory=list)
    _stack: ExitStack | None = None
    running: Running | None = None

    @property
    def audit(self) -> Path:
        return self.home / f"audit-{self.port}.jsonl"

    def start(self) -> None:
        command: list[str | Path] = [GATEPASS, "serve", "--rules", self.home / "rules.yaml"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}", "--audit", self.audit]
        self._stack = ExitStack()
        self.running = self._stack.enter_context(background([*command, *self.options], self.env, self.home))

    def wait(self) -> None:
        eventually(lambda: self.running is None or self.running.process.poll() or self.ready() == 200)
        assert self.ready() == 200, self.running and self.running.output

    def ready(self) -> int:
        return status(f"http://127.0.0.1:{self.admin}/readyz")

    def state(self) -> dict[str, Any]:
        """What it tells of itself."""
        with _DIRECT.open(f"http://127.0.0.1:{self.admin}/status.json", timeout=5) as reply:
            return dict(json.load(reply))

    def stop(self) -> int:
        """End it in order; its exit code."""
        assert self.running is not None
        assert self._stack is not None
        code = self.running.stop()
        self._stack.close()
        self.logs.append(self.running.output)
        self.running = None
        return code

    def kill(self) -> None:
        assert self.running is not None
        self.running.process.kill()
        self.running.process.wait(DEADLINE)
        self.stop()


@dataclass(frozen=True)
class Fleet:
    """All of them, and what their clients trust."""

    home: Path
    bundle: Path
    members: list[Replica]

    def client(self, port: int, user: str = f"ci:{PASSWORD}@", bundle: Path | None = None) -> Client:
        """Clients that come to a port of this machine, as a user; they trust the fleet's bundle, or another."""
        url, trusted = f"http://{user}127.0.0.1:{port}", bundle or self.bundle
        return Client(self.home, environment.for_client(url, trusted, trusted, {}))

    def audited(self) -> list[dict[str, Any]]:
        """The lines that all of them have written so far."""
        return [json.loads(line) for each in self.members for line in each.audit.read_text().splitlines()]


@contextmanager
def fleet(home: Path, count: int, rules: str, *options: str, **env: str) -> Iterator[Fleet]:
    """So many replicas; at the end none has shown a traceback, or the token."""
    (home / "rules.yaml").write_text(rules)
    variables = clean_environment(
        HOME=str(home), XDG_CONFIG_HOME=str(home / "config"), GH_TOKEN=DEFAULT_TOKEN, CI_PROXY_PASSWORD=PASSWORD, **env
    )
    members = [Replica(home, variables, options) for _ in range(count)]
    try:
        for each in members:
            each.start()
        for each in members:
            each.wait()
        yield Fleet(home, home / "config" / "gatepass" / "ca" / "gatepass-bundle.pem", members)
    finally:
        for each in members:
            if each.running is not None:
                each.stop()
    log = "".join(text for each in members for text in each.logs)
    assert "Traceback" not in log, log
    assert DEFAULT_TOKEN not in log


# -------------------------------------------------------------------- in front


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def ask(port: int, head: str) -> int:
    """The status of what is answered to a request of this head."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        heard = b""
        while b"\r\n" not in heard and (part := connection.recv(4096)):
            heard += part
    return int(heard.split()[1])


def connect(port: int, authority: str, **headers: str) -> int:
    """The status of what is answered to a CONNECT."""
    fields = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return ask(port, f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}{fields}")


# ------------------------------------------------------------------------- load


class Browsing:
    """A client without a child process, so that many may run: it asks by CONNECT, and in plain, through a proxy."""

    def __init__(self, port: int, bundle: Path, headers: Mapping[str, str]) -> None:
        self._port, self._headers = port, dict(headers)
        self._trust = ssl.create_default_context(cafile=bundle)
        self._kept: http.client.HTTPSConnection | None = None

    def tunnelled(self, url: str, *, keep: bool = False) -> tuple[int, str, bytes]:
        """Status, Location and body; on a connection of its own, or on one that is kept."""
        parts = urlsplit(url)
        connection = self._kept if keep and self._kept else self._connect(parts.hostname or "", parts.port or 443)
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        reply = connection.getresponse()
        found = reply.status, reply.getheader("Location", ""), reply.read()
        self._kept = connection if keep else self._kept
        if not keep:
            connection.close()
        return found

    def _connect(self, host: str, port: int) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=self._trust)
        connection.set_tunnel(host, port, self._headers)
        return connection

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def plain(self, url: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", url, headers=self._headers)
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found


@contextmanager
def load(*tasks: Callable[[], object]) -> Iterator[list[object]]:
    """Each task again and again, in a thread of its own, as long as the block; what each returned or raised."""
    over, seen = threading.Event(), list[object]()

    def repeat(task: Callable[[], object]) -> None:
        while not over.is_set():
            try:
                seen.append(task())
            except Exception as error:
                seen.append(error)
            time.sleep(0.01)

    threads = [threading.Thread(target=repeat, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(DEADLINE)


def _downloads(client: Browsing) -> bool:
    status, location, _ = client.tunnelled(URL)
    assert status == 302
    status, _, body = client.tunnelled(location)
    return (status, body) == (200, WHEEL.content)


def _asks_again(client: Browsing) -> bool:
    return client.tunnelled(URL, keep=True)[0] == 302


def _asks_plainly(client: Browsing) -> bool:
    status, body = client.plain("http://gatepass.internal/ca.pem")
    return status == 200 and b"BEGIN CERTIFICATE" in body


@contextmanager
def crowd(port: int, found: Fleet, headers: Mapping[str, str]) -> Iterator[list[object]]:
    """Clients of each sort that come to a port as long as the block: what they saw, which is to be True throughout."""
    with ExitStack() as stack:
        tasks = [
            partial(task, stack.enter_context(closing(Browsing(port, found.bundle, headers))))
            for task in (_downloads, _asks_again, _asks_plainly)
            for _ in range(3)
        ]
        yield stack.enter_context(load(*tasks))
