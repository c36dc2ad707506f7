"""How much of the proxy each client has: its connections at once, and its requests by the minute.

Knows accounts by their names alone, and keeps no more than so many of them.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatepass.problems.problem import Problem
    from gatepass.rules.access import Limits
    from gatepass.store.alone import Store

MINUTE: Final = 60.0
# A connection ends when it will: when to ask again is a guess.
_CONNECTION_SECONDS: Final = 5
_MOST_ACCOUNTS: Final = 65_536
# So long others count the connections of a replica that they hear no more of; and how often it tells them.
_LEASE_SECONDS: Final = 15.0
_TELL_SECONDS: Final = 2.0


class _Minute:
    """So many requests up to its end, here and at other replicas, which know it by its name."""

    __slots__ = ("elsewhere", "end", "name", "requests")

    def __init__(self, end: float, name: str) -> None:
        self.end = end
        self.name = name
        self.requests = 0
        self.elsewhere = 0


class Usage:
    """What each account has of the proxy now. Outlives the rules: a reload gives nobody more.

    With a store that replicas share, an account has that much of all of them together.
    """

    def __init__(self, clock: Callable[[], float], epoch: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds; `epoch` those in which all replicas agree."""
        self._clock = clock
        self._epoch = epoch
        self._minutes: Cache[str, _Minute] = Cache(_MOST_ACCOUNTS, clock)
        # as many as there are connections, which the system bounds
        self._connections: dict[str, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def connect(self, account: str, limits: Limits) -> Problem | None:
        """Count one connection more, until `disconnect`; or why that would be too many."""
        now = self._connections.get(account, 0)
        if limits.connections is not None and now >= limits.connections:
            return self._full(account, limits.connections)
        self._connections[account] = now + 1
        return None

    async def connected(self, account: str, limits: Limits, store: Store) -> Problem | None:
        """Count what `connect` has counted at the other replicas, too; or why it is one too many, and to be over."""
        if limits.connections is None or not store.is_shared:
            return None
        # it has been counted before others are asked, so that no two replicas let the last one in
        name = store.name("connections", account)
        others = await store.tally(name, self._connections.get(account, 0), _LEASE_SECONDS)
        own = self._connections.get(account, 0)
        if own + others > limits.connections:
            store.tell(name, max(0, own - 1), _LEASE_SECONDS)
            return self._full(account, limits.connections)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell(store))
        return None

    @staticmethod
    def _full(account: str, most: int) -> Problem:
        return catalogue.TOO_MANY_CONNECTIONS(client=account, more=most, retry_after=_CONNECTION_SECONDS)

    def disconnect(self, account: str) -> None:
        """One that `connect` has counted is over."""
        self._connections[account] -= 1
        if not self._connections[account]:
            del self._connections[account]

    async def _tell(self, store: Store) -> None:
        """Tell the others again and again how many there are: of a replica that has died they end by themselves."""
        told: dict[str, int] = {}
        while self._connections or told:
            await asyncio.sleep(_TELL_SECONDS)
            now = dict(self._connections)
            for account in now.keys() | told.keys():
                store.tell(store.name("connections", account), now.get(account, 0), _LEASE_SECONDS)
            told = now

    def request(self, account: str, limits: Limits, *, is_shared: bool = False) -> Problem | None:
        """Count one request more; or why that is too many. One that is refused does not count."""
        if limits.requests is None:
            return None
        minute = self._minutes.get(account)
        if minute is None:
            # replicas agree on when one ends; by itself, one begins with whoever comes
            left = MINUTE - self._epoch() % MINUTE if is_shared else MINUTE
            minute = _Minute(self._clock() + left, str(int(self._epoch() // MINUTE)))
            self._minutes.put(account, minute, left)
        if minute.requests + minute.elsewhere >= limits.requests:
            return self._too_many(account, limits.requests, minute)
        minute.requests += 1
        return None

    async def requested(self, account: str, limits: Limits, store: Store) -> Problem | None:
        """Count what `request` has counted at the other replicas, too; or why it is too many, and does not count."""
        minute = self._minutes.get(account)
        if limits.requests is None or not store.is_shared or minute is None:
            return None
        name, left = store.name("requests", account, minute.name), max(0.0, minute.end - self._clock())
        minute.elsewhere = await store.tally(name, minute.requests, left)
        if minute.requests + minute.elsewhere <= limits.requests:
            return None
        minute.requests -= 1
        store.tell(name, minute.requests, left)
        return self._too_many(account, limits.requests, minute)

    def _too_many(self, account: str, most: int, minute: _Minute) -> Problem:
        wait = max(1, math.ceil(minute.end - self._clock()))
        return catalogue.TOO_MANY_REQUESTS(client=account, more=most, retry_after=wait)

    def __len__(self) -> int:
        """How many accounts are kept."""
        return len(self._minutes) + len(self._connections)
