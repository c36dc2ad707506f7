"""What an API's refusal, or a fault of the network, means: from what was answered to the problem behind it.

Pure. Sources: GitHub's REST documentation (troubleshooting, rate limits, SSO, allowed addresses); FACTS.md.
"""

from __future__ import annotations

import html
import math
import re
import socket
import ssl
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from h2.events import ConnectionTerminated

from gatepass.errors import printable
from gatepass.forge.hosts import Host
from gatepass.http import fields
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2

    from gatepass.forge.hosts import Forge
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret
else:
    from gatepass.github import httpx as httpx2

_SSO: Final = re.compile(r"required; url=(https://[!-Z^-~]{1,2000})", re.ASCII)
_ADDRESS: Final = re.compile(r"https://[!-Z^-~]{1,2000}", re.ASCII)
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:UTC|([+-]\d{4}))", re.ASCII)


# What an asset host may say in its own words: unchanged, not here, not as it was wanted.
_OF_ASSETS: Final = frozenset({304, 404, 412, 416})
# Bytes of a page in which its title stands.
_HEAD: Final = 8 * 1024
# A title is cut shorter than the numbers in `&#…;` that Python refuses to read.
_MOST_TITLE: Final = 1024


class _Block(msgspec.Struct, frozen=True):
    reason: str = ""
    html_url: str | None = None


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


class _Blocked(msgspec.Struct, frozen=True):
    block: _Block


def refusal(forge: Forge, secret: Secret, status: int, headers: Mapping[str, str], content: bytes) -> Problem:
    """The problem behind an API answer that is neither a success nor a 404."""
    said = message(content)
    if (block := _block(content)) or status == 451:
        return _taken_down(forge, said, block or _Block())
    return _refusal(forge, secret, status, headers, said).about(request_id=headers.get("x-github-request-id"))


def _refusal(forge: Forge, secret: Secret, status: int, headers: Mapping[str, str], said: str) -> Problem:
    if status == 401:
        return catalogue.BAD_CREDENTIAL(forge=forge, secret=secret)
    if status not in (403, 429):
        return catalogue.UPSTREAM_FAILED(host=forge.api_host, status=status)
    if "x-github-sso" in headers:
        url = _SSO.fullmatch(headers["x-github-sso"].strip())
        at = url[1] if url else None
        return catalogue.SSO_REQUIRED(forge=forge, secret=secret, url=at).about(authorise_at=at)
    if (after := _wait(headers.get("retry-after", ""))) is not None:
        return catalogue.SECONDARY_RATE_LIMITED(forge=forge, secret=secret, retry_after=after)
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _seconds(headers.get("x-ratelimit-reset"))
        after = 60 if reset is None else max(1, reset - int(time.time()))
        return catalogue.RATE_LIMITED(forge=forge, secret=secret, retry_after=after)
    folded = said.casefold()
    if "ip allow list" in folded:
        return catalogue.ADDRESS_NOT_ALLOWED(forge=forge, secret=secret)
    if "login attempts" in folded:
        return catalogue.LOCKED_OUT(forge=forge, secret=secret)
    if "too large" in folded:
        return catalogue.FILE_TOO_LARGE(forge=forge, message=said)
    if "forbids access via a" in folded and "token" in folded:
        remedy = catalogue.TOKEN_FORBIDDEN.remedy("lifetime" if "lifetime" in folded else secret.kind)
        return catalogue.TOKEN_FORBIDDEN(forge=forge, secret=secret, message=said, remedy=remedy)
    if status == 429 or "rate limit" in folded:
        return catalogue.SECONDARY_RATE_LIMITED(forge=forge, secret=secret, retry_after=60)
    return catalogue.FORBIDDEN(forge=forge, secret=secret, message=said)


def _taken_down(forge: Forge, said: str, block: _Block) -> Problem:
    """A repository that GitHub blocks, by law or by its terms (REST docs, "Repository access blocked")."""
    notice = block.html_url or ""
    at = notice if _ADDRESS.fullmatch(notice) else None
    reason = printable(block.reason)[:40]
    return catalogue.TAKEN_DOWN(forge=forge, what=reason, message=said, url=at).about(notice=at)


def _block(content: bytes) -> _Block | None:
    try:
        return msgspec.json.decode(content, type=_Blocked).block
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def foreign(host: Host, status: int, headers: Mapping[str, str], content: bytes = b"") -> Problem | None:
    """What to say of an answer for the API that is not its own; None when nothing speaks against it.

    GitHub's own answers have an id of the request, a media type or a budget, and send nobody to other places without;
    only what fails may come from its edge, bare.
    """
    if any(name.lower().startswith(("x-github-", "x-ratelimit-")) for name in headers):
        return None
    is_page = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    place = _elsewhere(host, headers.get("location", "")) if 300 <= status < 400 else ""
    if not (is_page or place) or 500 <= status < 511:
        return None
    return catalogue.FOREIGN_ANSWER(host=host, status=status, page=_title(content), place=place)


def foreign_asset(host: Host, status: int, headers: Mapping[str, str], content: bytes = b"") -> Problem | None:
    """The same of an asset host, which may have pages among its assets, and one for what it lacks."""
    return foreign(host, status, headers, content) if status >= 300 and status not in _OF_ASSETS else None


def _elsewhere(host: Host, location: str) -> str:
    """The other server that a redirect leads to; empty when it leads to none."""
    try:
        name = urlsplit(location).hostname or ""
        return "" if Host.parse(name).name == host.name else name
    except ValueError:
        return ""


def _title(page: bytes) -> str:
    """What a page calls itself: one printable line, cut short."""
    folded = page[:_HEAD].lower()
    start = folded.find(b">", folded.find(b"<title")) + 1 if b"<title" in folded else 0
    text = page[start : folded.find(b"</title", start)][:_MOST_TITLE] if start else b""
    return printable(" ".join(html.unescape(text.decode("utf-8", "replace")).split()))[:100]


def fault(host: Host, error: Exception, trust: str, issuer: str | None, proxy: Host | None = None) -> Problem:
    """The problem behind a connection that failed; `trust` says what its certificate was checked against.

    It went by way of `proxy`, unless that is None. httpx2 keeps the reasons in the chain of causes, and the deepest
    says most.
    """
    chain = list(causes(error))
    if proxy is not None:
        if isinstance(error, httpx2.ProxyError) and (refused := re.match(r"[1-9]\d\d\b", str(error), re.ASCII)):
            remedy = catalogue.PROXY_REFUSED.remedy(refused[0], host=host)
            return catalogue.PROXY_REFUSED(host=host, proxy=proxy, status=int(refused[0]), remedy=remedy)
        if isinstance(error, httpx2.ConnectError) and not any(isinstance(cause, ssl.SSLError) for cause in chain):
            host = proxy  # which is all that is connected to
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return catalogue.CERTIFICATE_NOT_TRUSTED(host=host, error=cause.verify_message, issuer=issuer, trust=trust)
        if isinstance(cause, socket.gaierror):
            return catalogue.NAME_NOT_RESOLVED(host=host, error=cause.strerror or "unknown name")
    texts = [cause.strerror or str(cause) for cause in chain if isinstance(cause, OSError)]
    # what the libraries say of a request may quote its headers, and a text with a URL in it may hold a signature
    text = next((text for text in reversed(texts) if text and "://" not in text), type(error).__name__)
    return catalogue.UNREACHABLE(host=host, error=text)


def is_untrusted(error: Exception) -> bool:
    """Whether a connection failed because of the server's certificate."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error))


def is_dropped(error: Exception, *, is_fresh: bool) -> bool:
    """Whether the other side was done with the connection before it saw the question: it closed one that was there
    already, or, over HTTP/2, said that it takes no more (RFC 9113, section 6.8).
    """
    if any(isinstance(each, ConnectionTerminated) for cause in causes(error) for each in cause.args):
        return True
    return not is_fresh and isinstance(error, (httpx2.ProtocolError, httpx2.ReadError, httpx2.WriteError))


def token_expiry(headers: Mapping[str, str]) -> datetime | None:
    """When the token ends that an answer was given to; None when it does not say. Two formats were seen (FACTS.md)."""
    match = _DATE.fullmatch(headers.get("github-authentication-token-expiration", "").strip())
    if match is None:
        return None
    try:
        return datetime.strptime(f"{match[1]} {match[2] or '+0000'}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from; httpx2 keeps the deepest layer's own."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__


def _seconds(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


def _wait(retry_after: str) -> int | None:
    """For how many seconds that header asks: it says so, or names a date (RFC 9110, section 10.2.3)."""
    if (seconds := _seconds(retry_after)) is not None:
        return seconds
    date = fields.date(retry_after)
    return None if date is None else max(0, math.ceil(date.timestamp() - time.time()))


def message(content: bytes) -> str:
    """GitHub's own words in an error answer, for people: one printable line, cut short."""
    try:
        said = msgspec.json.decode(content, type=_Message).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return printable(said)[:300]
