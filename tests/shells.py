"""A user's shells: each as a program, a session for it, a server to be set up for, and who else reads variables."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import strategies as st

from gatepass.shell import running
from gatepass.shell.running import Running
from harness import BIN, GATEPASS, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# How a shell runs a script, with nothing of the user's own.
PROGRAMS: Final = {
    "bash": ("bash", "--norc", "--noprofile", "-c"),
    "zsh": ("zsh", "-f", "-c"),
    "fish": ("fish", "--no-config", "-c"),
    "nushell": ("nu", "--no-config-file", "--stdin", "-c"),
    "powershell": ("pwsh", "-NoProfile", "-NonInteractive", "-Command"),
}
SHELLS: Final = list(PROGRAMS)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
"""Whatever an environment variable may hold."""


def program(shell: str) -> tuple[str, ...]:
    """How that shell runs a script; without the shell the test is skipped."""
    command = PROGRAMS[shell]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    return command


def parse(listing: bytes) -> dict[str, str]:
    """What `env -0` wrote."""
    pairs = (os.fsdecode(entry).partition("=") for entry in listing.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def session(home: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    runtime = home / "runtime"
    runtime.mkdir()
    found = os.pathsep.join([str(BIN), os.environ["PATH"]])
    return clean_environment(HOME=str(home), XDG_RUNTIME_DIR=str(runtime), PATH=found, SHELL="/bin/bash")


@contextmanager
def listening(base: Mapping[str, str], bundle: Path) -> Iterator[Running]:
    """A server that is announced: the process is this one, and all it does is listen."""
    bundle.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = Running(os.getpid(), f"http://127.0.0.1:{server.getsockname()[1]}", bundle, bundle)
        file = running.announce(known, base)
        try:
            yield known
        finally:
            file.unlink(missing_ok=True)


def gatepass_env(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`gatepass env` in such a session."""
    command = [str(GATEPASS), "env", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def read_environment_file(text: str) -> dict[str, str]:
    """As the runner reads it (actions/runner, `src/Runner.Worker/FileCommandManager.cs`)."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, delimiter = line.split("<<", 1)
            value = []
            while (part := next(lines)) != delimiter:
                value.append(part)
            found[name] = "\n".join(value)
    return found
