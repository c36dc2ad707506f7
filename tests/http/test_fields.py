"""Which of a client's header fields go on with a request: pure, so proved for whatever a client may write."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gatepass.http.fields import folded, forwarded, harmless, onward

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


FOR_PROXIES = ["Proxy-Authorization", "proxy_connection", "X-Forwarded-For", "x_forwarded_FOR"]
OTHERS = ["Proxy-Status", "Proxy", "X-Forwarded-Host", "X-Forwarded-Fo", "AuthorizationX"]
NO_NAMES = ["", "X Other", "X:Other", "Proxy-Authorization ", "X-Other\n", "X\x80"]
ODD = st.lists(st.sampled_from("a \t\v\f\r\n\0\x01\x7f\x85\xff")).map("".join)
ANY = st.tuples(st.sampled_from([*FOR_PROXIES, *OTHERS, *NO_NAMES]), ODD)


@given(st.lists(ANY.map(lambda field: (field[0].encode("latin-1"), field[1].encode("latin-1")))))
def test_what_is_for_proxies(fields: list[tuple[bytes, bytes]]) -> None:
    """What is for the proxy stays with it, however it is spelled, and what is no name; all else goes on, harmless."""
    gone = {*map(str.encode, FOR_PROXIES), *(name.encode("latin-1") for name in NO_NAMES)}
    assert list(onward(fields)) == [(name, harmless(value)) for name, value in fields if name not in gone]


def test_connection() -> None:
    """Options that name none of ours stay; a WebSocket keeps what opens it, and no other protocol does."""
    fields = [(b"Connection", b"Keep-Alive, Upgrade, X-Token"), (b"Upgrade", b"WebSocket, h2c")]
    assert list(forwarded(fields, ["X-Token"])) == [(b"Connection", b"keep-alive, upgrade"), (b"Upgrade", b"websocket")]
    fields = [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]
    assert list(forwarded(fields, [])) == []
