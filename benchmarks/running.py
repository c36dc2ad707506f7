"""A run from start to end: what it needs, what it says meanwhile, and what is written of it.

Knows no measurement: whoever runs it names them.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks import programs
from benchmarks.bench import Bench, Scale
from benchmarks.report import Comparison, Figure, Report, Row
from gatepass import files

type Measurement = Callable[[Bench], Iterator[Row]]


def measure(
    names: Sequence[str], measurements: Mapping[str, Measurement], scale: Scale, blank: Report, output: Path | None
) -> int:
    """Measure these, one after the other, and show `blank` with all that came of it; the exit code.

    With `output` it is written there, too: after each row, so that nothing is lost with what comes after it.
    """
    rows: list[Row] = []
    failures: list[str] = []
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, programs.end)

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begin:5.1f} s]   {text}", err=True)

    def report(to_come: Sequence[str] = ()) -> Report:
        """All so far, written down."""
        figures = [row for row in rows if isinstance(row, Figure)]
        comparisons = [row for row in rows if isinstance(row, Comparison)]
        left_out = failures + [f"{name} was still to be measured" for name in to_come]
        whole = replace(blank, figures=figures, comparisons=comparisons, left_out=left_out)
        if output is not None:
            for suffix, text in (("md", whole.markdown()), ("json", whole.json()), ("svg", whole.svg())):
                files.write(output / f"results.{suffix}", text.encode())
        return whole

    with tempfile.TemporaryDirectory(prefix="gatepass-bench-") as folder, Bench(Path(folder), scale, say) as bench:
        for number, name in enumerate(names, 1):
            click.echo(f"[{time.monotonic() - begin:5.1f} s] {number}/{len(names)} {name}", err=True)
            try:
                for row in measurements[name](bench):
                    rows.append(row)
                    say(f"{row.name}: {row.shown}")
                    report(names[number - 1 :])
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failures.append(f"{name} could not be measured: {' '.join(str(error).split())[:500]}")
                click.echo(failures[-1], err=True)
            report(names[number:])
    click.echo(f"[{time.monotonic() - begin:5.1f} s] done", err=True)
    click.echo(report().markdown())
    return 1 if failures else 0


def expect_programs(
    names: Sequence[str], measurements: Mapping[str, Measurement], needs: Mapping[str, Sequence[str]], command: str
) -> None:
    """End with what is missing, before any time is spent; `needs` names the programs of each measurement."""
    missing: dict[str, list[str]] = {}
    for name in names:
        for program in needs.get(name, ()):
            if not programs.runs(program):
                missing.setdefault(program, []).append(name)
    for program, wanted in missing.items():
        click.echo(
            f"error: expected `{program}`, which measures {', '.join(wanted)}: it is not here, or does not run",
            err=True,
        )
    if missing:
        others = " ".join(f"--only {name}" for name in measurements if not missing.keys() & needs.get(name, ()))
        click.echo(f"hint: install it, or measure without: `{command} {others}`", err=True)
        sys.exit(2)


def machine(*, quick: bool) -> dict[str, str]:
    """What a run is on."""
    uv: list[str] = []
    if programs.runs("uv"):
        uv = subprocess.run([programs.UV, "--version"], capture_output=True, text=True, check=True).stdout.split()
    facts = {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "Python": platform.python_version(),
        "mitmproxy": version("mitmproxy"),
        "uv": uv[1] if len(uv) > 1 else "none",
    }
    return facts | ({"scale": "quick, which proves nothing"} if quick else {})


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return found[1] if found else platform.machine()
