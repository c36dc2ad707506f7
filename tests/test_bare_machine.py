"""A machine with nothing but Python, pip, venv, git and certificates: a newcomer's two commands, as they are written.

It is a Debian in a folder, made by Debian's own tools from where this machine's apt gets its packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from bare import CERTIFICATES, adopt, debootstrap
from harness import ROOT, tracked
from pages import first_commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.bare

PACKAGES: Final = "python3,python3-pip,python3-venv,git,ca-certificates"
SECONDS: Final = {"demo": 300, "tests": 1500}
KEPT: Final = re.compile(r"(https?|all|no)_proxy|PIP_INDEX_URL|UV_DEFAULT_INDEX|UV_INDEX_URL", re.IGNORECASE)
"""What this machine's environment says of how to go out."""

# The mounts are those of a namespace of its own: they end with it, and so does every process in it.
ENTER: Final = """
mount -t proc proc "$0/proc" && mount -t devpts devpts "$0/dev/pts" && mount -t tmpfs tmpfs "$0/dev/shm" || exit 97
user=$1; shift
exec chroot --userspec="$user:$user" "$0" sh -c "$@"
"""


class Machine:
    """It lies in a folder, and knows of this machine's network and certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        adopt(folder)

    def add(self, user: str, home: str) -> None:
        """Give a user a home, with a clone of this repository in it."""
        if user != "root":
            subprocess.run(["chroot", self._folder, "useradd", "--create-home", "--home-dir", home, user], check=True)
        clone = self._folder / home.lstrip("/") / "gatepass"
        for file in tracked():
            copy = clone / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        for command in (f"git init -q {home}/gatepass", f"git -C {home}/gatepass add -A", f"chown -R {user}: {home}"):
            subprocess.run(["chroot", self._folder, *command.split()], check=True)

    def run(self, user: str, home: str, command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell as a user types it in the clone."""
        certificates = f"/{CERTIFICATES}"
        env = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)} | {
            "HOME": home,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SSL_CERT_FILE": certificates,
            "PIP_CERT": certificates,
        }
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
        return subprocess.run(
            [*enter, str(self._folder), user, f"cd {home}/gatepass && {command}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "machine"
    folder.mkdir()
    try:
        debootstrap(folder, PACKAGES)
        yield Machine(folder)
    finally:
        shutil.rmtree(folder)


def test_the_readmes_two_commands(machine: Machine) -> None:
    """As root and as anybody, the demo and the tests run as the README has them.

    What is not there is brought, or its tests are skipped, which the last line counts; the clone stays clean.
    """
    demo, tests = first_commands()
    for user, home in (("root", "/root"), ("anybody", "/home/anybody")):
        machine.add(user, home)
        result = machine.run(user, home, demo, SECONDS["demo"])
        assert result.returncode == 0, f"{user}: {result.stdout}"
        assert "acme_tool 1.0" in result.stdout
        brought = machine.run(user, home, ".uv/bin/uv pip list", 60).stdout
        assert ("mitmproxy " in brought, "pytest " in brought) == (True, False), brought
        result = machine.run(user, home, tests, SECONDS["tests"])
        assert result.returncode == 0, f"{user}: {result.stdout[-20_000:]}"
        ended = re.search(r"=+ (\d+) passed, (\d+) skipped", result.stdout.splitlines()[-1])
        assert ended, result.stdout[-2000:]
        assert int(ended[1]) > 20 * int(ended[2])
        assert machine.run(user, home, "git ls-files --others --exclude-standard", 60).stdout == ""
