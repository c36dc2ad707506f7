"""Time that one client waits: for warm requests, and for cold ones before an API that is far away."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from benchmarks import servers
from benchmarks.client import Request
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.client import Connection
    from benchmarks.programs import Proxy
    from benchmarks.report import Row

MS: Final = 1000.0
ROUND_TRIP: Final = 0.02
RANGE: Final = {"Range": "bytes=-16384"}
"""What uv asks for: the end of a wheel."""
LAZY: Final = ("--set", "connection_strategy=lazy")
# After the addon, which cannot tell a default that was asked for from one that was not.
_EAGER: Final = """\
from mitmproxy import ctx

def running():
    ctx.options.update(connection_strategy="eager")
"""


def warm(bench: Bench) -> Iterator[Row]:
    """HEAD, range and full GET of an asset that is known, on one connection each.

    Without the addon the same answers come from the upstream: for HEAD and range from the asset host, for a full GET
    the redirect from the web host.
    """
    upstream = bench.upstream
    web, asset_host = upstream.web, upstream.asset_host
    plain = bench.plain()
    with (
        bench.gatepass() as ours,
        bench.connect(web, ours) as asking,
        bench.connect(web, plain) as to_web,
        bench.connect(asset_host, plain) as to_assets,
    ):
        kinds: dict[str, tuple[Request, Connection, Request]] = {
            "HEAD": (
                Request.make("HEAD", web, servers.DOWNLOAD, 200),
                to_assets,
                Request.make("HEAD", asset_host, servers.SIGNED, 200),
            ),
            "range": (
                Request.make("GET", web, servers.DOWNLOAD, 206, **RANGE),
                to_assets,
                Request.make("GET", asset_host, servers.SIGNED, 206, **RANGE),
            ),
            "full GET": (
                Request.make("GET", web, servers.DOWNLOAD, 302),
                to_web,
                Request.make("GET", web, servers.HERE, 302),
            ),
        }
        with_addon: dict[str, list[float]] = {name: [] for name in kinds}
        without: dict[str, list[float]] = {name: [] for name in kinds}
        rounds = 10
        for at in range(-1, rounds):
            for name, (question, other, same) in kinds.items():
                # first a few that are not counted
                many = bench.scale.requests // rounds if at >= 0 else 20
                taken = [asking.timed(question) for _ in range(many)], [other.timed(same) for _ in range(many)]
                if at >= 0:
                    with_addon[name] += taken[0]
                    without[name] += taken[1]
    for name in kinds:
        ours50, plain50 = median(with_addon[name]) * MS, median(without[name]) * MS
        ours99, plain99 = (quantiles(side[name], n=100)[98] * MS for side in (with_addon, without))
        compared = f"p50 {ours50:.2f} ms with the addon, {plain50:.2f} without; p99 {ours99:.2f} and {plain99:.2f}"
        yield Figure(f"latency added: warm {name}, p50", ours50 - plain50, "ms", 1.0, compared)


def cold(bench: Bench) -> Iterator[Row]:
    """A full GET of an unknown asset, whose release and redirect are each a round trip away.

    TCP and TLS 1.3 of a new connection are one round trip each.
    """
    github = bench.github
    repositories = [f"acme/cold-{number}" for number in range(1 + bench.scale.colds)]
    for repository in repositories:
        github.ask(servers.publish_zeros, repository, ["data.bin"], 1000)
    github.ask(servers.behave)
    count = 5
    with servers.roads(int(github.web.partition(":")[2]), count, ROUND_TRIP) as ports:
        forges = {f"localhost:{port}": f"https://localhost:{port}/api/v3" for port in ports}
        first: list[float] = []
        later: list[float] = []
        with bench.gatepass(forges=forges) as proxy:
            # what the process does once in its life is not of the network
            with bench.connect(bench.upstream.web, proxy) as connection:
                connection.send(Request.make("GET", bench.upstream.web, servers.DOWNLOAD, 302))
            for host in forges:
                # lazy, as the addon sets it: the client's connection makes none upstream
                with bench.connect(host, proxy) as connection:
                    for number, repository in enumerate(repositories):
                        path = f"/{repository}/releases/download/v1.0/data.bin"
                        taken = connection.timed(Request.make("GET", host, path, 302))
                        (later if number else first).append(taken)
    for name, times, trips in (("new connection", first, 4), ("pooled connection", later, 2)):
        needed = trips * ROUND_TRIP
        compared = f"p50 {median(times) * MS:.1f} ms; {trips} round trips of 20 ms are {needed * MS:.0f}"
        yield Figure(f"latency: cold resolve, {name}", median(times) / needed, "×", 1.25, compared)


def connections(bench: Bench) -> Iterator[Row]:
    """The first request on a new client connection, with mitmproxy's two strategies, 20 ms from the web host."""
    host = bench.upstream.web
    script = bench.folder / "eager.py"
    script.write_text(_EAGER, encoding="utf-8")
    eager, lazy = bench.plain(), bench.plain(*LAZY)
    with servers.roads(int(host.partition(":")[2]), 1, ROUND_TRIP) as (port,):
        far = f"localhost:{port}"
        forges = {far: f"https://{far}/api/v3"}
        page = Request.make("GET", far, servers.PAGE, 200)
        asset = Request.make("GET", far, servers.DOWNLOAD, 302)
        with bench.gatepass("-s", str(script), forges=forges) as our_eager, bench.gatepass(forges=forges) as our_lazy:

            def first(proxy: Proxy, request: Request) -> float:
                start = time.perf_counter()
                with bench.connect(far, proxy) as connection:
                    connection.send(request)
                    return (time.perf_counter() - start) * MS

            # the certificate for the client is made once, and the asset is found once
            for proxy, request in ((eager, page), (lazy, page), (our_eager, asset), (our_lazy, asset)):
                first(proxy, request)
            rounds = 5 * bench.scale.rounds
            passing = bench.in_turn(lambda: first(eager, page), lambda: first(lazy, page), rounds=rounds)
            answered = bench.in_turn(lambda: first(our_eager, asset), lambda: first(our_lazy, asset), rounds=rounds)
    names = ("eager", "lazy")
    yield Comparison("first request passes, 20 ms away", "ms", tuple(zip(names, passing, strict=True)))
    yield Comparison(
        "first request is answered by the addon",
        "ms",
        tuple(zip(names, answered, strict=True)),
        "lazy connects to no web host that it need not ask, and is what the addon sets",
    )
