"""What went wrong, in words: for the client as problem details (RFC 9457), for the log as one line.

Pure: makes texts from facts and does not look for any. No text here may hold a secret or a signed URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.forges import Forge, Host
    from gatepass.urls import AssetRef

CONTENT_TYPE: Final = "application/problem+json"
"""Without a charset: uv reads the details of exactly this type (FACTS.md, measured)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure: `kind` is stable and for machines, the rest is for people.

    `status` is what a GET is answered with. `retry_after` is in seconds.
    """

    kind: str
    status: int
    title: str
    detail: str
    hint: str
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The `type` URI of RFC 9457."""
        return f"urn:gatepass:problem:{self.kind}"

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}; hint: {self.hint}"

    def body(self) -> bytes:
        """The JSON document that a GET is answered with."""
        members: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            # uv shows title and detail and nothing else, so the way out stands in the detail too
            "detail": f"{self.detail}; hint: {self.hint}",
            "hint": self.hint,
        }
        if self.retry_after is not None:
            members["retry-after"] = self.retry_after
        return msgspec.json.encode(members)

    @property
    def reason(self) -> str:
        """The reason phrase, which pip, wget and `curl -i` show: ASCII, short."""
        return f"gatepass: {self.title}".encode("ascii", "replace").decode()[:80]


class Unresolvable(Exception):
    """Raised on the way to an asset when there is no going on; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def internal() -> Problem:
    return Problem(
        "internal",
        500,
        "gatepass failed",
        "the addon met something that it does not expect; mitmproxy's log holds the details",
        "report it, with the log",
    )


def no_credential(name: str, tried: Iterable[str]) -> Problem:
    sources = ", ".join(f"`{source}`" for source in tried)
    return Problem(
        "no-credential",
        401,
        "no credential found",
        f"credential `{name}` has no value: tried {sources}",
        "set one of them where the proxy runs, then start it again",
    )


def unusable_secret(name: str, source: str) -> Problem:
    return Problem(
        "unusable-secret",
        401,
        "unusable credential",
        f"what `{source}` holds for credential `{name}` is no token: it has characters that no header may hold",
        "set it again, without line breaks, quotes or non-ASCII characters",
    )


def unverified_upstream(host: Host) -> Problem:
    return Problem(
        "unverified-upstream",
        502,
        "upstream certificates are not verified",
        f"mitmproxy runs with `ssl_insecure`, so no credential is sent for {host}",
        "start it without `ssl_insecure`, and name a private CA with `ssl_verify_upstream_trusted_ca`",
    )


def bad_credential(forge: Forge, source: str) -> Problem:
    return Problem(
        "bad-credential",
        401,
        "bad credential",
        f"{forge.api_host} does not accept the token from `{source}`",
        "make a new token, or check that the whole of it was set",
    )


def forbidden(forge: Forge, source: str, message: str) -> Problem:
    return Problem(
        "forbidden",
        403,
        "access refused",
        f"{forge.api_host} refuses the token from `{source}`: {message}",
        "see what the token may do in the settings of its owner",
    )


def rate_limited(forge: Forge, source: str, retry_after: int) -> Problem:
    return Problem(
        "rate-limited",
        429,
        "API rate limit exceeded",
        f"{forge.api_host} answers the token from `{source}` again in {retry_after} s",
        "wait, or use a token with a larger budget",
        retry_after,
    )


def release_not_found(ref: AssetRef, source: str) -> Problem:
    release = "a release" if ref.tag is None else f"release `{ref.tag}`"
    return Problem(
        "release-not-found",
        404,
        "release not found",
        f"{release} of {ref.repository} does not exist, or the token from `{source}` may not see it",
        "check owner, repository and tag, and that the token has the permission `Contents: read` there",
    )


def asset_not_found(ref: AssetRef, tag: str) -> Problem:
    return Problem(
        "asset-not-found",
        404,
        "asset not found",
        f"release `{tag}` of {ref.repository} has no asset `{ref.name}`",
        f"`gh release view {tag} -R {ref.repository}` lists what it has",
    )


def asset_not_uploaded(ref: AssetRef, state: str) -> Problem:
    return Problem(
        "asset-not-uploaded",
        404,
        "asset not fully uploaded",
        f"asset `{ref.name}` of {ref.repository} is in state `{state}`",
        "upload it again",
    )


def unreachable(host: Host, error: str) -> Problem:
    return Problem(
        "unreachable",
        502,
        f"cannot reach {host.name}",
        f"{host}: {error}",
        "check the network, DNS and the CA that the proxy trusts upstream",
    )


def timed_out(host: Host, seconds: float) -> Problem:
    return Problem(
        "timed-out",
        504,
        f"no answer from {host.name}",
        f"{host} did not answer within {seconds:g} s",
        "try again; see the forge's status page",
    )


def upstream_failed(host: Host, status: int) -> Problem:
    return Problem(
        "upstream-failed",
        502,
        f"{host.name} failed",
        f"{host} answered {status}",
        "try again; see the forge's status page",
    )


def malformed(host: Host, what: str) -> Problem:
    return Problem(
        "malformed-answer",
        502,
        f"unexpected answer from {host.name}",
        f"{host}: {what}",
        "check that `api:` in the rules is the base URL of a GitHub API",
    )


def signed_url_refused(host: Host, status: int) -> Problem:
    return Problem(
        "signed-url-refused",
        502,
        "the asset host refused the signed URL",
        f"{host} answered {status}",
        "try again; check the clock of this machine",
    )
