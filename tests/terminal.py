"""A terminal with a program in it, for what a program does only there."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import DEADLINE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

INTERRUPT, SUSPEND = "\x03", "\x1a"
"""Ctrl-C and Ctrl-Z."""

WATCH = """
import os, signal, sys
count = 0
def interrupted(*_):
    global count
    count += 1
    print("interrupted", count, flush=True)
    if count == 2:
        sys.exit(130)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGUSR1, lambda *_: print("so far", count, flush=True))
signal.signal(signal.SIGCONT, lambda *_: print("continued", flush=True))
def size(*_):
    print("size", *os.get_terminal_size(), flush=True)
signal.signal(signal.SIGWINCH, size)
print("terminals", [os.isatty(number) for number in range(3)], os.ttyname(0) == os.ttyname(2), flush=True)
size()
while True:
    signal.pause()
"""
"""A program that tells what its terminal sends it, and ends at the second Ctrl-C."""


@dataclass
class Terminal:
    """What a person has before them: keys go in, and all that the program shows comes out."""

    process: subprocess.Popen[bytes]
    keyboard: int
    shown: bytearray = field(default_factory=bytearray)
    is_open: bool = True

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        try:
            while self.is_open:
                if select.select([self.keyboard], [], [], 0.1)[0]:
                    if not (data := os.read(self.keyboard, 65_536)):
                        return
                    self.shown += data
        except OSError:
            return  # as Linux tells that the last program has closed it

    @property
    def output(self) -> str:
        return self.shown.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, pattern: str) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            if ended:
                self.reader.join(DEADLINE)
            match = re.search(pattern, self.output)
            assert match or not ended, f"no {pattern!r} in:\n{self.output}"
            return match

        try:
            match = eventually(found)
        except AssertionError as error:
            raise AssertionError(f"{error}; {pattern!r} in:\n{self.output}") from None
        assert match
        return match

    def press(self, keys: str) -> None:
        os.write(self.keyboard, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """Let the terminal go away, as by the closing of its window."""
        self.is_open = False
        self.reader.join(DEADLINE)  # as long as it reads, the system keeps the terminal
        os.close(self.keyboard)

    def end(self) -> int:
        """Wait for the program's end, and for the last of what it shows; its exit code."""
        code = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return code


@contextmanager
def terminal(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """Run a program in a terminal of its own, of 100 columns and 40 lines."""
    keyboard, screen = os.openpty()
    # setsid makes the session and its controlling terminal: Python may not run code between fork and exec with threads
    process = subprocess.Popen(
        ["setsid", "--ctty", *map(str, command)], env=env, cwd=cwd, stdin=screen, stdout=screen, stderr=screen
    )
    os.close(screen)
    running = Terminal(process, keyboard)
    running.resize(100, 40)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(DEADLINE)
        running.reader.join(DEADLINE)
        if running.is_open:
            os.close(keyboard)
