"""`gatepass demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import BIN, UV, call, clean_environment

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
    assert DEFAULT_TOKEN not in result.output
    assert "Signature" not in result.output
    assert not list(tmp_path.iterdir()), "it cleans up"


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
