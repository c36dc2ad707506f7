"""`python -m benchmarks`: measure, and write results.md, results.json and results.svg."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks import bulk, calls, egress, index, latency, questions, rate, running, sources, start
from benchmarks.bench import FULL, QUICK
from benchmarks.report import Report

if TYPE_CHECKING:
    from benchmarks.running import Measurement

MEASUREMENTS: Final[dict[str, Measurement]] = {
    "api-calls": calls.api_calls,
    "bytes": calls.bytes_moved,
    "index": index.locks,
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
    "index": ("uv",),
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
    running.expect_programs(names, MEASUREMENTS, NEEDS, "python -m benchmarks")
    if output is None and not quick and not only:
        output = Path(__file__).parent
    blank = Report(running.machine(quick=quick), [], [])
    sys.exit(running.measure(names, MEASUREMENTS, QUICK if quick else FULL, blank, output))


if __name__ == "__main__":
    main()
