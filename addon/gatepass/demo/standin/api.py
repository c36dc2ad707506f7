"""The REST API: releases and assets of the repositories that a token sees, its budget, and its many ways to say no.

Shapes, status codes and headers are those of the REST documentation; what was only observed is cited where it is done.
It may not know the web host's rules.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import unquote

from . import apps, assets, graph, sources
from .exchange import Answer, Recorded
from .model import Asset, Issue
from .replies import MONALISA, Refusal, Shapes, common, found, page, success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Repository, Token
    from .world import World

_HOUR = 3600


def answer(world: World, request: Recorded) -> Answer:
    """Authenticate, charge the budget, route, and set the headers that every answer has."""
    if not request.headers.get("user-agent"):
        return Answer.text(403, "Request forbidden by administrative rules. Please send a User-Agent header")
    if apps.takes(request):
        return apps.answer(world, request)
    token, cost = world.anonymous, int(request.path != "/rate_limit")
    try:
        token = _authenticate(world, request)
        _charge(world, token, cost)
        reply = _route(world, token, request)
    except Refusal as refusal:
        reply = refusal.answer
    if reply.status == 304 and token is not world.anonymous:
        # A conditional request that finds nothing new is free, when authorised (REST best practices).
        _charge(world, token, -cost)
    return replace(reply, headers={**_identity(world, token), **reply.headers})


# Who asks


def _authenticate(world: World, request: Recorded) -> Token:
    """The token of `Bearer T`, `token T` or Basic with the token as password; nobody's without the header."""
    header = request.headers.get("authorization")
    if header is None:
        return world.anonymous
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    now = world.clock()
    with world.lock:
        if world.bad_logins >= world.max_bad_logins:
            if now < world.locked_until:
                # Valid credentials are refused too, for a while (REST docs, "failed login limit").
                raise Refusal(403, "Maximum number of login attempts exceeded. Please try again later.")
            world.bad_logins = 0
        known = next((t for t in tuple(world.tokens) if t.value == value.strip()), None)
        if known is None or not _is_valid(world, known, now):
            world.bad_logins += 1
            world.locked_until = now + world.lockout
            raise Refusal(401, "Bad credentials")
    if known.installation and known.installation.suspended:
        raise Refusal(403, apps.suspension(known.installation))
    return known


def _is_valid(world: World, token: Token, now: float) -> bool:
    """It has not expired, and its App was not uninstalled, of which it is assumed that it revokes the tokens."""
    is_revoked = token.installation and not world.is_installed(token.installation)
    return not is_revoked and (token.expires is None or now < token.expires.timestamp())


def _charge(world: World, token: Token, cost: int) -> None:
    """Take `cost` from the token's hourly budget; a test may have set `used` before the first request."""
    now, payer = int(world.clock()), token.payer
    with world.lock:
        if payer.reset and now >= payer.reset:
            payer.used = payer.reset = 0
        payer.reset = payer.reset or now + _HOUR
        if cost > 0 and payer.used + cost > payer.limit:
            whose = f"installation ID {token.installation.id}" if token.installation else "user ID 1"
            raise Refusal(world.over_limit_status, f"API rate limit exceeded for {whose}.")
        payer.used += cost


def _identity(world: World, token: Token) -> dict[str, str]:
    """The headers about budget and token (REST docs; the last three from recordings)."""
    payer = token.payer
    headers = {
        **common(),
        "x-ratelimit-limit": str(payer.limit),
        "x-ratelimit-remaining": str(max(0, payer.limit - payer.used)),
        "x-ratelimit-used": str(payer.used),
        "x-ratelimit-reset": str(payer.reset or int(world.clock()) + _HOUR),
        "x-ratelimit-resource": "core",
    }
    if token.kind == "classic":
        headers["x-oauth-scopes"] = ", ".join(token.scopes)
        headers["x-accepted-oauth-scopes"] = "repo"
    if token.kind != "anonymous":
        headers["x-accepted-github-permissions"] = "contents=read"
    # Recordings of installation tokens' answers do not have it (PyGithub, replay data of `Installation.testGetRepos`).
    if token.expires and not token.installation:
        zone = "UTC" if token.expires.tzinfo is UTC else "%z"
        headers["github-authentication-token-expiration"] = token.expires.strftime(f"%Y-%m-%d %H:%M:%S {zone}")
    return headers


# What is asked for


def _route(world: World, token: Token, request: Recorded) -> Answer:
    if request.path == "/graphql" and request.method == "POST":
        return graph.answer(world, token, request)
    if request.method not in ("GET", "HEAD"):
        return _written(world, token, request)
    match request.path.strip("/").split("/"):
        case [""]:
            return success(request, {"current_user_url": f"{world.api_base(request)}/user"})
        case ["rate_limit"]:
            payer = token.payer
            remaining = payer.limit - payer.used
            core = {"limit": payer.limit, "used": payer.used, "remaining": remaining, "reset": payer.reset}
            return success(request, {"resources": {"core": core}, "rate": core})
        case ["user"]:
            return _user(world, token, request)
        case ["user", "repos"]:
            return _own_repositories(world, token, request)
        case ["orgs" | "users" as kind, owner, "repos"]:
            return _repositories_of(world, token, request, kind, unquote(owner))
        case ["installation", "repositories"]:
            return apps.repositories(world, token, request)
        case ["repos", owner, name, *rest]:
            repository, moved = world.find(f"{unquote(owner)}/{unquote(name)}")
        case ["repositories", number, *rest] if number.isdecimal():
            repository = next((r for r in tuple(world.repositories) if r.id == int(number)), None)
            moved = False
        case _:
            raise Refusal(404, "Not Found")
    # No access and no such repository are told apart by nobody (REST docs).
    if repository is None or not token.sees(repository):
        raise Refusal(404, "Not Found")
    _admit(token, repository)
    if moved:
        path = "/".join(["repositories", str(repository.id), *rest])
        query = request.target.partition("?")[1:]
        raise Refusal(301, "Moved Permanently", {"location": f"{world.api_base(request)}/{path}{''.join(query)}"})
    return _repository(world, token, request, repository, rest)


def _written(world: World, token: Token, request: Recorded) -> Answer:
    """A file for a release, or an issue, is taken from who may push, or write issues (REST docs)."""
    match request.method, request.path.strip("/").split("/"):
        case "POST", ["repos", owner, name, "releases", number, "assets"] if number.isdecimal():
            repository, _ = world.find(f"{unquote(owner)}/{unquote(name)}")
            if repository is None or not token.sees(repository) or not token.push:
                raise Refusal(404, "Not Found")
            release = found(next((each for each in repository.releases if each.id == int(number)), None))
            asset = Asset(request.query["name"], request.body, request.headers.get("content-type", ""))
            release.assets.append(asset)
            return replace(success(request, Shapes(world, request, repository).asset(release, asset)), status=201)
        case "POST", ["repos", owner, name, "issues"]:
            repository, _ = world.find(f"{unquote(owner)}/{unquote(name)}")
            if repository is None or not token.sees(repository) or not token.may("issues", "write"):
                raise Refusal(404, "Not Found")
            issue = Issue(json.loads(request.body)["title"], len(repository.issues) + 1)
            repository.issues.append(issue)
            return replace(success(request, Shapes(world, request, repository).issue(issue)), status=201)
    raise Refusal(404, "Not Found")


def _admit(token: Token, repository: Repository) -> None:
    """What an organisation or a token's permissions forbid, though the repository is known to be there."""
    if token.sso:
        message = "Resource protected by organization SAML enforcement. You must grant your token access."
        raise Refusal(403, message, {"x-github-sso": f"required; url={token.sso}"})
    if not token.ip_allowed:
        message = (
            "Although you appear to have the correct authorization credentials, "
            f"the `{repository.owner}` organization has an IP allow list enabled, "
            "and your IP address is not permitted to access this resource."
        )
        raise Refusal(403, message)
    if repository.private and not token.contents:
        what = "integration" if token.kind == "installation" else "personal access token"
        raise Refusal(403, f"Resource not accessible by {what}")


def _user(world: World, token: Token, request: Recorded) -> Answer:
    _expect_user(token)
    return success(request, {**MONALISA, "login": world.login})


def _expect_user(token: Token) -> None:
    if token.kind == "anonymous":
        raise Refusal(401, "Requires authentication")
    if token.kind == "installation":
        raise Refusal(403, "Resource not accessible by integration")


def _own_repositories(world: World, token: Token, request: Recorded) -> Answer:
    """What the token's user owns, or was let into (REST docs, "List repositories for the authenticated user")."""
    _expect_user(token)
    own = world.login.casefold()
    known = [each for each in tuple(world.repositories) if each.private or each.owner.casefold() == own]
    return _listed(world, token, request, known, "user/repos")


def _repositories_of(world: World, token: Token, request: Recorded, kind: str, owner: str) -> Answer:
    """An organisation's, as far as the token sees them; of a user, or asked for as one, the public ones alone
    (REST docs, "List organization repositories", "List repositories for a user").
    """
    known = [each for each in tuple(world.repositories) if each.owner.casefold() == owner.casefold()]
    if kind == "orgs":
        known = [each for each in known if each.owner_type == "Organization"]
    if not known:
        raise Refusal(404, "Not Found")
    if kind == "users":
        known = [each for each in known if not each.private]
    return _listed(world, token, request, known, f"{kind}/{owner}/repos")


def _listed(world: World, token: Token, request: Recorded, known: Sequence[Repository], path: str) -> Answer:
    seen = [repository for repository in known if token.sees(repository)]
    for repository in seen:
        if repository.private:
            _admit(token, repository)
    part, link = page(request, seen, f"{world.api_base(request)}/{path}")
    may_push = token.push and token.kind != "anonymous"
    shapes = [Shapes(world, request, each).repository(may_push=may_push) for each in part]
    return success(request, shapes, link)


def _repository(world: World, token: Token, request: Recorded, repository: Repository, rest: Sequence[str]) -> Answer:
    """Everything below `/repos/O/R`; drafts exist only for those who may push (REST docs)."""
    shapes = Shapes(world, request, repository)
    below = f"{world.api_base(request)}/repositories/{repository.id}"  # which is how GitHub's pages are linked
    may_push = token.push and token.kind != "anonymous"
    releases = sorted(repository.releases, key=lambda release: release.created_at, reverse=True)
    visible = [release for release in releases if may_push or not release.draft]
    match rest:
        case []:
            return success(request, shapes.repository(may_push=may_push))
        case ["releases"]:
            part, link = page(request, visible, f"{below}/releases", world.most_listed)
            return success(request, [shapes.release(release) for release in part], link)
        case ["tags"]:
            names = dict.fromkeys([*(release.tag for release in visible if not release.draft), *repository.tags])
            part_of_tags, link = page(request, list(names), f"{below}/tags")
            return success(request, [shapes.tag(name) for name in part_of_tags], link)
        case ["issues"]:
            return success(request, [shapes.issue(issue) for issue in repository.issues])
        case ["actions", "runs"]:
            return success(request, {"total_count": 0, "workflow_runs": []})
        case ["actions", "workflows"]:
            return success(request, {"total_count": 0, "workflows": []})
        case ["releases", "latest"]:
            return success(request, shapes.release(found(repository.latest())))
        case ["releases", "tags", *tag]:
            return success(request, shapes.release(found(repository.release(unquote("/".join(tag))))))
        case ["releases", "assets", number] if number.isdecimal():
            pairs = ((release, asset) for release in visible for asset in tuple(release.assets))
            release, asset = found(next((pair for pair in pairs if pair[1].id == int(number)), None))
            if "application/octet-stream" not in request.headers.get("accept", ""):
                return success(request, shapes.asset(release, asset))
            return _download(world, token, request, repository, asset)
        case ["tarball" | "zipball" | "contents", *_]:
            signed = repository.private and token.kind != "anonymous"
            reply = sources.of_api(world, request, repository, rest, signed=signed)
            if isinstance(reply, tuple):
                raise Refusal(*reply)
            return found(reply)
        case ["releases", number, *more] if number.isdecimal() and more in ([], ["assets"]):
            release = found(next((release for release in visible if release.id == int(number)), None))
            if not more:
                return success(request, shapes.release(release))
            files, link = page(request, tuple(release.assets), f"{below}/releases/{release.id}/assets")
            return success(request, [shapes.asset(release, asset) for asset in files], link)
    raise Refusal(404, "Not Found")


def _download(world: World, token: Token, request: Recorded, repository: Repository, asset: Asset) -> Answer:
    """302 to a signed URL, or 200 with the bytes: both are documented, and GHES has been seen to stream."""
    if asset.state != "uploaded":
        raise Refusal(404, "Not Found")
    if world.stream_assets:
        return assets.serve(request, asset, ranges=world.stream_ranges)
    url = world.signed_url(request, repository, asset, credentialed=token.kind != "anonymous")
    return Answer(302, {"location": url, "cache-control": "no-cache"})
