"""The benchmarks run, and what is written of them is what they write."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from harness import ROOT, call, clean_environment
from pages import TEXT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_quick_run(tmp_path: Path) -> None:
    """A quick run measures every figure, and writes the table and the plot."""
    command: list[str | Path] = [sys.executable, "-m", "benchmarks", "--quick", "--output", tmp_path]
    result = call(command, clean_environment(), cwd=ROOT)
    assert result.code == 0, result.output
    measured = json.loads((tmp_path / "results.json").read_text())
    written = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert measured.keys() == written.keys()
    assert (tmp_path / "results.svg").read_text().startswith("<svg")


def test_the_table_is_shown() -> None:
    """The figures on the page are those of the last full run."""
    table = (ROOT / "benchmarks" / "results.md").read_text().partition("\n| figure")[2].partition("\n\n")[0]
    assert table
    assert f"| figure{table}" in TEXT
