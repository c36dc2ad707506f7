"""What the stand-in holds: repositories, releases, assets, Apps and tokens, as plain values that a test may change.

It may not know HTTP, URLs or the clock of the server.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 256 * 1024
_ZEROS = memoryview(bytes(BLOCK))

_ids = itertools.count(1001)
_commits = itertools.count()


@dataclass(frozen=True, slots=True)
class Zeros:
    """Content of `size` zero bytes that is never held in memory."""

    size: int


type Content = bytes | Path | Zeros


def size_of(content: Content) -> int:
    """The content's length in bytes."""
    match content:
        case bytes():
            return len(content)
        case Path():
            return content.stat().st_size
        case Zeros():
            return content.size


def blocks(content: Content, start: int, stop: int) -> Iterator[bytes | memoryview]:
    """The bytes from `start` up to `stop`, in blocks of at most `BLOCK` bytes."""
    spans = ((at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK))
    match content:
        case bytes():
            view = memoryview(content)
            yield from (view[at:end] for at, end in spans)
        case Zeros():
            yield from (_ZEROS[: end - at] for at, end in spans)
        case Path():
            with content.open("rb") as file:
                file.seek(start)
                yield from (file.read(end - at) for at, end in spans)


def _sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for block in blocks(content, 0, size_of(content)):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _next_commit_date() -> datetime:
    """Each release is a minute newer than the one made before it, unless a test says otherwise."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(_commits))


@dataclass(slots=True)
class Asset:
    """A file of a release, under the name that GitHub gave it (an upload's space has become a `.` already).

    `digest="auto"` is computed; `Zeros` get none, as GitHub's older assets have none, and because hashing a gigabyte
    takes a second. To model a re-upload replace the asset: GitHub too deletes it and gives the new one another id.
    `label` is what the release's page shows for the name: some uploaders keep there what the name was before.
    """

    name: str
    content: Content = b""
    content_type: str = "application/octet-stream"
    state: Literal["uploaded", "starter", "open"] = "uploaded"
    digest: str | None = "auto"
    updated_at: datetime = field(default_factory=_next_commit_date)
    label: str = ""
    id: int = field(default_factory=_ids.__next__)

    def __post_init__(self) -> None:
        if self.digest == "auto":
            self.digest = None if isinstance(self.content, Zeros) else _sha256(self.content)

    @property
    def size(self) -> int:
        return size_of(self.content)

    @property
    def disposition(self) -> str:
        """Content-Disposition; a name outside ASCII in the extended form (RFC 6266)."""
        name = f"={self.name}" if self.name.isascii() else f"*=UTF-8''{quote(self.name)}"
        return f"attachment; filename{name}"

    @property
    def etag(self) -> str:
        """A strong validator, the same on every host that serves the bytes."""
        return f'"0x{hashlib.sha256(f"{self.id} {self.size} {self.updated_at}".encode()).hexdigest()[:16].upper()}"'


@dataclass(slots=True)
class Release:
    """A release; `created_at` is the date of its commit, which is what `latest` goes by (REST docs).

    `published_at` is the same, unless a test says otherwise. `immutable` is told of one whose tag and assets can no
    longer change (REST docs, changelog of 2025-10-28).
    """

    tag: str
    assets: list[Asset] = field(default_factory=list)
    draft: bool = False
    prerelease: bool = False
    created_at: datetime = field(default_factory=_next_commit_date)
    published_at: datetime | None = None
    immutable: bool = False
    id: int = field(default_factory=_ids.__next__)

    def asset(self, name: str) -> Asset | None:
        """The downloadable asset of that name."""
        return next((a for a in tuple(self.assets) if a.name == name and a.state == "uploaded"), None)


@dataclass(slots=True)
class Issue:
    """An open issue."""

    title: str
    number: int


@dataclass(slots=True)
class Repository:
    """A repository. `renamed_from` holds the full names (`owner/name`) that it had before.

    `tags` are git's without a release, the newest first; each published release has one besides. `git` is the folder of
    a bare repository, from which archives, files and packs come; `lfs` holds large files by their SHA-256.
    """

    owner: str
    name: str
    private: bool = True
    releases: list[Release] = field(default_factory=list)
    renamed_from: list[str] = field(default_factory=list)
    owner_type: Literal["Organization", "User"] = "Organization"
    tags: list[str] = field(default_factory=list)
    git: Path | None = None
    lfs: dict[str, bytes] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    id: int = field(default_factory=_ids.__next__)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def rename(self, full_name: str) -> None:
        """Move to another `owner/name`, leaving a redirect."""
        self.renamed_from.append(self.full_name)
        self.owner, self.name = full_name.split("/")

    def release(self, tag: str) -> Release | None:
        """The release of that tag; a draft is not found by its tag (REST docs)."""
        return next((r for r in tuple(self.releases) if r.tag == tag and not r.draft), None)

    def latest(self) -> Release | None:
        """The newest release, by commit date, that is neither draft nor prerelease (REST docs)."""
        full = (r for r in tuple(self.releases) if not r.draft and not r.prerelease)
        return max(full, key=lambda release: release.created_at, default=None)


def _is_among(repository: Repository, full_names: set[str]) -> bool:
    """Whether one of the names is or was the repository's: a grant outlives a rename."""
    names = {name.casefold() for name in (repository.full_name, *repository.renamed_from)}
    return not names.isdisjoint(map(str.casefold, full_names))


def _read_only() -> dict[str, str]:
    return {"contents": "read", "metadata": "read"}


@dataclass(slots=True)
class Installation:
    """A GitHub App on an account, with the one hourly budget that all its tokens share (REST docs, rate limits).

    `repositories`: full names of the selected ones, `None` for all of the account. `permissions` are those that the
    account has granted. `token_lifetime`: of the tokens to come, in seconds. 15,000 is the limit on Enterprise Cloud;
    `used` and `reset` are as a token's.
    """

    account: str
    account_type: Literal["Organization", "User"] = "Organization"
    repositories: set[str] | None = None
    permissions: dict[str, str] = field(default_factory=_read_only)
    suspended: bool = False
    token_lifetime: int = 3600
    limit: int = 15_000
    used: int = 0
    reset: int = 0
    updated_at: datetime = field(default_factory=_next_commit_date)
    id: int = field(default_factory=_ids.__next__)

    @property
    def repository_selection(self) -> Literal["all", "selected"]:
        return "all" if self.repositories is None else "selected"

    def covers(self, repository: Repository) -> bool:
        """Whether the repository is the account's, and was selected."""
        is_ours = repository.owner.casefold() == self.account.casefold()
        return is_ours and (self.repositories is None or _is_among(repository, self.repositories))


@dataclass(slots=True)
class App:
    """A GitHub App. `public_key` is PEM, or empty while none was made; the private key stays with who signs."""

    public_key: str
    name: str = "Gatepass Test"
    owner: str = "acme"
    permissions: dict[str, str] = field(default_factory=_read_only)
    installations: list[Installation] = field(default_factory=list)
    id: int = field(default_factory=_ids.__next__)
    client_id: str = ""

    def __post_init__(self) -> None:
        self.client_id = self.client_id or f"Iv23li{self.id:014d}"

    @property
    def slug(self) -> str:
        return self.name.lower().replace(" ", "-")


@dataclass(slots=True)
class Token:
    """A credential and what it may do, with its own hourly budget.

    `repositories`: full names, `None` for all. `push` lets it see drafts. `contents=False` models a fine-grained or
    installation token without `contents: read`. `expires` is told in the form of its own time zone (`… UTC` or
    `… +0200`; both were recorded). `sso` is the address that authorises the token for its organisation.
    `used` may be set to `limit` to exhaust the budget; `reset` is the epoch second at which it is full again.
    `installation` made the token, bounds what it sees, and has the budget in the token's place. `permissions` are those
    that it was made with, None for all.
    """

    value: str
    repositories: set[str] | None = None
    scopes: tuple[str, ...] = ("repo",)
    kind: Literal["classic", "fine-grained", "installation", "anonymous"] = "classic"
    expires: datetime | None = None
    sso: str | None = None
    ip_allowed: bool = True
    contents: bool = True
    push: bool = False
    limit: int = 5000
    used: int = 0
    reset: int = 0
    installation: Installation | None = None
    permissions: dict[str, str] | None = None

    def may(self, what: str, level: str) -> bool:
        """Whether it has that permission: a classic token has them all."""
        levels = ("read", "write", "admin")
        has = "admin" if self.permissions is None else self.permissions.get(what)
        return has is not None and levels.index(has) >= levels.index(level)

    @property
    def payer(self) -> Token | Installation:
        """Whose budget the token spends."""
        return self.installation or self

    def holds(self, repository: Repository) -> bool:
        """Whether the token was given for the repository."""
        if self.installation and not self.installation.covers(repository):
            return False
        return self.repositories is None or _is_among(repository, self.repositories)

    def sees(self, repository: Repository) -> bool:
        """Whether the repository exists, as far as this token is told."""
        if not repository.private:
            return True
        if self.kind == "anonymous" or (self.kind == "classic" and "repo" not in self.scopes):
            return False
        return self.holds(repository)
