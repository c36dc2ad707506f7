"""`gatepass serve` under a supervisor: what it tells by the protocol of systemd, from its start to its end."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository
from harness import GATEPASS, Client, background, eventually, free_port
from replicas import status
from supervising import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Shell

pytestmark = [
    pytest.mark.slow,  # they wait for clocks
    pytest.mark.skipif(sys.platform == "win32", reason="there are no such sockets"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a socket may be: a name of one is at most 107 bytes long."""
    with tempfile.TemporaryDirectory(prefix="gp") as folder:
        yield Path(folder, "notify")


def test_from_start_to_end(shell: Shell, place: Path) -> None:
    """READY once it listens and is ready, RELOADING and READY at SIGHUP, also with rules that are wrong, STOPPING at
    SIGTERM while it still takes connections; a word of life all the time, at least every half of what is asked.
    """
    port, admin = free_port(), free_port()
    rules = shell.home / "ours.yaml"
    rules.write_text(shell.rules.read_text())
    command: list[str | Path] = [GATEPASS, "serve", "--rules", rules, "--listen", f"127.0.0.1:{port}"]
    command += ["--admin", f"127.0.0.1:{admin}", "--drain-delay", "2", "--", "--set", "gatepass_watch=false"]
    env = {**shell.env, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "2000000"}
    with supervisor(place) as told, background(command, env, shell.home) as running:
        assert told.wait_for("READY=1") == f"READY=1\nSTATUS=listens on 127.0.0.1:{port}"
        assert status(f"http://127.0.0.1:{admin}/readyz") == 200
        for number, text in enumerate((rules.read_text(), "version: 2\n"), 1):
            rules.write_text(text)
            running.process.send_signal(signal.SIGHUP)
            told.wait_for("RELOADING=1", number)
            assert told.wait_for("READY=1", 1 + number) == "READY=1"
        running.wait_for("version")
        time.sleep(3)
        running.process.send_signal(signal.SIGTERM)
        told.wait_for("STOPPING=1")
        assert status(f"http://127.0.0.1:{admin}/readyz") == 503
        assert running.process.wait(30) == 0
    assert [text.partition("=")[0] for text in told.texts] == [
        *("READY", "RELOADING", "READY", "RELOADING", "READY"),
        *("STOPPING", "STOPPING"),
    ]
    beats = told.beats
    assert all(later - sooner < 1.9 for sooner, later in pairwise(beats))
    assert beats[-1] - beats[0] > 4
    assert "Traceback" not in running.output


def test_one_that_hangs_is_found_out(shell: Shell, place: Path) -> None:
    """A process that is there, and does nothing, says no word of life."""
    command: list[str | Path] = [GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0"]
    env = {**shell.env, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"}
    with supervisor(place) as told, background(command, env, shell.home) as running:
        eventually(lambda: len(told.beats) > 3)
        running.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        heard = len(told.beats)
        time.sleep(1)
        assert len(told.beats) == heard
        running.process.send_signal(signal.SIGCONT)
        eventually(lambda: len(told.beats) > heard)


def test_a_supervisor_that_goes_away(shell: Shell, place: Path) -> None:
    """A socket that is not there, from the beginning or from later on, changes nothing."""
    command: list[str | Path] = [GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0"]
    env = {**shell.env, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "100000"}
    with background(command, env, shell.home) as running:
        running.wait_for("listening")
        with supervisor(place) as told:
            eventually(lambda: told.beats)
        time.sleep(0.5)
        assert running.process.poll() is None
        assert running.stop() == 0
    assert "Traceback" not in running.output


def test_children_are_told_nothing_of_it(github: StandIn, shell: Shell, place: Path) -> None:
    """A program that is asked for a secret has neither the socket nor the watchdog in its environment."""
    assets = [Asset("tool.bin", b"content")]
    github.repositories.append(Repository("acme", "supervised", releases=[Release("v1.0", assets)]))
    program = shell.home / "program"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, pathlib\n"
        f"pathlib.Path({str(shell.home / 'seen')!r}).write_text(json.dumps(dict(os.environ)))\n"
        f"print({DEFAULT_TOKEN!r})\n"
    )
    program.chmod(0o700)
    rules = shell.home / "ours.yaml"
    rules.write_text(shell.rules.read_text().replace("env:STANDIN_TOKEN", f"command: [{program}]"))
    port = free_port()
    command: list[str | Path] = [GATEPASS, "serve", "--no-password", "--rules", rules, "--listen", f"127.0.0.1:{port}"]
    env = {**shell.env, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "30000000", "OURS": "kept"}
    with supervisor(place) as told, background(command, env, shell.home) as running:
        told.wait_for("READY=1")
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        bundle = running.wait_for(r"export SSL_CERT_FILE=(\S+)\n")[1]
        client = Client(shell.home, {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": bundle})
        url = github.download_url("acme/supervised", "v1.0", "tool.bin")
        assert client.fetch(url, "--cacert", bundle, "-L").body == b"content"
    seen = json.loads((shell.home / "seen").read_text())
    assert seen["OURS"] == "kept"
    assert not {name for name in seen if name.startswith(("NOTIFY_", "WATCHDOG_"))}
