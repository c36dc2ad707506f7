"""`python -m benchmarks`: measure, and write results.md, results.json and results.svg."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks import bulk, calls, latency, programs, rate, sources, start
from benchmarks.bench import FULL, QUICK, Bench
from benchmarks.report import Comparison, Figure, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.report import Row

MEASUREMENTS: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "api-calls": calls.api_calls,
    "bytes": calls.bytes_moved,
    "warm": latency.warm,
    "cold": latency.cold,
    "throughput": bulk.throughput,
    "rate": rate.warm,
    "memory": bulk.memory,
    "start": start.run_true,
    "protocols": bulk.protocols,
    "connections": latency.connections,
    "handshakes": rate.handshakes,
    "clone": bulk.clone,
    "secrets": sources.secrets,
}


@click.command()
@click.option("--quick", is_flag=True, help="Measure little: whether it works, not how fast.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Measure this alone; repeatable.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where to write the results; by default beside this file, and nowhere with --quick or --only.",
)
def main(*, quick: bool, only: tuple[str, ...], output: Path | None) -> None:
    """Measure Gatepass against what it stands beside, on loopback. Takes a few minutes."""
    names = [name for name in MEASUREMENTS if name in only] or list(MEASUREMENTS)
    rows: list[Row] = []
    failures: list[str] = []
    begin = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begin:5.1f} s]   {text}", err=True)

    with (
        tempfile.TemporaryDirectory(prefix="gatepass-bench-") as folder,
        Bench(Path(folder), QUICK if quick else FULL, say) as bench,
    ):
        for number, name in enumerate(names, 1):
            click.echo(f"[{time.monotonic() - begin:5.1f} s] {number}/{len(names)} {name}", err=True)
            try:
                rows += MEASUREMENTS[name](bench)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failures.append(f"{name} could not be measured: {' '.join(str(error).split())[:500]}")
                click.echo(failures[-1], err=True)
    click.echo(f"[{time.monotonic() - begin:5.1f} s] done", err=True)

    figures = [row for row in rows if isinstance(row, Figure)]
    comparisons = [row for row in rows if isinstance(row, Comparison)]
    report = Report(_machine(quick=quick), figures, comparisons, failures)
    click.echo(report.markdown())
    if output is None and not quick and not only:
        output = Path(__file__).parent
    if output is not None:
        (output / "results.md").write_text(report.markdown(), encoding="utf-8")
        (output / "results.json").write_text(report.json(), encoding="utf-8")
        (output / "results.svg").write_text(report.svg(), encoding="utf-8")
    sys.exit(1 if failures else 0)


def _machine(*, quick: bool) -> dict[str, str]:
    uv = subprocess.run([programs.UV, "--version"], capture_output=True, text=True, check=False).stdout.split()
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


if __name__ == "__main__":
    main()
