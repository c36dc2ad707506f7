"""What an isolated program may ask of the kernel: a seccomp filter, in the machine language of BPF.

Pure: a machine's name in, bytes out. It refuses what namespaces do not hold: kinds of sockets that lead out of every
network namespace, keys pressed on a terminal for its owner, and the kernel's keyrings.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# linux/bpf_common.h
_LOAD: Final = 0x20
_IS: Final = 0x15
_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

# linux/seccomp.h
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000

# struct seccomp_data; of an argument the low half, which is what the kernel reads (on these machines the first):
# a filter that compared all 64 bits of TIOCSTI could be passed by one more of them (CVE-2019-10063)
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST: Final = 16
_SECOND: Final = 24

_X32: Final = 0x40000000
"""From here on the numbers are those of another ABI of x86-64."""

_FAMILIES: Final = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, which network namespaces hold; AF_VSOCK leads to the host of a virtual
machine out of any of them.
"""
_KEYS: Final = (0x5412, 0x541C)
"""TIOCSTI types on the terminal for whoever reads it next, and TIOCLINUX pastes there."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """Numbers of system calls, and that by which the kernel names the machine (linux/audit.h)."""

    architecture: int
    socket: int
    ioctl: int
    refused: tuple[int, ...]
    """add_key, request_key, keyctl; io_uring_setup, which asks for what no filter sees; open_by_handle_at, which opens
    what no path leads to.
    """
    first_foreign: int | None = None


_GENERIC: Final = (217, 218, 219, 425, 265)
_MACHINES: Final[Mapping[str, _Machine]] = {
    "x86_64": _Machine(0xC000003E, 41, 16, (248, 249, 250, 425, 304), _X32),
    "aarch64": _Machine(0xC00000B7, 198, 29, _GENERIC),
    "riscv64": _Machine(0xC00000F3, 198, 29, _GENERIC),
}
NAMES: Final = tuple(_MACHINES)
"""As `uname -m` has them."""


def program(machine: str) -> bytes:
    """The filter for one of NAMES, as `bwrap --seccomp` reads it. A program for another machine, of 32 bits, is killed:
    its calls have other numbers.
    """
    known = _MACHINES[machine]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IS, 1, 0, known.architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if known.first_foreign is not None:
        code += [(_AT_LEAST, 0, 1, known.first_foreign), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number in known.refused:
        code += [(_IS, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    code += _when(known.socket, [(_LOAD, 0, 0, _FIRST), *_unless(_FAMILIES, _ERRNO | errno.EAFNOSUPPORT)])
    code += _when(known.ioctl, [(_LOAD, 0, 0, _SECOND), *_among(_KEYS, _ERRNO | errno.EPERM)])
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


type _Code = list[tuple[int, int, int, int]]


def _when(number: int, code: _Code) -> _Code:
    """The code for that system call, which ends in an answer: what was loaded before is gone."""
    return [(_IS, 0, len(code), number), *code]


def _unless(values: Sequence[int], answer: int) -> _Code:
    """Allow these values, and give all others that answer."""
    compared = [(_IS, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*compared, (_RETURN, 0, 0, answer), (_RETURN, 0, 0, _ALLOW)]


def _among(values: Sequence[int], answer: int) -> _Code:
    """Give these values that answer, and allow all others."""
    compared = [(_IS, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*compared, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, answer)]
