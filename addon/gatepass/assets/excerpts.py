"""Small parts of assets, remembered: the first byte, whose headers describe the whole, and ends of archives.

Knows neither credentials nor rules: a source has all that it takes to read of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gatepass.assets import check
from gatepass.assets.memory import KEPT_SECONDS
from gatepass.assets.source import REFUSED
from gatepass.cache import Cache
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from gatepass.assets.memory import Memory
    from gatepass.assets.source import Source
    from gatepass.cache import Uses
    from gatepass.github.client import Excerpt, GitHub

_EXCERPT_BYTES: Final = 8 * 1024 * 1024
_FIRST_BYTE: Final = {"Range": "bytes=0-0"}


class Excerpts:
    """The parts that were read."""

    def __init__(
        self,
        github: GitHub,
        memory: Memory,
        renew: Callable[[Source], Awaitable[Source]],
        uses: Callable[[str], Uses],
    ) -> None:
        """`renew` asks again for what a source answers; `uses` gives a cache its count, by name."""
        self._github = github
        self._memory = memory
        self._renew = renew
        clock = memory.clock
        self._first_bytes: Cache[Hashable, Excerpt] = Cache(memory.lifetimes.entries, clock, uses=uses("first_bytes"))
        self._excerpts: Cache[Hashable, Excerpt] = Cache(
            _EXCERPT_BYTES, clock, weigh=lambda part: 512 + len(part.content), uses=uses("excerpts")
        )

    async def first_byte(self, source: Source) -> Excerpt:
        """The first byte of an asset, whose headers describe the whole of it."""
        if known := self._first_bytes.get(source.version):
            return known
        return await self._memory.share(("first byte", source.version), partial(self._first_byte, source))

    async def _first_byte(self, source: Source) -> Excerpt:
        excerpt = await self._excerpt(source, _FIRST_BYTE, 1)
        if excerpt.status in (200, 206, 416):
            self._first_bytes.put(source.version, excerpt, KEPT_SECONDS)
        return excerpt

    async def excerpt(self, source: Source, headers: Mapping[str, str], most: int) -> Excerpt:
        """A small part of an asset, remembered: each uv asks for the same last 16 KiB."""
        key = (source.version, *sorted(headers.items()))
        if known := self._excerpts.get(key):
            return known

        async def fetch() -> Excerpt:
            excerpt = await self._excerpt(source, headers, most)
            if excerpt.status == 206:
                self._excerpts.put(key, excerpt, KEPT_SECONDS)
            return excerpt

        return await self._memory.share(("excerpt", *key), fetch)

    async def _excerpt(self, source: Source, headers: Mapping[str, str], most: int) -> Excerpt:
        """The same from its host. A signed URL that was used before and is refused now is asked for anew, once."""
        if source.outage is not None:
            raise Unresolvable(source.outage)
        if source.signed is None:
            assert source.secret is not None
            asked = (source.forge, source.api_url, source.secret, headers, most, source.accept)
            part = await self._github.api_excerpt(*asked)
            source.expect_file(part.headers)
            return _expected(source, part)
        excerpt = await self._github.excerpt(source.signed, headers, most)
        if excerpt.status in REFUSED and source.reused:
            self._memory.forget(source)
            fresh = await self._memory.share(source.key, partial(self._renew, source))
            if fresh.signed is not None:
                return _expected(fresh, await self._github.excerpt(fresh.signed, headers, most))
        return _expected(source, excerpt)


def _expected(source: Source, part: Excerpt) -> Excerpt:
    """The part, which is one of that asset, and all of it there.

    Raises:
        Unresolvable: it is not.
    """
    if part.status != 206:
        return part
    size, digest = (None, None) if source.asset is None else (source.asset.size, source.asset.digest)
    if error := check.fault_of(part.status, part.headers, part.content, size, digest):
        raise Unresolvable(catalogue.BROKEN_ANSWER(host=source.host, error=error))
    return part
