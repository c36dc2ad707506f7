"""A response finished: an upstream's answer is judged by what became of its request, and made the client's.

Knows what was decided, and decides nothing anew.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx
from mitmproxy.connection import ConnectionState
from mitmproxy.http import Headers

from gatepass.assets import answers, check
from gatepass.assets.answers import Answer
from gatepass.assets.check import Check
from gatepass.assets.delivery import Rewrite, Serve
from gatepass.assets.source import REFUSED
from gatepass.forge import graphql
from gatepass.forge.hosts import Host
from gatepass.forge.sources import batch_operation
from gatepass.github import refusals
from gatepass.github.client import expect_clean, signed_url
from gatepass.placeholder import Watch
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable
from gatepass.proxy import facts, failures, upstream, wire
from gatepass.proxy.outcome import Found, Injected, Passed
from gatepass.rules.model import CallApi, ResolveRelease, ResolveSource

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow, Request, Response

    from gatepass.assets.source import Source
    from gatepass.decision import Inject
    from gatepass.forge.hosts import Forge
    from gatepass.forge.sources import GitRef
    from gatepass.problems.problem import Problem
    from gatepass.proxy.detour import Detour, Detours
    from gatepass.proxy.guard import Guard
    from gatepass.proxy.layers import Answers
    from gatepass.proxy.record import Record
    from gatepass.proxy.state import State
    from gatepass.secret import Secret

# `validate_request` in mitmproxy's `proxy/layers/http/__init__.py`, which goes on to tell its user what to set
_UNSOUND: Final = re.compile(r"Received (.*) from client, refusing", re.DOTALL)


_OF_DOWNLOADS: Final = (ResolveRelease, ResolveSource)


class Responses:
    """An addon that finishes what `Requests` sent out."""

    def __init__(self, record: Record, detours: Detours, answers: Answers, guard: Guard) -> None:
        self._record = record
        self._detours = detours
        self._answers = answers
        self._guard = guard

    def requestheaders(self, flow: HTTPFlow) -> None:
        """What mitmproxy itself refuses, before any of us is asked, is told in our words, too."""
        error = flow.error
        if error is None or error.msg == error.KILLED_MESSAGE or flow.response is not None:
            return
        told = _UNSOUND.match(error.msg)
        what = told[1] if told else "it is no request that could be passed on"
        if flow.request.method == "CONNECT":
            what = "a tunnel is asked for within a connection that leads somewhere already"
        self._answers[flow] = self._refusal(flow, catalogue.MALFORMED_REQUEST(what=what))

    def responseheaders(self, flow: HTTPFlow) -> None:
        detour = self._detours.get(flow)
        if detour is None or flow.response is None:
            return
        upstream, response = flow.response, None
        detour.restore(flow)
        match detour.outcome:
            case Found(source=source, plan=Rewrite()):  # the API was asked by the flow itself
                self._record.called(flow, source, upstream.headers, upstream.status_code)
            case Injected(decision) if decision.permissions:
                self._record.called_by_client(flow, decision, upstream.headers, upstream.status_code)
        try:
            response = _finished(detour, upstream, flow)
        except Unresolvable as unresolvable:
            response = self._refusal(flow, unresolvable.problem)
        finally:
            if response is None:  # as in `Requests.requestheaders`
                response = self._refusal(flow, catalogue.INTERNAL())
            if response is upstream or response.stream:
                flow.response = response
            else:
                detour.replace(flow, response)

    def request(self, flow: HTTPFlow) -> None:
        """A body that came though none was announced goes nowhere: see `detour.send`. Nor does one that may not."""
        detour = self._detours.get(flow)
        if detour is None:
            return
        problem: Problem | None = None
        match detour.outcome:
            case Injected(decision) if decision.is_graphql:
                answer, problem = _question(decision, flow.request)
                if answer is not None:
                    self._record.answered(flow, decision, "GraphQL: no such release, REST tells")
                    self._detours.pop(flow).restore(flow)
                    flow.response = wire.written(answer)
                    return
            case Injected(decision) if decision.is_unread:
                problem = _upload(decision, flow.request.raw_content or b"")
        if detour.original is not None and flow.request.raw_content and not facts.has_body(detour.original):
            problem = catalogue.UNEXPECTED_BODY()
        placeholders = detour.state.placeholders
        if placeholders is not None and (name := placeholders.first_in(flow.request.raw_content or b"")):
            problem = catalogue.MISPLACED_PLACEHOLDER(name=name, place="in its body")
        if problem is not None:
            # there will be no answer of an upstream to look at
            self._detours.pop(flow).restore(flow)
            flow.response = self._refusal(flow, problem)

    def response(self, flow: HTTPFlow) -> None:
        detour = self._detours.pop(flow, None)
        if detour is not None and detour.body is not None and flow.response is not None:
            # for the record, and for an upstream answer that had no body to replace
            flow.response.content = detour.body

    def error(self, flow: HTTPFlow) -> None:
        detour = self._detours.pop(flow, None)
        if detour is None:
            return
        asked, is_begun = flow.request, flow.response is not None and flow.response.stream
        watch = asked.stream
        detour.restore(flow)
        if flow.error is None or flow.error.msg == flow.error.KILLED_MESSAGE:
            return
        if is_begun or flow.client_conn.state is not ConnectionState.OPEN:
            self._record.failed(flow, flow.error.msg)
            return
        host = Host(asked.host, asked.port) if isinstance(detour.outcome, Found) else facts.server(flow)
        if isinstance(watch, Watch) and watch.found is not None:
            problem = catalogue.MISPLACED_PLACEHOLDER(name=watch.found, place="in its body")
        else:
            problem = self._guard.fault(flow) or failures.problem(
                flow.error.msg, host, flow.server_conn, upstream.trust_name(ctx.options)
            )
        if isinstance(detour.outcome, Found):
            problem = problem.about(**detour.outcome.decision.ref.members)
        # mitmproxy takes no answer of a hook any more
        self._answers[flow] = self._refusal(flow, problem)

    def _refusal(self, flow: HTTPFlow, problem: Problem) -> Response:
        self._record.refused(flow, problem)
        return wire.refusal(flow, problem)


def _finished(detour: Detour, upstream: Response, flow: HTTPFlow) -> Response:
    """The client's response of the upstream's, when its headers are here; the flow shows what the client asked for.

    Raises:
        Unresolvable: it is to be refused.
    """
    state = detour.state
    if detour.seal is not None and detour.seal.broken:
        raise Unresolvable(catalogue.LED_ELSEWHERE(host=detour.seal.host))
    match detour.outcome:
        case Passed(ref) if ref is not None and upstream.status_code == 404:
            # GitHub says it for what is private, too
            patterns = [str(rule.match) for rule in state.rules.rules if isinstance(rule.action, _OF_DOWNLOADS)]
            raise Unresolvable(catalogue.NOT_IN_RULES(ref=ref, names=patterns).about(**ref.members))
        case Injected(decision, secret):
            if upstream.status_code == 401 and secret is not None:
                state.credentials.reject(secret)  # it is asked for anew the next time
            if decision.git is not None and decision.forge is not None and secret is not None:
                _expect_git(decision.git, decision.forge, upstream, secret)
            if secret is not None:
                _clear(upstream, secret)
            for name in decision.dropped:
                upstream.headers.pop(name, None)
        case Found(source=source, plan=Serve()):
            return _served(state, source, upstream, facts.url(flow))
        case Found(source=source, plan=Rewrite(may_redirect=may_redirect)):
            return _rewritten(state, source, upstream, facts.url(flow), may_redirect=may_redirect)
    return wire.streamed(upstream)


def _question(decision: Inject, request: Request) -> tuple[Answer | None, Problem | None]:
    """What a question of GraphQL is answered with here, or why it may not be asked; neither where it goes on."""
    action, rule, headers = decision.rule.action, decision.rule.name, request.headers
    assert isinstance(action, CallApi)
    query = request.path.partition("?")[2]
    kind, coding = (", ".join(headers.get_all(name)) for name in ("Content-Type", "Content-Encoding"))
    try:
        asked = graphql.read(request.method, query, kind, coding, request.raw_content or b"")
    except graphql.UnreadableError as error:
        return None, catalogue.UNREADABLE_GRAPHQL(what=str(error))
    if action.graphql == "none":
        if asked.absent is not None:
            content = json.dumps(asked.absent).encode()
            fields = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(content))}
            return Answer(200, {**fields, "Cache-Control": "no-store"}, content), None
        return None, catalogue.GRAPHQL_NOT_ALLOWED(rule=rule, names=[], what="the request asks something by it")
    assert isinstance(action.graphql, frozenset), "of `any` nothing is read"
    if not (beyond := sorted(asked.mutations - action.graphql)):
        return None, None
    what = f"the request has the mutation {', '.join(f'`{name}`' for name in beyond)}"
    return None, catalogue.GRAPHQL_NOT_ALLOWED(rule=rule, names=["query", *sorted(action.graphql)], what=what)


def _upload(decision: Inject, body: bytes) -> Problem | None:
    """Why what git-lfs wants may not be done; None when it may."""
    assert decision.git is not None
    match batch_operation(body):
        case "download":
            return None
        case None:
            return catalogue.UNREADABLE_BATCH(what="it does not say once what it wants to do")
    return catalogue.PUSH_REFUSED(repository=decision.git.repository, rule=decision.rule.name)


def _expect_git(git: GitRef, forge: Forge, upstream: Response, secret: Secret) -> None:
    """Go on when git's server did not refuse the secret: git would ask its user for a password, and to no end.

    Raises:
        Unresolvable: it did.
    """
    if upstream.status_code == 401:
        raise Unresolvable(catalogue.BAD_CREDENTIAL(forge=forge, secret=secret).about(**git.members))
    if upstream.status_code == 404:
        raise Unresolvable(choice.repository_not_visible(forge, git, secret).about(**git.members))


def _served(state: State, source: Source, upstream: Response, url: str) -> Response:
    """What the asset host answered."""
    if upstream.status_code in REFUSED and source.reused:
        state.resolver.forget(source)
        return wire.written(answers.again(url))
    if problem := refusals.foreign_asset(source.host, upstream.status_code, upstream.headers):
        raise Unresolvable(problem)
    return _relayed(source, upstream)


def _rewritten(state: State, source: Source, upstream: Response, url: str, *, may_redirect: bool) -> Response:
    """What the asset endpoint of the API answered."""
    secret, forge, status = source.secret, source.forge, upstream.status_code
    assert secret is not None
    _clear(upstream, secret)
    if status in answers.ASSET_STATUS:
        source.expect_file(upstream.headers)
        return _relayed(source, upstream)
    resolver = state.resolver
    resolver.forget(source)
    if (status == 404 and source.reused) or (status == 401 and resolver.reject(source)):
        return wire.written(answers.again(url))
    location = upstream.headers.get("location")
    if location is None or not 300 <= status < 400:
        raise Unresolvable(refusals.refusal(forge, secret, status, upstream.headers, b""))
    signed = signed_url(expect_clean(location, secret, forge), source.api_url, forge)
    if signed is None:
        raise Unresolvable(
            catalogue.MALFORMED_ANSWER(host=forge.api_host, what="a redirect that leads to no asset host")
        )
    resolver.learn(source, signed)
    return wire.written(answers.redirect(signed) if may_redirect else answers.again(url))


def _clear(upstream: Response, secret: Secret) -> None:
    """Some servers say what they were sent."""
    upstream.headers = Headers((name, secret.cleared(value)) for name, value in upstream.headers.fields)


def _relayed(source: Source, upstream: Response) -> Response:
    status, asset = upstream.status_code, source.asset
    size, digest = (None, None) if asset is None else (asset.size, asset.digest)
    fields = answers.from_asset_host(status, upstream.headers.fields, source.host, source.content_type)
    fields = answers.digested(status, fields, digest)
    expected = check.expected(status, upstream.headers, size, digest)
    if expected is None:
        return wire.relayed(upstream, fields)
    length = upstream.headers.get("content-length", "").strip()
    error = check.of_another(status, upstream.headers, size)
    if expected.size is not None and length and length != str(expected.size):
        error = f"its body has {length} bytes, and {expected.size} were to come"
    if error is not None:
        raise Unresolvable(catalogue.BROKEN_ANSWER(host=source.host, error=error))
    if expected.size is not None and not length and "transfer-encoding" not in upstream.headers:
        # the end of the connection would be the end of the body, wherever it comes
        fields = (*fields, (b"content-length", str(expected.size).encode()))
    return wire.relayed(upstream, fields, Check(expected))
