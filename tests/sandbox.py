"""`gatepass run --isolate`, where this machine can isolate anything, and the same command without it for comparison."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from harness import DEADLINE, need

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Shell

OPTIONS = ("run", "--isolate")


@cache
def _fault() -> str:
    """Why nothing can be isolated here; empty where it can."""
    command = [need("bwrap"), "--unshare-user", "--unshare-net", "--unshare-pid", "--bind", "/", "/", "--proc", "/proc"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False, timeout=DEADLINE)
    return done.stderr.strip()


def need_isolation() -> None:
    """Skip the test where nothing can be isolated."""
    if sys.platform != "linux":
        pytest.skip("bubblewrap is for Linux")
    if fault := _fault():
        pytest.skip(f"nothing can be isolated here: {fault}")


@dataclass(frozen=True)
class Sandbox:
    """A developer's shell in which commands are isolated."""

    shell: Shell

    @property
    def home(self) -> Path:
        return self.shell.home

    def run(
        self, *command: str | Path, options: tuple[str | Path, ...] = (), stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """`gatepass run --isolate OPTIONS -- COMMAND`."""
        return self.shell.gatepass(*OPTIONS, "--rules", self.shell.rules, *options, "--", *command, stdin=stdin)

    def python(self, program: str, *arguments: str | Path, options: tuple[str | Path, ...] = ()) -> str:
        """What a program of Python prints, which must end well."""
        done = self.run(sys.executable, "-c", program, *arguments, options=options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def outside(self, program: str, *arguments: str | Path) -> str:
        """What it prints under `gatepass run` alone."""
        done = self.shell.run(sys.executable, "-c", program, *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()
