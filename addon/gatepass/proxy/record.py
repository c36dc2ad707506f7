"""What is told of a request: a comment and a mark in the flow list, a line in the log, a count.

Decides nothing, and touches neither request nor response.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.github.statistics import Statistics
from gatepass.proxy import facts

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow

    from gatepass.assets.resolver import Source
    from gatepass.decision import Resolve
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Rule
    from gatepass.secret import Secret

logger: Final = logging.getLogger("gatepass")

# How the flow list shows what was done (mitmproxy's names of emoji).
_DONE: Final = ":white_check_mark:"
_REFUSED: Final = ":x:"
_NOTICE_SECONDS: Final = 3600.0


class Record:
    """The log, the marks and the counts of one addon."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self._noticed: Cache[str, bool] = Cache(100, time.monotonic)
        # of what may be a password the fingerprint is worth nothing outside this process
        self._salt = secrets.token_bytes(32)

    def refused(self, flow: HTTPFlow, problem: Problem) -> None:
        flow.comment = f"gatepass: {problem}"
        flow.marked = _REFUSED
        self.statistics.refused += flow.request.method == "GET"
        logger.warning("gatepass: %s: %s", facts.shown(flow), problem)

    def would_refuse(self, flow: HTTPFlow, problem: Problem) -> None:
        """Of what passes because the rules tell of refusals alone."""
        flow.comment = f"gatepass: would be refused: {problem}"
        logger.warning("gatepass: %s: would be refused: %s", facts.shown(flow), problem)

    def would_refuse_connection(self, client: Client, problem: Problem) -> None:
        """The same of a tunnel that no request asked for."""
        logger.warning("gatepass: %s: would be refused: %s", client.peername[0], problem)

    def injected(self, flow: HTTPFlow, rule: Rule) -> None:
        flow.comment = f"gatepass: {rule.name}"
        flow.marked = _DONE

    def found(self, flow: HTTPFlow, decision: Resolve, source: Source) -> None:
        asset = f"asset {source.asset.id}" if source.asset else "page" if source.page else "public asset"
        by = f", with `{source.credential}`" if source.credential and len(decision.credentials) > 1 else ""
        flow.comment = f"gatepass: {decision.rule.name}: {asset}{', known' if source.reused else ''}{by}"
        flow.marked = _DONE
        self.statistics.served += flow.request.method == "GET"
        logger.debug("gatepass: %s: %s%s", facts.shown(flow), asset, by)
        for notice in source.notices:
            self.notice(notice)

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
