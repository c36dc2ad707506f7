"""What is kept and renewed: bounded, asked for once, and never longer stale than a day."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gatepass.forge.hosts import Host
from gatepass.index.kept import STALE_SECONDS, Held, Kept
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

DOWN = catalogue.UPSTREAM_FAILED(host=Host("api.github.com"), status=500)


@dataclass
class Keeping:
    """A store, its clock, and how it is asked."""

    now: float = 1000
    size: int = 100
    asked: list[int | None] = field(default_factory=list)
    value: int | Unresolvable = 1

    def __post_init__(self) -> None:
        self.kept: Kept[str, int] = Kept(self.size, lambda: self.now, 60, lambda value: value)

    async def ask(self, known: int | None, _recent: float) -> int:
        self.asked.append(known)
        await asyncio.sleep(0)
        if isinstance(self.value, Unresolvable):
            raise self.value
        return self.value

    async def get(self, key: str = "a", *, renew: bool = False, wait: bool = False) -> Held[int]:
        return await self.kept.get(key, self.ask, renew=renew, wait=wait)


async def test_asked_once() -> None:
    """However many want it at once, it is asked for once; and not again while it is fresh."""
    keeping = Keeping()
    assert {held.value for held in await asyncio.gather(*(keeping.get() for _ in range(50)))} == {1}
    keeping.now += 59
    assert (await keeping.get()).is_fresh
    assert keeping.asked == [None]
    keeping.now += 2
    keeping.value = 2
    assert (await keeping.get()).value == 2
    assert keeping.asked == [None, 1]  # what was known is told to who asks


async def test_renewed_once_in_five_seconds() -> None:
    """Who wants it anew gets it so, once in 5 s."""
    keeping = Keeping()
    await keeping.get()
    for now, count in ((4, 1), (5, 2), (9, 2), (10, 3)):
        keeping.now = 1000 + now
        await asyncio.gather(*(keeping.get(renew=True) for _ in range(10)))
        assert len(keeping.asked) == count


async def test_stale_for_a_day() -> None:
    """While it cannot be renewed what is known is told, with the reason; for a day, and no longer."""
    keeping = Keeping()
    await keeping.get()
    keeping.value = Unresolvable(DOWN)
    keeping.now += 61
    held = await keeping.get()
    assert (held.value, held.outage, held.is_fresh) == (1, DOWN, False)
    assert (await keeping.get(renew=True)).outage == DOWN
    assert len(keeping.asked) == 2  # what failed a moment ago is not asked again
    keeping.now = 1000 + STALE_SECONDS
    with pytest.raises(Unresolvable):
        await keeping.get()
    keeping.value = 2
    keeping.now += 11
    assert (await keeping.get()).value == 2
    assert keeping.asked[-1] == 1  # for its validators


async def test_what_is_refused_is_not_told_on() -> None:
    """What is no outage ends what was known."""
    keeping = Keeping()
    await keeping.get()
    keeping.value = Unresolvable(catalogue.NOT_AN_INDEX(place="x"))
    keeping.now += 61
    for _ in range(2):
        with pytest.raises(Unresolvable):
            await keeping.get()
    assert keeping.kept.known("a") is None


async def test_it_is_bounded() -> None:
    """What all weigh together has a bound: what was used longest ago goes."""
    keeping = Keeping(value=40)
    for key in "abc":
        await keeping.get(key)
    assert [keeping.kept.known(key) for key in "abc"] == [None, 40, 40]


async def test_an_update_makes_nothing_fresh() -> None:
    """What is changed meanwhile is as old as it was; and what is not known is not made."""
    keeping = Keeping()
    await keeping.get()
    keeping.now += 30
    keeping.kept.update("a", lambda value: value + 1)
    keeping.kept.update("b", lambda value: value + 1)
    assert (await keeping.get()).value == 2
    keeping.now += 31
    keeping.value = 5
    assert (await keeping.get()).value == 5
    assert keeping.kept.known("b") is None
