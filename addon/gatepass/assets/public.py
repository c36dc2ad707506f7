"""What anybody may have, without a credential: asked of the hosts that browsers use, before any API.

Knows the API client and what is remembered; no credential, and so no secret, ever comes here.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.assets.source import Source
from gatepass.cache import Cache
from gatepass.forge import urls
from gatepass.forge.signed import SignedUrl
from gatepass.forge.sources import SourceRef
from gatepass.forge.urls import AssetRef
from gatepass.github.client import UnclearError
from gatepass.github.shared import FOREVER
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.store.alone import Made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from gatepass.assets.memory import Memory
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef
    from gatepass.forge.urls import Repository
    from gatepass.github.client import GitHub
    from gatepass.store.alone import Store

# What is asked before the real question must leave time for it.
_PUBLIC_SECONDS: Final = 5.0


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a host gave anybody at `asked`: a signed URL and its end, the URL of a page, or whatever it is; or nothing.

    `is_reused` tells that another replica was given it.
    """

    asked: float
    is_given: bool = False
    page: str = ""
    signed: tuple[str, float | None] | None = None
    is_reused: bool = False

    def signed_url(self) -> SignedUrl | None:
        if self.signed is None or (parsed := SignedUrl.parse(self.signed[0])) is None:
            return None
        return replace(parsed, expires=self.signed[1])


class Public:
    """What is known to be anybody's, and what not."""

    def __init__(self, github: GitHub, memory: Memory, store: Store) -> None:
        self._store = store
        self._github = github
        self._memory = memory
        self._lifetimes = memory.lifetimes
        size, clock = memory.lifetimes.entries, memory.clock
        self._public: Cache[Hashable, bool] = Cache(size, clock)
        self._unclear: Cache[Hashable, UnclearError] = Cache(size, clock)

    async def source(self, forge: Forge, ref: AssetRef) -> Source | None:
        """What anybody may have; None when it is private, or absent.

        Raises:
            UnclearError: the web host did not say.
        """
        web = forge.web
        if self._public.get((web, ref.repository)) is False or self._public.get((web, ref)) is False:
            return None
        key = ("public", web, ref)
        if known := self._memory.source(key):
            return known
        if unclear := self._unclear.get(web) or self._unclear.get((web, ref)):
            raise UnclearError(unclear.fault)
        return await self._memory.share(key, partial(self._ask_publicly, key, forge, ref))

    async def is_public(self, forge: Forge, repository: Repository) -> bool:
        """Whether anybody may fetch a repository by git; its web host is asked when that is not known.

        Where that does not say, nobody may.
        """
        path = f"/{repository}.git/info/refs?service=git-upload-pack"
        try:
            return await self._is_given(forge, repository, repository, forge.web, path)
        except UnclearError:
            return False

    async def is_anybodys(self, forge: Forge, ref: DownloadRef) -> bool:
        """Whether the web host, or that for raw files, gives it without a credential: then it is to pass unchanged.

        Raises:
            UnclearError: it did not say.
        """
        host, path = forge.web, urls.download_path(ref) if isinstance(ref, AssetRef) else ref.url_path
        if isinstance(ref, SourceRef) and ref.is_raw and forge.raw is not None:
            host = forge.raw
        return await self._is_given(forge, ref.repository, ref, host, path)

    async def renewed(self, source: Source) -> Source:
        """The same with a new signed URL.

        Raises:
            Unresolvable: there is none any more.
        """
        assert isinstance(source.ref, AssetRef), "what is public of the others passes unchanged"
        try:
            found = await self._anybodys(source.forge, source.ref, self._memory.recent(source.key))
        except UnclearError:
            found = None
        if found is None or (signed := found.signed_url()) is None:
            raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=source.host, status=403))
        return self._memory.remember(replace(source, signed=signed, reused=found.is_reused))

    async def _is_given(self, forge: Forge, repository: Repository, what: Hashable, host: Host, target: str) -> bool:
        known = self._public.get((forge.web, repository))
        if known is None:
            known = self._public.get((forge.web, what))
        if known is not None:
            return known
        if unclear := self._unclear.get(host) or self._unclear.get((host, what)):
            raise UnclearError(unclear.fault)
        return await self._memory.share(
            ("given", host, what), partial(self._ask_given, forge, repository, what, host, target)
        )

    async def _ask_given(self, forge: Forge, repository: Repository, what: Hashable, host: Host, target: str) -> bool:
        try:
            async with asyncio.timeout(_PUBLIC_SECONDS):
                given = await self._shared("given", host, target, partial(self._github.is_public, host, target))
        except (UnclearError, TimeoutError) as error:
            fault = catalogue.TIMED_OUT(host=host, seconds=_PUBLIC_SECONDS)
            unclear = error if isinstance(error, UnclearError) else UnclearError(fault)
            self._unclear.put((host, what) if unclear.fault is None else host, unclear, self._lifetimes.missing)
            raise unclear from None
        if given.is_given:
            self.learn(forge, repository, public=True)
        else:
            self._public.put((forge.web, what), False, self._lifetimes.missing)
        return given.is_given

    async def _ask_publicly(self, key: Hashable, forge: Forge, ref: AssetRef) -> Source | None:
        try:
            found = await self._anybodys(forge, ref)
        except UnclearError as unclear:
            # a host that gives no answer gives none for other assets
            asked = (forge.web, ref) if unclear.fault is None else forge.web
            self._unclear.put(asked, unclear, self._lifetimes.missing)
            raise
        signed = found.signed_url()
        if signed is None and not found.page:
            self._public.put((forge.web, ref), False, self._lifetimes.missing)
            return None
        self.learn(forge, ref.repository, public=True)
        return self._memory.remember(Source(key, forge, ref, signed, found.is_reused, page=found.page))

    async def _anybodys(self, forge: Forge, ref: AssetRef, recent: float = FOREVER) -> _Given:
        """What anybody gets: a signed URL for an asset, the URL of another for a page."""
        ask = partial(self._github.public if ref.name else self._github.public_page, forge, ref)
        try:
            async with asyncio.timeout(_PUBLIC_SECONDS):
                return await self._shared("public", forge.web, urls.download_path(ref), ask, recent)
        except TimeoutError:
            raise UnclearError(catalogue.TIMED_OUT(host=forge.web, seconds=_PUBLIC_SECONDS)) from None

    async def _shared(
        self,
        kind: str,
        host: Host,
        target: str,
        ask: Callable[[], Awaitable[bool | str | SignedUrl | None]],
        recent: float = FOREVER,
    ) -> _Given:
        """What a host gives anybody, as any replica was told at most `recent` seconds ago."""
        clock = self._memory.clock

        def take(value: bytes) -> _Given | None:
            try:
                found = msgspec.msgpack.decode(value, type=_Given)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
            signed = found.signed_url()
            is_over = found.signed is not None and (signed is None or not signed.seconds(clock()))
            return None if is_over or clock() - found.asked > recent else msgspec.structs.replace(found, is_reused=True)

        async def made() -> Made[_Given]:
            now, found = clock(), await ask()
            seconds: float = self._lifetimes.visibility if found else self._lifetimes.missing
            if isinstance(found, SignedUrl):
                given, seconds = _Given(now, signed=(found.url, found.expires)), found.seconds(now)
            elif isinstance(found, str):
                given, seconds = _Given(now, page=found), self._lifetimes.latest
            else:
                given = _Given(now, is_given=bool(found))
            return Made(given, msgspec.msgpack.encode(given), seconds)

        return await self._store.once(self._store.name(kind, str(host), target), take, made)

    def learn(self, forge: Forge, repository: Repository, *, public: bool) -> None:
        key = (forge.web, repository)
        if public or self._public.get(key) is None:
            self._public.put(key, public, self._lifetimes.visibility)
