"""The stores of operating systems: which one is here, and what may change it."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from gatepass.errors import GatepassError
from gatepass.trust import authority, stores
from issuing import hosts

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may change a store")


@pytest.mark.parametrize(
    ("system", "release", "expected"),
    [
        ("linux", ["debian"], "debian"),
        ("linux", ["linuxmint", "ubuntu", "debian"], "debian"),
        ("linux", ["rocky", "rhel", "centos", "fedora"], "fedora"),
        ("linux", ["alpine"], "alpine"),
        ("darwin", [], "macos"),
        ("win32", [], "windows"),
    ],
)
def test_this_machines_platform(system: str, release: list[str], expected: str) -> None:
    """The platform is known by its os-release, or its kin's."""
    assert stores.detect(system, release).name == expected


def test_an_unknown_platform() -> None:
    """A platform that is not known is told, with those that are."""
    with pytest.raises(GatepassError, match=r"expected one of the platforms debian, .*, got `linux arch`"):
        stores.detect("linux", ["arch"])


@root
@pytest.mark.parametrize("code", [0, 1])
def test_fedora_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Fedora's store gets the certificate and its command is called; when that fails, the certificate is taken back."""
    made = authority.create(tmp_path / "ca", hosts("github.com"))
    platform = stores.PLATFORMS["fedora"]
    assert platform.store is not None
    assert platform.store.path == Path("/etc/pki/ca-trust/source/anchors/gatepass.pem")
    anchor = tmp_path / "gatepass.pem"
    platform = dataclasses.replace(platform, store=dataclasses.replace(platform.store, path=anchor))
    stub = tmp_path / "update-ca-trust"
    stub.write_text(f'#!/bin/sh\necho "$@" $(cat {anchor} 2>/dev/null | wc -l) >>{tmp_path}/calls\nexit {code}\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lines = made.pem.count("\n")
    if code:
        with pytest.raises(GatepassError, match="`update-ca-trust extract`: expected success, got 1"):
            stores.install(platform, made.pem)
        assert not anchor.exists()
        return
    assert stores.install(platform, made.pem) == anchor
    assert anchor.read_text() == made.pem
    assert stores.uninstall(platform) == anchor
    assert stores.uninstall(platform) is None
    assert (tmp_path / "calls").read_text() == f"extract {lines}\nextract 0\n"


@posix
def test_only_root_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user is told to run the commands with sudo."""
    made = authority.create(tmp_path / "ca", hosts("github.com"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(GatepassError, match="expected root") as caught:
        stores.install(stores.PLATFORMS["debian"], made.pem)
    assert caught.value.hint is not None
    assert "sudo" in caught.value.hint
