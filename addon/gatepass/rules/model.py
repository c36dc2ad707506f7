"""Rules: what Gatepass does, and with which credential, as values; and which rule a request falls under.

Pure: `gatepass.rules.parser` makes these of a text. A secret is never here, only the name of the credential that
gives it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from gatepass import home
from gatepass.errors import GatepassError
from gatepass.forge import api, urls
from gatepass.forge import sources as forge_sources
from gatepass.forge.hosts import OWN
from gatepass.forge.urls import Repository
from gatepass.http.fields import folded
from gatepass.rules.access import OPEN, Password
from gatepass.sources import File, GitHubApp, variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.forge.api import ApiAccess, Call
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import SourceRef
    from gatepass.rules.access import Access
    from gatepass.rules.indexes import Repositories
    from gatepass.rules.shape import CacheEntry
    from gatepass.rules.values import Pattern, Template
    from gatepass.sources import Key, Source
    from gatepass.store.place import Place

# A server that resolves dot segments takes `/mine/../theirs` to a path that no pattern was meant to allow.
# A server that takes a fragment off, which no request has (RFC 9112, section 3.2), serves another path, too.
_CROOKED: Final = re.compile(r"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:/|\\|;|%2f|%5c|$)|#", re.ASCII | re.IGNORECASE)


GIT_METHODS: Final = frozenset({"GET", "POST"})
"""The methods of git's smart HTTP, and of LFS."""

DOWNLOADS: Final = frozenset({"GET", "HEAD"})
"""The methods of a download: what a rule is for that names no others."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret by name: where to look for it, in order, and the hosts that it may serve."""

    name: str
    sources: tuple[Source, ...]
    hosts: frozenset[Host]

    def owned_by(self, owner: str) -> Credential:
        """The same, where an App's installation is not told: with that of the account."""
        sources = (
            replace(source, owner=owner)
            if isinstance(source, GitHubApp) and source.installation is None and source.owner is None
            else source
            for source in self.sources
        )
        return replace(self, sources=tuple(sources))


type Requirement = Literal["digest", "immutable"]


@dataclass(frozen=True, slots=True)
class ResolveRelease:
    """Find the release asset behind a download URL.

    `anonymous_first` tells whether the web host is asked before the API, without a credential: a public asset then
    needs none. `require` is what an asset must have, to be given out: a digest at the forge, a release that can not be
    changed any more.
    """

    forge: Forge
    anonymous_first: bool = False
    require: frozenset[Requirement] = frozenset()


@dataclass(frozen=True, slots=True)
class ResolveSource:
    """Find what a repository's git holds, behind the URL of an archive or of a raw file; `anonymous_first` as above."""

    forge: Forge
    anonymous_first: bool = False


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Set a header where the client sent it with that text for the secret, and nowhere else.

    None is that which is made at each start, for the rule's variables.
    """

    text: str | None


type Word = Literal["replace", "keep", "refuse"]
type OnExisting = Word | Placeholder


@dataclass(frozen=True, slots=True)
class ServeGit:
    """Let git fetch, and push where it `may_push`, with Basic of the secret.

    `anonymous_first` tells whether a repository that anybody may read is left alone; `on_existing` is for credentials
    that the client sent itself.
    """

    forge: Forge
    anonymous_first: bool = True
    may_push: bool = False
    on_existing: Word = "replace"


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


# What an App's token needs for each word of `access` (REST docs, "Permissions required for GitHub Apps").
_READ: Final = dict.fromkeys(("actions", "checks", "contents", "issues", "metadata", "pull_requests"), "read")
_ISSUES: Final = {**_READ, "issues": "write", "pull_requests": "write"}
_PERMISSIONS: Final = {"read": _READ, "issues": _ISSUES, "write": {**_ISSUES, "contents": "write"}}

type GraphQL = Literal["none", "any"] | frozenset[str]
"""What may be asked by GraphQL: nothing, all, or queries and these mutations besides."""


@dataclass(frozen=True, slots=True)
class CallApi:
    """Let a forge's API be asked of repositories: of one of an owner's, or of all that `name` stands for, with `*`.

    `also` are the paths outside of a repository that may be read. `permissions` are what an App's token gets, where
    they are not those of `access`.
    """

    forge: Forge
    owner: str
    name: str
    access: ApiAccess = "read"
    graphql: GraphQL = "none"
    also: frozenset[str] = frozenset()
    permissions: tuple[tuple[str, str], ...] | None = None

    @property
    def repository(self) -> Repository | None:
        """The one that it names, when it names one."""
        return None if "*" in self.name else Repository(self.owner, self.name)

    @property
    def granted(self) -> tuple[tuple[str, str], ...]:
        """The permissions that an App's token is to have: as much of them as its installation has, and no more."""
        if self.permissions is not None:
            return self.permissions
        word = self.access if isinstance(self.access, str) else api.least(self.access)
        # most mutations are of issues and pull requests; others need `permissions`
        if word == "read" and isinstance(self.graphql, frozenset) and self.graphql:
            word = "issues"
        return tuple(sorted(_PERMISSIONS[word].items()))

    def reaches(self, host: Host, path: str) -> bool:
        """Whether that is at its forge's API, whatever it asks there."""
        bases = ((self.forge.api_host, self.forge.api_prefix), self.forge.uploads)
        is_below = any(host == at and path.startswith(f"{prefix}/") for at, prefix in bases)
        return is_below or self.is_graphql(host, path)

    def is_graphql(self, host: Host, path: str) -> bool:
        """Whether that is where GraphQL is asked."""
        return host == self.forge.api_host and path == self.forge.graphql_path

    def covers(self, repository: Repository) -> bool:
        """Whether the repository is among these; letter case makes no difference."""
        own = re.escape(self.name.casefold()).replace(r"\*", ".*")
        is_named = re.fullmatch(own, repository.name.casefold()) is not None
        return is_named and repository.owner.casefold() == self.owner.casefold()

    def call(self, host: Host, path: str) -> Call | None:
        """What a raw path, without its query, asks of it; None when that is none of its API's, or cannot be told."""
        for at, prefix in ((self.forge.api_host, self.forge.api_prefix), self.forge.uploads):
            if host == at and path.startswith(f"{prefix}/"):
                return api.parse(path.removeprefix(prefix))
        return None

    def owns(self, host: Host, path: str) -> bool:
        """Whether that is for this rule to judge: its repositories, those of which the number is told, and GraphQL."""
        if self.is_graphql(host, path):
            return True
        call = self.call(host, path)
        if call is None:
            return False
        return call.rest in self.also if call.is_outside else call.repository is None or self.covers(call.repository)


type Action = ResolveRelease | ResolveSource | ServeGit | InjectHeaders | CallApi


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
    variables: tuple[str, ...] = ()
    """Those that hold its placeholder for programs; with any it does something where the placeholder is sent alone."""

    @property
    def own_headers(self) -> frozenset[str]:
        """The headers in which its placeholder belongs, by their folded names."""
        match self.action:
            case InjectHeaders(headers):
                return frozenset(folded(each.name) for each in headers if each.on_existing == Placeholder(None))
            case CallApi() | ServeGit():
                return frozenset(("authorization",))
        return frozenset()

    @property
    def hosts(self) -> frozenset[Host]:
        """Where the requests go that may fall under it."""
        if isinstance(self.action, CallApi):
            return frozenset((self.action.forge.api_host, self.action.forge.uploads[0]))
        return frozenset((self.match.host,))

    def is_for(self, client: str | None) -> bool:
        """Whether it is for the client of that name; None has no name."""
        return not self.clients or client in self.clients

    def matches(self, host: Host, target: str, method: str) -> bool:
        """Whether a request falls under it; `target` is the raw path, as it was sent, perhaps with its query.

        In a forge's paths the names of owner and repository know no letter case, and several slashes stand for one;
        what git asks of `R.git` it asks of R.
        """
        path = target.partition("?")[0]
        if isinstance(self.action, CallApi):
            return self.action.owns(host, path)
        if method not in self.methods or not self.match.host.covers(host):
            return False
        if isinstance(self.action, InjectHeaders):
            return self.match.matches(host, path)
        if not self._is_of_its_kind(host, target, method):
            return False
        path = urls.straightened(path)
        paths = {path, forge_sources.without_git(path)} if isinstance(self.action, ServeGit) else {path}
        return any(self.match.matches(host, each, urls.repository_end(each)) for each in paths)

    def _is_of_its_kind(self, host: Host, target: str, method: str) -> bool:
        """Whether the request is for what it finds: others go on to the next rule."""
        path = target.partition("?")[0]
        match self.action:
            case ResolveRelease():
                return urls.parse(path) is not None
            case ResolveSource(forge):
                return source_at(forge, host, path) is not None
            case ServeGit():
                return forge_sources.parse_git(method, target) is not None
        return True


@dataclass(frozen=True, slots=True)
class Index:
    """A package index by name: the releases of these repositories, each at its forge, seen with that credential.

    It is for the `clients` of these names, and for every one where there are none.
    """

    name: str
    repositories: tuple[tuple[Forge, Repositories], ...]
    credential: Credential
    prereleases: bool = True
    clients: tuple[str, ...] = ()

    def is_for(self, client: str | None) -> bool:
        """Whether it is for the client of that name; None has no name."""
        return not self.clients or client in self.clients


@dataclass(frozen=True, slots=True)
class Kept:
    """Where something is kept that the proxy itself needs, and `place`, where the rules say so."""

    source: Key
    place: str


@dataclass(frozen=True, slots=True)
class SharedCache:
    """Where replicas share what they learn, and what it is sealed with: the first of the keys seals, each opens."""

    store: Place
    keys: tuple[Kept, ...]
    password: Kept | None = None

    @property
    def kept(self) -> tuple[Kept, ...]:
        return (*self.keys, *((self.password,) if self.password else ()))


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole rules file; `source` says where it came from. The forges begin with github.com."""

    source: str
    forges: tuple[Forge, ...]
    credentials: tuple[Credential, ...]
    rules: tuple[Rule, ...]
    cache: CacheEntry
    access: Access = OPEN
    indexes: tuple[Index, ...] = ()
    shared: SharedCache | None = None
    of_api: tuple[Rule, ...] = field(init=False)
    """Those for APIs: looked at for each request that falls under no rule."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "of_api", tuple(rule for rule in self.rules if isinstance(rule.action, CallApi)))

    @property
    def placeholders(self) -> frozenset[str]:
        """The variables in which programs find placeholders."""
        return frozenset(name for rule in self.rules for name in rule.variables)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files besides its own that it rests on: what changes in them is a change."""
        kept = self.shared.kept if self.shared else ()
        named = [each.source.path for each in kept if isinstance(each.source, File)]
        with suppress(GatepassError):  # which whoever reads them tells
            return (*self.access.files, *map(home.opened, named))
        return self.access.files

    @property
    def hosts(self) -> frozenset[Host]:
        """All hosts that a rule names, or stands for."""
        return frozenset(host for rule in self.rules for host in rule.hosts)

    @property
    def vouched(self) -> frozenset[Host]:
        """All that the proxy's CA has to vouch for: these hosts, and where indexes are named the proxy itself."""
        hosts = self.hosts
        # with addresses alone it cannot vouch for a name, too
        return hosts | {OWN} if self.indexes and not all(host.is_address for host in hosts) else hosts

    def forge_of(self, host: Host) -> Forge | None:
        """The forge whose host it is: that of its web, its API, or its raw files."""
        return next((forge for forge in self.forges if host in (forge.web, forge.api_host)), None)

    @property
    def variables(self) -> set[str]:
        """The environment variables that secrets may be read from: its credentials', its clients' and its own."""
        asked = [(each.sources, self.forge_of(host)) for each in self.credentials for host in each.hosts]
        asked += [(each.proof.sources, None) for each in self.access.clients if isinstance(each.proof, Password)]
        if self.shared is not None:
            asked += [((each.source,), None) for each in self.shared.kept]
        return {name for sources, forge in asked for name in variables(sources, forge)}

    def names(self, host: Host) -> bool:
        """Whether any rule names that host: only connections to such a host are intercepted."""
        return any(own.covers(host) for rule in self.rules for own in rule.hosts)

    def match(self, host: Host, target: str, method: str = "GET") -> Rule | None:
        """The first rule that a request falls under; `target` is the raw path, as it was sent, perhaps with its query.

        A path with dot segments, or a fragment, falls under none.
        """
        return next(self.matching(host, target, method), None)

    def matching(self, host: Host, target: str, method: str) -> Iterator[Rule]:
        """All of them, whomever they are for."""
        if not _CROOKED.search(target.partition("?")[0]):
            yield from (rule for rule in self.rules if rule.matches(host, target, method))


def source_at(forge: Forge, host: Host, path: str) -> SourceRef | None:
    """What a source's URL asks for, at the web host of a forge or at that for raw files."""
    return forge_sources.parse_raw(path) if host == forge.raw else forge_sources.parse(path)
