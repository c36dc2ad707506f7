"""Tunnels that are opened at CONNECT: a dead destination is told there, and a server that speaks first is heard.

Knows what `guard` judged, and no layer of mitmproxy's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx
from mitmproxy.connection import Server

from gatepass.forge.hosts import Host
from gatepass.github.client import CONNECT_SECONDS
from gatepass.problems import catalogue
from gatepass.proxy import facts, failures, upstream, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitmproxy.http import HTTPFlow, Response

    from gatepass.proxy.guard import Guard
    from gatepass.proxy.life import Life

SECONDS: Final = CONNECT_SECONDS
"""In which a tunnel is there, or its client is told why not."""

_MOST_ATTEMPTS: Final = 4


class Eager:
    """Which tunnels are opened so, and how."""

    def __init__(self, life: Life, guard: Guard) -> None:
        self._life = life
        self._guard = guard

    def opens(self, flow: HTTPFlow) -> bool:
        """Whether the server is connected to at once: where destinations are guarded, and nothing is decrypted.

        What is decrypted may never need its own server: an asset comes from another.
        """
        state = self._life.state
        if state is None or not state.is_guarded or facts.is_own_name(flow.request.host):
            return False
        return not state.rules.names(facts.destination(flow.client_conn, (flow.request.host, flow.request.port)))

    def attempts(self, flow: HTTPFlow) -> Iterator[Server]:
        """The connections to try, one after the other, while there are addresses, time, and the client."""
        end = time.monotonic() + SECONDS
        address = flow.request.host, flow.request.port
        left = min(_MOST_ATTEMPTS, max(1, len(self._guard.known(flow.client_conn, address))))
        server = flow.server_conn
        while True:
            self._guard.give(server, (end - time.monotonic()) / left)
            yield server
            left -= 1
            # of a client that has gone nobody would close the next one
            if not left or time.monotonic() > end or flow.client_conn.timestamp_end is not None:
                return
            server = Server(address=address)

    def refusal(self, flow: HTTPFlow, error: str | None) -> Response:
        """What the client is told when none came about: why, in mitmproxy's words; None when time has run out."""
        host = Host(flow.request.host.lower(), flow.request.port)
        problem = self._guard.fault(flow) or (
            catalogue.TIMED_OUT(host=host, seconds=SECONDS)
            if error is None
            else failures.problem(error, host, flow.server_conn, upstream.trust_name(ctx.options))
        )
        self._life.record.refused(flow, problem)
        return wire.refusal(flow, problem)
