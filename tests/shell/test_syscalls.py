"""The filter of system calls, run by a machine of the test's own as the kernel runs it."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.shell import syscalls

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
# asm/unistd.h
SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}
IOCTL = {"x86_64": 16, "aarch64": 29, "riscv64": 29}
REFUSED = {
    "x86_64": {248, 249, 250, 425, 304},
    "aarch64": {217, 218, 219, 425, 265},
    "riscv64": {217, 218, 219, 425, 265},
}
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
WORDS = st.integers(0, 2**64 - 1)


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call."""
    found = ARCHITECTURES[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, found, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    program = list(struct.iter_unpack("<HBBI", syscalls.program(machine)))
    at = loaded = 0
    while True:  # ends, for no jump leads back
        code, if_true, if_false, value = program[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += if_true if loaded == value else if_false
            case 0x35:
                at += if_true if loaded >= value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(code)


@pytest.mark.parametrize("machine", syscalls.NAMES)
def test_each_machine_is_known(machine: str) -> None:
    """Every machine that is offered is held against its numbers here."""
    assert machine in ARCHITECTURES


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(family=WORDS, kind=WORDS)
def test_sockets(machine: str, family: int, kind: int) -> None:
    """Sockets are of the kinds that a network namespace holds: as the kernel reads it, in 32 bits."""
    allowed = family & 0xFFFFFFFF in (1, 2, 10, 16)
    assert answer(machine, SOCKET[machine], family, kind) == (ALLOW if allowed else ERRNO | errno.EAFNOSUPPORT)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(request=WORDS | st.sampled_from([TIOCSTI, TIOCLINUX, TIOCSTI | 1 << 32, TIOCLINUX | 1 << 63]), file=WORDS)
def test_terminals(machine: str, request: int, file: int) -> None:
    """Nobody types for others, by whatever bits beyond those that the kernel reads; all else is allowed."""
    refused = request & 0xFFFFFFFF in (TIOCSTI, TIOCLINUX)
    assert answer(machine, IOCTL[machine], file, request) == (ERRNO | errno.EPERM if refused else ALLOW)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(number=st.integers(0, 0x3FFFFFFF) | st.integers(0, 500))
def test_other_calls(machine: str, number: int) -> None:
    """Other calls are allowed, but for a few."""
    if number not in (SOCKET[machine], IOCTL[machine]):
        assert answer(machine, number) == (ERRNO | errno.EPERM if number in REFUSED[machine] else ALLOW)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(architecture=st.integers(0, 2**32 - 1), number=st.integers(0, 2**32 - 1))
def test_programs_for_another_machine(machine: str, architecture: int, number: int) -> None:
    """A program whose calls have other numbers does not go on, such as one of 32 bits."""
    if architecture != ARCHITECTURES[machine]:
        assert answer(machine, number, architecture=architecture) == KILL


@given(st.integers(0x40000000, 2**32 - 1))
def test_another_abi(number: int) -> None:
    """x86-64 has the same calls once more, by other numbers (x32): there are none."""
    assert answer("x86_64", number) == ERRNO | errno.ENOSYS
