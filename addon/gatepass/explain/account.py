"""What a forge's API tells of a credential: whose it is, what it may do, until when, and its budget.

Pure: from answers to steps; the time is the caller's. Sources: GitHub's REST documentation, and recordings (FACTS.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gatepass.explain.explanation import Step
from gatepass.github import refusals
from gatepass.secret import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.secret import Secret

WITHOUT_ACCOUNT: Final = "App or Actions token"
"""What has an installation behind it, which `/user` does not answer."""

_SOON_DAYS: Final = 7
_LITTLE: Final = 100


def fingerprint(secret: Secret) -> str:
    """Tells secrets apart, and holds no character of one."""
    return secret.fingerprint(EVERYWHERE)[:8]


def credential(name: str, secret: Secret) -> Step:
    """Where it came from."""
    shown = "" if secret.mark is None else f", fingerprint {secret.mark}"
    return Step("credential", "ok", f"`{name}` from {secret.source}: {secret.kind}{shown}")


def rights(headers: Mapping[str, str], token_kind: str, *, private: bool | None) -> Step:
    """What the token may do; GitHub tells it of scopes alone. `private` is None when the repository is not seen."""
    scopes = headers.get("x-oauth-scopes")
    if scopes is None:
        asked = headers.get("x-accepted-github-permissions")
        wants = f"; this needs `{asked}`" if asked else ""
        return Step("rights", "ok", f"GitHub does not tell the permissions of this {token_kind}{wants}")
    held = {scope.strip() for scope in scopes.split(",") if scope.strip()}
    found = f"scopes: {', '.join(sorted(held)) or 'none'}"
    if "repo" in held or private is False:
        return Step("rights", "ok", found)
    return Step("rights", "warn", f"{found}; a private repository needs `repo`", "make a token with the scope `repo`")


def expiry(headers: Mapping[str, str], now: datetime) -> Step:
    text = headers.get("github-authentication-token-expiration")
    if text is None:
        return Step("expiry", "ok", "GitHub names no end")
    end = refusals.token_expiry(headers)
    if end is None:
        return Step("expiry", "warn", "GitHub names an end that cannot be read")
    days = (end - now).total_seconds() / 86_400
    shown = f"{end.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    hint = "make a new token, and set it where the proxy runs"
    if days <= 0:
        return Step("expiry", "fail", f"expired on {shown}", hint)
    if days <= _SOON_DAYS:
        return Step("expiry", "warn", f"expires in {_span(days * 86_400)}, on {shown}", hint)
    return Step("expiry", "ok", f"expires in {_span(days * 86_400)}, on {shown}")


def sso(headers: Mapping[str, str]) -> Step:
    """Whether an organisation wants the token authorised (REST docs, SAML single sign-on)."""
    text = headers.get("x-github-sso")
    if text is None:
        return Step("sso", "ok", "no authorisation is missing")
    state, _, url = text.partition("; url=")
    if state.strip() != "required":
        return Step("sso", "ok", "other organisations want the token authorised")
    hint = f"authorise the token: {url}" if url.startswith("https://") else "authorise the token in its settings"
    return Step("sso", "fail", "the organisation wants the token authorised for its single sign-on", hint)


def budget(headers: Mapping[str, str], now: datetime) -> Step:
    left, limit = _number(headers, "x-ratelimit-remaining"), _number(headers, "x-ratelimit-limit")
    if left is None or limit is None:
        return Step("budget", "ok", "the API names no limit")
    reset = _number(headers, "x-ratelimit-reset")
    when = f", full again in {_span(max(0.0, reset - now.timestamp()))}" if reset else ""
    found = f"{left} of {limit} API calls left{when}"
    if left == 0:
        return Step("budget", "fail", found, "wait, or use a token with a larger budget")
    return Step("budget", "warn" if left < _LITTLE else "ok", found)


def age(then: datetime | None, now: datetime) -> str:
    """In words, for people; empty when it is not known."""
    return "" if then is None else f"{_span(max(0.0, (now - then).total_seconds()))} old"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
