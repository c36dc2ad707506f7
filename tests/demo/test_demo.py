"""`gatepass demo`, as a newcomer runs it."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN
from harness import BIN, DEADLINE, UV, background, call, clean_environment, eventually
from terminal import INTERRUPT, terminal

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Result


def test_demo(tmp_path: Path) -> None:
    """The demo shows the failure and the success, with the requests that made it, and leaves nothing behind."""
    result = call([BIN / "gatepass", "demo"], clean_environment(TMPDIR=str(tmp_path)), cwd=tmp_path)
    assert result.code == 0, result.output
    failure, success = result.output.index("404 Not Found"), result.output.index("+ acme-tool==1.0")
    assert failure < success
    assert "assets/" in result.output
    assert "acme_tool 1.0" in result.output
    wheel = package.wheel("acme_tool", "1.0")
    added = result.output.index("uv add --project project acme-tool")
    hashed = f'/{wheel.name}", hash = "sha256:{hashlib.sha256(wheel.content).hexdigest()}"'
    assert hashed in result.output[added:]
    assert "this program holds ghp_gatepass" in result.output
    assert "GET /repos/acme/tool/releases: v1.0" in result.output
    assert "GET /user: no rule covers that at the API" in result.output
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


@pytest.fixture
def lone_python(tmp_path: Path) -> Path:
    """A Python beside which no uv lies, and which has Gatepass all the same."""
    place = tmp_path / "lone"
    place.mkdir()
    (place / "python").symlink_to(sys.executable)
    return place / "python"


def demo(python: Path, **variables: str) -> Result:
    """What the demo prints of itself when it is run by this Python, with an empty PATH."""
    env = clean_environment(PATH=str(python.parent), PYTHONPATH=os.pathsep.join(sys.path), **variables)
    return call([python, "-m", "gatepass", "demo"], env, cwd=python.parent)


def test_demo_by_the_uv_that_started_it(lone_python: Path) -> None:
    """uv need not be on the PATH, as with `python -m uv run gatepass demo`; `gatepass run` finds it, too."""
    result = demo(lone_python, UV=os.path.relpath(UV, lone_python.parent))
    assert result.code == 0, result.output
    assert "+ acme-tool==1.0" in result.output


@pytest.mark.parametrize("variables", [{}, {"UV": "/nope/uv"}, {"UV": ""}], ids=["unset", "absent", "empty"])
def test_demo_without_uv(lone_python: Path, variables: dict[str, str]) -> None:
    """Without uv the demo says what is missing and how to get it, in two lines."""
    result = demo(lone_python, **variables)
    assert result.code == 1
    assert result.output.splitlines() == [
        "error: demo: there is no `uv`: not where $UV says, not beside this Python, not on the PATH",
        "hint: `python3 -m venv .uv && .uv/bin/pip install uv`, then `UV=.uv/bin/uv gatepass demo`",
    ]


def test_demo_with_a_uv_that_is_none(lone_python: Path) -> None:
    """A program that cannot be run is told in one line."""
    broken = lone_python.with_name("broken")
    broken.write_text("no program\n")
    broken.chmod(0o755)
    result = demo(lone_python, UV=str(broken))
    assert (result.code, result.output.splitlines()[-1]) == (
        1,
        f"error: demo: cannot run `{broken}`: exec format error",
    )
    assert "Traceback" not in result.output
