"""What a company's proxy costs: clients, guard, limits, audit and metrics on, against off; and Squid beside it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import client, programs, servers
from benchmarks.bench import CREDENTIALS, MB
from benchmarks.client import Request
from benchmarks.latency import MS, RANGE
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.programs import Proxy
    from benchmarks.report import Row

_TUNNEL: Final = ("--ignore-hosts", ".*")


def requests(bench: Bench) -> Iterator[Row]:
    """What uv asks of a known asset, in turn, and a page that no rule is about; then each alone, for its latency."""
    web = bench.upstream.web
    kinds = {
        "known asset": [
            Request.make("HEAD", web, servers.DOWNLOAD, 200),
            Request.make("GET", web, servers.DOWNLOAD, 206, **RANGE),
            Request.make("GET", web, servers.DOWNLOAD, 302),
        ],
        "other page": [Request.make("GET", web, servers.PAGE, 200)],
    }
    with bench.gatepass() as off, bench.egress() as on:
        for kind, asked in kinds.items():
            for count in bench.scale.clients:
                bench.say(f"{kind}, {count} clients")
                with ExitStack() as stack:
                    sides = [
                        [stack.enter_context(bench.connect(web, proxy)) for _ in range(count)] for proxy in (on, off)
                    ]
                    for connection in (each for side in sides for each in side):
                        for request in asked:
                            connection.send(request)
                    rates = bench.in_turn(*(_rate(bench, side, asked) for side in sides))
                clients = "1 client" if count == 1 else f"{count} clients"
                compared = f"{rates[0]:,.0f} with all of it, {rates[1]:,.0f} without"
                yield Figure(
                    f"egress, requests/s: {kind}, {clients}", rates[0] / rates[1], "×", 0.9, compared, at_least=True
                )
        with bench.connect(web, on) as guarded, bench.connect(web, off) as open_:
            for kind, asked in kinds.items():
                many = bench.scale.requests // len(asked)
                taken: tuple[list[float], list[float]] = ([], [])
                for _ in range(many):
                    for times, connection in zip(taken, (guarded, open_), strict=True):
                        times += [connection.timed(request) for request in asked]
                with_it, without = (median(times) * MS for times in taken)
                compared = f"p50 {with_it:.2f} ms with all of it, {without:.2f} without"
                yield Figure(f"egress, latency: {kind}", without / with_it, "×", 0.9, compared, at_least=True)


def _rate(bench: Bench, side: list[client.Connection], asked: list[Request]) -> Callable[[], float]:
    return lambda: client.rate(side, asked, bench.scale.seconds)


def tunnels(bench: Bench) -> Iterator[Row]:
    """What no rule names, through a tunnel: big bodies, and new tunnels with a small request in each."""
    github, size = bench.github, bench.scale.asset
    github.ask(servers.publish_zeros, "acme/public", ["data.bin"], size, private=False)
    github.ask(servers.behave)
    # the asset host is named by no rule
    far = bench.upstream.asset_host
    page = Request.make("HEAD", far, servers.SIGNED, 200)
    url = github.url("acme/public", "data.bin")  # whose bytes are at its asset host

    def speed(proxy: Proxy) -> float:
        download = programs.curl(url, bench.bundle, proxy.url)
        if download.size != size:
            raise RuntimeError(f"expected {size} bytes, got {download.size}")
        return download.speed / MB

    def opened(proxy: Proxy) -> float:
        count, start = 0, time.perf_counter()
        while (taken := time.perf_counter() - start) < bench.scale.seconds:
            with bench.connect(far, proxy) as connection:
                connection.send(page)
            count += 1
        return count / taken

    plain = bench.plain(*_TUNNEL)
    with bench.egress() as ours, programs.squid(bench.bundle, CREDENTIALS, "localhost") as squid:
        for name, unit, measure in (("bytes through a tunnel", "MB/s", speed), ("new tunnels", "/s", opened)):
            bench.say(name)
            values = bench.in_turn(*(lambda p=proxy, m=measure: m(p) for proxy in (ours, plain, squid)))
            compared = f"{values[0]:,.0f} {unit}; mitmdump {values[1]:,.0f}"
            yield Figure(f"egress: {name}", values[0] / values[1], "× mitmdump", 0.9, compared, at_least=True)
            sides = ("gatepass with all of it", "mitmdump, no password", "Squid, with a password and a list of hosts")
            yield Comparison(f"egress: {name}", unit, tuple(zip(sides, values, strict=True)))
