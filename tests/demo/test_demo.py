"""`gatepass demo`, as a newcomer runs it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import BIN, DEADLINE, background, call, clean_environment, eventually
from terminal import INTERRUPT, terminal

if TYPE_CHECKING:
    from pathlib import Path


def test_demo(tmp_path: Path) -> None:
    """The demo shows the failure and the success, with the requests that made it, and leaves nothing behind."""
    result = call([BIN / "gatepass", "demo"], clean_environment(TMPDIR=str(tmp_path)), cwd=tmp_path)
    assert result.code == 0, result.output
    failure, success = result.output.index("404 Not Found"), result.output.index("+ acme-tool==1.0")
    assert failure < success
    assert "assets/" in result.output
    assert "acme_tool 1.0" in result.output
    assert DEFAULT_TOKEN not in result.output
    assert "Signature" not in result.output
    assert not list(tmp_path.iterdir()), "it cleans up"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("stage", ["A stand-in", "# the same under"])
def test_demo_that_is_ended(tmp_path: Path, name: str, stage: str) -> None:
    """Ended on its way it leaves nothing either: no folder of its own, of the stand-in's or of the run's in it."""
    env = clean_environment(TMPDIR=str(tmp_path))
    with background([BIN / "gatepass", "demo"], env, cwd=tmp_path) as running:
        running.wait_for(stage)
        if stage.startswith("#"):
            eventually(lambda: len(list(tmp_path.glob("gatepass-run-*"))) == 2)
        running.process.send_signal(signal.Signals[name])
        assert running.process.wait(DEADLINE) != 0
    assert "Traceback" not in running.output
    assert not list(tmp_path.iterdir())


def test_demo_in_a_terminal(tmp_path: Path) -> None:
    """A terminal is shown colours, unless NO_COLOR says that it should not."""
    env = clean_environment(TMPDIR=str(tmp_path))
    for colours, shown in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        with terminal([BIN / "gatepass", "demo"], env | colours, tmp_path) as running:
            running.wait_for("# uv alone")
            assert ("\x1b[" in running.output) == shown
            running.press(INTERRUPT)
            running.end()


def test_demo_without_uv(tmp_path: Path) -> None:
    """Without uv the demo says what is missing and how to get it."""
    result = call([BIN / "gatepass", "demo"], clean_environment(PATH=str(tmp_path)), cwd=tmp_path)
    assert (result.code, result.output) == (1, "error: demo: `uv` is not on the PATH\nhint: `pip install uv`\n")
