"""What more replicas bring, and what Squid in front costs."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks import client, programs, servers
from benchmarks.bench import CREDENTIALS, MB
from benchmarks.client import Request
from benchmarks.latency import RANGE
from benchmarks.load.fleet import Fleet, cpu
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.load.scale import Load
    from benchmarks.programs import Proxy
    from benchmarks.report import Row

_CLIENTS: Final = 32


def replicas(bench: Bench, load: Load) -> Iterator[Row]:
    """Requests a second, and what a thousand of them cost the processors, by the number of replicas."""
    web = bench.upstream.web
    asked = [
        Request.make("HEAD", web, servers.DOWNLOAD, 200),
        Request.make("GET", web, servers.DOWNLOAD, 206, **RANGE),
        Request.make("GET", web, servers.DOWNLOAD, 302),
        Request.make("GET", web, servers.PAGE, 200),
    ]
    rates: list[tuple[str, float]] = []
    costs: list[tuple[str, float]] = []
    front: list[tuple[str, float]] = []
    for count in load.replicas:
        bench.say(f"{count} replicas")
        with Fleet(bench, count) as fleet, ExitStack() as stack:
            trust = fleet.trust
            connections = [
                stack.enter_context(client.Connection(web, trust, fleet.port, CREDENTIALS)) for _ in range(_CLIENTS)
            ]
            for connection in connections:
                for request in asked:
                    connection.send(request)
            before = sum(replica.cpu() for replica in fleet.replicas), cpu(fleet.haproxy)
            seconds = bench.scale.seconds * 5
            rate = client.rate(connections, asked, seconds)
            thousands = rate * seconds / 1000
            name = "1 replica" if count == 1 else f"{count} replicas"
            rates.append((name, rate))
            costs.append((name, (sum(replica.cpu() for replica in fleet.replicas) - before[0]) / thousands))
            front.append((name, (cpu(fleet.haproxy) - before[1]) / thousands))
    told = f"{_CLIENTS} clients; they, the servers and HAProxy take their part of the same cores"
    yield Comparison("requests through HAProxy", "/s", tuple(rates), told)
    yield Comparison("1,000 requests: the replicas' processors", "s", tuple(costs))
    yield Comparison("1,000 requests: HAProxy's processor", "s", tuple(front))


def tunnels(bench: Bench, load: Load) -> Iterator[Row]:
    """What no rule names: by a Squid that hands the rules' hosts to Gatepass, by Squid alone, and by Gatepass alone."""
    del load
    github, size, far = bench.github, bench.scale.asset, bench.upstream.asset_host
    github.ask(servers.behave)
    github.ask(servers.publish_zeros, "acme/public", ["data.bin"], size, private=False)
    page = Request.make("HEAD", far, servers.SIGNED, 200)
    with bench.connect(github.web, None) as connection:
        asked = Request.make("GET", github.web, "/acme/public/releases/download/v1.0/data.bin", 302)
        signed = client.location(connection.send(asked))

    with (
        Fleet(bench, 1, balanced=False) as fleet,
        programs.squid(bench.bundle, CREDENTIALS, "localhost") as alone,
        programs.squid(bench.bundle, CREDENTIALS, "localhost", _handing_over(bench, fleet.port)) as front,
    ):
        trust = fleet.trust

        def speed(proxy: Proxy) -> float:
            download = programs.curl(signed, bench.bundle, proxy.url)
            if download.size != size:
                raise RuntimeError(f"expected {size} bytes, got {download.size}")
            return download.speed / MB

        def opened(proxy: Proxy) -> float:
            count, start = 0, time.perf_counter()
            while (taken := time.perf_counter() - start) < bench.scale.seconds:
                with client.Connection(far, trust, proxy.port, CREDENTIALS) as connection:
                    connection.send(page)
                count += 1
            return count / taken

        # what it is for: a rule's host gets there
        with client.Connection(github.web, trust, front.port, CREDENTIALS) as connection:
            connection.send(Request.make("HEAD", github.web, "/acme/public/releases/download/v1.0/data.bin", 200))
        measures: tuple[tuple[str, str, Callable[[Proxy], float]], ...] = (
            ("bytes through a tunnel", "MB/s", speed),
            ("new tunnels", "/s", opened),
        )
        for name, unit, measure in measures:
            bench.say(name)
            sides = (front, alone, fleet.proxy)
            rounds = 4 * bench.scale.rounds - 3
            values = bench.in_turn(*(lambda p=proxy, m=measure: m(p) for proxy in sides), rounds=rounds)
            compared = f"{values[0]:,.0f} {unit}; alone {values[1]:,.0f}"
            ratio = values[0] / values[1]
            yield Figure(f"Squid in front: {name}", ratio, "× Squid alone", 0.97, compared, at_least=True)
            names = ("Squid in front of Gatepass", "Squid alone", "Gatepass alone")
            yield Comparison(f"Squid in front: {name}", unit, tuple(zip(names, values, strict=True)))


def _handing_over(bench: Bench, port: int) -> str:
    """Squid's lines for the hosts of the rules, which go to Gatepass and past it nowhere."""
    ports = " ".join(re.findall(r":(\d+)", f"{bench.github.web} {bench.upstream.web}"))
    return (
        f"cache_peer 127.0.0.1 parent {port} 0 no-query no-digest login=PASS name=gatepass\n"
        f"acl rules dstdomain localhost\nacl rules_ports port {ports}\n"
        "cache_peer_access gatepass allow rules rules_ports\ncache_peer_access gatepass deny all\n"
        "never_direct allow rules rules_ports\nnonhierarchical_direct off\n"
    )
