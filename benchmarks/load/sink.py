"""Servers that nobody should have sent a secret: they take whatever comes, with TLS and without, and look for it.

What they answer is chosen to lead the proxy astray: redirects to the API, challenges, what they were asked in turn.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from benchmarks import servers
from benchmarks.load.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

_MOST: Final = 256 * 1024
_ANSWERS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 302 Found\r\nLocation: https://api.github.com/user\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 x\r\nLocation: https://github.com/acme/tool/releases/latest\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="GitHub"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=github.com\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello",
)


@dataclass(frozen=True)
class Sink:
    """The port of one, for TLS and plain text alike."""

    port: int
    pipe: Connection

    def seen(self) -> tuple[int, list[bytes]]:
        """How many connections came since last asked, and what they brought that held a secret."""
        self.pipe.send(None)
        found: tuple[int, list[bytes]] = self.pipe.recv()
        return found


@contextmanager
def sink(certificate: Path, secrets: Sequence[str], *, echoes: bool) -> Iterator[Sink]:
    """`secrets` are those that it looks for; `echoes` tells whether it sends back what it was asked."""
    with servers.child(_serve, certificate, list(secrets), echoes) as pipe:
        if not pipe.poll(30):
            raise RuntimeError("a server did not start in time")
        yield Sink(pipe.recv(), pipe)


def _serve(pipe: Connection, certificate: Path, secrets: Sequence[str], echoes: bool) -> None:
    asyncio.run(_main(pipe, certificate, Traces(secrets), echoes=echoes))


class _Reader(Protocol):
    async def read(self, most: int, /) -> bytes: ...


async def _main(pipe: Connection, certificate: Path, traces: Traces, *, echoes: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    count, held = 0, list[bytes]()

    async def answer(reader: _Reader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        at, taken = count, b""
        with suppress(OSError, TimeoutError):
            while data := await asyncio.wait_for(reader.read(65_536), 3):
                taken = (taken + data)[-_MOST:]
                if traces.search(taken[-len(data) - 4096 :]):
                    held.append(taken[-4096:])
                for _ in range(min(50, data.count(b"\r\n\r\n"))):
                    at += 1
                    writer.write(_answer(at, data if echoes else b""))
                if b"Connection: close\r\n\r\n" in data:
                    break
        writer.close()

    async def either(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first byte tells whether a client wants TLS, which the other listener speaks."""
        first = b""
        with suppress(OSError, TimeoutError):
            first = await asyncio.wait_for(reader.read(1), 10)
        if first != b"\x16":
            await answer(_Before(first, reader), writer)
            return
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", tls_port)
            back.write(first)
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        writer.close()

    tls = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, backlog=512)
    tls_port = tls.sockets[0].getsockname()[1]
    server = await asyncio.start_server(either, "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        nonlocal count
        try:
            pipe.recv()
        except EOFError:
            closed.set()
        else:
            pipe.send((count, held[:20]))
            count = 0
            held.clear()

    loop.add_reader(pipe.fileno(), tell)
    await closed.wait()
    loop.remove_reader(pipe.fileno())


def _answer(at: int, asked: bytes) -> bytes:
    if at % 5 == 0:
        body = asked[:4096]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    # mostly what keeps a connection alive, so that more is asked on it
    return _ANSWERS[at % len(_ANSWERS)] if at % 3 == 0 else _ANSWERS[0]


class _Before:
    """A reader that gives some bytes before those that are still to come."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        self._first = first
        self._reader = reader

    async def read(self, most: int, /) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return await self._reader.read(most)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
