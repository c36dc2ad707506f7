"""The way of an index's URL, walked as the index would answer it: what covers it, what it holds, what is left out, why.

All is asked of the index itself. Knows the credentials that it uses, and nothing of how findings are shown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import httpx2
from packaging.version import Version

from gatepass import decision
from gatepass.explain import account, explanation
from gatepass.explain.attempts import within
from gatepass.explain.explanation import BlockedError, Step
from gatepass.forge import urls
from gatepass.forge.sources import GitRef
from gatepass.index import names, telling
from gatepass.index.answers import Asked, PackageIndex, Request, of_index
from gatepass.index.negotiation import JSON
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.rules import coverage
from gatepass.rules.model import ResolveRelease
from gatepass.secret import Audience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from gatepass.assets.resolver import Resolver
    from gatepass.credentials.store import Credentials
    from gatepass.explain.attempts import Attempts
    from gatepass.explain.introspection import Introspection
    from gatepass.explain.target import Target
    from gatepass.index.answers import Contents, Opened
    from gatepass.index.contents import File, LeftOut
    from gatepass.index.listing import Found, Wanted
    from gatepass.rules.model import Credential, Index, Rules
    from gatepass.secret import Secret

_MOST_TOLD: Final = 10
# What is left out by the rules' own word, or is nobody's package, is nothing to be mended.
_INTENDED: Final = ("draft", "prerelease", "not-a-distribution")


@dataclass(frozen=True, slots=True)
class Indexed:
    """Looks into the indexes of the rules.

    `is_served` tells whether the proxy of this shell serves a URL, with whatever credential it has.
    """

    rules: Rules
    index: PackageIndex
    credentials: Credentials
    introspection: Introspection
    resolver: Resolver
    attempts: Attempts
    is_served: Callable[[Target], Awaitable[bool]]

    async def steps(self, target: Target) -> AsyncIterator[Step]:
        """The way of a page, or of a file where the index is a server of its own."""
        label, rest = _place(target.path)
        if rest[:1] not in (["simple"], ["files"]):
            for step in _problem_at("url", catalogue.NOT_AN_INDEX(place=target.path)):
                yield step
            return
        yield Step("url", "ok", f"{_described(rest)} of {label}")
        try:
            async for step in self._held(target, rest):
                yield step
        except BlockedError as blocked:
            if blocked.steps[0].name == "credential" and await self.is_served(target):
                yield Step("credential", "skip", "it has no value in this shell; the proxy has its own")
                return
            for step in blocked.steps:
                yield step

    async def _held(self, target: Target, rest: Sequence[str]) -> AsyncIterator[Step]:
        named = next((each for each in self.rules.indexes if each.name == _first(target.path)), None)
        if named is not None:
            yield Step("rule", "ok", _of_named(named))
        try:
            opened, _ = await within(self.index.opened(target.path), self.rules.forges[-1].api_host)
        except Unresolvable as unresolvable:
            if named is None:
                raise _blocked("rule", unresolvable.problem) from None
            async for step in self._owner(named, unresolvable.problem):
                yield step
            raise _blocked("repositories", unresolvable.problem) from None
        client = next(iter(named.clients), None) if named else None
        if named is None:
            found, client = self._covering(opened.wanted[0])
            yield Step("rule", "ok", found)

        held = await asyncio.gather(*(self._listed(each) for each in opened.wanted))
        problems = [each for each in held if isinstance(each, Problem)]
        async for step in self._standing(opened, held):
            yield step
        for step in _releases(opened, held):
            yield step
        if problems:
            raise BlockedError(_told(problems[0]))
        if rest[0] == "files":
            async for step in self._file(target, client):
                yield step
            return
        contents = self.index.held(opened, tuple(each for each in held if not isinstance(each, Problem)))
        project = names.normal(rest[1]) if len(rest) > 1 and rest[1] else None
        for step in _contents(contents, project):
            yield step
        for step in _locked(target, contents, project):
            yield step
        yield await self._page(target, client)
        if project is not None and (files := contents.files.get(project)):
            async for step in self._newest(target, opened, files, client):
                yield step

    # ------------------------------------------------------- who asks the forge

    def _covering(self, wanted: Wanted) -> tuple[str, str | None]:
        """The rule that gives a repository its index, in words, and a client that it is for."""
        place, client, rule = wanted.place, None, None
        for client in (None, *(each.name for each in self.rules.access.clients)):
            rule = coverage.covering(self.rules, place.forge.web, place.repository, client)
            if rule is not None:
                break
        assert rule is not None, "the index was opened by it"
        is_named = rule.name != str(rule.match)
        what = f"`{rule.name}` covers its downloads{f': {rule.match}' if is_named else ''}"
        if isinstance(rule.action, ResolveRelease) and rule.action.require:
            what += f"; it requires {' and '.join(sorted(rule.action.require))}"
        return f"{what}{_for(rule.clients)}", client

    async def _listed(self, wanted: Wanted) -> Found | Problem:
        try:
            return await within(self.index.found(wanted), wanted.place.forge.api_host)
        except Unresolvable as unresolvable:
            return of_index(unresolvable.problem)

    async def _owner(self, named: Index, problem: Problem) -> AsyncIterator[Step]:
        """The credential of an index of which it cannot be told which repositories it has."""
        forge, first = next(((f, each) for f, each in named.repositories if each.is_pattern), named.repositories[0])
        audience = Audience(forge.api_host, forge)
        secret = await self._secret(named.credential.owned_by(first.owner), audience, problem)
        yield account.credential(named.credential.name, secret)
        for step in await self.introspection.of_itself(forge, secret):
            yield step

    async def _standing(self, opened: Opened, held: Sequence[Found | Problem]) -> AsyncIterator[Step]:
        """The credential that the releases are seen with, and what the forge says of it; of one repository all."""
        if not opened.wanted:
            return
        number = next((number for number, each in enumerate(held) if isinstance(each, Problem)), 0)
        wanted, first = opened.wanted[number], held[number]
        forge, repository = wanted.place.forge, wanted.place.repository
        if isinstance(first, Problem):
            credential = _of_problem(wanted.credentials, first)
            secret = await self._secret(credential, Audience(forge.api_host, forge, repository), first)
        else:
            credential, secret = first.credential, first.secret
        if len(wanted.credentials) > 1:
            named = ", then ".join(f"`{each.name}`" for each in wanted.credentials)
            if isinstance(first, Problem):
                yield Step("credentials", "warn", f"{named}: none may have it, as follows for `{credential.name}`")
            else:
                yield Step("credentials", "ok", f"{named}: `{credential.name}` may see the repository")
        yield account.credential(credential.name, secret)
        if len(opened.wanted) > 1:
            for step in await self.introspection.of_itself(forge, secret):
                yield step
            return
        try:
            step, _ = await self.introspection.account(forge, secret)
            yield step
            async for step in self.introspection.repository(forge, GitRef(repository, "fetch"), secret):
                yield step
        except BlockedError as blocked:
            if isinstance(first, Problem):
                # what a client gets of an index is another thing than of an asset
                steps = (step for step in blocked.steps if step.name != "client")
                raise BlockedError(*steps, _told(first)) from None

    async def _secret(self, credential: Credential, audience: Audience, problem: Problem) -> Secret:
        try:
            return await self.credentials.secret(credential, audience)
        except Unresolvable as lacking:
            raise BlockedError(explanation.failed("credential", lacking.problem), _told(problem)) from None

    # ---------------------------------------------------------- what clients get

    async def _page(self, target: Target, client: str | None) -> Step:
        """What the index itself answers for the page."""
        accept = httpx2.Headers({"accept": JSON})
        path = target.path if target.path.endswith("/") else f"{target.path}/"
        told = await self.index.answer(Request("GET", path, accept, client, in_place=target.served is not None))
        assert not isinstance(told, Asked), "pages are no files"
        if told.problem is not None:
            raise _blocked("page", told.problem)
        if told.answer.status != 200:
            return Step("page", "ok", f"{told.answer.status}, to {told.answer.headers.get('Location')}")
        return Step("page", "ok", f"200, {len(told.answer.content)} bytes as JSON")

    async def _newest(
        self, target: Target, opened: Opened, files: Sequence[File], client: str | None
    ) -> AsyncIterator[Step]:
        """A file of the newest version, tried as a client gets it."""
        file = max(files, key=lambda each: (Version(each.version), each.kind == "wheel"))
        path, web = urls.download_path(file.ref), file.place.forge.web
        found: decision.Decision
        if target.served is not None:
            below = "/".join(("", *opened.prefix, "files", str(web)))
            asked = await self.index.answer(Request("GET", f"{below}{path}", {}, client, in_place=True))
            assert isinstance(asked, Asked), "the index holds it"
            found = asked.decision
        else:
            found = decision.decide(decision.Request("https", web, "GET", path, client=client), self.rules)
        if not isinstance(found, decision.Resolve):
            hint = f"let a rule's `match` cover {path}"
            yield Step("file", "fail", f"no rule for release assets serves `{file.name}`, though the page has it", hint)
            return
        yield Step("file", "ok", f"`{file.name}` of release `{file.tag}`, {file.size} bytes, by `{found.rule.name}`")
        async for step in self._tried(found):
            yield step

    async def _file(self, target: Target, client: str | None) -> AsyncIterator[Step]:
        request = Request("GET", target.path, httpx2.Headers(), client, in_place=target.served is not None)
        told = await self.index.answer(request)
        if isinstance(told, Asked):
            async for step in self._tried(told.decision, target.hashes):
                yield step
        elif told.problem is not None:
            raise _blocked("file", told.problem)
        else:
            yield Step("metadata", "ok", f"the index reads it out of the wheel: {len(told.answer.content)} bytes")
            yield Step("get", "ok", str(told.answer.status))

    async def _tried(self, found: decision.Resolve, hashes: frozenset[str] = frozenset()) -> AsyncIterator[Step]:
        try:
            source = await within(self.resolver.resolve(found), found.forge.api_host)
        except Unresolvable as unresolvable:
            raise explanation.blocked("asset", unresolvable.problem) from None
        if source is None:
            yield Step("public", "warn", "the web host did not say whether it is public: the request passes unchanged")
            return
        if hashes and source.asset is not None:
            yield explanation.locked(source.asset.name, hashes, explanation.hexadecimal(source.asset.digest))
        async for step in self.attempts.all(source):
            yield step


# ------------------------------------------------------------------------ words


def _place(path: str) -> tuple[str, list[str]]:
    """What the index of a path is called, and the rest of the path."""
    parts = [unquote(part) for part in urls.straightened(path).strip("/").split("/")]
    if "." in parts[0] or ":" in parts[0]:
        return f"the index of {'/'.join(parts[:3])}", parts[3:]
    return f"index `{parts[0]}`", parts[1:]


def _first(path: str) -> str:
    return urls.straightened(path).strip("/").partition("/")[0]


def _described(rest: Sequence[str]) -> str:
    match rest:
        case ["simple", project, *_]:
            return f"project `{project}`"
        case ["files", *_]:
            return f"file `{rest[-1]}`"
    return "the projects"


def _of_named(named: Index) -> str:
    """What the rules say of an index."""
    told = f"the rules name it: {', '.join(str(each) for _, each in named.repositories)}"
    return f"{told}{'' if named.prereleases else '; without pre-releases'}{_for(named.clients)}"


def _for(clients: Sequence[str]) -> str:
    return f"; for {', '.join(f'`{each}`' for each in clients)} alone" if clients else ""


def _of_problem(credentials: Sequence[Credential], problem: Problem) -> Credential:
    name = problem.members.get("credential")
    return next((each for each in credentials if each.name == name), credentials[0])


def _told(problem: Problem) -> Step:
    """What a client of an index gets of a problem."""
    problem = of_index(problem)
    on = "goes on to its next index, if it has one" if problem.status == 404 else "looks in no other index"
    return Step("client", "fail", f"a client gets {problem.status}, with `{problem.reason}`, and {on}")


def _problem_at(name: str, problem: Problem) -> tuple[Step, Step]:
    """The step that met a problem, and what a client of the index gets of it."""
    problem = of_index(problem)
    return explanation.failed(name, problem), _told(problem)


def _blocked(name: str, problem: Problem) -> BlockedError:
    return BlockedError(*_problem_at(name, problem))


def _releases(opened: Opened, held: Sequence[Found | Problem]) -> Iterator[Step]:
    """What each repository's releases hold, or why that is not known."""
    if not opened.wanted:
        yield Step("releases", "warn", "the credential sees none of its repositories", "mend its `repositories:`")
    for number, (wanted, each) in enumerate(zip(opened.wanted, held, strict=True)):
        if isinstance(each, Problem):
            failed = explanation.failed("releases", each)
            yield replace(failed, finding=f"{wanted.place}: {failed.finding}")
        elif each.left:
            unread = f"{wanted.place}: {each.left} releases or more behind the thousandth have not been read here"
            yield Step("releases", "warn", unread, "a running proxy reads them by and by")
        elif number < _MOST_TOLD:
            projects, files = len(each.contents.projects), sum(map(len, each.contents.projects.values()))
            yield Step("releases", "ok", f"{wanted.place}: {_counted(projects, 'project')}, {_counted(files, 'file')}")
    if len(held) > _MOST_TOLD:
        yield Step("releases", "ok", f"{len(held)} repositories in all")


def _contents(contents: Contents, project: str | None) -> Iterator[Step]:
    """What of it is held, and what is left out, and why; of one project, or of all."""
    told = contents
    if project is None:
        there = list(contents.files)
        yield Step("held", "ok" if there else "warn", f"{_counted(len(there), 'project')}: {_some(there) or 'none'}")
    else:
        held = {name: files for name, files in contents.files.items() if name == project}
        told = replace(contents, files=held, left_out=tuple(_of_project(contents.left_out, project)))
        yield from _versions(held.get(project, ()))
    yield from _left_out(told.left_out)
    for text in telling.notes(told):
        yield Step("note", "warn", text)
    if project is not None and told.left_out and not told.files:
        found = f"all that the releases have of `{project}` is left out: a client finds no version of it"
        yield Step("held", "fail", found, "see above what is left out, and why")


def _of_project(left_out: Iterable[LeftOut], project: str) -> Iterator[LeftOut]:
    for left in left_out:
        found = names.parse(left.name)
        if found is not None and found.project == project:
            yield left


def _versions(files: Iterable[File]) -> Iterator[Step]:
    """A line a version, the newest first."""
    by_version: dict[str, list[File]] = {}
    for file in files:
        by_version.setdefault(file.version, []).append(file)
    for version in sorted(by_version, key=Version, reverse=True)[:_MOST_TOLD]:
        some = by_version[version]
        tags = ", ".join(f"`{tag}`" for tag in dict.fromkeys(file.tag for file in some))
        hashed = sum(file.sha256 is not None for file in some)
        hashes = "with hashes" if hashed == len(some) else "without a hash" if not hashed else f"{hashed} with a hash"
        yield Step("held", "ok", f"{version}: {_some([file.name for file in some])} of release {tags}, {hashes}")
    if len(by_version) > _MOST_TOLD:
        yield Step("held", "ok", f"and {len(by_version) - _MOST_TOLD} older versions: `gatepass index` has them all")


def _left_out(left_out: Sequence[LeftOut]) -> Iterator[Step]:
    """What no client sees; of a name that several releases have, all of them."""
    alike: dict[str, list[LeftOut]] = {}
    others: dict[tuple[str, str], list[LeftOut]] = {}
    for left in left_out:
        if left.why == "ambiguous":
            alike.setdefault(left.name, []).append(left)
        else:
            others.setdefault((left.why, left.words), []).append(left)
    for name, several in alike.items():
        where = " and ".join(f"release `{left.tag}` of {left.place}" for left in several)
        found = f"`{name}` is in {where}, with different hashes or none: which is meant is not guessed"
        yield Step("left-out", "warn", found, "delete one of them, or release one under another version")
    for (why, words), some in others.items():
        state: explanation.State = "skip" if why in _INTENDED else "warn"
        yield Step("left-out", state, f"{_some([f'`{left.name}` of `{left.tag}`' for left in some])}: {words}")


def _locked(target: Target, contents: Contents, project: str | None) -> Iterator[Step]:
    """Each file that a lock names without a URL, held against what the index has of it."""
    there = {file.name: file for file in contents.files.get(project or "", ())}
    left_out = {left.name: left.words for left in contents.left_out}
    for name, hashes in target.files:
        file = there.get(name)
        if file is None:
            why = f"it is left out: {left_out[name]}" if name in left_out else "it is in no release"
            yield Step("locked", "fail", f"`{name}` is locked, and not in the index: {why}", "lock the project anew")
        else:
            yield explanation.locked(name, hashes, file.sha256)


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_TOLD} more" if len(texts) > _MOST_TOLD else ""
    return f"{', '.join(texts[:_MOST_TOLD])}{more}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
