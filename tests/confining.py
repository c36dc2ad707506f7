"""A command as a unit of systemd confines it, without systemd: `python tests/confining.py UNIT COMMAND…`.

What the unit says of system calls, address families and memory that is written and run becomes filters of the kernel,
by the library that systemd itself uses for them; its privileges go, too. Namespaces are not made: what only they take
away is there.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

_ALLOW: Final = 0x7FFF0000
_MASKED_EQUAL: Final = 7
_WRITE, _EXECUTE, _SHARED_EXECUTE = 0x2, 0x4, 0o100000


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit says, by the names of its settings, in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@functools.cache
def calls(name: str) -> frozenset[str]:
    """The system calls of one of systemd's sets, and of those in it; a name without `@` is one call."""
    if not name.startswith("@"):
        return frozenset({name})
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return frozenset().union(*(calls(word) for word in words if word and not word.startswith("#")))


def allowed(unit: dict[str, list[str]]) -> frozenset[str]:
    """The system calls that SystemCallFilter leaves: lists that add, then those that take away (systemd.exec(5))."""
    found = calls("@default")
    for line in unit["SystemCallFilter"]:
        named: frozenset[str] = frozenset().union(*map(calls, line.removeprefix("~").split()))
        found = found - named if line.startswith("~") else found | named
    return found


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class Filter:
    """One filter of libseccomp's."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(otherwise)))

    def add(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        """Do so at a call, where its arguments compare so; a call that this machine has not is left out."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        given = (_Comparison * len(comparisons))(*(_Comparison(*each) for each in comparisons))
        done = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(comparisons), given
        )
        if done:
            raise OSError(-done, f"seccomp_rule_add_array: {call}")

    def load(self) -> None:
        """Have it in force, for this process and all that come of it."""
        if done := self._library.seccomp_load(self._context):
            raise OSError(-done, "seccomp_load")


def refused(error: int) -> int:
    """What a filter does with a call that ends in this error."""
    return 0x00050000 | error


def confine(unit: dict[str, list[str]]) -> None:
    """Put the unit's filters in force. The order is systemd's own: the list of calls comes last."""
    if "RestrictAddressFamilies" in unit:
        families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()]
        sockets = Filter(_ALLOW)
        for family in range(socket.AF_VSOCK + 1):
            if family not in families:
                sockets.add(refused(errno.EAFNOSUPPORT), "socket", (0, _MASKED_EQUAL, 0xFFFFFFFF, family))
        sockets.load()
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        memory, both = Filter(_ALLOW), _WRITE | _EXECUTE
        memory.add(refused(errno.EPERM), "mmap", (2, _MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            memory.add(refused(errno.EPERM), call, (2, _MASKED_EQUAL, _EXECUTE, _EXECUTE))
        memory.add(refused(errno.EPERM), "shmat", (2, _MASKED_EQUAL, _SHARED_EXECUTE, _SHARED_EXECUTE))
        memory.load()
    listed = Filter(refused(getattr(errno, unit["SystemCallErrorNumber"][0])))
    for call in sorted(allowed(unit)):
        listed.add(_ALLOW, call)
    listed.load()


def command(unit: Path, *words: str | Path) -> list[str | Path]:
    """What starts a command so confined: without any privilege, and with no way to get one."""
    setpriv = shutil.which("setpriv") or "setpriv"
    given_up = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return [setpriv, *given_up, "--no-new-privs", sys.executable, __file__, unit, *words]


if __name__ == "__main__":
    confine(settings(Path(sys.argv[1])))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 — there is no shell to be wanted
