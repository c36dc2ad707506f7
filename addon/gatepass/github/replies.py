"""What a forge answers, as values: a whole reply, or where an endpoint points to.

Knows neither who asked nor how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

    from gatepass.forge.signed import SignedUrl


class AssetGoneError(Exception):
    """The asset endpoint knows the asset no more: it was replaced or deleted since its id was read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of the API, small enough to hold; `url` is where it came from in the end.

    `age` is how many seconds ago another replica got it, 0 for our own.
    """

    status: int
    headers: httpx2.Headers
    content: bytes
    url: str
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Pointed:
    """What an endpoint of the API, in the end at `url`, has: a URL that it sends to, or bytes with these headers.

    `reused` tells that somebody else was given the URL before.
    """

    url: str
    signed: SignedUrl | None
    headers: httpx2.Headers
    reused: bool = False
