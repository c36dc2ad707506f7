"""The responses that a client sees: made here, or cleared of what is not its business.

Pure: from facts to mitmproxy's `Response`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mitmproxy.http import Headers, Response

from gatepass.problems import catalogue
from gatepass.problems.problem import CONTENT_TYPE, Problem, Unresolvable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.forge.hosts import Host
    from gatepass.forge.signed import SignedUrl
    from gatepass.github.client import Excerpt

# What belongs to the asset. The rest tells of the token (scopes, expiry, budget), sets cookies, or is the host's own.
_ASSET_HEADERS: Final = frozenset({
    "accept-ranges", "age", "cache-control", "content-disposition", "content-encoding", "content-length",
    "content-range", "content-type", "date", "etag", "expires", "last-modified",
})  # fmt: skip
# What mitmproxy needs of an answer that it passes on: how the body is framed, and whether the connection goes on.
_FRAMING: Final = frozenset({"connection", "transfer-encoding"})
# What a 304 repeats of the whole answer's headers (RFC 9110, section 15.4.5).
_VALIDATORS: Final = ("cache-control", "date", "etag", "expires", "last-modified")
# Whole, part, unchanged, precondition failed, no such range: what an asset itself can answer (RFC 9110, section 15).
ASSET_STATUS: Final = frozenset({200, 206, 304, 412, 416})
_TOTAL: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)", re.ASCII)


def refusal(problem: Problem, method: str) -> Response:
    """The answer for a request that cannot be served.

    A HEAD gets 404 with the same reason phrase: uv then asks again by GET and shows the details, whereas other
    statuses of a HEAD are final or retried for nothing (FACTS.md).
    """
    headers = {"Cache-Control": "no-store"}
    if method == "HEAD":
        return _response(404, headers, reason=problem.reason)
    headers["Content-Type"] = CONTENT_TYPE
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return _response(problem.status, headers, problem.body(), problem.reason)


def redirect(signed: SignedUrl) -> Response:
    """A redirect to the asset host. It must not be kept: the URL lives for minutes."""
    return _response(302, {"Location": signed.url, "Cache-Control": "no-store"})


def again(url: str) -> Response:
    """A redirect of a request to itself: what was known of the asset was wrong, and is asked for anew the next time."""
    return _response(307, {"Location": url, "Cache-Control": "no-store"})


def description(first: Excerpt, host: Host, size: int | None, content_type: str) -> Response:
    """The answer for a HEAD, from what the first byte told; `size` and `content_type` as the API knows them.

    Raises:
        Unresolvable: the host did not give the first byte.
    """
    headers = _asset_headers(first)
    headers.pop("content-range", None)
    length: str | None
    match first.status:
        case 206 | 416:
            total = _TOTAL.fullmatch(first.headers.get("content-range", ""))
            if total is None or (first.status == 416 and total[1] != "0"):
                raise Unresolvable(catalogue.MALFORMED_ANSWER(host=host, what="a range without its total size"))
            length, headers["accept-ranges"] = total[1], "bytes"
            if first.status == 416:  # an empty asset has no first byte, and the refusal describes itself
                headers["content-type"] = content_type
        case 200:
            length = headers.get("content-length", None if size is None else str(size))
        case status:
            raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=status))
    response = _response(200, headers)
    # of the body that a GET would get, which is not here
    if length is None:
        del response.headers["Content-Length"]
    else:
        response.headers["Content-Length"] = length
    return response


def unmodified(first: Excerpt) -> Response:
    """The answer for a client that has what there is."""
    headers = _asset_headers(first)
    response = _response(304, {name: headers[name] for name in _VALIDATORS if name in headers})
    del response.headers["Content-Length"]
    return response


def excerpt(part: Excerpt, host: Host) -> Response:
    """The answer for a small range.

    Raises:
        Unresolvable: the host refused the URL, or failed.
    """
    if part.status not in ASSET_STATUS:
        raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=part.status))
    return _response(part.status, _asset_headers(part), part.content)


def from_asset_host(response: Response, host: Host) -> Response:
    """What the asset's host answered, as the client may see it: streamed, with the asset's own headers alone.

    Raises:
        Unresolvable: it refused the URL, or failed.
    """
    if response.status_code not in ASSET_STATUS:
        raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=response.status_code))
    kept = _ASSET_HEADERS | _FRAMING
    fields = tuple((name, value) for name, value in response.headers.fields if name.lower().decode("latin-1") in kept)
    data = response.data
    copy = Response(
        data.http_version, data.status_code, data.reason, Headers(fields), None, None, data.timestamp_start, None
    )
    copy.stream = True
    return copy


def _asset_headers(part: Excerpt) -> dict[str, str]:
    return {name.lower(): value for name, value in part.headers.items() if name.lower() in _ASSET_HEADERS}


def _response(status: int, headers: Mapping[str, str], content: bytes = b"", reason: str | None = None) -> Response:
    """A whole response; `content` is counted, whatever the headers say of its length."""
    response = Response.make(status, content, {n: v for n, v in headers.items() if n != "content-length"})
    if reason is not None:
        response.reason = reason
    return response
