"""The connections of clients that are open now, and their end.

Knows mitmproxy's handlers of them, and neither rules nor why one is to end.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver

if TYPE_CHECKING:
    import socket
    from asyncio import Transport
    from collections.abc import Iterator
    from weakref import ReferenceType

    from mitmproxy.connection import Client
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import Layer, NextLayer
    from mitmproxy.proxy.mode_servers import ServerInstance
    from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO

    type Door = tuple[ServerInstance[Any], socket.socket]


# An answer is lost when a connection is closed on what its client still sends (RFC 9112, section 9.6).
_LINGER_SECONDS: Final = 2.0


class Innermost:
    """What the connections of clients carry in the end: the layer in which there is no other."""

    def __init__(self) -> None:
        # by reference: contexts know their client
        self._contexts: WeakKeyDictionary[Client, ReferenceType[Context]] = WeakKeyDictionary()

    def note(self, nextlayer: NextLayer) -> None:
        """To be called whenever a layer is chosen."""
        self._contexts[nextlayer.context.client] = ref(nextlayer.context)

    def of(self, client: Client) -> Layer | None:
        """None as long as the client has sent nothing."""
        context = self._contexts.get(client, lambda: None)()
        return context.layers[-1] if context is not None and context.layers else None


def running() -> list[ConnectionHandler]:
    """What handles each of them."""
    server = ctx.master.addons.get("proxyserver")
    return list(server.connections.values()) if isinstance(server, Proxyserver) else []


def handler(client: Client) -> ConnectionHandler | None:
    """What handles that client's; None for a flow that is replayed."""
    server = ctx.master.addons.get("proxyserver")
    return server.connections.get(client.id) if isinstance(server, Proxyserver) else None


def io(client: Client) -> ConnectionIO | None:
    """What reads from that client, and writes to it; None where the connection is at its end."""
    handles = handler(client)
    return None if handles is None else handles.transports.get(client)


def transport(client: Client) -> Transport | None:
    """What writes to that client; None where the connection is at its end, or none of asyncio's."""
    found = io(client)
    return None if found is None else getattr(found.writer, "transport", None)


def close(client: Client) -> None:
    """Close it at once, whatever the client goes on to send."""
    found = io(client)
    if found is not None and found.writer is not None:
        found.writer.close()


def end(handler: ConnectionHandler) -> None:
    """End one, and what it has upstream; what was written to it already still arrives."""
    if handler.client in handler.transports and handler.transports[handler.client].handler is not None:
        handler.close_connection(handler.client)


def linger(client: Client) -> None:
    """Close it when its client has had the time to read its last answer, whatever it goes on to send."""
    asyncio.get_running_loop().call_later(_LINGER_SECONDS, close, client)


async def refuse_new() -> None:
    """Listen no more, and let in all who had come: the system resets those who wait where nobody listens any more."""
    server = ctx.master.addons.get("proxyserver")
    if not isinstance(server, Proxyserver):
        return
    doors = [door for instance in server.servers for door in _doors(instance)]
    await server.servers.update(())
    # in one step from here: who comes between the last that is let in and the end is reset
    waiting = [(instance, guest) for instance, door in doors for guest in _let_in(door)]
    loop = asyncio.get_running_loop()
    for instance, guest in waiting:
        protocol = partial(asyncio.StreamReaderProtocol, asyncio.StreamReader(), instance.handle_stream)
        await loop.connect_accepted_socket(protocol, guest)


def _doors(instance: ServerInstance[Any]) -> Iterator[Door]:
    """Where it listens: sockets of our own for the same, which stay open when mitmproxy closes its."""
    for listener in getattr(instance, "_servers", ()):
        if isinstance(listener, asyncio.Server):
            yield from ((instance, door.dup()) for door in listener.sockets)


def _let_in(door: socket.socket) -> Iterator[socket.socket]:
    with door:
        door.setblocking(False)
        while True:
            try:
                guest, _ = door.accept()
            except OSError:
                return
            guest.setblocking(False)
            yield guest
