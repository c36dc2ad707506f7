"""Time until a command runs."""

from __future__ import annotations

import compileall
import time
from typing import TYPE_CHECKING

from benchmarks import programs
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.report import Row


def run_true(bench: Bench) -> Iterator[Row]:
    """`gatepass run -- true` from start to end, and `mitmdump` until it listens, with a CA that it has."""
    rules = bench.rules()
    # as an installer does, to what is compared as well
    compileall.compile_dir(programs.ROOT / "addon" / "gatepass", quiet=2)
    command: list[str | Path] = [programs.BIN / "gatepass", "run", "--rules", rules, "--", "true"]

    def run() -> float:
        start = time.perf_counter()
        programs.run(command, {programs.TOKEN: bench.github.token}, bench.folder)
        return time.perf_counter() - start

    def mitmdump() -> float:
        with bench.mitmdump() as proxy:
            return proxy.started

    ours, theirs = bench.in_turn(run, mitmdump, rounds=2 * bench.scale.rounds - 1)
    compared = f"{ours:.2f} s; {theirs:.2f} s"
    yield Figure("start: `gatepass run -- true`", ours / theirs, "× mitmdump", 1.2, compared)
