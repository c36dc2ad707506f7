"""A private folder that is gone at the end: with its process, or, if that was killed, with the next one's start.

A signal that would end the process at once ends it in order while there is such a folder.

Knows nothing of what lies in it. A lock tells the living from the dead, for a process number may come again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError:  # Windows has no such locks: there the system empties its folder for temporary files
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PREFIX: Final = "gatepass-run-"
_LOCK: Final = "lock"
_ENDING: Final = ("SIGTERM", "SIGHUP")
_NEW_SECONDS: Final = 60.0
"""A folder without a lock may be one that is being made."""


@contextmanager
def private() -> Iterator[Path]:
    """A folder that no other user can look into, for as long as the block; for the main thread."""
    _remove_leftovers()
    with _in_order():
        yield from _folder()


def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    # locked before it is there under its name: another start takes a lock that nobody holds for a leftover
    lock = os.open(path / f".{_LOCK}", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        (path / f".{_LOCK}").rename(path / _LOCK)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@contextmanager
def _in_order() -> Iterator[None]:
    """Let signals that end the process have its blocks left first; one that is ignored, as under nohup, stays so."""
    numbers = [number for name in _ENDING if (number := getattr(signal, name, None)) is not None]
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as shells tell it


def _remove_leftovers() -> None:
    """Remove what processes that were killed have left, where it is ours to remove."""
    if not fcntl:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            status = path.lstat()
            # a link, or another user's folder, may be a trap
            if path.is_symlink() or not path.is_dir() or status.st_uid != os.getuid():
                continue
            if not (path / _LOCK).exists():
                if time.time() - status.st_mtime > _NEW_SECONDS:
                    shutil.rmtree(path)
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)
        except OSError:
            continue  # it lives, or another start removes it
