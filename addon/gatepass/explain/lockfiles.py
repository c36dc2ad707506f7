"""The release downloads that a project asks for: the URLs of uv.lock, pyproject.toml and requirements files.

Reads files; does not know what becomes of the URLs.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gatepass.errors import GatepassError, why
from gatepass.forge import urls
from gatepass.forge.hosts import HTTPS_PORT, Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_URL: Final = re.compile(r"https://[^\s\"'<>`]+", re.IGNORECASE)
# pip's own reading: a comment begins the line or follows a space; a line goes on after a backslash
_COMMENT: Final = re.compile(r"(?:^|\s+)#.*$", re.MULTILINE)
_INCLUDE: Final = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]*(\S.*?)\s*$", re.MULTILINE)
_MAX_SIZE: Final = 64 * 1024 * 1024


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
    texts = _toml_texts(path) if path.suffix in (".toml", ".lock") else _requirements(path, set())
    found = (download(url, known) for text in texts for url in _URL.findall(text))
    return tuple(dict.fromkeys(url for url in found if url))


def download(url: str, hosts: frozenset[Host]) -> str | None:
    """The URL of a release asset on one of these hosts, without user, query and fragment; None for any other."""
    try:
        parts = urlsplit(url)
        host = Host.parse(f"{parts.hostname}:{parts.port or HTTPS_PORT}")
    except ValueError:
        return None
    return f"https://{host}{parts.path}" if host in hosts and urls.parse(parts.path) else None


def _toml_texts(path: Path) -> Iterator[str]:
    try:
        document = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise GatepassError(f"{path}: expected TOML, got an error: {error}", "mend it, or name another file") from None
    return _texts(document)


def _texts(value: object) -> Iterator[str]:
    """Every text in a document, wherever it stands: URLs are dependencies, sources, wheels, find-links, and more."""
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _requirements(path: Path, seen: set[Path]) -> Iterator[str]:
    """The lines of a requirements file, and of those that it includes."""
    if (resolved := path.resolve()) in seen:
        return
    seen.add(resolved)
    for line in _COMMENT.sub("", _read(path).replace("\\\r\n", " ").replace("\\\n", " ")).splitlines():
        if included := _INCLUDE.match(line):
            if not _URL.match(included[1]):
                yield from _requirements(path.parent / included[1], seen)
        else:
            yield line


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_SIZE:
            raise GatepassError(f"{path}: expected at most {_MAX_SIZE} bytes, got more", "name another file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise GatepassError(f"{path}: expected text in UTF-8, got other bytes", "save the file as UTF-8") from None
    except OSError as error:
        reason = why(error)
        raise GatepassError(f"{path}: expected a readable file, got `{reason}`", "name another with `--file`") from None
