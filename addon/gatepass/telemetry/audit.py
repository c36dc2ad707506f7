"""The audit file: lines go to its end, whole and in order, and never hold up who tells them.

Knows neither events nor what is in a line. A thread writes: a disk that is full, a network's disk that hangs, or a pipe
that nobody reads keeps that thread, and not the loop; how long lines have waited tells of it.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass.errors import GatepassError, printable, why

if TYPE_CHECKING:
    from collections.abc import Callable

STDOUT: Final = "-"
RETRY_SECONDS: Final = 5.0
"""A file that takes no lines is tried again so often."""

_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_AT_ONCE: Final = 256 * 1024
# So long a line may wait to be written before the file counts as one that takes none.
_STUCK_SECONDS: Final = 5.0
# Lines that come together are written together: to wake the thread for each would cost more than the line.
_GATHER_SECONDS: Final = 0.02
_CLOSE_SECONDS: Final = 3.0
# What passes by itself, or when somebody has seen to it; whatever else keeps a file from being opened is a mistake.
_PASSING: Final = frozenset({
    errno.ENXIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE,
})  # fmt: skip


class Audit:
    """A file that lines are added to; `-` is this process's stdout, which then holds lines alone.

    All methods return at once, except that `close` waits for what is still to be written: some seconds at the most.

    Raises:
        GatepassError: the file cannot be opened, for a reason that does not pass.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.lost = 0
        """Lines that could not be kept until they could be written."""
        self._clock = clock
        self._error = ""
        self._lines: deque[tuple[float, bytes]] = deque()
        # bytes; each is counted by one thread alone
        self._added = self._written = 0
        self._writing_since: float | None = None
        # what is being written, and how much of it has been
        self._batch, self._done = b"", 0
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._is_to_reopen = self._is_closing = False
        self._stdout = claim_stdout() if path == STDOUT else None
        self._file: int | None = None
        try:
            self._open()
        except OSError as error:
            if error.errno not in _PASSING:
                raise GatepassError(
                    f"audit: expected a file that lines can be added to, got `{printable(path)}`: {why(error)}",
                    "make its folder, and let folder and file belong to the proxy's user; or name `-`, for stdout",
                ) from None
            self._error = why(error)
        self._thread = threading.Thread(target=self._run, name="gatepass-audit", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Add a line, which ends in a newline; where too much waits already it is lost, and counted."""
        if self._added - self._written + len(line) > _MOST_BYTES:
            self.lost += 1
            return
        self._added += len(line)
        self._lines.append((self._clock(), line))
        if not self._wake.is_set():
            self._wake.set()

    @property
    def fault(self) -> str | None:
        """Why lines cannot be written at the moment; None when they can."""
        if self._error:
            return self._error
        try:
            since = self._writing_since or self._lines[0][0]
        except IndexError:
            return None
        waited = self._clock() - since
        return f"it has taken nothing for {waited:.0f} s" if waited > _STUCK_SECONDS else None

    def reopen(self) -> None:
        """Open the file anew, by its name, after what is still to be written: logrotate has moved the old one."""
        self._is_to_reopen = True
        self._hurry.set()
        self._wake.set()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._is_closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(_CLOSE_SECONDS)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        is_done = False
        while not is_done:
            self._wake.wait()
            self._hurry.wait(_GATHER_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            is_closing, is_to_reopen, self._is_to_reopen = self._is_closing, self._is_to_reopen, False
            try:
                if self._file is None or (self._error and self._is_elsewhere()):
                    self._open()
                self._write_all()
                if is_to_reopen:
                    self._open()
                self._error = ""
            except OSError as error:
                self._error, self._writing_since = why(error), None
                self._is_to_reopen |= is_to_reopen
                if not is_closing:
                    self._hurry.wait(RETRY_SECONDS)
                    self._wake.set()
            is_done = is_closing
        self._let_go()

    def _write_all(self) -> None:
        assert self._file is not None
        while self._done < len(self._batch) or self._lines:
            if self._done == len(self._batch):
                lines, size = [], 0
                while self._lines and size < _MOST_AT_ONCE:
                    lines.append(self._lines.popleft()[1])
                    size += len(lines[-1])
                self._batch, self._done = b"".join(lines), 0
            self._writing_since = self._writing_since or self._clock()
            try:
                # where it was cut short it goes on at the next try: no line is torn while the file stays the same
                written = os.write(self._file, self._batch[self._done :])
            except BlockingIOError:  # stdout, if whoever shares it has made it so
                select.select([], [self._file], [], 1.0)
                continue
            self._writing_since = None
            self._done += written
            self._written += written
        self._batch, self._done = b"", 0

    def _open(self) -> None:
        """Open the file that has the name now, and go on with a whole line there."""
        self._let_go()
        begin = self._batch.rfind(b"\n", 0, self._done) + 1
        self._written -= self._done - begin
        self._done = begin
        self._file = self._opened() if self._stdout is None else self._stdout

    def _opened(self) -> int:
        # a pipe that nobody reads would keep whoever opens it
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o600)
        try:
            os.set_blocking(file, True)
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode):
                if stat.S_IMODE(found.st_mode) != 0o600:
                    os.fchmod(file, 0o600)
                if _ends_amid_a_line(self.path, found):
                    os.write(file, b"\n")
        except OSError:
            os.close(file)
            raise
        return file

    def _is_elsewhere(self) -> bool:
        """Whether the name is another file's by now, or a pipe's, whose reader may be another."""
        if self._stdout is not None:
            return False
        assert self._file is not None
        mine = os.fstat(self._file)
        try:
            named = Path(self.path).stat()
        except FileNotFoundError:
            return True
        return not (stat.S_ISREG(mine.st_mode) and os.path.samestat(mine, named))

    def _let_go(self) -> None:
        if self._file is not None and self._file != self._stdout:
            os.close(self._file)
        self._file = None


def _ends_amid_a_line(path: str, found: os.stat_result) -> bool:
    """Whether the file's last line has no end: whoever wrote it was killed, or had no more room."""
    if not found.st_size:
        return False
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.path.samestat(os.fstat(file), found) and os.pread(file, 1, found.st_size - 1) != b"\n"
    finally:
        os.close(file)


@cache
def claim_stdout() -> int:
    """A descriptor of this process's stdout, which is stderr for all others from now on, to the end."""
    sys.stdout.flush()
    claimed = os.dup(1)
    os.dup2(2, 1)
    return claimed
