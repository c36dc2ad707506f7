"""Requests a second through one proxy process, and new connections a second."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import client, servers
from benchmarks.client import Request
from benchmarks.latency import LAZY, RANGE
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.programs import Proxy
    from benchmarks.report import Row


def warm(bench: Bench) -> Iterator[Row]:
    """What uv asks of a known asset, in turn: HEAD, range, full GET; and a page that no rule is about."""
    upstream = bench.upstream
    web, asset_host = upstream.web, upstream.asset_host
    ours_asset = [
        Request.make("HEAD", web, servers.DOWNLOAD, 200),
        Request.make("GET", web, servers.DOWNLOAD, 206, **RANGE),
        Request.make("GET", web, servers.DOWNLOAD, 302),
    ]
    # one connection has one host: the upstream's asset host gives a full GET a redirect of the same size
    plain_asset = [
        Request.make("HEAD", asset_host, servers.SIGNED, 200),
        Request.make("GET", asset_host, servers.SIGNED, 206, **RANGE),
        Request.make("GET", asset_host, servers.HERE, 302),
    ]
    page = [Request.make("GET", web, servers.PAGE, 200)]
    plain = bench.plain()
    with bench.gatepass() as ours:
        for kind, (mine, host, theirs) in {
            "known asset": (ours_asset, asset_host, plain_asset),
            "other page": (page, web, page),
        }.items():
            for count in bench.scale.clients:
                bench.say(f"{kind}, {count} clients")
                with ExitStack() as stack:
                    side_a = [stack.enter_context(bench.connect(web, ours)) for _ in range(count)]
                    side_b = [stack.enter_context(bench.connect(host, plain)) for _ in range(count)]
                    for connections, requests in ((side_a, mine), (side_b, theirs)):
                        for connection in connections:
                            for request in requests:
                                connection.send(request)
                    with_addon, without = bench.in_turn(
                        lambda side=side_a, asked=mine: client.rate(side, asked, bench.scale.seconds),  # type: ignore[misc]
                        lambda side=side_b, asked=theirs: client.rate(side, asked, bench.scale.seconds),  # type: ignore[misc]
                    )
                clients = "1 client" if count == 1 else f"{count} clients"
                compared = f"{with_addon:,.0f} with the addon, {without:,.0f} without"
                name = f"requests/s: {kind}, {clients}"
                yield Figure(name, with_addon / without, "×", 0.9, compared, at_least=True)


def handshakes(bench: Bench) -> Iterator[Row]:
    """New connections a second, by the kind of key that the CA has: mitmproxy gives its certificates the same."""
    rsa = bench.folder / "rsa"
    rsa.mkdir(exist_ok=True)
    with_ec = bench.plain(*LAZY)
    with bench.mitmdump(*LAZY, confdir=rsa) as with_rsa:
        trusts_rsa = client.context(bench.trusting((rsa / "mitmproxy-ca-cert.pem").read_text(encoding="ascii")))

        def connect(proxy: Proxy, trusted: ssl.SSLContext) -> Callable[[], float]:
            def side() -> float:
                count, start = 0, time.perf_counter()
                while (taken := time.perf_counter() - start) < bench.scale.seconds:
                    client.Connection(bench.upstream.web, trusted, proxy.port).close()
                    count += 1
                return count / taken

            return side

        ec, rsa_rate = bench.in_turn(connect(with_ec, bench.trust), connect(with_rsa, trusts_rsa))
    yield Comparison(
        "new connections, key of the CA",
        "/s",
        (("EC P-256", ec), ("RSA 2048", rsa_rate)),
        "`gatepass run` makes an EC key; mitmproxy's own CA is RSA",
    )
