"""The benchmarks run, and what is written of them is what they write."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import MEASUREMENTS, NEEDS

from harness import ROOT, background, call, clean_environment
from pages import TEXT


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


@pytest.mark.slow
def test_what_a_lock_costs(tmp_path: Path) -> None:
    """A cold `uv lock` of a private index costs the list's one page and a call a file, and nothing again; beside it
    stand the public index, pypiserver and find-links, in bytes and in seconds.
    """
    command: list[str | Path] = [sys.executable, "-m", "benchmarks", "--quick", "--only", "index", "--output", tmp_path]
    result = call(command, clean_environment(), cwd=ROOT)
    assert result.code == 0, result.output
    measured = json.loads((tmp_path / "results.json").read_text())
    assert [(figure["measured"], figure["met"]) for figure in measured["figures"]] == [(11, True), (0, True), (0, True)]
    by_unit = {row["unit"]: dict(row["values"]) for row in measured["comparisons"]}
    assert by_unit.keys() == {"s", "kB"}
    sides = list(by_unit["kB"])
    assert len(sides) == 7
    folder = next(kilobytes for side, kilobytes in by_unit["kB"].items() if "one page of a folder" in side)
    assert folder > 10 * 50, "a server that knows no ranges has each wheel downloaded whole"


@pytest.mark.slow
def test_a_run_that_is_ended(tmp_path: Path) -> None:
    """What has been measured is written when the run is ended, and what has not; nothing that it started is left."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "start", "--only", "handshakes"]
    own = tmp_path / "tmp"
    own.mkdir()
    with background([*command, "--output", tmp_path], clean_environment(TMPDIR=str(own)), cwd=ROOT) as run:
        run.wait_for(r"handshakes\n")
        assert run.stop() == 128 + signal.SIGTERM
    written = json.loads((tmp_path / "results.json").read_text())
    names = ["start: `gatepass run -- true`", "run: more than the command alone"]
    assert [figure["name"] for figure in written["figures"]] == names
    assert list(own.iterdir()) == []
    assert [place for place in Path("/proc").glob("[0-9]*/cmdline") if os.fsencode(own) in place.read_bytes()] == []
    assert "handshakes was still to be measured" in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize(
    ("name", "program"), [("api-calls", "uv"), ("index", "uv"), ("memory", "curl"), ("clone", "git")]
)
def test_a_program_that_is_missing(name: str, program: str, tmp_path: Path) -> None:
    """Before anything is measured it is told which programs are missing, for what, and what can be had without."""
    python = tmp_path / "python"  # beside which there is no uv
    python.symlink_to(sys.executable)
    env = clean_environment(PATH=str(tmp_path), PYTHONPATH=os.pathsep.join(sys.path))
    result = call([python, "-m", "benchmarks", "--only", name, "--only", "start"], env, cwd=ROOT)
    told, hint = result.output.splitlines()
    assert result.code == 2
    assert told == f"error: expected `{program}`, which measures {name}: it is not here, or does not run"
    assert "--only start" in hint
    assert f"--only {name}" not in hint


def test_what_needs_no_program() -> None:
    """What is told to be needed is needed by a measurement that there is."""
    assert NEEDS.keys() <= MEASUREMENTS.keys()


def test_the_table_is_shown() -> None:
    """The figures on the page are those of the last full run."""
    table = (ROOT / "benchmarks" / "results.md").read_text().partition("\n| figure")[2].partition("\n\n")[0]
    assert table
    assert f"| figure{table}" in TEXT
