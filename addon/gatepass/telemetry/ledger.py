"""Where everything is told that becomes of requests, and how well the proxy is: counts, the audit file, readiness.

Others tell it, by its methods, and are asked by it: whoever knows why the proxy is not ready adds a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.telemetry import lines
from gatepass.telemetry.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatepass.telemetry.audit import Audit
    from gatepass.telemetry.event import Event

type Check = Callable[[], str | None]
"""Tells in words why the proxy is not ready; None when it is, as far as this check knows."""


class Ledger:
    """What one proxy tells of itself. Nobody listens until there is an audit file, or an admin listener."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.audit: Audit | None = None
        self.is_watched = False
        """Whether there is an admin listener, whose pages need the counts."""
        self.own_ports: set[int] = set()
        """Where the admin listener is: no client is led there."""
        self.draining = False
        """Whether the proxy is about to end, and takes no new connections."""
        self.checks: dict[str, Check] = {
            "audit": self._audit_fault,
            "draining": lambda: "the proxy is about to end" if self.draining else None,
        }
        """By name, in the order in which they are told."""

    @property
    def is_kept(self) -> bool:
        """Whether it is of any use to tell it of requests."""
        return self.is_watched or self.audit is not None

    def add(self, event: Event) -> None:
        """Tell of one request or tunnel, at its end."""
        self.counts.add(event)
        if self.audit is not None:
            self.audit.write(lines.line(event))

    def not_ready(self) -> dict[str, str]:
        """Why the proxy is not ready, by the name of the check that says so; empty when it is."""
        found = {name: check() for name, check in self.checks.items()}
        return {name: reason for name, reason in found.items() if reason is not None}

    def drain(self) -> None:
        """From now on the proxy is not ready: it takes no new connections."""
        self.draining = True

    def reopen(self) -> None:
        """Open the audit file anew, by its name: for logrotate."""
        if self.audit is not None:
            self.audit.reopen()

    def _audit_fault(self) -> str | None:
        fault = None if self.audit is None else self.audit.fault
        return None if fault is None else f"the audit file cannot be written: {fault}"
