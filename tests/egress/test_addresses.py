"""Which addresses are public, in whatever form and spelling they come."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.egress import addresses

HIDDEN = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2001:0:7f00:1::",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%1",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "140.82.121.3", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", HIDDEN)
def test_hidden(text: str) -> None:
    """What is not public is told, with what it is."""
    assert addresses.flaw(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """What is public is let through; a network with IPv6 alone reaches IPv4 by NAT64."""
    assert addresses.flaw(ip_address(text)) is None


@given(st.ip_addresses())
def test_never_laxer_than_python(address: IPv4Address | IPv6Address) -> None:
    """Nothing passes that `is_global` denies; an IPv4-mapped address is what it maps to."""
    if addresses.flaw(address) is None:
        assert addresses.plain(address).is_global


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "::"]))
def test_what_is_inside(inner: IPv4Address, prefix: str) -> None:
    """An IPv6 address that leads to an IPv4 address that is not public is none either."""
    outer = IPv6Address(int(IPv6Address(prefix)) | int(inner))
    if addresses.flaw(inner):
        assert addresses.flaw(outer)


@given(st.ip_addresses(v=4))
def test_tunnelled(inner: IPv4Address) -> None:
    """6to4 and Teredo, the client's side and the server's, too."""
    if addresses.flaw(inner):
        assert addresses.flaw(IPv6Address(0x2002 << 112 | int(inner) << 80))
        assert addresses.flaw(IPv6Address(0x2001_0000 << 96 | int(inner) << 64))
        assert addresses.flaw(IPv6Address(0x2001_0000 << 96 | 0x0808_0808 << 64 | (int(inner) ^ 0xFFFF_FFFF)))


def test_private_networks() -> None:
    """`egress.private` holds an address in the form that is dialled, and no form that leads there by a gateway."""
    networks = [ip_network("10.1.2.0/24"), ip_network("fd00:1::/32")]
    assert addresses.is_within(ip_address("10.1.2.3"), networks)
    assert addresses.is_within(ip_address("::ffff:10.1.2.3"), networks)
    assert addresses.is_within(ip_address("fd00:1::7"), networks)
    assert not addresses.is_within(ip_address("10.1.3.3"), networks)
    assert not addresses.is_within(ip_address("64:ff9b::a01:203"), networks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("127.1", ["127.0.0.1"]),
        ("0", ["0.0.0.0"]),
        ("2130706433", ["127.0.0.1"]),
        ("0x7f.1", ["127.0.0.1"]),
        ("0X7F000001", ["127.0.0.1"]),
        ("0177.0.0.1", ["127.0.0.1", "177.0.0.1"]),
        ("010.0.0.1", ["8.0.0.1", "10.0.0.1"]),
        ("[::1]", ["::1"]),
        ("::ffff:127.0.0.1", ["::ffff:127.0.0.1"]),
        ("256.0.0.1", []),
        ("1.2.3.4.5", []),
        ("08.0.0.1", ["8.0.0.1"]),
        ("4294967296", []),
        ("1.", []),
        ("localhost", []),
        ("x7f.1", []),
        ("", []),
    ],
)
def test_readings(text: str, expected: list[str]) -> None:
    """Each spelling of an address that resolvers take is read, by all readings; a name is none."""
    assert list(map(str, addresses.readings(text))) == expected


@given(st.lists(st.from_regex(r"(0x[0-9a-f]{1,9}|[0-9]{1,11})", fullmatch=True), min_size=1, max_size=4))
def test_readings_are_the_system_s(parts: list[str]) -> None:
    """What the system's `inet_aton` reads is among the readings, and stands first."""
    text = ".".join(parts)
    try:
        system = IPv4Address(socket.inet_aton(text))
    except OSError:
        return
    assert addresses.readings(text)[0] == system


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """No text is too strange to be read."""
    addresses.readings(text)
