"""Connections at once and requests a minute: counted for each client, in little memory."""

from __future__ import annotations

from gatepass.egress.limits import Usage
from gatepass.rules.access import Limits

SOME = Limits(connections=2, requests=3)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_connections_at_once() -> None:
    """So many and no more; one that ends makes room, and others have their own."""
    usage = Usage(Clock())
    assert [usage.connect("a", SOME) for _ in range(2)] == [None, None]
    problem = usage.connect("a", SOME)
    assert problem is not None
    assert (problem.kind, problem.status) == ("too-many-connections", 429)
    assert "limits.connections" in problem.detail
    assert problem.retry_after
    assert usage.connect("b", SOME) is None
    usage.disconnect("a")
    assert usage.connect("a", SOME) is None


def test_requests_a_minute() -> None:
    """So many in a minute from the first one on; Retry-After says how long it still is."""
    clock = Clock()
    usage = Usage(clock)
    assert [usage.request("a", SOME) for _ in range(3)] == [None] * 3
    clock.now = 20.5
    problem = usage.request("a", SOME)
    assert problem is not None
    assert (problem.kind, problem.status, problem.retry_after) == ("too-many-requests", 429, 40)
    assert usage.request("b", SOME) is None
    clock.now = 60
    assert usage.request("a", SOME) is None


def test_without_a_limit_there_is_none() -> None:
    usage, none = Usage(Clock()), Limits()
    assert {usage.request("a", none) for _ in range(10_000)} == {None}
    assert {usage.connect("a", none) for _ in range(10_000)} == {None}


def test_it_stays_small() -> None:
    """However many come, and whoever has gone is forgotten."""
    usage = Usage(Clock())
    for number in range(100_000):
        usage.connect(str(number), SOME)
        usage.request(str(number), SOME)
        usage.disconnect(str(number))
    assert len(usage) <= 65_536
