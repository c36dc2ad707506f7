"""This process among the others of its user, which may look at its environment and its memory: they hold tokens.

Keeps nothing from root, nor from who was attached before. Does nothing where the system has no such thing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # prctl(2)


def seclude() -> None:
    """Let no other process of this user read the memory of this one, and nobody the environment it was started with.

    Linux alone can do that. What this process starts is not secluded: a program that is executed begins anew.
    """
    if sys.platform != "linux":
        return
    # a Python that was linked statically cannot load the C library; one without /proc has nothing to hide there
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        # PR_SET_DUMPABLE also makes the files in /proc/PID root's, and leaves no core dump (proc(5), ptrace(2))
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        start, end = _block()
        # /proc/PID/environ shows the block that the kernel made, whatever becomes of the variables: they are written
        # elsewhere, and then it is emptied
        libc.clearenv()
        for name, value in os.environb.items():
            os.putenv(name, value)
        ctypes.memset(start, 0, end - start)


def _block() -> tuple[int, int]:
    """Where the environment that this process was started with lies (`env_start` and `env_end` of proc(5))."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[47]), int(fields[48])
