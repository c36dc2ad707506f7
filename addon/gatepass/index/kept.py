"""What is asked for again and again, kept: fresh for a while, stale while it is being renewed, and for a day while
renewing fails. Each thing is asked for once, however many want it.

Knows neither what it keeps nor how it is asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gatepass.cache import Cache, Flights
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.problems.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    type Ask[V] = Callable[[V | None, float], Awaitable[V]]
    """From what is known, and how many seconds ago another replica may have been told, to what is so."""

STALE_SECONDS: Final = 86_400.0
"""For so long what was known is served while it cannot be renewed."""
RENEWED_SECONDS: Final = 5.0
"""Whoever wants it renewed gets what was asked for within that time."""

# A renewal takes a moment; who can be served without it does not wait for one that hangs.
_PATIENCE: Final = 2.0
OUTAGE: Final = frozenset({429, 500, 502, 503, 504})
"""Nobody can be asked, or may be: what is known still holds, for all that anybody can tell."""
_FAILED_SECONDS: Final = 10.0
_FLIGHT_SECONDS: Final = 300.0
_KEPT_SECONDS: Final = 30 * STALE_SECONDS


@dataclass(frozen=True, slots=True)
class Held[V]:
    """A value as it was at `asked`, in the clock's seconds; `outage` is why it could not be renewed since."""

    value: V
    asked: float
    fresh_until: float
    outage: Problem | None = None
    is_fresh: bool = True


class Kept[K: Hashable, V]:
    """Values by key. `get` may raise `Unresolvable`; how long it takes is for its caller to bound."""

    def __init__(
        self,
        size: int,
        clock: Callable[[], float],
        seconds: float,
        weigh: Callable[[V], int],
        age: Callable[[V], float] = lambda _: 0.0,
    ) -> None:
        """`seconds` is how long a value is fresh; `size` what all may weigh together; `age` tells how old one was when
        it was got.
        """
        self._age = age
        self._clock = clock
        self._seconds = seconds
        self._held: Cache[K, Held[V]] = Cache(size, clock, lambda held: weigh(held.value))
        self._failures: Remembered[K] = Remembered(4096, clock)
        self._flights: Flights[K] = Flights()

    async def get(self, key: K, ask: Ask[V], *, renew: bool = False, wait: bool = False) -> Held[V]:
        """The value; `renew` asks for it anew, `wait` does not take one that is being renewed.

        `ask` gets what is known, and ends by itself.

        Raises:
            Unresolvable: it is not known, and cannot be had; or is known not to be there any more.
        """
        held, now = self._servable(key), self._clock()
        if held is not None:
            is_recent = held.asked + RENEWED_SECONDS > now
            if is_recent or (held.fresh_until > now and not renew):
                return held
        if failure := self._failures.get(key):
            return self._despite(held, failure)
        recent = RENEWED_SECONDS if renew else self._seconds
        flight = asyncio.ensure_future(self._flights.share(key, lambda: self._asked(key, ask, recent)))
        flight.add_done_callback(_looked_at)
        try:
            if held is None or renew or wait:
                return await flight
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.shield(flight)
        except TimeoutError:
            if held is None or flight.done():
                raise
            return replace(held, is_fresh=False)
        except Unresolvable as unresolvable:
            return self._despite(held, unresolvable.problem)

    async def close(self) -> None:
        """End what is being asked for."""
        await self._flights.close()

    def despite(self, key: K, problem: Problem) -> Held[V]:
        """What is known, where it cannot even be asked for because of that problem.

        Raises:
            Unresolvable: that problem, where nothing is known, or it is no outage.
        """
        return self._despite(self._servable(key), problem)

    def known(self, key: K) -> V | None:
        """What is known, however old."""
        held = self._held.get(key)
        return None if held is None else held.value

    def update(self, key: K, change: Callable[[V], V]) -> None:
        """Let what is known of a key be something else, as old as it was; nothing when it is not known any more."""
        if (held := self._held.get(key)) is not None:
            left = held.asked + _KEPT_SECONDS - self._clock()
            self._held.put(key, replace(held, value=change(held.value)), left)

    def _servable(self, key: K) -> Held[V] | None:
        """What is known and not too old; what is older costs nothing to ask for where it did not change."""
        held = self._held.get(key)
        return None if held is None or held.asked + STALE_SECONDS <= self._clock() else held

    def _despite(self, held: Held[V] | None, problem: Problem) -> Held[V]:
        """What is known, when only the forge cannot be asked."""
        if held is None or problem.status not in OUTAGE:
            raise Unresolvable(problem)
        return replace(held, outage=problem, is_fresh=False)

    async def _asked(self, key: K, ask: Ask[V], recent: float) -> Held[V]:
        before = self._held.get(key)
        asked = self._clock()
        try:
            async with asyncio.timeout(_FLIGHT_SECONDS):
                value = await ask(None if before is None else before.value, recent)
        except Unresolvable as unresolvable:
            problem = unresolvable.problem
            self._failures.put(key, problem, _FAILED_SECONDS)
            if problem.status not in OUTAGE:
                self._held.drop(key)
            raise
        asked -= self._age(value)
        held = Held(value, asked, asked + self._seconds)
        self._held.put(key, held, _KEPT_SECONDS)
        return held


def _looked_at(flight: asyncio.Future[Any]) -> None:
    """Lest asyncio warn when all who asked have gone."""
    if not flight.cancelled():
        flight.exception()
