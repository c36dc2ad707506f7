"""What a forge's API tells of a private asset on the way to it: account, repository, release, asset.

Asks with a credential; what an answer means for the credential is in `account`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from gatepass.explain import account, client_view
from gatepass.explain.attempts import Attempts, within
from gatepass.explain.explanation import Step
from gatepass.github import refusals
from gatepass.github.client import GitHub, decode
from gatepass.problems import choice
from gatepass.problems.problem import Problem, Unresolvable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatepass.assets.resolver import Resolver, Source
    from gatepass.decision import Resolve
    from gatepass.explain.introspection import Introspection
    from gatepass.secret import Secret


class _Repository(msgspec.Struct, frozen=True):
    full_name: str
    private: bool
    visibility: str = ""
    archived: bool = False


class _Asset(msgspec.Struct, frozen=True):
    digest: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiInquiry:
    """Looks into private assets."""

    resolver: Resolver
    github: GitHub
    introspection: Introspection
    attempts: Attempts

    async def all(self, decision: Resolve, secret: Secret) -> AsyncIterator[Step]:
        for look in (self._account, self._repository, self._contents):
            steps, problem = await look(decision, secret)
            for step in steps:
                yield step
            if problem is not None:
                yield client_view.problem(problem)
                return
        try:
            source = await within(self.resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            yield client_view.failed("asset", unresolvable.problem)
            yield client_view.problem(unresolvable.problem)
            return
        if source is None:
            yield Step("asset", "warn", "the web host did not say whether it is public: the request passes unchanged")
            return
        yield await self._described(source)
        async for step in self.attempts.all(source):
            yield step

    async def _account(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        step, reply = await self.introspection.account(decision.forge, secret)
        return [step], reply if isinstance(reply, Problem) else None

    async def _repository(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        forge, name = decision.forge, str(decision.ref.repository)
        try:
            reply = await self.introspection.ask(forge, f"{forge.api}/repos/{name}", secret)
            seen = decode(reply, _Repository, forge) if reply.status == 200 else None
        except Unresolvable as unresolvable:
            return [client_view.failed("repository", unresolvable.problem)], unresolvable.problem
        steps = self.introspection.standing(reply, secret, private=seen.private if seen else None)
        if seen is not None:
            return [*steps, _seen(seen, name)], None
        if reply.status == 404:
            problem = choice.repository_not_visible(forge, decision.ref, secret)
            return [*steps, client_view.failed("repository", problem)], problem
        problem = refusals.refusal(forge, secret, reply.status, reply.headers, reply.content)
        if all(step.state != "fail" for step in steps):
            steps.append(client_view.failed("budget" if problem.status == 429 else "repository", problem))
        return steps, problem

    async def _contents(self, decision: Resolve, secret: Secret) -> tuple[list[Step], Problem | None]:
        """The release: asked for by itself, so that a missing one is told from a missing asset."""
        forge, ref = decision.forge, decision.ref
        try:
            found = await within(self.github.release(forge, ref, secret), forge.api_host)
        except Unresolvable as unresolvable:
            # what the resolver says may know more
            problem = await self._problem(decision) or unresolvable.problem
            return [client_view.failed("budget" if problem.status == 429 else "release", problem)], problem
        assert found is not None  # it was asked for without a validator
        return [Step("release", "ok", f"`{found.release.tag_name}`, id {found.release.id}")], None

    async def _problem(self, decision: Resolve) -> Problem | None:
        """What the addon would answer; None when it would not refuse."""
        try:
            await within(self.resolver.resolve(decision), decision.forge.api_host)
        except Unresolvable as unresolvable:
            return unresolvable.problem
        return None

    async def _described(self, source: Source) -> Step:
        asset, secret = source.asset, source.secret
        assert asset is not None
        assert secret is not None
        parts = [f"`{asset.name}`", f"id {asset.id}", f"{asset.size} bytes"]
        try:
            reply = await self.introspection.ask(source.forge, source.api_url, secret)
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
