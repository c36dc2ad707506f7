"""From a decision to the asset: asked for once, however many want it, and remembered while it holds.

Knows credentials, the API client and the caches; knows neither flows nor mitmproxy. What was learnt with one
credential is kept under it, so that no other profits from its rights; of several that a rule names, that which may see
a repository is remembered for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gatepass.assets.budget import Misses, SpentError
from gatepass.assets.contents import Contents
from gatepass.assets.ends import Ends
from gatepass.assets.excerpts import Excerpts
from gatepass.assets.looks import LOOKED_INTO, Looks
from gatepass.assets.memory import KEPT_SECONDS, LASTING, Memory
from gatepass.assets.public import Public
from gatepass.assets.releases import OUTAGE, Releases
from gatepass.assets.source import Query
from gatepass.cache import Uses
from gatepass.credentials.chosen import Chosen
from gatepass.forge.sources import SourceRef
from gatepass.forge.urls import AssetRef
from gatepass.github.client import UnclearError
from gatepass.github.statistics import spending
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable
from gatepass.problems.remembered import Remembered
from gatepass.rules.model import ResolveRelease
from gatepass.secret import Audience
from gatepass.store.alone import ALONE
from gatepass.store.circuit import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatepass.assets.budget import Tab
    from gatepass.assets.source import Source
    from gatepass.credentials.store import Credentials
    from gatepass.decision import Resolve
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.signed import SignedUrl
    from gatepass.forge.urls import Repository
    from gatepass.github.client import Excerpt, GitHub
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Rules
    from gatepass.secret import Secret
    from gatepass.store.alone import Store

# What another credential may help against: to be refused, to see nothing, to have no budget left.
_HELPED: Final = frozenset({401, 403, 404, 429})
# The repository was seen, so that no other credential would find more in it.
_SEEN: Final = frozenset({catalogue.ASSET_NOT_FOUND.name, catalogue.ASSET_NOT_UPLOADED.name})
# The same for whichever credential.
_OF_THE_CLIENT: Final = frozenset({catalogue.TOO_MANY_MISSES.name})
# Answers that are the same whatever is asked for with that secret.
_OF_THE_ACCOUNT: Final = frozenset(
    {catalogue.BAD_CREDENTIAL.name, catalogue.EXPIRED_CREDENTIAL.name, catalogue.LOCKED_OUT.name}
)
_OF_THE_BUDGET: Final = frozenset({catalogue.RATE_LIMITED.name, catalogue.SECONDARY_RATE_LIMITED.name})
_UNMENDED_SECONDS: Final = 300.0
# So long an API is waited for by who could be served without it.
_OUTAGE_SECONDS: Final = 5.0


class Resolver:
    """Finds assets. Every method may raise `Unresolvable`, and `TimeoutError` after `TOTAL_SECONDS`."""

    def __init__(
        self,
        credentials: Credentials,
        github: GitHub,
        rules: Rules,
        clock: Callable[[], float] = time.time,
        uses: Callable[[str], Uses] = lambda _: Uses(),
        store: Store = ALONE,
    ) -> None:
        """`clock` gives epoch seconds: what signed URLs are dated in; `uses` gives a cache its count, by name.

        `store` has what other replicas know.
        """
        self._credentials = credentials
        self._github = github
        self._lifetimes = rules.cache
        size = rules.cache.entries
        self._memory = Memory(rules.cache, clock, uses)
        ends = Ends(size, clock)
        self._public = Public(github, self._memory, store)
        self._releases = Releases(github, self._memory, ends, uses)
        self._contents = Contents(github, self._memory, ends)
        self._excerpts = Excerpts(github, self._memory, self._renewed, uses)
        self._looks = Looks(github, self._memory)
        self._outages: Remembered[Host] = Remembered(size, clock)
        self._chosen = Chosen(size, clock, store)
        self._misses = Misses(clock, rules.access.limits.misses, store)
        self._salt = store.salt

    async def resolve(self, request: Resolve) -> Source | None:
        """Where the asset is to be had; None when it is not ours to say, and the request is to pass unchanged."""
        with patience():
            return await self._resolved(request)

    async def _resolved(self, request: Resolve) -> Source | None:
        ref = request.ref
        if request.anonymous_first:
            try:
                if isinstance(ref, SourceRef) or ref.is_list:
                    if await self._public.is_anybodys(request.forge, ref):
                        return None
                    source = None
                else:
                    source = await self._public.source(request.forge, ref)
            except UnclearError as unclear:
                return await self._anyway(request, unclear.fault)
            if source is not None:
                return source
        source = _fit(request, await self._on_a_tab(request))
        # only now: a 404 on the web is also what a misspelt name of a public repository gets
        self._public.learn(request.forge, ref.repository, public=False)
        return source

    async def _on_a_tab(self, request: Resolve) -> Source:
        """With the API, on the account of who asks: what is asked in vain is limited."""
        with self._misses.tab(request.account) as tab:
            try:
                return await self._with_any(request, tab)
            except Unresolvable as unresolvable:
                tab.missed = unresolvable.problem.status in LASTING
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
            if known := self._memory.last(("public", request.forge.web, request.ref)):
                return _during(fault, known)
            raise Unresolvable(choice.neither(fault, unresolvable.problem)) from None

    async def is_public(self, forge: Forge, repository: Repository) -> bool:
        """Whether anybody may fetch a repository by git."""
        return await self._public.is_public(forge, repository)

    async def first_byte(self, source: Source) -> Excerpt:
        """The first byte of an asset, whose headers describe the whole of it."""
        return await self._excerpts.first_byte(source)

    async def excerpt(self, source: Source, headers: Mapping[str, str], most: int) -> Excerpt:
        """A small part of an asset, remembered: each uv asks for the same last 16 KiB."""
        return await self._excerpts.excerpt(source, headers, most)

    def forget(self, source: Source) -> None:
        """Hand out no more what was refused, unless it was replaced meanwhile."""
        self._memory.forget(source)

    def learn(self, source: Source, signed: SignedUrl) -> None:
        """Remember a signed URL that was seen passing by."""
        self._memory.remember(replace(source, signed=signed))

    def reject(self, source: Source) -> bool:
        """Take note that the credential was refused at the source. Whether asking again may bring another."""
        return source.secret is not None and self._credentials.reject(source.secret)

    async def _with_any(self, request: Resolve, tab: Tab) -> Source:
        """With the first of the credentials that may see the repository; that which could the last time goes first."""
        among = (request.forge, request.ref.repository, request.credentials)
        known = await self._chosen.get(*among)
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
                seconds = min((_settled(problem) for _, problem in refused), default=KEPT_SECONDS)
                self._chosen.put(*among, credential, seconds)
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

    async def _query(self, request: Resolve, credential: Credential, tab: Tab) -> Query:
        secret = await self._credentials.secret(credential, _audience(request))
        return self._asked_with(request, credential, secret, tab)

    def _asked_with(self, request: Resolve, credential: Credential, secret: Secret, tab: Tab) -> Query:
        holder = (credential.name, secret.identity(self._salt))
        payer = ("budget", credential.name, secret.payer(self._salt), request.forge.web)
        account = tab.account(payer, partial(self._github.budget, request.forge, secret))
        return Query(request.forge, request.ref, credential, secret, holder, account)

    async def _diagnosed(self, request: Resolve, credential: Credential, problem: Problem, tab: Tab) -> Problem:
        """What is behind a 404, as far as a look at its repository tells: one is taken once a minute at the most."""
        if problem.kind not in LOOKED_INTO:
            return problem
        return await self._looks.diagnosed(await self._query(request, credential, tab), problem)

    async def _privately(self, query: Query) -> Source:
        if known := self._memory.source(query.asset_key):
            # what is remembered may have outlived the token that it was learnt with
            return known if known.secret is query.secret else replace(known, secret=query.secret, query=query)
        last = self._memory.last(query.asset_key)
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
                if problem.status not in OUTAGE:
                    self._memory.is_gone(query.asset_key)
                    raise
            if problem.status != 429:  # which is for that credential to wait for
                self._outages.put(api, problem, self._lifetimes.missing)
        return _during(problem, last)

    async def _by_api(self, query: Query) -> Source:
        account = ("account", query.holder, query.forge.web)
        budget = query.account.payer
        if failure := self._memory.failure(account) or self._memory.failure(budget):
            raise Unresolvable(failure)
        self._looks.expect_visible(query)
        if self._may_miss(query):
            await self._enter(query)
        try:
            return await self._memory.once(query.asset_key, partial(self._ask, query))
        except Unresolvable as unresolvable:
            problem = unresolvable.problem
            of = account if problem.kind in _OF_THE_ACCOUNT else budget if problem.kind in _OF_THE_BUDGET else None
            if of is not None and self._memory.failure(of) is None:
                # asking on, for other assets, is what makes a forge lock out or slow down who asks
                self._memory.fail(of, problem, min(self._lifetimes.missing, 60))
            raise

    def _may_miss(self, query: Query) -> bool:
        """Whether the forge is to be asked for something that may not be there."""
        keys = [query.asset_key]
        if isinstance(query.ref, AssetRef):
            if self._releases.is_known(query):
                return False
            keys.append(query.release_key)
        return not self._memory.is_asked(query.asset_key) and not any(self._memory.failure(key) for key in keys)

    async def _enter(self, query: Query) -> None:
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

    async def _ask(self, query: Query) -> Source:
        if isinstance(query.ref, SourceRef):
            return self._memory.remember(await self._contents.source(query, query.ref))
        return self._memory.remember(await self._releases.source(query))

    async def _renewed(self, source: Source) -> Source:
        """What the same question is answered with now: a new signed URL, and perhaps another asset of that name."""
        return await (self._public.renewed(source) if source.query is None else self._ask(source.query))


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


def _audience(request: Resolve) -> Audience:
    return Audience(request.forge.api_host, request.forge, request.ref.repository)


def _during(outage: Problem, last: Source) -> Source:
    """What was known last, while nothing can be asked: enough for what is remembered of the asset's content."""
    notice = f"{outage}; meanwhile what is known is served, for a day"
    return replace(last, outage=outage, reused=True, notices=(*last.notices, notice))


def _settled(problem: Problem) -> float:
    """For how many seconds a credential that met that problem need not be tried again first."""
    if problem.status == 429:
        return min(problem.retry_after or 60, 3600)
    # a right that is missing stays so; a token, or a source, may be mended
    return KEPT_SECONDS if problem.status in (403, 404) else _UNMENDED_SECONDS
