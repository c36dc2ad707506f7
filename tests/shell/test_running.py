"""Which servers run: each is found while it listens, and no longer."""

from __future__ import annotations

import os
import subprocess

import pytest

from gatepass.shell import running
from gatepass.shell.running import Running
from harness import free_port


def test_stale_files(user: dict[str, str], serving: Running) -> None:
    """A server that died, or that listens no more, is not found, and its file goes; a file of another sort stays."""
    with subprocess.Popen(["true"]) as gone:
        pass
    stale = [
        running.announce(Running(gone.pid, serving.proxy, serving.bundle, serving.ca), user),
        running.announce(Running(os.getpid(), f"http://127.0.0.1:{free_port()}", serving.bundle, serving.ca), user),
        running.announce(Running(2**70, serving.proxy, serving.bundle, serving.ca), user),
    ]
    future = running.folder(user) / "1-1.json"
    future.write_text('{"pid": "of a version to come"}')
    (running.folder(user) / "2-2.json").write_bytes(b"\xff{")
    # the pid of one that lives
    (running.folder(user) / "3-3.json").write_text('{"pid": 1, "proxy": "http://[", "bundle": "b", "ca": "c"}')
    (running.folder(user) / "4-4.json").write_text('{"pid": 1, "proxy": "http://a:x", "bundle": "b", "ca": "c"}')
    assert running.find(user) == [serving]
    assert not any(path.exists() for path in stale)
    assert future.exists()


@pytest.mark.parametrize("runtime", [None, "", "relative/folder"])
def test_no_runtime_folder(runtime: str | None) -> None:
    """Without a runtime folder it is the user's own configuration folder; a relative one is none."""
    found = running.folder({} if runtime is None else {"XDG_RUNTIME_DIR": runtime})
    assert found.is_absolute()
    assert found.parts[-2:] == ("gatepass", "run")
