"""Where clients may go: a host, a port, and what the rules say, to nothing or a problem.

Pure: resolves no name, and opens no connection.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gatepass.egress import addresses
from gatepass.forge.hosts import GITHUB, HTTPS_PORT, Host, known
from gatepass.problems import catalogue
from gatepass.rules.access import Egress, Oidc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gatepass.egress.addresses import Address
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Rules

# RFC 3490, section 3.1: what IDNA takes for a dot.
_DOTS: Final = str.maketrans("\u3002\uff0e\uff61", "...")
_MOST: Final = 255
_MOST_WRITTEN: Final = 9 * _MOST
"""Characters, each of them escaped in UTF-8."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server as it is judged and dialled: what escapes, letter case, width and a dot at the end stand for is settled.

    `literals` are what its name is as an address, by all readings; the first is that of the system's resolver.
    """

    name: str
    port: int
    literals: tuple[Address, ...] = ()

    @classmethod
    def parse(cls, host: str, port: int) -> Place:
        """Read a host as a client writes it.

        Raises:
            ValueError: no resolver could make anything of it.
        """
        if len(host) > _MOST_WRITTEN:
            raise ValueError("it is no name of a host")
        name, literals = _settled(host)
        return cls(name, port, literals)

    @property
    def host(self) -> Host:
        """The same, as the rules name servers."""
        return Host(self.name, self.port)


@lru_cache(1024)
def _settled(host: str) -> tuple[str, tuple[Address, ...]]:
    """The same is asked several times of each request, and to know a name costs more than all else that is asked."""
    text = unicodedata.normalize("NFKC", unquote(host)).translate(_DOTS).lower().strip("[]").removesuffix(".")
    if literals := addresses.readings(text):
        return str(addresses.plain(literals[0])), literals
    if not text or len(text) > _MOST or ":" in text:
        raise ValueError("it is no name of a host")
    return text.encode("idna").decode("ascii"), ()


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached under some rules. `named` are the hosts that they name themselves: these are trusted to be
    where they are, at any address.
    """

    egress: Egress
    named: frozenset[Host]

    @classmethod
    def of(cls, rules: Rules) -> Reach:
        return cls(rules.access.egress or Egress(), frozenset(_named(rules)))

    def refusal(self, place: Place) -> Problem | None:
        """What `deny` and `allow` say of it."""
        for entry in self.egress.deny:
            if entry.covers(place.name, place.port):
                return catalogue.HOST_NOT_ALLOWED(host=place.host, rule=str(entry))
        if self.egress.allow is None or any(entry.covers(place.name, place.port) for entry in self.egress.allow):
            return None
        return catalogue.HOST_NOT_ALLOWED(host=place.host, rule="")

    def forbidden(self, place: Place, found: Iterable[Address]) -> Problem | None:
        """What is to be said of a server that has these addresses: one that is not public is enough.

        A name that mixes them has no honest reason to: which of them is dialled would be its owner's choice, by letting
        the other fail.
        """
        if any(host.covers(place.host) for host in self.named):
            return None
        for address in found:
            if (flaw := addresses.flaw(address)) and not addresses.is_within(address, self.egress.private):
                shown = str(addresses.plain(address))
                return catalogue.ADDRESS_NOT_PUBLIC(host=place.host, place=shown, what=flaw)
        return None


def _named(rules: Rules) -> Iterator[Host]:
    yield from rules.hosts
    for credential in rules.credentials:
        yield from credential.hosts
    for forge in rules.forges:
        # github.com is always among the forges: the rules name it when they use it
        if forge == GITHUB and not any(host in (forge.web, forge.api_host) for host in _used(rules)):
            continue
        yield from (forge.web, forge.api_host)
        built_in = known(forge.web)
        yield from (host for host in forge.assets if built_in is None or host not in built_in.assets)
    for client in rules.access.clients:
        if isinstance(client.proof, Oidc):
            parts = urlsplit(client.proof.issuer)
            yield Host((parts.hostname or "").lower(), parts.port or HTTPS_PORT)


def _used(rules: Rules) -> Iterator[Host]:
    yield from rules.hosts
    for credential in rules.credentials:
        yield from credential.hosts
