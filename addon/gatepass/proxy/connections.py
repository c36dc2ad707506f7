"""The connections of clients that are open now, and their end.

Knows mitmproxy's handlers of them, and neither rules nor why one is to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver

if TYPE_CHECKING:
    from asyncio import Transport

    from mitmproxy.connection import Client
    from mitmproxy.proxy.server import ConnectionHandler


def running() -> list[ConnectionHandler]:
    """What handles each of them."""
    server = ctx.master.addons.get("proxyserver")
    return list(server.connections.values()) if isinstance(server, Proxyserver) else []


def transport(client: Client) -> Transport | None:
    """What writes to that client; None where the connection is at its end, or none of asyncio's."""
    handler = next((handler for handler in running() if handler.client is client), None)
    io = handler and handler.transports.get(client)
    return getattr(io.writer, "transport", None) if io else None


def end(handler: ConnectionHandler) -> None:
    """End one, and what it has upstream; what was written to it already still arrives."""
    if handler.client in handler.transports and handler.transports[handler.client].handler is not None:
        handler.close_connection(handler.client)
