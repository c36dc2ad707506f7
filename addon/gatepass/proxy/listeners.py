"""The proxy's own listeners: a request to one of them, by whatever name, would come back for ever.

Knows addresses, and neither rules nor what a request asks for.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver

from gatepass.problems import catalogue
from gatepass.proxy import facts, wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.server_hooks import ServerConnectionHookData

    from gatepass.proxy.guard import Guard
    from gatepass.proxy.record import Record

_RESOLVE_SECONDS: Final = 5.0


class Listeners:
    """An addon that refuses what leads back here, where it can be told: to plain requests, and to CONNECT."""

    def __init__(self, record: Record, guard: Guard) -> None:
        self._record = record
        self._guard = guard

    async def requestheaders(self, flow: HTTPFlow) -> None:
        if flow.request.scheme == "http" and flow.response is None:
            await self._refuse(flow)

    async def http_connect(self, flow: HTTPFlow) -> None:
        if flow.response is None:
            await self._refuse(flow)

    async def _refuse(self, flow: HTTPFlow) -> None:
        host, port = flow.request.host, flow.request.port
        if facts.is_own_name(host):
            return  # a name of its own, which nobody is asked for
        known = self._guard.known(flow.client_conn, (host, port))
        if await is_own(host, port, self._record.ledger.own_ports, known):
            problem = catalogue.PROXY_ITSELF(name=f"{host}:{port}")
            self._record.refused(flow, problem)
            flow.response = wire.refusal(flow, problem)

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """The last word, for those who ask in another way (SOCKS), or by a name that has another address now."""
        ports = self._record.ledger.own_ports
        if data.server.error is None and data.server.address and await is_own(*data.server.address[:2], ports):
            data.server.error = "this is the proxy itself"


async def is_own(host: str, port: int, ports: Collection[int] = (), known: Iterable[str] = ()) -> bool:
    """Whether one of this proxy's listeners has that address, by any of the machine's names and addresses.

    `ports` are those of listeners that mitmproxy knows nothing of. The host is not asked for again where its addresses
    are `known`.
    """
    server = ctx.master.addons.get("proxyserver")
    own = {address[1] for address in server.listen_addrs()} if isinstance(server, Proxyserver) else set()
    if port not in own and port not in ports:
        return False
    if known:
        families = ((socket.AF_INET6 if ":" in each else socket.AF_INET, (each, port)) for each in known)
        return any(_is_local(family, address) for family, address in families)
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            # spellings such as `127.1` or `2130706433` are names to us, and addresses to the resolver
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError, UnicodeError):
        return False  # where it has no address nobody can be asked
    return any(_is_local(family, address) for family, _, _, _, address in found)


def _is_local(family: int, address: tuple[Any, ...]) -> bool:
    """Whether it is an address of this machine's: the system lets nobody bind another."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True
