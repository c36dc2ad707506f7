"""`python -m benchmarks.load`: put Gatepass under load and faults, and write load/results.{md,json,svg}."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from benchmarks import bench, running
from benchmarks.load import crowd, faults, hostile, scaling
from benchmarks.load.scale import FULL, QUICK
from benchmarks.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.load.scale import Load
    from benchmarks.report import Row
    from benchmarks.running import Measurement

MEASUREMENTS: Final[dict[str, Callable[[Bench, Load], Iterator[Row]]]] = {
    "crowd": crowd.crowd,
    "soak": crowd.soak,
    "faults": faults.faults,
    "replicas": scaling.replicas,
    "squid": scaling.tunnels,
    "adversarial": hostile.requests,
}
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "crowd": ("haproxy", "uv"),
    "soak": ("uv",),
    "faults": ("haproxy",),
    "replicas": ("haproxy",),
    "squid": ("curl", "squid"),
}
"""The programs without which there is nothing to measure."""


@click.command()
@click.option("--quick", is_flag=True, help="Seconds of each: whether it works, not what it withstands.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Measure this alone; repeatable.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=NUMBER",
    help=f"Another number for one of {', '.join(FULL.numbers())}; repeatable.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where to write the results; by default beside this file, and nowhere with --quick, --only or --set.",
)
def main(*, quick: bool, only: tuple[str, ...], settings: tuple[str, ...], output: Path | None) -> None:
    """Put Gatepass under load and faults, on loopback. Takes about an hour."""
    names = [name for name in MEASUREMENTS if name in only] or list(MEASUREMENTS)
    load = QUICK if quick else FULL
    for setting in settings:
        load = _changed(load, setting)
    measurements = {name: _with(measure, load) for name, measure in MEASUREMENTS.items()}
    running.expect_programs(names, measurements, NEEDS, "python -m benchmarks.load")
    if output is None and not quick and not only and not settings:
        output = Path(__file__).parent
    blank = Report(
        running.machine(quick=quick),
        [],
        [],
        title="Under load, faults and ill will",
        how="On loopback, clients and servers on the same cores; ratios are of the same run.",
        beside="Beside each other",
    )
    sys.exit(running.measure(names, measurements, bench.QUICK if quick else bench.FULL, blank, output))


def _changed(load: Load, setting: str) -> Load:
    """The same with another number."""
    name, _, value = setting.partition("=")
    numbers = load.numbers()
    if name not in numbers:
        raise click.BadParameter(f"expected one of {', '.join(numbers)}, got `{name}`", param_hint="--set")
    try:
        changed: dict[str, Any] = {name: type(numbers[name])(value)}
    except ValueError:
        raise click.BadParameter(f"{name}: expected a number, got `{value}`", param_hint="--set") from None
    return replace(load, **changed)


def _with(measure: Callable[[Bench, Load], Iterator[Row]], load: Load) -> Measurement:
    return lambda bench: measure(bench, load)


if __name__ == "__main__":
    main()
