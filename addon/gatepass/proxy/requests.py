"""A request decided and settled: its facts are read, what becomes of it is asked, and that is done to the flow.

Decides nothing itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

from mitmproxy import ctx
from mitmproxy.connection import Server
from mitmproxy.proxy.mode_specs import ReverseMode

from gatepass.assets.answers import Answer
from gatepass.assets.delivery import Rewrite, Serve
from gatepass.errors import printable
from gatepass.github.client import API_VERSION
from gatepass.github.statistics import Asked
from gatepass.placeholder import Watch
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.proxy import admission, connections, detour, facts, form, upstream, wire
from gatepass.proxy.detour import Detour
from gatepass.proxy.outcome import Found, Injected, Listed, Passed, Refused, indexed, outcome
from gatepass.proxy.seal import Seal

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow, Request

    from gatepass.forge.hosts import Host
    from gatepass.proxy.admission import Identities
    from gatepass.proxy.detour import Detours
    from gatepass.proxy.guard import Guard
    from gatepass.proxy.layers import Hosts
    from gatepass.proxy.life import Life
    from gatepass.proxy.outcome import Outcome
    from gatepass.proxy.seal import Verified
    from gatepass.proxy.state import State
    from gatepass.rules.values import Template
    from gatepass.secret import Secret


class Requests:
    """An addon that settles each request by what its headers say."""

    def __init__(
        self,
        life: Life,
        detours: Detours,
        hosts: Hosts,
        verified: Verified,
        guard: Guard,
        identities: Identities,
    ) -> None:
        self._life = life
        self._detours = detours
        self._hosts = hosts
        self._verified = verified
        self._guard = guard
        self._identities = identities

    def http_connect(self, flow: HTTPFlow) -> None:
        """Open no tunnel in which what comes first might be a body, and might be the tunnel's own."""
        if flow.response is not None or flow.error is not None or not facts.has_body(flow.request):
            return
        # RFC 9110, section 9.3.6: there is no content
        problem = catalogue.MALFORMED_REQUEST(what="a CONNECT has no body, and this one announces one")
        self._life.record.refused(flow, problem)
        flow.response = wire.refusal(flow, problem)
        flow.response.headers["Connection"] = "close"
        connections.linger(flow.client_conn)

    async def requestheaders(self, flow: HTTPFlow) -> None:
        state = self._life.state
        if state is None or flow.response or flow.error:
            return
        settled: Outcome | None = None
        try:
            host = self._hosts.get(flow.request, "")
            identity = self._identities.get(flow)
            # behind a company's TLS an index has a name of the company's
            any_name = facts.is_for_index(flow) and admission.is_no_page(state, flow.client_conn, identity)
            if fault := form.fault(flow, host, is_guarded=state.is_guarded, any_name=any_name):
                # mitmproxy shows the bytes of a method as they came, and some of those steer terminals
                flow.request.method = printable(flow.request.method)
                settled = Refused(fault)
            elif self._guard.is_reported(flow):
                settled = Passed()
            else:
                if identity is None and flow.is_replay != "request":
                    raise AssertionError("nobody has looked at who asks")
                request = facts.request(flow, identity, verified=not ctx.options.ssl_insecure)
                with state:
                    with Asked() as self._life.record.note(flow).asked:
                        if facts.is_for_index(flow):
                            in_place = isinstance(flow.client_conn.proxy_mode, ReverseMode)
                            settled = await indexed(state, request, flow.request.headers, in_place=in_place)
                        else:
                            settled = await outcome(state, request, flow.request.headers)
                    settled = await self._guarded(flow, settled)
            self._settle(flow, state, settled)
        finally:
            if settled is None:  # what nobody foresaw is logged by mitmproxy, which then would go on with the flow
                self._life.record.refused(flow, catalogue.INTERNAL())
                flow.response = wire.refusal(flow, catalogue.INTERNAL())

    async def _guarded(self, flow: HTTPFlow, settled: Outcome) -> Outcome:
        """The outcome, unless it leads where no connection may be made: an API's `Location` may say anything."""
        if isinstance(settled, Found) and isinstance(settled.plan, Serve | Rewrite):
            try:
                await self._guard.expect(flow, settled.plan.host)
            except Unresolvable as unresolvable:
                return Refused(unresolvable.problem.about(**settled.decision.ref.members))
        return settled

    def _settle(self, flow: HTTPFlow, state: State, settled: Outcome) -> None:
        """Answer the flow, or send it out."""
        original: Request | None = None
        seal: Seal | None = None
        match settled:
            case Passed(would_refuse=Refused(problem, rule)):
                self._life.record.would_refuse(flow, problem, rule)
                detour.pass_on(flow)
            case Passed():
                detour.pass_on(flow)
            case Refused(problem, rule, credential):
                self._life.record.refused(flow, problem, rule, credential)
                flow.response = wire.refusal(flow, problem)
                return
            case Listed(answer, problem, notices, rule):
                self._life.record.listed(flow, problem, notices, rule)
                flow.response = wire.written(answer)
                return
            case Injected(decision, secret):
                self._life.record.injected(flow, decision)
                sealed = {name: partial(_rendered, template, secret) for name, template in decision.headers}
                seal = Seal(flow, decision.host, self._verified)
                original = detour.inject(flow, decision.host, sealed, seal)
                if decision.is_unread:
                    flow.request.stream = False
            case Found(decision, source, plan):
                self._life.record.found(flow, decision, source)
                match plan:
                    case Answer():
                        flow.response = wire.written(plan)
                        return
                    case Serve(host, target):
                        _lead(flow, host)
                        seal = Seal(flow, host, self._verified)
                        original = detour.send(flow, host, target, seal)
                    case Rewrite(host, target, secret=secret, accept=accept):
                        _lead(flow, host)
                        headers = {"Accept": accept, "X-GitHub-Api-Version": API_VERSION}
                        sealed = {"Authorization": partial(_bearer, secret)}
                        seal = Seal(flow, host, self._verified)
                        original = detour.send(flow, host, target, seal, headers, sealed)
            case _:
                assert_never(settled)
        if state.placeholders is not None and flow.request.stream:
            flow.request.stream = Watch(state.placeholders)
        self._detours[flow] = Detour(state, settled, original, seal)


def _lead(flow: HTTPFlow, host: Host) -> None:
    """Have the files of an index that is a web server of its own come by the upstream proxy, where there is one."""
    if via := upstream.for_index(ctx.options, flow.client_conn.proxy_mode, host):
        flow.server_conn = Server(address=(host.name, host.port), via=via)


def _rendered(template: Template, secret: Secret | None) -> str:
    return template.render("" if secret is None else secret.reveal())


def _bearer(secret: Secret) -> str:
    return f"Bearer {secret.reveal()}"
