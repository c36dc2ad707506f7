"""What a forge's API says when it is asked with a credential: who that is, and which repository and asset it sees.

Also where a credential's secret comes from. What an answer means for the credential is in `account`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from gatepass.explain import account, explanation
from gatepass.explain.attempts import within
from gatepass.explain.explanation import BlockedError, Step
from gatepass.github import refusals
from gatepass.github.client import GitHub, decode
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Unresolvable
from gatepass.sources import GitHubApp, expanded, is_local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatepass.assets.source import Source
    from gatepass.credentials.store import Credentials
    from gatepass.forge.hosts import Forge
    from gatepass.forge.sources import DownloadRef, GitRef
    from gatepass.github.replies import Reply
    from gatepass.rules.model import Credential
    from gatepass.secret import Audience, Secret


class _User(msgspec.Struct, frozen=True):
    login: str


class _App(msgspec.Struct, frozen=True):
    name: str = ""
    owner: _User | None = None
    permissions: dict[str, str] = {}
    installations_count: int | None = None


class _Repositories(msgspec.Struct, frozen=True):
    total_count: int


class _Repository(msgspec.Struct, frozen=True):
    full_name: str
    private: bool
    visibility: str = ""
    archived: bool = False


class _Asset(msgspec.Struct, frozen=True):
    digest: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Introspection:
    """Asks a forge; what is the same for many is asked for once."""

    github: GitHub
    replies: dict[tuple[str, str], asyncio.Task[Reply]] = field(default_factory=dict)

    async def ask(self, forge: Forge, url: str, secret: Secret) -> Reply:
        """An answer of the API, asked for once by all with the same secret."""
        key = (url, account.fingerprint(secret))
        if key not in self.replies:
            self.replies[key] = asyncio.ensure_future(within(self.github.ask(forge, url, secret), forge.api_host))
        return await self.replies[key]

    def _standing(self, reply: Reply, secret: Secret, *, private: bool | None) -> list[Step]:
        """What the headers of any answer tell of the credential; `private` is of the repository that it is about."""
        now = datetime.now(UTC)
        return [
            account.rights(reply.headers, secret.kind, private=private),
            account.expiry(reply.headers, now),
            account.sso(reply.headers),
            account.budget(reply.headers, now),
        ]

    async def of_itself(self, forge: Forge, secret: Secret) -> list[Step]:
        """All that is told where no repository is asked for: of single sign-on GitHub tells only then."""
        try:
            step, reply = await self.account(forge, secret)
        except BlockedError as blocked:
            return [blocked.steps[0]]
        untold = Step("sso", "skip", "told when a repository is asked for: `gatepass explain URL`")
        steps = self._standing(reply, secret, private=None)
        return [step, *(untold if each.name == "sso" and each.state == "ok" else each for each in steps)]

    async def account(self, forge: Forge, secret: Secret) -> tuple[Step, Reply]:
        """Who it is, and the answer that told.

        Raises:
            BlockedError: the forge does not say.
        """
        with explanation.met_at("account"):
            reply = await self.ask(forge, f"{forge.api}/user", secret)
            if reply.status == 200:
                return Step("account", "ok", f"{decode(reply, _User, forge).login}, says {forge.api_host}"), reply
            if reply.status == 403 and b"not accessible" in reply.content:
                return await self._installation(forge, secret, reply)
        if reply.status == 404:
            if secret.kind == account.WITHOUT_ACCOUNT:
                return Step("account", "skip", f"a {secret.kind} belongs to no account that may be asked for"), reply
            problem = catalogue.MALFORMED_ANSWER(host=forge.api_host, what="no `/user` there")
        else:
            problem = refusals.refusal(forge, secret, reply.status, reply.headers, reply.content)
        raise explanation.blocked_by_api("account", problem)

    async def _installation(self, forge: Forge, secret: Secret, told: Reply) -> tuple[Step, Reply]:
        """An installation's token belongs to no account, and may be asked which repositories it is for (REST docs)."""
        reply = await self.ask(forge, f"{forge.api}/installation/repositories?per_page=1", secret)
        if reply.status != 200:
            return Step("account", "skip", f"a {secret.kind} belongs to no account that may be asked for"), told
        count = decode(reply, _Repositories, forge).total_count
        repositories = "1 repository" if count == 1 else f"{count} repositories"
        return Step("account", "ok", f"an installation's, for {repositories}, says {forge.api_host}"), reply

    async def app(self, forge: Forge, app: GitHubApp, jwt: Secret) -> Step:
        """Which App it is that the key is of."""
        try:
            reply = await self.ask(forge, f"{forge.api}/app", jwt)
            if reply.status != 200:
                problem = catalogue.APP_NOT_ACCEPTED(app=app, forge=forge, message=refusals.message(reply.content))
                return explanation.failed("app", problem)
            seen = decode(reply, _App, forge)
        except Unresolvable as unresolvable:
            return explanation.failed("app", unresolvable.problem)
        owner = f" of {seen.owner.login}" if seen.owner else ""
        rights = ", ".join(f"{name}: {level}" for name, level in sorted(seen.permissions.items())) or "none"
        installed = "" if seen.installations_count is None else f"; installations: {seen.installations_count}"
        return Step("app", "ok", f"`{seen.name}`{owner}; permissions: {rights}{installed}")

    async def repository(self, forge: Forge, ref: DownloadRef | GitRef, secret: Secret) -> AsyncIterator[Step]:
        """Whether the credential sees it, and what else the answer tells of the credential.

        Raises:
            BlockedError: it does not.
        """
        name = str(ref.repository)
        with explanation.met_at("repository"):
            reply = await self.ask(forge, f"{forge.api}/repos/{name}", secret)
            seen = decode(reply, _Repository, forge) if reply.status == 200 else None
        steps = self._standing(reply, secret, private=seen.private if seen else None)
        for step in steps:
            yield step
        if seen is not None:
            yield _seen(seen, name)
            return
        if reply.status == 404:
            raise explanation.blocked("repository", choice.repository_not_visible(forge, ref, secret))
        problem = refusals.refusal(forge, secret, reply.status, reply.headers, reply.content)
        if any(step.state == "fail" for step in steps):
            raise BlockedError(explanation.problem(problem))
        raise explanation.blocked_by_api("repository", problem)

    async def asset(self, source: Source) -> Step:
        """What the API tells of an asset that it was asked for."""
        asset, secret = source.asset, source.secret
        assert asset is not None
        assert secret is not None
        parts = [f"`{asset.name}`", f"id {asset.id}", f"{asset.size} bytes"]
        try:
            reply = await self.ask(source.forge, source.api_url, secret)
            known = decode(reply, _Asset, source.forge)
            parts += [known.digest or "no digest", account.age(known.updated_at, datetime.now(UTC))]
        except Unresolvable:
            parts.append("the API tells no more")  # it could be found, which is what counts
        return Step("asset", "ok", ", ".join(filter(None, parts)))


def _seen(repository: _Repository, asked: str) -> Step:
    visibility = repository.visibility or ("private" if repository.private else "public")
    found = f"{repository.full_name}: {visibility}{', archived' if repository.archived else ''}"
    if repository.full_name.casefold() != asked.casefold():
        return Step("repository", "warn", f"{asked} was renamed to {found}", "use the new name in the URL")
    return Step("repository", "ok", found)


async def of_credential(
    introspection: Introspection, credentials: Credentials, credential: Credential, audience: Audience, *, offline: bool
) -> AsyncIterator[Step]:
    """Where the secret of a credential comes from and, unless offline, what its forge says of it."""
    forge = audience.forge
    sources = expanded(credential.sources, forge)
    if offline:
        asked = tuple(takewhile(is_local, sources))
        try:
            secret = await credentials.secret(replace(credential, sources=asked), audience)
            yield account.credential(credential.name, secret)
        except Unresolvable as lacking:
            if lacking.problem.kind != catalogue.NO_CREDENTIAL.name or len(asked) == len(sources):
                yield explanation.failed("credential", lacking.problem)
                return
            following = sources[len(asked)]
            if isinstance(following, GitHubApp):
                try:
                    await credentials.app_jwt(following)
                except Unresolvable as unusable:
                    yield explanation.failed("credential", unusable.problem)
                    return
            yield Step("credential", "skip", f"`{following}` may need the network, and was not asked")
        return
    apps = {str(source): source for source in sources if isinstance(source, GitHubApp)}
    try:
        secret = await credentials.secret(credential, audience)
    except Unresolvable as lacking:
        if forge is not None and lacking.problem.kind == catalogue.APP_WITHOUT_INSTALLATION.name:
            # what is asked for tells it, and here nothing is
            for name, app in apps.items():
                found = f"`{credential.name}` from {name}: its installation is found by the repository"
                yield Step("credential", "ok", found)
                yield await introspection.app(forge, app, await credentials.app_jwt(app))
        else:
            yield explanation.failed("credential", lacking.problem)
        return
    yield account.credential(credential.name, secret)
    if forge is None:
        yield Step("account", "skip", f"{audience.host} is no forge, and cannot be asked who that is")
        return
    if secret.source in apps:
        used = apps[secret.source]
        yield await introspection.app(forge, used, await credentials.app_jwt(used))
    for step in await introspection.of_itself(forge, secret):
        yield step
