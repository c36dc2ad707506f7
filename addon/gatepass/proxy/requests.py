"""A request decided and settled: its facts are read, what becomes of it is asked, and that is done to the flow.

Decides nothing itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

from mitmproxy import ctx

from gatepass.assets.answers import Answer
from gatepass.assets.delivery import Rewrite, Serve
from gatepass.github.client import API_VERSION, OCTET_STREAM
from gatepass.problems import catalogue
from gatepass.proxy import detour, facts, wire
from gatepass.proxy.detour import Detour
from gatepass.proxy.outcome import Found, Injected, Passed, Refused, outcome

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow, Request

    from gatepass.proxy.detour import Detours
    from gatepass.proxy.life import Life
    from gatepass.proxy.outcome import Outcome
    from gatepass.proxy.state import State
    from gatepass.rules.values import Template
    from gatepass.secret import Secret


class Requests:
    """An addon that settles each request by what its headers say."""

    name = "gatepass_requests"

    def __init__(self, life: Life, detours: Detours) -> None:
        self._life = life
        self._detours = detours

    async def requestheaders(self, flow: HTTPFlow) -> None:
        state = self._life.state
        if state is None or flow.response or flow.error:
            return
        settled = None
        try:
            request = facts.request(flow, verified=not ctx.options.ssl_insecure)
            settled = await outcome(state, request, flow.request.headers)
            self._settle(flow, state, settled)
        finally:
            if settled is None:  # what nobody foresaw is logged by mitmproxy, which then would go on with the flow
                flow.response = wire.refusal(flow, catalogue.INTERNAL())
            if flow.response is not None and not facts.is_short(flow.request):
                flow.kill()  # mitmproxy would hold all of the body before it looks at the answer

    def _settle(self, flow: HTTPFlow, state: State, settled: Outcome) -> None:
        """Answer the flow, or send it out."""
        original: Request | None = None
        match settled:
            case Passed():
                detour.pass_on(flow)
            case Refused(problem):
                self._life.record.refused(flow, problem)
                flow.response = wire.refusal(flow, problem)
                return
            case Injected(decision, secret):
                self._life.record.injected(flow, decision.rule)
                sealed = {name: partial(_rendered, template, secret) for name, template in decision.headers}
                original = detour.seal(flow, decision.rule.match.host, sealed)
            case Found(decision, source, plan):
                self._life.record.found(flow, decision, source)
                match plan:
                    case Answer():
                        flow.response = wire.written(plan)
                        return
                    case Serve(host, target):
                        original = detour.send(flow, host, target)
                    case Rewrite(host, target, secret=secret):
                        headers = {"Accept": OCTET_STREAM, "X-GitHub-Api-Version": API_VERSION}
                        sealed = {"Authorization": partial(_bearer, secret)}
                        original = detour.send(flow, host, target, headers, sealed)
            case _:
                assert_never(settled)
        self._detours[flow] = Detour(state, settled, original)


def _rendered(template: Template, secret: Secret | None) -> str:
    return template.render("" if secret is None else secret.reveal())


def _bearer(secret: Secret) -> str:
    return f"Bearer {secret.reveal()}"
