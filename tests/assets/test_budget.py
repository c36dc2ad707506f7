"""What is asked in vain, counted: the places of a window, and who waits for one."""

from __future__ import annotations

import asyncio

import pytest

from gatepass.assets.budget import Misses, SpentError
from gatepass.rules.access import MOST_MISSES as MOST_A_MINUTE


@pytest.fixture
def misses() -> Misses:
    return Misses(lambda: 0.0, MOST_A_MINUTE)


async def ask(misses: Misses, client: str, answer: asyncio.Future[bool], budget: int | None = None) -> bool:
    """One question of that client; whether it was asked. `answer` tells whether it was in vain."""
    with misses.tab(client) as tab:
        account = tab.account("token", lambda: budget)
        try:
            await account.enter()
        except SpentError:
            return False
        account.use()
        tab.missed = await answer
        return True


async def test_who_waits_is_told_when_all_is_spent(misses: Misses) -> None:
    """More than may be in vain is not under way at once; when all were, those who waited are refused, each of them."""
    answer = asyncio.get_running_loop().create_future()
    asked = [asyncio.ensure_future(ask(misses, "a", answer)) for _ in range(MOST_A_MINUTE + 40)]
    await asyncio.sleep(0)
    answer.set_result(True)
    assert sorted(await asyncio.gather(*asked)) == [False] * 40 + [True] * MOST_A_MINUTE


async def test_who_waits_goes_on_when_all_is_found(misses: Misses) -> None:
    """Places are given back by what was there: everybody who waited gets one."""
    answer = asyncio.get_running_loop().create_future()
    asked = [asyncio.ensure_future(ask(misses, "a", answer)) for _ in range(3 * MOST_A_MINUTE)]
    await asyncio.sleep(0)
    answer.set_result(False)
    assert all(await asyncio.gather(*asked))


async def test_who_gives_up_waiting_takes_no_place(misses: Misses) -> None:
    """One who waited and is gone leaves its turn to the next."""
    answer = asyncio.get_running_loop().create_future()
    first = [asyncio.ensure_future(ask(misses, "a", answer)) for _ in range(MOST_A_MINUTE)]
    waiting = [asyncio.ensure_future(ask(misses, "a", answer)) for _ in range(10)]
    await asyncio.sleep(0)
    answer.set_result(False)
    for each in waiting[:9]:
        each.cancel()
    assert await waiting[9]
    assert all(await asyncio.gather(*first))


async def test_a_slow_forge_holds_nobody_up(misses: Misses) -> None:
    """Questions that hang hold up no other of the same client for longer than a moment."""
    never = asyncio.get_running_loop().create_future()
    hanging = [asyncio.ensure_future(ask(misses, "a", never)) for _ in range(MOST_A_MINUTE)]
    await asyncio.sleep(0)
    found = asyncio.get_running_loop().create_future()
    found.set_result(False)
    async with asyncio.timeout(5):
        assert await ask(misses, "a", found)
    for each in hanging:
        each.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_clients_without_number(misses: Misses) -> None:
    """However many clients come, those of longest ago are forgotten, and the credential's own share holds."""
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(True)
    asked = [await ask(misses, str(number), answer, 100_000) for number in range(10_100)]
    assert sum(asked) == 10_000
    assert len(misses) <= 5_000
