"""What is asked for in vain, counted: of each client by the minute, and by the hour of each credential's budget.

Asks nobody, and knows neither forges nor credentials: of both it has the names. Small, however many clients come.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from gatepass.cache import Cache
from gatepass.store.alone import ALONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator

    from gatepass.store.alone import Store

SHARE: Final = 10
"""One part in so many of a credential's budget may be spent in vain, by all clients together."""

type Whose = Literal["client", "credential"]

_SECONDS: Final[dict[Whose, float]] = {"client": 60.0, "credential": 3600.0}
_MOST_WINDOWS: Final = 4096
# A forge that is slower than this to say what is there may not hold up those who ask for something else.
_PATIENCE: Final = 1.0


class SpentError(Exception):
    """For so many seconds nothing more may be asked in vain: by that client, or, where it is None, by anybody."""

    def __init__(self, client: str | None, seconds: int) -> None:
        super().__init__(client, seconds)
        self.client = client
        self.seconds = seconds


class _Window:
    """So many questions up to its end. One that has no answer yet holds a place, for it may be in vain."""

    def __init__(self, end: float, share: Callable[[int], Awaitable[int]], tell: Callable[[int], None]) -> None:
        """`share` and `tell` tell other replicas what was spent by this one; the first hears of theirs."""
        self.end = end
        self.spent = 0
        self.held = 0
        self.elsewhere = 0
        self._share = share
        self._tell = tell
        self._waiting: deque[asyncio.Future[None]] = deque()

    def room(self, most: float) -> float:
        return most - self.spent - self.elsewhere - self.held

    def is_spent(self, most: float) -> bool:
        return self.spent + self.elsewhere >= most

    async def enter(self, most: Callable[[], float]) -> bool:
        """Hold a place, as soon as there is one; False when there will be none."""
        self.elsewhere = await self._share(self.spent)
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.room(most()) < 1 and not self.is_spent(most()):
                    turn = asyncio.get_running_loop().create_future()
                    self._waiting.append(turn)
                    await turn
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._next()
            raise
        entered = not self.is_spent(most())
        self.held += entered
        if not entered or self.room(most()) >= 1:
            self._next()
        return entered

    def leave(self, places: int, spent: int) -> None:
        self.held -= places
        self.spent += spent
        if spent:
            self._tell(self.spent)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class _Place:
    """What one request holds of a window, and has used of it."""

    def __init__(self, window: _Window, most: Callable[[], float]) -> None:
        self.window = window
        self.most = most
        self.held = 0
        self.used = 0

    def use(self, questions: int) -> None:
        self.used += questions
        more = max(0, self.used - self.held)
        self.held += more
        self.window.held += more


class Tab:
    """What one request asks: given back at its end, unless it `missed`."""

    def __init__(self, misses: Misses, client: str | None) -> None:
        self._misses = misses
        self.client = client
        self._places: dict[tuple[Whose, Hashable], _Place] = {}
        self.missed = False

    def account(self, payer: Hashable, budget: Callable[[], int | None]) -> Account:
        """For what is asked at the expense of `payer`, who has that budget for an hour; None while it is not known."""
        return Account(self, payer, budget)

    def places(self, account: Account) -> Iterator[tuple[Whose, _Place]]:
        if self.client is not None:
            yield "client", self._place("client", self.client, self._misses.most_of_client)
        yield "credential", self._place("credential", account.payer, account.share)

    def _place(self, whose: Whose, key: Hashable, most: Callable[[], float]) -> _Place:
        place = self._places.get((whose, key))
        if place is None:
            place = self._places[whose, key] = _Place(self._misses.window(whose, key), most)
        return place

    def seconds(self, place: _Place) -> int:
        return self._misses.left(place.window)

    def close(self) -> None:
        for place in self._places.values():
            place.window.leave(place.held, place.used if self.missed else 0)


class Account:
    """What one request asks with one credential."""

    def __init__(self, tab: Tab, payer: Hashable, budget: Callable[[], int | None]) -> None:
        self.payer = payer
        self._tab = tab
        self._budget = budget

    def share(self) -> float:
        budget = self._budget()
        return math.inf if budget is None else max(1, budget // SHARE)

    async def enter(self) -> None:
        """Wait until a question may be asked whose answer may be that nothing is there.

        Raises:
            SpentError: too much was in vain already.
        """
        for whose, place in self._tab.places(self):
            if not place.held:
                if not await place.window.enter(place.most):
                    raise SpentError(self._tab.client if whose == "client" else None, self._tab.seconds(place))
                place.held += 1

    def use(self, questions: int = 1, *, paid: bool = True) -> None:
        """Take note of questions that are asked; some cost the credential nothing."""
        for whose, place in self._tab.places(self):
            if paid or whose == "client":
                place.use(questions)

    def has_room(self, questions: int) -> bool:
        """Whether so many more questions may be asked in vain."""
        return all(place.window.room(place.most()) >= questions for _, place in self._tab.places(self))


class Misses:
    """What was asked for in vain lately, by client and by credential."""

    def __init__(self, clock: Callable[[], float], most: int, store: Store = ALONE) -> None:
        """`most` questions of one client may lead to nothing within a minute, at all replicas that share a store."""
        self._clock = clock
        self._store = store
        self.most = most
        self._windows: dict[Whose, Cache[Hashable, _Window]] = {
            "client": Cache(_MOST_WINDOWS, clock),
            "credential": Cache(_MOST_WINDOWS, clock),
        }

    def most_of_client(self) -> float:
        return self.most

    @contextmanager
    def tab(self, client: str | None) -> Iterator[Tab]:
        """For one request; of nobody in particular when `client` is None."""
        tab = Tab(self, client)
        try:
            yield tab
        finally:
            tab.close()

    def window(self, whose: Whose, key: Hashable) -> _Window:
        window = self._windows[whose].get(key)
        if window is None:
            seconds, now = _SECONDS[whose], self._clock()
            # replicas agree on when one ends; by itself, one begins with whoever comes
            end = (now // seconds + 1) * seconds if self._store.is_shared else now + seconds
            name = self._store.name("misses", whose, repr(key), str(end))
            window = _Window(
                end,
                lambda own: self._store.tally(name, own, max(0.0, end - self._clock())),
                lambda own: self._store.tell(name, own, max(0.0, end - self._clock())),
            )
            self._windows[whose].put(key, window, end - now)
        return window

    def left(self, window: _Window) -> int:
        """Seconds until that window ends."""
        return max(1, math.ceil(window.end - self._clock()))

    def __len__(self) -> int:
        """How many windows are kept."""
        return sum(map(len, self._windows.values()))
