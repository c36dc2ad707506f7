"""Signed URLs: where they lead, and until when.

Pure: the time is the caller's. A signed URL is a short-lived secret, so its text is in no repr.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from gatepass.forge.hosts import Host

MARGIN: Final = 30.0
"""Seconds before its end at which a signed URL is no longer handed out: time for a client to follow it, and for clocks
that differ."""


class _Claims(msgspec.Struct):
    exp: float  # a NumericDate, which may have a fraction (RFC 7519, section 2)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that needs no credential for a few minutes. `expires` is in epoch seconds, None when it cannot be read."""

    url: str
    host: Host
    expires: float | None

    @classmethod
    def parse(cls, url: str) -> SignedUrl | None:
        """Read the target of a redirect; None when it is no URL that a client could be sent to without a credential:
        https, a host, no user information.
        """
        try:
            parts = urlsplit(url)
            # a name that cannot be would hang mitmproxy
            host = Host.parse(parts.netloc)
        except ValueError:
            return None
        return cls(url, host, expiry(parts.query)) if parts.scheme == "https" else None

    @property
    def path(self) -> str:
        """The path alone: it names the file, and is no secret."""
        return urlsplit(self.url).path

    @property
    def target(self) -> str:
        """Path and query as they stand in the URL: the signature covers every byte of them."""
        parts = urlsplit(self.url)
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def seconds(self, now: float) -> float:
        """How long it may still be handed out; 0 when that cannot be told: then it is used once."""
        return 0.0 if self.expires is None else max(0.0, self.expires - MARGIN - now)

    def __repr__(self) -> str:
        return f"<SignedUrl on {self.host}>"


def expiry(query: str) -> float | None:
    """When the URL with this query ends, in epoch seconds: the earliest of what its parameters say.

    `X-Amz-Date` with `X-Amz-Expires` (SigV4), `se` (Azure's SAS), `exp` of a `jwt` (FACTS.md). A parameter that is
    there and cannot be read makes the whole unreadable: the end may be nearer than the others say.
    """
    try:
        parameters = {name.lower(): values[0] for name, values in parse_qs(query, max_num_fields=100).items()}
        ends = []
        if "x-amz-date" in parameters or "x-amz-expires" in parameters:
            date = datetime.strptime(parameters["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            ends.append(date.timestamp() + int(parameters["x-amz-expires"]))
        if "se" in parameters:
            end = datetime.fromisoformat(parameters["se"])
            ends.append((end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp())
        if "jwt" in parameters:
            payload = parameters["jwt"].split(".")[1]
            claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            ends.append(msgspec.json.decode(claims, type=_Claims).exp)
    except (ValueError, KeyError, IndexError, OverflowError, RecursionError, binascii.Error, msgspec.MsgspecError):
        return None
    return min(ends, default=None)
