"""What is counted: all of it, and in bounded space whatever comes; and how Prometheus gets it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gatepass.cache import Cache
from gatepass.github.statistics import Asked, Call, Statistics, spending
from gatepass.telemetry import counts as counting
from gatepass.telemetry import metrics
from gatepass.telemetry.counts import OTHER, Counts, Pace
from gatepass.telemetry.event import ACTIONS, Event
from harness import call, clean_environment, need
from pages import TEXT


def event(**facts: object) -> Event:
    given_facts = {"action": "resolve", "failed": False, "began": 0.0, "seconds": 0.2, "source": "192.0.2.1"} | facts
    return Event(**given_facts)  # type: ignore[arg-type]  # the test's own names


def exposed(counts: Counts) -> dict[str, float]:
    """All samples that Prometheus gets, by name and labels."""
    encode = metrics.encoder(counts)
    assert encode
    text = encode("")[0].decode()
    return {
        sample.name + "".join(f"|{sample.labels[name]}" for name in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy() -> Counts:
    """Counts of a proxy that has done something of everything."""
    counts = Counts()
    counts.loaded("rules.yaml")
    counts.loaded("rules.yaml")
    counts.failed("rules.yaml:1: no")
    counts.connections, counts.tunnels = 3, 2
    counts.add(event(client="ci", status=302, sent=1, received=20))
    counts.add(event(action="refuse", failed=True, status=404, problem="asset-not-found"))
    counts.add(event(action="would-refuse", status=200, problem="host-not-allowed"))
    counts.add(event(action="tunnel", seconds=1e5, status=200, sent=5, received=7))
    counts.called(Call("github.com", 200, "acme", 4999, 5000))
    counts.ca_ends = 2e9
    counts.uses("releases").hits += 1
    counts.uses("releases").misses += 2
    return counts


def test_every_metric() -> None:
    """Each metric has the name and the labels that the documents tell, and counts what it says."""
    found = exposed(busy())
    expected = {
        "gatepass_requests_total|resolve|ci|302": 1,
        "gatepass_requests_total|refuse||404": 1,
        "gatepass_requests_total|would-refuse||200": 1,
        "gatepass_requests_total|tunnel||200": 1,
        "gatepass_request_seconds_count": 3,
        "gatepass_request_seconds_bucket|0.25": 3,
        "gatepass_request_seconds_bucket|0.1": 0,
        "gatepass_tunnels": 2,
        "gatepass_connections": 3,
        "gatepass_bytes_total|in": 6,
        "gatepass_bytes_total|out": 27,
        "gatepass_api_calls_total|github.com|200": 1,
        "gatepass_api_remaining|acme|github.com": 4999,
        "gatepass_api_limit|acme|github.com": 5000,
        "gatepass_cache_total|releases|hit": 1,
        "gatepass_cache_total|releases|miss": 2,
        "gatepass_problems_total|asset-not-found": 1,
        "gatepass_problems_total|host-not-allowed": 1,
        "gatepass_refused_total|asset-not-found": 1,
        "gatepass_refused_total|host-not-allowed": 1,
        "gatepass_reloads_total|ok": 1,
        "gatepass_reloads_total|failed": 1,
        "gatepass_rules_last_reload_successful": 0,
        "gatepass_ca_expiry_timestamp_seconds": 2e9,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["gatepass_rules_loaded_timestamp_seconds"] > 1.7e9
    assert "process_open_fds" in found


def test_promtool() -> None:
    """Prometheus's own checker has nothing against it, before anything has happened and after."""
    promtool = need("promtool")
    for counts in (Counts(), busy()):
        encode = metrics.encoder(counts)
        assert encode
        done = subprocess.run([promtool, "check", "metrics"], input=encode("")[0], capture_output=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_openmetrics() -> None:
    """Who asks for OpenMetrics gets it."""
    encode = metrics.encoder(busy())
    assert encode
    document, content_type = encode("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert document.endswith(b"# EOF\n")


def test_without_the_library() -> None:
    """Without prometheus-client all but the metrics works."""
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from gatepass.proxy.addon import Gatepass\n"
        "from gatepass.telemetry import metrics; from gatepass.telemetry.counts import Counts\n"
        "assert metrics.encoder(Counts()) is None\n"
    )
    done = call([sys.executable, "-c", program], clean_environment())
    assert (done.code, done.output) == (0, "")


def test_the_documents_tell_every_metric() -> None:
    """The page names all metrics of Gatepass, and no other."""
    found = {name.partition("|")[0] for name in exposed(busy()) if name.startswith("gatepass_")}
    found = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in found}
    for name in found:
        assert f"`{name}" in TEXT, name


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 999), st.text(max_size=5), st.text(max_size=5))))
def test_labels_are_bounded(requests: list[tuple[str, int, str, str]]) -> None:
    """However many names and statuses come, so many are told apart; and no request goes uncounted."""
    counts = Counts()
    counts.requests._most = counts.problems._most = counts.refused._most = 3
    for action, status, client, problem in requests:
        counts.add(event(action=action, status=status, client=client, problem=problem))
    assert sum(counts.requests.values()) == len(requests)
    assert len(counts.requests) <= 3 + len(ACTIONS)
    assert sum(counts.problems.values()) == len(requests)
    assert len(counts.problems) <= 4
    assert len(counts.refused) <= 4
    assert all(status in {"", OTHER} or 100 <= int(status) < 600 for _, _, status in counts.requests)


def test_clients_and_refusals_are_bounded() -> None:
    """However many addresses come, and however much is refused, the last of them are kept."""
    counts = Counts()
    for number in range(1000):
        counts.add(event(action="refuse", source=f"2001:db8::{number:x}"))
    assert len(counts.clients) <= counting._MOST_CLIENTS
    assert [each.source for each in counts.refusals][-1] == "2001:db8::3e7"
    assert len(counts.refusals) == counting.MOST_REFUSALS


@given(st.lists(st.floats(0, 300), min_size=1))
def test_a_pace_is_that_of_a_minute(gaps: list[float]) -> None:
    """A rate is never more than came within the last two minutes, and nothing for two leaves none."""
    pace, now, times = Pace(), 0.0, []
    for gap in gaps:
        now += gap
        times.append(now)
        pace.came(now)
        assert 0 <= pace.per_minute(now) <= sum(now - time <= 120 for time in times)
    assert pace.total == len(gaps)
    assert pace.per_minute(now + 121) == 0


def test_a_call_is_that_of_who_caused_it() -> None:
    """API calls are told with the credential that they are made with, and counted for the request they are made for."""
    heard: list[Call] = []
    statistics = Statistics(heard=heard.append)
    with Asked() as asked:
        with spending("acme"):
            statistics.called({"x-ratelimit-remaining": "7", "x-ratelimit-limit": "9"}, "github.com", 200)
        statistics.called({}, "github.com", 404)
    statistics.called({}, "github.com", 200)
    assert asked.calls == 2
    assert heard[:2] == [Call("github.com", 200, "acme", 7, 9), Call("github.com", 404, None, None)]


def test_to_look_is_no_use() -> None:
    """A cache counts what it is asked for, and not who looks at all of it; what has expired is not there."""
    now = [0.0]
    counts = Counts()
    cache: Cache[str, int] = Cache(5, lambda: now[0], uses=counts.uses("x"))
    cache.put("a", 1, 10)
    cache.put("b", 2, 5)
    now[0] = 7
    assert list(cache.items()) == [("a", 1)]
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, None)
    assert (counts.uses("x").hits, counts.uses("x").misses) == (1, 2)


@pytest.mark.parametrize("result", ["ok", "failed"])
def test_reloads(result: str) -> None:
    """The first rules are no reload; one that fails leaves what was at work, and says why until one works."""
    counts = Counts()
    counts.loaded("a")
    assert sum(counts.reloads.values()) == 0
    counts.failed("no")
    assert (counts.rules.file, counts.rules.error) == ("a", "no")
    if result == "ok":
        counts.loaded("b")
        assert (counts.rules.file, counts.rules.error) == ("b", None)
    assert counts.reloads[result] == 1
