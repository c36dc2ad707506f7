"""What processes take while they run: memory and descriptors, once a second, and how these grow."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import linear_regression, quantiles
from typing import TYPE_CHECKING, Final

from benchmarks import servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Bench
    from benchmarks.load.fleet import Replica

_TEN_MINUTES: Final = 600.0


@dataclass
class Samples:
    """Of some replicas; and what the forge was asked meanwhile."""

    bench: Bench
    replicas: Sequence[Replica]
    seconds: list[float] = field(default_factory=list)
    resident: list[list[float]] = field(default_factory=list)
    descriptors: list[list[float]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    strays: int = 0

    async def take(self, until: float) -> None:
        """Once a second, up to then."""
        self.ask()
        while time.monotonic() < until:
            self.seconds.append(time.monotonic())
            self.resident.append([replica.resident() for replica in self.replicas])
            self.descriptors.append([float(replica.descriptors()) for replica in self.replicas])
            await asyncio.sleep(max(0.0, min(1.0, until - time.monotonic())))
            self.ask()

    def ask(self) -> None:
        """What the stand-in was asked, which then forgets it: its log may not grow either."""
        found, strays = self.bench.github.ask(servers.tally, (self.bench.github.token,))
        self.strays += strays
        for what, times in found.items():
            self.calls[what] = self.calls.get(what, 0) + times

    @property
    def api_calls(self) -> int:
        return sum(times for what, times in self.calls.items() if what.startswith("api"))

    def growth(self, of: Sequence[Sequence[float]], at: int) -> float:
        """In ten minutes, by a line through all but the first third: until then caches fill."""
        skipped = len(self.seconds) // 3
        times, values = self.seconds[skipped:], [each[at] for each in of[skipped:]]
        if len(times) < 3:
            return 0.0
        return linear_regression(times, values).slope * _TEN_MINUTES

    def most(self, of: Sequence[Sequence[float]], at: int) -> float:
        return max((each[at] for each in of), default=0.0)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th of a hundred."""
    if len(seconds) < 2:
        return (seconds[0], seconds[0]) if seconds else (0.0, 0.0)
    parts = quantiles(seconds, n=100)
    return parts[49], parts[98]
