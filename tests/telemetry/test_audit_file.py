"""The audit file: lines come whole and in order, whatever becomes of the disk; and nobody waits for it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gatepass.errors import GatepassError
from gatepass.telemetry import audit
from gatepass.telemetry.audit import Audit
from harness import eventually, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried soon."""
    monkeypatch.setattr(audit, "RETRY_SECONDS", 0.05)


@contextmanager
def opened(path: Path | str) -> Iterator[Audit]:
    file = Audit(str(path))
    try:
        yield file
    finally:
        file.close()


def numbered(first: int, last: int) -> list[bytes]:
    return [b'{"n":%d}\n' % number for number in range(first, last)]


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    """All lines are there in their order, behind what the file had, when it is closed; others cannot read it."""
    path = tmp_path / "audit"
    path.write_bytes(b"{}\n")
    path.chmod(0o644)
    with opened(path) as file:
        for line in numbered(0, 5000):
            file.write(line)
    assert path.read_bytes() == b"".join([b"{}\n", *numbered(0, 5000)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = tmp_path / "other"
    with opened(other):
        pass
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_reopening(tmp_path: Path) -> None:
    """After `reopen` lines go to the file that has the name then; those before it stay with the old one."""
    path, moved = tmp_path / "audit", tmp_path / "audit.1"
    with opened(path) as file:
        file.write(b"1\n")
        eventually(path.read_bytes)
        path.rename(moved)
        file.write(b"2\n")
        file.reopen()
        eventually(path.exists)
        file.write(b"3\n")
        eventually(path.read_bytes)
    assert moved.read_bytes() == b"1\n2\n"
    assert path.read_bytes() == b"3\n"


def test_a_line_that_was_begun(tmp_path: Path) -> None:
    """Where whoever wrote before was stopped amid a line, the next one begins on a line of its own."""
    path = tmp_path / "audit"
    path.write_bytes(b'{"n":1}\n{"n"')
    with opened(path) as file:
        file.write(b'{"n":2}\n')
    assert path.read_bytes() == b'{"n":1}\n{"n"\n{"n":2}\n'


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk on which there is room for so much."""
    folder.mkdir()
    mounted = subprocess.run(
        [need("mount"), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here: not root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """It is told; when there is room again all lines are there, once and whole, though one had been cut short."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        filler, path = disk / "filler", disk / "audit"
        filler.write_bytes(bytes(40 * 1024))
        lines = [b'{"n":%d,"padding":"%s"}\n' % (number, b"x" * 700) for number in range(60)]
        with opened(path) as file:
            assert file.fault is None
            for line in lines:
                file.write(line)
            assert eventually(lambda: file.fault) == "no space left on device"
            assert not path.read_bytes().endswith(b"\n")
            filler.unlink()
            eventually(lambda: file.fault is None)
        assert path.read_bytes() == b"".join(lines)
        assert file.lost == 0


def test_a_full_disk_and_another_file(tmp_path: Path) -> None:
    """Where the file is moved away from a full disk's end, what it holds half is written whole into the new one."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        filler, path, moved = disk / "filler", disk / "audit", disk / "audit.1"
        filler.write_bytes(bytes(40 * 1024))
        lines = [b'{"n":%d,"padding":"%s"}\n' % (number, b"x" * 700) for number in range(60)]
        with opened(path) as file:
            for line in lines:
                file.write(line)
            eventually(lambda: file.fault)
            path.rename(moved)
            filler.unlink()
            file.reopen()
            eventually(lambda: file.fault is None)
        whole = moved.read_bytes()
        begun = whole[whole.rfind(b"\n") + 1 :]
        assert whole.removesuffix(begun) + path.read_bytes() == b"".join(lines)


def test_a_device_that_takes_nothing() -> None:
    """It is told for as long as it lasts, and closing does not wait for it."""
    file = Audit("/dev/full")
    file.write(b"1\n")
    assert eventually(lambda: file.fault) == "no space left on device"
    began = time.monotonic()
    file.close()
    assert time.monotonic() - began < audit._CLOSE_SECONDS


def test_a_pipe_that_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps neither who opens nor who writes, is told, and gets the lines from whole ones on when it is read."""
    monkeypatch.setattr(audit, "_STUCK_SECONDS", 0.3)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    began = time.monotonic()
    file = Audit(str(path))
    assert file.fault == "no such device or address"
    file.write(b"1\n")
    assert time.monotonic() - began < 1
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    eventually(lambda: file.fault is None)
    assert eventually(lambda: _some(reader)) == b"1\n"
    # more than a pipe holds, and nobody takes it
    line = b"x" * 999 + b"\n"
    for _ in range(200):
        file.write(line)
    assert "it has taken nothing for" in eventually(lambda: file.fault or "")
    got = bytearray()

    def take() -> bool:
        got.extend(_some(reader))
        return len(got) == 200 * len(line)

    eventually(take)
    eventually(lambda: file.fault is None)
    assert bytes(got) == line * 200
    file.close()
    os.close(reader)


def _some(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""


def test_what_cannot_be_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with what cannot be written."""
    monkeypatch.setattr(audit, "_MOST_BYTES", 100)
    file = Audit("/dev/full")
    for line in numbered(0, 1000):
        file.write(line)
    assert file.lost > 900
    file.close()


@pytest.mark.parametrize("name", ["absent/audit", "."])
def test_a_file_that_cannot_be(name: str, tmp_path: Path) -> None:
    """What will not pass by itself is an error that says what to do."""
    with pytest.raises(GatepassError, match="audit: expected a file that lines can be added to") as raised:
        Audit(str(tmp_path / name))
    assert raised.value.hint


def test_stdout_is_for_lines_alone() -> None:
    """With `-` all that others print, from then on, comes on stderr."""
    program = (
        "import os, sys; from gatepass.telemetry.audit import Audit\n"
        "print('before'); file = Audit('-'); print('meanwhile'); file.write(b'1\\n'); os.system('echo child')\n"
        "file.close(); print('after')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"before", b"1"]
    assert set(done.stderr.split()) == {b"meanwhile", b"child", b"after"}
