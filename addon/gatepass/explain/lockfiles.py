"""What a project asks forges and their indexes for: the URLs of lock files, pyproject.toml and requirements files.

Reads files, which somebody else may have made: all that is read and followed has a bound. Does not know what becomes
of the URLs.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gatepass import files
from gatepass.errors import GatepassError, why
from gatepass.explain.target import Target, at_index, read_url
from gatepass.forge import urls
from gatepass.forge.sources import asked_by_git, without_git
from gatepass.rules.model import source_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gatepass.rules.model import Rules

_URL: Final = re.compile(r"(?:git\+)?https?://[^\s\"'<>`]+", re.IGNORECASE)
_GIT: Final = "git+"
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)
_HASH: Final = re.compile(r"--hash[\s=]sha256:([0-9a-fA-F]{64})", re.ASCII)
_FRAGMENT: Final = re.compile(r"[#&]sha256=([0-9a-fA-F]{64})", re.ASCII)
_NAMES: Final = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "pyproject.toml", "requirements.txt")
# pip's own reading: a comment begins the line or follows a space; a line goes on after a backslash
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S.*)")
_KEY: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
# tomllib takes time by the square of a key's length
_MOST_PARTS: Final = 64
_LONG_KEY: Final = re.compile(rf"(?<![\w.-]){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{{_MOST_PARTS}}}")
_NAME_ANOTHER: Final = "name another with `--file`"
_MAX_SIZE: Final = 8 * 1024 * 1024
_MAX_FILES: Final = 100
_MAX_DOWNLOADS: Final = 10_000
_MAX_URL: Final = 8192


def find(folder: Path) -> Path | None:
    """The file that tells most exactly what the project in `folder` downloads."""
    others = sorted(folder.glob("requirements*.txt"))
    return next((path for path in (*(folder / name for name in _NAMES), *others) if path.is_file()), None)


def dependencies(path: Path, rules: Rules) -> tuple[Target, ...]:
    """What it names that forges and indexes of the rules give: release assets, archives, raw files, git repositories,
    and files of an index; each once, in the order of the file.

    Raises:
        GatepassError: a file cannot be read, or is not what its name says.
    """
    named = _of_toml(toml(path)) if path.suffix in (".toml", ".lock") else _of_lines(requirements(path))
    found: dict[object, Target] = {}
    for each in dict.fromkeys(named):
        target = _of_index(each, rules) if each.files else _read(each, rules)
        if target is None:
            continue
        key = without_git(target.path).casefold() if target.is_git else target.url
        before = found.get((target.is_git, key))
        if before is not None:
            target = replace(before, hashes=before.hashes | target.hashes)
        found[target.is_git, key] = target
        if len(found) > _MAX_DOWNLOADS:
            raise GatepassError(f"{path}: expected at most {_MAX_DOWNLOADS} release assets, got more", _NAME_ANOTHER)
    return tuple(found.values())


def requirements(path: Path) -> Iterator[str]:
    """The lines of a requirements file, and of those that it includes, where it does: without comments, and whole."""
    return _Requirements().lines(path)


class _Named(NamedTuple):
    """A URL that a file names, and what it says of it; `files` are those that a lock has of `project` at an index."""

    url: str
    is_git: bool = False
    hashes: frozenset[str] = frozenset()
    project: str = ""
    files: tuple[tuple[str, frozenset[str]], ...] = ()


def _read(named: _Named, rules: Rules) -> Target | None:
    """Where it leads, when it is for a forge of the rules, or for a file of an index of theirs."""
    if len(named.url) > _MAX_URL:
        return None
    held = at_index(named.url, rules)
    if held is not None:
        return replace(held, hashes=named.hashes) if "/files/" in held.path else None
    target = read_url(named.url)
    if target is None:
        return None
    target = Target(target.host, target.path, named.is_git, named.hashes)
    for forge in rules.forges:
        if target.host not in (forge.web, forge.raw):
            continue
        if named.is_git:
            return target if target.host == forge.web and asked_by_git(target.path) else None
        if target.host == forge.web and urls.parse(target.path):
            return target
        if source_at(forge, target.host, target.path):
            return target
    return None


def _of_index(named: _Named, rules: Rules) -> Target | None:
    """The page of the project, whose files are to be as they are locked."""
    held = at_index(named.url, rules)
    if held is None:
        return None
    end = f"/{re.sub(r'[-_.]+', '-', named.project).lower()}/"
    served = None if held.served is None else f"{held.served.rstrip('/')}{end}"
    return replace(held, path=f"{held.path.rstrip('/')}{end}", served=served, files=named.files)


def _of_lines(lines: Iterable[str]) -> Iterator[_Named]:
    """The URLs of requirements, each with the hashes of its line."""
    for line in lines:
        locked = frozenset(value.lower() for value in _HASH.findall(line))
        for url in _URL.findall(line):
            yield _Named(url, url.startswith(_GIT), locked or _of_fragment(url))


def _of_toml(document: object) -> Iterator[_Named]:
    """The URLs of a document, wherever they stand: of dependencies, sources, wheels, find-links, and more."""
    # what is left to be looked at, the table that it stands in, its key there, and hashes that are told elsewhere
    left: list[tuple[object, dict[str, Any], str, frozenset[str]]] = [(document, {}, "", frozenset())]
    while left:
        value, table, key, locked = left.pop()
        match value:
            case str(text):
                is_git = key == "git" or (key == "url" and table.get("type") == "git")
                for url in _URL.findall(text):
                    known = (_hashes(table) if key == "url" else frozenset()) or locked or _of_fragment(url)
                    yield _Named(url, is_git or url.startswith(_GIT), known)
            case dict():
                yield from _legacy(value)
                told = _beside(value)
                inner = [(each, value, name, told if name == "source" else locked) for name, each in value.items()]
                # a project's own pages are nothing that it downloads
                left += reversed([each for each in inner if each[2] != "urls"])
            case list(array):
                left += reversed([(each, table, key, locked) for each in array])


def _beside(package: dict[str, Any]) -> frozenset[str]:
    """The hashes of a package from a URL that stands in its `source` alone: uv's of an sdist, Poetry's of all."""
    sdist, several = package.get("sdist"), package.get("files")
    found = _hashes(sdist) if isinstance(sdist, dict) and "url" not in sdist else frozenset()
    if isinstance(several, list):
        found = found.union(*(_hashes(each) for each in several if isinstance(each, dict) and "url" not in each))
    return found


def _legacy(package: dict[str, Any]) -> Iterator[_Named]:
    """The files that Poetry has of an index: by their names, and without a URL."""
    source, several, name = package.get("source"), package.get("files"), package.get("name")
    if not isinstance(source, dict) or source.get("type") != "legacy" or not isinstance(name, str):
        return
    url = source.get("url")
    if isinstance(url, str) and isinstance(several, list):
        files = [
            (each["file"], _hashes(each))
            for each in several
            if isinstance(each, dict) and isinstance(each.get("file"), str)
        ]
        yield _Named(url, project=name, files=tuple(files))


def _hashes(table: dict[str, Any]) -> frozenset[str]:
    """The SHA-256s that a table has of its file: uv's, Poetry's and PDM's `hash`, and `hashes` of PEP 751."""
    told = table.get("hashes")
    texts = [table.get("hash"), *(told if isinstance(told, list) else ())]
    if isinstance(told, dict):
        texts.append(f"sha256:{told.get('sha256')}")
    found = (_DIGEST.fullmatch(text) for text in texts if isinstance(text, str))
    return frozenset(each[1].lower() for each in found if each)


def _of_fragment(url: str) -> frozenset[str]:
    return frozenset(value.lower() for value in _FRAGMENT.findall(url))


def toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        GatepassError: it cannot be read, or is none.
    """
    text = _text(path, _MAX_SIZE)
    if _LONG_KEY.search(text):
        raise GatepassError(f"{path}: expected keys of at most {_MOST_PARTS} parts, got more", _NAME_ANOTHER)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise GatepassError(f"{path}: expected TOML that people write, got it nested too deep", _NAME_ANOTHER) from None
    except ValueError as error:  # also of a number with too many digits
        raise GatepassError(f"{path}: expected TOML, got an error: {error}", "mend it, or name another file") from None


class _Requirements:
    """Requirements files, each read once, as many as one may include."""

    def __init__(self) -> None:
        self._seen: set[Path] = set()
        self._left = _MAX_SIZE

    def lines(self, path: Path) -> Iterator[str]:
        """The lines of a requirements file, and of those that it includes, where it does."""
        opened = [(path, self._open(path))]
        while opened:
            file, lines = opened[-1]
            for line in lines:
                included = _INCLUDE.match(line)
                if included is None:
                    yield line
                elif not _URL.match(included[1]):
                    other = file.parent / included[1]
                    opened.append((other, self._open(other)))
                    break
            else:
                opened.pop()

    def _open(self, path: Path) -> Iterator[str]:
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError):
            resolved = path  # to read it will tell why
        if resolved in self._seen:
            return iter(())
        self._seen.add(resolved)
        if len(self._seen) > _MAX_FILES:
            raise GatepassError(
                f"{path}: expected at most {_MAX_FILES} files that include each other, got more", _NAME_ANOTHER
            )
        text = _text(path, self._left)
        self._left -= len(text)
        whole = text.replace("\\\r\n", " ").replace("\\\n", " ")
        return (_COMMENT.sub("", line).strip() for line in whole.splitlines())


def _text(path: Path, most: int) -> str:
    try:
        content = files.read(path, most)
        if len(content) > most:
            raise GatepassError(f"{path}: expected at most {_MAX_SIZE} bytes, got more", "name another file")
        return content.decode()
    except UnicodeDecodeError:
        raise GatepassError(f"{path}: expected text in UTF-8, got other bytes", "save the file as UTF-8") from None
    except OSError as error:
        raise GatepassError(f"{path}: expected a readable file, got `{why(error)}`", _NAME_ANOTHER) from None
    except ValueError:
        raise GatepassError(f"{path}: expected the name of a file, got none", _NAME_ANOTHER) from None
