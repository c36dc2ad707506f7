"""What an index holds, told: as a table for people, and as a document for programs.

Pure: from contents to lines and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.version import Version

from gatepass.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gatepass.index.answers import Contents
    from gatepass.index.contents import File, LeftOut

_HEAD = ("project", "version", "files", "release", "hash", "since")


def table(contents: Contents) -> Iterator[str]:
    """Its projects, a line a version, the newest first; then what was left out, and what is amiss."""
    rows = [_row(project, version, files) for project, version, files in _versions(contents)]
    count = sum(map(len, contents.files.values()))
    projects = len(contents.files)
    yield f"{contents.label}: {_counted(projects, 'project')}, {_counted(count, 'file')}"
    if rows:
        yield ""
        yield from _aligned([_HEAD, *rows])
    if contents.left_out:
        yield ""
        yield f"left out: {_counted(len(contents.left_out), 'file')}"
        yield from _left_out(contents.left_out)
    for text in notes(contents):
        yield ""
        yield text


def notes(contents: Contents) -> Iterator[str]:
    """What is amiss with it, though it is served."""
    for project, version, files in _versions(contents):
        bare = [file.name for file in files if file.sha256 is None]
        if bare and len(bare) < len(files):
            yield (
                f"{project} {version}: {', '.join(bare)} has no hash, and the others have one: "
                "a lock file of these cannot be synchronised (uv #13112); upload it again, and GitHub makes one"
            )
        elif bare:
            yield f"{project} {version}: no file has a hash; upload them again, and GitHub makes one"
    if contents.unread:
        yield (
            f"{_counted(contents.unread, 'release')} or more behind the thousandth have not been read: "
            "a running proxy reads them by and by"
        )
    for outage in contents.outages:
        yield f"not renewed: {outage}"


def document(contents: Contents) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": True,
        "index": contents.label,
        "projects": [
            {
                "name": project,
                "versions": [
                    {"version": version, "files": [_told(file) for file in files]}
                    for name, version, files in _versions(contents)
                    if name == project
                ],
            }
            for project in contents.files
        ],
        "left_out": [
            {"name": name, "repository": str(place), "release": tag, "why": why, "words": words}
            for place, tag, name, why, words in contents.left_out
        ],
        "unread": contents.unread,
        "notes": list(notes(contents)),
    }


def _told(file: File) -> dict[str, Any]:
    return {
        "name": file.name,
        "kind": file.kind,
        "repository": str(file.place),
        "release": file.tag,
        "size": file.size,
        "sha256": file.sha256,
        "since": f"{file.uploaded:%Y-%m-%dT%H:%M:%SZ}",
    }


def _versions(contents: Contents) -> Iterator[tuple[str, str, list[File]]]:
    """Each version of each project, the newest first, with its files."""
    for project, files in contents.files.items():
        by_version: dict[str, list[File]] = {}
        for file in files:
            by_version.setdefault(file.version, []).append(file)
        for version in sorted(by_version, key=Version, reverse=True):
            yield project, version, by_version[version]


def _row(project: str, version: str, files: Sequence[File]) -> tuple[str, ...]:
    wheels, sdists = (sum(file.kind == kind for file in files) for kind in ("wheel", "sdist"))
    counts = [*([_counted(wheels, "wheel")] if wheels else ()), *([_counted(sdists, "sdist")] if sdists else ())]
    hashes = sum(file.sha256 is not None for file in files)
    told = "yes" if hashes == len(files) else "no" if not hashes else f"{hashes} of {len(files)}"
    tags = ", ".join(dict.fromkeys(file.tag for file in files))
    return project, version, ", ".join(counts), tags, told, f"{min(file.uploaded for file in files):%Y-%m-%d}"


def _left_out(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """By reason: of what is no distribution a few names are enough."""
    by_words: dict[str, list[LeftOut]] = {}
    for left in left_out:
        by_words.setdefault(left.words, []).append(left)
    for words, some in by_words.items():
        most = 5 if some[0].why == "not-a-distribution" else len(some)
        yield f"  {words}:"
        yield from _aligned([(f"    {printable(left.name)}", printable(left.tag)) for left in some[:most]])
        if len(some) > most:
            yield f"    and {len(some) - most} more"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
