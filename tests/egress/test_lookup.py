"""Names to addresses: with a deadline, asked for once at a time, and in an order that gets somewhere."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from gatepass.egress import guard, lookup
from gatepass.egress.destinations import Place, Reach
from gatepass.egress.lookup import Lookup
from gatepass.problems.problem import Unresolvable
from gatepass.rules.access import Egress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Lets the system's resolver say these addresses, or hang until the test ends; gives what it is asked."""
    end = threading.Event()

    def says(*addresses: str, hang: bool = False) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(name: str, port: int, **_: object) -> list[Any]:
            asked.append(name)
            if hang:
                end.wait()
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    yield says
    end.set()


def problem(told: pytest.ExceptionInfo[Unresolvable]) -> str:
    return told.value.problem.kind


async def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch, resolver: Callable[..., list[str]]) -> None:
    """A name that the resolver does not tell in time has no address; the loop goes on meanwhile, other names, too."""
    monkeypatch.setattr(lookup, "RESOLVE_SECONDS", 0.2)
    asked = resolver(hang=True)
    names = Lookup()
    began = time.monotonic()
    hanging = asyncio.create_task(names.addresses("slow.example", 443))
    while not asked:  # noqa: ASYNC110  # the thread that asks tells no loop
        await asyncio.sleep(0.01)
    resolver("1.1.1.1")
    assert [str(each) for each in await names.addresses("quick.example", 443)] == ["1.1.1.1"]
    with pytest.raises(Unresolvable) as told:
        await hanging
    assert problem(told) == "name-not-resolved"
    assert time.monotonic() - began < 5


async def test_names_that_hang_are_bounded(monkeypatch: pytest.MonkeyPatch, resolver: Callable[..., list[str]]) -> None:
    """However many names hang, so many threads are spent on them and no more; the others are refused in time."""
    monkeypatch.setattr(lookup, "RESOLVE_SECONDS", 0.2)
    asked = resolver(hang=True)
    names = Lookup()
    found = await asyncio.gather(
        *(names.addresses(f"n{number}.example", 443) for number in range(2000)), return_exceptions=True
    )
    assert all(isinstance(each, Unresolvable) for each in found)
    assert len(asked) <= 64
    await asyncio.sleep(lookup.RESOLVE_SECONDS)  # or else those that wait would be asked for in the next test


async def test_one_question_for_all(resolver: Callable[..., list[str]]) -> None:
    """Who asks for a name that is being asked for waits for that answer; the next question is a new one."""
    asked = resolver("1.1.1.1")
    names = Lookup()
    await asyncio.gather(*(names.addresses("a.example", 443) for _ in range(10)))
    assert asked == ["a.example"]
    await names.addresses("a.example", 443)
    assert asked == ["a.example"] * 2


async def test_what_failed_comes_last(resolver: Callable[..., list[str]]) -> None:
    """An address that failed of late is tried last; so is what has no route."""
    resolver("1.1.1.1", "127.0.0.1", "127.0.0.2")
    names = Lookup()
    names.failed("127.0.0.1")
    ordered = [str(each) for each in await names.addresses("a.example", 443)]
    assert ordered.index("127.0.0.2") < ordered.index("127.0.0.1")
    assert names.best(["127.0.0.1", "127.0.0.2"]) == "127.0.0.2"
    names.failed("127.0.0.2")
    assert names.best(["127.0.0.1", "127.0.0.2"]) == "127.0.0.1", "where all failed one has to be tried"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "no-such-name.invalid"])
async def test_no_name(name: str) -> None:
    """A name that cannot be asked for, or has no address, is a problem and no error."""
    with pytest.raises(Unresolvable) as told:
        await Lookup().addresses(name, 443)
    assert problem(told) == "name-not-resolved"


OPEN = Reach(Egress(), frozenset())


async def test_a_literal_is_not_asked_for(resolver: Callable[..., list[str]]) -> None:
    """An address is what it says, however it is spelled: no resolver is asked, which might read it in another way."""
    asked = resolver("9.9.9.9")
    assert await guard.dialled(OPEN, Lookup(), Place.parse("0x1.1.1.1", 443)) == ("1.1.1.1",)
    with pytest.raises(Unresolvable) as told:
        await guard.dialled(OPEN, Lookup(), Place.parse("010.0.0.1", 443))
    assert problem(told) == "address-not-public", "who reads it as decimal gets to 10.0.0.1"
    assert asked == []


async def test_a_name_that_mixes(resolver: Callable[..., list[str]]) -> None:
    """One address that is not public is enough."""
    resolver("1.1.1.1", "10.0.0.1")
    with pytest.raises(Unresolvable) as told:
        await guard.dialled(OPEN, Lookup(), Place.parse("mixed.example", 443))
    assert problem(told) == "address-not-public"
