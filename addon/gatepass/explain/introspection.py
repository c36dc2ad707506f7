"""What a forge says of a credential when it is asked who that is; and where a credential's secret comes from.

Asks with the credential, for nothing but itself; what an answer means is in `account`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from gatepass.explain import account, client_view
from gatepass.explain.attempts import within
from gatepass.explain.explanation import Step
from gatepass.github import refusals
from gatepass.github.client import GitHub, decode
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.sources import GitHubApp, expanded, is_local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gatepass.credentials.store import Credentials
    from gatepass.forge.hosts import Forge
    from gatepass.github.client import Reply
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


@dataclass(frozen=True, slots=True)
class Introspection:
    """Asks a forge; what is the same for many is asked for once. `clock` gives epoch seconds."""

    github: GitHub
    clock: Callable[[], float]
    replies: dict[tuple[str, str], asyncio.Task[Reply]] = field(default_factory=dict)

    async def ask(self, forge: Forge, url: str, secret: Secret) -> Reply:
        """An answer of the API, asked for once by all with the same secret."""
        key = (url, account.fingerprint(secret))
        if key not in self.replies:
            self.replies[key] = asyncio.ensure_future(within(self.github.ask(forge, url, secret), forge.api_host))
        return await self.replies[key]

    def standing(self, reply: Reply, secret: Secret, *, private: bool | None) -> list[Step]:
        """What the headers of any answer tell of the credential; `private` is of the repository that it is about."""
        now = datetime.fromtimestamp(self.clock(), UTC)
        return [
            account.rights(reply.headers, secret.kind, private=private),
            account.expiry(reply.headers, now),
            account.sso(reply.headers),
            account.budget(reply.headers, now),
        ]

    def of_itself(self, reply: Reply, secret: Secret) -> list[Step]:
        """`standing`, where no repository was asked for: of single sign-on GitHub tells only then."""
        steps = self.standing(reply, secret, private=None)
        return [
            Step("sso", "skip", "told when a repository is asked for: `gatepass explain URL`")
            if step.name == "sso" and step.state == "ok"
            else step
            for step in steps
        ]

    async def account(self, forge: Forge, secret: Secret) -> tuple[Step, Reply | Problem]:
        """Who it is, and the answer that told; or why the forge does not say."""
        try:
            reply = await self.ask(forge, f"{forge.api}/user", secret)
            if reply.status == 200:
                return Step("account", "ok", f"{decode(reply, _User, forge).login}, says {forge.api_host}"), reply
            if reply.status == 403 and b"not accessible" in reply.content:
                return await self._installation(forge, secret, reply)
        except Unresolvable as unresolvable:
            return client_view.failed("account", unresolvable.problem), unresolvable.problem
        if reply.status == 404:
            if not account.has_account(secret.kind):
                return Step("account", "skip", f"a {secret.kind} belongs to no account that may be asked for"), reply
            problem = catalogue.MALFORMED_ANSWER(host=forge.api_host, what="no `/user` there")
        else:
            problem = refusals.refusal(forge, secret, reply.status, reply.headers, reply.content)
        return client_view.failed("budget" if problem.status == 429 else "account", problem), problem

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
                return client_view.failed("app", problem)
            seen = decode(reply, _App, forge)
        except Unresolvable as unresolvable:
            return client_view.failed("app", unresolvable.problem)
        owner = f" of {seen.owner.login}" if seen.owner else ""
        rights = ", ".join(f"{name}: {level}" for name, level in sorted(seen.permissions.items())) or "none"
        installed = "" if seen.installations_count is None else f"; installations: {seen.installations_count}"
        return Step("app", "ok", f"`{seen.name}`{owner}; permissions: {rights}{installed}")


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
                yield client_view.failed("credential", lacking.problem)
                return
            following = sources[len(asked)]
            if isinstance(following, GitHubApp):
                try:
                    await credentials.app_jwt(following)
                except Unresolvable as unusable:
                    yield client_view.failed("credential", unusable.problem)
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
            yield client_view.failed("credential", lacking.problem)
        return
    yield account.credential(credential.name, secret)
    if forge is None:
        yield Step("account", "skip", f"{audience.host} is no forge, and cannot be asked who that is")
        return
    if secret.source in apps:
        used = apps[secret.source]
        yield await introspection.app(forge, used, await credentials.app_jwt(used))
    step, reply = await introspection.account(forge, secret)
    yield step
    if not isinstance(reply, Problem):
        for step in introspection.of_itself(reply, secret):
            yield step
