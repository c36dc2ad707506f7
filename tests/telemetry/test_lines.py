"""Audit lines: what any client sends ends up as one line that the schema takes, without query, secret or steering."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditing import VALIDATOR, parsed
from gatepass.errors import printable
from gatepass.redaction import redact
from gatepass.secret import Secret
from gatepass.telemetry import event, lines
from gatepass.telemetry.event import ACTIONS, Event

words = st.text(max_size=40) | st.text(st.characters(codec=None), max_size=3000)
some = st.none() | words.map(event.text)
events = st.builds(
    Event,
    action=st.sampled_from(ACTIONS),
    failed=st.booleans(),
    began=st.floats(0, 4e9),
    seconds=st.floats(0, 1e6),
    source=words.map(event.address).filter(bool),
    client=some,
    user=some,
    subject=some,
    method=some,
    status=st.none() | st.integers(0, 999),
    host=some,
    port=st.none() | st.integers(0, 65535),
    path=st.none() | words.map(event.path),
    sent=st.integers(0, 2**60),
    received=st.integers(0, 2**60),
    reason=some,
    rule=some,
    credential=some,
    problem=some,
    api_calls=st.integers(0, 100),
)


@given(events)
def test_every_event_is_one_line(told: Event) -> None:
    """Whatever strangers have written, an event is one line of harmless text that the schema takes."""
    line = lines.line(told)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    text = line.decode()[:-1]
    assert printable(text) == text
    (document,) = parsed(line.decode())
    assert document["event"]["action"] == told.action
    assert (document["event"]["outcome"] == "failure") is told.failed
    assert document["source"]["bytes"] == told.sent
    assert document["destination"]["bytes"] == told.received


def test_the_names() -> None:
    """Each fact has the name that the Elastic Common Schema gives it, in nested objects."""
    told = Event(
        action="resolve", failed=False, began=1_700_000_000.25, seconds=0.5, source="192.0.2.1", client="actions",
        user="actions", subject="repo:acme/tool", method="GET", status=302, host="github.com", port=443, path="/a",
        sent=1, received=2, reason="asset 7", rule="releases", credential="acme", api_calls=2, id="x",
    )  # fmt: skip
    assert json.loads(lines.line(told)) == {
        "@timestamp": "2023-11-14T22:13:20.250000Z",
        "ecs": {"version": "8.17.0"},
        "event": {"id": "x", "action": "resolve", "outcome": "success", "duration": 500_000_000, "reason": "asset 7"},
        "source": {"ip": "192.0.2.1", "bytes": 1},
        "destination": {"bytes": 2},
        "user": {"name": "actions", "id": "repo:acme/tool"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 302, "body": {"bytes": 2}}},
        "url": {"domain": "github.com", "port": 443, "path": "/a"},
        "rule": {"name": "releases"},
        "gatepass": {"schema": 1, "api_calls": 2, "client": "actions", "credential": "acme"},
    }


def test_the_schema_is_a_schema() -> None:
    """It is one of the draft that it names, and takes no key that it does not know."""
    jsonschema.Draft202012Validator.check_schema(lines.schema())
    line = json.loads(lines.line(Event(action="pass", failed=False, began=0, seconds=0, source="::1")))
    VALIDATOR.validate(line)
    for place in (line, line["event"], line["source"], line["gatepass"], line["url"]):
        place["query"] = "x"
        assert not VALIDATOR.is_valid(line)
        del place["query"]
    line["event"]["action"] = "other"
    assert not VALIDATOR.is_valid(line)


@given(st.text("/a?&=%#\udc80é ", max_size=60))
def test_a_path_has_no_query(target: str) -> None:
    """Of a target nothing is told from the first question mark on."""
    assert event.path(target) == event.path(target.partition("?")[0])
    assert "?" not in event.path(target)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/a%20b", "/a%20b"),
        ("/a b\udcff", "/a%20b%FF"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
        ("/a?token=x", "/a"),
        ("/ghp_abcdefghijklmnop/x", "/[removed]/x"),
    ],
)
def test_a_path_as_it_was_sent(target: str, told: str) -> None:
    """What is visible stays, what is not is told by its bytes, and what has the shape of a token is taken out."""
    assert event.path(target) == told


def test_secrets_in_use_are_taken_out() -> None:
    """A secret that stands in a path or in a reason is told of neither."""
    secret = Secret("open-sesame-0815", "env:X").reveal()
    assert secret not in event.path(f"/x/{secret}/y")
    assert secret not in event.text(f"it said {secret}")


@pytest.mark.parametrize(
    ("foreign", "told"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("192.0.2.7", "192.0.2.7"), ("a\nb", "a b")],
)
def test_addresses(foreign: str, told: str) -> None:
    """A client has one address, however its connection came."""
    assert event.address(foreign) == told


SHAPES = [
    "ghp_abcdefgh", "github_pat_abcdefgh", "eyJhbGci.abcdefgh", "token=abcdefgh", "sig=abcdefgh", "bearer abcdefgh",
    "https://me:abcdefgh@x", "me:abcdefgh@x", "x-api-key: abcdefgh", "jwt%3dabcdefgh",
]  # fmt: skip


@given(st.text("ab_.=:@%3D \n", max_size=12), st.sampled_from(SHAPES))
def test_what_has_the_shape_of_a_secret(before: str, shape: str) -> None:
    """A text is looked at for shapes wherever it could hold one: what is told of it is what `redact` leaves."""
    assert event.text(f"{before} {shape}") == printable(redact(f"{before} {shape}"))
    assert ("abcdefgh" in event.text(shape)) is ("abcdefgh" in redact(shape))
    assert "abcdefgh" not in event.text(shape)


def test_sizes_are_bounded() -> None:
    """However long what a client sends is, its line is short."""
    path, reason = event.path("/" + "%" * 100_000), event.text("é" * 100_000)
    told = Event(action="pass", failed=False, began=0, seconds=0, source="::1", path=path, reason=reason)
    assert len(lines.line(told)) < 10_000
    parsed(lines.line(told).decode())
