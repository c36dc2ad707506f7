"""What has been learnt, kept for a while: bounded, expiring, and asked for once however many want it.

Knows neither what it keeps nor why. All state of the addon that outlives a request is in objects of this module.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator


@dataclass(slots=True)
class Uses:
    """How often a cache had what it was asked for, and how often not."""

    hits: int = 0
    misses: int = 0


class Cache[K: Hashable, V]:
    """A map that forgets: what has expired, and, when it is full, what was used longest ago."""

    def __init__(
        self,
        size: int,
        clock: Callable[[], float],
        weigh: Callable[[V], int] = lambda _: 1,
        uses: Uses | None = None,
    ) -> None:
        """`clock` gives seconds; `size` is what the values may weigh together: each 1, unless `weigh` tells.

        `uses` counts what is asked for: one that came before this cache may go on.
        """
        self._uses = uses or Uses()
        self._size = size
        self._clock = clock
        self._weigh = weigh
        self._weight = 0
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._clock():
            if entry is not None:
                self.drop(key)
            self._uses.misses += 1
            return None
        self._entries.move_to_end(key)
        self._uses.hits += 1
        return entry[1]

    def items(self) -> Iterator[tuple[K, V]]:
        """All that has not expired, that which was used longest ago first; to look at it is no use of it."""
        now = self._clock()
        yield from [(key, value) for key, (expires, value) in self._entries.items() if expires > now]

    def put(self, key: K, value: V, seconds: float) -> None:
        """Keep `value` for so many seconds; not at all when they are none."""
        self.drop(key)
        if seconds <= 0:
            return
        self._entries[key] = (self._clock() + seconds, value)
        self._weight += self._weigh(value)
        # the newest stays, whatever it weighs: it is in use
        while self._weight > self._size and len(self._entries) > 1:
            self.drop(next(iter(self._entries)))

    def drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= self._weigh(entry[1])

    def __len__(self) -> int:
        return len(self._entries)


class Flights[K: Hashable]:
    """Calls under way, each for one key: who asks for the same meanwhile gets the same answer (single-flight)."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[Any]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._tasks

    async def share[V](self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """The result of `call`, which one task makes for all.

        A caller that is cancelled leaves the task to the others, so `call` must end by itself. Its exception is
        everybody's.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(call))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        # a key always stands for the same kind of call, so the task's result is a V
        return await asyncio.shield(task)

    def _landed(self, key: K, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # looked at, lest asyncio warn when all who asked have gone


async def _run[V](call: Callable[[], Awaitable[V]]) -> V:
    return await call()
