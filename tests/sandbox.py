"""`gatepass run --isolate`, where this machine can isolate anything, and the same command without it for comparison."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import DEADLINE, ROOT, need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatepass.demo.standin import StandIn
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


def ruled(shell: Shell, github: StandIn, folder: Path, more: str = "") -> Shell:
    """The shell with rules that name the stand-in's asset host, too: it is at an address that is not public."""
    rules = folder / "rules.yaml"
    named = f"api: {github.api}\n    assets: ['{github.asset_host}']\n"
    rules.write_text(shell.rules.read_text().replace(f"api: {github.api}\n", named) + more)
    return replace(shell, rules=rules)


def as_nobody(command: Sequence[str | Path]) -> list[str | Path]:
    """The same by a plain user, for root: it sees this Python, and Gatepass, in whosever home they are."""
    for program in ("unshare", "setpriv"):
        need(program)
    needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT / "addon"]
    closed = {path: _closed(path) for path in needed}
    script = ["set -e", "mount --make-rprivate /", "mount -t tmpfs tmpfs /mnt"]
    for number, path in enumerate(needed):
        script += [f"mkdir /mnt/{number}", f"mount --bind '{path}' /mnt/{number}"]
    script += [f"mount -t tmpfs -o mode=755 tmpfs '{folder}'" for folder in {*closed.values()} - {None}]
    for number, path in enumerate(needed):
        if closed[path]:
            script += [f"mkdir -p '{path}'", f"mount --bind /mnt/{number} '{path}'"]
    script.append('exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"')
    return ["unshare", "--mount", "sh", "-c", "\n".join(script), "-", *command]


def _closed(path: Path) -> Path | None:
    """The outermost folder on the way there that is not everybody's."""
    return next((each for each in reversed((path, *path.parents)) if not each.stat().st_mode & 1), None)


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
