"""What became of one request, or of one tunnel: the value that lines, counts and pages are made of.

Knows neither flows nor where it is told. Whoever makes one of what a client sent has that made harmless here.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from functools import lru_cache
from typing import Final, Literal, get_args
from urllib.parse import quote

import msgspec
from msgspec import Struct

from gatepass.errors import printable
from gatepass.redaction import cleared, redact

type Action = Literal["resolve", "inject", "pass", "tunnel", "refuse", "would-refuse"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action.__value__)

_LONGEST: Final = 1024
_LONGEST_PATH: Final = 2048
# All visible characters: what is no part of a path is its client's word, and is told as it was sent.
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_ALL_VISIBLE: Final = re.compile("[!-~]*")
# Without any of these nothing has the shape of a secret (`gatepass.redaction`), and most texts are done in no time.
_SUSPECT: Final = re.compile(r"[=:@\s]|%3[dD]|gh[a-z]_|github_pat_|eyJ")


class Event(Struct, frozen=True, kw_only=True):  # made at each request: a dataclass takes six times as long
    """What became of one request or tunnel.

    `began` is in epoch seconds, and `seconds` is how long it took. `sent` are the bytes that the client sent to the
    destination, and `received` those that it got: of a request its bodies', of a tunnel all. `client` is the name of an
    entry of the rules, `user` a person's or a machine's, `subject` a token's. `problem` is the `type` of its document.
    """

    action: Action
    failed: bool
    began: float
    seconds: float
    source: str
    client: str | None = None
    user: str | None = None
    subject: str | None = None
    method: str | None = None
    status: int | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    sent: int = 0
    received: int = 0
    reason: str | None = None
    rule: str | None = None
    credential: str | None = None
    problem: str | None = None
    api_calls: int = 0
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(12))

    @property
    def refused(self) -> bool:
        """Whether the client was refused by the rules of the house, or would have been."""
        return self.action in ("refuse", "would-refuse")


def text(foreign: str) -> str:
    """Text that may come from a stranger: without secrets, and without what would steer a terminal; of bounded size."""
    return _shortened(printable(_without_secrets(foreign[: 4 * _LONGEST])), _LONGEST)


def path(target: str) -> str:
    """The path of a request's target, as it was sent, without its query."""
    raw = target[: 4 * _LONGEST_PATH].partition("?")[0]
    if not _ALL_VISIBLE.fullmatch(raw):
        raw = quote(raw.encode("utf-8", "surrogateescape"), safe=_VISIBLE)
    return _shortened(_without_secrets(raw), _LONGEST_PATH)


def address(foreign: str) -> str:
    """An IP address in its usual form: one of IPv4 that came over IPv6 is one of IPv4, and no interface is named."""
    try:
        return _address(foreign)
    except ValueError:
        return text(foreign)


@lru_cache(4096)  # a client's is told at each of its requests
def _address(foreign: str) -> str:
    parsed = ipaddress.ip_address(foreign.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _without_secrets(whole: str) -> str:
    return redact(whole) if _SUSPECT.search(whole) else cleared(whole)


def _shortened(whole: str, most: int) -> str:
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"
