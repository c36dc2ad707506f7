"""The download URLs of a forge: which asset a path names, and the path that names an asset.

Pure text: knows neither hosts nor rules. A path that is no download URL is not an error, it is somebody else's page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

# GitHub's own limits: 39 characters for an owner, more with the `_shortcode` of managed users; 100 for a repository.
_OWNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
_REPO: Final = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_NAMES: Final = re.compile(r"/[^/]{0,150}(?:/[^/]{0,150})?")
_SLASHES: Final = re.compile(r"/{2,}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DOTS: Final = frozenset({"", ".", ".."})
_MAX_PATH: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Repository:
    """A repository's name as the URL gives it; the same in other letter case is the same."""

    owner: str
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Repository) and str(self).casefold() == str(other).casefold()

    def __hash__(self) -> int:
        return hash(str(self).casefold())

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class AssetRef:
    """What a download URL asks for, percent-decoded. `tag` is None for the latest release.

    `name` is empty for a page: that of the latest release, which scripts ask for to learn its tag; or, with a tag, the
    list of a release's assets.
    """

    repository: Repository
    tag: str | None
    name: str

    @property
    def members(self) -> dict[str, str | None]:
        """What problem details name it by."""
        asset = self.name or None
        return {"owner": self.repository.owner, "repo": self.repository.name, "tag": self.tag, "asset": asset}

    @property
    def is_list(self) -> bool:
        """Whether it is the list of a release's assets."""
        return not self.name and self.tag is not None

    def __str__(self) -> str:
        return f"{self.repository}@{self.tag or 'latest'}/{self.name}"


def straightened(path: str) -> str:
    """The raw path with one slash where there are several: no name that it holds is empty."""
    return _SLASHES.sub("/", path)


def repository_end(path: str) -> int:
    """How much of a straightened path names owner and repository, in which letter case makes no difference."""
    names = _NAMES.match(path)
    return names.end() if names else 0


def repository(path: str) -> Repository | None:
    """The repository that a path begins with, as a web page's does; None when it begins with none."""
    owner, _, rest = path.removeprefix("/").partition("/")
    name = rest.partition("/")[0]
    return named(owner, name)


def named(owner: str, name: str) -> Repository | None:
    """The repository of these names; None when no repository can have them."""
    is_one = _OWNER.fullmatch(owner) is not None and _REPO.fullmatch(name) is not None and name not in _DOTS
    return Repository(owner, name) if is_one else None


def segments(path: str) -> tuple[str, ...]:
    """The segments of a raw path, each decoded once; none when it is no path that is read. Several slashes are one."""
    return _decoded(path) if len(path) <= _MAX_PATH and path.startswith("/") else ()


@lru_cache(256)  # each rule asks for those of a request again
def _decoded(path: str) -> tuple[str, ...]:
    try:
        return tuple(unquote_to_bytes(segment).decode() for segment in straightened(path)[1:].split("/"))
    except UnicodeError:  # in the bytes, or in how a shell handed them on
        return ()


def is_name(text: str) -> bool:
    """Whether a git ref, or a file, can have that name: dot segments above all would lead elsewhere in the API."""
    return not _CONTROL.search(text) and _DOTS.isdisjoint(text.split("/"))


def parse(path: str) -> AssetRef | None:
    """Read the raw path of a URL, without its query; None when it is no download URL.

    The forms are `/O/R/releases/download/TAG/FILE`, in which TAG may hold slashes, `/O/R/releases/latest` and below
    that `/download/FILE`, and `/O/R/releases/expanded_assets/TAG`. Names that no repository, git ref or asset can have
    make it no download URL.
    """
    tag: str | None
    match segments(path):
        case [owner, repo, "releases", "download", *tag_parts, name] if tag_parts and name:
            tag = "/".join(tag_parts)
        case [owner, repo, "releases", "latest", "download", name] if name:
            tag = None
        case [owner, repo, "releases", "latest"]:
            tag, name = None, ""
        case [owner, repo, "releases", "expanded_assets", *tag_parts] if tag_parts:
            tag, name = "/".join(tag_parts), ""
        case _:
            return None
    repository = named(owner, repo)
    if repository is None or (tag is not None and not is_name(tag)):
        return None
    if name and ("/" in name or not is_name(name)):
        return None
    return AssetRef(repository, tag, name)


def download_path(ref: AssetRef) -> str:
    """The path that a browser would show for this asset: the inverse of `parse`."""
    releases = f"/{ref.repository}/releases"
    name = quote(ref.name, safe="")
    if ref.tag is None:
        return f"{releases}/latest/download/{name}" if name else f"{releases}/latest"
    if ref.is_list:
        return f"{releases}/expanded_assets/{quote(ref.tag, safe='/')}"
    return f"{releases}/download/{quote(ref.tag, safe='/')}/{name}"
