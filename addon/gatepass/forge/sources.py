"""The URLs of a repository's content at a ref: its archives, its raw files, its git.

Pure text, as `urls` is, which has those of releases. A path that is none of these is not an error, it is somebody
else's page.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from gatepass.forge import urls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.forge.urls import AssetRef, Repository

MOST_TRIED: Final = 4
"""So many refs may be meant by one URL: whoever asks for what is not there pays for each."""

_ARCHIVE: Final = re.compile(r"(.+)\.(tar\.gz|zip)", re.DOTALL)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_FULL: Final = ("heads", "tags")
_KINDS: Final = frozenset({"refs", *(f"refs/{word}" for word in _FULL)})
_SUFFIX: Final = re.compile(r"(/[^/]+/[^/]+?)\.git(?=/|$)")


class Content(StrEnum):
    """What is asked for, as the API calls it."""

    TARBALL = "tarball"
    ZIPBALL = "zipball"
    FILE = "contents"


@dataclass(frozen=True, slots=True)
class Place:
    """One reading of a URL: a ref, and the file at it; an archive has no path. An empty ref is the default branch."""

    ref: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class SourceRef:
    """What a source's URL asks for, percent-decoded: the `places` that it may mean, the likelier first.

    `url_path` is the raw path that was asked for, at the host `is_raw` tells: the one for raw files, or the web's.
    """

    repository: Repository
    kind: Content
    places: tuple[Place, ...]
    url_path: str = field(compare=False)
    is_raw: bool = field(default=False, compare=False)

    @property
    def members(self) -> dict[str, str | None]:
        """What problem details name it by."""
        place = self.places[0]
        return {
            "owner": self.repository.owner,
            "repo": self.repository.name,
            "ref": place.ref if len(self.places) == 1 else None,
            "path": place.path if len(self.places) == 1 and place.path else None,
        }

    @property
    def named(self) -> str:
        """What it is, for people, where a ref may hold slashes as they are."""
        place = self.places[-1]
        if self.kind is Content.FILE:
            return f"{place.ref}/{place.path}"
        return place.ref or "the default branch"

    def __str__(self) -> str:
        return f"{self.repository}@{self.named} ({self.kind})"


type DownloadRef = AssetRef | SourceRef
"""What one URL gives a client as one file."""


def api_path(ref: SourceRef, place: Place) -> str:
    """The path below the repository's in the API, with its query."""
    if ref.kind is Content.FILE:
        return f"/contents/{quote(place.path)}?ref={quote(place.ref, safe='')}"
    return f"/{ref.kind}/{quote(place.ref)}" if place.ref else f"/{ref.kind}"


def parse(path: str) -> SourceRef | None:
    """Read the raw path of a URL of the web host, without its query; None when it is of no archive and no raw file.

    The forms are `/O/R/archive/REF.tar.gz` and `.zip`, `/O/R/archive/REF/NAME.tar.gz`, `/O/R/tarball/REF`,
    `/O/R/zipball/REF` and `/O/R/raw/REF/PATH`.
    """
    match urls.segments(path):
        case [owner, name, "archive", *rest] if rest and (found := _ARCHIVE.fullmatch("/".join(rest))):
            kind = Content.TARBALL if found[2] == "tar.gz" else Content.ZIPBALL
            places = _archives(found[1])
        case [owner, name, "tarball" | "zipball" as word, *rest]:
            kind, places = Content(word), [Place("/".join(rest))] if rest != [""] else []
        case [owner, name, "raw", *rest]:
            kind, places = Content.FILE, list(_files(rest))
        case _:
            return None
    return _source(owner, name, kind, places, path)


def parse_raw(path: str) -> SourceRef | None:
    """The same of the host for raw files, where all is `/O/R/REF/PATH`."""
    match urls.segments(path):
        case [owner, name, *rest]:
            return _source(owner, name, Content.FILE, list(_files(rest)), path, is_raw=True)
    return None


def _source(
    owner: str, name: str, kind: Content, places: list[Place], path: str, *, is_raw: bool = False
) -> SourceRef | None:
    repository = urls.named(owner, name)
    if repository is None or not places:
        return None
    if kind is Content.FILE:
        is_one = all(urls.is_name(each.ref) and urls.is_name(each.path) for each in places)
    else:
        is_one = places == [Place("")] or all(urls.is_name(each.ref) for each in places)
    if not is_one:
        return None
    return SourceRef(repository, kind, tuple(places), path, is_raw)


def _archives(ref: str) -> list[Place]:
    """All of it is a ref; else, as packagers like it, what follows the last slash is a name for the file."""
    start, _, _ = ref.rpartition("/")
    # the kind of a ref is none
    return [Place(ref), Place(start)] if start and start not in _KINDS else [Place(ref)]


def _files(segments: list[str]) -> Iterator[Place]:
    """The readings of REF/PATH, the shortest ref first."""
    least = 1
    match segments:
        case ["refs", word, _, *_] if word in _FULL:
            least = 3
        case [commit, *_] if _COMMIT.fullmatch(commit):
            # a commit's name holds no slash
            yield from (Place(commit, "/".join(segments[1:])) for _ in segments[1:2])
            return
    for end in range(least, min(len(segments), least + MOST_TRIED)):
        yield Place("/".join(segments[:end]), "/".join(segments[end:]))


# ------------------------------------------------------------------------ git


@dataclass(frozen=True, slots=True)
class GitRef:
    """What git or git-lfs asks of a repository.

    `use` is `fetch` or `push`; `batch` is LFS's one question for both, whose body tells which.
    """

    repository: Repository
    use: Literal["fetch", "push", "batch"]
    is_lfs: bool = False

    @property
    def members(self) -> dict[str, str | None]:
        """What problem details name it by."""
        return {"owner": self.repository.owner, "repo": self.repository.name}


def parse_git(method: str, target: str) -> GitRef | None:
    """Read a request of git's smart HTTP, or of LFS; None when it is none, or of another form than git's own.

    Sources: git's `gitprotocol-http`; git-lfs, `docs/api`.
    """
    path, _, query = target.partition("?")
    match method, urls.segments(path), query:
        case "GET", [owner, name, "info", "refs"], "service=git-upload-pack":
            use: Literal["fetch", "push", "batch"] = "fetch"
        case "GET", [owner, name, "info", "refs"], "service=git-receive-pack":
            use = "push"
        case "POST", [owner, name, "git-upload-pack"], "":
            use = "fetch"
        case "POST", [owner, name, "git-receive-pack"], "":
            use = "push"
        case "POST", [owner, name, "info", "lfs", "objects", "batch"], "":
            use = "batch"
        case "GET", [owner, name, "info", "lfs", "locks"], _:
            use = "fetch"
        case "POST", [owner, name, "info", "lfs", "locks", *_], "":
            use = "push"
        case _:
            return None
    repository = urls.named(owner, name.removesuffix(".git"))
    # what is written otherwise, with `%2D` for a hyphen, is not git's, and might be read otherwise elsewhere
    if repository is None or "%" in path:
        return None
    return GitRef(repository, use, is_lfs="/info/lfs/" in path)


def asked_by_git(path: str) -> tuple[str, str] | None:
    """The method and the target that git, or git-lfs, asks with first at the address of a repository, or at one that it
    makes of it; None when the path is no such address.
    """
    match urls.segments(path.removesuffix("/")):
        case [owner, name, *rest] if urls.named(owner, name.removesuffix(".git")):
            base = f"/{owner}/{name}"
        case _:
            return None
    match rest:
        case [] | ["info", "refs"] | ["git-upload-pack"]:
            return "GET", f"{base}/info/refs?service=git-upload-pack"
        case ["git-receive-pack"]:
            return "GET", f"{base}/info/refs?service=git-receive-pack"
        case ["info", "lfs", *_]:
            return "POST", f"{base}/info/lfs/objects/batch"
    return None


def clone_target(path: str) -> str | None:
    """What git would ask for first to fetch from a repository, by any of its addresses; None when it is of none."""
    if asked_by_git(path) is None:
        return None
    owner, name, *_ = urls.segments(path)
    return f"/{owner}/{name}/info/refs?service=git-upload-pack"


def batch_operation(body: bytes) -> str | None:
    """What a request to LFS's batch endpoint wants to do; None when that cannot be told for sure.

    A member that is there twice, or in other letters, might be read otherwise by the server.
    """

    def members(pairs: list[tuple[str, object]]) -> tuple[object, ...]:
        return tuple(value for name, value in pairs if name.casefold() == "operation")

    try:
        found = json.loads(body, object_pairs_hook=members)
    except (ValueError, RecursionError):
        return None
    return found[0] if isinstance(found, tuple) and len(found) == 1 and isinstance(found[0], str) else None


def without_git(path: str) -> str:
    """A path of git's with the repository's own name in it, as the web has it."""
    found = _SUFFIX.match(path)
    return path if found is None else found[1] + path[found.end() :]
