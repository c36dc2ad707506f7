"""Who asks, as a value: how addresses are read, and who is counted as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.egress.identity import Identity, group, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    """As the system writes it for a listener of both families, with a zone or without: what is compared is one."""
    assert str(read_address(text)) == address


@pytest.mark.parametrize("text", ["", "1", "127.1", "2130706433", "localhost", "1.2.3.4:5", "010.0.0.1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"not appear to be|Octet|empty"):
        read_address(text)


@given(st.ip_addresses(v=6))
def test_addresses_of_one_network_are_one(address: object) -> None:
    """Who has an IPv6 address has 2^64 of them; an IPv4 address stands for itself."""
    first = read_address(str(address))
    if first.version == 6:
        other = read_address(str(type(first)(int(first) ^ 0xFFFF)))
        assert group(first) == group(other)
        assert group(first).endswith("/64")
    else:
        assert group(first) == str(first)


def test_accounts() -> None:
    """Each client is counted for itself, each user of a file, and each address without a name; none is another's."""
    identities = [
        Identity(None, None, None, "192.0.2.1"),
        Identity(None, None, None, "2001:db8::1"),
        Identity("192.0.2.1", None, None, "192.0.2.1"),
        Identity("developers", None, None, "192.0.2.1"),
        Identity("developers", "anna", None, "192.0.2.1"),
        Identity("developers", "bert", None, "192.0.2.1"),
    ]
    assert len({identity.account for identity in identities}) == len(identities)
    assert Identity("ci", None, "a", "192.0.2.1").account == Identity("ci", None, "b", "192.0.2.2").account
