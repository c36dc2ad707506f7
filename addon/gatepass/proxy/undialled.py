"""Connections to the proxy's own name: answered here, and never dialled, whatever mitmproxy's `connection_strategy` is.

With eager connections mitmproxy would connect before anybody has asked for anything. Knows its layers (12.3), and no
rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import events
from mitmproxy.proxy.layers import modes

from gatepass.proxy import facts

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.proxy.layer import CommandGenerator


class _Undialled(modes.DestinationKnown):
    """Goes on at once with what is for the proxy itself."""

    def finish_start(self) -> CommandGenerator[str | None]:
        address = self.context.server.address
        if address is None or not facts.is_own_name(address[0]):
            return (yield from super().finish_start())
        self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]  # as the base does
        yield from self.child_layer.handle_event(events.Start())
        return None


class Socks5(_Undialled, modes.Socks5Proxy):
    """SOCKS in which the own name is not dialled."""


class Reverse(_Undialled, modes.ReverseProxy):
    """A reverse proxy to the own name, which is not dialled."""


def mind(client: Client) -> None:
    """Have a client that has just connected not lead to a connection for the proxy's own name."""
    server = ctx.master.addons.get("proxyserver")
    handler = server.connections.get(client.id) if isinstance(server, Proxyserver) else None
    layer = None if handler is None else handler.layer
    if type(layer) is modes.Socks5Proxy:
        layer.__class__ = Socks5
    elif type(layer) is modes.ReverseProxy:
        layer.__class__ = Reverse
