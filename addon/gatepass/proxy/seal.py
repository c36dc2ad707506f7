"""Seals: a secret goes to the host and port that its seal names, over verified TLS, and is opened nowhere else.

Another addon, an edit or a replay may lead a request elsewhere after it was settled. It is looked at twice: when all
other addons have seen it, and when its bytes are written, on the connection that they are written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet, ref

from OpenSSL import SSL

if TYPE_CHECKING:
    from mitmproxy.connection import Connection
    from mitmproxy.http import HTTPFlow
    from mitmproxy.tls import TlsData

    from gatepass.forge.hosts import Host


class Verified:
    """An addon that notes which connections were verified: `ssl_insecure` may be set, and unset, at any time."""

    def __init__(self) -> None:
        self._connections: WeakSet[Connection] = WeakSet()

    def tls_established_server(self, data: TlsData) -> None:
        if data.ssl_conn is not None and data.ssl_conn.get_context().get_verify_mode() & SSL.VERIFY_PEER:
            self._connections.add(data.conn)

    def leads_to(self, flow: HTTPFlow, host: Host) -> bool:
        """Whether the flow's connection to its server is TLS, and the server proved to be that host."""
        server = flow.server_conn
        return (
            server in self._connections
            and server.connected
            and server.sni == host.name
            and server.address is not None
            and server.address[1] == host.port
        )


class Seal:
    """Where the secrets of one flow may go; `broken` once they were wanted on the way to another place."""

    def __init__(self, flow: HTTPFlow, host: Host, verified: Verified) -> None:
        # the flow holds what it seals
        self._flow = ref(flow)
        self.host = host
        self._verified = verified
        self._way = _way(flow)
        self.broken = False

    def bind(self, flow: HTTPFlow) -> None:
        """Note the way that the flow has been sent on."""
        self._way = _way(flow)

    def holds(self, flow: HTTPFlow) -> bool:
        """Whether the flow still goes that way."""
        self.broken = self.broken or _way(flow) != self._way
        return not self.broken

    def opens(self) -> bool:
        """Whether the secrets may be written now."""
        flow = self._flow()
        if flow is None or not self.holds(flow):
            return False
        self.broken = not self._verified.leads_to(flow, self.host)
        return not self.broken


def _way(flow: HTTPFlow) -> tuple[str, int, str]:
    return flow.request.host, flow.request.port, flow.request.scheme
