"""One request and its answer: what the log keeps, what the origins return, and the faults put between the two.

It may not know what any path means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from .model import Content

type Role = Literal["web", "api", "asset"]

# The names that github.com goes by, and what each is. `uploads` and `codeload` are pages that nobody here asks for.
REAL_HOSTS: dict[str, Role] = {
    "github.com": "web",
    "api.github.com": "api",
    "objects.githubusercontent.com": "asset",
    "release-assets.githubusercontent.com": "asset",
    "uploads.github.com": "web",
    "codeload.github.com": "web",
}
# Where GitHub Enterprise Server has its API, below the web host.
ENTERPRISE_API = "/api/v3"


@dataclass(slots=True)
class Recorded:
    """A request as it came, and how it was answered (`status` 0: not yet, or the connection was closed instead).

    `host` is the Host header, `target` the raw request target, `headers` have lower-case names. `bytes_sent` counts the
    bytes of the body that were really written.
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

    @property
    def real_host(self) -> str:
        """The Host header as one of `REAL_HOSTS`, or the empty string."""
        name = self.host.lower().removesuffix(":443")
        return name if name in REAL_HOSTS else ""

    @property
    def path(self) -> str:
        """The raw path; of the API, without the base."""
        path = self.target.partition("?")[0]
        return path if self.role != "api" or self.real_host else path.removeprefix(ENTERPRISE_API)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


def role_of(host: str, target: str, listener: Role) -> Role:
    """Who answers: a real name decides, else the listener and the API's prefix."""
    real = REAL_HOSTS.get(host.lower().removesuffix(":443"))
    if real:
        return real
    return "api" if listener == "web" and target.startswith(f"{ENTERPRISE_API}/") else listener


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply. Of `body`, the bytes from `start` up to `stop` (its end by default) are sent.

    `cut_after`: the connection is dropped after that many bytes of the body, for the tests of broken downloads.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Content = b""
    start: int = 0
    stop: int | None = None
    cut_after: int | None = None

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
    def secondary_limit(cls, match: str = "", seconds: int = 60, status: int = 403, times: int = 1) -> Self:
        """The secondary rate limit: 403 or 429 with `retry-after` (REST docs, rate limits)."""
        headers = {"content-type": "application/json; charset=utf-8", "retry-after": str(seconds)}
        body = (
            b'{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
        )
        return cls("api", match, status=status, headers=headers, body=body, times=times)
