"""Rules: what Gatepass does, and with which credential, as values; and which rule a request falls under.

Pure: `gatepass.rules.parser` makes these of a text. A secret is never here, only the name of the credential that
gives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gatepass.forge import urls
from gatepass.rules.access import OPEN, Password
from gatepass.sources import variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.forge.hosts import Forge, Host
    from gatepass.rules.access import Access
    from gatepass.rules.shape import CacheEntry
    from gatepass.rules.values import Pattern, Template
    from gatepass.sources import Source

# A server that resolves dot segments takes `/mine/../theirs` to a path that no pattern was meant to allow.
# A server that takes a fragment off, which no request has (RFC 9112, section 3.2), serves another path, too.
_CROOKED: Final = re.compile(r"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:/|\\|;|%2f|%5c|$)|#", re.ASCII | re.IGNORECASE)


DOWNLOADS: Final = frozenset({"GET", "HEAD"})
"""The methods of a download: what a rule is for that names no others."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret by name: where to look for it, in order, and the hosts that it may serve."""

    name: str
    sources: tuple[Source, ...]
    hosts: frozenset[Host]


@dataclass(frozen=True, slots=True)
class ResolveRelease:
    """Find the release asset behind a download URL.

    `anonymous_first` tells whether the web host is asked before the API, without a credential: a public asset then
    needs none.
    """

    forge: Forge
    anonymous_first: bool = False


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Set a header where the client sent it with that text for the secret, and nowhere else."""

    text: str


type OnExisting = Literal["replace", "keep", "refuse"] | Placeholder


@dataclass(frozen=True, slots=True)
class Header:
    """A header to set on a request; `on_existing` is for one of its name that the client sent itself."""

    name: str
    template: Template
    on_existing: OnExisting = "replace"


@dataclass(frozen=True, slots=True)
class InjectHeaders:
    """Set headers on a request that goes where it was going.

    `dropped` are the response headers that the client does not get, in lower case. `forge` is the one whose web or API
    host it is, if any.
    """

    headers: tuple[Header, ...]
    dropped: frozenset[str] = frozenset()
    forge: Forge | None = None


type Action = ResolveRelease | InjectHeaders


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done, with which credentials, to the requests that match.

    Of several credentials the first is used that may see the repository. Headers have one, or none when all are
    literal. It is for the `clients` of these names, and for every one where there are none.
    """

    name: str
    match: Pattern
    action: Action
    credentials: tuple[Credential, ...]
    methods: frozenset[str] = DOWNLOADS
    clients: tuple[str, ...] = ()

    def is_for(self, client: str | None) -> bool:
        """Whether it is for the client of that name; None has no name."""
        return not self.clients or client in self.clients

    def matches(self, host: Host, path: str, method: str) -> bool:
        """Whether a request falls under it; `path` is raw, as it was sent, without its query.

        In a forge's paths the names of owner and repository know no letter case, and several slashes stand for one.
        """
        caseless = 0
        if isinstance(self.action, ResolveRelease):
            path = urls.straightened(path)
            caseless = urls.repository_end(path)
        return method in self.methods and self.match.matches(host, path, caseless)


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole rules file; `source` says where it came from. The forges begin with github.com."""

    source: str
    forges: tuple[Forge, ...]
    credentials: tuple[Credential, ...]
    rules: tuple[Rule, ...]
    cache: CacheEntry
    access: Access = OPEN

    @property
    def hosts(self) -> frozenset[Host]:
        """All hosts that a rule names, or stands for."""
        return frozenset(rule.match.host for rule in self.rules)

    def forge_of(self, host: Host) -> Forge | None:
        """The forge whose web or API host it is."""
        return next((forge for forge in self.forges if host in (forge.web, forge.api_host)), None)

    @property
    def variables(self) -> set[str]:
        """The environment variables that its credentials, and its clients' passwords, may be read from."""
        asked = [(each.sources, self.forge_of(host)) for each in self.credentials for host in each.hosts]
        asked += [(each.proof.sources, None) for each in self.access.clients if isinstance(each.proof, Password)]
        return {name for sources, forge in asked for name in variables(sources, forge)}

    def names(self, host: Host) -> bool:
        """Whether any rule names that host: only connections to such a host are intercepted."""
        return any(rule.match.host.covers(host) for rule in self.rules)

    def match(self, host: Host, path: str, method: str = "GET") -> Rule | None:
        """The first rule that a request falls under; `path` is raw, as it was sent, without its query.

        A path with dot segments, or a fragment, falls under none.
        """
        return next(self.matching(host, path, method), None)

    def matching(self, host: Host, path: str, method: str) -> Iterator[Rule]:
        """All of them, whomever they are for."""
        if not _CROOKED.search(path):
            yield from (rule for rule in self.rules if rule.matches(host, path, method))
