"""The way of one URL, walked as the addon would walk it, each finding told as it is made.

What is decided, asked and answered is the addon's own: `decide`, `Resolver`, `delivery.plan`. Knows neither flows nor
how findings are shown.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from gatepass import account, client_view, delivery, problems, shell, urls
from gatepass.credentials import Credentials
from gatepass.decision import Inject, Request, Resolve, decide
from gatepass.delivery import Answer
from gatepass.explanation import Step
from gatepass.forges import HTTPS_PORT, Host
from gatepass.github import GitHub, UnclearError, decode, describe_refusal
from gatepass.misses import nearest_miss
from gatepass.probe import FIRST_BYTES, STEP_SECONDS
from gatepass.problems import Problem, Unresolvable
from gatepass.resolver import Resolver, Source
from gatepass.signed import SignedUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gatepass.credentials import Secret
    from gatepass.exchanges import Hooks
    from gatepass.forges import Forge
    from gatepass.github import Reply
    from gatepass.rules import Rules
    from gatepass.urls import AssetRef

_FORM: Final = "/OWNER/REPO/releases/download/TAG/FILE"


class _User(msgspec.Struct, frozen=True):
    login: str


class _Repository(msgspec.Struct, frozen=True):
    full_name: str
    private: bool
    visibility: str = ""
    archived: bool = False


class _Asset(msgspec.Struct, frozen=True):
    digest: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: `path` is raw, without its query."""

    host: Host
    path: str

    @property
    def url(self) -> str:
        """The URL without user, query and fragment, any of which may hold a secret."""
        return f"https://{self.host}{self.path}"


def read_url(text: str) -> Target | None:
    """Read any https URL; None for anything else."""
    try:
        parts = urlsplit(text)
        host = Host.parse(f"{(parts.hostname or '').removesuffix('.')}:{parts.port or HTTPS_PORT}")
    except ValueError:
        return None
    return Target(host, parts.path or "/") if parts.scheme.lower() == "https" else None


class Inquiry:
    """Looks into URLs; what one taught is not asked for again by the next.

    `environ` is the shell's, for credentials, trust and proxy; `hooks` see every HTTP exchange.
    """

    def __init__(
        self,
        rules: Rules,
        environ: Mapping[str, str],
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._environ = environ
        self._hooks = hooks
        self._clock = clock
        self._github = GitHub(shell.upstream_trust(environ), hooks=hooks)
        self._credentials = Credentials(environ)
        self._resolver = Resolver(self._credentials, self._github, rules, clock)
        self._replies: dict[tuple[str, str], asyncio.Task[Reply]] = {}

    async def aclose(self) -> None:
        await self._github.close()

    async def look(self, target: Target) -> AsyncIterator[Step]:
        """The whole way: rules, URL, credential, forge, asset, and the shell."""
        yield shell.bundle(self._environ)
        count = len(self._rules.rules)
        yield Step("rules", "ok", f"{self._rules.source}: {count} rule{'' if count == 1 else 's'}")
        async for step in self.asset(target):
            yield step
        async for step in self.shell(target):
            yield step

    def shell(self, target: Target) -> AsyncIterator[Step]:
        """Whether this shell's variables bring a client to a proxy that serves the URL."""
        return shell.look(self._environ, target.host, target.url, self._hooks)

    async def asset(self, target: Target) -> AsyncIterator[Step]:
        """The way of the URL alone."""
        host, path = target.host, target.path
        ref, rule = urls.parse(path), self._rules.match(host, path)
        decision = decide(Request("https", host, "GET", path), self._rules)
        if ref is not None:
            release = "the latest release" if ref.tag is None else f"release `{ref.tag}`"
            yield Step("url", "ok", f"asset `{ref.name}` of {release} of {ref.repository}")
        elif not isinstance(decision, Inject):
            yield self._no_download(target)
            return
        if rule is not None:
            is_named = rule.name != str(rule.match)
            yield Step("rule", "ok", f"`{rule.name}` matches{f': {rule.match}' if is_named else ''}")
        match decision:
            case Resolve():
                steps = self._release(target, decision)
            case Inject():
                steps = self._injection(decision)
            case _:
                assert ref is not None
                steps = self._unmatched(target, ref)
        async for step in steps:
            yield step

    def _no_download(self, target: Target) -> Step:
        forge = next((forge for forge in self._rules.forges if forge.web == target.host), self._rules.forges[0])
        expected = f"expected https://{forge.web}{_FORM}, got {target.url}"
        hint = "name the URL that a browser downloads the file from"
        if "/releases/tag/" in target.path:
            hint = "this is the page of a release: copy the link of one of its files"
        elif "/archive/" in target.path or "/tarball/" in target.path or "/zipball/" in target.path:
            hint = "this is an archive of the source, which is no release asset"
        elif any(target.host == forge.api_host and forge.api_host != forge.web for forge in self._rules.forges):
            hint = "this is the API's address: use the file's `browser_download_url`"
        return Step("url", "fail", expected, hint)

    # ------------------------------------------------------------- other ways

    async def _unmatched(self, target: Target, ref: AssetRef) -> AsyncIterator[Step]:
        """Without a rule the proxy passes the request unchanged, which is enough for a public asset."""
        miss = f"no rule matches: {nearest_miss(self._rules, target.host, target.path)}"
        hint = f"add a rule to {self._rules.source}, or widen that one; `gatepass check` tells what they do"
        forge = next((forge for forge in self._rules.forges if forge.web == target.host), None)
        if forge is None:
            yield Step("rule", "fail", miss, f"{hint}; a forge besides github.com stands under `forges:`")
            return
        try:
            signed = await _within(self._github.public(forge, ref), forge.web)
        except (UnclearError, Unresolvable):
            signed = None
        if signed is None:
            yield Step("rule", "fail", miss, hint)
            return
        yield Step("rule", "warn", f"{miss}; it passes unchanged")
        yield Step("public", "ok", "anybody may have it")
        async for step in self._delivered(Source(target.url, forge, ref, signed)):
            yield step

    async def _injection(self, decision: Inject) -> AsyncIterator[Step]:
        try:
            secret = self._credentials.secret(decision.credential)
        except Unresolvable as lacking:
            yield _failed("credential", lacking.problem)
            yield client_view.problem(lacking.problem)
            return
        yield _credential(decision.credential.name, secret)
        names = ", ".join(name for name, _ in decision.action.headers)
        yield Step("headers", "ok", f"sets {names} on the request, which goes where it was going")
        yield Step("get", "skip", "not tried from here", "`gatepass explain --proxy PROXY URL` asks through a proxy")

    # --------------------------------------------------------------- releases

    async def _release(self, target: Target, decision: Resolve) -> AsyncIterator[Step]:
        forge, ref = decision.forge, decision.ref
        if decision.anonymous_first:
            try:
                signed = await _within(self._github.public(forge, ref), forge.web)
            except (UnclearError, Unresolvable):
                yield Step("public", "warn", f"{forge.web} did not say whether anybody may have it")
                signed = None
            else:
                found = "needs a credential: nobody may have it without" if signed is None else "anybody may have it"
                yield Step("public", "ok", found)
            if signed is not None:
                yield Step("credential", "skip", f"`{decision.credential.name}` is not needed for a public asset")
                async for step in self._delivered(Source(target.url, forge, ref, signed)):
                    yield step
                return
        try:
            secret = self._credentials.secret(decision.credential)
        except Unresolvable as lacking:
            if await self._is_served(target):
                found = f"`{decision.credential.name}` has no value in this shell; the proxy has its own"
                yield Step("credential", "skip", found)
                return
            yield _failed("credential", lacking.problem)
            yield client_view.problem(lacking.problem)
            return
        yield _credential(decision.credential.name, secret)
        async for step in self._through_api(decision, secret):
            yield step

    async def _is_served(self, target: Target) -> bool:
        """Whether the proxy of this shell serves it, with whatever credential it has."""
        steps = [step async for step in self.shell(target)]
        return any(s.name == "through" and s.state == "ok" for s in steps) and all(s.state != "fail" for s in steps)

    async def _through_api(self, decision: Resolve, secret: Secret) -> AsyncIterator[Step]:
        for look in (self._account, self._repository, self._contents):
            steps, problem = await look(decision, secret)
            for step in steps:
                yield step
            if problem is not None:
                yield client_view.problem(problem)
                return
        try:
            source = await _within(self._resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            yield _failed("asset", unresolvable.problem)
            yield client_view.problem(unresolvable.problem)
            return
        if source is None:
            yield Step("asset", "warn", "the web host did not say whether it is public: the request passes unchanged")
            return
        yield await self._described(source)
        async for step in self._delivered(source):
            yield step

    async def _account(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        forge, kind = decision.forge, account.kind(secret)
        try:
            reply = await self._ask(forge, f"{forge.api}/user", secret)
            if reply.status == 200:
                return [Step("account", "ok", f"{decode(reply, _User, forge).login}, says {forge.api_host}")], None
        except Unresolvable as unresolvable:
            return [_failed("account", unresolvable.problem)], unresolvable.problem
        if reply.status == 404 or (reply.status == 403 and b"not accessible" in reply.content):
            if reply.status == 403 or not account.has_account(kind):
                return [Step("account", "skip", f"a {kind} belongs to no account that may be asked for")], None
            problem = problems.malformed(forge.api_host, "no `/user` there")
        else:
            problem = describe_refusal(forge, secret.source, reply.status, reply.headers, reply.content).problem
        return [_failed("budget" if problem.status == 429 else "account", problem)], problem

    async def _repository(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        forge, name, kind = decision.forge, str(decision.ref.repository), account.kind(secret)
        try:
            reply = await self._ask(forge, f"{forge.api}/repos/{name}", secret)
            seen = decode(reply, _Repository, forge) if reply.status == 200 else None
        except Unresolvable as unresolvable:
            return [_failed("repository", unresolvable.problem)], unresolvable.problem
        now = datetime.fromtimestamp(self._clock(), UTC)
        steps = [
            account.rights(reply.headers, kind, private=seen.private if seen else None),
            account.expiry(reply.headers, now),
            account.sso(reply.headers),
            account.budget(reply.headers, now),
        ]
        if seen is not None:
            return [*steps, _seen(seen, name)], None
        if reply.status == 404:
            finding = f"{name} does not exist, or this {kind} from `{secret.source}` may not see it"
            hint = f"check owner and repository; if they are right, {account.needed(kind, name)}"
            problem = await self._problem(decision) or problems.release_not_found(decision.ref, secret.source)
            return [*steps, Step("repository", "fail", finding, hint)], problem
        problem = describe_refusal(forge, secret.source, reply.status, reply.headers, reply.content).problem
        if all(step.state != "fail" for step in steps):
            steps.append(_failed("budget" if problem.status == 429 else "repository", problem))
        return steps, problem

    async def _contents(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        """The release: asked for by itself, so that a missing one is told from a missing asset."""
        forge, ref = decision.forge, decision.ref
        try:
            found = await _within(self._github.release(forge, ref, secret), forge.api_host)
        except Unresolvable as unresolvable:
            # what the resolver says may know more
            problem = await self._problem(decision) or unresolvable.problem
            return [_failed("budget" if problem.status == 429 else "release", problem)], problem
        assert found is not None  # it was asked for without a validator
        return [Step("release", "ok", f"`{found.release.tag_name}`, id {found.release.id}")], None

    async def _problem(self, decision: Resolve) -> Problem | None:
        """What the addon would answer; None when it would not refuse."""
        try:
            await _within(self._resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            return unresolvable.problem
        return None

    async def _described(self, source: Source) -> Step:
        asset, secret = source.asset, source.secret
        assert asset is not None
        assert secret is not None
        parts = [f"`{asset.name}`", f"id {asset.id}", f"{asset.size} bytes"]
        try:
            reply = await self._ask(source.forge, source.api_url, secret)
            known = decode(reply, _Asset, source.forge)
            parts += [known.digest or "no digest", account.age(known.updated_at, datetime.now(UTC))]
        except Unresolvable:
            parts.append("the API tells no more")  # it could be found, which is what counts
        return Step("asset", "ok", ", ".join(filter(None, parts)))

    async def _ask(self, forge: Forge, url: str, secret: Secret) -> Reply:
        """An answer of the API, asked for once by all URLs with the same secret."""
        key = (url, account.fingerprint(secret))
        if key not in self._replies:
            self._replies[key] = asyncio.ensure_future(_within(self._github.ask(forge, url, secret), forge.api_host))
        return await self._replies[key]

    # --------------------------------------------------------------- delivery

    async def _delivered(self, source: Source) -> AsyncIterator[Step]:
        """What clients get, tried for real: the addon's own plan for each kind of request, with a few bytes."""
        yield self._signed(source)
        for name, attempt in (("head", self._head), ("range", self._part), ("get", self._whole)):
            try:
                step = await _within(attempt(source), source.host)
            except Unresolvable as unresolvable:
                step = _failed(name, unresolvable.problem)
            yield step
            if step.state == "fail":
                return

    def _signed(self, source: Source) -> Step:
        signed = source.signed
        if signed is None:
            return Step("signed-url", "ok", f"none: {source.host} sends the bytes itself")
        if signed.expires is None:
            return Step("signed-url", "warn", f"on {signed.host}, its end cannot be read: it is used once")
        left = int(signed.expires - self._clock())
        if left <= 0:
            hint = "set the clock of this machine"
            return Step("signed-url", "warn", f"on {signed.host}, over since {-left} s by the clock here", hint)
        return Step("signed-url", "ok", f"on {signed.host}, for {left} s")

    async def _head(self, source: Source) -> Step:
        plan = await delivery.plan(self._resolver, source, "HEAD", httpx2.Headers())
        assert isinstance(plan, Answer)  # a HEAD always is answered here
        return client_view.head(plan.response.status_code, plan.response.reason, plan.response.headers)

    async def _part(self, source: Source) -> Step:
        plan = await delivery.plan(self._resolver, source, "GET", httpx2.Headers(FIRST_BYTES))
        if not isinstance(plan, Answer):
            return client_view.whole_for_part()
        given = plan.response
        return client_view.part(given.status_code, given.reason, given.headers, given.content or b"")

    async def _whole(self, source: Source) -> Step:
        """The beginning of a GET: a body that is answered whole is left where it is."""
        plan = await delivery.plan(self._resolver, source, "GET", httpx2.Headers())
        if isinstance(plan, Answer):
            signed = SignedUrl.parse(plan.response.headers.get("location", ""))
            assert signed is not None  # a whole is answered by nothing but a redirect
            begun = await self._github.excerpt(signed, {}, 0)
        else:
            signed = None
            assert source.secret is not None
            begun = await self._github.api_excerpt(source.forge, source.api_url, source.secret, {}, 0)
        if begun.status != 200:
            return _failed("get", problems.signed_url_refused(source.host, begun.status))
        return client_view.whole(200, signed.host if signed else None)


def _credential(name: str, secret: Secret) -> Step:
    kind, print_ = account.kind(secret), account.fingerprint(secret)
    return Step("credential", "ok", f"`{name}` from {secret.source}: {kind}, fingerprint {print_}")


def _seen(repository: _Repository, asked: str) -> Step:
    visibility = repository.visibility or ("private" if repository.private else "public")
    found = f"{repository.full_name}: {visibility}{', archived' if repository.archived else ''}"
    if repository.full_name.casefold() != asked.casefold():
        return Step("repository", "warn", f"{asked} was renamed to {found}", "use the new name in the URL")
    return Step("repository", "ok", found)


def _failed(name: str, problem: Problem) -> Step:
    return Step(name, "fail", f"{problem.title}: {problem.detail}", problem.hint)


async def _within[T](call: Awaitable[T], host: Host) -> T:
    """The result of a call, in time.

    Raises:
        Unresolvable: it took too long, or failed by itself.
    """
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await call
    except TimeoutError:
        raise Unresolvable(problems.timed_out(host, STEP_SECONDS)) from None
