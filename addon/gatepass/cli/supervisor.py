"""What a server tells the supervisor that started it: that it is ready, reloads, ends, and is alive. No command.

The protocol is sd_notify(3): datagrams of text to the socket that $NOTIFY_SOCKET names. Without one nothing is told,
and where it has gone away nothing is missed: whoever does not listen needs no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class Supervisor:
    """Systemd, or whoever else speaks its protocol; or nobody."""

    def __init__(self, address: str | None, alive_within: float | None) -> None:
        """`address` is what the socket is bound to; a word of life is expected every `alive_within` seconds."""
        self._address = address
        self._alive_within = alive_within
        self._socket: socket.socket | None = None
        self._beat: asyncio.TimerHandle | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Supervisor:
        """The one that the environment names, which is told to nobody else: a child that spoke would speak for us."""
        place, process, within = (environ.pop(name, "") for name in _VARIABLES)
        # a leading `@` stands for the NUL of Linux's abstract names; vsock and whatever comes is not for us
        address = f"\0{place[1:]}" if place.startswith("@") else place if place.startswith("/") else None
        is_meant = process in ("", str(os.getpid()))
        seconds = int(within) / 1e6 if within.isascii() and within.isdigit() and is_meant else 0.0
        return cls(address, seconds or None)

    def ready(self, status: str | None = None) -> None:
        """It serves, or serves by what it has read again; from now on it tells that it is alive. On the loop."""
        self._tell("READY=1", *([] if status is None else [f"STATUS={status}"]))
        if self._alive_within is not None and self._beat is None:
            self._live()

    def reloading(self) -> None:
        """It reads its configuration again; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """It ends."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def close(self) -> None:
        """Tell nothing any more."""
        if self._beat is not None:
            self._beat.cancel()
        if self._socket is not None:
            self._socket.close()
        self._address = self._alive_within = self._socket = None

    def _live(self) -> None:
        """By the loop itself, for a loop that hangs is what the watchdog is to find; at half of the time, as
        sd_watchdog_enabled(3) has it.
        """
        assert self._alive_within is not None
        self._tell("WATCHDOG=1")
        self._beat = asyncio.get_running_loop().call_later(self._alive_within / 2, self._live)

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        # one that has gone, one whose queue is full, a system without such sockets: the next word may be heard again
        with contextlib.suppress(OSError, AttributeError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self._address)
