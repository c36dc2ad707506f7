"""Behind a proxy that the rules trust: the client's address, as that proxy tells it.

Pure. X-Forwarded-For is anybody's to write; what counts is what a trusted proxy has added.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gatepass.egress.identity import read_address
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gatepass.egress.identity import Address
    from gatepass.rules.access import Network

# Some proxies write the port, too, and then an IPv6 address in brackets.
_WITH_PORT: Final = re.compile(r"(\d+(?:\.\d+){3}):\d{1,5}|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?", re.ASCII)


def client(peer: Address, values: Sequence[str], trusted: Iterable[Network]) -> Address:
    """Who asks, where `peer` is connected and X-Forwarded-For has these values: the last address that is no proxy's.

    Raises:
        Unresolvable: a trusted proxy says something that is no address; nobody is to pass for that proxy by it.
    """
    networks, address = tuple(trusted), peer
    said = ",".join(values).split(",") if values else []
    while said and any(address in network for network in networks):
        address = _read(said.pop())
    return address


def _read(said: str) -> Address:
    text = said.strip(" \t")
    match = _WITH_PORT.fullmatch(text)
    try:
        return read_address((match[1] or match[2]) if match else text)
    except ValueError:
        raise Unresolvable(catalogue.MALFORMED_REQUEST(what="X-Forwarded-For holds what is no address")) from None
