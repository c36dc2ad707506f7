"""Wrong passwords, counted by the address that they come from: after ten within a minute it is heard no more for one.

Knows no password, and keeps no more than so many addresses.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.egress.identity import group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gatepass.egress.identity import Address

MOST_WRONG: Final = 10
SECONDS: Final = 60.0
_MOST_ADDRESSES: Final = 16_384


class Turn:
    """One password that is looked at, unless its address has to wait `seconds`."""

    def __init__(self, seconds: int | None = None) -> None:
        self.seconds = seconds
        self.is_wrong = False


class _Guesses:
    """Of one address: when the last wrong ones came, and how many are being looked at."""

    def __init__(self) -> None:
        self.wrong: deque[float] = deque(maxlen=MOST_WRONG)
        self.until = 0.0
        self.pending = 0
        self.changed = asyncio.Condition()

    def room(self, now: float) -> int:
        while self.wrong and self.wrong[0] <= now - SECONDS:
            self.wrong.popleft()
        return MOST_WRONG - len(self.wrong) - self.pending


class Attempts:
    """What was guessed wrong lately. Outlives the rules: a reload opens no door."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._addresses: Cache[str, _Guesses] = Cache(_MOST_ADDRESSES, clock)

    @asynccontextmanager
    async def turn(self, address: Address) -> AsyncIterator[Turn]:
        """For one password. Those that are looked at may all be wrong: no more are than may be."""
        key = group(address)
        guesses = self._addresses.get(key) or _Guesses()
        self._addresses.put(key, guesses, 2 * SECONDS)
        async with guesses.changed:
            await guesses.changed.wait_for(lambda: self._left(guesses) or guesses.room(self._clock()) > 0)
        if left := self._left(guesses):
            yield Turn(left)
            return
        turn = Turn()
        guesses.pending += 1
        try:
            yield turn
        finally:
            guesses.pending -= 1
            if turn.is_wrong:
                self._count(guesses)
            async with guesses.changed:
                guesses.changed.notify_all()

    def _left(self, guesses: _Guesses) -> int:
        """Seconds that the address has to wait still."""
        return max(0, math.ceil(guesses.until - self._clock()))

    def _count(self, guesses: _Guesses) -> None:
        now = self._clock()
        guesses.room(now)
        guesses.wrong.append(now)
        if len(guesses.wrong) == MOST_WRONG:
            guesses.until = now + SECONDS
            guesses.wrong.clear()

    def __len__(self) -> int:
        """How many addresses are kept."""
        return len(self._addresses)
