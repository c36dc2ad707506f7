"""The cheapest HTTP/1.1 client there is: one socket, requests made beforehand, answers read and counted.

A library's client would be what is measured on two cores.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LOCATION: Final = re.compile(rb"\r\nlocation: *([^\r]+)", re.IGNORECASE)
_PATIENCE: Final = 60.0


def context(bundle: Path) -> ssl.SSLContext:
    """Trusts the bundle, and speaks HTTP/1.1."""
    made = ssl.create_default_context(cafile=bundle)
    made.set_alpn_protocols(["http/1.1"])
    return made


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes over the wire, and the status that it should get."""

    data: bytes
    status: int
    is_head: bool

    @classmethod
    def make(cls, method: str, host: str, path: str, status: int, **headers: str) -> Self:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        text = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: benchmark\r\nAccept: */*\r\n{fields}\r\n"
        return cls(text.encode(), status, method == "HEAD")


class Connection:
    """A TLS connection to `host` (`name:port`) through the proxy on this port, if there is one."""

    def __init__(
        self, host: str, trust: ssl.SSLContext, proxy: int | None = None, credentials: str | None = None
    ) -> None:
        """`credentials` are USER:PASSWORD for the proxy."""
        name, _, port = host.partition(":")
        plain = socket.create_connection(("127.0.0.1", proxy or int(port)), _PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy is not None:
            known = base64.b64encode((credentials or "").encode()).decode()
            field = f"Proxy-Authorization: Basic {known}\r\n" if known else ""
            plain.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n".encode())
            self._buffer = b""
            head = self._head(plain)
            if b" 200 " not in head[:16]:
                raise RuntimeError(f"the proxy says {head[:80]!r}")
        self._buffer = b""
        self._socket = trust.wrap_socket(plain, server_hostname=name)

    def send(self, request: Request) -> bytes:
        """Exchange one request for the head of its answer; the body is read and dropped."""
        self._socket.sendall(request.data)
        head = self._head(self._socket)
        status = int(head[9:12])
        if status != request.status:
            raise RuntimeError(f"expected {request.status}, got {head[:200]!r} for {request.data[:80]!r}")
        if not request.is_head and status not in (204, 304):
            length = _LENGTH.search(head)
            if length is None:
                raise RuntimeError(f"an answer of unknown length: {head!r}")
            self._skip(int(length[1]))
        return head

    def timed(self, request: Request) -> float:
        """Seconds that one exchange takes."""
        start = time.perf_counter()
        self.send(request)
        return time.perf_counter() - start

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _head(self, source: socket.socket) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            self._more(source)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def _skip(self, size: int) -> None:
        while len(self._buffer) < size:
            size -= len(self._buffer)
            self._buffer = b""
            self._more(self._socket)
        self._buffer = self._buffer[size:]

    def _more(self, source: socket.socket) -> None:
        data = source.recv(262_144)
        if not data:
            raise RuntimeError("the connection was closed")
        self._buffer += data


def location(head: bytes) -> str:
    """Where an answer redirects to."""
    found = _LOCATION.search(head)
    if found is None:
        raise RuntimeError(f"expected a redirect, got {head!r}")
    return found[1].decode()


def at_once(connections: Sequence[Connection], requests: Sequence[Request]) -> list[bytes]:
    """The heads of the answers to a request on each connection, all sent at the same moment."""
    heads: list[bytes] = [b""] * len(connections)
    gate = threading.Barrier(len(connections))

    def run(at: int) -> None:
        gate.wait()
        heads[at] = connections[at].send(requests[at])

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
    if not all(heads):
        raise RuntimeError(f"{heads.count(b'')} of {len(heads)} clients got no answer")
    return heads


def rate(connections: Sequence[Connection], requests: Sequence[Request], seconds: float) -> float:
    """Answers per second, every connection asking one thing after the other for so long."""
    counts = [0] * len(connections)
    gate = threading.Barrier(len(connections) + 1)
    failures: list[Exception] = []

    def run(at: int) -> None:
        # each begins elsewhere in the list, so that at any moment all kinds are under way
        turn = at
        gate.wait()
        end = time.perf_counter() + seconds
        try:
            while time.perf_counter() < end:
                connections[at].send(requests[turn % len(requests)])
                turn += 1
                counts[at] += 1
        except (RuntimeError, OSError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(connections))]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts) / (time.perf_counter() - start)
