"""A socket that has listened since before mitmproxy was there, in place of one that mitmproxy would bind itself.

Who comes early waits in the system's queue. Knows neither who that is, nor when it is time to serve them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.mode_servers import AsyncioServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

if TYPE_CHECKING:
    import socket


async def take_over(door: socket.socket) -> asyncio.Server:
    """Have the one server of mitmproxy's options be at `door`, which is bound where they say.

    It serves nobody before its `start_serving` is called: mitmproxy would, before all addons are at work.
    """
    proxyserver = ctx.master.addons.get("proxyserver")
    assert isinstance(proxyserver, Proxyserver)
    (mode,) = map(ProxyMode.parse, ctx.options.mode)
    instance: AsyncioServerInstance[Any] = AsyncioServerInstance.make(mode, proxyserver)
    server = await asyncio.start_server(instance.handle_stream, sock=door, start_serving=False)

    async def listen(host: str, port: int) -> list[asyncio.Server]:  # noqa: ARG001 — the door is there already
        return [server]

    instance.listen = listen  # type: ignore[method-assign,assignment]  # mitmproxy has no option for a socket
    await instance.start()
    # what is there when mitmproxy sets up its servers it lets be; listeners, guard and drain find it as any other
    vars(proxyserver.servers)["_instances"][mode] = instance
    return server
