"""The REST API: releases and assets of the repositories that a token sees, its budget, and its many ways to say no.

Shapes, status codes and headers are those of the REST documentation; what was only observed is cited where it is done.
It may not know the web host's rules.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from . import assets
from .exchange import Answer, Recorded
from .world import download_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .model import Asset, Release, Repository, Token
    from .world import World

type Json = dict[str, Any] | list[dict[str, Any]]

_DOCUMENTATION = "https://docs.github.com/rest"
_HOUR = 3600
_JSON = {"content-type": "application/json; charset=utf-8", "x-github-media-type": "github.v3; format=json"}
_MONALISA = {"login": "monalisa", "id": 1, "type": "User", "site_admin": False}


class Refusal(Exception):
    """An answer that ends the request, no error of the program: a status, GitHub's `message`, and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        body = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}
        self.answer = Answer(status, {**_JSON, **(headers or {})}, json.dumps(body).encode())


def answer(world: World, request: Recorded) -> Answer:
    """Authenticate, charge the budget, route, and set the headers that every answer has."""
    if not request.headers.get("user-agent"):
        return Answer.text(403, "Request forbidden by administrative rules. Please send a User-Agent header")
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
        if known and (known.expires is None or now < known.expires.timestamp()):
            return known
        world.bad_logins += 1
        world.locked_until = now + world.lockout
    raise Refusal(401, "Bad credentials")


def _charge(world: World, token: Token, cost: int) -> None:
    """Take `cost` from the token's hourly budget; a test may have set `used` before the first request."""
    now = int(world.clock())
    with world.lock:
        if token.reset and now >= token.reset:
            token.used = token.reset = 0
        token.reset = token.reset or now + _HOUR
        if cost > 0 and token.used + cost > token.limit:
            raise Refusal(world.over_limit_status, "API rate limit exceeded for user ID 1.")
        token.used += cost


def _identity(world: World, token: Token) -> dict[str, str]:
    """The headers about budget and token (REST docs; the last three from recordings)."""
    headers = {
        "x-github-request-id": uuid.uuid4().hex.upper(),
        "x-github-api-version-selected": "2022-11-28",
        "x-ratelimit-limit": str(token.limit),
        "x-ratelimit-remaining": str(max(0, token.limit - token.used)),
        "x-ratelimit-used": str(token.used),
        "x-ratelimit-reset": str(token.reset or int(world.clock()) + _HOUR),
        "x-ratelimit-resource": "core",
    }
    if token.kind == "classic":
        headers["x-oauth-scopes"] = ", ".join(token.scopes)
        headers["x-accepted-oauth-scopes"] = "repo"
    if token.kind != "anonymous":
        headers["x-accepted-github-permissions"] = "contents=read"
    if token.expires:
        zone = "UTC" if token.expires.tzinfo is UTC else "%z"
        headers["github-authentication-token-expiration"] = token.expires.strftime(f"%Y-%m-%d %H:%M:%S {zone}")
    return headers


# What is asked for


def _route(world: World, token: Token, request: Recorded) -> Answer:
    if request.method not in ("GET", "HEAD"):
        raise Refusal(404, "Not Found")
    match request.path.strip("/").split("/"):
        case ["rate_limit"]:
            remaining = token.limit - token.used
            core = {"limit": token.limit, "used": token.used, "remaining": remaining, "reset": token.reset}
            return _json(request, {"resources": {"core": core}, "rate": core})
        case ["user"]:
            return _user(token, request)
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


def _user(token: Token, request: Recorded) -> Answer:
    if token.kind == "anonymous":
        raise Refusal(401, "Requires authentication")
    if token.kind == "installation":
        raise Refusal(403, "Resource not accessible by integration")
    return _json(request, _MONALISA)


def _repository(world: World, token: Token, request: Recorded, repository: Repository, rest: Sequence[str]) -> Answer:
    """Everything below `/repos/O/R`; drafts exist only for those who may push (REST docs)."""
    shapes = _Shapes(world, request, repository)
    may_push = token.push and token.kind != "anonymous"
    releases = sorted(repository.releases, key=lambda release: release.created_at, reverse=True)
    visible = [release for release in releases if may_push or not release.draft]
    match rest:
        case []:
            return _json(request, shapes.repository(may_push=may_push))
        case ["releases"]:
            page, link = shapes.page(visible, "releases")
            return _json(request, [shapes.release(release) for release in page], link)
        case ["releases", "latest"]:
            return _json(request, shapes.release(_found(repository.latest())))
        case ["releases", "tags", *tag]:
            return _json(request, shapes.release(_found(repository.release(unquote("/".join(tag))))))
        case ["releases", "assets", number] if number.isdecimal():
            pairs = ((release, asset) for release in visible for asset in tuple(release.assets))
            release, asset = _found(next((pair for pair in pairs if pair[1].id == int(number)), None))
            if "application/octet-stream" not in request.headers.get("accept", ""):
                return _json(request, shapes.asset(release, asset))
            return _download(world, token, request, repository, asset)
        case ["releases", number, *below] if number.isdecimal() and below in ([], ["assets"]):
            release = _found(next((release for release in visible if release.id == int(number)), None))
            if not below:
                return _json(request, shapes.release(release))
            files, link = shapes.page(tuple(release.assets), f"releases/{release.id}/assets")
            return _json(request, [shapes.asset(release, asset) for asset in files], link)
    raise Refusal(404, "Not Found")


def _download(world: World, token: Token, request: Recorded, repository: Repository, asset: Asset) -> Answer:
    """302 to a signed URL, or 200 with the bytes: both are documented, and GHES has been seen to stream."""
    if asset.state != "uploaded":
        raise Refusal(404, "Not Found")
    if world.stream_assets:
        return assets.serve(request, asset, ranges=world.stream_ranges)
    url = world.signed_url(request, repository, asset, credentialed=token.kind != "anonymous")
    return Answer(302, {"location": url, "cache-control": "no-cache"})


def _found[T](thing: T | None) -> T:
    if thing is None:
        raise Refusal(404, "Not Found")
    return thing


def _json(request: Recorded, value: Json, headers: Mapping[str, str] | None = None) -> Answer:
    """200 with a weak entity tag over the body, or 304 when the client has it."""
    body = json.dumps(value).encode()
    etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
    validators = {"etag": etag, "cache-control": "private, max-age=60, s-maxage=60", "vary": "Accept, Authorization"}
    if assets.matches(request.headers.get("if-none-match", ""), etag):
        return Answer(304, validators)
    return Answer(200, {**_JSON, **validators, **(headers or {})}, body)


class _Shapes:
    """The JSON of one repository's things, with URLs in the names that the request used."""

    def __init__(self, world: World, request: Recorded, repository: Repository) -> None:
        self._repository = repository
        self._request = request
        self._embedded = world.embedded_assets
        self._web = world.web_base(request)
        self._api = world.api_base(request)
        self._base = f"{self._api}/repos/{repository.full_name}"

    def repository(self, *, may_push: bool) -> dict[str, Any]:
        repository = self._repository
        return {
            "id": repository.id,
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": {"login": repository.owner, "type": "Organization"},
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "html_url": f"{self._web}/{repository.full_name}",
            "url": self._base,
            "releases_url": f"{self._base}/releases{{/id}}",
            "permissions": {"admin": False, "push": may_push, "pull": True},
        }

    def release(self, release: Release) -> dict[str, Any]:
        url = f"{self._base}/releases/{release.id}"
        created = _moment(release.created_at)
        return {
            "id": release.id,
            "url": url,
            "assets_url": f"{url}/assets",
            "html_url": f"{self._web}/{self._repository.full_name}/releases/tag/{quote(release.tag)}",
            "tag_name": release.tag,
            "target_commitish": "main",
            "name": release.tag,
            "body": "",
            "author": _MONALISA,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": created,
            "published_at": None if release.draft else created,
            # Cut at an undocumented number, so that clients must page: python-build-standalone has 1,000 a release.
            "assets": [self.asset(release, asset) for asset in tuple(release.assets)[: self._embedded]],
        }

    def asset(self, release: Release, asset: Asset) -> dict[str, Any]:
        return {
            "id": asset.id,
            "url": f"{self._base}/releases/assets/{asset.id}",
            "browser_download_url": self._web + download_path(self._repository.full_name, release.tag, asset.name),
            "name": asset.name,
            "label": "",
            "uploader": _MONALISA,
            "content_type": asset.content_type,
            "state": asset.state,
            "size": asset.size,
            "digest": asset.digest,
            "download_count": 0,
            "created_at": _moment(asset.updated_at),
            "updated_at": _moment(asset.updated_at),
        }

    def page[T](self, things: Sequence[T], below: str) -> tuple[Sequence[T], dict[str, str]]:
        """The page that the query asks for, and its `Link` header, whose URLs GitHub gives by repository id."""
        query = self._request.query
        size = min(max(_number(query.get("per_page"), 30), 1), 100)
        here = max(_number(query.get("page"), 1), 1)
        last = max(1, -(-len(things) // size))
        pages = {"prev": here - 1, "next": here + 1, "last": last, "first": 1}
        told = ("prev", "first") * (here > 1) + ("next", "last") * (here < last)
        url = f"{self._api}/repositories/{self._repository.id}/{below}"
        links = [f'<{url}?{urlencode({**query, "page": pages[rel]})}>; rel="{rel}"' for rel in told]
        return things[(here - 1) * size : here * size], {"link": ", ".join(links)} if links else {}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def _moment(date: datetime) -> str:
    return f"{date.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
