"""What was learnt is bounded, expires, and is asked for once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.cache import Cache, Flights


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_expiry() -> None:
    """An entry is there until its time, and not from then on."""
    clock = Clock()
    cache: Cache[str, int] = Cache(9, clock)
    cache.put("a", 1, 10)
    clock.now = 9.9
    assert cache.get("a") == 1
    clock.now = 10
    assert cache.get("a") is None
    assert len(cache) == 0


def test_nothing_is_kept_for_no_time() -> None:
    """A lifetime of nothing keeps nothing, and what was there before is outdated."""
    cache: Cache[str, int] = Cache(9, Clock())
    cache.put("a", 1, 10)
    cache.put("a", 2, 0)
    assert cache.get("a") is None


def test_least_recently_used() -> None:
    """When it is full, what was used longest ago goes."""
    cache: Cache[str, int] = Cache(2, Clock())
    cache.put("a", 1, 10)
    cache.put("b", 2, 10)
    assert cache.get("a") == 1
    cache.put("c", 3, 10)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30))), st.integers(1, 50))
def test_weight_is_bounded(puts: list[tuple[int, int]], size: int) -> None:
    """However entries come and go, together they weigh no more than allowed, unless there is only one."""
    cache: Cache[int, int] = Cache(size, Clock(), weigh=lambda value: value)
    kept: dict[int, int] = {}
    for key, weight in puts:
        cache.put(key, weight, 10)
        kept[key] = weight
        here = {k: v for k in kept if (v := cache.get(k)) is not None}
        assert key in here
        assert sum(here.values()) <= size or len(cache) == 1


async def test_single_flight() -> None:
    """Who asks for the same while it is under way gets the same answer; who asks later is asked for anew."""
    flights: Flights[str] = Flights()
    calls = 0
    gate = asyncio.Event()

    async def call() -> int:
        nonlocal calls
        calls += 1
        await gate.wait()
        return calls

    waiting = [asyncio.create_task(flights.share("a", call)) for _ in range(40)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [1] * 40
    assert await flights.share("a", call) == 2


async def test_a_cancelled_client_cancels_nobody_else() -> None:
    """The call goes on for the others when the one who began it is gone."""
    flights: Flights[str] = Flights()
    gate = asyncio.Event()

    async def call() -> str:
        await gate.wait()
        return "done"

    first, second = (asyncio.create_task(flights.share("a", call)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second == "done"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_everybodys() -> None:
    """A failed call fails for all who asked, is not kept, and leaves no complaint when nobody is left to hear it."""
    flights: Flights[str] = Flights()

    async def call() -> str:
        await asyncio.sleep(0)
        raise ValueError

    results = await asyncio.gather(*(flights.share("a", call) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    alone = asyncio.create_task(flights.share("a", call))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.sleep(0.01)


async def test_what_is_under_way_can_be_ended() -> None:
    """When all of it is to end, no call goes on, and who waits for one hears so."""
    flights: Flights[str] = Flights()
    ended = []

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    waiting = asyncio.create_task(flights.share("a", call))
    await asyncio.sleep(0.01)
    await flights.close()
    assert ended == [True]
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "a" not in flights
