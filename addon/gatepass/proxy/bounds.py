"""What a client may have us hold, and for how long it may wait.

mitmproxy reads on while a hook is at work, or an answer is not taken. More than a little is left unread, or unanswered,
until there is room again; what has no end is refused by `proxy/layers.py`. Knows connections, and no rule.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http1 import Http1Server

from gatepass.proxy import connections, modes
from gatepass.proxy.layers import OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import Layer, NextLayer
    from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO
    from mitmproxy.tcp import TCPFlow

MOST_HELD: Final = 1024 * 1024
"""Bytes of one client that wait for something; it is not read on while there are more."""
FIRST_SECONDS: Final = 30.0
"""In which a client says what it wants of the proxy."""
TAKEN_SECONDS: Final = 60.0
"""In which a client takes its last answer, before its next request is looked at."""

# To look at what is held costs more than to read a request; of so few bytes no more than a megabyte can be made.
_UNSEEN: Final = 16 * 1024
_MOMENT: Final = 0.02


class Bounds:
    """An addon that bounds each connection to a client."""

    def client_connected(self, client: Client) -> None:
        """Have its bytes read only while there is room for them."""
        handler = connections.handler(client)
        if handler is not None:
            transport = handler.transports[client]
            transport.reader = _Reader(transport.reader, handler)  # type: ignore[assignment]

    def next_layer(self, nextlayer: NextLayer) -> None:
        if nextlayer.context.server.address is not None:
            _begin(connections.io(nextlayer.context.client))

    def http_connect(self, flow: HTTPFlow) -> None:
        _begin(connections.io(flow.client_conn))

    async def requestheaders(self, flow: HTTPFlow) -> None:
        """Look at no request whose client has not taken the answer to the one before."""
        io = connections.io(flow.client_conn)
        _begin(io)
        if io is None or io.writer is None or _is_taken(io.writer):
            return
        try:
            async with asyncio.timeout(TAKEN_SECONDS):
                await io.writer.drain()
        except OSError:  # a timeout is one
            flow.kill()
            io.writer.close()

    def tcp_message(self, flow: TCPFlow) -> None:
        """Forget what has gone through a connection that speaks no HTTP: mitmproxy would hold all until its end."""
        del flow.messages[:-1]  # the last is what other addons look at

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Forget what has gone through a WebSocket, as of any other connection."""
        assert flow.websocket is not None
        del flow.websocket.messages[:-1]

    def client_disconnected(self, client: Client) -> None:
        """Close what mitmproxy leaves open: a connection that is ended while its client goes on sending.

        Its handler is cancelled where it does not expect that (`ConnectionHandler.handle_connection`, 12.3): the client
        would wait for ever, and the socket stay.
        """
        connections.close(client)


def _is_taken(writer: object) -> bool:
    """Whether nothing is left of what was written: most often so, and to wait for nothing takes time, too."""
    transport = getattr(writer, "transport", None)
    return isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size() == 0


def _begin(io: ConnectionIO | None) -> None:
    """Its client has said what it wants."""
    reader: object = None if io is None else io.reader
    if isinstance(reader, _Reader):
        reader.first = None


class _Reader:
    """A client's reader that waits while much of what it read is not dealt with, or ends when nothing is wanted."""

    def __init__(self, reader: Any, handler: ConnectionHandler) -> None:
        self._reader = reader
        self._handler = handler
        explicit = isinstance(handler.client.proxy_mode, modes.EXPLICIT)
        self.first: float | None = asyncio.get_running_loop().time() + FIRST_SECONDS if explicit else None
        """By when the first request must be there; None when it is."""
        self._unseen = 0

    async def read(self, most: int) -> bytes:
        if self._unseen > _UNSEEN:
            while self._held() > MOST_HELD:  # noqa: ASYNC110 — mitmproxy tells no one
                await asyncio.sleep(_MOMENT)
            self._unseen = 0
        # the timeout is an OSError, which ends the connection
        async with asyncio.timeout_at(self.first):
            data: bytes = await self._reader.read(most)
        self._unseen += OVERHEAD + len(data)
        return data

    def _held(self) -> int:
        return sum(map(_waiting, _layers(self._handler.layer.context)))


def _layers(context: Context) -> Iterable[Layer]:
    """All layers of a connection to a client, and of those made for it."""
    seen: dict[Layer, None] = {}
    left = [*context.layers]
    while left:
        layer = left.pop()
        if layer not in seen:
            seen[layer] = None
            if isinstance(layer, HttpLayer):
                # each has a context of its own, in which what is below it stands, too
                for child in (*layer.connections.values(), *layer.streams.values()):
                    left += child.context.layers
    return seen


def _waiting(layer: Layer) -> int:
    """Bytes that wait for a hook, a connection, or for the answer before."""
    size = sum(OVERHEAD + len(getattr(event, "data", b"")) for event in layer._paused_event_queue)
    # what is no whole head or chunk yet is bounded elsewhere: it waits for its client
    return size + (len(layer.buf) if isinstance(layer, Http1Server) and layer.state == layer.wait else 0)
