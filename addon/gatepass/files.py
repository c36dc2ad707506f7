"""Files that are written whole or not at all: a reader sees the old one or the new one, never half of it.

Text is ASCII. Knows nothing of what the files are for.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
