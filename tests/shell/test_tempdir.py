"""Temporary directories: private, gone at the end, and what a killed run left goes with the next."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from gatepass.shell import tempdir

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def leftover(place: Path, name: str = "gatepass-run-dead") -> Path:
    """What a killed run leaves."""
    folder = place / name
    folder.mkdir(0o700)
    (folder / "lock").touch()
    (folder / "key.pem").write_text("secret")
    return folder


def test_scratch(temporary: Path) -> None:
    """The folder is its owner's alone, and gone at the end, also of a block that fails."""

    def fail() -> None:
        with tempdir.private() as folder:
            assert folder.parent == temporary
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "file").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(temporary.iterdir()) == []


def test_leftovers_go(temporary: Path) -> None:
    """A folder whose lock nobody holds goes with the next start; one that is held, or is none of ours, stays."""
    dead, other = leftover(temporary), leftover(temporary, "someone-elses-thing")
    with tempdir.private() as one, tempdir.private() as two:
        assert one.exists()
        assert two.exists()
        assert not dead.exists()
        assert other.exists()


def test_leftovers_without_a_lock(temporary: Path) -> None:
    """A folder without a lock may be one that is being made: it goes when it is old."""
    new, old = leftover(temporary, "gatepass-run-new"), leftover(temporary, "gatepass-run-old")
    for folder in (new, old):
        (folder / "lock").unlink()
    os.utime(old, (time.time() - 3600,) * 2)
    with tempdir.private():
        assert new.exists()
        assert not old.exists()


def test_leftovers_that_are_links(temporary: Path) -> None:
    """A link is no leftover, and a lock that is a link is not opened: what they lead to stays."""
    target = leftover(temporary, "target")
    (temporary / "gatepass-run-link").symlink_to(target)
    trap = leftover(temporary, "gatepass-run-trap")
    (trap / "lock").unlink()
    (trap / "lock").symlink_to(target / "lock")
    inside = leftover(temporary, "gatepass-run-inside")
    (inside / "away").symlink_to(target)
    with tempdir.private():
        assert (target / "key.pem").exists()
        assert trap.exists()
        assert not inside.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_leftovers_of_others(temporary: Path) -> None:
    """Another user's folder is not ours to remove, nor is a file of that name."""
    theirs = leftover(temporary)
    os.chown(theirs, 12345, 12345)
    (temporary / "gatepass-run-file").touch()
    with tempdir.private():
        assert (theirs / "key.pem").exists()
        assert (temporary / "gatepass-run-file").exists()
    shutil.rmtree(theirs)
