"""SOCKS with a password that the rules ask for: mitmproxy asks for one only where its own option says so.

Knows mitmproxy's layer (12.3), and neither rules nor who has which password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import modes

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.proxy.layer import CommandGenerator


class _Socks5(modes.Socks5Proxy):
    """Asks for a password whoever can give one, and whoever has to (RFC 1928, section 3)."""

    needs_password: bool

    def state_greet(self) -> CommandGenerator[None]:
        count = self.buf[1] if len(self.buf) > 1 else 0
        end = 2 + count
        if len(self.buf) >= max(end, 2) and self.buf[0] == modes.SOCKS5_VERSION:
            if modes.SOCKS5_METHOD_USER_PASSWORD_AUTHENTICATION in self.buf[2:end]:
                method = modes.SOCKS5_METHOD_USER_PASSWORD_AUTHENTICATION
                yield commands.SendData(self.context.client, bytes([modes.SOCKS5_VERSION, method]))
                self.buf = self.buf[end:]
                self.state = self.state_auth  # type: ignore[method-assign]  # as the base does
                yield from self.state()
                return
            if self.needs_password:
                message = "the client brings no user and no password"
                yield from self.socks_err(message, modes.SOCKS5_METHOD_NO_ACCEPTABLE_METHODS)
                return
        yield from super().state_greet()

    state = state_greet


def ask(client: Client, *, needs_password: bool) -> None:
    """Have a client that has just connected asked for its password.

    Raises:
        AssertionError: mitmproxy would not ask it.
    """
    server = ctx.master.addons.get("proxyserver")
    assert isinstance(server, Proxyserver)
    layer = server.connections[client.id].layer
    assert type(layer) is modes.Socks5Proxy
    layer.__class__ = _Socks5
    layer.needs_password = needs_password  # type: ignore[attr-defined]  # of its new class
