"""Files that are written whole or not at all: a reader sees the old one or the new one, never half of it.

And those of others, of which none may keep us waiting, fill the memory or be run unasked. Text is ASCII. Knows nothing
of what the files are for.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def write(path: Path, content: str | bytes, mode: int = 0o644, *, new: bool = False) -> Path:
    """Write a file with these permissions, in place of one that is there.

    Raises:
        FileExistsError: it is there, and should be `new`; of several who write a new one, one succeeds.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("ascii") if isinstance(content, str) else content)
        Path(temporary).chmod(mode)
        if new:
            path.hardlink_to(temporary)  # fails where a rename would replace
        else:
            Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def update(path: Path, content: str | bytes) -> Path:
    """Write a file unless it holds that already: who watches it is not woken for nothing."""
    wanted = content.encode("ascii") if isinstance(content, str) else content
    if not (path.is_file() and path.read_bytes() == wanted):
        write(path, wanted)
    return path


def read(path: Path, most: int) -> bytes:
    """What a regular file holds, and a byte too many when that is more than `most`; a pipe or a device is not opened.

    Raises:
        OSError: it cannot be read; ValueError: no file can have that name.
    """
    # what is no file could keep us waiting for whoever writes to it
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "no regular file")
        # a file of the kernel's, such as /proc/kmsg, may have nothing for the moment
        return file.read(most + 1) or b""


def program(name: str, environ: Mapping[str, str]) -> str | None:
    """Where the PATH has that program, or None; a name with a folder is its own answer.

    Entries that depend on the working folder are left out: a cloned repository may hold a `gh` of its own.
    """
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    found = shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, folders)))
    return found if found is None or os.path.dirname(name) or os.path.isabs(found) else None  # noqa: PTH117, PTH120
