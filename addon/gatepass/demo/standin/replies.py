"""The API's JSON: refusals, validators, pages, and the shapes of repositories, releases and assets.

Shapes and headers are those of the REST documentation. It may not know who asks, nor what may be told to whom.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from . import assets
from .exchange import Answer, Recorded
from .world import download_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .model import Asset, Issue, Release, Repository
    from .world import World

type Json = dict[str, Any] | list[dict[str, Any]]

JSON = {"content-type": "application/json; charset=utf-8", "x-github-media-type": "github.v3; format=json"}
MONALISA = {"login": "monalisa", "id": 1, "type": "User", "site_admin": False}
_DOCUMENTATION = "https://docs.github.com/rest"


class Refusal(Exception):
    """An answer that ends the request, no error of the program: a status, GitHub's `message`, and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        body = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}
        self.answer = Answer(status, {**JSON, **(headers or {})}, json.dumps(body).encode())


def common() -> dict[str, str]:
    """The headers that every answer of the API has."""
    return {"x-github-request-id": uuid.uuid4().hex.upper(), "x-github-api-version-selected": "2022-11-28"}


def found[T](thing: T | None) -> T:
    if thing is None:
        raise Refusal(404, "Not Found")
    return thing


def success(request: Recorded, value: Json, headers: Mapping[str, str] | None = None) -> Answer:
    """200 with a weak entity tag over the body, or 304 when the client has it."""
    body = json.dumps(value).encode()
    etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
    validators = {"etag": etag, "cache-control": "private, max-age=60, s-maxage=60", "vary": "Accept, Authorization"}
    if assets.matches(request.headers.get("if-none-match", ""), etag):
        return Answer(304, validators)
    return Answer(200, {**JSON, **validators, **(headers or {})}, body)


def page[T](
    request: Recorded, things: Sequence[T], url: str, most: int | None = None
) -> tuple[Sequence[T], dict[str, str]]:
    """The page that the query asks for, and the `Link` header that tells the others, which are under `url`.

    With `most`, a page that begins behind so many is refused, though `Link` names it (iree #16506).
    """
    query = request.query
    size = min(max(_number(query.get("per_page"), 30), 1), 100)
    here = max(_number(query.get("page"), 1), 1)
    if most is not None and (here - 1) * size >= most:
        raise Refusal(422, f"Only the first {most} results are available.")
    last = max(1, -(-len(things) // size))
    pages = {"prev": here - 1, "next": here + 1, "last": last, "first": 1}
    told = ("prev", "first") * (here > 1) + ("next", "last") * (here < last)
    links = [f'<{url}?{urlencode({**query, "page": pages[rel]})}>; rel="{rel}"' for rel in told]
    return things[(here - 1) * size : here * size], {"link": ", ".join(links)} if links else {}


class Shapes:
    """The JSON of one repository's things, with URLs in the names that the request used."""

    def __init__(self, world: World, request: Recorded, repository: Repository) -> None:
        self._repository = repository
        self._embedded = world.embedded_assets
        self._web = world.web_base(request)
        self._base = f"{world.api_base(request)}/repos/{repository.full_name}"
        self._uploads = world.uploads_base(request)

    def repository(self, *, may_push: bool) -> dict[str, Any]:
        repository = self._repository
        return {
            "id": repository.id,
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": {"login": repository.owner, "type": repository.owner_type},
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "html_url": f"{self._web}/{repository.full_name}",
            "url": self._base,
            "releases_url": f"{self._base}/releases{{/id}}",
            "default_branch": "main",
            "permissions": {"admin": False, "push": may_push, "pull": True},
        }

    def tag(self, tag: str) -> dict[str, Any]:
        sha = hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()
        return {
            "name": tag,
            "commit": {"sha": sha, "url": f"{self._base}/commits/{sha}"},
            "zipball_url": f"{self._base}/zipball/refs/tags/{quote(tag)}",
            "tarball_url": f"{self._base}/tarball/refs/tags/{quote(tag)}",
        }

    def release(self, release: Release) -> dict[str, Any]:
        url = f"{self._base}/releases/{release.id}"
        upload = f"{self._uploads}/repos/{self._repository.full_name}/releases/{release.id}/assets"
        created = moment(release.created_at)
        return {
            "id": release.id,
            "url": url,
            "assets_url": f"{url}/assets",
            "upload_url": f"{upload}{{?name,label}}",
            "html_url": f"{self._web}/{self._repository.full_name}/releases/tag/{quote(release.tag)}",
            "tag_name": release.tag,
            "target_commitish": "main",
            "name": release.tag,
            "body": "",
            "author": MONALISA,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": created,
            "published_at": None if release.draft else moment(release.published_at or release.created_at),
            "immutable": release.immutable,
            # Cut at an undocumented number, so that clients must page: python-build-standalone has 1,000 a release.
            "assets": [self.asset(release, asset) for asset in tuple(release.assets)[: self._embedded]],
        }

    def issue(self, issue: Issue) -> dict[str, Any]:
        return {
            "number": issue.number,
            "title": issue.title,
            "state": "open",
            "user": MONALISA,
            "url": f"{self._base}/issues/{issue.number}",
            "html_url": f"{self._web}/{self._repository.full_name}/issues/{issue.number}",
        }

    def asset(self, release: Release, asset: Asset) -> dict[str, Any]:
        return {
            "id": asset.id,
            "url": f"{self._base}/releases/assets/{asset.id}",
            "browser_download_url": self._web + download_path(self._repository.full_name, release.tag, asset.name),
            "name": asset.name,
            "label": asset.label,
            "uploader": MONALISA,
            "content_type": asset.content_type,
            "state": asset.state,
            "size": asset.size,
            "digest": asset.digest,
            "download_count": 0,
            "created_at": moment(asset.updated_at),
            "updated_at": moment(asset.updated_at),
        }


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def moment(date: datetime) -> str:
    return f"{date.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
