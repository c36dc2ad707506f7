"""What is told of a request: a comment and a mark in the flow list, a line in the log, a count.

Decides nothing, and touches neither request nor response.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from gatepass.cache import Cache
from gatepass.forge.sources import Content, SourceRef
from gatepass.github.statistics import Statistics, spending
from gatepass.problems import catalogue
from gatepass.proxy import facts
from gatepass.proxy.log import is_heard
from gatepass.telemetry.audit import RETRY_SECONDS
from gatepass.telemetry.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow

    from gatepass.assets.source import Source
    from gatepass.decision import Inject, Resolve
    from gatepass.egress.identity import Identity
    from gatepass.forge.hosts import Forge
    from gatepass.github.statistics import Asked
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret
    from gatepass.telemetry.event import Action

logger: Final = logging.getLogger("gatepass")

# How the flow list shows what was done (mitmproxy's names of emoji).
_DONE: Final = ":white_check_mark:"
_REFUSED: Final = ":x:"
_NOTICE_SECONDS: Final = 3600.0


def _named(source: Source) -> str:
    if source.asset is not None:
        return f"asset {source.asset.id}"
    if isinstance(source.ref, SourceRef):
        return "file" if source.ref.kind is Content.FILE else "archive"
    if source.listed is not None:
        return f"list of {len(source.listed)} assets"
    return "page" if source.page else "public asset"


@dataclass(slots=True)
class Note:
    """What is known so far of what becomes of a request, or of a client's tunnel; it is told at the end.

    `problem` is its `type`; `is_answered` tells whether the client was answered with it. `asked` counts the
    API calls.
    """

    action: Action | None = None
    reason: str | None = None
    rule: str | None = None
    credential: str | None = None
    problem: str | None = None
    is_answered: bool = True
    asked: Asked | None = None


class Record:
    """The log, the marks and the counts of one addon; and what its ledger is told of requests when they end."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.statistics = Statistics(heard=self.ledger.counts.called)
        self.notes: WeakKeyDictionary[HTTPFlow | Client, Note] = WeakKeyDictionary()
        """By the request, or by the client's connection, of which the tunnel is told by it."""
        self.who: WeakKeyDictionary[HTTPFlow | Client, Identity] = WeakKeyDictionary()
        """Who asks, by the client's connection; by the request where each has to tell it anew. Others fill it."""
        self._noticed: Cache[str, bool] = Cache(100, time.monotonic)
        # of what may be a password the fingerprint is worth nothing outside this process
        self._salt = secrets.token_bytes(32)

    def note(self, of: HTTPFlow | Client) -> Note:
        """What is noted of a request or of a client's tunnel, to be added to."""
        return self.notes.setdefault(of, Note())

    def note_of(self, of: HTTPFlow | Client) -> Note:
        """The same, to be read."""
        return self.notes.get(of) or Note()

    def refused(self, flow: HTTPFlow, problem: Problem, rule: str | None = None, credential: str | None = None) -> None:
        note = self.note(flow)
        note.action, note.problem, note.reason = "refuse", problem.type, f"{problem.title}: {problem.detail}"
        note.rule, note.credential = rule or note.rule, credential or note.credential
        flow.comment = f"gatepass: {problem}"
        flow.marked = _REFUSED
        self.statistics.refused += flow.request.method == "GET"
        logger.warning("gatepass: %s: %s", facts.shown(flow), problem)

    def would_refuse(self, flow: HTTPFlow, problem: Problem, rule: str | None = None) -> None:
        """It passes, for only a report is made of what would be refused."""
        self._would_refuse(flow, facts.shown(flow), problem, rule)
        flow.comment = f"gatepass: would be refused: {problem}"

    def would_refuse_connection(self, client: Client, problem: Problem) -> None:
        """The same of a tunnel that no request asked for."""
        self._would_refuse(client, str(client.peername[0]), problem, None)

    def _would_refuse(self, of: HTTPFlow | Client, shown: str, problem: Problem, rule: str | None) -> None:
        note = self.note(of)
        note.action, note.problem, note.is_answered = "would-refuse", problem.type, False
        note.reason, note.rule = f"{problem.title}: {problem.detail}", rule
        logger.warning("gatepass: %s: would be refused: %s", shown, problem)

    def turned_away(self, address: str, problem: Problem) -> None:
        """A connection that asks for nothing yet, and gets no answer that could say why."""
        logger.warning("gatepass: %s: %s", address, problem)

    def withheld(self) -> Problem | None:
        """Why no credential may be used: what is done with it could not be written down."""
        audit = self.ledger.audit
        fault = None if audit is None else audit.fault
        if fault is None:
            return None
        return catalogue.AUDIT_UNAVAILABLE(error=fault, retry_after=int(2 * RETRY_SECONDS))

    def injected(self, flow: HTTPFlow, decision: Inject) -> None:
        note = self.note(flow)
        note.action, note.rule = "inject", decision.rule.name
        note.credential = None if decision.credential is None else decision.credential.name
        flow.comment = f"gatepass: {decision.rule.name}"
        flow.marked = _DONE

    def answered(self, flow: HTTPFlow, decision: Inject, what: str) -> None:
        """It was answered here, and nothing of it went out."""
        note = self.note(flow)
        note.action, note.rule, note.reason = "resolve", decision.rule.name, what
        flow.comment = f"gatepass: {decision.rule.name}: {what}"
        flow.marked = _DONE

    def found(self, flow: HTTPFlow, decision: Resolve, source: Source) -> None:
        asset = _named(source)
        by = f", with `{source.credential}`" if source.credential and len(decision.credentials) > 1 else ""
        note = self.note(flow)
        note.action, note.rule, note.credential = "resolve", decision.rule.name, source.credential or None
        note.reason = f"{asset}{', known' if source.reused else ''}"
        flow.comment = f"gatepass: {decision.rule.name}: {asset}{', known' if source.reused else ''}{by}"
        flow.marked = _DONE
        self.statistics.served += flow.request.method == "GET"
        self._detail(flow, f"{asset}{by}")
        for notice in source.notices:
            self.notice(notice)

    def listed(self, flow: HTTPFlow, problem: Problem | None, notices: Iterable[str], rule: str | None) -> None:
        """An index has answered; with a problem, where there is no page."""
        for notice in notices:
            self.notice(notice)
        if problem is not None:
            self.refused(flow, problem, rule)
            return
        note = self.note(flow)
        note.action, note.rule, note.reason = "resolve", rule, "package index"
        flow.comment = "gatepass: package index"
        flow.marked = _DONE
        self._detail(flow, "package index")

    def _detail(self, flow: HTTPFlow, text: str) -> None:
        if is_heard(logging.DEBUG):
            logger.debug("gatepass: %s: %s", facts.shown(flow), text)

    def called(self, flow: HTTPFlow, source: Source, headers: Mapping[str, str], status: int) -> None:
        """The flow itself was a call to the API."""
        self._called(flow, source.credential, source.forge, headers, status)

    def called_by_client(self, flow: HTTPFlow, decision: Inject, headers: Mapping[str, str], status: int) -> None:
        """The same of what a client asks of it."""
        if decision.forge is not None and decision.credential is not None:
            self._called(flow, decision.credential.name, decision.forge, headers, status)

    def _called(self, flow: HTTPFlow, credential: str, forge: Forge, headers: Mapping[str, str], status: int) -> None:
        if (asked := self.note(flow).asked) is not None:
            asked.calls += 1
        with spending(credential):
            self.statistics.called(headers, str(forge.web), status)

    def failed(self, flow: HTTPFlow, error: str) -> None:
        """The way of a flow ended early: its client is gone, or has had the beginning of an answer."""
        logger.warning("gatepass: %s: %s", facts.shown(flow), error)

    def secret(self, name: str, secret: Secret) -> None:
        """Which secret a credential has now: by a fingerprint, so that a rotation can be followed in the log."""
        shown = f"{secret.kind}, fingerprint {secret.mark or secret.fingerprint(self._salt)}"
        logger.info("gatepass: credential `%s` from %s: %s", name, secret.source, shown)

    def notice(self, text: str) -> None:
        """Say it once an hour: it is true for every request."""
        if self._noticed.get(text) is None:
            self._noticed.put(text, True, _NOTICE_SECONDS)
            logger.warning("gatepass: %s", text)
