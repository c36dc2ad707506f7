"""What a server tells systemd: each word to a real socket, by the protocol of sd_notify(3)."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.cli.supervisor import Supervisor
from supervising import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such sockets")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a socket may be: a name of one is at most 107 bytes long."""
    with tempfile.TemporaryDirectory(prefix="gp") as folder:
        yield Path(folder, "notify")


def names() -> list[str]:
    return ["path", *(["abstract"] if sys.platform == "linux" else [])]


@pytest.mark.parametrize("kind", names())
async def test_each_word(place: Path, kind: str) -> None:
    """Ready, reloading, ready again and ending are told in their order, to a socket with a path or without."""
    address = str(place) if kind == "path" else f"@gatepass-{uuid.uuid4()}"
    with supervisor(address) as told:
        environ = {"NOTIFY_SOCKET": address}
        ours = Supervisor.take(environ)
        ours.ready("listens on 127.0.0.1:8080")
        before = time.monotonic_ns() // 1000
        ours.reloading()
        ours.ready()
        ours.stopping("ends")
        told.wait_for("STOPPING=1")
        ours.close()
    first, reloading, again, last = told.texts
    assert first == "READY=1\nSTATUS=listens on 127.0.0.1:8080"
    assert again == "READY=1"
    assert last == "STOPPING=1\nSTATUS=ends"
    word, since = reloading.split("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert before <= int(since) <= time.monotonic_ns() // 1000


async def test_the_variables_are_for_no_child() -> None:
    """What the supervisor told is taken from the environment, and nothing else is."""
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "CREDENTIALS_DIRECTORY": "/c"}
    Supervisor.take(environ)
    assert environ == {"CREDENTIALS_DIRECTORY": "/c"}


@pytest.mark.parametrize("address", [None, "", "notify", "vsock:2:1234", "/nowhere/notify", "/" + "x" * 200, "@", "\0"])
def test_nobody_listens(address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a socket, with one that is gone, or with what is none, a server goes on, and makes none."""
    monkeypatch.chdir(tmp_path)
    ours = Supervisor.take({"WATCHDOG_USEC": "20000"} | ({} if address is None else {"NOTIFY_SOCKET": address}))

    async def tell() -> None:
        ours.ready("listens")
        ours.reloading()
        await asyncio.sleep(0.05)
        ours.stopping("ends")
        ours.close()

    asyncio.run(tell())
    assert list(tmp_path.iterdir()) == []


async def test_a_socket_that_goes_and_comes(place: Path) -> None:
    """A supervisor that starts anew hears the next word."""
    ours = Supervisor.take({"NOTIFY_SOCKET": str(place)})
    with supervisor(place) as told:
        ours.ready("one")
        told.wait_for("STATUS=one")
    ours.ready("two")
    with supervisor(place) as told:
        ours.ready("three")
        told.wait_for("STATUS=three")
    assert told.texts == ["READY=1\nSTATUS=three"]
    ours.close()


async def test_one_that_does_not_read(place: Path) -> None:
    """Nothing waits for a supervisor whose queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(place))
        ours = Supervisor.take({"NOTIFY_SOCKET": str(place)})
        begun = time.monotonic()
        for _ in range(2000):
            ours.ready("listens")
        assert time.monotonic() - begun < 5
        ours.close()


@pytest.mark.parametrize("is_said", [False, True], ids=["anyone", "this-process"])
async def test_the_watchdog(place: Path, is_said: bool) -> None:
    """A word of life comes by the loop, at half of the time at the latest, from `ready` on until the end; a loop that
    hangs says none.
    """
    environ = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"}
    with supervisor(place) as told:
        ours = Supervisor.take(environ | ({"WATCHDOG_PID": str(os.getpid())} if is_said else {}))
        await asyncio.sleep(0.5)
        assert told.beats == []
        ours.ready("listens")
        await asyncio.sleep(2)
        ours.reloading()
        ours.ready()  # which makes it tell no oftener
        await asyncio.sleep(1)
        alive = list(told.beats)
        assert 8 <= len(alive) <= 16
        time.sleep(1)  # noqa: ASYNC251 — the loop hangs
        hung = len(told.beats) - len(alive)
        assert hung <= 1
        await asyncio.sleep(0.5)
        assert len(told.beats) > len(alive) + hung
        ours.close()
        ended = len(told.beats)
        await asyncio.sleep(0.5)
        assert len(told.beats) <= ended + 1  # the last may have been on its way


@pytest.mark.parametrize(
    ("within", "process"), [("", None), ("0", None), ("x", None), ("-5", None), ("²", None), ("40000", "1")]
)
async def test_no_watchdog(place: Path, within: str, process: str | None) -> None:
    """Where none is wanted, or of another process, no word of life is told."""
    environ = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": within}
    with supervisor(place) as told:
        ours = Supervisor.take(environ | ({} if process is None else {"WATCHDOG_PID": process}))
        ours.ready("listens")
        told.wait_for("READY=1")
        await asyncio.sleep(0.1)
        assert told.beats == []
        ours.close()
