"""What is behind a 404, as far as a look at its repository tells: one is taken once a minute at the most.

Knows the API client and what is remembered; knows no rule.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.forge.urls import AssetRef
from gatepass.github import diagnosis
from gatepass.github.diagnosis import Look
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gatepass.assets.memory import Memory
    from gatepass.assets.source import Query
    from gatepass.github.client import GitHub
    from gatepass.problems.problem import Problem

LOOKED_INTO: Final = frozenset({catalogue.RELEASE_NOT_FOUND.name, catalogue.SOURCE_NOT_FOUND.name})
"""What a look may tell more of."""
_DIAGNOSIS_SECONDS: Final = 60.0


class Looks:
    """The looks that were taken."""

    def __init__(self, github: GitHub, memory: Memory) -> None:
        self._github = github
        self._memory = memory
        self._lifetimes = memory.lifetimes
        self._looks: Cache[Hashable, Look | Exception] = Cache(memory.lifetimes.entries, memory.clock, weigh=_weight)

    def expect_visible(self, query: Query) -> None:
        """Go on unless a look has told that its holder sees nothing of the repository.

        Raises:
            Unresolvable: it has.
        """
        look = self._looks.get(query.repository_key)
        if isinstance(look, Look) and look.releases is None:
            raise Unresolvable(choice.repository_not_visible(query.forge, query.ref, query.secret))

    async def diagnosed(self, query: Query, problem: Problem) -> Problem:
        """What is behind that problem."""
        key = query.repository_key
        look = self._looks.get(key)
        if look is None and (self._memory.is_asked(key) or query.account.has_room(diagnosis.MOST_CALLS)):
            look = await self._memory.share(key, partial(self._look, query))
        if not isinstance(look, Look):
            return problem
        if look.releases is None:
            why = choice.repository_not_visible(query.forge, query.ref, query.secret)
        elif isinstance(query.ref, AssetRef):
            why = look.why(query.forge, query.ref, query.secret)
        else:
            return problem
        # what was known before is true, too
        return why.about(**problem.members)

    async def _look(self, query: Query) -> Look | Exception:
        look: Look | Exception
        seconds = _DIAGNOSIS_SECONDS
        query.account.use(diagnosis.MOST_CALLS)
        try:
            async with asyncio.timeout(diagnosis.SECONDS):
                look = await diagnosis.look(
                    self._github, query.forge, query.ref.repository, query.secret, _DIAGNOSIS_SECONDS
                )
        except (Unresolvable, TimeoutError) as error:
            look = error
        else:
            if look.releases is None:
                query.account.use(-1)  # one call told all
                seconds = self._lifetimes.missing
        self._looks.put(query.repository_key, look, seconds)
        return look


def _weight(look: Look | Exception) -> int:
    return 1 + len(look.releases or ()) if isinstance(look, Look) else 1
