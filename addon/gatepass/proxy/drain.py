"""The end of a proxy that others rely on: no new connections, and what has begun is finished, within a time.

Knows connections and their layers; no rule, and no signal.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from mitmproxy import ctx
from mitmproxy.proxy.layers import HttpLayer

from gatepass.proxy import connections

if TYPE_CHECKING:
    from asyncio import Transport

    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.layer import NextLayer

logger: Final = logging.getLogger("gatepass")

_LOOK_SECONDS: Final = 0.05
_FIRST_SECONDS: Final = 3.0
"""So long a client that has just connected may take to ask for the first time."""


class Drain:
    """An addon that ends the proxy in order. `delay` and `most` are in seconds: until no connection is taken any more,
    and from then on for what has begun.
    """

    name = "gatepass_drain"

    def __init__(self, delay: float, most: float) -> None:
        self.draining = False
        """From the moment on in which it is told to end: it should get nothing new."""
        self._delay = delay
        self._most = most
        self._task: asyncio.Task[None] | None = None
        self._innermost = connections.Innermost()
        self._transports: WeakSet[Transport] = WeakSet()

    def begin(self) -> None:
        """End in order; asked again, at once."""
        if self._task is None:
            self.draining = True
            self._task = asyncio.get_running_loop().create_task(self._drain())
        else:
            ctx.master.shutdown()

    def client_connected(self, client: Client) -> None:
        if (transport := connections.transport(client)) is not None:
            self._transports.add(transport)

    def next_layer(self, nextlayer: NextLayer) -> None:
        self._innermost.note(nextlayer)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Let clients take their next request elsewhere."""
        if self.draining and flow.response is not None and flow.response.status_code >= 200:
            flow.response.headers["Connection"] = "close"

    async def _drain(self) -> None:
        logger.info("gatepass: ends, and lets finish what has begun, for %g s; another signal ends it", self._most)
        await asyncio.sleep(self._delay)
        loop = asyncio.get_running_loop()
        await connections.refuse_new()
        begun = loop.time()
        was_quiet = False
        while loop.time() < begun + self._most:
            await asyncio.sleep(_LOOK_SECONDS)  # first of all what has arrived meanwhile is read
            left = connections.running()
            for handler in left:
                if self._is_idle(handler.client, patient=loop.time() < begun + _FIRST_SECONDS):
                    connections.end(handler)
            is_quiet = not left and not any(transport.get_write_buffer_size() for transport in self._transports)
            if is_quiet and was_quiet:  # who has just been let in may not be counted yet
                break
            was_quiet = is_quiet
        else:
            logger.warning("gatepass: connections cut after %g s: %d", self._most, len(connections.running()))
        ctx.master.shutdown()

    def _is_idle(self, client: Client, *, patient: bool) -> bool:
        """Whether nothing goes on between a client and its servers: it has had its answers, or never asked."""
        layer = self._innermost.of(client)
        if layer is None:
            return not patient
        if not isinstance(layer, HttpLayer) or layer.streams:
            return False
        # none as long as TLS is being set up; and in HTTP/1 each request has a number
        asked = layer.connections.get(client)
        return not patient or (asked is not None and getattr(asked, "stream_id", None) != 1)
