"""An event as a line of the audit file, in the names of the Elastic Common Schema; and the JSON Schema of these lines.

Pure: knows no file. What a line may hold stands here and nowhere else, so a query, a header or a secret has no place.

Source: https://www.elastic.co/docs/reference/ecs (event, source, destination, user, http, url, rule).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gatepass.telemetry.event import Action  # noqa: TC001  # msgspec reads the annotations

if TYPE_CHECKING:
    from gatepass.telemetry.event import Event

VERSION: Final = 1
"""Of what `gatepass` holds, and of how the other names are used: a new key leaves it, another meaning does not."""

ECS_VERSION: Final = "8.17.0"

type Count = Annotated[int, Meta(ge=0)]
type Name = Annotated[str, Meta(min_length=1, max_length=1024)]


def _told(what: str) -> Any:
    return Meta(description=what)


class Ecs(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[Literal["8.17.0"], _told("the version of ECS whose names these are")] = ECS_VERSION


class EventFields(Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[Name, _told("another for each line")]
    action: Annotated[Action, _told("what was decided")]
    outcome: Annotated[Literal["success", "failure"], _told("`failure` where a problem was answered, or nothing could")]
    duration: Annotated[Count, _told("nanoseconds")]
    reason: Annotated[Name, _told("why, in words")] | UnsetType = UNSET


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    ip: Annotated[Name, _told("the client's address; behind a trusted proxy that which it tells")]
    bytes: Annotated[Count, _told("what the client sent: of a request its body, of a tunnel all")]


class Destination(Struct, frozen=True, forbid_unknown_fields=True):
    bytes: Annotated[Count, _told("what the client got: of a request the answer's body, of a tunnel all")]


class User(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[Name, _told("of who asks")] | UnsetType = UNSET
    id: Annotated[Name, _told("a token's `sub`")] | UnsetType = UNSET


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    method: Annotated[str, Meta(max_length=1024)]


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    bytes: Count


class Response(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    status_code: Annotated[int, Meta(ge=0, le=999)]
    body: Body | UnsetType = UNSET


class Http(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    request: Request | UnsetType = UNSET
    response: Response | UnsetType = UNSET


class Url(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    domain: Annotated[str, Meta(max_length=1024), _told("the server's name or address")] | UnsetType = UNSET
    port: Annotated[int, Meta(ge=0, le=65535)] | UnsetType = UNSET
    path: Annotated[str, Meta(max_length=2048), _told("without its query; a tunnel has none")] | UnsetType = UNSET


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[Name, _told("the rule that was used")]


class Gatepass(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    schema: Annotated[Literal[1], _told("the version of this schema")]
    api_calls: Annotated[Count, _told("the questions to a forge's API that this one caused")]
    client: Annotated[Name, _told("the entry of `clients` that the client falls under")] | UnsetType = UNSET
    credential: Annotated[Name, _told("a credential's name")] | UnsetType = UNSET
    problem: (
        Annotated[
            Name, _told("the `type` of the problem that was answered; its last part is the heading in docs/problems.md")
        ]
        | UnsetType
    ) = UNSET


class Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One request or one tunnel, told at its end."""

    timestamp: Annotated[
        str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"), _told("when it began, UTC")
    ] = msgspec.field(name="@timestamp")
    ecs: Ecs
    event: EventFields
    source: Source
    destination: Destination
    gatepass: Gatepass
    user: User | UnsetType = UNSET
    http: Http | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    rule: Rule | UnsetType = UNSET


_ENCODER: Final = msgspec.json.Encoder()
_ECS: Final = Ecs()


def line(event: Event) -> bytes:
    """The event as one line, its end included."""
    return _ENCODER.encode(_line(event)) + b"\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a line."""
    (generated,), definitions = msgspec.json.schema_components([Line], ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A line of Gatepass's audit file"}
    return {**head, **generated, "$defs": definitions}


def _line(event: Event) -> Line:
    is_tunnel = event.action == "tunnel"
    body = UNSET if is_tunnel else Body(event.received)
    http = Http(
        UNSET if event.method is None else Request(event.method),
        UNSET if event.status is None else Response(event.status, body),
    )
    outcome: Literal["success", "failure"] = "failure" if event.failed else "success"
    return Line(
        timestamp(event.began),
        _ECS,
        EventFields(event.id, event.action, outcome, max(0, round(event.seconds * 1e9)), event.reason or UNSET),
        Source(event.source, event.sent),
        Destination(event.received),
        Gatepass(VERSION, event.api_calls, event.client or UNSET, event.credential or UNSET, event.problem or UNSET),
        User(event.user or UNSET, event.subject or UNSET) if event.user or event.subject else UNSET,
        http if event.method is not None or event.status is not None else UNSET,
        Url(
            UNSET if event.host is None else event.host,
            UNSET if event.port is None else event.port,
            UNSET if event.path is None else event.path,
        ),
        Rule(event.rule) if event.rule else UNSET,
    )


def timestamp(seconds: float) -> str:
    """Epoch seconds as RFC 3339 has them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
