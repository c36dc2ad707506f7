"""What is decrypted: connections to hosts that a rule names and to the indexes, and no others; and how those speak.

Knows connections, and no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy.proxy.layers import TCPLayer

from gatepass.proxy import facts, modes

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.proxy.layer import NextLayer
    from mitmproxy.tls import ClientHelloData, TlsData

    from gatepass.proxy.life import Life


class Interception:
    """An addon that tunnels what no rule names and is not for the indexes, and has the rest speak HTTP/1.1."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def next_layer(self, nextlayer: NextLayer) -> None:
        """Tunnel what no rule names, whatever it speaks, where the client has told the host: before TLS is looked at.

        The bytes then pass through one layer. `tls_clienthello` is for the modes in which its SNI tells the host.
        """
        context = nextlayer.context
        address = context.server.address
        if address is None or not isinstance(context.client.proxy_mode, modes.EXPLICIT):
            return
        # what asks for the proxy itself is read, and answered
        if not self._is_named(context.client, address) and not facts.is_own_name(address[0]):
            nextlayer.layer = TCPLayer(context, ignore=True)

    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Decrypt what a rule names, and what is for the indexes; tunnel everything else."""
        client, address = data.context.client, data.context.server.address
        data.ignore_connection = (
            address is None
            or facts.is_fronted(client, address[0])
            or not (facts.is_index(address) or self._is_named(client, address))
        )

    def _is_named(self, client: Client, address: tuple[str, int]) -> bool:
        """Whether a rule names the server that the connection goes to."""
        state = self._life.state
        return state is not None and state.rules.names(facts.destination(client, address))

    def tls_start_client(self, data: TlsData) -> None:
        """Speak HTTP/1.1 with the client.

        mitmproxy moves four times as many bytes over an intercepted HTTP/1.1 connection, clients show the reason
        phrases of HTTP/1.1 alone (FACTS.md), and sealed headers are made for it.
        """
        if data.conn.alpn_offers:
            data.conn.alpn = b"http/1.1"

    def tls_start_server(self, data: TlsData) -> None:
        """Speak HTTP/1.1 upstream for the same reasons; and name the server without a dot at the end, as SNI has it."""
        data.conn.alpn_offers = [b"http/1.1"]
        server = data.context.server
        name = server.sni or data.context.client.sni or (server.address or ("",))[0]
        if name.endswith("."):  # RFC 6066, section 3; OpenSSL would refuse it
            server.sni = name.removesuffix(".")
