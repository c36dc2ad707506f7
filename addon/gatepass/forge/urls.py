"""The download URLs of a forge: which asset a path names, and the path that names an asset.

Pure text: knows neither hosts nor rules. A path that is no download URL is not an error, it is somebody else's page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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

    `name` is empty for the page of the latest release: what scripts ask for to learn its tag.
    """

    repository: Repository
    tag: str | None
    name: str

    @property
    def members(self) -> dict[str, str | None]:
        """What problem details name it by."""
        asset = self.name or None
        return {"owner": self.repository.owner, "repo": self.repository.name, "tag": self.tag, "asset": asset}

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
    return Repository(owner, name) if _is_repository(owner, name) else None


def _is_repository(owner: str, name: str) -> bool:
    return _OWNER.fullmatch(owner) is not None and _REPO.fullmatch(name) is not None and name not in _DOTS


def parse(path: str) -> AssetRef | None:
    """Read the raw path of a URL, without its query; None when it is no download URL.

    The forms are `/O/R/releases/download/TAG/FILE`, in which TAG may hold slashes, `/O/R/releases/latest/download/FILE`
    and `/O/R/releases/latest`; several slashes are one. Each segment is decoded once. Names that no repository, git ref
    or asset can have (dot segments above all, which would lead elsewhere in the API) make it no download URL.
    """
    if len(path) > _MAX_PATH or not path.startswith("/"):
        return None
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in straightened(path)[1:].split("/")]
    except UnicodeError:  # in the bytes, or in how a shell handed them on
        return None
    tag: str | None
    match segments:
        case [owner, repo, "releases", "download", *tag_parts, name] if tag_parts and name:
            tag = "/".join(tag_parts)
        case [owner, repo, "releases", "latest", "download", name] if name:
            tag = None
        case [owner, repo, "releases", "latest"]:
            tag, name = None, ""
        case _:
            return None
    if not _is_repository(owner, repo):
        return None
    if tag is not None and (_CONTROL.search(tag) or not _DOTS.isdisjoint(tag.split("/"))):
        return None
    if name and ("/" in name or name in _DOTS or _CONTROL.search(name)):
        return None
    return AssetRef(Repository(owner, repo), tag, name)


def download_path(ref: AssetRef) -> str:
    """The path that a browser would show for this asset: the inverse of `parse`."""
    releases = f"/{ref.repository}/releases"
    name = quote(ref.name, safe="")
    if ref.tag is None:
        return f"{releases}/latest/download/{name}" if name else f"{releases}/latest"
    return f"{releases}/download/{quote(ref.tag, safe='/')}/{name}"
