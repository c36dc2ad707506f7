"""X-Forwarded-For: of a trusted proxy's list the rightmost address that is none of theirs, and nobody else's word."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.egress.forwarded import client
from gatepass.problems.problem import Unresolvable

PROXIES = [ip_network("10.0.0.0/24"), ip_network("fd00::/64")]
PEER = ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6,192.0.2.1 , 10.0.0.2,\tfd00::7"], "192.0.2.1"),
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["nonsense, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
    ],
)
def test_the_rightmost_that_is_none_of_theirs(values: list[str], address: str) -> None:
    """What stands further left is what a client wrote, and is not read at all; all of theirs: the leftmost."""
    assert str(client(PEER, values, PROXIES)) == address


@given(st.lists(st.text()))
def test_who_is_not_trusted_says_nothing(values: list[str]) -> None:
    """Of any other peer the header is not read, whatever it holds."""
    assert client(ip_address("192.0.2.9"), values, PROXIES) == ip_address("192.0.2.9")


@pytest.mark.parametrize(
    "value", ["unknown", "", " ", "192.0.2.1,", "_hidden", "192.0.2.1.", "127.1", "192.0.2.1 10.0.0.1", "\x00"]
)
def test_what_is_no_address_is_refused(value: str) -> None:
    """Nobody passes for the proxy, which may be a client itself, by what it cannot tell."""
    with pytest.raises(Unresolvable, match="X-Forwarded-For"):
        client(PEER, [value], PROXIES)


@given(st.lists(st.text()))
def test_nothing_that_it_holds_is_an_error(values: list[str]) -> None:
    """Whatever comes, it is an address or a refusal."""
    with contextlib.suppress(Unresolvable):
        assert client(PEER, values, PROXIES)
