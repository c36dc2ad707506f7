"""What is done when all other addons have had their turn: the last in the chain.

Knows what was settled, and settles nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.problems import catalogue
from gatepass.proxy import layers, tunnels, wire

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.layer import NextLayer
    from mitmproxy.proxy.server_hooks import ServerConnectionHookData

    from gatepass.proxy.detour import Detours
    from gatepass.proxy.eager import Eager
    from gatepass.proxy.guard import Guard
    from gatepass.proxy.layers import Answers, Hosts
    from gatepass.proxy.record import Record
    from gatepass.proxy.tunnels import Watcher


class Last:
    """An addon that mitmproxy is given when it runs."""

    name = "gatepass_last"

    def __init__(
        self,
        record: Record,
        detours: Detours,
        hosts: Hosts,
        answers: Answers,
        guard: Guard,
        eager: Eager,
        watcher: Watcher,
    ) -> None:
        self._record = record
        self._detours = detours
        self._hosts = hosts
        self._answers = answers
        self._guard = guard
        self._eager = eager
        self._watcher = watcher

    def next_layer(self, nextlayer: NextLayer) -> None:
        layers.extend(nextlayer, self._hosts, self._answers, self._eager)
        tunnels.extend(nextlayer, self._watcher)

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """Another addon may have chosen another address: that one is judged, too."""
        await self._guard.server_connect(data)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Ask for no body of a request that is answered, whoever answered it."""
        if flow.response is not None:
            flow.request.headers.pop("expect", None)

    def request(self, flow: HTTPFlow) -> None:
        """Send no secret on a way that another addon has chosen."""
        detour = self._detours.get(flow)
        if detour is None or detour.seal is None or flow.response is not None or detour.seal.holds(flow):
            return
        self._detours.pop(flow).restore(flow)
        problem = catalogue.LED_ELSEWHERE(host=detour.seal.host)
        self._record.refused(flow, problem)
        if flow.request.stream:  # mitmproxy takes no answer any more
            flow.kill()
        else:
            flow.response = wire.refusal(flow, problem)
