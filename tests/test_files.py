"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from gatepass import files

if TYPE_CHECKING:
    from pathlib import Path


def test_write_is_all_or_nothing(tmp_path: Path) -> None:
    """A file is replaced whole, with its permissions, and a failure leaves the old one and no litter."""
    path = files.write(tmp_path / "a.pem", "old", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "né")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pem"]


def test_a_file_that_has_nothing_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of the kernel's may have nothing for the moment, as a pipe: it is empty, and nobody waits."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(os, "open", lambda *_: reading)
    monkeypatch.setattr(stat, "S_ISREG", lambda _: True)
    assert files.read(tmp_path / "kmsg", 10) == b""
    os.close(writing)


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    """Of two who write a new file the first succeeds, and the second leaves no litter."""
    path = files.write(tmp_path / "a.pem", "first", new=True)
    with pytest.raises(FileExistsError):
        files.write(path, "second", new=True)
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pem"]


def test_an_update_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    """Who watches a file is woken when its content changes, and not before."""
    path = files.update(tmp_path / "a.pem", "old")
    before = path.stat().st_ino
    assert files.update(path, b"old").stat().st_ino == before
    assert files.update(path, "new").read_text() == "new"
