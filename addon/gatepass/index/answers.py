"""A request for an index, and what it is answered with: the routes, and what each of them tells.

Values go in and come out: how a request got here, and how its answer is written, is for others. Knows the rules, and
what repositories hold; knows neither flows nor mitmproxy.
"""

from __future__ import annotations

import asyncio
import operator
import re
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes

from gatepass.assets.answers import Answer, with_digest
from gatepass.cache import Cache
from gatepass.decision import Resolve
from gatepass.forge import urls
from gatepass.forge.hosts import OWN, Host
from gatepass.forge.urls import AssetRef
from gatepass.http.conditions import is_unmodified
from gatepass.index import names, negotiation, pages
from gatepass.index.contents import LeftOut, Place, settled
from gatepass.index.listing import Listing, Wanted
from gatepass.index.metadata import AllMetadata, GoneError
from gatepass.index.pages import Link
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import CONTENT_TYPE, Unresolvable
from gatepass.rules import coverage
from gatepass.rules.model import ResolveRelease, Rule
from gatepass.rules.values import Pattern
from gatepass.store.alone import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Set

    from gatepass.credentials.store import Credentials
    from gatepass.forge.urls import Repository
    from gatepass.github.client import GitHub
    from gatepass.index.contents import File
    from gatepass.index.listing import Found
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Index, Requirement, Rules
    from gatepass.store.alone import Store

SECONDS: Final = 20.0
"""All that an answer waits for must be over by then."""

_MOST_REPOSITORIES: Final = 1000
_PAGE_BYTES: Final = 64 * 1024 * 1024
_PAGE_SECONDS: Final = 7 * 86_400.0
# A page of more files takes longer to make than the loop should wait.
_MANY: Final = 200
_RETRY_SECONDS: Final = 5
_MAX_PATH: Final = 4096
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CACHE: Final = "private, no-cache"
"""A page is kept by its client, and asked for again each time, which costs the API nothing."""
_OF_CLIENTS: Final = (catalogue.INDEX_NOT_FOR_CLIENT.name, catalogue.INDEX_NOT_COVERED.name)
# What a client would take for its own, or for a package that is not here: an index says what is so, and to nobody 404.
_STATUSES: Final = {401: 403, 404: 403, 451: 403, 429: 503, 504: 503}


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an index. `path` is raw, without its query; `headers` find names whatever their case.

    `client` is who asks, by the name that the rules have for it, and `account` whom it counts for. `in_place` tells
    that the index is a web server of its own, to which its links lead back, and not a part of the proxy, by which the
    files' own URLs are reached.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    client: str | None = None
    in_place: bool = False
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer. `problem` is why it is no other; `notices` are what the proxy's log is to tell."""

    answer: Answer
    problem: Problem | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A file of the index, to be resolved as any release asset, and given to the client from there."""

    decision: Resolve


@dataclass(frozen=True, slots=True)
class Contents:
    """All that an index holds, for people: its files by project, and what is left out."""

    label: str
    files: Mapping[str, tuple[File, ...]]
    left_out: tuple[LeftOut, ...]
    outages: tuple[Problem, ...]
    unread: int


@dataclass(frozen=True, slots=True)
class _Made:
    """A page, what it was made `of`, and the version of its files."""

    of: tuple[object, ...]
    version: bytes
    page: pages.Page


@dataclass(frozen=True, slots=True)
class Opened:
    """An index that was asked for: what it is called, of which repositories, and what of their releases it shows."""

    label: str
    prefix: tuple[str, ...]
    named: Index | None
    wanted: tuple[Wanted, ...]
    prereleases: bool = True


class PackageIndex:
    """The indexes of a rules file. `close` ends what goes on in the background."""

    def __init__(
        self,
        credentials: Credentials,
        github: GitHub,
        rules: Rules,
        clock: Callable[[], float] = time.time,
        store: Store = ALONE,
    ) -> None:
        """`clock` gives seconds."""
        self._rules = rules
        self._requires = any(isinstance(rule.action, ResolveRelease) and rule.action.require for rule in rules.rules)
        self._listing = Listing(credentials, github, rules, clock, store)
        self._metadata = AllMetadata(github, clock, store)
        self._pages: Cache[Hashable, _Made] = Cache(_PAGE_BYTES, clock, lambda made: 1024 + len(made.page.content))

    async def close(self) -> None:
        await self._listing.close()
        await self._metadata.close()

    async def answer(self, request: Request) -> Told | Asked:
        """What the client gets, `SECONDS` from now at the latest. All that can go wrong is in it."""
        label = ""
        try:
            async with asyncio.timeout(SECONDS):
                if request.method not in ("GET", "HEAD"):
                    problem = catalogue.METHOD_NOT_ALLOWED(name=request.method)
                    return Told(_refusal(problem, request.method, {"Allow": "GET, HEAD"}), problem)
                segments = _segments(request.path)
                label = _label(segments)
                return await self._routed(request, segments)
        except Unresolvable as unresolvable:
            problem = of_index(unresolvable.problem)
        except TimeoutError:
            problem = catalogue.INDEX_NOT_READ(place=label, seconds=SECONDS, retry_after=_RETRY_SECONDS)
        return Told(_refusal(problem, request.method), problem)

    async def metadata(self, decision: Resolve, method: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer for `FILE.whl.metadata` by the wheel's own URL, where a rule resolves that; None for all else, for
        a release that has an asset of that very name, and for a wheel that is not known.

        Raises:
            Unresolvable: it cannot be read.
        """
        ref = decision.ref
        wheel = names.wheel_of(ref.name) if isinstance(ref, AssetRef) else None
        if not isinstance(ref, AssetRef) or wheel is None or ref.tag is None:
            return None
        place = Place(decision.forge, ref.repository)
        try:
            async with asyncio.timeout(SECONDS / 2):
                found = await self._listing.contents(Wanted(place, decision.credentials))
        except (Unresolvable, TimeoutError):
            return None  # the resolver meets the same, and says it of the asset
        if (ref.tag, ref.name) in found.contents.sidecars:
            return None
        file = found.contents.file(ref.tag, wheel)
        action = decision.rule.action
        require = action.require if isinstance(action, ResolveRelease) else frozenset()
        if file is None or not settled([file], need=lambda _: require)[0]:
            return None
        try:
            async with asyncio.timeout(SECONDS / 2):
                return await self._metadata_answer(found, file, method, headers)
        except TimeoutError:
            problem = catalogue.TIMED_OUT(host=decision.forge.api_host, seconds=SECONDS / 2)
            raise Unresolvable(problem) from None

    async def contents(self, name: str) -> Contents:
        """All of an index, by its name, by `github.com/OWNER/REPO`, or by its URL: whichever clients it is for.

        Raises:
            Unresolvable: it cannot be had.
        """
        opened, _ = await self.opened(_path_of(name, {str(forge.web) for forge in self._rules.forges}))
        return self.held(opened, await self._found(opened, wait=True))

    async def opened(self, path: str) -> tuple[Opened, list[str]]:
        """The index that a path begins with, whichever clients it is for, and what stands behind it.

        Raises:
            Unresolvable: there is none; or which repositories a `*` stands for cannot be told.
        """
        refused = None
        for client in (None, *(client.name for client in self._rules.access.clients)):
            try:
                return await self._opened(Request("GET", path, client=client), _segments(path))
            except Unresolvable as unresolvable:
                refused = refused or unresolvable
                if unresolvable.problem.kind not in _OF_CLIENTS:
                    raise
        assert refused is not None
        raise refused

    async def found(self, wanted: Wanted) -> Found:
        """What one of an index's repositories holds.

        Raises:
            Unresolvable: it cannot be had.
        """
        return await self._listing.contents(wanted, wait=True)

    def held(self, opened: Opened, found: tuple[Found, ...]) -> Contents:
        """All of an index whose repositories hold that."""
        by_project: dict[str, tuple[File, ...]] = {}
        left_out = [left for each in found for left in each.contents.left_out]
        for project in sorted({project for each in found for project in each.contents.projects}):
            chosen, left = self._settled(opened, found, project)
            left_out += left
            if chosen:
                by_project[project] = chosen
        return Contents(
            opened.label,
            by_project,
            tuple(left_out),
            tuple({each.outage.kind: each.outage for each in found if each.outage}.values()),
            sum(each.left for each in found),
        )

    # ---------------------------------------------------------------- routes

    async def _routed(self, request: Request, segments: list[str]) -> Told | Asked:
        opened, rest = await self._opened(request, segments)
        if request.in_place and urls.straightened(request.path) != request.path:
            # links that are relative to a page lead elsewhere from there, and clients differ about where to
            raise Unresolvable(catalogue.NOT_AN_INDEX(place=f"{request.path}, with slashes too many,"))
        match rest:
            case ["simple"]:
                return _moved("simple/")
            case ["simple", ""]:
                return await self._root(request, opened)
            case ["simple", name] | ["simple", name, ""]:
                project = names.normal(name)
                if project is None:
                    raise Unresolvable(_no_project(opened, name, ()))
                if len(rest) == 2:
                    return _moved(f"{project}/")
                return _moved(f"../{project}/") if project != name else await self._project(request, opened, project)
            case ["files", host, *path] if request.in_place:
                return await self._file(request, opened, host, path)
        raise Unresolvable(catalogue.NOT_AN_INDEX(place=request.path))

    async def _opened(self, request: Request, segments: list[str]) -> tuple[Opened, list[str]]:
        """The index that a path begins with, and what stands behind it."""
        match segments:
            case [host, owner, name, *rest] if _is_host(host):
                return self._of_repository(request, host, owner, name), rest
            case [name, *rest] if name and rest and not _is_host(name):
                return await self._by_name(request, name), rest
        raise Unresolvable(catalogue.NOT_AN_INDEX(place=request.path))

    def _of_repository(self, request: Request, host: str, owner: str, name: str) -> Opened:
        repository = urls.repository(f"/{owner}/{name}")
        label = f"{host}/{owner}/{name}"
        try:
            web = Host.parse(host)
        except ValueError:
            web = None
        rule = coverage.covering(self._rules, web, repository, request.client) if web and repository else None
        if rule is None or repository is None:
            known = [each.name for each in self._rules.rules if isinstance(each.action, ResolveRelease)]
            raise Unresolvable(catalogue.INDEX_NOT_COVERED(place=label, names=known))
        assert isinstance(rule.action, ResolveRelease)
        place = Place(rule.action.forge, repository)
        return Opened(str(place), (host, owner, name), None, (Wanted(place, rule.credentials, rule.action.require),))

    async def _by_name(self, request: Request, name: str) -> Opened:
        usable = [index for index in self._rules.indexes if index.is_for(request.client)]
        index = next((index for index in self._rules.indexes if index.name == name), None)
        if index is None:
            known = [each.name for each in usable]
            raise Unresolvable(catalogue.UNKNOWN_INDEX(name=name, candidates=choice.nearest(name, known) or known[:5]))
        if index not in usable:
            problem = catalogue.INDEX_NOT_FOR_CLIENT(name=name, names=index.clients, client=request.client or "")
            raise Unresolvable(problem)
        wanted = await self._repositories(index, request.client, renew=_wants_renewal(request.headers))
        return Opened(f"index `{name}`", (name,), index, wanted, index.prereleases)

    async def _repositories(
        self, index: Index, client: str | None, *, renew: bool = False, wait: bool = False
    ) -> tuple[Wanted, ...]:
        """The repositories of an index, each once; what a `*` stands for, as far as the credential sees."""
        found: dict[tuple[Host, Repository], Wanted] = {}
        for forge, each in index.repositories:
            repositories = [each.repository]
            if each.is_pattern:
                held = await self._listing.repositories(forge, each.owner, index.credential, renew=renew, wait=wait)
                if wait and held.outage is not None:
                    raise Unresolvable(held.outage)
                seen = (urls.repository(f"/{full_name}") for full_name in held.value.things)
                repositories = [repository for repository in seen if repository and each.covers(repository)]
                if held.value.is_cut:
                    raise Unresolvable(catalogue.INDEX_TOO_LARGE(place=each.owner, more=len(held.value.things)))
                if not repositories:
                    # an owner that is mistyped, or not to be seen, has none either
                    name = index.credential.name
                    raise Unresolvable(catalogue.INDEX_WITHOUT_REPOSITORIES(place=str(each), name=name))
            for repository in repositories:
                require = self._requiring(forge.web, repository, client)
                wanted = Wanted(Place(forge, repository), (index.credential,), require)
                found.setdefault((forge.web, repository), wanted)
            if len(found) > _MOST_REPOSITORIES:
                raise Unresolvable(catalogue.INDEX_TOO_LARGE(place=str(each), more=_MOST_REPOSITORIES))
        return tuple(found.values())

    def _requiring(self, web: Host, repository: Repository, client: str | None) -> frozenset[Requirement]:
        """What the rule for a repository's downloads requires of them."""
        if not self._requires:
            return frozenset()
        rule = coverage.covering(self._rules, web, repository, client)
        return rule.action.require if rule and isinstance(rule.action, ResolveRelease) else frozenset()

    async def _all(self, opened: Opened, *, renew: bool = False, wait: bool = False) -> tuple[Found, ...]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._listing.contents(each, renew=renew, wait=wait)) for each in opened.wanted]
        return tuple(task.result() for task in tasks)

    async def _found(self, opened: Opened, *, renew: bool = False, wait: bool = False) -> tuple[Found, ...]:
        """What the index's repositories hold. One that cannot be had is no reason to tell of the others alone: what it
        has would be taken from elsewhere.
        """
        try:
            return await self._all(opened, renew=renew, wait=wait)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    # ----------------------------------------------------------------- pages

    async def _root(self, request: Request, opened: Opened) -> Told:
        form = _form(request.headers)
        found = await self._found(opened, renew=_wants_renewal(request.headers))
        page = pages.root({project for each in found for project in each.contents.projects}, form)
        return _page(request, form, page, found)

    async def _project(self, request: Request, opened: Opened, project: str) -> Told:
        form = _form(request.headers)
        found = await self._found(opened, renew=_wants_renewal(request.headers))
        if not _has(found, project):
            if outage := next((each.outage for each in found if each.outage), None):
                # who wants no copy is not told from one that there is no such project
                raise Unresolvable(outage)
            opened, found = await self._surely(opened, found, request.client)
        if not _has(found, project):
            raise Unresolvable(_absent(opened, found, project))
        return _page(request, form, await self._made(request, opened, found, project, form), found)

    async def _made(
        self, request: Request, opened: Opened, found: tuple[Found, ...], project: str, form: str
    ) -> pages.Page:
        """The page as it was first made of these files: what is learnt of them since makes no other page of it, so that
        who has one need not have it again.
        """
        key = (opened.prefix, project, form, request.client, request.in_place)
        of = (*(each.contents for each in found), self._metadata.faults)
        before = self._pages.get(key)
        if before is not None and len(before.of) == len(of) and all(map(operator.is_, before.of, of)):
            return before.page
        count = sum(len(each.contents.projects.get(project, ())) for each in found)
        compose = partial(self._composed, request, opened, found, project, form, before)
        version, page = await asyncio.to_thread(compose) if count > _MANY else compose()
        self._pages.put(key, _Made(of, version, page), _PAGE_SECONDS)
        return page

    def _composed(
        self,
        request: Request,
        opened: Opened,
        found: tuple[Found, ...],
        project: str,
        form: str,
        before: _Made | None,
    ) -> tuple[bytes, pages.Page]:
        chosen, _ = self._settled(opened, found, project)
        links = [self._link(request, found, file) for file in chosen]
        version = pages.version(links)
        if before is not None and before.version == version:
            return version, before.page
        return version, pages.project(project, links, form)

    async def _surely(
        self, opened: Opened, found: tuple[Found, ...], client: str | None
    ) -> tuple[Opened, tuple[Found, ...]]:
        """The same as it is now: before anything is said not to be there, what is stale is asked for again."""
        if opened.named is not None:
            opened = replace(opened, wanted=await self._repositories(opened.named, client, wait=True))
        elif all(each.is_fresh for each in found):
            return opened, found
        return opened, await self._found(opened, wait=True)

    def _settled(
        self, opened: Opened, found: Iterable[Found], project: str
    ) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
        files = [file for each in found for file in each.contents.projects.get(project, ())]
        misnamed = [(file, words) for file in files if (words := self._metadata.misnamed(file))]
        if misnamed:
            others = {file for file, _ in misnamed}
            files = [file for file in files if file not in others]
        required = {each.place: each.require for each in opened.wanted}
        chosen, left_out = settled(files, prereleases=opened.prereleases, need=required.__getitem__)
        lost = tuple(LeftOut(file.place, file.tag, file.name, "name-lost", words) for file, words in misnamed)
        return tuple(sorted(chosen, key=lambda file: (file.uploaded, file.name))), (*left_out, *lost)

    def _link(self, request: Request, found: Iterable[Found], file: File) -> Link:
        path = urls.download_path(file.ref)
        url = f"https://{file.place.forge.web}{path}"
        if request.in_place:
            url = f"../../files/{quote(str(file.place.forge.web), safe=':')}{path}"
        known = self._metadata.known(file)
        return Link(
            file.name,
            url,
            file.version,
            file.size,
            file.sha256,
            file.uploaded,
            self._promises(request, found, file),
            None if known is None else known.sha256,
            None if known is None else known.requires_python,
        )

    def _promises(self, request: Request, found: Iterable[Found], file: File) -> bool:
        """Whether the metadata of a file will be had at its URL: clients take any failure for the last word."""
        if file.kind != "wheel":
            return False
        path = f"{urls.download_path(file.ref)}{names.METADATA}"
        web = file.place.forge.web
        if not request.in_place and coverage.serving(self._rules, web, path, request.client) is None:
            return False
        contents = next(each.contents for each in found if each.place == file.place)
        if (file.tag, f"{file.name}{names.METADATA}") in contents.sidecars:
            return True
        return self._metadata.is_promised(file)

    # ----------------------------------------------------------------- files

    async def _file(self, request: Request, opened: Opened, host: str, path: list[str]) -> Told | Asked:
        """A file of the index where its links lead back to it: no other file of the repository is given."""
        ref = urls.parse("/" + "/".join(quote(segment, safe="") for segment in path))
        if ref is None or ref.tag is None:
            raise Unresolvable(catalogue.NOT_AN_INDEX(place=request.path))
        wanted = [
            each
            for each in opened.wanted
            if str(each.place.forge.web) == host and each.place.repository == ref.repository
        ]
        if not wanted:
            raise Unresolvable(catalogue.NOT_IN_INDEX(place=opened.label, name=ref.name, tag=ref.tag))
        for wait in (False, True):
            found = await self._listing.contents(wanted[0], wait=wait)
            is_sidecar = (ref.tag, ref.name) in found.contents.sidecars
            wheel = None if is_sidecar else names.wheel_of(ref.name)
            file = found.contents.file(ref.tag, wheel or ref.name)
            if is_sidecar or file is not None or found.is_fresh:
                break
        if file is not None and wheel is not None and settled([file], need=lambda _: wanted[0].require)[0]:
            return Told(await self._metadata_answer(found, file, request.method, request.headers))
        if not is_sidecar and (file is None or wheel is not None):
            raise Unresolvable(catalogue.NOT_IN_INDEX(place=opened.label, name=ref.name, tag=ref.tag))
        forge = found.place.forge
        rule = Rule(
            f"index {opened.prefix[-1]}",
            Pattern(forge.web, f"/{ref.repository}/*"),
            ResolveRelease(forge, require=wanted[0].require),
            (found.credential,),
        )
        return Asked(Resolve(rule, forge, False, rule.credentials, ref, request.account))

    async def _metadata_answer(self, found: Found, file: File, method: str, headers: Mapping[str, str]) -> Answer:
        try:
            told = await self._metadata.of(file, found.secret)
        except GoneError:
            # it was uploaded anew since the releases were listed
            renewed = await self._listing.contents(Wanted(found.place, (found.credential,)), renew=True)
            again = renewed.contents.file(file.tag, file.name)
            problem = catalogue.NOT_IN_INDEX(place=str(file.place), name=file.name, tag=file.tag)
            if again is None:
                raise Unresolvable(problem) from None
            try:
                told = await self._metadata.of(again, renewed.secret)
            except GoneError:
                raise Unresolvable(problem) from None
        etag = f'"{told.sha256}"'
        fields = {"ETag": etag, "Cache-Control": _CACHE}
        digest = f"sha256:{told.sha256}"
        if is_unmodified(headers, etag, None):
            return with_digest(Answer(304, fields), digest)
        fields |= {"Content-Type": "application/octet-stream", "content-length": str(len(told.content))}
        return with_digest(Answer(200, fields, b"" if method == "HEAD" else told.content), digest)


# ------------------------------------------------------------------------ paths


def _segments(path: str) -> list[str]:
    """The segments of a raw path, each decoded once.

    Raises:
        Unresolvable: they are no index's.
    """
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in urls.straightened(path)[1:].split("/")]
    except UnicodeError:
        segments = [".."]
    parts = [part for segment in segments for part in segment.split("/")]
    crooked = any(part in (".", "..") or _CONTROL.search(part) for part in parts)
    if len(path) > _MAX_PATH or not path.startswith("/") or crooked:
        raise Unresolvable(catalogue.NOT_AN_INDEX(place="a path that is none"))
    return segments


def _path_of(name: str, webs: Set[str]) -> str:
    """The path of an index that people name: as the rules do, as HOST/OWNER/REPO, or by a URL of either, whichever
    server has it. `webs` are the hosts whose own URLs are of repositories.

    Raises:
        Unresolvable: it names none; what stands in a URL before its host is not told.
    """
    scheme, is_url, rest = name.partition("://")
    if is_url:
        server, _, path = rest.partition("?")[0].partition("#")[0].partition("/")
        server = server.rpartition("@")[2].lower()
        segments = [segment for segment in path.split("/") if segment]
        is_repository = server in webs or "simple" not in segments
        if is_repository and server != str(OWN):
            segments = [server, *segments[:2]]
        elif "simple" in segments:
            before = segments[: segments.index("simple")]
            is_of_host = len(before) > 2 and _is_host(before[-3])
            segments = before[-3:] if is_of_host else before[-1:]
    else:
        segments = name.removesuffix("/").removesuffix("/simple").split("/")
    is_known = (len(segments) == 3 and _is_host(segments[0])) or (len(segments) == 1 and not _is_host(segments[0]))
    if not is_known or not all(segments) or scheme.lower() not in ("http", "https", name.lower()):
        raise Unresolvable(catalogue.NOT_AN_INDEX(place="that URL" if is_url else f"`{name}`"))
    segments[-1] = segments[-1].removesuffix(".git")
    return f"/{'/'.join(segments)}/simple/"


def _is_host(segment: str) -> bool:
    return "." in segment or ":" in segment


def _label(segments: list[str]) -> str:
    return "/".join(segments[:3]) if _is_host(segments[0]) else f"index `{segments[0]}`"


# ---------------------------------------------------------------------- answers


def _form(headers: Mapping[str, str]) -> str:
    form = negotiation.chosen(headers.get("accept"))
    if form is None:
        raise Unresolvable(catalogue.NOT_ACCEPTABLE(names=negotiation.OFFERED))
    return form


def _wants_renewal(headers: Mapping[str, str]) -> bool:
    """Whether the client wants no copy (RFC 9111, section 5.2.1.4): uv's `--refresh` does."""
    told = headers.get("cache-control", "") or headers.get("pragma", "")
    return "no-cache" in {word.strip().lower() for word in told.split(",")}


def _has(found: Iterable[Found], project: str) -> bool:
    return any(project in each.contents.projects for each in found)


def _absent(opened: Opened, found: tuple[Found, ...], project: str) -> Problem:
    """Why there is no page of a project: that it is not there is said only when that is known."""
    for each in found:
        if each.outage is not None:
            return each.outage
    left = sum(each.left for each in found)
    if left:
        seconds = max(1, *(each.seconds for each in found))
        return catalogue.INDEX_INCOMPLETE(place=opened.label, name=project, more=left, retry_after=seconds)
    return _no_project(opened, project, {name for each in found for name in each.contents.projects})


def _no_project(opened: Opened, project: str, known: Iterable[str]) -> Problem:
    there = sorted(known)
    candidates = choice.nearest(project, there)
    problem = catalogue.PROJECT_NOT_FOUND(
        place=opened.label, name=project, candidates=candidates, known=there[:5], more=max(0, len(there) - 5)
    )
    return problem.about(candidates=candidates or there[:5])


def of_index(problem: Problem) -> Problem:
    """A problem as an index tells it: with no status that a client would take for leave to look elsewhere.

    A 404 makes uv go on to the next index, and a 401 makes pip ask for a password that is nobody's.
    """
    is_own = problem.kind in (catalogue.PROJECT_NOT_FOUND.name, catalogue.NOT_IN_INDEX.name)
    return problem if is_own else replace(problem, status=_STATUSES.get(problem.status, problem.status))


def _refusal(problem: Problem, method: str, more: Mapping[str, str] | None = None) -> Answer:
    """Unlike that of an asset, a HEAD has the status that a GET has."""
    body = problem.body()
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE, **(more or {})}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    headers["content-length"] = str(len(body))
    return Answer(problem.status, headers, b"" if method == "HEAD" else body, problem.reason)


def _moved(location: str) -> Told:
    """To the one address of a page: relative, so that it holds below whatever prefix the index is served."""
    return Told(Answer(301, {"Location": location, "Cache-Control": _CACHE, "content-length": "0"}))


def _page(request: Request, form: str, page: pages.Page, found: Iterable[Found]) -> Told:
    outages = {each.outage.kind: f"{each.place}: {each.outage}" for each in found if each.outage}
    notices = tuple(f"{outage}; meanwhile what is known is served, for a day" for outage in outages.values())
    fields = {"ETag": page.etag, "Cache-Control": _CACHE, "Vary": "Accept"}
    if is_unmodified(request.headers, page.etag, None):
        return Told(Answer(304, fields), notices=notices)
    content_type = form if form == negotiation.JSON else f"{form}; charset=utf-8"
    fields |= {"Content-Type": content_type, "content-length": str(len(page.content))}
    return Told(Answer(200, fields, b"" if request.method == "HEAD" else page.content), notices=notices)
