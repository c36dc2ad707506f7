"""What becomes of a request: how it goes on, or what it is answered with.

Values, made without a flow, and kept until the upstream's answer is there, which is judged by them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gatepass.assets import delivery
from gatepass.decision import Inject, Pass, Refuse, Resolve, decide
from gatepass.errors import GatepassError
from gatepass.forge.urls import AssetRef
from gatepass.github.client import TOTAL_SECONDS
from gatepass.github.statistics import spending
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.rules.model import CallApi
from gatepass.secret import Audience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.assets.answers import Answer
    from gatepass.assets.delivery import Plan
    from gatepass.assets.source import Source
    from gatepass.decision import Request
    from gatepass.forge.sources import DownloadRef
    from gatepass.problems.problem import Problem
    from gatepass.proxy.state import State
    from gatepass.secret import Secret

_METADATA: Final = ".whl.metadata"  # PEP 658


@dataclass(frozen=True, slots=True)
class Passed:
    """It goes on as it came; `ref` is the asset or source that it asks for, where a 404 is to be explained.

    `would_refuse` is why it would not if the rules did not only report.
    """

    ref: DownloadRef | None = None
    would_refuse: Refused | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It is answered with a problem; the names of the rule that it falls under, and of its credential, if any."""

    problem: Problem
    rule: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Injected:
    """It goes on where it was going, with headers set; `secret` is None when all of them are literal."""

    decision: Inject
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class Found:
    """The asset, archive or file that it asks for was found, and the client gets it by that plan."""

    decision: Resolve
    source: Source
    plan: Plan


@dataclass(frozen=True, slots=True)
class Listed:
    """The package index answers it; `problem` is why that is no page, and `notices` are what users should know."""

    answer: Answer
    problem: Problem | None = None
    notices: tuple[str, ...] = ()
    rule: str | None = None


type Outcome = Passed | Refused | Injected | Found | Listed


async def outcome(state: State, request: Request, headers: Mapping[str, str]) -> Outcome:
    """What becomes of a request, of which `headers` are the client's; they must find names whatever their case.

    All that can go wrong on the way is in it. Takes `TOTAL_SECONDS` at the most.
    """
    decision = decide(request, state.rules, state.placeholders)
    match decision:
        case Pass(ref, would_refuse):
            return Passed(ref, None if would_refuse is None else Refused(would_refuse.problem, would_refuse.rule))
        case Refuse(problem, rule):
            return Refused(problem, rule)
        case Inject(host=host, credential=credential, forge=forge):
            if credential is None:
                return Injected(decision, None)
            repository = decision.repository
            if repository and forge and decision.anonymous_first:
                is_public = await state.resolver.is_public(forge, repository)
                if is_public:
                    return Passed()
            audience = Audience(host, forge, repository, decision.permissions)
            try:
                with spending(credential.name):
                    secret = await state.credentials.secret(credential, audience)
                    refused = await _numbered(state, decision, request, secret)
                    return Injected(decision, secret) if refused is None else refused
            except (Unresolvable, GatepassError) as error:
                return Refused(_problem(error), decision.rule.name, credential.name)
            except TimeoutError:
                problem = catalogue.TIMED_OUT(host=host, seconds=TOTAL_SECONDS)
                return Refused(problem, decision.rule.name, credential.name)
        case Resolve():
            return await _resolved(state, decision, request.method, headers)


async def _numbered(state: State, decision: Inject, request: Request, secret: Secret) -> Refused | None:
    """Why what is asked for by a repository's number is refused: it is none of the rule's, or not known to be."""
    call, action, forge = decision.call, decision.rule.action, decision.forge
    if call is None or call.number is None or forge is None or not isinstance(action, CallApi):
        return None
    assert decision.credential is not None
    async with asyncio.timeout(TOTAL_SECONDS):
        found = await state.numbers.repository(forge, call.number, decision.credential.name, secret)
    if found is not None and action.covers(found):
        return None
    name = f"{request.method} {request.path.partition('?')[0]}"
    problem = catalogue.API_OUTSIDE_RULES(name=name, names=[f"{action.owner}/{action.name}"])
    return Refused(problem, decision.rule.name, decision.credential.name)


async def indexed(state: State, request: Request, headers: Mapping[str, str], *, in_place: bool) -> Outcome:
    """What becomes of a request for the package indexes; `in_place` where these are a web server of their own."""
    from gatepass.index import answers as index  # whose libraries take a tenth of a second, which not every start pays

    path = request.path.partition("?")[0]
    asked = index.Request(request.method, path, headers, request.client, in_place, request.account)
    try:
        found = await state.index.answer(asked)
    except GatepassError as error:
        return Refused(_problem(error))
    match found:
        case index.Told(answer, problem, notices):
            return Listed(answer, problem, notices)
        case index.Asked(decision) if not request.verified:
            return Refused(catalogue.UNVERIFIED_UPSTREAM(host=decision.forge.web), decision.rule.name)
        case index.Asked(decision) if request.has_body:
            return Refused(catalogue.UNEXPECTED_BODY(), decision.rule.name)
        case index.Asked(decision):
            return await _resolved(state, decision, request.method, headers, is_listed=True)


async def _resolved(
    state: State, decision: Resolve, method: str, headers: Mapping[str, str], *, is_listed: bool = False
) -> Outcome:
    """The asset, and how the client gets it; `is_listed` where an index has looked what there is for that URL."""
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            if not is_listed and isinstance(decision.ref, AssetRef) and decision.ref.name.endswith(_METADATA):
                answer = await state.index.metadata(decision, method, headers)
                if answer is not None:
                    return Listed(answer, rule=decision.rule.name)
            source = await state.resolver.resolve(decision)
            if source is None:
                return Passed()
            return Found(decision, source, await delivery.plan(state.resolver, source, method, headers))
    except (Unresolvable, GatepassError) as error:
        problem = _problem(error)
    except TimeoutError:
        problem = catalogue.TIMED_OUT(host=decision.forge.api_host, seconds=TOTAL_SECONDS)
    names = [each.name for each in decision.credentials]
    used = problem.members.get("credential", names[0] if len(names) == 1 else "")
    return Refused(problem.about(**decision.ref.members), decision.rule.name, str(used) or None)


def _problem(error: Unresolvable | GatepassError) -> Problem:
    """A GatepassError comes of a file of CAs that has gone since the start."""
    return (
        error.problem
        if isinstance(error, Unresolvable)
        else catalogue.MISCONFIGURED(message=error.message, hint=error.hint)
    )
