"""The guard of destinations: a host to the addresses that may be dialled for it, or to the problem that it is.

Resolves and judges; opens no connection. Whoever dials takes one of these addresses, and asks for the name no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.egress.addresses import plain
from gatepass.egress.destinations import Place
from gatepass.forge.hosts import Host
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gatepass.egress.destinations import Reach
    from gatepass.egress.lookup import Lookup


class Way:
    """Where the proxy's own calls may get to, whoever caused them: `allow` and `deny` are for what clients ask for."""

    def __init__(self, reach: Reach, lookup: Lookup, is_guarded: Callable[[], bool]) -> None:
        """`is_guarded` tells whether anything is judged at all."""
        self._reach = reach
        self._lookup = lookup
        self._is_guarded = is_guarded

    async def dial(self, name: str, port: int) -> Sequence[str]:
        """The addresses by which a host is dialled.

        Raises:
            Unresolvable: it may not be, or has none.
        """
        return await dialled(self._reach, self._lookup, place_of(name, port)) if self._is_guarded() else (name,)

    def expect_literal(self, name: str, port: int) -> None:
        """Judge a host that an upstream proxy resolves.

        Raises:
            Unresolvable: it may not be reached.
        """
        if self._is_guarded():
            expect_literal(self._reach, place_of(name, port))


def place_of(host: str, port: int) -> Place:
    """The server that a client means.

    Raises:
        Unresolvable: there can be none.
    """
    try:
        return Place.parse(host, port)
    except ValueError as error:
        raise Unresolvable(catalogue.NAME_NOT_RESOLVED(host=Host(host, port), error=str(error))) from None


async def dialled(reach: Reach, lookup: Lookup, place: Place) -> tuple[str, ...]:
    """The addresses by which it may be dialled, at least one, the best first.

    Raises:
        Unresolvable: it may not be, or has none.
    """
    found = tuple(map(plain, place.literals)) or await lookup.addresses(place.name, place.port)
    if problem := reach.forbidden(place, found):
        raise Unresolvable(problem)
    return tuple(map(str, found[:1] if place.literals else found))


def expect_literal(reach: Reach, place: Place) -> None:
    """Judge what another resolves, an upstream proxy: only what is an address can be, by any reading.

    Raises:
        Unresolvable: it may not be reached.
    """
    if problem := reach.forbidden(place, place.literals):
        raise Unresolvable(problem)
