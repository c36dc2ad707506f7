"""Releases, as the API tells of them: their assets, the list of these, and their pages.

Asks with the secret of a question, and keeps what it learns under its holder; knows no rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gatepass.assets.memory import KEPT_SECONDS
from gatepass.assets.source import Source
from gatepass.cache import Cache
from gatepass.github.client import PER_PAGE, expect_clean
from gatepass.github.replies import AssetGoneError
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from gatepass.assets.ends import Ends
    from gatepass.assets.memory import Memory
    from gatepass.assets.source import Query
    from gatepass.cache import Uses
    from gatepass.forge.urls import AssetRef
    from gatepass.github.client import Asset, Found, GitHub

OUTAGE: Final = frozenset({429, 502, 504})
"""Nobody can be asked, or may be: what is known already still holds, for all that anybody can tell."""
_MAX_PAGES: Final = 50
# The list of assets in a release holds at least so many (FACTS.md): a longer one may be cut.
_EMBEDDED: Final = 30


@dataclass(frozen=True, slots=True)
class Known:
    """A release as last seen, to be asked for again at `fresh_until`; `assets` are those met so far, by name.

    Of what other replicas were told the oldest is of `since`; None where all is our own. `next_page` is the first page
    of the whole list that has not been read, None when all have been; the last was read at `paged`.
    """

    found: Found
    assets: Mapping[str, Asset]
    fresh_until: float
    since: float | None = None
    next_page: int | None = 1
    paged: float = 0

    def uploaded(self, name: str) -> Asset | None:
        asset = self.assets.get(name)
        return asset if asset is not None and asset.state == "uploaded" else None

    def holds(self, ref: AssetRef) -> bool:
        """Whether it has what is asked for; the release's own pages it always has."""
        return not ref.name or self.uploaded(ref.name) is not None


class Releases:
    """What is known of releases, and how more of them is found out."""

    def __init__(self, github: GitHub, memory: Memory, ends: Ends, uses: Callable[[str], Uses]) -> None:
        """`uses` gives a cache its count, by name."""
        self._github = github
        self._memory = memory
        self._ends = ends
        self._lifetimes = memory.lifetimes
        self._clock = memory.clock
        self._releases: Cache[Hashable, Known] = Cache(
            memory.lifetimes.entries, memory.clock, weigh=lambda known: 1 + len(known.assets), uses=uses("releases")
        )

    def is_known(self, query: Query) -> bool:
        """Whether its release is known to have what is asked for."""
        known = self._releases.get(query.release_key)
        return known is not None and known.holds(query.asset)

    async def source(self, query: Query) -> Source:
        """What it asks for, of the release as it is now."""
        if query.asset.is_list:
            return await self._list_of(query)
        if not query.asset.name:
            return self._page_of(query, await self._current(query))
        for _ in range(2):
            known, asset = await self._locate(query)
            api_url = f"{known.found.releases_url}/assets/{asset.id}"
            source = Source(
                query.asset_key,
                query.forge,
                query.ref,
                None,
                asset=asset,
                api_url=api_url,
                secret=query.secret,
                credential=query.credential.name,
                query=query,
                notices=tuple(self._notices(query, known.found)),
                immutable=known.found.release.immutable,
            )
            try:
                return await self._signed(source)
            except AssetGoneError:
                # it was replaced since the release was read
                query.account.use()
                self._memory.distrust(query.release_key)
                self._releases.drop(query.release_key)
        raise self._no_asset(query, known)

    async def _list_of(self, query: Query) -> Source:
        """The whole list of a release's assets."""
        known = await self._current(query)
        while known.next_page is not None and len(known.assets) >= _EMBEDDED:
            known = await self._read_on(query, known, self._lifetime(query))
        return Source(
            query.asset_key,
            query.forge,
            query.ref,
            None,
            secret=query.secret,
            credential=query.credential.name,
            query=query,
            notices=tuple(self._notices(query, known.found)),
            immutable=known.found.release.immutable,
            listed=tuple(asset for asset in known.assets.values() if asset.state == "uploaded"),
        )

    def _page_of(self, query: Query, known: Known) -> Source:
        """The page of a release that is known, instead of an asset's source."""
        found = known.found
        web = f"https://{query.forge.web}/"
        page = f"{web}{found.renamed or query.ref.repository}/releases/tag/{quote(found.release.tag_name, safe='')}"
        if found.release.html_url.startswith(web):
            page = expect_clean(found.release.html_url, query.secret, query.forge)
        return Source(
            query.asset_key,
            query.forge,
            query.ref,
            None,
            page=page,
            secret=query.secret,
            credential=query.credential.name,
            query=query,
            notices=tuple(self._notices(query, found)),
        )

    def _notices(self, query: Query, found: Found) -> Iterator[str]:
        if found.renamed is not None:
            yield f"{query.ref.repository} is now {found.renamed}: change the URL while the old name still leads there"
        yield from self._ends.notices(query)

    async def _signed(self, source: Source) -> Source:
        """The source with a signed URL, or as it is when the forge streams.

        Raises:
            AssetGoneError: the asset is there no more.
        """
        assert source.secret is not None
        recent = self._memory.recent(source.key)
        asked = (source.forge, source.api_url, source.secret, recent, self._lifetimes.tags)
        pointed = await self._github.asset(*asked)
        return replace(source, signed=pointed.signed, reused=pointed.reused)

    async def _locate(self, query: Query) -> tuple[Known, Asset]:
        """The asset in its release: in what is known of it, else in what it is now, else on its further pages."""
        name = query.asset.name
        known = await self._current(query)
        for recent in (self._lifetime(query), self._lifetimes.missing):
            while name not in known.assets and known.next_page is not None:
                known = await self._read_on(query, known, recent)
            if asset := known.uploaded(name):
                return known, asset
            if known.since is None or self._clock() - known.since <= self._lifetimes.missing:
                break
            # another replica was told this a while ago: what is missing may have come since
            known = await self._memory.share((query.release_key, "again"), partial(self._again, query))
        if unfinished := known.assets.get(name):
            raise Unresolvable(catalogue.ASSET_NOT_UPLOADED(ref=query.asset, state=unfinished.state))
        raise self._no_asset(query, known)

    async def _again(self, query: Query) -> Known:
        return replace(await self._release(query, self._lifetimes.missing), next_page=1)

    async def _read_on(self, query: Query, known: Known, recent: float) -> Known:
        return await self._memory.share((query.release_key, "page"), partial(self._page, query, known, recent))

    def _lifetime(self, query: Query) -> float:
        return self._lifetimes.latest if query.asset.tag is None else self._lifetimes.tags

    async def _current(self, query: Query) -> Known:
        """What is known of the release, when it is enough; else what it is now."""
        known = self._releases.get(query.release_key)
        is_enough = known is not None and known.holds(query.asset)
        if known is not None and (is_enough or self._is_being_read(query, known)) and known.fresh_until > self._clock():
            return known
        # what this replica knows already is not enough, so what it was told before is not, either
        recent = self._lifetime(query) if known is None or is_enough else self._lifetimes.missing
        try:
            return await self._memory.once(query.release_key, partial(self._release, query, recent))
        except Unresolvable as unresolvable:
            if known is None or not is_enough or unresolvable.problem.status not in OUTAGE:
                raise
            return known

    def _is_being_read(self, query: Query, known: Known) -> bool:
        """Whether it was asked for a moment ago, is one of many assets, and its further pages are still to come."""
        asked, is_long = known.fresh_until - self._lifetime(query), len(known.found.release.assets) >= _EMBEDDED
        return is_long and known.next_page is not None and self._clock() - asked < self._lifetimes.missing

    @staticmethod
    def _no_asset(query: Query, known: Known) -> Unresolvable:
        found = known.found
        return Unresolvable(choice.asset_not_found(query.asset, found.release.tag_name, known.assets, found.renamed))

    async def _release(self, query: Query, recent: float) -> Known:
        """Ask for the release, or whether it still is what is known of it."""
        known = self._releases.get(query.release_key)
        etag = known.found.etag if known else None
        recent = self._memory.recent(query.release_key, recent)
        try:
            found = await self._github.release(query.forge, query.asset, query.secret, etag, recent)
        except Unresolvable as unresolvable:
            query.account.use()
            raise Unresolvable(self._ends.dated(query, unresolvable.problem)) from None
        query.account.use(paid=found is not None and not found.age)
        now = self._clock()
        age = 0.0 if found is None else found.age
        since, fresh_until = now - age if age else None, now - age + self._lifetime(query)
        if found is not None:
            if found.expires is not None:
                self._ends.learn(query, found.expires)
            known = Known(found, {asset.name: asset for asset in found.release.assets}, fresh_until, since)
        else:
            assert known is not None
            # unchanged as far as the embedded list goes; the pages behind it are read again, but not at every miss
            is_old = known.paged + self._lifetimes.missing <= now
            known = replace(known, fresh_until=fresh_until, since=since, next_page=1 if is_old else known.next_page)
        return self._keep(query, known)

    async def _page(self, query: Query, known: Known, recent: float) -> Known:
        """Read one more page of the release's assets."""
        assert known.next_page is not None
        query.account.use()
        recent = self._memory.recent(query.release_key, recent)
        page, age = await self._github.assets(query.forge, known.found, known.next_page, query.secret, recent)
        next_page = known.next_page + 1 if len(page) == PER_PAGE and known.next_page < _MAX_PAGES else None
        assets = {**known.assets, **{asset.name: asset for asset in page}}
        now = self._clock()
        since = min(known.since or now, now - age) if age else known.since
        return self._keep(query, replace(known, assets=assets, since=since, next_page=next_page, paged=now))

    def _keep(self, query: Query, known: Known) -> Known:
        self._releases.put(query.release_key, known, KEPT_SECONDS)
        return known
