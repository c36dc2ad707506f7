"""The responses that a client sees: made here, or cleared of what is not its business.

Pure: from facts to mitmproxy's `Response`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mitmproxy.http import Headers, Response

from . import problems
from .github import describe_refusal, signed_url
from .problems import Problem, Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .forges import Forge, Host
    from .github import Asset, Probe, SignedUrl

# What belongs to the asset. The rest tells of the token (scopes, expiry, budget), sets cookies, or is the host's own.
_ASSET_HEADERS: Final = frozenset(
    {
        b"accept-ranges",
        b"age",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        # framing and the life of the connection: mitmproxy needs them
        b"connection",
        b"transfer-encoding",
    }
)
# Whole, part, unchanged, precondition failed, no such range: what an asset itself can answer (RFC 9110, section 15).
_ASSET_STATUS: Final = frozenset({200, 206, 304, 412, 416})
_TOTAL: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)", re.ASCII)


def refusal(problem: Problem, method: str) -> Response:
    """The answer for a request that cannot be served.

    A HEAD gets 404 with the same reason phrase: uv then asks again by GET and shows the details, whereas other
    statuses of a HEAD are final or retried for nothing (FACTS.md).
    """
    if method == "HEAD":
        return _response(404, [("Content-Length", "0"), ("Cache-Control", "no-store")], reason=problem.reason)
    headers = [("Content-Type", problems.CONTENT_TYPE), ("Cache-Control", "no-store")]
    if problem.retry_after is not None:
        headers.append(("Retry-After", str(problem.retry_after)))
    return _response(problem.status, headers, problem.body(), problem.reason)


def redirect(signed: SignedUrl) -> Response:
    """A redirect to the asset host. It must not be kept: the URL lives for minutes."""
    return _response(302, [("Location", signed.url), ("Content-Length", "0"), ("Cache-Control", "no-store")])


def description(probe: Probe, asset: Asset, host: Host) -> Response:
    """The answer for a HEAD, from what the first byte told.

    Raises:
        Unresolvable: the asset host did not give the first byte.
    """
    headers = {name.lower(): value for name, value in probe.headers.items() if name.lower().encode() in _ASSET_HEADERS}
    for name in ("content-range", "transfer-encoding", "connection"):
        headers.pop(name, None)
    match probe.status:
        case 206 | 416:
            total = _TOTAL.fullmatch(probe.headers.get("content-range", ""))
            if total is None or (probe.status == 416 and total[1] != "0"):
                raise Unresolvable(problems.malformed(host, "a range without its total size"))
            headers["content-length"] = total[1]
            headers["accept-ranges"] = "bytes"
            if probe.status == 416:  # an empty asset has no first byte, and the refusal describes itself
                headers["content-type"] = asset.content_type
            status = 200
        case 200:
            headers.setdefault("content-length", str(asset.size))
            status = 200
        case 304 | 412 as status:
            headers.pop("content-length", None)
        case _:
            raise Unresolvable(problems.signed_url_refused(host, probe.status))
    return _response(status, headers.items())


def from_api(response: Response, forge: Forge, api_url: str, source: str) -> Response:
    """What the asset endpoint answered, as the client may see it: bytes, or a redirect to them.

    Raises:
        Unresolvable: it answered something else.
    """
    if response.status_code in _ASSET_STATUS:
        return _cleared(response)
    location = response.headers.get("location")
    if location is None or not 300 <= response.status_code < 400:
        raise describe_refusal(forge, source, response.status_code, response.headers, b"")
    signed = signed_url(location, api_url, forge)
    if signed is None:
        raise Unresolvable(problems.malformed(forge.api_host, "a redirect that leads to no asset host"))
    return redirect(signed)


def from_asset_host(response: Response, host: Host) -> Response:
    """What the asset host answered to a signed URL.

    Raises:
        Unresolvable: it refused the URL, or failed.
    """
    if response.status_code in _ASSET_STATUS:
        return _cleared(response)
    raise Unresolvable(problems.signed_url_refused(host, response.status_code))


def _cleared(response: Response) -> Response:
    """The same response, streamed, with the asset's own headers alone."""
    fields = tuple((name, value) for name, value in response.headers.fields if name.lower() in _ASSET_HEADERS)
    data = response.data
    copy = Response(
        data.http_version, data.status_code, data.reason, Headers(fields), None, None, data.timestamp_start, None
    )
    copy.stream = True
    return copy


def _response(
    status: int, headers: Iterable[tuple[str, str]], content: bytes = b"", reason: str | None = None
) -> Response:
    response = Response.make(status, content)
    # `make` counted the body, which is not what the headers of a HEAD or a 304 tell
    length = response.headers.pop("content-length")
    for name, value in headers:
        response.headers.add(name, value)
    if content:
        response.headers["Content-Length"] = length
    if reason is not None:
        response.reason = reason
    return response
