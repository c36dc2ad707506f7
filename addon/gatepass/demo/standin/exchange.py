"""One request and its answer: what the log keeps, what the origins return, and the faults put between the two.

It may not know what any path means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from .model import Content

type Role = Literal["web", "api", "asset", "raw", "codeload"]

# Where GitHub Enterprise Server has its API, below the web host.
ENTERPRISE_API = "/api/v3"
_ENTERPRISE = (f"{ENTERPRISE_API}/", "/api/uploads/", "/api/graphql")


@dataclass(frozen=True, slots=True)
class Names:
    """A family of names that one GitHub goes by; its API has a host of its own, and so no prefix.

    `signed` and `public` serve the assets: URLs that were given to somebody with credentials, and to anybody without.
    `codeload` makes archives, `raw` has single files, `uploads` takes files. `others` are pages that nobody asks for.
    """

    web: str
    api: str
    signed: str
    public: str
    codeload: str
    raw: str
    uploads: str
    others: tuple[str, ...] = ()

    def roles(self) -> dict[str, Role]:
        """What answers under each name."""
        assets: dict[str, Role] = dict.fromkeys((self.signed, self.public), "asset")
        sources: dict[str, Role] = {self.codeload: "codeload", self.raw: "raw"}
        return {
            self.web: "web",
            self.api: "api",
            self.uploads: "api",
            **assets,
            **sources,
            **dict.fromkeys(self.others, "web"),
        }


GITHUB = Names(
    "github.com",
    "api.github.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
    "codeload.github.com",
    "raw.githubusercontent.com",
    "uploads.github.com",
)
# Enterprise Cloud with data residency: the web at `SUBDOMAIN.ghe.com`, the API at `api.SUBDOMAIN.ghe.com` (its docs,
# "API access"). No source tells the hosts of its assets: the two here are assumed. Its docs, "Network details for
# GHE.com", list `*.SUBDOMAIN.ghe.com`, and beside it `*.githubusercontent.com` and `*.blob.core.windows.net`.
TENANT = Names(
    "acme.ghe.com",
    "api.acme.ghe.com",
    "objects.acme.ghe.com",
    "release-assets.acme.ghe.com",
    "codeload.acme.ghe.com",
    "raw.acme.ghe.com",
    "uploads.acme.ghe.com",
)
# The largest body, in bytes, that a request in the log keeps; uploads are drained and forgotten.
KEPT_BODY = 64 * 1024
# Every real name, and what answers under it.
REAL_HOSTS: dict[str, Role] = {**GITHUB.roles(), **TENANT.roles()}
_FAMILIES = {host: names for names in (GITHUB, TENANT) for host in names.roles()}


@dataclass(slots=True)
class Recorded:
    """A request as it came, and how it was answered (`status` 0: not yet, or the connection was closed instead).

    `host` is the Host header, `target` the raw request target, `headers` have lower-case names. `body` is what came,
    empty when it was more than `KEPT_BODY`. `bytes_sent` counts what was really written of the answer's body.
    """

    host: str
    port: int
    method: str
    target: str
    headers: dict[str, str]
    role: Role
    status: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def names(self) -> Names | None:
        """The family that the Host header is of; `None` for the listener's own name."""
        return _FAMILIES.get(_host_name(self.host))

    @property
    def path(self) -> str:
        """The raw path; of the API, without the base."""
        path = self.target.partition("?")[0]
        if self.role != "api" or self.names:
            return path
        return path.removeprefix(ENTERPRISE_API).removeprefix("/api/uploads").removeprefix("/api")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


def role_of(host: str, target: str, listener: Role) -> Role:
    """Who answers: a real name decides, else the listener and the API's prefix."""
    real = REAL_HOSTS.get(_host_name(host))
    if real:
        return real
    if listener == "web" and target.startswith("/_codeload/"):
        return "codeload"  # which a GHES without subdomain isolation has there, as it has `raw`
    if listener == "web" and target.startswith("/raw/"):
        return "raw"
    return "api" if listener == "web" and target.startswith(_ENTERPRISE) else listener


def _host_name(host: str) -> str:
    return host.lower().removesuffix(":443")


type Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply. Of `body`, the bytes from `start` up to `stop` (its end by default) are sent.

    `cut_after`: the connection is dropped after that many bytes of the body, for the tests of broken downloads.
    `framing`: whether the length is told, or the body comes in chunks, or ends where the connection does.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Content = b""
    start: int = 0
    stop: int | None = None
    cut_after: int | None = None
    framing: Framing = "length"

    @classmethod
    def text(cls, status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> Self:
        """A short text."""
        return cls(status, {"content-type": content_type}, text.encode())

    @classmethod
    def page(cls, status: int, inner: str) -> Self:
        """An HTML page."""
        return cls.text(status, f"<!DOCTYPE html>\n<html><body>{inner}</body></html>\n", "text/html; charset=utf-8")


@dataclass(slots=True)
class Fault:
    """Something that goes wrong on the next `times` requests that match `role`, `method` and part of the raw target.

    First it waits `hang` seconds. Then: `close` drops the connection without an answer; `status` answers with that
    status, `headers` and `body`; otherwise the true answer follows, broken off after `cut_after` bytes of its body.
    With `framing` that end looks like the true one; the bytes of `spoilt` stand in the body's place.
    """

    role: Role | None = None
    match: str = ""
    method: str | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: float = 0
    close: bool = False
    cut_after: int | None = None
    framing: Framing | None = None
    spoilt: bytes | None = None
    times: int = 1

    def hits(self, request: Recorded) -> bool:
        return (
            self.times > 0
            and self.role in (None, request.role)
            and self.method in (None, request.method)
            and self.match in request.target
        )

    @classmethod
    def malformed_json(cls, match: str = "", times: int = 1) -> Self:
        """An API answer that breaks off in mid-sentence, yet says 200."""
        headers = {"content-type": "application/json; charset=utf-8"}
        return cls("api", match, status=200, headers=headers, body=b'{"id": 1, "assets": [{', times=times)

    @classmethod
    def taken_down(cls, match: str = "", times: int = 1) -> Self:
        """A repository that is blocked: 451, with the reason and the address of the notice (REST docs, "Get a
        repository"; cli/cli #6424 has the body).
        """
        headers = {"content-type": "application/json; charset=utf-8", "x-github-media-type": "github.v3; format=json"}
        body = (
            b'{"message":"Repository access blocked","block":{"reason":"dmca","created_at":"2026-01-01T00:00:00Z",'
            b'"html_url":"https://github.com/github/dmca/blob/master/2026/01/2026-01-01-acme.md"}}'
        )
        return cls("api", match, status=451, headers=headers, body=body, times=times)

    @classmethod
    def secondary_limit(cls, match: str = "", seconds: int = 60, status: int = 403, times: int = 1) -> Self:
        """The secondary rate limit: 403 or 429 with `retry-after` (REST docs, rate limits)."""
        headers = {"content-type": "application/json; charset=utf-8", "retry-after": str(seconds)}
        body = (
            b'{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
        )
        return cls("api", match, status=status, headers=headers, body=body, times=times)
