"""What is counted while the proxy runs: for the metrics, and for the status page. Small, whoever comes.

Knows neither how it is shown nor what it is counted for. Where a name may come from a stranger, only so many are told
apart.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache, Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gatepass.github.statistics import Call
    from gatepass.store.circuit import Health
    from gatepass.telemetry.event import Event

OTHER: Final = "other"
"""The label of what is not told apart any more."""

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""

MOST_REFUSALS: Final = 50
_MOST_SERIES: Final = 2000
_MOST_NAMES: Final = 200
_MOST_CLIENTS: Final = 200
_CLIENT_SECONDS: Final = 3600.0
_MINUTE: Final = 60.0
# What servers are known to answer (RFC 9110, and 520 to 530 of a large one); others are one.
_STATUSES: Final = frozenset((*range(100, 104), *range(200, 209), 226, *range(300, 309), *range(400, 432), 451, 499,
    *range(500, 512), *range(520, 531)))  # fmt: skip


class Tally[K: Hashable](dict[K, float]):
    """Counts by name; what comes after so many names is counted under another, which `otherwise` makes of it."""

    def __init__(self, most: int, otherwise: Callable[[K], K]) -> None:
        super().__init__()
        self._most = most
        self._otherwise = otherwise

    def add(self, key: K, number: float = 1) -> None:
        key = self._known(key)
        self[key] = self.get(key, 0) + number

    def put(self, key: K, number: float) -> None:
        self[self._known(key)] = number

    def _known(self, key: K) -> K:
        return key if key in self or len(self) < self._most else self._otherwise(key)


@dataclass(slots=True)
class Pace:
    """How often something comes: the last minute, as this one and the one before tell."""

    total: int = 0
    minute: int = 0
    now: int = 0
    before: int = 0

    def came(self, seconds: float) -> None:
        self._turn(seconds)
        self.total += 1
        self.now += 1

    def per_minute(self, seconds: float) -> float:
        self._turn(seconds)
        return self.now + self.before * (1 - seconds % _MINUTE / _MINUTE)

    def _turn(self, seconds: float) -> None:
        minute = int(seconds // _MINUTE)
        if minute != self.minute:
            self.before = self.now if minute == self.minute + 1 else 0
            self.minute, self.now = minute, 0


@dataclass(slots=True)
class Histogram:
    """How long things took, in seconds: how many up to each bound, and how many beyond the last."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """Which rules are at work: where they were read, when (epoch seconds), and what was wrong with a later reading."""

    file: str = ""
    loaded: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SharedCache:
    """Where replicas share what they learn, and how that is, since when (epoch seconds), and why it is not used."""

    url: str
    is_up: bool
    since: float
    error: str | None = None


class Counts:
    """Everything that is counted, since the start."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds."""
        self._clock = clock
        self.started = clock()
        self.connections = self.tunnels = 0
        self.rules = RulesInForce()
        self.store: SharedCache | None = None
        """None where nothing is shared."""
        self.ca_ends: float | None = None
        """When the CA ends that clients meet, in epoch seconds; None where they meet none."""
        self.seconds = Histogram()
        self.requests: Tally[tuple[str, str, str]] = Tally(_MOST_SERIES, lambda key: (key[0], OTHER, OTHER))
        """By action, the name of a client's entry, and status."""
        self.bytes: Tally[str] = Tally(2, lambda key: key)
        """By direction: `in` from clients, `out` to them."""
        self.problems: Tally[str] = Tally(_MOST_NAMES, lambda _: OTHER)
        self.refused: Tally[str] = Tally(_MOST_NAMES, lambda _: OTHER)
        self.reloads: Tally[str] = Tally(2, lambda key: key)
        self.api_calls: Tally[tuple[str, str]] = Tally(_MOST_NAMES, lambda _: (OTHER, OTHER))
        """By forge, and by what it answered."""
        self.api_remaining: Tally[tuple[str, str]] = Tally(_MOST_NAMES, lambda _: (OTHER, OTHER))
        """By forge and credential: how many calls are left, as it was last told."""
        self.api_limit: Tally[tuple[str, str]] = Tally(_MOST_NAMES, lambda _: (OTHER, OTHER))
        """The same for how many there are in all."""
        self.caches: dict[str, Uses] = {}
        self.clients: Cache[str, Pace] = Cache(_MOST_CLIENTS, clock)
        """By the name of an entry; of who has none by address."""
        self.refusals: deque[Event] = deque(maxlen=MOST_REFUSALS)
        for direction in ("in", "out"):
            self.bytes.put(direction, 0)
        for result in ("ok", "failed"):
            self.reloads.put(result, 0)

    def add(self, event: Event) -> None:
        """Count what became of one request or tunnel."""
        status = "" if event.status is None else _status(event.status)
        self.requests.add((event.action, event.client or "", status))
        self.bytes.add("in", event.sent)
        self.bytes.add("out", event.received)
        if event.action != "tunnel":
            self.seconds.add(event.seconds)
        if event.problem is not None:
            self.problems.add(event.problem)
        if event.refused:
            self.refused.add(event.problem or OTHER)
            self.refusals.append(event)
        who, now = event.client or event.source, self._clock()
        pace = self.clients.get(who) or Pace()
        pace.came(now)
        self.clients.put(who, pace, _CLIENT_SECONDS)

    def called(self, call: Call) -> None:
        """Count a call to a forge's API."""
        self.api_calls.add((call.forge, _status(call.status)))
        if call.remaining is not None and call.credential is not None:
            self.api_remaining.put((call.forge, call.credential), call.remaining)
            if call.limit is not None:
                self.api_limit.put((call.forge, call.credential), call.limit)

    def uses(self, cache: str) -> Uses:
        """How a cache of that name is used: by all that have it, one after the other."""
        return self.caches.setdefault(cache, Uses())

    def loaded(self, file: str) -> None:
        """These rules are at work from now on: those of the start, or of a reload."""
        if self.rules.loaded is not None:
            self.reloads.add("ok")
        self.rules = RulesInForce(file, self._clock())

    def failed(self, error: str) -> None:
        """A reload failed for that reason, and what was at work still is."""
        self.reloads.add("failed")
        self.rules = RulesInForce(self.rules.file, self.rules.loaded, error)

    def shares(self, url: str, health: Health) -> None:
        """What replicas share by is as it says."""
        self.store = SharedCache(url, health.is_up, health.since, health.why or None)

    def paces(self) -> list[tuple[str, int, float]]:
        """Of each client that came lately: its name, its requests, and those of the last minute; the busiest first."""
        now = self._clock()
        found = [(name, pace.total, pace.per_minute(now)) for name, pace in self.clients.items()]
        return sorted(found, key=lambda each: (-each[2], -each[1], each[0]))


def _status(status: int) -> str:
    return str(status) if status in _STATUSES else OTHER
