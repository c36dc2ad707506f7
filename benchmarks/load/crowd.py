"""Many clients at once through HAProxy and two replicas; and few for long, before one process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.load import traffic
from benchmarks.load.fleet import Fleet
from benchmarks.load.samples import Samples, percentiles
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.load.scale import Load
    from benchmarks.load.traffic import Traffic
    from benchmarks.report import Row

_REPLICAS: Final = 2
_INSTALLERS: Final = 3
_FEW: Final = 12


def crowd(bench: Bench, load: Load) -> Iterator[Row]:
    """A mixture of real installs, ranges, downloads, tunnels and refusals; every byte is looked at."""
    with Fleet(bench, _REPLICAS) as fleet:
        asked = traffic.furnish(bench, fleet)
        samples = _run(bench, fleet, asked, load.clients, _INSTALLERS, load.crowd_seconds)
        logs = "".join(replica.told() for replica in fleet.replicas)
    name = f"{load.clients} clients"
    yield from _right(name, asked, samples, load.crowd_seconds)
    yield Figure(f"{name}: bodies compared", asked.tally.bodies, "", 10_000, at_least=True)
    yield Figure(f"{name}: tracebacks", logs.count("Traceback"), "", 0)
    growth = [
        (samples.growth(samples.resident, at), samples.growth(samples.descriptors, at)) for at in range(_REPLICAS)
    ]
    for what, unit, at in (("memory in ten minutes", "MB more", 0), ("descriptors in ten minutes", "more", 1)):
        sides = tuple((f"replica {number}", each[at]) for number, each in enumerate(growth, 1))
        yield Comparison(f"{name}: {what}", unit, sides, _most(samples) if at == 0 else "")
    assets = len(asked.assets) + 1
    yield Comparison(
        f"{name}: API calls",
        "calls",
        (("all", samples.api_calls), (f"one replica, {assets} assets, each once", assets + 1)),
        f"{', '.join(f'{what}: {times:,}' for what, times in sorted(samples.calls.items()))}; each replica learns by "
        "itself; signed URLs end after five minutes, and what is absent is asked for again, which is a 304",
    )
    for kind, seconds in sorted(asked.tally.seconds.items()):
        half, most = percentiles(seconds)
        sides = (("half of them", half * 1000), ("99 of 100", most * 1000))
        yield Comparison(f"{name}: {kind}, within", "ms", sides)


def soak(bench: Bench, load: Load) -> Iterator[Row]:
    """The same by few clients on one process, for so long that what grows is seen."""
    with Fleet(bench, 1, balanced=False) as fleet:
        asked = traffic.furnish(bench, fleet)
        samples = _run(bench, fleet, asked, _FEW, 1, load.soak_seconds)
        logs = fleet.replicas[0].told()
    yield from _right("soak", asked, samples, load.soak_seconds)
    yield Figure("soak: tracebacks", logs.count("Traceback"), "", 0)
    grown = samples.growth(samples.resident, 0)
    compared = f"{_most(samples)}; {asked.tally.total / load.soak_seconds:,.0f} requests/s"
    yield Figure("soak: memory in ten minutes", grown, "MB", 1, compared)
    yield Figure("soak: descriptors in ten minutes", samples.growth(samples.descriptors, 0), "", 2)


def _run(bench: Bench, fleet: Fleet, asked: Traffic, clients: int, installers: int, seconds: float) -> Samples:
    samples = Samples(bench, fleet.replicas)

    async def both() -> None:
        await asyncio.gather(asked.run(clients, installers, seconds), samples.take(time.monotonic() + seconds))

    asyncio.run(both())
    samples.ask()
    return samples


def _right(name: str, asked: Traffic, samples: Samples, seconds: float) -> Iterator[Row]:
    tally = asked.tally
    failed = tally.failed()
    kinds = {kind: len(times) for kind, times in tally.seconds.items()}
    compared = f"of {tally.total:,} in {seconds:,.0f} s: {', '.join(f'{k} {n:,}' for k, n in sorted(kinds.items()))}"
    note = "; ".join([*(f"{what} {times:,}" for what, times in failed.items()), *tally.examples.values()])
    yield Figure(f"{name}: errors", sum(failed.values()), "", 0, compared, note=note)
    yield Figure(f"{name}: wrong or short bodies", tally.wrong(), "", 0, f"of {tally.bodies:,}")
    yield Figure(f"{name}: secrets outside the API", samples.strays, "", 0)


def _most(samples: Samples) -> str:
    return "; ".join(
        f"replica {at + 1}: {samples.most(samples.resident, at):,.0f} MB and "
        f"{samples.most(samples.descriptors, at):,.0f} descriptors at the most"
        for at in range(len(samples.replicas))
    )
