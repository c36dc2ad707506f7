"""`python -m benchmarks`: measure, and write results.md, results.json and results.svg."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks import bulk, calls, egress, latency, programs, questions, rate, sources, start
from benchmarks.bench import FULL, QUICK, Bench
from benchmarks.report import Comparison, Figure, Report
from gatepass import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.report import Row

MEASUREMENTS: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "api-calls": calls.api_calls,
    "bytes": calls.bytes_moved,
    "warm": latency.warm,
    "cold": latency.cold,
    "throughput": bulk.throughput,
    "rate": rate.warm,
    "graphql": questions.parsed,
    "egress": egress.requests,
    "egress-tunnels": egress.tunnels,
    "memory": bulk.memory,
    "start": start.run_true,
    "sync": start.run_sync,
    "protocols": bulk.protocols,
    "connections": latency.connections,
    "handshakes": rate.handshakes,
    "clone": bulk.clone,
    "secrets": sources.secrets,
}
NEEDS: Final = {
    "api-calls": ("uv",),
    "bytes": ("uv",),
    "throughput": ("curl",),
    "egress-tunnels": ("curl", "squid"),
    "memory": ("curl",),
    "sync": ("uv",),
    "protocols": ("curl",),
    "clone": ("git",),
    "secrets": ("git",),
}
"""The programs without which there is nothing to measure."""


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
    _expect_programs(names)
    if output is None and not quick and not only:
        output = Path(__file__).parent
    machine = _machine(quick=quick)
    rows: list[Row] = []
    failures: list[str] = []
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, programs.end)

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begin:5.1f} s]   {text}", err=True)

    def report(to_come: Sequence[str] = ()) -> Report:
        """All so far, written down: what has been measured is not lost with what comes after it."""
        figures = [row for row in rows if isinstance(row, Figure)]
        comparisons = [row for row in rows if isinstance(row, Comparison)]
        left_out = failures + [f"{name} was still to be measured" for name in to_come]
        whole = Report(machine, figures, comparisons, left_out)
        if output is not None:
            for suffix, text in (("md", whole.markdown()), ("json", whole.json()), ("svg", whole.svg())):
                files.write(output / f"results.{suffix}", text.encode())
        return whole

    with (
        tempfile.TemporaryDirectory(prefix="gatepass-bench-") as folder,
        Bench(Path(folder), QUICK if quick else FULL, say) as bench,
    ):
        for number, name in enumerate(names, 1):
            click.echo(f"[{time.monotonic() - begin:5.1f} s] {number}/{len(names)} {name}", err=True)
            try:
                for row in MEASUREMENTS[name](bench):
                    rows.append(row)
                    say(f"{row.name}: {row.shown}")
                    report(names[number - 1 :])
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failures.append(f"{name} could not be measured: {' '.join(str(error).split())[:500]}")
                click.echo(failures[-1], err=True)
            report(names[number:])
    click.echo(f"[{time.monotonic() - begin:5.1f} s] done", err=True)
    click.echo(report().markdown())
    sys.exit(1 if failures else 0)


def _expect_programs(names: Sequence[str]) -> None:
    """End with what is missing, before any time is spent."""
    missing: dict[str, list[str]] = {}
    for name in names:
        for program in NEEDS.get(name, ()):
            if not programs.runs(program):
                missing.setdefault(program, []).append(name)
    for program, wanted in missing.items():
        click.echo(
            f"error: expected `{program}`, which measures {', '.join(wanted)}: it is not here, or does not run",
            err=True,
        )
    if missing:
        others = " ".join(f"--only {name}" for name in MEASUREMENTS if not missing.keys() & NEEDS.get(name, ()))
        click.echo(f"hint: install it, or measure without: `python -m benchmarks {others}`", err=True)
        sys.exit(2)


def _machine(*, quick: bool) -> dict[str, str]:
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


if __name__ == "__main__":
    main()
