"""What questions share: what was found is remembered while it holds, and what is asked is asked once for all.

Knows neither forges nor credentials: whose knowledge something is stands in its key.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache, Flights
from gatepass.github.client import TOTAL_SECONDS
from gatepass.github.shared import FOREVER
from gatepass.problems.problem import Unresolvable
from gatepass.problems.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from gatepass.assets.source import Source
    from gatepass.cache import Uses
    from gatepass.problems.problem import Problem
    from gatepass.rules.shape import CacheEntry

# Answers that stay true for a moment, however often a client asks again; faults of the network may pass at once.
LASTING: Final = frozenset({401, 403, 404, 429, 451})
# A release is kept past its lifetime, for asking whether it changed is free; and the rest for when nobody can be asked.
KEPT_SECONDS: Final = 86_400


class Memory:
    """Sources that were found, failures that last, and calls under way."""

    def __init__(self, lifetimes: CacheEntry, clock: Callable[[], float], uses: Callable[[str], Uses]) -> None:
        """`clock` gives epoch seconds: what signed URLs are dated in; `uses` gives a cache its count, by name."""
        self.lifetimes = lifetimes
        self.clock = clock
        size = lifetimes.entries
        self._sources: Cache[Hashable, Source] = Cache(size, clock, uses=uses("assets"))
        self._last: Cache[Hashable, Source] = Cache(size, clock)
        self._failures: Remembered[Hashable] = Remembered(size, clock)
        self._refused: Cache[Hashable, float] = Cache(size, clock)
        self._flights: Flights[Hashable] = Flights()

    def source(self, key: Hashable) -> Source | None:
        """What still holds."""
        return self._sources.get(key)

    def last(self, key: Hashable) -> Source | None:
        """What held when it was asked for the last time, for when nobody can be asked."""
        return self._last.get(key)

    def is_gone(self, key: Hashable) -> None:
        """What held holds no more."""
        self._last.drop(key)

    def forget(self, source: Source) -> None:
        """Hand out no more what was refused, unless it was replaced meanwhile."""
        self.distrust(source.key)
        known = self._sources.get(source.key)
        if known is not None and known.signed == source.signed:
            self._sources.drop(source.key)

    def distrust(self, key: Hashable) -> None:
        """Believe no answer of before, another replica's neither."""
        self._refused.put(key, self.clock(), KEPT_SECONDS)

    def recent(self, key: Hashable, seconds: float = FOREVER) -> float:
        """How many seconds ago an answer may have been given to another replica."""
        refused = self._refused.get(key)
        return seconds if refused is None else min(seconds, self.clock() - refused)

    def remember(self, source: Source) -> Source:
        """Keep it for as long as it holds: a signed URL until its end."""
        signed = source.signed
        seconds = self.lifetimes.tags if signed is None else signed.seconds(self.clock())
        if source.page:
            seconds = self.lifetimes.latest
        self._sources.put(source.key, replace(source, reused=True), seconds)
        self._last.put(source.key, source, KEPT_SECONDS)
        return source

    def failure(self, key: Hashable) -> Problem | None:
        return self._failures.get(key)

    def fail(self, key: Hashable, problem: Problem, seconds: float) -> None:
        self._failures.put(key, problem, seconds)

    def is_asked(self, key: Hashable) -> bool:
        """Whether a call for it is under way."""
        return key in self._flights

    async def once[V](self, key: Hashable, call: Callable[[], Awaitable[V]]) -> V:
        """`share`, unless the same failed a moment ago and would again."""
        if failure := self._failures.get(key):
            raise Unresolvable(failure)

        async def remembered() -> V:
            try:
                return await call()
            except Unresolvable as unresolvable:
                if unresolvable.problem.status in LASTING:
                    self._failures.put(key, unresolvable.problem, self.lifetimes.missing)
                raise

        return await self.share(key, remembered)

    async def share[V](self, key: Hashable, call: Callable[[], Awaitable[V]]) -> V:
        """One call for all who ask now, with a deadline of its own: no client's end is its end."""

        async def bounded() -> V:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await call()

        return await self._flights.share(key, bounded)
