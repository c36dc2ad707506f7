"""Conditional and range requests, as far as the proxy answers them itself (RFC 9110, sections 13 and 14).

Pure: from header texts to answers. What it cannot tell for sure it leaves to the asset's own host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gatepass.http.fields import date

if TYPE_CHECKING:
    from collections.abc import Mapping

CONDITIONS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
PARTIAL: Final = ("range", "if-range", *CONDITIONS)
"""The request headers that an asset host is sent on."""

MOST_PARTS: Final = 20
"""Ranges in one header: more are of no use to anybody, and cost each server on the way (RFC 9110, section 14.2)."""

# A value of anything else is no Range, date or tag that a client of today sends (RFC 9110, section 5.5).
_TEXT: Final = re.compile(r"[\t -~]*", re.ASCII)
_SPAN: Final = re.compile(r"bytes=(?:(\d{1,15})-(\d{1,15})|-(\d{1,15}))", re.ASCII)
_ETAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def partial(headers: Mapping[str, str]) -> dict[str, str]:
    """What a request says of parts and conditions, in fields that are text; another might as well not be there.

    `headers` must find names whatever their case.
    """
    fields = ((name, headers[name]) for name in PARTIAL if name in headers)
    return {name: value for name, value in fields if _TEXT.fullmatch(value)}


def parts(text: str) -> int:
    """How many ranges a Range header names."""
    return text.count(",") + 1


def span(text: str) -> int | None:
    """How many bytes a Range header asks for at most; None when it is open, several, or not to be understood."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return int(suffix)
    return int(last) - int(first) + 1 if int(first) <= int(last) else None


def is_unmodified(request: Mapping[str, str], etag: str | None, last_modified: str | None) -> bool | None:
    """Whether the client has what there is, by its If-None-Match or else its If-Modified-Since.

    None when only the asset's own host can tell: other conditions, or validators that are missing or malformed.
    """
    if "if-match" in request or "if-unmodified-since" in request:
        return None
    if (known := request.get("if-none-match")) is not None:
        if known.strip() == "*":
            return True
        # the weak comparison (section 8.8.3.2)
        ours = _ETAG.fullmatch(etag) if etag is not None else None
        return None if ours is None else ours[1] in _ETAG.findall(known)
    since, modified = date(request.get("if-modified-since", "")), date(last_modified or "")
    return None if since is None or modified is None else modified <= since
