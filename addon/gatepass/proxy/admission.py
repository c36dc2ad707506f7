"""Who asks: settled when a connection asks for the first time, before anything else is done; and their limits.

Knows of requests who sends them; where they go and what becomes of them is for others. What goes wrong here refuses.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import RegularMode, ReverseMode, Socks5Mode, UpstreamMode

from gatepass.egress import forwarded
from gatepass.egress.attempts import Attempts
from gatepass.egress.identity import Identity, Unknown, read_address
from gatepass.egress.limits import Usage
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.proxy import connections, facts, socks, wire
from gatepass.rules.access import Networks

if TYPE_CHECKING:
    from mitmproxy.proxy.layers.modes import Socks5AuthData

    from gatepass.egress.clients import Answer
    from gatepass.egress.identity import Address
    from gatepass.proxy.life import Life
    from gatepass.proxy.state import State

_UNFORESEEN: Final = catalogue.INTERNAL()

type Identities = WeakKeyDictionary[Client | HTTPFlow, Identity]
"""Who opened a connection, and who sent a request."""

logger: Final = logging.getLogger("gatepass")

_REALM: Final = 'Basic realm="gatepass", charset="UTF-8"'


class Admission:
    """An addon that lets nobody in whom the rules do not know, nor more of anybody than they say."""

    def __init__(self, life: Life, identities: Identities) -> None:
        self._life = life
        self._record = life.record
        self._identities = identities
        self._attempts = Attempts(time.monotonic)
        self._usage = Usage(time.monotonic)
        # who is known for all that a connection asks, since its first request, or since its begin
        self._settled: WeakSet[Client] = WeakSet()
        self._counted: WeakKeyDictionary[Client, str] = WeakKeyDictionary()

    # -------------------------------------------------------------- connections

    async def client_connected(self, client: Client) -> None:
        """Where a client cannot say who it is its address tells, or it is turned away."""
        state = self._life.state
        if state is None or _speaks_http(client) or client.error:
            return
        try:
            identity = self._by_address(state, _peer(client))
            if isinstance(client.proxy_mode, Socks5Mode) and state.clients.are_named and not ctx.options.proxyauth:
                socks.ask(client, needs_password=identity is None)
                if identity is None:
                    return
            problem = await self._enter(state, client, identity or Unknown())
        except Exception:
            logger.exception("gatepass: who connects was not found out")
            problem = _UNFORESEEN
        if problem is not None:
            client.error = f"gatepass: {problem.title}"
            self._record.turned_away(str(client.peername[0]), problem)

    async def socks5_auth(self, data: Socks5AuthData) -> None:
        state, client = self._life.state, data.client_conn
        if state is None or not state.clients.are_named or ctx.options.proxyauth:
            return
        try:
            # whom its address has told is nobody when the password does not
            self._leave(client)
            self._settled.discard(client)
            self._identities.pop(client, None)
            with state:
                answer = await state.clients.by_password(data.username, data.password, _peer(client), self._attempts)
            problem = await self._enter(state, client, answer)
        except Exception:
            logger.exception("gatepass: who asks was not found out")
            problem = _UNFORESEEN
        data.valid = problem is None
        if problem is not None:
            self._record.turned_away(str(client.peername[0]), problem)

    def client_disconnected(self, client: Client) -> None:
        self._leave(client)

    async def _enter(self, state: State, client: Client, answer: Answer) -> Problem | None:
        """Let somebody have a connection for all that it asks; or why not."""
        if not isinstance(answer, Identity):
            return _told(answer, is_proxy=True)
        if (problem := await self._count(state, client, answer)) is None:
            self._identities[client] = answer
            self._settled.add(client)
            self._record.who[client] = answer
        return problem

    async def _count(self, state: State, client: Client, identity: Identity) -> Problem | None:
        """Count a connection for whom it is now; or why that is one too many."""
        account = identity.account
        if self._counted.get(client) == account:
            return None
        self._leave(client)
        limits = state.rules.access.limits
        problem = self._usage.connect(account, limits)
        if problem is None:
            self._counted[client] = account
            if state.store.is_shared:
                problem = await self._usage.connected(account, limits, state.store)
                if problem is not None:
                    self._leave(client)
        return problem

    def _leave(self, client: Client) -> None:
        account = self._counted.pop(client, None)
        if account is not None:
            self._usage.disconnect(account)

    # ----------------------------------------------------------------- requests

    async def http_connect(self, flow: HTTPFlow) -> None:
        await self._admit(flow)

    def http_connected(self, flow: HTTPFlow) -> None:
        """From now on all that comes is of whom the connection was opened for; after a refusal it may be another's."""
        if (identity := self._identities.get(flow)) is not None:
            self._settled.add(flow.client_conn)
            self._record.who[flow.client_conn] = self._record.who.get(flow, identity)

    async def requestheaders(self, flow: HTTPFlow) -> None:
        if flow.is_replay != "request":  # that is the proxy's own user's, who has no name
            await self._admit(flow)

    async def _admit(self, flow: HTTPFlow) -> None:
        state = self._life.state
        if state is None or flow.response or flow.error:
            return
        refusal: Unknown | Problem | None = _UNFORESEEN
        try:
            with state:
                refusal = await self._refusal(state, flow)
        except Unresolvable as unresolvable:
            refusal = unresolvable.problem
        except Exception:  # mitmproxy would go on with the flow
            logger.exception("gatepass: who asks was not found out")
        if refusal is not None:
            try:
                self._refuse(flow, refusal)
            finally:
                if flow.response is None:
                    flow.kill()

    async def _refusal(self, state: State, flow: HTTPFlow) -> Unknown | Problem | None:
        """Why a request is not let in; None when it is, for it is known who asks."""
        answer, client = await self._asked(state, flow), flow.client_conn
        if not isinstance(answer, Identity):
            return answer
        known = flow.metadata.get("proxyauth")  # whom mitmproxy has asked for itself
        self._record.who[flow] = replace(answer, user=known[0]) if known and answer.client is None else answer
        problem = await self._count(state, client, answer) or await self._requested(state, answer.account)
        if problem is None:
            self._identities[flow] = self._identities[client] = answer
        return problem

    async def _requested(self, state: State, account: str) -> Problem | None:
        limits, store = state.rules.access.limits, state.store
        problem = self._usage.request(account, limits, is_shared=store.is_shared)
        if problem is None and store.is_shared:
            return await self._usage.requested(account, limits, store)
        return problem

    async def _asked(self, state: State, flow: HTTPFlow) -> Answer:
        client = flow.client_conn
        if client in self._settled and flow.request.method != "CONNECT":
            identity = self._identities[client]
            if is_known(state, identity):
                return identity
            self._record.who[flow] = identity
            return catalogue.CLIENT_GONE()
        headers = flow.request.headers
        told = headers.get_all("X-Forwarded-For")
        address = forwarded.client(_peer(client), told, state.rules.access.trusted_proxies)
        self._record.who[flow] = Identity(None, None, None, str(address))
        if ctx.options.proxyauth or not state.clients.are_named:
            return self._by_address(state, address) or Unknown()
        # what was meant for this proxy goes no further, to another addon neither
        authorization = headers.pop(_header(client), None)
        return await state.clients.identify(authorization, address, self._attempts)

    def _by_address(self, state: State, address: Address) -> Identity | None:
        """Who has that address; without a name where mitmproxy itself has asked for a password."""
        identity = state.clients.by_address(address)
        if identity is None and ctx.options.proxyauth:
            return Identity(None, None, None, str(address))
        return identity

    def _refuse(self, flow: HTTPFlow, refusal: Unknown | Problem) -> None:
        is_proxy = not isinstance(flow.client_conn.proxy_mode, ReverseMode)
        problem = _told(refusal, is_proxy=is_proxy)
        name = "Proxy-Authenticate" if is_proxy else "WWW-Authenticate"
        flow.response = wire.refusal(flow, problem, {name: _REALM} if isinstance(refusal, Unknown) else {})
        if facts.has_body(flow.request):
            flow.response.headers["Connection"] = "close"
            connections.linger(flow.client_conn)
        self._record.refused(flow, problem)


def is_known(state: State, identity: Identity) -> bool:
    """Whether who was let in before would be now: the rules may have changed. mitmproxy's own password has no name."""
    return state.clients.knows(identity) or (identity.client is None and bool(ctx.options.proxyauth))


def is_no_page(state: State, client: Client, identity: Identity | None) -> bool:
    """Whether a request cannot come of a page that has lured a browser here, by a name that leads here (DNS rebinding).

    Who asks has shown a password or a token, or is a proxy that the rules trust.
    """
    if ctx.options.proxyauth or any(_peer(client) in network for network in state.rules.access.trusted_proxies):
        return True
    if identity is None or identity.client is None:
        return False
    shown = (each.proof for each in state.rules.access.clients if each.name == identity.client)
    return not any(isinstance(proof, Networks) for proof in shown)


def _told(answer: Unknown | Problem, *, is_proxy: bool) -> Problem:
    if isinstance(answer, Problem):
        return answer
    what = answer.what
    return (
        catalogue.PROXY_AUTHENTICATION_REQUIRED(what=what) if is_proxy else catalogue.AUTHENTICATION_REQUIRED(what=what)
    )


def _speaks_http(client: Client) -> bool:
    """Whether a client can say in each request who it is."""
    mode = client.proxy_mode
    return isinstance(mode, RegularMode | UpstreamMode) or (
        isinstance(mode, ReverseMode) and mode.scheme in ("http", "https", "http3")
    )


def _header(client: Client) -> str:
    """Where it says so: to a reverse proxy as to any server."""
    return "Authorization" if isinstance(client.proxy_mode, ReverseMode) else "Proxy-Authorization"


def _peer(client: Client) -> Address:
    return read_address(str(client.peername[0]))
