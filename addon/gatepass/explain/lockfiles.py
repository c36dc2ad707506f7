"""The release downloads that a project asks for: the URLs of uv.lock, pyproject.toml and requirements files.

Reads files, which somebody else may have made: all that is read and followed has a bound. Does not know what becomes
of the URLs.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gatepass import files
from gatepass.errors import GatepassError, why
from gatepass.forge import urls
from gatepass.forge.hosts import HTTPS_PORT, Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_URL: Final = re.compile(r"https://[^\s\"'<>`]+", re.IGNORECASE)
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
    names = ("uv.lock", "pyproject.toml", "requirements.txt")
    others = sorted(folder.glob("requirements*.txt"))
    return next((path for path in (*(folder / name for name in names), *others) if path.is_file()), None)


def downloads(path: Path, hosts: Iterable[Host]) -> tuple[str, ...]:
    """The release downloads on these hosts, each once, in the order of the file, without query and fragment.

    Raises:
        GatepassError: a file cannot be read, or is not what its name says.
    """
    known = frozenset(hosts)
    texts = _toml_texts(path) if path.suffix in (".toml", ".lock") else _Requirements().lines(path)
    found: dict[str, None] = {}
    for url in dict.fromkeys(url for text in texts for url in _URL.findall(text) if len(url) <= _MAX_URL):
        if (ours := download(url, known)) is not None:
            found[ours] = None
        if len(found) > _MAX_DOWNLOADS:
            raise GatepassError(f"{path}: expected at most {_MAX_DOWNLOADS} release assets, got more", _NAME_ANOTHER)
    return tuple(found)


def download(url: str, hosts: frozenset[Host]) -> str | None:
    """The URL of a release asset on one of these hosts, without user, query and fragment; None for any other."""
    try:
        parts = urlsplit(url)
        host = Host.parse(f"{parts.hostname}:{parts.port or HTTPS_PORT}")
    except ValueError:
        return None
    return f"https://{host}{parts.path}" if host in hosts and urls.parse(parts.path) else None


def _toml_texts(path: Path) -> Iterator[str]:
    return _texts(toml(path))


def toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        GatepassError: it cannot be read, or is none.
    """
    text = _read(path, _MAX_SIZE)
    if _LONG_KEY.search(text):
        raise GatepassError(f"{path}: expected keys of at most {_MOST_PARTS} parts, got more", _NAME_ANOTHER)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise GatepassError(f"{path}: expected TOML that people write, got it nested too deep", _NAME_ANOTHER) from None
    except ValueError as error:  # also of a number with too many digits
        raise GatepassError(f"{path}: expected TOML, got an error: {error}", "mend it, or name another file") from None


def _texts(document: object) -> Iterator[str]:
    """Every text in a document, wherever it stands: URLs are dependencies, sources, wheels, find-links, and more."""
    left = [document]
    while left:
        match left.pop():
            case str(text):
                yield text
            case dict(table):
                left += reversed(table.values())
            case list(array):
                left += reversed(array)


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
        text = _read(path, self._left)
        self._left -= len(text)
        whole = text.replace("\\\r\n", " ").replace("\\\n", " ")
        return (_COMMENT.sub("", line).strip() for line in whole.splitlines())


def _read(path: Path, most: int) -> str:
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
