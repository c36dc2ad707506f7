"""Clients that the rules name no more: their tunnels end, in which nothing could be refused any more.

Knows who asks, and which connections are tunnels; what is decrypted is refused at its next request, by `admission`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from mitmproxy.proxy.layers import HttpLayer

from gatepass.proxy import admission, connections

if TYPE_CHECKING:
    from mitmproxy.proxy.layer import NextLayer

    from gatepass.proxy.admission import Identities
    from gatepass.proxy.life import Life
    from gatepass.proxy.state import State

logger: Final = logging.getLogger("gatepass")

_LOOK_SECONDS: Final = 2.0


class Leaving:
    """An addon that ends such tunnels within seconds of a reload."""

    def __init__(self, life: Life, identities: Identities) -> None:
        self._life = life
        self._identities = identities
        self._innermost = connections.Innermost()
        self._task: asyncio.Task[None] | None = None

    def next_layer(self, nextlayer: NextLayer) -> None:
        self._innermost.note(nextlayer)

    def running(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # not after a reload alone: what was let in before may become a tunnel only when its client says something
            if (state := self._life.state) is not None:
                self._end_tunnels(state)

    def _end_tunnels(self, state: State) -> None:
        for handler in connections.running():
            client = handler.client
            identity = self._identities.get(client)
            if identity is None or admission.is_known(state, identity):
                continue
            # None where a client that is known by SOCKS, or by its address, has said nothing yet
            if not isinstance(self._innermost.of(client), HttpLayer):
                logger.info("gatepass: a tunnel ends, whose client the rules do not name any more")
                connections.end(handler)
