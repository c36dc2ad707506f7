"""The asset host, `objects.` and `release-assets.` in one: bytes for whoever holds a signed URL.

It may not know tokens or repositories' visibility: the signature is all that counts. LFS's objects are put there, too.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import UUID

from .exchange import Answer, Recorded

if TYPE_CHECKING:
    from .model import Asset
    from .world import World


_LFS = "/lfs/"
_SINGLE_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))", re.ASCII)


def answer(world: World, request: Recorded) -> Answer:
    """Check the signature the way S3 does, then serve the asset."""
    query = request.query
    if "authorization" in request.headers:
        # octokit.js #967, uv #3123: a signed URL is itself the credential, and a second one is refused.
        return _refuse(400, "InvalidArgument", "Only one auth mechanism allowed")
    host = request.host.lower().removesuffix(":443")
    if "X-Amz-Signature" in query:
        # The HEAD trap: the signature covers the method GET (dependabot/proxy #15 and #27, mise #9309, grab #43).
        is_upload = request.method == "PUT" and request.path.startswith(_LFS)
        if request.method != "GET" and not is_upload:
            return _refuse(401, "Unauthorized", "The signature does not cover this method")
        verdict = world.signer.check_sigv4(host, request.path, query, request.method)
    elif "sig" in query:
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "MethodNotAllowed", "The resource doesn't support the specified method")
        verdict = world.signer.check_sas(host, request.path, query)
    else:
        return _refuse(403, "AccessDenied", "Access Denied")
    if verdict == "wrong":
        return _refuse(403, "SignatureDoesNotMatch", "The request signature does not match the signature you provided")
    if verdict == "expired":
        return _refuse(403, "AccessDenied", "Request has expired")
    if request.method == "PUT":
        return _store(world, request)
    if (stored := _stored(world, request.path)) is not None:
        return Answer(200, {"content-type": "application/octet-stream"}, stored)
    found = world.find_asset(UUID(request.path.rpartition("/")[2]).int)
    return serve(request, found) if found else _refuse(404, "NoSuchKey", "The specified key does not exist")


def _stored(world: World, path: str) -> bytes | None:
    """The LFS object that a path names; None for any other path."""
    name = path.removeprefix(_LFS)
    held = (each.lfs for each in tuple(world.repositories))
    return next((lfs[name] for lfs in held if name != path and name in lfs), None)


def _store(world: World, request: Recorded) -> Answer:
    """Keep an LFS object, whose path is `OWNER/NAME/OID`, if it is what its name says."""
    full_name, _, name = request.path.removeprefix(_LFS).rpartition("/")
    repository, _ = world.find(unquote(full_name))
    if repository is None or hashlib.sha256(request.body).hexdigest() != name:
        return _refuse(400, "BadDigest", "The content is not what its name says, or larger than is kept here")
    repository.lfs[name] = request.body
    return Answer(200)


def serve(request: Recorded, asset: Asset, *, ranges: bool = True) -> Answer:
    """The asset's bytes, whole or in part, by RFC 9110's rules for validators and ranges."""
    size = asset.size
    headers = {
        "content-type": asset.content_type,
        "content-disposition": asset.disposition,
        "etag": asset.etag,
        "last-modified": format_datetime(asset.updated_at.astimezone(UTC), usegmt=True),
    }
    if ranges:
        headers["accept-ranges"] = "bytes"
    if _not_modified(request, asset):
        return Answer(304, headers)
    # Range is defined for GET alone, and a list of ranges may be ignored (RFC 9110, 14.2).
    span = _span(request.headers.get("range", ""), size) if ranges and request.method == "GET" else None
    if span is None or not _range_applies(request, asset):
        return Answer(200, headers, asset.content)
    start, stop = span
    if start >= stop:
        return Answer(416, {"content-range": f"bytes */{size}"})
    return Answer(206, {**headers, "content-range": f"bytes {start}-{stop - 1}/{size}"}, asset.content, start, stop)


def matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison of a list of entity tags with one (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


def _not_modified(request: Recorded, asset: Asset) -> bool:
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None:
        return matches(if_none_match, asset.etag)
    since = _date(request.headers.get("if-modified-since", ""))
    return since is not None and asset.updated_at.replace(microsecond=0) <= since


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Start and stop of a Range header; `None` for one to ignore: several ranges, another unit, or malformed."""
    wanted = _SINGLE_RANGE.fullmatch(text)
    if wanted is None:
        return None
    first, last, suffix = wanted.groups()
    if suffix:
        return max(0, size - int(suffix)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _range_applies(request: Recorded, asset: Asset) -> bool:
    condition = request.headers.get("if-range")
    if condition is None:
        return True
    return condition == asset.etag or _date(condition) == asset.updated_at.replace(microsecond=0)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _refuse(status: int, code: str, message: str) -> Answer:
    error = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer.text(status, error, "application/xml")
