"""Tokens of a GitHub App's installations: from a private key to a JWT, an installation, and a token for an hour.

Asks the forge's API, by the one client, and knows neither rules nor what else is a credential. Each token may read
contents and nothing else, or what is asked for of what the installation has; of one repository where one is asked for.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from gatepass.cache import Cache
from gatepass.credentials.validation import fit
from gatepass.github import refusals
from gatepass.github.client import decode
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.problems.remembered import Remembered
from gatepass.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from gatepass.forge.hosts import Forge
    from gatepass.github.client import GitHub
    from gatepass.github.replies import Reply
    from gatepass.secret import Audience, Origin
    from gatepass.sources import GitHubApp

# GitHub refuses a JWT of the future, and one for more than ten minutes: our clocks may differ by one.
_JWT_PAST: Final = 60
_JWT_FUTURE: Final = 9 * 60
_MARGIN: Final = 300.0
"""Seconds before its end at which a token is made anew."""
_INSTALLATION_SECONDS: Final = 3600
_MOST_INSTALLATIONS: Final = 1000
_REFUSED_SECONDS: Final = 10
# What the App is told whatever it asks for.
_OF_THE_APP: Final = (
    catalogue.APP_NOT_ACCEPTED.name,
    catalogue.LOCKED_OUT.name,
    catalogue.RATE_LIMITED.name,
    catalogue.SECONDARY_RATE_LIMITED.name,
)


_CONTENTS: Final = {"contents": "read"}
_LEVELS: Final = ("read", "write", "admin")


class _Installation(msgspec.Struct, frozen=True):
    id: int
    permissions: dict[str, str] = {}


class _Granted(msgspec.Struct, frozen=True):
    token: str
    expires_at: datetime


class Apps:
    """Makes tokens of any App. Every method may raise `Unresolvable`."""

    def __init__(self, github: GitHub, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds."""
        self._github = github
        self._clock = clock
        self._installations: Cache[Hashable, _Installation] = Cache(_MOST_INSTALLATIONS, clock)
        self._refusals: Remembered[Hashable] = Remembered(_MOST_INSTALLATIONS, clock)

    async def token(
        self, app: GitHubApp, key: str, audience: Audience, origin: Origin, old: Secret | None
    ) -> tuple[Secret, float, float]:
        """A new token, which takes the place of `old` if there is one; when to renew it, and when it ends.

        Both are epoch seconds of our clock.
        """
        forge, repository = audience.forge, audience.repository
        assert forge is not None  # the rules see to it
        jwt = await self.jwt(app, key)
        wanted: dict[str, object] = {} if repository is None else {"repositories": [repository.name]}
        found, is_known = await self._installation(app, jwt, audience)
        reply = await self._made(app, audience, jwt, found, wanted)
        if is_known and (reply.status == 404 or (reply.status == 422 and audience.permissions)):
            # it was removed, and perhaps made again; or it has other permissions now
            self._installations.drop(self._key(app, audience))
            found, _ = await self._installation(app, jwt, audience)
            reply = await self._made(app, audience, jwt, found, wanted)
        if reply.status == 422 and repository is not None:
            # it is not the installation's, or not by that name: a token for more than was asked for is none
            number = await self._renamed(app, forge, jwt, audience)
            if number is not None:
                reply = await self._made(app, audience, jwt, found, {"repository_ids": [number]})
        installation = found.id
        if reply.status != 201:
            raise Unresolvable(self._refused(app, forge, audience, jwt, reply))
        granted = decode(reply, _Granted, forge)
        now = self._clock()
        try:
            # by the forge's own clock, where it tells it
            seconds = granted.expires_at.timestamp() - (_date(reply) or now)
        except (OverflowError, ValueError):
            seconds = 0.0
        if seconds <= 0:
            raise Unresolvable(catalogue.MALFORMED_ANSWER(host=forge.api_host, what="a token that has ended already"))
        identity = old.identity(b"") if old else ("app", app.id, secrets.token_hex(8))
        group = (app.id, installation, str(repository), hashlib.sha256(key.encode()).hexdigest())
        secret = Secret(fit(app, granted.token), str(app), origin, identity, ("app", app.id, installation), group)
        return secret, now + max(seconds - _MARGIN, seconds / 2), now + seconds

    async def _made(
        self, app: GitHubApp, audience: Audience, jwt: Secret, installation: _Installation, wanted: Mapping[str, object]
    ) -> Reply:
        forge = audience.forge
        assert forge is not None
        self._expect_accepted(app, forge)
        permissions = _granted(audience.permissions, installation.permissions)
        if not permissions:
            # GitHub would give a token with all that the installation has
            told = "the installation has none of the permissions that the rule stands for"
            raise Unresolvable(catalogue.APP_LACKS_PERMISSION(app=app, forge=forge, message=told))
        url = f"{forge.api}/app/installations/{installation.id}/access_tokens"
        return await self._github.post(forge, url, jwt, {"permissions": permissions, **wanted})

    async def _asked(self, app: GitHubApp, forge: Forge, jwt: Secret, audience: Audience, path: str) -> Reply:
        """What the API tells the App at a path.

        Raises:
            Unresolvable: the App has no installation there.
        """
        reply = await self._github.ask(forge, f"{forge.api}/{path}", jwt)
        if reply.status != 200:
            raise Unresolvable(self._refused(app, forge, audience, jwt, reply))
        return reply

    async def _renamed(self, app: GitHubApp, forge: Forge, jwt: Secret, audience: Audience) -> int | None:
        """The number of a repository that is asked for by an old name: GitHub answers for that from another address."""
        reply = await self._asked(app, forge, jwt, audience, f"repos/{audience.repository}/installation")
        number = re.fullmatch(r".*/repositories/([0-9]{1,18})/installation", reply.url, re.ASCII)
        return int(number[1]) if number else None

    def _expect_accepted(self, app: GitHubApp, forge: Forge) -> None:
        """Ask no more with a key that was refused a moment ago: that is what makes a forge lock out who asks."""
        if problem := self._refusals.get((app, forge.web)):
            raise Unresolvable(problem)

    def _refused(self, app: GitHubApp, forge: Forge, audience: Audience, jwt: Secret, reply: Reply) -> Problem:
        problem = _refusal(app, forge, audience, jwt, reply)
        if problem.kind in _OF_THE_APP:
            self._refusals.put((app, forge.web), problem, _REFUSED_SECONDS)
        return problem

    async def jwt(self, app: GitHubApp, key: str) -> Secret:
        """The App's own credential, for minutes. To sign takes some milliseconds, which are a thread's."""
        now = int(self._clock())
        claims = {"iss": int(app.id) if app.id.isdigit() else app.id, "iat": now - _JWT_PAST, "exp": now + _JWT_FUTURE}
        return Secret(await asyncio.to_thread(_signed, app, key, claims), str(app))

    async def _installation(self, app: GitHubApp, jwt: Secret, audience: Audience) -> tuple[_Installation, bool]:
        """The installation, and whether it was found before, so that it may be another now."""
        if app.installation is not None and not audience.permissions:
            return _Installation(app.installation), False
        key = self._key(app, audience)
        if known := self._installations.get(key):
            return known, True
        forge, repository = audience.forge, audience.repository
        assert forge is not None
        self._expect_accepted(app, forge)
        if app.installation is not None:
            path = f"app/installations/{app.installation}"
        elif app.owner is not None:
            # for organisations, too (actions/create-github-app-token, `lib/main.js`)
            path = f"users/{quote(app.owner)}/installation"
        elif repository is not None:
            path = f"repos/{repository}/installation"
        else:
            raise Unresolvable(catalogue.APP_WITHOUT_INSTALLATION(app=app))
        reply = await self._asked(app, forge, jwt, audience, path)
        found = decode(reply, _Installation, forge)
        self._installations.put(key, found, _INSTALLATION_SECONDS)
        return found, False

    @staticmethod
    def _key(app: GitHubApp, audience: Audience) -> Hashable:
        """An App has one installation an account, so that of one repository is that of its owner's others."""
        owner = app.owner or (audience.repository.owner if audience.repository else "")
        return (app, audience.forge and audience.forge.web, owner.casefold())


def _granted(wanted: Iterable[tuple[str, str]], has: Mapping[str, str]) -> dict[str, str]:
    """What to ask for: all that is wanted would be refused where the installation lacks any of it.

    An installation tells its permissions (REST docs, "Get an installation for the authenticated app"); where it does
    not, all is asked for.
    """
    if not (asked := dict(wanted)):
        return _CONTENTS
    if not has:
        return asked
    known = {name: level for name, level in has.items() if level in _LEVELS}
    return {name: min(level, known[name], key=_LEVELS.index) for name, level in asked.items() if name in known}


def _signed(app: GitHubApp, key: str, claims: Mapping[str, object]) -> str:
    # imported here: no other credential needs it
    import jwt

    try:
        # `jwt.encode` wants the issuer to be text, and GitHub an App's number to be one
        return jwt.PyJWS().encode(msgspec.json.encode(claims), key, algorithm="RS256")
    except (jwt.exceptions.PyJWTError, ValueError, TypeError, AttributeError):  # the last for a public key
        raise Unresolvable(catalogue.UNUSABLE_KEY(app=app)) from None


def _refusal(app: GitHubApp, forge: Forge, audience: Audience, jwt: Secret, reply: Reply) -> Problem:
    """What GitHub's answer to the App means (REST docs, apps)."""
    message = refusals.message(reply.content)
    match reply.status:
        case 401:
            return catalogue.APP_NOT_ACCEPTED(app=app, forge=forge, message=message)
        case 403 if "suspended" in message:
            return catalogue.APP_SUSPENDED(app=app, forge=forge)
        case 404 if "Integration not found" in message:
            return catalogue.APP_NOT_ACCEPTED(app=app, forge=forge, message=message)
        case 404:
            return catalogue.APP_NOT_INSTALLED(app=app, forge=forge, repository=audience.repository)
        case 422 if "repository" in message:
            return catalogue.APP_NOT_INSTALLED(app=app, forge=forge, repository=audience.repository)
        case 422:
            return catalogue.APP_LACKS_PERMISSION(app=app, forge=forge, message=message)
    return refusals.refusal(forge, jwt, reply.status, reply.headers, reply.content)


def _date(reply: Reply) -> float | None:
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
