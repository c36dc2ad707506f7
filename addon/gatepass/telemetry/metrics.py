"""The counts in the formats of Prometheus, by its own client library, which is an extra.

Knows names and labels; counts nothing itself, so that the proxy needs the library only where it is asked for metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepass.telemetry.counts import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from gatepass.telemetry.counts import Counts

MISSING: Final = "metrics need the package `prometheus-client`; hint: install Gatepass with its extra `metrics`"

type Encoder = Callable[[str], tuple[bytes, str]]
"""From what a client accepts to a document, and its content type."""


def encoder(counts: Counts) -> Encoder | None:
    """What writes the counts; None where the library is not installed."""
    try:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, exposition
    except ModuleNotFoundError:
        return None
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Collector(counts))

    def encode(accept: str) -> tuple[bytes, str]:
        encode_all, content_type = exposition.choose_encoder(accept)
        return encode_all(registry), content_type

    return encode


class _Collector:
    """Asked at each scrape."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing else is registered that names could clash with

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily

        counts = self._counts
        yield _counter(
            "gatepass_requests",
            "Requests and tunnels that have ended, by what was decided, by the client's entry, and by status",
            ("action", "client", "status"),
            counts.requests,
        )
        seconds = counts.seconds
        reached, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), seconds.counts, strict=True):
            reached += count
            buckets.append((bound, reached))
        histogram = HistogramMetricFamily(
            "gatepass_request_seconds", "How long requests took, to the end of the answer; tunnels are not among them"
        )
        histogram.add_metric([], buckets, seconds.total)
        yield histogram
        yield GaugeMetricFamily("gatepass_tunnels", "Tunnels that are open", counts.tunnels)
        yield GaugeMetricFamily("gatepass_connections", "Clients' connections that are open", counts.connections)
        yield _counter(
            "gatepass_bytes",
            "Bytes of bodies and tunnels that have ended: in from clients, out to them",
            ("direction",),
            {(direction,): number for direction, number in counts.bytes.items()},
        )
        yield _counter(
            "gatepass_api_calls", "Calls to forges' APIs, by what was answered", ("forge", "status"), counts.api_calls
        )
        for name, told, budgets in (
            (
                "gatepass_api_remaining",
                "API calls that a credential has left, as last told",
                counts.api_remaining,
            ),
            ("gatepass_api_limit", "API calls that a credential has in all, as last told", counts.api_limit),
        ):
            family = GaugeMetricFamily(name, told, labels=("forge", "credential"))
            for labels, number in budgets.items():
                family.add_metric(labels, number)
            yield family
        yield _counter(
            "gatepass_cache",
            "Questions to what is remembered, and whether it was",
            ("cache", "result"),
            {
                (name, result): number
                for name, uses in counts.caches.items()
                for result, number in (("hit", uses.hits), ("miss", uses.misses))
            },
        )
        yield _counter(
            "gatepass_problems",
            "Problems that were answered, by type",
            ("type",),
            {(name,): number for name, number in counts.problems.items()},
        )
        yield _counter(
            "gatepass_refused",
            "Requests that were refused, or would have been, by the problem's type",
            ("reason",),
            {(name,): number for name, number in counts.refused.items()},
        )
        yield _counter(
            "gatepass_reloads",
            "Reloads of the rules",
            ("result",),
            {(result,): number for result, number in counts.reloads.items()},
        )
        if counts.store is not None:
            yield GaugeMetricFamily(
                "gatepass_store_up",
                "Whether the cache that replicas share is used: it is not while it is down or slow",
                int(counts.store.is_up),
            )
        yield GaugeMetricFamily(
            "gatepass_rules_loaded_timestamp_seconds", "When the rules at work were read", counts.rules.loaded or 0
        )
        yield GaugeMetricFamily(
            "gatepass_rules_last_reload_successful",
            "Whether the rules could be used when they were last read",
            int(counts.rules.error is None),
        )
        if counts.ca_ends is not None:
            yield GaugeMetricFamily(
                "gatepass_ca_expiry_timestamp_seconds", "When the CA ends that clients meet", counts.ca_ends
            )


def _counter[K: tuple[str, ...]](name: str, told: str, labels: tuple[str, ...], counted: dict[K, float]) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(name, told, labels=labels)
    for values, number in counted.items():
        family.add_metric(values, number)
    return family
