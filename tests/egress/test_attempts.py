"""Ten wrong passwords within a minute from one address: nothing from there is looked at for a minute."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from gatepass.egress.attempts import MOST_WRONG, Attempts

HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def guess(attempts: Attempts, address: object = HERE, *, wrong: bool = True) -> int | None:
    """How many seconds such a password has to wait; None when it was looked at."""
    async with attempts.turn(address) as turn:  # type: ignore[arg-type]  # one of both families
        if turn.seconds is None:
            turn.is_wrong = wrong
        return turn.seconds


async def test_ten_and_no_more() -> None:
    """After the tenth its address waits a minute, also for the right one; others do not."""
    clock = Clock()
    attempts = Attempts(clock)
    assert [await guess(attempts) for _ in range(MOST_WRONG)] == [None] * MOST_WRONG
    assert await guess(attempts, wrong=False) == 60
    assert await guess(attempts, THERE, wrong=False) is None
    clock.now = 59.5
    assert await guess(attempts, wrong=False) == 1
    clock.now = 60
    assert await guess(attempts, wrong=False) is None


async def test_right_ones_do_not_count() -> None:
    attempts = Attempts(Clock())
    assert {await guess(attempts, wrong=False) for _ in range(5 * MOST_WRONG)} == {None}


async def test_wrong_ones_are_forgotten_after_a_minute() -> None:
    """Who errs nine times a minute is never kept out."""
    clock = Clock()
    attempts = Attempts(clock)
    for minute in range(4):
        clock.now = 60.0 * minute
        assert {await guess(attempts) for _ in range(MOST_WRONG - 1)} == {None}


async def test_one_machine_of_ipv6_is_one() -> None:
    """Its 2^64 addresses do not give it more guesses."""
    attempts = Attempts(Clock())
    for last in range(MOST_WRONG):
        assert await guess(attempts, ip_address(f"2001:db8::{last:x}")) is None
    assert await guess(attempts, ip_address("2001:db8::ffff")) == 60
    assert await guess(attempts, ip_address("2001:db8:0:1::1")) is None


async def test_all_at_once_are_no_more_than_ten() -> None:
    """Of a hundred that come at the same time ten are looked at, however long that takes."""
    attempts, looked_at = Attempts(Clock()), 0

    async def slow() -> int | None:
        nonlocal looked_at
        async with attempts.turn(HERE) as turn:
            if turn.seconds is None:
                looked_at += 1
                await asyncio.sleep(0.001)
                turn.is_wrong = True
            return turn.seconds

    waits = await asyncio.gather(*(slow() for _ in range(100)))
    assert looked_at == MOST_WRONG
    assert waits.count(60) == 90


async def test_it_stays_small() -> None:
    """However many addresses come."""
    attempts = Attempts(Clock())
    for number in range(20_000):
        await guess(attempts, ip_address(number))
    assert len(attempts) < 17_000
