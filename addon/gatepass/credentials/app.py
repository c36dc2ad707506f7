"""Tokens of a GitHub App's installations: from a private key to a JWT, an installation, and a token for an hour.

Asks the forge's API, by the one client, and knows neither rules nor what else is a credential. Each token may read
contents and nothing else, of one repository where one is asked for.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from gatepass import problems, refusals
from gatepass.cache import Cache
from gatepass.github import decode
from gatepass.problems import Unresolvable
from gatepass.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from gatepass.forges import Forge
    from gatepass.github import GitHub, Reply
    from gatepass.secret import Audience, Origin
    from gatepass.sources import GitHubApp

# GitHub refuses a JWT of the future, and one for more than ten minutes: our clocks may differ by one.
_JWT_PAST: Final = 60
_JWT_FUTURE: Final = 9 * 60
_MARGIN: Final = 300.0
"""Seconds before its end at which a token is made anew."""
_INSTALLATION_SECONDS: Final = 3600
_MOST_INSTALLATIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token: to be renewed at `renew_at`, of no use from `expires` on; epoch seconds of our clock."""

    secret: Secret
    renew_at: float
    expires: float


class _Installation(msgspec.Struct, frozen=True):
    id: int


class _Granted(msgspec.Struct, frozen=True):
    token: str
    expires_at: datetime


class Apps:
    """Makes tokens of any App. Every method may raise `Unresolvable`."""

    def __init__(self, github: GitHub, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds."""
        self._github = github
        self._clock = clock
        self._installations: Cache[Hashable, int] = Cache(_MOST_INSTALLATIONS, clock)

    async def token(self, app: GitHubApp, key: str, audience: Audience, origin: Origin, old: Secret | None) -> Token:
        """A new token, which takes the place of `old` if there is one."""
        forge, repository = audience.forge, audience.repository
        assert forge is not None  # the rules see to it
        jwt = await self.jwt(app, key)
        installation, is_sure = await self._installation(app, jwt, audience)
        asked = _url(forge, f"app/installations/{installation}/access_tokens")
        wanted: dict[str, object] = {"permissions": {"contents": "read"}}
        narrowed = wanted | ({"repositories": [repository.name]} if repository else {})
        reply = await self._github.post(forge, asked, jwt, narrowed)
        if reply.status in (404, 422) and not is_sure:
            # it is another installation now, or one that does not hold this repository
            self._installations.drop(self._key(app, audience))
            installation, _ = await self._installation(app, jwt, audience)
            asked = _url(forge, f"app/installations/{installation}/access_tokens")
            reply = await self._github.post(forge, asked, jwt, narrowed)
        if reply.status == 422 and repository is not None:
            # an old name of it may not be known here; what the token may see is told by the lookup
            reply = await self._github.post(forge, asked, jwt, wanted)
        if reply.status != 201:
            raise Unresolvable(_refusal(app, forge, audience, jwt, reply))
        granted = decode(reply, _Granted, forge)
        now = self._clock()
        # by the forge's own clock, where it tells it
        seconds = granted.expires_at.timestamp() - (_date(reply) or now)
        identity = old.identity(b"") if old else ("app", app.id, secrets.token_hex(8))
        return Token(
            Secret(granted.token, str(app), origin, identity), now + max(seconds - _MARGIN, seconds / 2), now + seconds
        )

    async def jwt(self, app: GitHubApp, key: str) -> Secret:
        """The App's own credential, for minutes. To sign takes some milliseconds, which are a thread's."""
        now = int(self._clock())
        claims = {"iss": int(app.id) if app.id.isdigit() else app.id, "iat": now - _JWT_PAST, "exp": now + _JWT_FUTURE}
        return Secret(await asyncio.to_thread(_signed, app, key, claims), str(app))

    async def _installation(self, app: GitHubApp, jwt: Secret, audience: Audience) -> tuple[int, bool]:
        """The installation, and whether it has just been told to be the repository's own."""
        if app.installation is not None:
            return app.installation, True
        key = self._key(app, audience)
        if known := self._installations.get(key):
            return known, False
        forge, repository = audience.forge, audience.repository
        assert forge is not None
        if app.owner is not None:
            # for organisations, too (actions/create-github-app-token, `lib/main.js`)
            url = _url(forge, f"users/{quote(app.owner)}/installation")
        elif repository is not None:
            url = _url(forge, f"repos/{repository}/installation")
        else:
            raise Unresolvable(problems.app_without_installation(app))
        reply = await self._github.ask(forge, url, jwt)
        if reply.status != 200:
            raise Unresolvable(_refusal(app, forge, audience, jwt, reply))
        found = decode(reply, _Installation, forge).id
        self._installations.put(key, found, _INSTALLATION_SECONDS)
        return found, True

    @staticmethod
    def _key(app: GitHubApp, audience: Audience) -> Hashable:
        """An App has one installation an account, so that of one repository is that of its owner's others."""
        owner = app.owner or (audience.repository.owner if audience.repository else "")
        return (app, audience.forge and audience.forge.web, owner.casefold())


def _signed(app: GitHubApp, key: str, claims: Mapping[str, object]) -> str:
    # imported here: no other credential needs it
    import jwt

    try:
        # `jwt.encode` wants the issuer to be text, and GitHub an App's number to be one
        return jwt.PyJWS().encode(msgspec.json.encode(claims), key, algorithm="RS256")
    except (jwt.exceptions.PyJWTError, ValueError, TypeError):
        raise Unresolvable(problems.unusable_key(app)) from None


def _refusal(app: GitHubApp, forge: Forge, audience: Audience, jwt: Secret, reply: Reply) -> problems.Problem:
    """What GitHub's answer to the App means (REST docs, apps)."""
    message = refusals.message(reply.content)
    match reply.status:
        case 401:
            return problems.app_not_accepted(app, forge, message)
        case 403 if "suspended" in message:
            return problems.app_suspended(app, forge)
        case 404 if "Integration not found" in message:
            return problems.app_not_accepted(app, forge, message)
        case 404:
            return problems.app_not_installed(app, forge, audience.repository)
        case 422:
            return problems.app_lacks_permission(app, forge, message)
    return refusals.refusal(forge, jwt, reply.status, reply.headers, reply.content)


def _url(forge: Forge, path: str) -> str:
    return f"{forge.api}/{path}"


def _date(reply: Reply) -> float | None:
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return None
