"""Which servers run: each is found while it listens, and no longer."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from gatepass.shell import running
from gatepass.shell.running import Running
from harness import free_port
from shells import listening, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    return session(tmp_path)


@pytest.fixture
def server(base: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    with listening(base, tmp_path / os.fsdecode(b"the bundle's, \xc3\xa9.pem")) as known:
        yield known


def test_stale_files(base: dict[str, str], server: Running) -> None:
    """A server that died, or that listens no more, is not found, and its file goes; a file of another sort stays."""
    with subprocess.Popen(["true"]) as gone:
        pass
    stale = [
        running.announce(Running(gone.pid, server.proxy, server.bundle, server.ca), base),
        running.announce(Running(os.getpid(), f"http://127.0.0.1:{free_port()}", server.bundle, server.ca), base),
        running.announce(Running(2**70, server.proxy, server.bundle, server.ca), base),
    ]
    future = running.folder(base) / "1-1.json"
    future.write_text('{"pid": "of a version to come"}')
    (running.folder(base) / "2-2.json").write_bytes(b"\xff{")
    assert running.find(base) == [server]
    assert not any(path.exists() for path in stale)
    assert future.exists()


@pytest.mark.parametrize("runtime", [None, "", "relative/folder"])
def test_no_runtime_folder(runtime: str | None) -> None:
    """Without a runtime folder it is the user's own configuration folder; a relative one is none."""
    found = running.folder({} if runtime is None else {"XDG_RUNTIME_DIR": runtime})
    assert found.is_absolute()
    assert found.parts[-2:] == ("gatepass", "run")
