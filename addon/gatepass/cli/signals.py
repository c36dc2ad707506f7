"""What signals mean to a server: SIGHUP to read its rules again, SIGTERM to end when all is done. No command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_AFTER_SECONDS: Final = (0.5, 3.0)
"""A shell that ends tells its jobs first (zsh; bash with `huponexit`), and then its terminal goes."""


def terminate(drain: Callable[[], None]) -> None:
    """Let SIGTERM end in order; where no loop takes signals, as on Windows, it stays as it is."""
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drain)


class Hangup:
    """SIGHUP as servers take it, unless it comes because the terminal has gone away: then it ends.

    One that is ignored, as under nohup, stays so.
    """

    def __init__(self, reload: Callable[[], Coroutine[Any, Any, None]], shut_down: Callable[[], None]) -> None:
        self._reload = reload
        self._shut_down = shut_down
        self._had_terminal = _has_terminal()
        self._tasks: set[asyncio.Task[None]] = set()

    def heed(self) -> None:
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(hangup, self._told)

    def _told(self) -> None:
        if self._end_without_terminal():
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        for seconds in _AFTER_SECONDS:
            loop.call_later(seconds, self._end_without_terminal)

    def _end_without_terminal(self) -> bool:
        has_gone = self._had_terminal and not _has_terminal()
        if has_gone:
            self._shut_down()
        return has_gone


def _has_terminal() -> bool:
    """Whether there is a controlling terminal: of one that has hung up nobody can open this name any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
