"""The API of GitHub Apps: a JWT identifies the App, which finds its installations and makes tokens for them.

Shapes and status codes are those of the REST documentation; messages are cited where they are given. It may not know
releases: a token that was made here is used in `api`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import jwt

from .exchange import Answer, Recorded
from .model import Token
from .replies import JSON, Refusal, Shapes, common, found, moment, page, success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import App, Installation, Repository
    from .world import World

# The signature alone: PyJWT's checks of the claims go by the real time.
_JWS = jwt.PyJWS(algorithms=["RS256"])
# A JWT expires at most ten minutes from now (GitHub docs, "Generating a JSON web token (JWT) for a GitHub App").
_LONGEST = 600
_LEVELS = ("read", "write", "admin")

# Who asks without a JWT, or with one that cannot be verified (recorded: hub4j/github-api, octokit/request.js #505).
_UNDECODABLE = "A JSON web token could not be decoded"
# The next three are what octokit/auth-app.js recognises a clock that is wrong by (`src/hook.ts`).
_EXPIRED = (
    "'Expiration time' claim ('exp') must be a numeric value "
    "representing the future time at which the assertion expires"
)
_TOO_FAR = "'Expiration time' claim ('exp') is too far in the future"
_NOT_ISSUED = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
# Reported of issuers that are strings, by some even of an App ID's digits. ghinstallation sends these: they are taken.
_NO_ISSUER = "'Issuer' claim ('iss') must be an Integer"
# tibdex/github-app-token #105: the names are bare, and all must be the installation's.
_NO_SUCH_REPOSITORY = (
    "There is at least one repository that does not exist or is not accessible to the parent installation."
)


def takes(request: Recorded) -> bool:
    """Whether the endpoint is one of those that want a JWT (octokit/auth-app.js, `requires-app-auth.ts`)."""
    match request.path.strip("/").split("/"):
        case ["app", *_] | ["repos", _, _, "installation"] | ["repositories" | "orgs" | "users", _, "installation"]:
            return True
    return False


def answer(world: World, request: Recorded) -> Answer:
    """Identify the App and route; there is no budget for it, nor are there headers of one (octokit.rb's cassettes)."""
    try:
        reply = _route(world, _authenticate(world, request), request)
    except Refusal as refusal:
        reply = refusal.answer
    return replace(reply, headers={**common(), **reply.headers})


def suspension(installation: Installation) -> str:
    """What its tokens are told from then on, with 403 (octokit.rb, `client_spec.rb`)."""
    when = moment(installation.updated_at)
    return f"Sorry. This installation owned by {installation.account} suspended your access at {when}."


def repositories(world: World, token: Token, request: Recorded) -> Answer:
    """The repositories that an installation's token was made for; it may read public ones beside them."""
    if token.kind == "anonymous":
        raise Refusal(401, "Requires authentication")
    if token.kind != "installation":
        what = "in order to list repositories for an installation."
        raise Refusal(403, f"You must authenticate with an installation access token {what}")
    held = [repository for repository in tuple(world.repositories) if token.holds(repository)]
    part, link = page(request, held, f"{world.api_base(request)}/installation/repositories")
    body = {
        "total_count": len(held),
        "repository_selection": _selection(token),
        "repositories": _shapes(world, request, part, may_push=token.push),
    }
    return success(request, body, link)


# Who asks


def _authenticate(world: World, request: Recorded) -> App:
    """The App that signed the JWT, by the world's clock; a bad JWT is no bad login."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    claims = _claims(value) if scheme.lower() == "bearer" else None
    if claims is None:
        raise Refusal(401, _UNDECODABLE)
    app = _issuer(world, claims.get("iss"))
    if not app.public_key:
        raise Refusal(401, "Integration must generate a public key")  # octokit.rb #1080
    try:
        _JWS.decode(value, app.public_key, algorithms=["RS256"])
    except jwt.InvalidTokenError:
        raise Refusal(401, _UNDECODABLE) from None
    now, expires, issued = world.clock(), claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int | float) or not expires > now:
        raise Refusal(401, _EXPIRED)
    if expires > now + _LONGEST:
        raise Refusal(401, _TOO_FAR)
    if type(issued) is not int or issued > now:
        raise Refusal(401, _NOT_ISSUED)
    return app


def _claims(value: str) -> dict[str, Any] | None:
    """What a JWT says of itself, before anything of it is verified."""
    try:
        claims = json.loads(_JWS.decode_complete(value.strip(), options={"verify_signature": False})["payload"])
    except (jwt.InvalidTokenError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _issuer(world: World, issuer: object) -> App:
    """The App of that ID, a number or its digits, or of that client ID."""
    for app in tuple(world.apps):
        if issuer in (app.id, str(app.id), app.client_id):
            return app
    if type(issuer) is not int and not (isinstance(issuer, str) and issuer.isdecimal()):
        raise Refusal(401, _NO_ISSUER)
    # actions/create-github-app-token #76; octokit/authentication-strategies.js #165
    raise Refusal(404, "Integration not found")


# What is asked for


def _route(world: World, app: App, request: Recorded) -> Answer:
    match request.method, request.path.strip("/").split("/"):
        case "POST", ["app", "installations", number, "access_tokens"]:
            return _make_token(world, _by_id(app, number), request)
        case (("GET" | "HEAD"), ["app"]):
            return success(request, _app(world, request, app))
        case (("GET" | "HEAD"), ["app", "installations", number]):
            installation = _by_id(app, number)
        case (("GET" | "HEAD"), ["repos", owner, name, "installation"]):
            repository, moved = world.find(f"{unquote(owner)}/{unquote(name)}")
            installation = _covering(app, repository)
            if moved and repository:
                location = f"{world.api_base(request)}/repositories/{repository.id}/installation"
                raise Refusal(301, "Moved Permanently", {"location": location})
        case (("GET" | "HEAD"), ["repositories", number, "installation"]):
            installation = _covering(app, next((r for r in tuple(world.repositories) if str(r.id) == number), None))
        case (("GET" | "HEAD"), ["orgs", login, "installation"]):
            installation = _on(app, unquote(login), "Organization")
        case (("GET" | "HEAD"), ["users", login, "installation"]):
            # For organisations too (actions/create-github-app-token, `lib/main.js`).
            installation = _on(app, unquote(login), "User", "Organization")
        case _:
            raise Refusal(404, "Not Found")
    return success(request, _installation(world, request, app, installation))


def _by_id(app: App, number: str) -> Installation:
    return found(next((i for i in tuple(app.installations) if str(i.id) == number), None))


def _on(app: App, login: str, *types: str) -> Installation:
    mine = (i for i in tuple(app.installations) if i.account_type in types)
    return found(next((i for i in mine if i.account.casefold() == login.casefold()), None))


def _covering(app: App, repository: Repository | None) -> Installation:
    """The installation that has the repository; not selected and not there are told apart by nobody."""
    return found(next((i for i in tuple(app.installations) if repository and i.covers(repository)), None))


# Tokens


@dataclass(frozen=True, slots=True)
class _Wish:
    """The body of a request for a token; `None` is a key that was left out."""

    permissions: dict[str, str]
    names: list[str] | None
    ids: list[int] | None

    @classmethod
    def parse(cls, request: Recorded) -> Self:
        """Read it; every key is optional, and so is the body (REST docs)."""
        if request.bytes_received > len(request.body):
            raise Refusal(413, "Payload Too Large")
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            raise Refusal(400, "Problems parsing JSON") from None
        if not isinstance(body, dict):
            raise Refusal(400, "Body should be a JSON object")
        permissions = body.get("permissions") or {}
        if not isinstance(permissions, dict):
            raise Refusal(400, "Problems parsing JSON")  # recorded: PyGithub, `testGetAccessTokenWithInvalidData`
        for key, kind in (("repositories", str), ("repository_ids", int)):
            value = body.get(key)
            if value is not None and not (isinstance(value, list) and all(type(item) is kind for item in value)):
                raise Refusal(422, f"Invalid request.\n\nFor 'properties/{key}', {json.dumps(value)} is not valid.")
        return cls(permissions, body.get("repositories"), body.get("repository_ids"))


def _make_token(world: World, installation: Installation, request: Recorded) -> Answer:
    if installation.suspended:
        raise Refusal(403, "This installation has been suspended")  # octokit.rb #1307
    wish = _Wish.parse(request)
    permissions = _permitted(installation, wish.permissions)
    chosen = _chosen(world, installation, wish)
    expires = datetime.fromtimestamp(int(world.clock()) + installation.token_lifetime, UTC)
    token = Token(
        _secret(),
        # An empty list is no restriction: the token is for all of them (framna-docs #146).
        repositories={repository.full_name for repository in chosen} if wish.names or wish.ids else None,
        scopes=(),
        kind="installation",
        expires=expires,
        contents="contents" in permissions,
        push=permissions.get("contents") == "write",
        installation=installation,
        permissions=permissions,
    )
    world.tokens.append(token)
    body: dict[str, Any] = {
        "token": token.value,
        "expires_at": moment(expires),
        "permissions": permissions,
        "repository_selection": _selection(token),
    }
    if wish.names is not None or wish.ids is not None:
        # And with the empty list they are listed all (go-github #3155).
        body["repositories"] = _shapes(world, request, chosen, may_push=token.push)
    return Answer(201, JSON, json.dumps(body).encode())


def _secret() -> str:
    """In the form of 2026: `ghs_` and a JWT, about 520 characters with two dots (changelog of 2026-05-15)."""
    return f"ghs_{'.'.join(secrets.token_hex(size) for size in (18, 112, 128))}"


def _permitted(installation: Installation, wished: dict[str, str]) -> dict[str, str]:
    """What is wished for, or all that is granted. With anything comes the reading of metadata (docs on permissions)."""
    granted = installation.permissions
    for name, level in wished.items():
        if name not in granted or level not in _LEVELS:
            # recorded: PyGithub, `testGetAccessTokenWithInvalidPermissions`
            raise Refusal(422, "The permissions requested are not granted to this installation.")
        if _LEVELS.index(level) > _LEVELS.index(granted[name]):
            what = "The level of access for permissions requested are not granted to this installation."
            raise Refusal(422, what)
    return {**wished, "metadata": "read"} if wished else dict(granted)


def _chosen(world: World, installation: Installation, wish: _Wish) -> list[Repository]:
    """The repositories that are wished for, or all; by their names of today, for an old one fails (os-clovy #161)."""
    covered = [repository for repository in tuple(world.repositories) if installation.covers(repository)]
    names, ids = {name.casefold() for name in wish.names or ()}, set(wish.ids or ())
    if not names <= {r.name.casefold() for r in covered} or not ids <= {r.id for r in covered}:
        raise Refusal(422, _NO_SUCH_REPOSITORY)
    return [r for r in covered if r.name.casefold() in names or r.id in ids] if names or ids else covered


def _selection(token: Token) -> str:
    if token.repositories is None and token.installation:
        return token.installation.repository_selection
    return "all" if token.repositories is None else "selected"


# Shapes


def _shapes(world: World, request: Recorded, these: Iterable[Repository], *, may_push: bool) -> list[dict[str, Any]]:
    return [Shapes(world, request, repository).repository(may_push=may_push) for repository in these]


def _app(world: World, request: Recorded, app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "owner": {"login": app.owner, "type": "Organization"},
        "name": app.name,
        "description": None,
        "external_url": world.web_base(request),
        "html_url": f"{world.web_base(request)}/apps/{app.slug}",
        "permissions": app.permissions,
        "events": [],
        "installations_count": len(app.installations),
    }


def _installation(world: World, request: Recorded, app: App, installation: Installation) -> dict[str, Any]:
    web, api = world.web_base(request), world.api_base(request)
    login, changed = installation.account, moment(installation.updated_at)
    settings = f"organizations/{login}/settings" if installation.account_type == "Organization" else "settings"
    return {
        "id": installation.id,
        "account": {"login": login, "type": installation.account_type, "site_admin": False},
        "repository_selection": installation.repository_selection,
        "access_tokens_url": f"{api}/app/installations/{installation.id}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"{web}/{settings}/installations/{installation.id}",
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": app.slug,
        "target_type": installation.account_type,
        "permissions": installation.permissions,
        "events": [],
        "created_at": changed,
        "updated_at": changed,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": {"login": login, "type": installation.account_type} if installation.suspended else None,
        "suspended_at": changed if installation.suspended else None,
    }
