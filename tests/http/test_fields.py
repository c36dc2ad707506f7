"""Which of a client's header fields go on with a request: pure, so proved for whatever a client may write."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gatepass.http.fields import folded, forwarded, onward

NAMES = st.sampled_from(["X-Token", "x_token", "Connection", "Upgrade", "Host", "X-Other"]) | st.from_regex(
    r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}\Z"
)
VALUES = st.lists(
    st.sampled_from(["x-token", "X_TOKEN", "host", "close", "websocket", "h2c", "\r", "\n ", "\0", ",", " "])
)
FIELDS = st.lists(st.tuples(NAMES.map(str.encode), VALUES.map(lambda parts: "".join(parts).encode())))


@given(FIELDS)
def test_nothing_competes(fields: list[tuple[bytes, bytes]]) -> None:
    """No field that goes on bears the name of ours, ends its line early, or has another proxy take ours away."""
    for name, value in forwarded(fields, ["X-Token"]):
        assert folded(name.decode()) != "x-token"
        assert not re.search(rb"[\r\n\0]", value)
        if name.lower() == b"connection":
            assert not {folded(option.strip()) for option in value.decode().split(",")} & {"x-token", "host"}
        if name.lower() == b"upgrade":
            assert value == b"websocket"


@given(FIELDS)
def test_the_rest_stays(fields: list[tuple[bytes, bytes]]) -> None:
    """What has another name, and is not for the next hop, goes on in its order; unchanged, if it is one line."""
    plain = [(name, re.sub(rb"[\r\n\0]", b"", value).strip()) for name, value in fields]
    ours = ("x-token", "connection", "upgrade")
    kept = [field for field in plain if folded(field[0].decode()) not in ours]
    assert [field for field in forwarded(plain, ["X-Token"]) if folded(field[0].decode()) not in ours] == kept


def test_connection() -> None:
    """Options that name none of ours stay; a WebSocket keeps what opens it, and no other protocol does."""
    fields = [(b"Connection", b"Keep-Alive, Upgrade, X-Token"), (b"Upgrade", b"WebSocket, h2c")]
    assert list(forwarded(fields, ["X-Token"])) == [(b"Connection", b"keep-alive, upgrade"), (b"Upgrade", b"websocket")]
    fields = [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]
    assert list(forwarded(fields, [])) == []


def test_what_is_for_proxies() -> None:
    """The password for this proxy, and what proxies say of whom they ask for, go no further, however it is written."""
    ours = [(b"Proxy-Authorization", b"Basic eDp5"), (b"X-Forwarded-For", b"1.2.3.4"), (b"x_forwarded_for", b"1")]
    assert list(onward([*ours, (b"A", b"b")])) == list(forwarded([*ours, (b"A", b"b")], [])) == [(b"A", b"b")]
