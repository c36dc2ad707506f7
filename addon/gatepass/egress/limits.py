"""How much of the proxy each client has: its connections at once, and its requests by the minute.

Knows accounts by their names alone, and keeps no more than so many of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatepass.problems.problem import Problem
    from gatepass.rules.access import Limits

MINUTE: Final = 60.0
# A connection ends when it will: when to ask again is a guess.
_CONNECTION_SECONDS: Final = 5
_MOST_ACCOUNTS: Final = 65_536


class _Minute:
    """So many requests up to its end."""

    __slots__ = ("end", "requests")

    def __init__(self, end: float) -> None:
        self.end = end
        self.requests = 0


class Usage:
    """What each account has of the proxy now. Outlives the rules: a reload gives nobody more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._minutes: Cache[str, _Minute] = Cache(_MOST_ACCOUNTS, clock)
        # as many as there are connections, which the system bounds
        self._connections: dict[str, int] = {}

    def connect(self, account: str, limits: Limits) -> Problem | None:
        """Count one connection more, until `disconnect`; or why that would be too many."""
        now = self._connections.get(account, 0)
        if limits.connections is not None and now >= limits.connections:
            return catalogue.TOO_MANY_CONNECTIONS(
                client=account, more=limits.connections, retry_after=_CONNECTION_SECONDS
            )
        self._connections[account] = now + 1
        return None

    def disconnect(self, account: str) -> None:
        """One that `connect` has counted is over."""
        self._connections[account] -= 1
        if not self._connections[account]:
            del self._connections[account]

    def request(self, account: str, limits: Limits) -> Problem | None:
        """Count one request more; or why that is too many. One that is refused does not count."""
        if limits.requests is None:
            return None
        minute = self._minutes.get(account)
        if minute is None:
            minute = _Minute(self._clock() + MINUTE)
            self._minutes.put(account, minute, MINUTE)
        if minute.requests >= limits.requests:
            wait = max(1, math.ceil(minute.end - self._clock()))
            return catalogue.TOO_MANY_REQUESTS(client=account, more=limits.requests, retry_after=wait)
        minute.requests += 1
        return None

    def __len__(self) -> int:
        """How many accounts are kept."""
        return len(self._minutes) + len(self._connections)
