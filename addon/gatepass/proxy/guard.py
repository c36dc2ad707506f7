"""Where clients get to: each destination is judged, and the address that was judged is the one that is dialled.

Judges nothing itself: `gatepass.egress` does. Knows flows and connections, and no request's content. What it does not
foresee refuses.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import ctx
from mitmproxy.net.http.url import hostport
from mitmproxy.proxy.mode_specs import RegularMode, UpstreamMode

from gatepass.cache import Cache
from gatepass.egress import guard
from gatepass.forge.hosts import Host
from gatepass.github.client import CONNECT_SECONDS
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.proxy import facts, modes, upstream, wire

if TYPE_CHECKING:
    from mitmproxy.connection import Client, Server
    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.mode_specs import ProxyMode
    from mitmproxy.proxy.server_hooks import ServerConnectionHookData

    from gatepass.egress.destinations import Place
    from gatepass.problems.problem import Problem
    from gatepass.proxy.life import Life
    from gatepass.proxy.state import State

_UNFORESEEN: Final = catalogue.INTERNAL()

type _Judged = Cache[tuple[str, int], tuple[State, tuple[str, ...]]]
"""The addresses of a host, and the rules under which they were judged."""

_MOST_JUDGED: Final = 16
"""Destinations of one client connection: a plain request may name another each time."""
_JUDGED_SECONDS: Final = 300.0
_LATE: Final = "timed out"
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]", re.ASCII)


class Guard:
    """An addon that refuses what may not be reached, and has the rest dialled as it was judged.

    A request is judged when its host is known, a connection when it is made: whatever way led to it, a replay, SOCKS,
    the plan for an asset or another addon.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._judged: WeakKeyDictionary[Client, _Judged] = WeakKeyDictionary()
        self._dialled: WeakKeyDictionary[Server, _Dialled] = WeakKeyDictionary()
        self._faults: WeakKeyDictionary[Client, Problem] = WeakKeyDictionary()
        self._seconds: WeakKeyDictionary[Server, float] = WeakKeyDictionary()
        # what a connection's last request asked for, and the rules that let it
        self._allowed: WeakKeyDictionary[Client, tuple[State, tuple[str, int]]] = WeakKeyDictionary()
        self._reported: WeakSet[HTTPFlow] = WeakSet()

    # ------------------------------------------------------------- what is asked for

    async def http_connect(self, flow: HTTPFlow) -> None:
        await self._judge(flow, (flow.request.host, flow.request.port))

    async def requestheaders(self, flow: HTTPFlow) -> None:
        self._faults.pop(flow.client_conn, None)
        state = self._life.state
        if state is None or not state.is_guarded:
            return
        address = flow.request.host, flow.request.port
        client, asked = flow.client_conn, address if flow.is_replay else _asked(flow.client_conn, address)
        # of a connection that is decrypted all requests ask for the same; what is dialled for one is judged in any case
        if self._allowed.get(client) != (state, asked):
            await self._judge(flow, asked)
            if flow.response is None and flow.error is None and not self.is_reported(flow):
                self._allowed[client] = state, asked
        if flow.request.scheme == "http" and isinstance(flow.client_conn.proxy_mode, modes.EXPLICIT):
            # RFC 9112, section 3.2.2: who was asked for is in the URL, and what Host says besides is of no account
            flow.request.headers["Host"] = hostport("http", *address)

    async def _judge(self, flow: HTTPFlow, address: tuple[str, int]) -> None:
        state = self._life.state
        if state is None or not state.is_guarded or flow.response is not None or flow.error is not None:
            return
        if facts.is_index((flow.request.host, flow.request.port)):
            return  # answered here: nothing is dialled, and nobody asked for the name
        problem: Problem | None = _UNFORESEEN
        try:
            problem = await self._problem(state, flow, guard.place_of(*address))
        except Unresolvable as unresolvable:
            problem = unresolvable.problem
        finally:  # what nobody foresaw is logged by mitmproxy, which then would go on with the flow
            if problem is not None:
                self._life.record.refused(flow, problem)
                flow.response = wire.refusal(flow, problem)

    async def _problem(self, state: State, flow: HTTPFlow, place: Place) -> Problem | None:
        if refusal := state.reach.refusal(place):
            if not state.rules.access.is_reporting:
                return refusal
            self._reported.add(flow)
            self._life.record.would_refuse(flow, refusal)
        if isinstance(flow.client_conn.proxy_mode, UpstreamMode):
            guard.expect_literal(state.reach, place)  # its name is for the upstream proxy to resolve
        else:
            await self._addresses(state, flow.client_conn, place)
        return None

    def is_reported(self, flow: HTTPFlow) -> bool:
        """Whether the request passes only because refusals are told alone: then it gets no credential."""
        return flow in self._reported

    async def expect(self, flow: HTTPFlow, host: Host) -> None:
        """Judge where we send a flow ourselves; the client has no part in it, so `allow` and `deny` are not asked.

        Raises:
            Unresolvable: no connection may be made there.
        """
        state = self._life.state
        if state is None or not state.is_guarded:
            return
        place = guard.place_of(host.name, host.port)
        mode = flow.client_conn.proxy_mode
        if isinstance(mode, UpstreamMode) or upstream.for_index(ctx.options, mode, host):
            guard.expect_literal(state.reach, place)
        else:
            await self._addresses(state, flow.client_conn, place)

    def known(self, client: Client, address: tuple[str, int]) -> tuple[str, ...]:
        """The addresses by which that server is dialled for that client, as far as it was judged."""
        try:
            place = guard.place_of(*address)
        except Unresolvable:
            return ()
        judged = self._judged.get(client)
        found = judged.get((place.name, place.port)) if judged else None
        return found[1] if found is not None and found[0] is self._life.state else ()

    async def _addresses(self, state: State, client: Client, place: Place) -> tuple[str, ...]:
        """Those that were judged for that client connection already, by the same rules, or now."""
        judged = self._judged.get(client)
        if judged is None:
            judged = self._judged[client] = Cache(_MOST_JUDGED, time.monotonic)
        key = place.name, place.port
        known = judged.get(key)
        if known is not None and known[0] is state:
            return known[1]
        found = await guard.dialled(state.reach, self._life.lookup, place)
        judged.put(key, (state, found), _JUDGED_SECONDS)
        return found

    # -------------------------------------------------------------- what is dialled

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """The last word on every connection. Is called again when other addons have had theirs: see `Last`."""
        state, server = self._life.state, data.server
        if state is None or not state.is_guarded or server.error is not None or server.address is None:
            return
        dialled = self._dialled.get(server)
        if dialled is not None and dialled.judged == server.address:
            return
        problem: Problem | None = _UNFORESEEN
        try:
            if (chosen := await self._chosen(state, data.client, server)) is not None:
                if dialled is not None:
                    dialled.timer.cancel()
                seconds = self._seconds.get(server, CONNECT_SECONDS)
                self._dialled[server] = _Dialled(server.address, chosen, _deadline(seconds))
                server.address = chosen
            problem = None
        except Unresolvable as unresolvable:
            problem = unresolvable.problem
        finally:
            if problem is not None:
                self._restore(server)
                self._faults[data.client] = problem
                server.error = problem.title

    async def _chosen(self, state: State, client: Client, server: Server) -> tuple[str, int] | None:
        """What to dial for a server; None where it is to be dialled as it is.

        Raises:
            Unresolvable: it may not be.
        """
        assert server.address is not None
        address = server.address[0], server.address[1]
        mode = client.proxy_mode
        if server.via is None and address == _upstream(mode):
            return None  # the upstream proxy, which the user names; what lies behind it was judged as it was asked for
        found = self.known(client, address)
        if not found:
            place = guard.place_of(*_asked(client, address))
            is_tunnel = not isinstance(mode, RegularMode | UpstreamMode) and not client.tls_established
            if is_tunnel and (refusal := state.reach.refusal(place)):
                # in these modes nothing is known of a tunnel before
                if not state.rules.access.is_reporting:
                    raise Unresolvable(refusal)
                self._life.record.would_refuse_connection(client, refusal)
            found = await self._addresses(state, client, place)
        return self._life.lookup.best(found), address[1]

    def give(self, server: Server, seconds: float) -> None:
        """Let that connection take so long: there may be another address to try."""
        self._seconds[server] = seconds

    def fault(self, flow: HTTPFlow) -> Problem | None:
        """Why the flow's server was not connected to, if it was not: a client's requests come one after the other."""
        return self._faults.pop(flow.client_conn, None)

    def server_connected(self, data: ServerConnectionHookData) -> None:
        self._restore(data.server)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        server = data.server
        if (dialled := self._restore(server)) is None:
            return
        self._life.lookup.failed(dialled.judged[0])
        host = Host(dialled.asked[0], dialled.asked[1])
        if server.error == _LATE:
            self._faults[data.client] = catalogue.TIMED_OUT(host=host, seconds=CONNECT_SECONDS)
            return
        told = server.error or "no connection"
        error = os.strerror(int(number[1])).lower() if (number := _ERRNO.match(told)) else told
        self._faults[data.client] = catalogue.UNREACHABLE(host=host, error=f"{error} (at {dialled.judged[0]})")

    def _restore(self, server: Server) -> _Dialled | None:
        """Give a connection its name back: TLS verifies by it, and the next request finds the connection by it."""
        if (dialled := self._dialled.pop(server, None)) is not None:
            dialled.timer.cancel()
            # mitmproxy forbids it on an open connection, lest it be taken for another's: it is the one it was asked for
            object.__setattr__(server, "address", dialled.asked)
        return dialled


def _deadline(seconds: float) -> asyncio.TimerHandle:
    """What ends this task, which goes on to connect: mitmproxy has no deadline, and the system's is minutes."""
    task = asyncio.current_task()
    assert task is not None
    return asyncio.get_running_loop().call_later(seconds, task.cancel, _LATE)


class _Dialled:
    """A connection under way: what was asked for, what is dialled, and what ends it when it takes too long."""

    __slots__ = ("asked", "judged", "timer")

    def __init__(self, asked: tuple[str, int], judged: tuple[str, int], timer: asyncio.TimerHandle) -> None:
        self.asked = asked
        self.judged = judged
        self.timer = timer


def _upstream(mode: ProxyMode) -> tuple[str, int] | None:
    """The address of the proxy by which connections of that mode go out."""
    if isinstance(mode, UpstreamMode):
        return mode.address
    found = upstream.way(ctx.options) if modes.is_index(mode) else None
    return None if found is None else (found[1][0], found[1][1])


def _asked(client: Client, address: tuple[str, int]) -> tuple[str, int]:
    """What a client wants. Where it only tells an address the name in its SNI counts, and is what is dialled: it could
    claim any name for any address.
    """
    is_transparent = isinstance(client.proxy_mode, modes.TRANSPARENT)
    if is_transparent and client.sni and guard.place_of(*address).literals:
        return client.sni, address[1]
    return address
