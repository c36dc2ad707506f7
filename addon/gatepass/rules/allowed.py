"""What remembers which rules files their user allowed: by place and content, as direnv does.

Each has a file of its own in the user's state folder, a line as `sha256sum` writes it. Knows nothing of what rules say.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gatepass import files, home
from gatepass.errors import GatepassError, why

if TYPE_CHECKING:
    from collections.abc import Mapping


def folder(environ: Mapping[str, str]) -> Path | None:
    """Where it is remembered; None where this user has no place for it.

    A relative $XDG_STATE_HOME counts as none (XDG Base Directory Specification 0.8).
    """
    state: Path | None = Path(environ.get("XDG_STATE_HOME", ""))
    if state is not None and not state.is_absolute():
        own = home.folder()
        state = home.config() if sys.platform in ("darwin", "win32") else own and own / ".local" / "state"
    return state and state / "gatepass" / "allowed"


def record(path: Path, environ: Mapping[str, str]) -> Path | None:
    """Where it is remembered of the file at `path`, which is absolute and no link."""
    place = folder(environ)
    return place and place / _name(path)


def is_allowed(path: Path, content: bytes, environ: Mapping[str, str]) -> bool:
    """Whether the file at `path`, which is absolute and no link, was allowed with that content."""
    remembered = record(path, environ)
    return remembered is not None and _remembered(remembered) == _line(path, content)


def allow(path: Path, content: bytes, environ: Mapping[str, str]) -> None:
    """Allow the file at `path`, which is absolute and no link, for as long as it holds that.

    Raises:
        GatepassError: it cannot be remembered.
    """
    place = folder(environ)
    if place is None:
        raise GatepassError(
            "expected a folder to remember it in, got no home", "set `HOME`, or `XDG_STATE_HOME` to an absolute path"
        )
    try:
        for each in (place.parent, place):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(place / _name(path), _line(path, content), 0o600)
    except OSError as error:
        raise GatepassError(f"{place}: expected a folder to write to, got `{why(error)}`") from None


def deny(path: Path, environ: Mapping[str, str]) -> bool:
    """Forget that the file at `path` was allowed; whether it was, with whatever content.

    Raises:
        GatepassError: it cannot be forgotten.
    """
    place = folder(environ)
    try:
        if place is not None:
            (place / _name(path)).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise GatepassError(f"{place}: expected a folder to write to, got `{why(error)}`") from None
    return place is not None


def _name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def _line(path: Path, content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  ".encode() + os.fsencode(path) + b"\n"


def _remembered(path: Path) -> bytes | None:
    """What a file says that nobody but this user can have written."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # on Windows the owner is no number, and st_mode does not tell who may write
            is_own = sys.platform == "win32" or status.st_uid == os.geteuid()
            return file.read() if is_own and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None
    except OSError:
        return None
