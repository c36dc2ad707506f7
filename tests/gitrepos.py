"""Git repositories on disk, for the stand-in to serve, and git as a client that knows no settings of this user's."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from harness import need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The same commit each time.
_WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Monalisa"), ("EMAIL", "m@example.com"), ("DATE", "2026-01-01T00:00:00Z"))
}
ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", **_WHO}
"""What keeps git from the settings of this machine, and from asking people."""


def git(folder: Path, *arguments: str) -> str:
    """What git prints, which must succeed."""
    command = [need("git"), "-C", str(folder), *arguments]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **ALONE}, capture_output=True, text=True, check=True
    ).stdout


def bare(folder: Path, files: Mapping[str, bytes], *, branches: Sequence[str] = (), tags: Sequence[str] = ()) -> Path:
    """A bare repository with these files on `main`; on each other branch there is a file that holds its name."""
    work, path = folder / "work", folder / "repository.git"
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    _commit(work)
    for tag in tags:
        git(work, "tag", tag)
    for branch in branches:
        git(work, "checkout", "--quiet", "-b", branch, "main")
        (work / "branch.txt").write_text(f"{branch}\n")
        _commit(work)
    git(folder, "clone", "--quiet", "--bare", str(work), str(path))
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    return path


def _commit(work: Path) -> None:
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "--message=a change")
