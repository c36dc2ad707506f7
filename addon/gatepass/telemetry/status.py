"""What /status.json holds, and the page shows: the state of the proxy, as one value.

Pure, but for the version of the package. Holds no secret and no query, for an event has none.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from msgspec import Struct

from gatepass.errors import printable_lines
from gatepass.redaction import cleared
from gatepass.telemetry.event import ACTIONS
from gatepass.telemetry.lines import timestamp

if TYPE_CHECKING:
    from gatepass.telemetry import counts
    from gatepass.telemetry.event import Event
    from gatepass.telemetry.ledger import Ledger


class Rules(Struct, frozen=True):
    """`file` is where they were read, `loaded` when; `error` is what was wrong with a later reading, or null."""

    file: str
    loaded: str | None
    error: str | None


class Credential(Struct, frozen=True):
    """How many API calls are left, as the forge last told."""

    forge: str
    credential: str
    remaining: int


class Client(Struct, frozen=True):
    """By the name of an entry, or by address; `per_minute` is of the last minute."""

    client: str
    requests: int
    per_minute: float


class Refusal(Struct, frozen=True):
    """What was refused; `client` and `user` are null where nobody is known."""

    time: str
    client: str | None
    user: str | None
    source: str
    method: str | None
    host: str | None
    port: int | None
    path: str | None
    status: int | None
    action: str
    problem: str | None
    reason: str | None
    rule: str | None


class AuditFile(Struct, frozen=True):
    """`file` is null where nothing is written; `error` is why nothing can be at the moment."""

    file: str | None
    error: str | None
    lost: int


class SharedCache(Struct, frozen=True):
    """What replicas share by: `error` is why it is not used at the moment, `since` when that began or ended."""

    url: str
    up: bool
    since: str
    error: str | None


class Status(Struct, frozen=True):
    """Times are RFC 3339, in UTC."""

    version: str
    started: str
    now: str
    not_ready: dict[str, str]
    rules: Rules
    audit: AuditFile
    shared_cache: SharedCache | None
    connections: int
    tunnels: int
    requests: dict[str, int]
    credentials: list[Credential]
    clients: list[Client]
    problems: dict[str, int]
    refusals: list[Refusal]


def status(ledger: Ledger, now: float) -> Status:
    """The state at `now` (epoch seconds)."""
    told, audit = ledger.counts, ledger.audit
    requests: dict[str, int] = {action: 0 for action in ACTIONS}  # noqa: C420  # mypy would keep the literals
    for (action, _, _), number in told.requests.items():
        requests[action] = requests.get(action, 0) + int(number)
    return Status(
        version=version(),
        started=timestamp(told.started),
        now=timestamp(now),
        not_ready={name: _harmless(reason) for name, reason in ledger.not_ready().items()},
        rules=Rules(
            told.rules.file,
            None if told.rules.loaded is None else timestamp(told.rules.loaded),
            None if told.rules.error is None else _harmless(told.rules.error),
        ),
        audit=AuditFile(audit.path, audit.fault, audit.lost) if audit else AuditFile(None, None, 0),
        shared_cache=_shared(told.store),
        connections=told.connections,
        tunnels=told.tunnels,
        requests=requests,
        credentials=[
            Credential(forge, credential, int(number))
            for (forge, credential), number in sorted(told.api_remaining.items())
        ],
        clients=[Client(name, total, round(rate, 1)) for name, total, rate in told.paces()],
        problems={kind: int(number) for kind, number in sorted(told.problems.items(), key=lambda each: -each[1])},
        refusals=[_refusal(event) for event in reversed(told.refusals)],
    )


def _shared(store: counts.SharedCache | None) -> SharedCache | None:
    if store is None:
        return None
    error = None if store.error is None else _harmless(store.error)
    return SharedCache(_harmless(store.url), store.is_up, timestamp(store.since), error)


def _harmless(text: str) -> str:
    """What others have told, as an event has it already."""
    return printable_lines(cleared(text))


def _refusal(event: Event) -> Refusal:
    return Refusal(
        timestamp(event.began + event.seconds),
        event.client,
        event.user,
        event.source,
        event.method,
        event.host,
        event.port,
        event.path,
        event.status,
        event.action,
        event.problem,
        event.reason,
        event.rule,
    )


@cache
def version() -> str:
    """The version that is installed."""
    return metadata.version("gatepass")
