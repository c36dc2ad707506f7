"""A supervisor for a test: the socket that $NOTIFY_SOCKET names, and what was told there."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Told:
    """Each word that came, and when, in seconds of the monotonic clock."""

    address: str
    words: list[tuple[float, str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """What was told but for the words of life."""
        return [text for _, text in self.words if text != "WATCHDOG=1"]

    @property
    def beats(self) -> list[float]:
        """When a word of life came."""
        return [at for at, text in self.words if text == "WATCHDOG=1"]

    def wait_for(self, word: str, times: int = 1) -> str:
        """The text in which this word came for so many times."""
        found = eventually(lambda: [text for text in self.texts if word in text.split("\n")][times - 1 :])
        return found[0]


@contextmanager
def supervisor(address: str | Path) -> Iterator[Told]:
    """Listen there: at a path, or with `@` before it at one of Linux's abstract names."""
    told = Told(str(address))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(told.address.replace("@", "\0", 1) if told.address.startswith("@") else told.address)
        hearing.settimeout(0.05)
        over = threading.Event()

        def hear() -> None:
            while not over.is_set():
                try:
                    word = hearing.recv(4096).decode()
                except TimeoutError:
                    continue
                told.words.append((time.monotonic(), word))

        thread = threading.Thread(target=hear, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            over.set()
            thread.join()
            if not told.address.startswith("@"):
                Path(told.address).unlink()
