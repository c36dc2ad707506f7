"""Repositories by their numbers: which one `/repositories/ID` is, asked for and kept for a while.

GitHub leads whoever asks for a renamed repository there (REST docs, "Best practices", redirects). Knows the API client,
and no rule: whether that repository may be asked for is for others to say.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.cache import Cache, Flights
from gatepass.forge import urls
from gatepass.github.client import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import Repository
    from gatepass.github.client import GitHub
    from gatepass.secret import Secret

_MOST: Final = 1000
# It may be renamed at any time, to a name that no rule allows.
_SECONDS: Final = 60.0


class _Repository(msgspec.Struct, frozen=True):
    full_name: str


class Numbers:
    """What is known of them."""

    def __init__(self, github: GitHub, clock: Callable[[], float]) -> None:
        self._github = github
        self._known: Cache[Hashable, tuple[Repository | None]] = Cache(_MOST, clock)
        self._flights: Flights[Hashable] = Flights()

    async def repository(self, forge: Forge, number: int, credential: str, secret: Secret) -> Repository | None:
        """The repository of that number, by its name of now; None when the credential of that name sees none.

        Raises:
            Unresolvable: the API does not say.
        """
        key = (forge.api, number, credential)
        if (known := self._known.get(key)) is not None:
            return known[0]
        return await self._flights.share(key, partial(self._asked, key, forge, number, secret))

    async def _asked(self, key: Hashable, forge: Forge, number: int, secret: Secret) -> Repository | None:
        reply = await self._github.ask(forge, f"{forge.api}/repositories/{number}", secret)
        found = None
        if reply.status == 200:
            found = urls.named(*decode(reply, _Repository, forge).full_name.partition("/")[::2])
        self._known.put(key, (found,), _SECONDS)
        return found
