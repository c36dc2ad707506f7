"""What an API's refusal, or a fault of the network, means: from what was answered to the problem behind it.

Pure. Sources: GitHub's REST documentation (troubleshooting, rate limits, SSO, allowed addresses); FACTS.md.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.errors import printable
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gatepass.forge.hosts import Forge, Host
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret

_SSO: Final = re.compile(r"required; url=(https://[!-~]{1,2000})", re.ASCII)
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:UTC|([+-]\d{4}))", re.ASCII)


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


def refusal(
    forge: Forge,
    secret: Secret,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    expires: datetime | None = None,
) -> Problem:
    """The problem behind an API answer that is neither a success nor a 404.

    `expires` is the secret's end, if an earlier answer told it: the refusal itself does not.
    """
    said = message(content)
    request_id = headers.get("x-github-request-id")
    return _refusal(forge, secret, status, headers, said, expires).about(request_id=request_id)


def _refusal(
    forge: Forge, secret: Secret, status: int, headers: Mapping[str, str], said: str, expires: datetime | None
) -> Problem:
    if status == 401:
        if expires is not None and expires <= datetime.now(UTC):
            return catalogue.EXPIRED_CREDENTIAL(forge=forge, secret=secret, expired=expires)
        return catalogue.BAD_CREDENTIAL(forge=forge, secret=secret)
    if status not in (403, 429):
        return catalogue.UPSTREAM_FAILED(host=forge.api_host, status=status)
    if "x-github-sso" in headers:
        url = _SSO.fullmatch(headers["x-github-sso"].strip())
        at = url[1] if url else None
        return catalogue.SSO_REQUIRED(forge=forge, secret=secret, url=at).about(authorise_at=at)
    if (after := _seconds(headers.get("retry-after"))) is not None:
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
    if status == 429 or "rate limit" in folded:
        return catalogue.SECONDARY_RATE_LIMITED(forge=forge, secret=secret, retry_after=60)
    return catalogue.FORBIDDEN(forge=forge, secret=secret, message=said)


def fault(host: Host, error: Exception, trust: str, issuer: str | None) -> Problem:
    """The problem behind a connection that failed; `trust` says what its certificate was checked against.

    httpx2 keeps the reasons in the chain of causes, and the deepest says most.
    """
    chain = list(causes(error))
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


def message(content: bytes) -> str:
    """GitHub's own words in an error answer, for people: one printable line, cut short."""
    try:
        said = msgspec.json.decode(content, type=_Message).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return printable(said)[:300]
