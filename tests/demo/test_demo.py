"""`gatepass demo`, as a newcomer runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import BIN, call, clean_environment

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


def test_demo_without_uv(tmp_path: Path) -> None:
    """Without uv the demo says what is missing and how to get it."""
    result = call([BIN / "gatepass", "demo"], clean_environment(PATH=str(tmp_path)), cwd=tmp_path)
    assert (result.code, result.output) == (1, "error: demo: `uv` is not on the PATH\nhint: `pip install uv`\n")
