"""The way of one URL, walked as the addon would walk it, each finding told as it is made.

What is decided, asked and answered is the addon's own: `decide`, `Resolver`, `delivery.plan`. Knows neither flows nor
how findings are shown.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gatepass.assets.resolver import Resolver
from gatepass.assets.source import Source
from gatepass.credentials.store import Credentials
from gatepass.decision import Inject, Pass, Refuse, Request, Resolve, decide
from gatepass.explain import account, explanation, probe, shell
from gatepass.explain.attempts import Attempts, within
from gatepass.explain.explanation import BlockedError, Step
from gatepass.explain.introspection import Introspection
from gatepass.explain.mismatch import nearest_miss
from gatepass.forge import urls
from gatepass.forge.sources import Content, GitRef, asked_by_git, parse_git
from gatepass.forge.urls import AssetRef
from gatepass.github.client import GitHub, UnclearError
from gatepass.placeholder import Placeholders
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.rules.model import ServeGit, source_at
from gatepass.secret import Audience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from gatepass.decision import Decision
    from gatepass.explain.indexed import Indexed
    from gatepass.explain.report import Recorder
    from gatepass.explain.target import Target
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Rule, Rules
    from gatepass.secret import Secret

_FORM: Final = "/OWNER/REPO/releases/download/TAG/FILE"
# What git-lfs tells of its body: where nobody may push, one without a length is refused unread.
_LENGTH: Final = ((b"Content-Length", b"2"),)
_METADATA: Final = ".whl.metadata"  # PEP 658
_OF_API: Final = (catalogue.API_NOT_ALLOWED.name, catalogue.API_OUTSIDE_RULES.name)


def _of_git(git: GitRef) -> str:
    return f"LFS of {git.repository}" if git.is_lfs else f"git of {git.repository}"


def _described(ref: DownloadRef) -> str:
    if isinstance(ref, AssetRef):
        release = "the latest release" if ref.tag is None else f"release `{ref.tag}`"
        return f"asset `{ref.name}` of {release} of {ref.repository}"
    if ref.kind is Content.FILE:
        return f"raw file `{ref.named}` of {ref.repository}"
    return f"archive of `{ref.places[0].ref or 'HEAD'}` of {ref.repository}"


class Inquiry:
    """Looks into URLs; what one taught is not asked for again by the next.

    `environ` is the shell's, for credentials, trust and proxy; `recorder` notes every HTTP exchange, and every secret.
    `way_out` is how its calls leave here.
    """

    def __init__(self, rules: Rules, environ: Mapping[str, str], recorder: Recorder, way_out: shell.WayOut) -> None:
        self._rules = rules
        self._environ = environ
        self._hooks = recorder.hooks
        self._way_out = way_out
        trust = shell.upstream_trust(environ)
        self._github = GitHub(trust, way_out.proxy, direct=way_out.direct, hooks=recorder.hooks)
        self._credentials = Credentials(environ, self._github, seen=recorder.learn)
        self._resolver = Resolver(self._credentials, self._github, rules)
        self._attempts = Attempts(self._resolver, self._github)
        self._introspection = Introspection(self._github)

    @cached_property
    def _indexed(self) -> Indexed:
        from gatepass.explain.indexed import Indexed  # when it is wanted: its libraries are many
        from gatepass.index.answers import PackageIndex

        return Indexed(
            self._rules,
            PackageIndex(self._credentials, self._github, self._rules),
            self._credentials,
            self._introspection,
            self._resolver,
            self._attempts,
            self._is_served,
        )

    async def aclose(self) -> None:
        if "_indexed" in self.__dict__:
            await self._indexed.index.close()
        self._credentials.close()
        await self._github.close()

    async def look(self, target: Target) -> AsyncIterator[Step]:
        """The whole way: rules, URL, credential, forge, asset, and the shell."""
        count = len(self._rules.rules)
        yield Step("rules", "ok", f"{self._rules.source}: {count} rule{'' if count == 1 else 's'}")
        for step in self._way_out.steps:
            yield step
        async for step in self.asset(target):
            yield step
        async for step in self._shell(target):
            yield step

    def _shell(self, target: Target) -> AsyncIterator[Step]:
        if target.served is not None:
            return probe.server(target.served, shell.client_trust(self._environ), self._hooks)
        return shell.look(self._environ, target.host, target.url, self._hooks)

    async def asset(self, target: Target) -> AsyncIterator[Step]:
        """The way of the URL alone."""
        if target.is_index:
            async for step in self._indexed.steps(target):
                yield step
            return
        host, path = target.host, target.path
        ref, rule = self._ref(host, path), self._rules.match(host, path)
        decision, whose = self._decided(Request("https", host, "GET", path))
        if (target.is_git or (rule is None and ref is None)) and (asked := asked_by_git(path)) is not None:
            # the address of a repository, of which git makes others
            request = Request("https", host, *asked, headers=_LENGTH)
            ref, rule = None, self._rules.match(host, request.path, request.method)
            decision, whose = self._decided(request)
            git = parse_git(request.method, request.path)
            if git is not None and isinstance(decision, Refuse):
                yield Step("url", "ok", _of_git(git))
                yield explanation.failed("git", decision.problem)
                return
            if git is not None and target.is_git and isinstance(decision, Pass):
                yield Step("url", "ok", _of_git(git))
                async for step in self._git_unmatched(target, request, git):
                    yield step
                return
        if isinstance(ref, AssetRef) and not ref.name and isinstance(decision, Resolve):
            page = "the list of assets of release `{ref.tag}`" if ref.is_list else "the page of the latest release"
            yield Step("url", "ok", f"{page.format(ref=ref)} of {ref.repository}")
            yield await self._page(decision)
            return
        if isinstance(decision, Inject) and decision.git is not None:
            yield Step("url", "ok", _of_git(decision.git))
        elif ref is not None and (not isinstance(ref, AssetRef) or ref.name):
            yield Step("url", "ok", _described(ref))
        elif isinstance(decision, Refuse) and decision.problem.kind in _OF_API:
            yield explanation.failed("rule", decision.problem)
            return
        elif not isinstance(decision, Inject):
            yield self._no_download(target)
            return
        if rule is not None:
            is_named = rule.name != str(rule.match)
            yield Step("rule", "ok", f"`{rule.name}` matches{f': {rule.match}' if is_named else ''}")
        if whose is not None:
            yield whose
        match decision:
            case Resolve(ref=AssetRef()):
                steps = self._release(target, decision)
            case Resolve():
                steps = self._source(target, decision)
            case Inject(git=GitRef()):
                steps = self._git(decision)
            case Inject():
                steps = self._injection(decision)
            case _:
                assert ref is not None
                steps = self._unmatched(target, ref)
        try:
            async for step in steps:
                yield step
        except BlockedError as blocked:
            for step in blocked.steps:
                yield step

    def _decided(self, request: Request) -> tuple[Decision, Step | None]:
        """What becomes of a request: where a rule is for some clients, of one of theirs, which the step tells."""
        decision = decide(request, self._rules)
        if isinstance(decision, Pass) and (rule := self._of_placeholder(request)) is not None:
            placeholders = Placeholders(b"", rule.variables)
            value = placeholders.values[rule.variables[0]].encode()
            sent = [(name.encode(), value) for name in rule.own_headers]
            decision = decide(replace(request, headers=(*request.headers, *sent)), self._rules, placeholders)
            told = (
                f"the rule is for who sends the placeholder of `{rule.variables[0]}`: this is the way of one who does"
            )
            return decision, Step("placeholder", "ok", told)
        refused = decision.would_refuse if isinstance(decision, Pass) else decision
        if not isinstance(refused, Refuse) or refused.problem.kind != catalogue.CLIENT_NOT_ALLOWED.name:
            return decision, None
        names = next(rule.clients for rule in self._rules.rules if rule.name == refused.rule)
        step = Step("client", "warn", f"the rule is for {' and '.join(names)} alone: this is the way of {names[0]}")
        return decide(replace(request, client=names[0]), self._rules), step

    def _of_placeholder(self, request: Request) -> Rule | None:
        """The rule that is for who sends its placeholder."""
        matching = self._rules.matching(request.host, request.path, request.method)
        return next((rule for rule in matching if rule.variables), None)

    def _ref(self, host: Host, path: str) -> DownloadRef | None:
        """What the URL asks for, at a forge or at any host that is none."""
        forge = next((forge for forge in self._rules.forges if host in (forge.web, forge.raw)), None)
        return urls.parse(path) or (None if forge is None else source_at(forge, host, path))

    async def _page(self, decision: Resolve) -> Step:
        """Where the page of the latest release leads, or what the list of a release's assets holds."""
        try:
            source = await within(self._resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            return explanation.failed("release", unresolvable.problem)
        if source is None:
            return Step("release", "warn", "it is public, or the web host did not say: the request passes unchanged")
        if source.listed is not None:
            hashed = sum(1 for asset in source.listed if asset.digest)
            return Step("release", "ok", f"{len(source.listed)} assets, {hashed} of them with a hash")
        return Step("release", "ok", f"it leads to {source.page}")

    def _no_download(self, target: Target) -> Step:
        forge = next((forge for forge in self._rules.forges if forge.web == target.host), self._rules.forges[0])
        expected = f"expected https://{forge.web}{_FORM}, got {target.url}"
        hint = "name the URL that a browser downloads the file from"
        if "/releases/tag/" in target.path:
            hint = "this is the page of a release: copy the link of one of its files"
        elif any(target.host == forge.api_host and forge.api_host != forge.web for forge in self._rules.forges):
            hint = "this is the API's address: use the file's `browser_download_url`"
        return Step("url", "fail", expected, hint)

    # ------------------------------------------------------------- other ways

    async def _unmatched(self, target: Target, ref: DownloadRef) -> AsyncIterator[Step]:
        """Without a rule the proxy passes the request unchanged, which is enough for what is public."""
        miss = f"no rule matches: {nearest_miss(self._rules, target.host, target.path)}"
        hint = f"add a rule to {self._rules.source}, or widen that one; `gatepass check` tells what they do"
        forge = next((forge for forge in self._rules.forges if target.host in (forge.web, forge.raw)), None)
        if forge is None:
            yield Step("rule", "fail", miss, f"{hint}; a forge besides github.com stands under `forges:`")
            return
        if not isinstance(ref, AssetRef):
            if await self._is_public(target):
                yield Step("rule", "warn", f"{miss}; it passes unchanged")
                yield Step("public", "ok", "anybody may have it")
            else:
                yield Step("rule", "fail", miss, hint)
            return
        try:
            signed = await within(self._github.public(forge, ref), forge.web)
        except (UnclearError, Unresolvable):
            signed = None
        if signed is None:
            yield Step("rule", "fail", miss, hint)
            return
        yield Step("rule", "warn", f"{miss}; it passes unchanged")
        yield Step("public", "ok", "anybody may have it")
        async for step in self._attempts.all(Source(target.url, forge, ref, signed)):
            # what passes unchanged is answered by the forge, which answers no part in place
            yield probe.part_elsewhere(302) if (step.name, step.state) == ("range", "ok") else step

    async def _injection(self, decision: Inject) -> AsyncIterator[Step]:
        if decision.credential is None:
            yield Step("credential", "skip", "no header needs one")
        else:
            audience = Audience(decision.host, decision.forge, decision.repository, decision.permissions)
            with explanation.met_at("credential"):
                secret = await self._credentials.secret(decision.credential, audience)
            yield account.credential(decision.credential.name, secret)
        names = ", ".join(name for name, _ in decision.headers) or "nothing but for a placeholder"
        yield Step("headers", "ok", f"sets {names} on the request, which goes where it was going")
        yield Step("get", "skip", "not tried from here", "`gatepass explain --proxy PROXY URL` asks through a proxy")

    async def _is_public(self, target: Target) -> bool | None:
        """Whether its host gives it to anybody; None when it does not say."""
        try:
            return await within(self._github.is_public(target.host, target.path), target.host)
        except (UnclearError, Unresolvable):
            return None

    # ---------------------------------------------------------------- sources

    async def _source(self, target: Target, decision: Resolve) -> AsyncIterator[Step]:
        """An archive, or a raw file."""
        forge, ref = decision.forge, decision.ref
        if decision.anonymous_first:
            is_public = await self._is_public(target)
            if is_public:
                yield Step("public", "ok", "anybody may have it: the request passes unchanged")
                yield Step("credential", "skip", "none is needed for what is public")
                return
            told = "needs a credential: nobody may have it without"
            unclear = Step("public", "warn", f"{target.host} did not say whether anybody may have it")
            yield unclear if is_public is None else Step("public", "ok", told)
        credential = decision.credentials[0]
        if len(decision.credentials) > 1:
            credential, step = await self._choice(decision)
            yield step
        decision = replace(decision, credentials=(credential,))
        with explanation.met_at("credential"):
            secret = await self._credentials.secret(credential, Audience(forge.api_host, forge, ref.repository))
        yield account.credential(credential.name, secret)
        step, _ = await self._introspection.account(forge, secret)
        yield step
        async for step in self._introspection.repository(forge, ref, secret):
            yield step
        try:
            source = await within(self._resolver.resolve(replace(decision, anonymous_first=False)), forge.api_host)
        except Unresolvable as unresolvable:
            raise explanation.blocked_by_api("source", unresolvable.problem) from None
        assert source is not None  # nobody was asked but the API
        yield Step("source", "ok", f"{forge.api_host} has it")
        async for step in self._attempts.all(source):
            yield step

    async def _git(self, decision: Inject) -> AsyncIterator[Step]:
        """What git may do with a repository."""
        forge, git = decision.forge, decision.git
        assert forge is not None
        assert git is not None
        if decision.anonymous_first:
            if await self._resolver.is_public(forge, git.repository):
                yield Step("public", "ok", "anybody may fetch it: git's requests pass unchanged")
                yield Step("credential", "skip", "none is needed for what is public")
                return
            yield Step("public", "ok", "needs a credential: nobody may fetch it without")
        assert decision.credential is not None  # git's rules have one
        with explanation.met_at("credential"):
            secret = await self._credentials.secret(decision.credential, Audience(decision.host, forge, git.repository))
        yield account.credential(decision.credential.name, secret)
        step, _ = await self._introspection.account(forge, secret)
        yield step
        async for step in self._introspection.repository(forge, git, secret):
            yield step
        action = decision.rule.action
        may_push = isinstance(action, ServeGit) and action.may_push
        if git.is_lfs:
            uploads = "may upload" if may_push else "may upload nothing: that is refused with the reason"
            yield Step("git", "ok", f"git-lfs may download: {forge.web} is asked with the credential; and {uploads}")
            return
        pushes = "may push" if may_push else "may push nothing: `git push` is refused with the reason"
        yield Step("git", "ok", f"git may fetch from {forge.web} with Basic of the credential, and {pushes}")

    async def _git_unmatched(self, target: Target, request: Request, git: GitRef) -> AsyncIterator[Step]:
        """Without a rule git's requests pass unchanged, which is enough for what is public."""
        miss = f"no rule lets git have it: {nearest_miss(self._rules, target.host, request.path)}"
        forge = next((forge for forge in self._rules.forges if target.host == forge.web), None)
        if forge is not None and await self._is_public_git(forge, git):
            yield Step("rule", "warn", f"{miss}; it passes unchanged")
            yield Step("public", "ok", "anybody may fetch it: git's requests pass unchanged")
            return
        hint = (
            f"add a rule with `resolve: github-git` to {self._rules.source}: the built-in rules have one as a comment"
        )
        yield Step("rule", "fail", miss, hint)

    async def _is_public_git(self, forge: Forge, git: GitRef) -> bool:
        try:
            return await within(self._resolver.is_public(forge, git.repository), forge.web)
        except Unresolvable:
            return False

    # --------------------------------------------------------------- releases

    async def _release(self, target: Target, decision: Resolve) -> AsyncIterator[Step]:
        forge, ref = decision.forge, decision.ref
        assert isinstance(ref, AssetRef)
        if decision.anonymous_first:
            try:
                signed = await within(self._github.public(forge, ref), forge.web)
            except (UnclearError, Unresolvable):
                yield Step("public", "warn", f"{forge.web} did not say whether anybody may have it")
            else:
                if signed is not None:
                    yield Step("public", "ok", "anybody may have it")
                    yield Step("credential", "skip", "none is needed for a public asset")
                    async for step in self._attempts.all(Source(target.url, forge, ref, signed)):
                        yield step
                    return
                yield Step("public", "ok", "needs a credential: nobody may have it without")
        credential = decision.credentials[0]
        if len(decision.credentials) > 1:
            credential, step = await self._choice(decision)
            yield step
        decision = replace(decision, credentials=(credential,))
        try:
            secret = await self._credentials.secret(credential, Audience(forge.api_host, forge, ref.repository))
        except Unresolvable as lacking:
            if await self._is_served(target):
                found = f"`{credential.name}` has no value in this shell; the proxy has its own"
                yield Step("credential", "skip", found)
                return
            raise explanation.blocked("credential", lacking.problem) from None
        yield account.credential(credential.name, secret)
        async for step in self._private(target, decision, secret):
            yield step

    async def _private(self, target: Target, decision: Resolve, secret: Secret) -> AsyncIterator[Step]:
        """The way through the API: account, repository, release, asset."""
        forge, ref = decision.forge, decision.ref
        assert isinstance(ref, AssetRef)
        step, _ = await self._introspection.account(forge, secret)
        yield step
        async for step in self._introspection.repository(forge, ref, secret):
            yield step
        if ref.name.endswith(_METADATA) and (told := await self._metadata(decision)):
            yield told
            yield Step("get", "ok", "200")
            return
        try:
            # asked for by itself, so that a missing one is told from a missing asset
            found = await within(self._github.release(forge, ref, secret), forge.api_host)
        except Unresolvable as unresolvable:
            raise explanation.blocked_by_api("release", await self._problem(decision) or unresolvable.problem) from None
        assert found is not None  # it was asked for without a validator
        yield Step("release", "ok", f"`{found.release.tag_name}`, id {found.release.id}")
        with explanation.met_at("asset"):
            source = await within(self._resolver.resolve(decision), forge.api_host)
        if source is None:
            yield Step("asset", "warn", "the web host did not say whether it is public: the request passes unchanged")
            return
        yield await self._introspection.asset(source)
        if target.hashes:
            assert source.asset is not None, "it was asked for by the API"
            yield explanation.locked(ref.name, target.hashes, explanation.hexadecimal(source.asset.digest))
        async for step in self._attempts.all(source):
            yield step

    async def _metadata(self, decision: Resolve) -> Step | None:
        """What the index tells of a wheel by `FILE.whl.metadata`; None where that is an asset like any other."""
        with explanation.met_at("metadata"):
            answer = await within(self._indexed.index.metadata(decision, "GET", {}), decision.forge.api_host)
        if answer is None:
            return None
        return Step("metadata", "ok", f"the index reads it out of the wheel: {len(answer.content)} bytes")

    async def _problem(self, decision: Resolve) -> Problem | None:
        """What the addon would answer, which may know more than the API's own words; None if it would not refuse."""
        try:
            await within(self._resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            return unresolvable.problem
        return None

    async def _choice(self, decision: Resolve) -> tuple[Credential, Step]:
        """Which of several credentials the way is walked with: that which works, else that whose failure tells most."""
        by_name = {credential.name: credential for credential in decision.credentials}
        named = ", then ".join(f"`{name}`" for name in by_name)
        try:
            source = await within(self._resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            name = str(unresolvable.problem.members.get("credential"))
            step = Step("credentials", "warn", f"{named}: none may have it, as follows for `{name}`")
        else:
            name = source.credential if source else ""
            step = Step("credentials", "ok", f"{named}: `{name}` may see the repository")
        return by_name.get(name, decision.credentials[0]), step

    async def _is_served(self, target: Target) -> bool:
        """Whether the proxy of this shell serves it, with whatever credential it has."""
        steps = [step async for step in self._shell(target)]
        return any(s.name == "through" and s.state == "ok" for s in steps) and all(s.state != "fail" for s in steps)
