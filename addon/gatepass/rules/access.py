"""Who may use the proxy, where they may go, and how often: `clients`, `egress` and `limits` of rules.yaml as values.

Pure: no password is here, only where one comes from; no file is opened, and no name resolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.sources import Source

type Network = IPv4Network | IPv6Network

MOST_MISSES: Final = 60
"""A minute, of one client, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Password:
    """The user has the entry's name, and a password that one of these sources gives."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Htpasswd:
    """The users of a file of Apache's `htpasswd`; errors begin with `place`, where the rules name it."""

    path: Path
    place: str = ""


@dataclass(frozen=True, slots=True)
class Oidc:
    """Any user, whose password is a JWT of that issuer for that audience, and has these claims."""

    issuer: str
    audience: str
    claims: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"tokens of {self.issuer} for `{self.audience}`"


@dataclass(frozen=True, slots=True)
class Networks:
    """Who comes from there, without a password."""

    networks: tuple[Network, ...]


type Proof = Password | Htpasswd | Oidc | Networks


@dataclass(frozen=True, slots=True)
class Client:
    """Who may use the proxy, by the entry's name, and what they are known by."""

    name: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Destination:
    """HOST, for ports 443 and 80, or HOST:PORT; `*.` before it stands for all names below, not for HOST itself."""

    name: str
    ports: frozenset[int]
    text: str

    def covers(self, name: str, port: int) -> bool:
        """Whether that server is one of these; neither letter case nor a trailing dot makes a difference."""
        name = name.lower().removesuffix(".")
        is_it = name.endswith(self.name[1:]) if self.name.startswith("*.") else name == self.name
        return port in self.ports and is_it

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Egress:
    """Where clients may go: `deny` is asked before `allow`; None allows all.

    `private` are addresses that may be reached though they are not public. With `report_only` what would be refused is
    told, and passes without a credential.
    """

    allow: tuple[Destination, ...] | None = None
    deny: tuple[Destination, ...] = ()
    private: tuple[Network, ...] = ()
    report_only: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """For each client: connections at once, requests and misses a minute; None is without end."""

    connections: int | None = None
    requests: int | None = None
    misses: int = MOST_MISSES


@dataclass(frozen=True, slots=True)
class Access:
    """All of it; `egress` is None where the file says nothing of it."""

    clients: tuple[Client, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    egress: Egress | None = None
    limits: Limits = Limits()

    @property
    def is_guarded(self) -> bool:
        """Whether no connection may be made to an address that is not public."""
        return bool(self.clients) or self.egress is not None

    @property
    def is_reporting(self) -> bool:
        """Whether what would be refused passes."""
        return self.egress is not None and self.egress.report_only

    @property
    def files(self) -> tuple[Path, ...]:
        """The files besides the rules' own that it rests on."""
        return tuple(client.proof.path for client in self.clients if isinstance(client.proof, Htpasswd))


OPEN: Final = Access()
"""Of a file that says nothing of it."""
