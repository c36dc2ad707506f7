"""What a repository's releases hold as an index: which files of which projects, and what is left out, and why.

Pure: from releases to values. Nothing is guessed: where two things could be meant, neither is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gatepass.forge.urls import AssetRef
from gatepass.index import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import Repository
    from gatepass.github.lists import Asset, Release
    from gatepass.rules.model import Requirement

type Why = Literal[
    "draft", "not-uploaded", "not-a-distribution", "name-lost", "prerelease", "no-digest", "not-immutable", "ambiguous"
]

_SHA256: Final = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)
_WORDS: Final[dict[Why, str]] = {
    "draft": "its release is a draft",
    "not-uploaded": "it is not fully uploaded",
    "not-a-distribution": "it is neither a wheel nor an sdist by its name",
    "prerelease": "its release is marked as a pre-release",
    "no-digest": "GitHub has no digest of it, which is required",
    "not-immutable": "its release can still be changed, and an immutable one is required",
}


@dataclass(frozen=True, slots=True)
class Place:
    """The repository that a file is of."""

    forge: Forge
    repository: Repository

    def __str__(self) -> str:
        return f"{self.forge.web}/{self.repository}"


@dataclass(frozen=True, slots=True)
class File:
    """A distribution. `size` in bytes; `sha256` in hexadecimal, None where GitHub has none.

    `uploaded` is when it was there for others to see: not before its release was published.
    """

    place: Place
    tag: str
    name: str
    project: str
    version: str
    kind: names.Kind
    size: int
    sha256: str | None
    uploaded: datetime
    asset: int
    is_prerelease: bool = False
    is_immutable: bool = False

    @property
    def ref(self) -> AssetRef:
        return AssetRef(self.place.repository, self.tag, self.name)

    @property
    def identity(self) -> str:
        """Stands for its bytes: an asset's never change, for GitHub gives another number to what is uploaded anew."""
        return self.sha256 or f"{self.place.forge.web} {self.asset}"


class LeftOut(NamedTuple):
    """A file that is not in the index, the release that has it, and why: in a word, and in words."""

    place: Place
    tag: str
    name: str
    why: Why
    words: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What releases hold: all files by project, several of one name among them; what is left out; and of the files
    that go by the name of a wheel's metadata, their releases' tags and names.
    """

    projects: Mapping[str, tuple[File, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    sidecars: frozenset[tuple[str, str]] = frozenset()

    def __len__(self) -> int:
        """How many files it knows of."""
        return sum(map(len, self.projects.values())) + len(self.left_out)

    def file(self, tag: str, name: str) -> File | None:
        """The file of that name in the release of that tag."""
        distribution = names.parse(name)
        files = self.projects.get(distribution.project, ()) if distribution else ()
        return next((file for file in files if (file.tag, file.name) == (tag, name)), None)


class Part(NamedTuple):
    """What one release holds."""

    files: tuple[File, ...]
    left_out: tuple[LeftOut, ...]
    sidecars: tuple[tuple[str, str], ...]


def part(place: Place, release: Release, assets: Iterable[Asset]) -> Part:
    """What of a release can be in an index."""
    files: list[File] = []
    left_out: list[LeftOut] = []
    sidecars: list[tuple[str, str]] = []

    def leave(asset: Asset, why: Why, words: str = "") -> None:
        left_out.append(LeftOut(place, release.tag_name, asset.name, why, words or _WORDS[why]))

    for asset in assets:
        distribution = names.parse(asset.name)
        digest = _SHA256.fullmatch(asset.digest or "")
        if asset.state == "uploaded" and not release.draft and names.wheel_of(asset.name):
            sidecars.append((release.tag_name, asset.name))
        elif distribution is None:
            leave(asset, "not-a-distribution")
        elif release.draft or release.published_at is None:
            leave(asset, "draft")
        elif asset.state != "uploaded":
            leave(asset, "not-uploaded")
        elif (was := names.loss(asset.name, distribution, release.tag_name, asset.label)) is not None:
            leave(
                asset,
                "name-lost",
                f"it is version {was}, whose sign GitHub made a dot of: a resolver would take it for another",
            )
        else:
            files.append(
                File(
                    place,
                    release.tag_name,
                    asset.name,
                    intern(str(distribution.project)),
                    intern(distribution.version),
                    distribution.kind,
                    asset.size,
                    digest[1].lower() if digest else None,
                    max(asset.updated_at, release.published_at),
                    asset.id,
                    release.prerelease,
                    release.immutable,
                )
            )
    return Part(tuple(files), tuple(left_out), tuple(sidecars))


def contents(parts: Sequence[Part]) -> Contents:
    """What several releases hold."""
    projects: dict[str, list[File]] = {}
    for each in parts:
        for file in each.files:
            projects.setdefault(file.project, []).append(file)
        for left in each.left_out:
            # who asks for it must not be sent on to another index: this one knows the project
            if left.why == "name-lost" and (distribution := names.parse(left.name)):
                projects.setdefault(distribution.project, [])
    return Contents(
        {project: tuple(files) for project, files in projects.items()},
        tuple(left for each in parts for left in each.left_out),
        frozenset(sidecar for each in parts for sidecar in each.sidecars),
    )


def settled(
    files: Iterable[File],
    *,
    prereleases: bool = True,
    need: Callable[[Place], frozenset[Requirement]] = lambda _: frozenset(),
) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
    """One file of each name, as an index wants them, and what is left out of it.

    Several with the same hash are one, the first that was there; with different hashes, or with none, there is no
    saying which is meant, and all are left out.
    """
    by_name: dict[str, list[File]] = {}
    chosen: list[File] = []
    left_out: list[LeftOut] = []
    for file in files:
        if (why := _unwanted(file, prereleases=prereleases, need=need(file.place))) is None:
            by_name.setdefault(file.name, []).append(file)
        else:
            left_out.append(LeftOut(file.place, file.tag, file.name, why, _WORDS[why]))
    for alike in by_name.values():
        first, *others = sorted(alike, key=lambda file: (file.uploaded, file.asset))
        if all(other.sha256 is not None and other.sha256 == first.sha256 for other in others):
            chosen.append(first)
            continue
        for file in (first, *others):
            rivals = ", ".join(_told(other, file) for other in alike if other is not file)
            words = f"the same name with another hash is in {rivals}"
            left_out.append(LeftOut(file.place, file.tag, file.name, "ambiguous", words))
    return tuple(chosen), tuple(left_out)


def _unwanted(file: File, *, prereleases: bool, need: frozenset[Requirement]) -> Why | None:
    if file.is_prerelease and not prereleases:
        return "prerelease"
    if "digest" in need and file.sha256 is None:
        return "no-digest"
    return "not-immutable" if "immutable" in need and not file.is_immutable else None


def _told(other: File, beside: File) -> str:
    where = "" if other.place == beside.place else f" of {other.place}"
    return f"release `{other.tag}`{where}"
