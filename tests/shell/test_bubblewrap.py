"""Where bubblewrap cannot isolate anything: what is said, and what is to be done."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from gatepass.errors import GatepassError
from gatepass.shell import bubblewrap

if TYPE_CHECKING:
    from pathlib import Path

DENIED = "bwrap: setting up uid map: Permission denied\n"


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd15"])
def test_other_systems(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """On another system than Linux that is said, before anything is looked for."""
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(GatepassError, match=f"expected Linux, got {platform}"):
        bubblewrap.find({})


def test_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose system calls are not known nothing is isolated without the filter of them."""
    if sys.platform != "linux":
        pytest.skip("this is about Linux")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "here", "6", "#1", "ppc64le")))
    with pytest.raises(GatepassError, match=r"expected a Python of 64 bits on one of .*x86_64.*, got ppc64le"):
        bubblewrap.find({})


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor .*bwrap-userns-restrict"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces"),
        ("kernel/ostype", "Linux", "in a container"),
    ],
)
def test_what_is_in_the_way(tmp_path: Path, name: str, value: str, hint: str) -> None:
    """The setting of the kernel that is in the way is named; where none is, it is a container that has to allow it."""
    (tmp_path / "kernel").mkdir()
    (tmp_path / "user").mkdir()
    (tmp_path / name).write_text(f"{value}\n")
    error = bubblewrap.failed(DENIED, tmp_path)
    assert "expected bubblewrap to isolate the command, got `setting up uid map: Permission denied`" in error.message
    assert re.search(hint, error.hint or "")


def test_settings_that_allow_it(tmp_path: Path) -> None:
    """A setting that allows namespaces is not blamed."""
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("1000\n")
    assert "max_user_namespaces" not in str(bubblewrap.failed(DENIED, tmp_path))


def test_an_old_one(tmp_path: Path) -> None:
    """One that does not know what it is told is told of as old; what it says is one line, and harmless."""
    error = bubblewrap.failed("bwrap: Unknown option --as-pid-1\x1b[2J\nmore\n", tmp_path)
    assert "`Unknown option --as-pid-1 [2J`" in error.message
    assert "--version" in (error.hint or "")
    assert "got `nothing`" in bubblewrap.failed("", tmp_path).message
