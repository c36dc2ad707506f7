"""The stand-in over HTTP/2, by a server that ends its connections, as real ones do: idle ones, and well-used ones."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import GoAwayFrame

from gatepass.demo.standin import Recorded
from gatepass.demo.standin.exchange import role_of
from gatepass.demo.standin.model import blocks, size_of
from gatepass.trust import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gatepass.demo.standin import Role, StandIn


@dataclass
class Front:
    """One port, and how many `connections` it had.

    `idle`: seconds after which a connection without a request is closed. `most`: so many requests of a connection are
    answered; at the last the server says GOAWAY, and takes no more. `delay`: seconds until an answer.
    """

    standin: StandIn
    role: Role
    idle: float = 60
    most: int = 1000
    delay: float = 0
    connections: int = 0
    port: int = 0
    ca: str = ""

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"


@asynccontextmanager
async def front(front: Front, folder: Path) -> AsyncIterator[Front]:
    """It listens for as long as the block, and is trusted by `ca`."""
    pem = certificates.issue(["localhost"])
    front.ca, key = pem.ca, folder / "front.pem"
    key.write_text(pem.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(front), "127.0.0.1", 0, ssl=context)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        server.close_clients()


class _Connection(asyncio.Protocol):
    """Answers each stream by the stand-in."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._asked = 0
        self._open: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._front.connections += 1
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived) and self._asked < self._front.most:
                assert event.stream_id is not None
                self._receive(event.stream_id, {bytes(n).decode(): bytes(v).decode() for n, v in event.headers or ()})
        self._flush()

    def _receive(self, stream: int, headers: dict[str, str]) -> None:
        self._asked += 1
        self._open.add(stream)
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(self._front.delay, self._answer, stream, headers)
        if self._asked == self._front.most:
            # not by h2, which would then send no more: what came before is answered yet (RFC 9113, section 6.8)
            self._flush()
            self._transport.write(GoAwayFrame(0, last_stream_id=stream).serialize())

    def _answer(self, stream: int, headers: dict[str, str]) -> None:
        front = self._front
        host, target = headers[":authority"], headers[":path"]
        fields = {name: value for name, value in headers.items() if not name.startswith(":")}
        request = Recorded(host, front.port, headers[":method"], target, fields, role_of(host, target, front.role))
        answer = front.standin.answer(request)
        if self._transport.is_closing():
            return
        assert answer is not None
        request.status = answer.status
        stop = size_of(answer.body) if answer.stop is None else answer.stop
        self._h2.send_headers(stream, [(":status", str(answer.status)), *answer.headers.items()])
        for block in blocks(answer.body, answer.start, stop):
            self._h2.send_data(stream, bytes(block))
        self._h2.end_stream(stream)
        self._flush()
        self._open.remove(stream)
        if not self._open:
            is_last = self._asked >= front.most
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(0 if is_last else front.idle, self._transport.close)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())
