"""Problems that would be met again, kept for a while: who asks meanwhile gets them without asking.

A problem that says for how long it lasts is kept for just as long, and its wait counts down.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gatepass.problems.problem import Problem

_LONGEST: Final = 3600.0


class Remembered[K: Hashable]:
    """Problems by what they are met with."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._met: Cache[K, tuple[float, Problem]] = Cache(size, clock)

    def get(self, key: K) -> Problem | None:
        if (met := self._met.get(key)) is None:
            return None
        at, problem = met
        waited = self._clock() - at
        return problem if problem.retry_after is None else problem.after(math.ceil(problem.retry_after - waited))

    def put(self, key: K, problem: Problem, seconds: float) -> None:
        """Keep it for so many seconds, unless it says itself when to ask again: within the hour."""
        if problem.retry_after is not None:
            seconds = min(problem.retry_after, _LONGEST)
        self._met.put(key, (self._clock(), problem), seconds)
