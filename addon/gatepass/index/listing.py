"""What repositories hold, as far as is known: their releases listed once for all who ask, and kept.

Knows credentials, the API's lists and the caches; knows neither requests nor pages. What was learnt with one credential
is kept under it, so that no other profits from its rights.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gatepass.cache import Cache
from gatepass.credentials.chosen import Chosen
from gatepass.github.lists import AT_ONCE, Listed, Lists, side_by_side
from gatepass.index import contents as of_releases
from gatepass.index.contents import Contents, Part, Place
from gatepass.index.kept import OUTAGE, STALE_SECONDS, Kept
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable
from gatepass.secret import Audience
from gatepass.store.alone import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from gatepass.credentials.store import Credentials
    from gatepass.forge.hosts import Forge
    from gatepass.github.client import GitHub
    from gatepass.github.lists import Asset, Release
    from gatepass.index.kept import Held
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Requirement, Rules
    from gatepass.secret import Secret
    from gatepass.store.alone import Store

SHARE: Final = 10
"""One part in so many of a credential's hourly budget may go into releases that no list holds."""

# Files of all repositories together, of some 500 bytes each.
_MOST_FILES: Final = 200_000
_MOST_NAMES: Final = 50_000
# So many assets in a release's own JSON may be cut short (54 were seen), and its own pages are read.
_EMBEDDED: Final = 30
# Repositories that are listed at once: an index may have many.
_MOST_READ_AT_ONCE: Final = 8
_DAY: Final = 86_400.0
_HOUR: Final = 3600.0
_BATCH: Final = 40
_FILLING_SECONDS: Final = 10.0
_FAILED_SECONDS: Final = 60.0
# What another credential may help against: to be refused, to see nothing, to have no budget left.
_HELPED: Final = frozenset({401, 403, 404, 429})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository, the credentials of which the first is used that may see it, and what its files must have."""

    place: Place
    credentials: tuple[Credential, ...]
    require: frozenset[Requirement] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """What it holds, and with which secret that was seen.

    `outage` is why it is not known whether this still holds; `is_fresh` tells that it was asked within its lifetime.
    `left` are the releases that may be there and have not been read yet, which takes `seconds` at the least.
    """

    place: Place
    contents: Contents
    credential: Credential
    secret: Secret
    outage: Problem | None = None
    is_fresh: bool = True
    left: int = 0
    seconds: int = 0


class _Entry(NamedTuple):
    """A release without its assets, and what the embedded ones are; `embedded` is how many."""

    release: Release
    part: Part
    embedded: int


@dataclass(frozen=True, slots=True)
class _Older:
    """What the release of a tag is that no list holds, as it was asked for; None where the tag has none."""

    asked: float
    etag: str | None = None
    entry: _Entry | None = None
    more: Listed[Part] | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of a repository's releases. `more` has the own pages of those with many assets, by number.

    Of `tags`, the names of all, those that the list does not have are asked for one by one.
    """

    listed: Listed[_Entry] = field(default_factory=Listed)
    more: Mapping[int, Listed[Part]] = field(default_factory=dict)
    tags: Listed[str] | None = None
    tags_asked: float = 0
    older: Mapping[str, _Older] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)

    @property
    def unlisted(self) -> set[str]:
        """The tags that are to be asked for by themselves: those that are there, and those that once were listed."""
        own = {entry.release.tag_name for entry in self.listed.things}
        return ({*(self.tags.things if self.tags else ()), *self.older}) - own

    def left(self) -> int:
        """How many of them have not been asked for yet."""
        if not self.listed.is_cut:
            return 0
        if self.tags is None:
            return 1
        return sum(1 for tag in self.unlisted if tag not in self.older) + self.tags.is_cut


class Allowance:
    """A part of each payer's hourly budget, for what may wait."""

    def __init__(self, clock: Callable[[], float], store: Store) -> None:
        self._clock = clock
        self._store = store
        self._windows: Cache[Hashable, list[float]] = Cache(1024, clock)

    async def room(self, payer: Hashable, budget: int | None) -> float:
        """How many calls are left of it for this hour, by all replicas."""
        if budget is None:
            return math.inf
        window = self._windows.get(payer)
        own = int(window[1]) if window else 0
        seconds = window[0] - self._clock() if window else _HOUR
        spent = own + await self._store.tally(self._store.name("allowance", repr(payer)), own, seconds)
        return max(1, budget // SHARE) - spent

    def spend(self, payer: Hashable, calls: int) -> None:
        window = self._windows.get(payer)
        if window is None:
            window = [self._clock() + _HOUR, 0]
            self._windows.put(payer, window, _HOUR)
        window[1] += calls

    def seconds(self, payer: Hashable) -> float:
        """Until there is more of it."""
        window = self._windows.get(payer)
        return max(1.0, window[0] - self._clock()) if window else 1.0


class Listing:
    """Lists repositories. Every method may raise `Unresolvable`; how long one takes is for its caller to bound."""

    def __init__(
        self,
        credentials: Credentials,
        github: GitHub,
        rules: Rules,
        clock: Callable[[], float],
        store: Store = ALONE,
    ) -> None:
        """`clock` gives seconds."""
        self._credentials = credentials
        self._github = github
        self._lists = Lists(github)
        self._clock = clock
        seconds = rules.cache.tags
        self._known: Kept[Hashable, _Known] = Kept(
            _MOST_FILES,
            clock,
            seconds,
            lambda known: 1 + len(known.contents) + len(known.older),
            lambda known: known.listed.age,
        )
        self._names: Kept[Hashable, Listed[str]] = Kept(
            _MOST_NAMES, clock, seconds, lambda listed: 1 + len(listed.things), lambda listed: listed.age
        )
        self._chosen = Chosen(rules.cache.entries, clock, store)
        self._seen_with: Cache[Hashable, Secret] = Cache(rules.cache.entries, clock)
        self._allowance = Allowance(clock, store)
        self._reading = asyncio.Semaphore(_MOST_READ_AT_ONCE)
        self._filling: dict[Hashable, asyncio.Task[float]] = {}
        self._resting: dict[Hashable, tuple[asyncio.TimerHandle, float]] = {}
        self._salt = store.salt

    async def close(self) -> None:
        """End what goes on in the background."""
        for timer, _ in self._resting.values():
            timer.cancel()
        tasks = list(self._filling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._known.close()
        await self._names.close()

    # ---------------------------------------------------------- repositories

    async def repositories(
        self, forge: Forge, owner: str, credential: Credential, *, renew: bool = False, wait: bool = False
    ) -> Held[Listed[str]]:
        """The full names of the owner's repositories that the credential may see, and some besides."""
        owned = credential.owned_by(owner)
        audience = Audience(forge.api_host, forge)
        names = (owned, forge.web, owner.casefold())
        try:
            secret = await self._credentials.secret(owned, audience)
        except Unresolvable as unresolvable:
            last = self._last(names, unresolvable)
            return self._names.despite(self._names_key(forge, owner, owned, last), unresolvable.problem)
        self._use(names, secret)
        try:
            return await self._repositories(forge, owner, owned, secret, renew=renew, wait=wait)
        except Unresolvable as unresolvable:
            secret = await self._replaced(unresolvable, secret, owned, audience)
            return await self._repositories(forge, owner, owned, secret, renew=renew, wait=wait)

    async def _repositories(
        self, forge: Forge, owner: str, credential: Credential, secret: Secret, *, renew: bool, wait: bool
    ) -> Held[Listed[str]]:
        async def ask(known: Listed[str] | None, recent: float) -> Listed[str]:
            return await self._lists.repositories(forge, owner, secret, known, recent)

        return await self._names.get(self._names_key(forge, owner, credential, secret), ask, renew=renew, wait=wait)

    def _names_key(self, forge: Forge, owner: str, credential: Credential, secret: Secret) -> Hashable:
        return (self._holder(credential, secret), forge.web, owner.casefold())

    # -------------------------------------------------------------- releases

    async def contents(self, wanted: Wanted, *, renew: bool = False, wait: bool = False) -> Found:
        """What a repository holds. `renew` asks for it anew; `wait` does not take what is being renewed."""
        forge, repository = wanted.place.forge, wanted.place.repository
        known = await self._chosen.get(forge, repository, wanted.credentials)
        refused: list[tuple[str, Problem]] = []
        for credential in sorted(wanted.credentials, key=lambda each: each != known):
            try:
                found = await self._with(wanted.place, credential, renew=renew, wait=wait)
            except Unresolvable as unresolvable:
                if unresolvable.problem.status not in _HELPED:
                    raise
                refused.append((credential.name, unresolvable.problem))
            else:
                if credential != known:
                    self._chosen.put(forge, repository, wanted.credentials, credential, _DAY)
                return found
        raise Unresolvable(choice.most_telling(refused))

    async def _with(self, place: Place, credential: Credential, *, renew: bool, wait: bool) -> Found:
        audience = Audience(place.forge.api_host, place.forge, place.repository)
        try:
            secret = await self._credentials.secret(credential, audience)
        except Unresolvable as unresolvable:
            last = self._last((credential, place), unresolvable)
            held = self._known.despite(self._key(place, credential, last), unresolvable.problem)
            return self._found(place, credential, last, held)
        self._use((credential, place), secret)
        try:
            return await self._seen(place, credential, secret, renew=renew, wait=wait)
        except Unresolvable as unresolvable:
            secret = await self._replaced(unresolvable, secret, credential, audience)
            return await self._seen(place, credential, secret, renew=renew, wait=wait)

    def _use(self, what: Hashable, secret: Secret) -> None:
        # another secret's name would not lead to what was learnt with this one
        if secret.is_of_installation:
            self._seen_with.put(what, secret, STALE_SECONDS)

    def _last(self, what: Hashable, unresolvable: Unresolvable) -> Secret:
        """The last token of an App, which lives for an hour: where the forge cannot be asked for another, what was
        seen with it may be served on.
        """
        problem = unresolvable.problem
        secret = self._seen_with.get(what)
        if secret is None or problem.status not in OUTAGE or problem.kind == catalogue.AUDIT_UNAVAILABLE.name:
            raise unresolvable
        return secret

    async def _replaced(
        self, refused: Unresolvable, secret: Secret, credential: Credential, audience: Audience
    ) -> Secret:
        """Another secret for one that was refused; else what it was refused with is raised again."""
        problem = refused.problem.about(credential=credential.name, credential_source=secret.source)
        if problem.status != 401:
            raise Unresolvable(problem) from None
        other = await self._credentials.replacement(secret, credential, audience)
        if other is None:
            raise Unresolvable(problem) from None
        return other

    async def _seen(self, place: Place, credential: Credential, secret: Secret, *, renew: bool, wait: bool) -> Found:
        key = self._key(place, credential, secret)
        held = await self._known.get(key, partial(self._read, place, secret), renew=renew, wait=wait)
        seconds = self._fill(key, place, credential) if self._is_due(held.value) else 0.0
        return self._found(place, credential, secret, held, math.ceil(seconds))

    @staticmethod
    def _found(place: Place, credential: Credential, secret: Secret, held: Held[_Known], seconds: int = 0) -> Found:
        known = held.value
        return Found(place, known.contents, credential, secret, held.outage, held.is_fresh, known.left(), seconds)

    def _key(self, place: Place, credential: Credential, secret: Secret) -> Hashable:
        return (self._holder(credential, secret), place.forge.web, place.repository)

    def _holder(self, credential: Credential, secret: Secret) -> Hashable:
        return (credential.name, secret.identity(self._salt))

    async def _read(self, place: Place, secret: Secret, known: _Known | None, recent: float) -> _Known:
        """The list as it is now, of which what did not change costs nothing."""
        known = known or _Known()
        async with self._reading:
            listed = await self._lists.releases(
                place.forge, place.repository, secret, partial(_entries, place), known.listed, recent
            )
            more = await self._more(place, secret, listed.things, known.more, recent)
        older = known.older
        if listed.is_cut:
            # newer ones push the oldest out of the list: they are as they were, for all that is known
            now = {entry.release.tag_name for entry in listed.things}
            older = {
                **{tag: each for tag, each in older.items() if tag not in now},
                **{
                    entry.release.tag_name: _Older(0, None, entry, known.more.get(entry.release.id))
                    for entry in known.listed.things
                    if entry.release.tag_name not in now and not entry.release.draft
                },
            }
        else:
            older = {}
        return await _compiled(replace(known, listed=listed, more=more, older=older))

    async def _more(
        self,
        place: Place,
        secret: Secret,
        entries: tuple[_Entry, ...],
        known: Mapping[int, Listed[Part]],
        recent: float,
    ) -> dict[int, Listed[Part]]:
        """The own pages of the releases that have many assets; of immutable ones as they were read once."""
        found: dict[int, Listed[Part]] = {}
        asked: list[_Entry] = []
        for entry in entries:
            if entry.embedded >= _EMBEDDED:
                old = known.get(entry.release.id)
                if old is not None and entry.release.immutable:
                    found[entry.release.id] = old
                else:
                    asked.append(entry)
        for start in range(0, len(asked), AT_ONCE):
            batch = asked[start:][:AT_ONCE]
            pages = await side_by_side(
                [self._assets(place, secret, each.release, known.get(each.release.id), recent) for each in batch]
            )
            found.update(zip((each.release.id for each in batch), pages, strict=True))
        return found

    async def _assets(
        self, place: Place, secret: Secret, release: Release, known: Listed[Part] | None, recent: float
    ) -> Listed[Part]:
        def made(assets: tuple[Asset, ...]) -> tuple[Part, ...]:
            return (of_releases.part(place, release, assets),) if assets else ()

        return await self._lists.assets(place.forge, place.repository, release.id, secret, made, known, recent)

    # ----------------------------------------- what is behind the list's end

    def _is_due(self, known: _Known) -> bool:
        """Whether tags, or releases of tags, are to be asked for."""
        if not known.listed.is_cut:
            return False
        return known.tags_asked + _DAY <= self._clock() or bool(self._asked_next(known))

    def _asked_next(self, known: _Known) -> list[str]:
        """The tags to be asked for: first those that never were."""
        now = self._clock()
        tags = [tag for tag in known.unlisted if tag not in known.older or known.older[tag].asked + _DAY <= now]
        return sorted(tags, key=lambda tag: (tag in known.older, tag))

    def _fill(self, key: Hashable, place: Place, credential: Credential) -> float:
        """See to it that these are asked for; so many seconds it takes at the least until more is known."""
        if key in self._resting:
            timer, end = self._resting[key]
            if (rest := end - self._clock()) > 0:
                return rest
            timer.cancel()
            del self._resting[key]
        if key not in self._filling:
            task = asyncio.ensure_future(self._filled(key, place, credential))
            self._filling[key] = task
            task.add_done_callback(partial(self._rested, key, place, credential))
        return _FILLING_SECONDS

    def _rested(self, key: Hashable, place: Place, credential: Credential, task: asyncio.Task[float]) -> None:
        """Go on by itself, when there is budget again, or what failed may have passed."""
        del self._filling[key]
        if task.cancelled():
            return
        seconds = _FAILED_SECONDS if task.exception() else task.result()
        if seconds > 0:
            # a little later than told, so that the window has ended
            timer = asyncio.get_running_loop().call_later(seconds + 1, self._again, key, place, credential)
            self._resting[key] = (timer, self._clock() + seconds)

    def _again(self, key: Hashable, place: Place, credential: Credential) -> None:
        del self._resting[key]
        self._fill(key, place, credential)

    async def _filled(self, key: Hashable, place: Place, credential: Credential) -> float:
        """Ask for what no list holds, as far as the budget for it goes; in how many seconds to go on, 0 at the end."""
        forge, repository = place.forge, place.repository
        while (known := self._known.known(key)) is not None and self._is_due(known):
            secret = await self._credentials.secret(credential, Audience(forge.api_host, forge, repository))
            payer = secret.payer(self._salt)
            room = await self._allowance.room(payer, self._github.budget(forge, secret))
            if room < 1:
                return self._allowance.seconds(payer)
            if known.tags_asked + _DAY <= self._clock():
                tags = await self._lists.tags(forge, repository, secret, known.tags, _DAY / 2)
                self._allowance.spend(payer, len(tags.pages))
                self._known.update(key, partial(_with_tags, tags, self._clock()))
                continue
            batch = self._asked_next(known)[: int(min(room, _BATCH))]
            found: dict[str, _Older] = {}
            for start in range(0, len(batch), AT_ONCE):
                some = batch[start:][:AT_ONCE]
                asked = await side_by_side([self._older(place, secret, tag, known.older.get(tag)) for tag in some])
                found.update(zip(some, asked, strict=True))
            self._allowance.spend(payer, len(batch) + sum(len(each.more.pages) for each in found.values() if each.more))
            now = self._known.known(key)
            if now is None:
                return 0
            compiled = await _compiled(replace(now, older={**now.older, **found}))
            self._known.update(key, partial(_with_older, found, compiled))
        return 0

    async def _older(self, place: Place, secret: Secret, tag: str, known: _Older | None) -> _Older:
        now = self._clock()
        answer = await self._lists.release(
            place.forge, place.repository, tag, secret, known.etag if known else None, _DAY / 2
        )
        if answer is None:
            assert known is not None
            release, etag, entry = known.entry and known.entry.release, known.etag, known.entry
        else:
            release, etag = answer
            entry = None if release is None else _entries(place, (release,))[0]
        more = known.more if known else None
        if entry is None or release is None or entry.embedded < _EMBEDDED:
            more = None
        elif more is None or not release.immutable:
            more = await self._assets(place, secret, release, more, _DAY / 2)
        return _Older(now, etag, entry, more)


def _entries(place: Place, releases: tuple[Release, ...]) -> tuple[_Entry, ...]:
    return tuple(
        _Entry(
            msgspec.structs.replace(release, assets=()),
            of_releases.part(place, release, release.assets),
            len(release.assets),
        )
        for release in releases
    )


def _with_tags(tags: Listed[str], now: float, known: _Known) -> _Known:
    own = {*tags.things, *(entry.release.tag_name for entry in known.listed.things)}
    # a release without a tag is a draft, or gone
    older = {tag: each for tag, each in known.older.items() if tag in own}
    return replace(known, tags=tags, tags_asked=now, older=older)


def _with_older(found: Mapping[str, _Older], compiled: _Known, known: _Known) -> _Known:
    """What is known with what was found; of two that were found out at once, the list is the newer one's."""
    if known.listed is compiled.listed:
        return compiled
    return replace(known, older={**known.older, **found})


async def _compiled(known: _Known) -> _Known:
    parts: dict[int, list[Part]] = {}
    for entry in known.listed.things:
        pages = known.more.get(entry.release.id)
        parts[entry.release.id] = [entry.part] if pages is None else list(pages.things)
    for older in known.older.values():
        if older.entry is not None and older.entry.release.id not in parts:
            parts[older.entry.release.id] = [older.entry.part] if older.more is None else list(older.more.things)
    flat = [part for several in parts.values() for part in several]
    return replace(known, contents=await asyncio.to_thread(of_releases.contents, flat))
