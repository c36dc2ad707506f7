"""From a decision to the asset: asked for once, however many want it, and remembered while it holds.

Knows credentials, the API client and the caches; knows neither flows nor mitmproxy. What was learnt with one
credential is kept under it, so that no other profits from its rights; of several that a rule names, that which may see
a repository is remembered for it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gatepass.assets.budget import Misses, SpentError
from gatepass.cache import Cache, Flights, Uses
from gatepass.forge import urls
from gatepass.forge.signed import SignedUrl
from gatepass.forge.sources import Content, SourceRef, api_path
from gatepass.forge.urls import AssetRef
from gatepass.github import diagnosis
from gatepass.github.client import (
    OCTET_STREAM,
    PER_PAGE,
    RAW,
    TOTAL_SECONDS,
    AssetGoneError,
    UnclearError,
    expect_clean,
)
from gatepass.github.diagnosis import Look
from gatepass.github.statistics import spending
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable
from gatepass.problems.remembered import Remembered
from gatepass.rules.model import ResolveRelease
from gatepass.secret import Audience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
    from datetime import datetime

    from gatepass.assets.budget import Account, Tab
    from gatepass.credentials.store import Credentials
    from gatepass.decision import Resolve
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef
    from gatepass.forge.urls import Repository
    from gatepass.github.client import Asset, Excerpt, Found, GitHub
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Rules
    from gatepass.secret import Secret

# Answers that stay true for a moment, however often a client asks again; faults of the network may pass at once.
_LASTING: Final = frozenset({401, 403, 404, 429, 451})
# What another credential may help against: to be refused, to see nothing, to have no budget left.
_HELPED: Final = frozenset({401, 403, 404, 429})
# Nobody can be asked, or may be: what is known already still holds, for all that anybody can tell.
_OUTAGE: Final = frozenset({429, 502, 504})
REFUSED: Final = frozenset({401, 403, 404})
"""What an asset host answers to a URL that has ended, was revoked, or whose asset has been replaced since."""
# The repository was seen, so that no other credential would find more in it.
_SEEN: Final = frozenset({catalogue.ASSET_NOT_FOUND.name, catalogue.ASSET_NOT_UPLOADED.name})
# The same for whichever credential.
_OF_THE_CLIENT: Final = frozenset({catalogue.TOO_MANY_MISSES.name})
# Answers that are the same whatever is asked for with that secret.
_OF_THE_ACCOUNT: Final = frozenset(
    {catalogue.BAD_CREDENTIAL.name, catalogue.EXPIRED_CREDENTIAL.name, catalogue.LOCKED_OUT.name}
)
_OF_THE_BUDGET: Final = frozenset({catalogue.RATE_LIMITED.name, catalogue.SECONDARY_RATE_LIMITED.name})
# A release is kept past its lifetime, for asking whether it changed is free; and the rest for when nobody can be asked.
_KEPT_SECONDS: Final = 86_400
_MAX_PAGES: Final = 50
_EXCERPT_BYTES: Final = 8 * 1024 * 1024
_DIAGNOSIS_SECONDS: Final = 60.0
_UNMENDED_SECONDS: Final = 300.0
_EXPIRY_SECONDS: Final = 400 * 86_400.0
_EXPIRES_SOON: Final = 7 * 86_400.0
_FIRST_BYTE: Final = {"Range": "bytes=0-0"}
# What is asked before the real question must leave time for it.
_PUBLIC_SECONDS: Final = 5.0
# The list of assets in a release holds at least so many (FACTS.md): a longer one may be cut.
_EMBEDDED: Final = 30
# So long an API is waited for by who could be served without it.
_OUTAGE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Query:
    """One request's question: with which secret it is asked, whose knowledge the answer is, and on which account."""

    forge: Forge
    ref: DownloadRef
    credential: Credential
    secret: Secret
    holder: Hashable
    account: Account

    @property
    def repository_key(self) -> Hashable:
        return (self.holder, self.forge.web, self.ref.repository)

    @property
    def asset(self) -> AssetRef:
        """What it asks for, where that is of a release."""
        assert isinstance(self.ref, AssetRef)
        return self.ref

    @property
    def release_key(self) -> Hashable:
        return (self.holder, self.forge.web, self.ref.repository, self.asset.tag)

    @property
    def asset_key(self) -> Hashable:
        if isinstance(self.ref, SourceRef):
            return (self.holder, self.forge.web, self.ref)
        return (self.release_key, self.ref.name)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of an asset, or of an archive or a file, are to be had, and under which key it is remembered.

    `signed` is None for a forge that streams: then they are at `api_url`, with `secret`, in the media type `accept`. A
    public asset has neither of these, nor an `asset`, which archives and files have not, either. `reused` tells that
    `signed` was handed out before, and so may have been revoked since.
    """

    key: Hashable
    forge: Forge
    ref: DownloadRef
    signed: SignedUrl | None
    reused: bool = False
    asset: Asset | None = None
    api_url: str = ""
    accept: str = OCTET_STREAM
    secret: Secret | None = None
    credential: str = ""
    notices: tuple[str, ...] = ()
    """What its user should know, though it works."""
    immutable: bool = False
    """Whether its release can not be changed any more."""
    page: str = ""
    """The URL of the release's own page, where that is what was asked for; there is no asset then."""
    listed: tuple[Asset, ...] | None = None
    """The assets of the release, where the list of them is what was asked for; the same."""
    etag: str | None = None
    """Of a file, which may be another one at the same address."""
    outage: Problem | None = None
    """Why it is not known whether this still holds, and why there is no `signed` that works."""
    query: _Query | None = field(default=None, compare=False, repr=False)
    """The question that it answers, to be asked again."""

    @property
    def version(self) -> Hashable:
        """Changes when the asset does: GitHub gives a file that was uploaded again a new id.

        Of what a branch holds nothing tells in time: that is known for as long as its address.
        """
        if isinstance(self.ref, SourceRef):
            return (self.key, self.signed, self.etag)
        return (self.key, self.asset.id if self.asset else self.signed and self.signed.path)

    @property
    def content_type(self) -> str | None:
        """What its bytes are, where the host names what was asked for instead; None where it says that itself."""
        return OCTET_STREAM if self.accept == RAW else None

    def expect_file(self, headers: Mapping[str, str]) -> None:
        """Go on when these headers are of a file: a folder is told in JSON, whatever was asked for.

        Raises:
            Unresolvable: they are not.
        """
        if self.accept == RAW and _is_json(headers):
            assert isinstance(self.ref, SourceRef)
            raise Unresolvable(catalogue.NOT_A_FILE(repository=self.ref.repository, name=self.ref.named))

    @property
    def host(self) -> Host:
        """The host that the bytes come from."""
        return self.forge.api_host if self.signed is None else self.signed.host


@dataclass(frozen=True, slots=True)
class _Known:
    """A release as last seen, to be asked for again at `fresh_until`; `assets` are those met so far, by name.

    `next_page` is the first page of the whole list that has not been read, None when all have been; the last was read
    at `paged`.
    """

    found: Found
    assets: Mapping[str, Asset]
    fresh_until: float
    next_page: int | None = 1
    paged: float = 0

    def uploaded(self, name: str) -> Asset | None:
        asset = self.assets.get(name)
        return asset if asset is not None and asset.state == "uploaded" else None

    def holds(self, ref: AssetRef) -> bool:
        """Whether it has what is asked for; the release's own pages it always has."""
        return not ref.name or self.uploaded(ref.name) is not None


class Resolver:
    """Finds assets. Every method may raise `Unresolvable`, and `TimeoutError` after `TOTAL_SECONDS`."""

    def __init__(
        self,
        credentials: Credentials,
        github: GitHub,
        rules: Rules,
        clock: Callable[[], float] = time.time,
        uses: Callable[[str], Uses] = lambda _: Uses(),
    ) -> None:
        """`clock` gives epoch seconds: what signed URLs are dated in; `uses` gives a cache its count, by name."""
        self._credentials = credentials
        self._github = github
        self._lifetimes = rules.cache
        self._clock = clock
        size = rules.cache.entries
        self._releases: Cache[Hashable, _Known] = Cache(
            size, clock, weigh=lambda known: 1 + len(known.assets), uses=uses("releases")
        )
        self._sources: Cache[Hashable, Source] = Cache(size, clock, uses=uses("assets"))
        self._last: Cache[Hashable, Source] = Cache(size, clock)
        self._first_bytes: Cache[Hashable, Excerpt] = Cache(size, clock, uses=uses("first_bytes"))
        self._excerpts: Cache[Hashable, Excerpt] = Cache(
            _EXCERPT_BYTES, clock, weigh=lambda part: 512 + len(part.content), uses=uses("excerpts")
        )
        self._failures: Remembered[Hashable] = Remembered(size, clock)
        self._outages: Remembered[Host] = Remembered(size, clock)
        self._public: Cache[Hashable, bool] = Cache(size, clock)
        self._unclear: Cache[Hashable, UnclearError] = Cache(size, clock)
        self._looks: Cache[Hashable, Look | Exception] = Cache(size, clock, weigh=_weight)
        self._expiries: Cache[Hashable, datetime] = Cache(size, clock)
        self._chosen: Cache[Hashable, Credential] = Cache(size, clock)
        self._refs: Cache[Hashable, bool] = Cache(size, clock)
        self._flights: Flights[Hashable] = Flights()
        self._misses = Misses(clock, rules.access.limits.misses)
        # so that the fingerprint of a secret is worth nothing outside this process
        self._salt = secrets.token_bytes(32)

    async def resolve(self, request: Resolve) -> Source | None:
        """Where the asset is to be had; None when it is not ours to say, and the request is to pass unchanged."""
        ref = request.ref
        if request.anonymous_first:
            try:
                if isinstance(ref, SourceRef) or ref.is_list:
                    if await self._is_anybodys(request.forge, ref):
                        return None
                    source = None
                else:
                    source = await self._publicly(request.forge, ref)
            except UnclearError as unclear:
                return await self._anyway(request, unclear.fault)
            if source is not None:
                return source
        source = _fit(request, await self._on_a_tab(request))
        # only now: a 404 on the web is also what a misspelt name of a public repository gets
        self._learn_visibility(request.forge, ref.repository, public=False)
        return source

    async def _on_a_tab(self, request: Resolve) -> Source:
        """With the API, on the account of who asks: what is asked in vain is limited."""
        with self._misses.tab(request.account) as tab:
            try:
                return await self._with_any(request, tab)
            except Unresolvable as unresolvable:
                tab.missed = unresolvable.problem.status in _LASTING
                raise

    async def _anyway(self, request: Resolve, fault: Problem | None) -> Source | None:
        """The asset by the API, where the web host does not say whether anybody may have it.

        When the API gives none either, the client gets what the web host says, or hears of the `fault` for which it
        says nothing.
        """
        try:
            return await self._on_a_tab(request)
        except Unresolvable as unresolvable:
            if fault is None:
                return None
            if known := self._last.get(("public", request.forge.web, request.ref)):
                return _during(fault, known)
            raise Unresolvable(choice.neither(fault, unresolvable.problem)) from None

    async def first_byte(self, source: Source) -> Excerpt:
        """The first byte of an asset, whose headers describe the whole of it."""
        if known := self._first_bytes.get(source.version):
            return known
        return await self._share(("first byte", source.version), partial(self._first_byte, source))

    async def _first_byte(self, source: Source) -> Excerpt:
        excerpt = await self._excerpt(source, _FIRST_BYTE, 1)
        if excerpt.status in (200, 206, 416):
            self._first_bytes.put(source.version, excerpt, _KEPT_SECONDS)
        return excerpt

    async def excerpt(self, source: Source, headers: Mapping[str, str], most: int) -> Excerpt:
        """A small part of an asset, remembered: each uv asks for the same last 16 KiB."""
        key = (source.version, *sorted(headers.items()))
        if known := self._excerpts.get(key):
            return known

        async def fetch() -> Excerpt:
            excerpt = await self._excerpt(source, headers, most)
            if excerpt.status == 206:
                self._excerpts.put(key, excerpt, _KEPT_SECONDS)
            return excerpt

        return await self._share(("excerpt", *key), fetch)

    async def _excerpt(self, source: Source, headers: Mapping[str, str], most: int) -> Excerpt:
        """The same from its host. A signed URL that was used before and is refused now is asked for anew, once."""
        if source.outage is not None:
            raise Unresolvable(source.outage)
        if source.signed is None:
            assert source.secret is not None
            asked = (source.forge, source.api_url, source.secret, headers, most, source.accept)
            part = await self._github.api_excerpt(*asked)
            source.expect_file(part.headers)
            return part
        excerpt = await self._github.excerpt(source.signed, headers, most)
        if excerpt.status in REFUSED and source.reused:
            self.forget(source)
            fresh = await self._share(source.key, partial(self._renewed, source))
            if fresh.signed is not None:
                return await self._github.excerpt(fresh.signed, headers, most)
        return excerpt

    def forget(self, source: Source) -> None:
        """Hand out no more what was refused, unless it was replaced meanwhile."""
        known = self._sources.get(source.key)
        if known is not None and known.signed == source.signed:
            self._sources.drop(source.key)

    def learn(self, source: Source, signed: SignedUrl) -> None:
        """Remember a signed URL that was seen passing by."""
        self._remember(replace(source, signed=signed))

    # ---------------------------------------------------------------- public

    async def _publicly(self, forge: Forge, ref: AssetRef) -> Source | None:
        """What anybody may have; None when it is private, or absent.

        Raises:
            UnclearError: the web host did not say.
        """
        web = forge.web
        if self._public.get((web, ref.repository)) is False or self._public.get((web, ref)) is False:
            return None
        key = ("public", web, ref)
        if known := self._sources.get(key):
            return known
        if unclear := self._unclear.get(web) or self._unclear.get((web, ref)):
            raise UnclearError(unclear.fault)
        return await self._share(key, partial(self._ask_publicly, key, forge, ref))

    async def is_public(self, forge: Forge, repository: Repository) -> bool:
        """Whether anybody may fetch a repository by git; its web host is asked when that is not known.

        Where that does not say, nobody may.
        """
        path = f"/{repository}.git/info/refs?service=git-upload-pack"
        try:
            return await self._is_given(forge, repository, repository, forge.web, path)
        except UnclearError:
            return False

    async def _is_anybodys(self, forge: Forge, ref: DownloadRef) -> bool:
        """Whether the web host, or that for raw files, gives it without a credential: then it is to pass unchanged.

        Raises:
            UnclearError: it did not say.
        """
        host, path = forge.web, urls.download_path(ref) if isinstance(ref, AssetRef) else ref.url_path
        if isinstance(ref, SourceRef) and ref.is_raw and forge.raw is not None:
            host = forge.raw
        return await self._is_given(forge, ref.repository, ref, host, path)

    async def _is_given(self, forge: Forge, repository: Repository, what: Hashable, host: Host, target: str) -> bool:
        known = self._public.get((forge.web, repository))
        if known is None:
            known = self._public.get((forge.web, what))
        if known is not None:
            return known
        if unclear := self._unclear.get(host) or self._unclear.get((host, what)):
            raise UnclearError(unclear.fault)
        return await self._share(("given", host, what), partial(self._ask_given, forge, repository, what, host, target))

    async def _ask_given(self, forge: Forge, repository: Repository, what: Hashable, host: Host, target: str) -> bool:
        try:
            async with asyncio.timeout(_PUBLIC_SECONDS):
                is_given = await self._github.is_public(host, target)
        except (UnclearError, TimeoutError) as error:
            fault = catalogue.TIMED_OUT(host=host, seconds=_PUBLIC_SECONDS)
            unclear = error if isinstance(error, UnclearError) else UnclearError(fault)
            self._unclear.put((host, what) if unclear.fault is None else host, unclear, self._lifetimes.missing)
            raise unclear from None
        if is_given:
            self._learn_visibility(forge, repository, public=True)
        else:
            self._public.put((forge.web, what), False, self._lifetimes.missing)
        return is_given

    async def _ask_publicly(self, key: Hashable, forge: Forge, ref: AssetRef) -> Source | None:
        try:
            found = await self._anybodys(forge, ref)
        except UnclearError as unclear:
            # a host that gives no answer gives none for other assets
            asked = (forge.web, ref) if unclear.fault is None else forge.web
            self._unclear.put(asked, unclear, self._lifetimes.missing)
            raise
        if found is None:
            self._public.put((forge.web, ref), False, self._lifetimes.missing)
            return None
        self._learn_visibility(forge, ref.repository, public=True)
        source = Source(key, forge, ref, None)
        return self._remember(replace(source, page=found) if isinstance(found, str) else replace(source, signed=found))

    async def _anybodys(self, forge: Forge, ref: AssetRef) -> SignedUrl | str | None:
        """What anybody gets: a signed URL for an asset, the URL of another for a page."""
        ask = self._github.public if ref.name else self._github.public_page
        try:
            async with asyncio.timeout(_PUBLIC_SECONDS):
                return await ask(forge, ref)
        except TimeoutError:
            raise UnclearError(catalogue.TIMED_OUT(host=forge.web, seconds=_PUBLIC_SECONDS)) from None

    def _learn_visibility(self, forge: Forge, repository: Repository, *, public: bool) -> None:
        key = (forge.web, repository)
        if public or self._public.get(key) is None:
            self._public.put(key, public, self._lifetimes.visibility)

    # --------------------------------------------------------------- private

    async def _with_any(self, request: Resolve, tab: Tab) -> Source:
        """With the first of the credentials that may see the repository; that which could the last time goes first."""
        key = (request.forge.web, request.ref.repository, request.credentials)
        known = self._chosen.get(key)
        refused: list[tuple[str, Problem]] = []
        turn = sorted(request.credentials, key=lambda each: each != known)
        for credential in turn:
            try:
                with spending(credential.name):
                    source = await self._with(request, credential, tab)
            except Unresolvable as unresolvable:
                problem = unresolvable.problem
                if problem.status not in _HELPED or problem.kind in _SEEN | _OF_THE_CLIENT:
                    raise
                refused.append((credential.name, problem))
                continue
            if credential != known:
                self._chosen.put(
                    key, credential, min((_settled(problem) for _, problem in refused), default=_KEPT_SECONDS)
                )
            return replace(source, notices=(*source.notices, *choice.passed_over(refused))) if refused else source
        pairs = zip(turn, refused, strict=True)
        told = [(each.name, await self._diagnosed(request, each, problem, tab)) for each, (_, problem) in pairs]
        raise Unresolvable(choice.most_telling(told))

    async def _with(self, request: Resolve, credential: Credential, tab: Tab) -> Source:
        """With one credential; one that is refused is asked for anew at its source, once."""
        query = await self._query(request, credential, tab)
        try:
            try:
                return await self._privately(query)
            except Unresolvable as unresolvable:
                if unresolvable.problem.status != 401:
                    raise
                secret = await self._credentials.replacement(query.secret, credential, _audience(request))
                if secret is None:
                    raise
                query = self._asked_with(request, credential, secret, tab)
                return await self._privately(query)
        except Unresolvable as unresolvable:
            raise Unresolvable(unresolvable.problem.about(credential_source=query.secret.source)) from None

    async def _query(self, request: Resolve, credential: Credential, tab: Tab) -> _Query:
        secret = await self._credentials.secret(credential, _audience(request))
        return self._asked_with(request, credential, secret, tab)

    def _asked_with(self, request: Resolve, credential: Credential, secret: Secret, tab: Tab) -> _Query:
        holder = (credential.name, secret.identity(self._salt))
        payer = ("budget", credential.name, secret.payer(self._salt), request.forge.web)
        account = tab.account(payer, partial(self._github.budget, request.forge, secret))
        return _Query(request.forge, request.ref, credential, secret, holder, account)

    def reject(self, source: Source) -> bool:
        """Take note that the credential was refused at the source. Whether asking again may bring another."""
        return source.secret is not None and self._credentials.reject(source.secret)

    async def _privately(self, query: _Query) -> Source:
        if known := self._sources.get(query.asset_key):
            # what is remembered may have outlived the token that it was learnt with
            return known if known.secret is query.secret else replace(known, secret=query.secret, query=query)
        last = self._last.get(query.asset_key)
        if last is None:
            return await self._by_api(query)
        api = query.forge.api_host
        problem = self._outages.get(api)
        if problem is None:
            try:
                async with asyncio.timeout(_OUTAGE_SECONDS):
                    return await self._by_api(query)
            except TimeoutError:
                problem = catalogue.TIMED_OUT(host=api, seconds=_OUTAGE_SECONDS)
            except Unresolvable as unresolvable:
                problem = unresolvable.problem
                if problem.status not in _OUTAGE:
                    self._last.drop(query.asset_key)
                    raise
            if problem.status != 429:  # which is for that credential to wait for
                self._outages.put(api, problem, self._lifetimes.missing)
        return _during(problem, last)

    async def _by_api(self, query: _Query) -> Source:
        account = ("account", query.holder, query.forge.web)
        budget = query.account.payer
        if failure := self._failures.get(account) or self._failures.get(budget):
            raise Unresolvable(failure)
        look = self._looks.get(query.repository_key)
        if isinstance(look, Look) and look.releases is None:
            raise Unresolvable(choice.repository_not_visible(query.forge, query.ref, query.secret))
        if self._may_miss(query):
            await self._enter(query)
        try:
            return await self._once(query.asset_key, partial(self._ask, query))
        except Unresolvable as unresolvable:
            problem = unresolvable.problem
            of = account if problem.kind in _OF_THE_ACCOUNT else budget if problem.kind in _OF_THE_BUDGET else None
            if of is not None and self._failures.get(of) is None:
                # asking on, for other assets, is what makes a forge lock out or slow down who asks
                self._failures.put(of, problem, min(self._lifetimes.missing, 60))
            raise

    def _may_miss(self, query: _Query) -> bool:
        """Whether the forge is to be asked for something that may not be there."""
        keys = [query.asset_key]
        if isinstance(query.ref, AssetRef):
            known = self._releases.get(query.release_key)
            if known is not None and known.holds(query.ref):
                return False
            keys.append(query.release_key)
        return query.asset_key not in self._flights and not any(self._failures.get(key) for key in keys)

    async def _enter(self, query: _Query) -> None:
        try:
            await query.account.enter()
        except SpentError as spent:
            if spent.client is None:
                problem = catalogue.MISSES_COST_TOO_MUCH(
                    forge=query.forge, secret=query.secret, retry_after=spent.seconds
                )
            else:
                problem = catalogue.TOO_MANY_MISSES(
                    client=spent.client, more=self._misses.most, retry_after=spent.seconds
                )
            raise Unresolvable(problem) from None

    async def _ask(self, query: _Query) -> Source:
        if isinstance(query.ref, SourceRef):
            return self._remember(await self._content(query, query.ref))
        if query.ref.is_list:
            return self._remember(await self._list_of(query))
        if not query.ref.name:
            return self._remember(self._page_of(query, await self._current(query)))
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
                self._releases.drop(query.release_key)
        raise self._no_asset(query, known)

    async def _content(self, query: _Query, ref: SourceRef) -> Source:
        """An archive or a file, at the first of the places that its URL may mean; a ref that is known goes first."""
        ask = self._github.content if ref.kind is Content.FILE else self._github.archive
        known = {place: self._refs.get((query.repository_key, place.ref)) is not None for place in ref.places}
        is_folder = False
        for place in sorted(ref.places, key=lambda place: not known[place]):
            api_url = f"{query.forge.api}/repos/{ref.repository}{api_path(ref, place)}"
            query.account.use()
            try:
                pointed = await ask(query.forge, api_url, query.secret)
            except AssetGoneError:
                continue
            except Unresolvable as unresolvable:
                raise Unresolvable(self._dated(query, unresolvable.problem)) from None
            # a folder is told in JSON whatever is asked for
            if pointed.signed is None and _is_json(pointed.headers):
                is_folder = True
                continue
            if len(ref.places) > 1:
                self._refs.put((query.repository_key, place.ref), True, _KEPT_SECONDS)
            return Source(
                query.asset_key,
                query.forge,
                ref,
                pointed.signed,
                api_url=pointed.url,
                accept=RAW if ref.kind is Content.FILE else OCTET_STREAM,
                secret=query.secret,
                credential=query.credential.name,
                etag=pointed.headers.get("etag"),
                query=query,
            )
        if is_folder:
            raise Unresolvable(catalogue.NOT_A_FILE(repository=ref.repository, name=ref.named))
        what = f"file `{ref.named}`" if ref.kind is Content.FILE else f"ref `{ref.places[0].ref}`"
        raise Unresolvable(catalogue.SOURCE_NOT_FOUND(repository=ref.repository, what=what, secret=query.secret))

    async def _list_of(self, query: _Query) -> Source:
        """The whole list of a release's assets."""
        known = await self._current(query)
        while known.next_page is not None and len(known.assets) >= _EMBEDDED:
            known = await self._share((query.release_key, "page"), partial(self._page, query, known))
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

    def _page_of(self, query: _Query, known: _Known) -> Source:
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

    def _notices(self, query: _Query, found: Found) -> Iterator[str]:
        if found.renamed is not None:
            yield f"{query.ref.repository} is now {found.renamed}: change the URL while the old name still leads there"
        expires = self._expiries.get(query.holder)
        if expires is not None and expires.timestamp() - self._clock() < _EXPIRES_SOON:
            yield f"the {query.secret.kind} from `{query.secret.source}` expires on {expires:%Y-%m-%d}: renew it"

    async def _signed(self, source: Source) -> Source:
        """The source with a signed URL, or as it is when the forge streams.

        Raises:
            AssetGoneError: the asset is there no more.
        """
        assert source.secret is not None
        signed = await self._github.sign(source.forge, source.api_url, source.secret)
        return self._remember(replace(source, signed=signed, reused=False))

    async def _renewed(self, source: Source) -> Source:
        """What the same question is answered with now: a new signed URL, and perhaps another asset of that name."""
        if source.query is not None:
            return await self._ask(source.query)
        assert isinstance(source.ref, AssetRef), "what is public of the others passes unchanged"
        try:
            signed = await self._anybodys(source.forge, source.ref)
        except UnclearError:
            signed = None
        if not isinstance(signed, SignedUrl):
            raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=source.host, status=403))
        return self._remember(replace(source, signed=signed, reused=False))

    def _remember(self, source: Source) -> Source:
        signed = source.signed
        seconds = self._lifetimes.tags if signed is None else signed.seconds(self._clock())
        if source.page:
            seconds = self._lifetimes.latest
        self._sources.put(source.key, replace(source, reused=True), seconds)
        self._last.put(source.key, source, _KEPT_SECONDS)
        return source

    async def _locate(self, query: _Query) -> tuple[_Known, Asset]:
        """The asset in its release: in what is known of it, else in what it is now, else on its further pages."""
        key, name = query.release_key, query.asset.name
        known = await self._current(query)
        while name not in known.assets and known.next_page is not None:
            known = await self._share((key, "page"), partial(self._page, query, known))
        if asset := known.uploaded(name):
            return known, asset
        if unfinished := known.assets.get(name):
            raise Unresolvable(catalogue.ASSET_NOT_UPLOADED(ref=query.asset, state=unfinished.state))
        raise self._no_asset(query, known)

    async def _current(self, query: _Query) -> _Known:
        """What is known of the release, when it is enough; else what it is now."""
        known = self._releases.get(query.release_key)
        is_enough = known is not None and known.holds(query.asset)
        if known is not None and is_enough and known.fresh_until > self._clock():
            return known
        try:
            return await self._once(query.release_key, partial(self._release, query))
        except Unresolvable as unresolvable:
            if known is None or not is_enough or unresolvable.problem.status not in _OUTAGE:
                raise
            return known

    @staticmethod
    def _no_asset(query: _Query, known: _Known) -> Unresolvable:
        found = known.found
        return Unresolvable(choice.asset_not_found(query.asset, found.release.tag_name, known.assets, found.renamed))

    async def _release(self, query: _Query) -> _Known:
        """Ask for the release, or whether it still is what is known of it."""
        known = self._releases.get(query.release_key)
        etag = known.found.etag if known else None
        try:
            found = await self._github.release(query.forge, query.asset, query.secret, etag)
        except Unresolvable as unresolvable:
            query.account.use()
            raise Unresolvable(self._dated(query, unresolvable.problem)) from None
        query.account.use(paid=found is not None)
        now = self._clock()
        fresh_until = now + (self._lifetimes.latest if query.asset.tag is None else self._lifetimes.tags)
        if found is not None:
            if found.expires is not None:
                self._expiries.put(query.holder, found.expires, _EXPIRY_SECONDS)
            known = _Known(found, {asset.name: asset for asset in found.release.assets}, fresh_until)
        else:
            assert known is not None
            # unchanged as far as the embedded list goes; the pages behind it are read again, but not at every miss
            is_old = known.paged + self._lifetimes.missing <= now
            known = replace(known, fresh_until=fresh_until, next_page=1 if is_old else known.next_page)
        return self._keep(query, known)

    def _dated(self, query: _Query, problem: Problem) -> Problem:
        """A refused token whose end an earlier answer told is known to have come to it."""
        expires = self._expiries.get(query.holder)
        is_bad = problem.kind == catalogue.BAD_CREDENTIAL.name
        if is_bad and expires is not None and expires.timestamp() <= self._clock():
            return catalogue.EXPIRED_CREDENTIAL(forge=query.forge, secret=query.secret, expired=expires)
        return problem

    async def _diagnosed(self, request: Resolve, credential: Credential, problem: Problem, tab: Tab) -> Problem:
        """What is behind a 404, as far as a look at its repository tells: one is taken once a minute at the most."""
        if problem.kind not in (catalogue.RELEASE_NOT_FOUND.name, catalogue.SOURCE_NOT_FOUND.name):
            return problem
        query = await self._query(request, credential, tab)
        key = query.repository_key
        look = self._looks.get(key)
        if look is None and (key in self._flights or query.account.has_room(diagnosis.MOST_CALLS)):
            look = await self._share(key, partial(self._look, query))
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

    async def _look(self, query: _Query) -> Look | Exception:
        look: Look | Exception
        seconds = _DIAGNOSIS_SECONDS
        query.account.use(diagnosis.MOST_CALLS)
        try:
            async with asyncio.timeout(diagnosis.SECONDS):
                look = await diagnosis.look(self._github, query.forge, query.ref.repository, query.secret)
        except (Unresolvable, TimeoutError) as error:
            look = error
        else:
            if look.releases is None:
                query.account.use(-1)  # one call told all
                seconds = self._lifetimes.missing
        self._looks.put(query.repository_key, look, seconds)
        return look

    async def _page(self, query: _Query, known: _Known) -> _Known:
        """Read one more page of the release's assets."""
        assert known.next_page is not None
        query.account.use()
        page = await self._github.assets(query.forge, known.found, known.next_page, query.secret)
        next_page = known.next_page + 1 if len(page) == PER_PAGE and known.next_page < _MAX_PAGES else None
        assets = {**known.assets, **{asset.name: asset for asset in page}}
        return self._keep(query, replace(known, assets=assets, next_page=next_page, paged=self._clock()))

    def _keep(self, query: _Query, known: _Known) -> _Known:
        self._releases.put(query.release_key, known, _KEPT_SECONDS)
        return known

    # ----------------------------------------------------------------- calls

    async def _once[V](self, key: Hashable, call: Callable[[], Awaitable[V]]) -> V:
        """`_share`, unless the same failed a moment ago and would again."""
        if failure := self._failures.get(key):
            raise Unresolvable(failure)

        async def remembered() -> V:
            try:
                return await call()
            except Unresolvable as unresolvable:
                if unresolvable.problem.status in _LASTING:
                    self._failures.put(key, unresolvable.problem, self._lifetimes.missing)
                raise

        return await self._share(key, remembered)

    async def _share[V](self, key: Hashable, call: Callable[[], Awaitable[V]]) -> V:
        """One call for all who ask now, with a deadline of its own: no client's end is its end."""

        async def bounded() -> V:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await call()

        return await self._flights.share(key, bounded)


def _fit(request: Resolve, source: Source) -> Source:
    """The source, of an asset that has what its rule requires.

    Raises:
        Unresolvable: it lacks something.
    """
    action = request.rule.action
    require = action.require if isinstance(action, ResolveRelease) else frozenset()
    if source.asset is None and source.listed is None:
        return source
    if "digest" in require and source.asset is not None and not source.asset.digest:
        raise Unresolvable(catalogue.WITHOUT_DIGEST(ref=request.ref, rule=request.rule.name))
    if "immutable" in require and not source.immutable:
        raise Unresolvable(catalogue.MUTABLE_RELEASE(ref=request.ref, rule=request.rule.name))
    if "digest" in require and source.listed is not None:
        return replace(source, listed=tuple(asset for asset in source.listed if asset.digest))
    return source


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _audience(request: Resolve) -> Audience:
    return Audience(request.forge.api_host, request.forge, request.ref.repository)


def _during(outage: Problem, last: Source) -> Source:
    """What was known last, while nothing can be asked: enough for what is remembered of the asset's content."""
    notice = f"{outage}; meanwhile what is known is served, for a day"
    return replace(last, outage=outage, reused=True, notices=(*last.notices, notice))


def _weight(look: Look | Exception) -> int:
    return 1 + len(look.releases or ()) if isinstance(look, Look) else 1


def _settled(problem: Problem) -> float:
    """For how many seconds a credential that met that problem need not be tried again first."""
    if problem.status == 429:
        return min(problem.retry_after or 60, 3600)
    # a right that is missing stays so; a token, or a source, may be mended
    return _KEPT_SECONDS if problem.status in (403, 404) else _UNMENDED_SECONDS
