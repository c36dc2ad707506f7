"""When tokens end, as the API's answers told: a word before, and a better one after.

Knows no forge's client; whose end it is stands in the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime

    from gatepass.assets.source import Query
    from gatepass.problems.problem import Problem

_EXPIRY_SECONDS: Final = 400 * 86_400.0
_EXPIRES_SOON: Final = 7 * 86_400.0


class Ends:
    """The ends that were told."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiries: Cache[Hashable, datetime] = Cache(size, clock)

    def learn(self, query: Query, expires: datetime) -> None:
        self._expiries.put(query.holder, expires, _EXPIRY_SECONDS)

    def notices(self, query: Query) -> Iterator[str]:
        """What its user should know."""
        expires = self._expiries.get(query.holder)
        if expires is not None and expires.timestamp() - self._clock() < _EXPIRES_SOON:
            yield f"the {query.secret.kind} from `{query.secret.source}` expires on {expires:%Y-%m-%d}: renew it"

    def dated(self, query: Query, problem: Problem) -> Problem:
        """A refused token whose end an earlier answer told is known to have come to it."""
        expires = self._expiries.get(query.holder)
        is_bad = problem.kind == catalogue.BAD_CREDENTIAL.name
        if is_bad and expires is not None and expires.timestamp() <= self._clock():
            return catalogue.EXPIRED_CREDENTIAL(forge=query.forge, secret=query.secret, expired=expires)
        return problem
