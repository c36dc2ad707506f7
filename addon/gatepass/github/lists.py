"""The lists of a forge's API: releases, a release's assets, tags, repositories; page by page, with validators.

Knows the API client alone; what a list means, and how long it is kept, is for others.

Sources: GitHub's REST documentation (pagination, releases, repositories, best practices); FACTS.md.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 — msgspec reads the annotations
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from gatepass.github import refusals
from gatepass.github.client import PER_PAGE, decode
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import Repository
    from gatepass.github.client import GitHub
    from gatepass.github.replies import Reply
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret

AT_ONCE: Final = 4
"""Pages of a list that are asked for side by side: GitHub slows down who asks for many (REST docs, best practices)."""

_MAX_PAGES: Final = 200
# So many releases a list holds (REST docs); what it says of them where it ends, for a server may have fewer.
_MOST_RELEASES: Final = 1000
_ENDED: Final = re.compile(r"only the first ([0-9]{1,9}) ", re.ASCII | re.IGNORECASE)
_LINK: Final = re.compile(r'<([^<>]{1,4096})>; rel="(next|last)"', re.ASCII)
# What takes longer to decode than the loop should wait.
_LARGE: Final = 256 * 1024


class Asset(msgspec.Struct, frozen=True):
    """A file of a release in a list; `size` in bytes. `digest` is `sha256:…`, null on uploads before June 2025."""

    id: int
    name: str
    size: int
    updated_at: datetime
    state: str = "uploaded"
    digest: str | None = None
    label: str | None = None
    content_type: str = ""


class Release(msgspec.Struct, frozen=True):
    """A release in a list, with the first of its assets; a draft has no `published_at`."""

    id: int
    tag_name: str
    assets: tuple[Asset, ...] = ()
    draft: bool = False
    prerelease: bool = False
    immutable: bool = False
    published_at: datetime | None = None


class _Tag(msgspec.Struct, frozen=True):
    name: str


class _Repository(msgspec.Struct, frozen=True):
    full_name: str


class _Installation(msgspec.Struct, frozen=True):
    repositories: tuple[_Repository, ...]


@dataclass(frozen=True, slots=True)
class Page[T]:
    """A page of a list: its things, its validator, the number of the last page, and whether there is a next one; and
    how many seconds ago another replica got it.
    """

    things: tuple[T, ...]
    etag: str | None = None
    last: int = 1
    has_next: bool = False
    age: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Listed[T]:
    """A whole list; `is_cut` where the forge gives no more of it, though there is more."""

    pages: tuple[Page[T], ...] = ()
    is_cut: bool = False

    @property
    def things(self) -> tuple[T, ...]:
        return tuple(thing for page in self.pages for thing in page.things)

    @property
    def age(self) -> float:
        """How many seconds ago the oldest of it was asked for, by another replica."""
        return max((page.age for page in self.pages), default=0.0)


class _EndError(Exception):
    """The forge gives no further pages of a list (422, FACTS.md)."""


class Lists:
    """Asks for whole lists. Every method may raise `Unresolvable`; what was `known` is asked for with its validators,
    and costs nothing where it did not change. What another replica was told `recent` seconds ago will do. The deadline
    is the caller's.
    """

    def __init__(self, github: GitHub) -> None:
        self._github = github

    async def releases[T](
        self,
        forge: Forge,
        repository: Repository,
        secret: Secret,
        made: Callable[[tuple[Release, ...]], tuple[T, ...]],
        known: Listed[T] | None = None,
        recent: float = 0,
    ) -> Listed[T]:
        """What is `made` of the releases of a repository, the newest first: of a thousand at the most.

        Raises:
            Unresolvable: above all, that the repository is not there, or not to be seen.
        """
        path = f"repos/{repository}/releases"
        of = _List(self._github, forge, secret, path, tuple[Release, ...], made, repository, _MOST_RELEASES)
        return await of.read(known, recent)

    async def assets[T](
        self,
        forge: Forge,
        repository: Repository,
        release: int,
        secret: Secret,
        made: Callable[[tuple[Asset, ...]], tuple[T, ...]],
        known: Listed[T] | None = None,
        recent: float = 0,
    ) -> Listed[T]:
        """What is `made` of all assets of a release."""
        path = f"repos/{repository}/releases/{release}/assets"
        return await _List(self._github, forge, secret, path, tuple[Asset, ...], made, repository).read(known, recent)

    async def tags(
        self, forge: Forge, repository: Repository, secret: Secret, known: Listed[str] | None = None, recent: float = 0
    ) -> Listed[str]:
        """The names of all tags, with a release and without."""
        path = f"repos/{repository}/tags"
        return await _List(self._github, forge, secret, path, tuple[_Tag, ...], _tag_names, repository).read(
            known, recent
        )

    async def release(
        self, forge: Forge, repository: Repository, tag: str, secret: Secret, etag: str | None = None, recent: float = 0
    ) -> tuple[Release | None, str | None] | None:
        """The release of a tag and its validator, without a release where there is none of it; None when it still is
        the one of this `etag`.
        """
        url = f"{forge.api}/repos/{repository}/releases/tags/{quote(tag, safe='')}"
        reply = await self._github.ask(forge, url, secret, etag, recent)
        if reply.status == 304 and etag is not None:
            return None
        if reply.status == 404:
            return None, None
        self._github.expect_ok(forge, secret, reply)
        return decode(reply, Release, forge), reply.headers.get("etag")

    async def repositories(
        self, forge: Forge, owner: str, secret: Secret, known: Listed[str] | None = None, recent: float = 0
    ) -> Listed[str]:
        """The full names of the owner's repositories that the secret may see.

        An App's installation lists its own; else the organisation's list is asked for, else the user's own, else what
        is public of the user.
        """
        of_installation = _List(
            self._github, forge, secret, "installation/repositories", _Installation, _names_of_installation
        )
        if secret.is_of_installation:
            return await of_installation.read(known, recent)
        for path in (f"orgs/{quote(owner)}/repos", "user/repos", f"users/{quote(owner)}/repos"):
            try:
                found = await _List(self._github, forge, secret, path, tuple[_Repository, ...], _full_names).read(
                    known, recent
                )
            except _NoListError:
                continue
            if path != "user/repos" or any(_owner(name) == owner.casefold() for name in found.things):
                return found
        return Listed()


class _NoListError(Exception):
    """There is no such list, and no repository that it would be of."""


class _List[T]:
    """One list of the API, and how it is asked for."""

    def __init__(
        self,
        github: GitHub,
        forge: Forge,
        secret: Secret,
        path: str,
        into: Any,
        made: Callable[[Any], tuple[T, ...]],
        repository: Repository | None = None,
        most: int | None = None,
    ) -> None:
        """`made` makes of a page, decoded `into` its type, what is kept of it; in a thread where it is a large one.

        After `most` things the forge may end the list, though there are more.
        """
        self._github = github
        self._forge = forge
        self._secret = secret
        self._url = f"{forge.api}/{path}"
        self._into = into
        self._repository = repository
        self._made = made
        self._most = most

    async def read(self, known: Listed[T] | None, recent: float) -> Listed[T]:
        """The list. What is new in it while its pages are read moves others to pages that were read already, so it is
        read again, once; to see that there is nothing new costs nothing.
        """
        listed = await self._read(known, recent)
        if len(listed.pages) == 1 or (known is not None and listed.pages == known.pages):
            return listed
        first, *others = listed.pages
        if first.age and first.age <= min(page.age for page in others):
            return listed  # another replica has seen to it
        again = await self._page(1, listed.pages, 0)
        return listed if again.etag == first.etag and again.things == first.things else await self._read(listed, 0)

    async def _read(self, known: Listed[T] | None, recent: float) -> Listed[T]:
        before: Sequence[Page[T]] = known.pages if known else ()
        first = await self._page(1, before, recent)
        pages = [first]
        numbers = range(2, min(max(first.last, len(before)), _MAX_PAGES) + 1)
        is_cut = first.last > _MAX_PAGES
        for start in range(0, len(numbers), AT_ONCE):
            for page in await side_by_side(
                [self._page_or_end(number, before, recent) for number in numbers[start:][:AT_ONCE]]
            ):
                if page is None:
                    is_cut = True
                elif not is_cut:
                    pages.append(page)
            if is_cut:
                break
        # whoever does not tell the last page beforehand tells of each whether there is another
        while not is_cut and pages[-1].has_next and len(pages) < _MAX_PAGES:
            page = await self._page_or_end(len(pages) + 1, before, recent)
            if page is None:
                is_cut = True
            else:
                pages.append(page)
        while len(pages) > 1 and not pages[-1].things:
            pages.pop()
        if first.last > 1 and not all(page.things for page in pages):
            what = "an empty page of a list that goes on behind it"
            raise Unresolvable(catalogue.MALFORMED_ANSWER(host=self._forge.api_host, what=what))
        return Listed(tuple(pages), is_cut)

    async def _page_or_end(self, number: int, before: Sequence[Page[T]], recent: float) -> Page[T] | None:
        try:
            return await self._page(number, before, recent)
        except _EndError:
            return None

    async def _page(self, number: int, before: Sequence[Page[T]], recent: float) -> Page[T]:
        old = before[number - 1] if number <= len(before) else None
        etag = old.etag if old else None
        url = f"{self._url}?per_page={PER_PAGE}&page={number}"
        reply = await self._github.ask(self._forge, url, self._secret, etag, recent)
        if reply.status == 304 and old is not None:
            return replace(old, age=0.0)
        if reply.status == 404:
            if self._repository is None and number == 1:
                raise _NoListError
            if self._repository is None:
                raise Unresolvable(catalogue.UPSTREAM_FAILED(host=self._forge.api_host, status=404))
            raise Unresolvable(not_visible(self._forge, self._repository, self._secret))
        if reply.status == 422 and self._ends_before(number, reply):
            raise _EndError
        if reply.status == 422:
            raise Unresolvable(refusals.refusal(self._forge, self._secret, 422, reply.headers, reply.content))
        self._github.expect_ok(self._forge, self._secret, reply)
        large = len(reply.content) > _LARGE
        things = await asyncio.to_thread(self._things, reply) if large else self._things(reply)
        return _linked(Page(things, reply.headers.get("etag"), number, age=reply.age), reply)

    def _ends_before(self, number: int, reply: Reply) -> bool:
        """Whether a refusal says that the list ends before that page: any other is a fault, and no end."""
        if self._most is None or number == 1:
            return False
        told = _ENDED.match(refusals.message(reply.content))
        return (number - 1) * PER_PAGE >= (int(told[1]) if told else self._most)

    def _things(self, reply: Reply) -> tuple[T, ...]:
        return self._made(decode(reply, self._into, self._forge))


def _tag_names(tags: tuple[_Tag, ...]) -> tuple[str, ...]:
    return tuple(tag.name for tag in tags)


def _full_names(repositories: tuple[_Repository, ...]) -> tuple[str, ...]:
    return tuple(repository.full_name for repository in repositories)


def _names_of_installation(told: _Installation) -> tuple[str, ...]:
    return _full_names(told.repositories)


def not_visible(forge: Forge, repository: Repository, secret: Secret) -> Problem:
    """The problem that a repository is not there, or that its releases are not to be seen."""
    return catalogue.INDEX_NOT_VISIBLE(
        forge=forge,
        repository=repository,
        secret=secret,
        remedy=catalogue.REPOSITORY_NOT_VISIBLE.remedy(secret.kind),
    ).about(owner=repository.owner, repo=repository.name)


def _linked[T](page: Page[T], reply: Reply) -> Page[T]:
    """The page with what its `Link` header tells of others (RFC 8288; REST docs, pagination)."""
    link = reply.headers.get("link", "")
    if len(link) > 16 * 1024:
        return page
    told = {relation: _number(target) for target, relation in _LINK.findall(link)}
    return replace(page, last=max(page.last, told.get("last", 0)), has_next=told.get("next", 0) > 0)


def _number(target: str) -> int:
    """The number of the page that a link leads to; 0 where it names none."""
    try:
        text = parse_qs(urlsplit(target).query, max_num_fields=20).get("page", ["0"])[0]
    except ValueError:
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _owner(full_name: str) -> str:
    return full_name.partition("/")[0].casefold()


async def side_by_side[T](calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them give, in their order; or what the first of them raises that fails.

    None is broken off for another: each has its deadline, and a connection that is just being made would be lost.
    """
    found = await asyncio.gather(*calls, return_exceptions=True)
    results: list[T] = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results
