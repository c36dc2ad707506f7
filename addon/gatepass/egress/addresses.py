"""Which IP addresses are public, and what the others are, in words.

Pure. Not public is what Python's `is_global` denies (the IANA special-purpose registries), and what it lets through
and leads to such a place all the same.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.rules.access import Network

type Address = IPv4Address | IPv6Address

# What clouds tell their machines by addresses that are not link-local; this one is global by the registries
# (Azure, "What is IP address 168.63.129.16?").
_METADATA: Final = frozenset({IPv4Address("168.63.129.16")})

# Forms of IPv6 whose last 32 bits are an IPv4 address to which a gateway, or the system itself, leads.
_LAST_BITS: Final = {
    IPv6Network("::ffff:0:0/96"): "IPv4-mapped",
    IPv6Network("::ffff:0:0:0/96"): "IPv4-translated",  # RFC 7915
    IPv6Network("64:ff9b::/96"): "NAT64",  # RFC 6052
    IPv6Network("64:ff9b:1::/48"): "NAT64",  # RFC 8215: where in it the address stands is the network's own affair
    IPv6Network("::/96"): "IPv4-compatible",  # RFC 4291, 2.5.5.1
}
_TEREDO: Final = IPv6Network("2001::/32")

_NUMBER: Final = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+", re.ASCII)


def flaw(address: Address) -> str | None:
    """What makes an address not public, in words; None for one that is."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "bound to an interface"
        if (unwrapped := plain(address)) is not address:
            return flaw(unwrapped)
    if own := _own_flaw(address):
        return own
    for inner, form in _carried(address):
        if inside := flaw(inner):
            return f"a {form} form of {inner}, which is {inside}"
    return None


def _own_flaw(address: Address) -> str | None:
    if address in _METADATA:
        return "a cloud's metadata service"
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local, where clouds have their metadata"
    if address.is_multicast:  # `is_global` may be true of these
        return "multicast"
    if isinstance(address, IPv6Address) and address.is_site_local:  # and of these, which RFC 3879 deprecates
        return "site-local"
    return None if address.is_global else "private, shared or reserved"


def plain(address: Address) -> Address:
    """The address that the system connects to: an IPv4-mapped one is IPv4 (RFC 4291, section 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _carried(address: Address) -> Iterable[tuple[IPv4Address, str]]:
    """The IPv4 addresses that an IPv6 address holds, and by which form."""
    if not isinstance(address, IPv6Address):
        return
    for network, form in _LAST_BITS.items():
        if address in network:
            yield IPv4Address(int(address) & 0xFFFF_FFFF), form
    if address.sixtofour is not None:
        yield address.sixtofour, "6to4"
    if address in _TEREDO and address.teredo is not None:
        yield from ((inner, "Teredo") for inner in address.teredo)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address, as the system would connect to it."""
    address = plain(address)
    return any(address.version == network.version and address in network for network in networks)


def readings(name: str) -> tuple[Address, ...]:
    """What a host is as an address, in all spellings that resolvers take; nothing for a name.

    `127.1`, `0x7f.1`, `2130706433` and `0177.0.0.1` are all read by `inet_aton`. A number with a leading zero is octal
    to it, and decimal to others: both are told, that of `inet_aton` first.
    """
    text = name.removeprefix("[").removesuffix("]")
    try:
        return (ip_address(text),)
    except ValueError:
        pass
    parts = text.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return ()
    found = (_joined([_value(part, octal=octal) for part in parts]) for octal in (True, False))
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _value(part: str, *, octal: bool) -> int | None:
    try:
        if part[:2] in ("0x", "0X"):
            return int(part[2:] or "0", 16)
        return int(part, 8 if octal and part.startswith("0") else 10)
    except ValueError:
        return None


def _joined(values: list[int | None]) -> IPv4Address | None:
    """The last part fills what the others leave (POSIX, inet_addr)."""
    *first, last = (-1 if value is None else value for value in values)
    room = 8 * (4 - len(first))
    if not all(0 <= value <= 255 for value in first) or not 0 <= last < 1 << room:
        return None
    number = last
    for index, value in enumerate(first):
        number |= value << (24 - 8 * index)
    return IPv4Address(number)
