"""The standard streams, of which any may be closed, or full. No command."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from gatepass.errors import why

if TYPE_CHECKING:
    from collections.abc import Buffer


class _Output(io.FileIO):
    """Where a command says what it was asked for: when that cannot be, there is nothing left to do, but to say so."""

    _is_lost = False

    def write(self, data: Buffer, /) -> int:
        if not self._is_lost:
            try:
                return super().write(data)
            except OSError as error:
                if error.errno == errno.EPIPE:  # whoever read has had enough, which click knows
                    raise
                self._is_lost = True  # what is left in the buffers is written once more at the end
                click.echo(f"error: stdout: expected to write to it, got `{why(error)}`", err=True)
                sys.exit(1)
        return memoryview(data).nbytes


class _Courtesy(io.FileIO):
    """Where the rest is said: nothing ends because nobody can hear it."""

    def write(self, data: Buffer, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def prepare() -> None:
    """Let stdout and stderr be such, open or not."""
    # The next file that is opened would get the number of a closed stream, and what is printed. What stands in for it
    # is not inherited (PEP 446), so that a command finds it as it was; and it cannot be written to, as it could not.
    while (number := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(number)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Courtesy(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, was: object) -> io.TextIOWrapper:
    """A stream like the one that Python made, which is none where it was closed."""
    if not isinstance(was, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        was.encoding,
        was.errors,
        line_buffering=was.line_buffering,
        write_through=was.write_through,
    )
