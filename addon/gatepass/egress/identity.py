"""Who asks, as a value; and addresses, as they are compared and counted.

Pure. Holds no password and no token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

type Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the entry of `clients` that knows them, None where none has to.

    `user` is who that entry's htpasswd file says it is, `subject` a token's `sub`, `address` where they are. They are
    known on the strength of `basis`: once that is no more, they are known no more.
    """

    client: str | None
    user: str | None
    subject: str | None
    address: str
    basis: object = field(default=None, repr=False, compare=False)
    account: str = field(init=False, repr=False, compare=False)
    """Whom to count: a client, each user of a file for themselves, and by the address who has no name."""

    def __post_init__(self) -> None:
        if self.client is None:
            account = group(read_address(self.address))
        else:  # no name of an entry has a space
            account = f"client {self.client}" if self.user is None else f"client {self.client}, user {self.user}"
        object.__setattr__(self, "account", account)  # the value is frozen


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody whom the rules name, and what is wrong with what was said; nothing where nothing was."""

    what: str = ""


@lru_cache(4096)  # a client's is read again at each of its requests
def read_address(text: str) -> Address:
    """An address as the system or a proxy writes it, without a zone; an IPv4 one within IPv6 is the IPv4 one.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(4096)  # as above
def group(address: Address) -> str:
    """The addresses that are one machine's as far as anybody can tell: of IPv6 a network of 64 bits is given out."""
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((int(address) >> 64 << 64, 64)))
