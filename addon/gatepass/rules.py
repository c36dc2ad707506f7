"""Rules: what rules.yaml says, as values, and which rule a request falls under.

Pure: text goes in, frozen values come out. Which file is read is for `gatepass.config`; a secret is never here, only
the name of the credential that gives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from gatepass.forges import GITHUB, Forge, Host
from gatepass.rules_shape import CacheEntry, CredentialEntry, ForgeEntry, RuleEntry, faults
from gatepass.rules_values import (
    Pattern,
    Template,
    UnfitError,
    read_api,
    read_credential_name,
    read_header_name,
    read_host,
    read_source,
)
from gatepass.yaml_source import Data, Path, RuleProblem, RulesError, nearest, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "Action",
    "Credential",
    "InjectHeaders",
    "Pattern",
    "ResolveRelease",
    "Rule",
    "RuleProblem",
    "Rules",
    "RulesError",
    "Template",
    "parse",
]

# A server that resolves dot segments takes `/mine/../theirs` to a path that no pattern was meant to allow.
_DOT_SEGMENT: Final = re.compile(r"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:/|\\|;|%2f|%5c|$)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret by name: where to look for it, in order, and the hosts that it may serve."""

    name: str
    sources: tuple[str, ...]
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
class InjectHeaders:
    """Set headers, in place of those of the same name."""

    headers: tuple[tuple[str, Template], ...]


type Action = ResolveRelease | InjectHeaders


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done, with which credential, to the requests that match."""

    name: str
    match: Pattern
    action: Action
    credential: Credential


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole rules file; `source` says where it came from. The forges begin with github.com."""

    source: str
    forges: tuple[Forge, ...]
    credentials: tuple[Credential, ...]
    rules: tuple[Rule, ...]
    cache: CacheEntry

    @property
    def hosts(self) -> frozenset[Host]:
        """All hosts that a rule names."""
        return frozenset(rule.match.host for rule in self.rules)

    def names(self, host: Host) -> bool:
        """Whether any rule names that host: only connections to such a host are intercepted."""
        return any(rule.match.host == host for rule in self.rules)

    def match(self, host: Host, path: str) -> Rule | None:
        """The first rule that a request falls under; `path` is raw, as it was sent, without its query.

        A path with dot segments falls under none.
        """
        if _DOT_SEGMENT.search(path):
            return None
        return next((rule for rule in self.rules if rule.match.matches(host, path)), None)


def parse(text: str, source: str = "rules.yaml") -> Rules:
    """Read the text of a rules file; `source` is its name in errors.

    Raises:
        RulesError: with all that is wrong; but what is no YAML, or uses more of YAML than is allowed, is said first.
    """
    return _Parser(text, source).rules()


class _Parser:
    """Reads entry by entry; what is wrong is noted and becomes None, so that the rest is read too."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._document = read(text, source)
        found = list(faults(self._document))
        self._faulty = [path for path, _ in found]
        self._problems = [problem for _, problem in found]
        self._forges = {GITHUB.web: GITHUB}
        self._forges_complete = True
        self._credentials: dict[str, Credential | None] = {}

    def rules(self) -> Rules:
        for path, value in self._entries("forges"):
            if forge := self._forge(path, value):
                self._forges[forge.web] = forge
            else:
                self._forges_complete = False
        for path, value in self._entries("credentials"):
            self._credentials[str(path[-1])] = self._credential(path, value)
        rules = [self._rule(path, value) for path, value in self._entries("rules")]
        if self._problems:
            raise RulesError(self._source, self._problems)
        return Rules(
            source=self._source,
            forges=tuple(self._forges.values()),
            credentials=tuple(credential for credential in self._credentials.values() if credential),
            rules=tuple(rule for rule in rules if rule),
            cache=self._cache(),
        )

    def _cache(self) -> CacheEntry:
        data = self._document.data
        entry = data.get("cache", {}) if isinstance(data, dict) else {}
        return msgspec.convert(entry, CacheEntry, strict=True)

    def _forge(self, path: Path, value: Data) -> Forge | None:
        if (entry := self._decode(ForgeEntry, path, value)) is None:
            return None
        web = self._take(read_host, entry.web, (*path, "web"))
        api = self._take(read_api, entry.api, (*path, "api"))
        if web in self._forges:
            hint = f"`{web}` is built in: leave it out" if web == GITHUB.web else None
            self._wrong((*path, "web"), "each forge once", entry.web, hint)
        return Forge(web, api) if web and api else None

    def _credential(self, path: Path, value: Data) -> Credential | None:
        if (entry := self._decode(CredentialEntry, path, value)) is None:
            return None
        name = self._take(read_credential_name, str(path[-1]), path)
        sources = self._take_all(read_source, entry.sources, (*path, "from"))
        hosts = self._take_all(read_host, entry.hosts, (*path, "hosts"))
        return Credential(name, tuple(sources), frozenset(hosts)) if name and sources and hosts else None

    def _rule(self, path: Path, value: Data) -> Rule | None:
        if (entry := self._decode(RuleEntry, path, value)) is None:
            return None
        pattern = self._take(Pattern.parse, entry.match, (*path, "match"))
        action = self._action(path, entry, pattern)
        credential = self._credentials.get(entry.credential)
        if entry.credential not in self._credentials:
            hint = nearest(entry.credential, self._credentials) or "describe it under `credentials:`"
            self._wrong((*path, "credential"), "the name of a credential", entry.credential, hint)
        if pattern and credential and pattern.host not in credential.hosts:
            expected = f"a credential whose hosts include `{pattern.host}`"
            hint = f"credential `{credential.name}` may not be sent to `{pattern.host}` unless its `hosts:` name it"
            self._wrong((*path, "credential"), expected, entry.credential, hint)
        if not (pattern and action and credential):
            return None
        return Rule(str(pattern) if entry.name is UNSET else entry.name, pattern, action, credential)

    def _action(self, path: Path, entry: RuleEntry, pattern: Pattern | None) -> Action | None:
        if entry.when is not UNSET and entry.resolve is UNSET:
            hint = "headers are always injected"
            self._wrong((*path, "when"), "`when` beside `resolve` alone", entry.when, hint)
        if entry.headers is not UNSET and entry.resolve is UNSET:
            return self._headers((*path, "headers"), entry.headers)
        if entry.headers is not UNSET or entry.resolve is UNSET:
            got = "neither" if entry.resolve is UNSET else "both"
            self._problems.append(self._document.problem(path, "either `resolve` or `headers`", got))
            return None
        forge = self._forges.get(pattern.host) if pattern else None
        if pattern and not forge and self._forges_complete:
            hint = f"add `{pattern.host}` under `forges:`, with the address of its API"
            self._wrong((*path, "match"), "the host of a forge", entry.match, hint)
        # a pattern that leaves the owner open meets more public repositories than private ones
        anonymous_first = pattern is not None and "*" in pattern.path.split("/")[1]
        if entry.when is not UNSET:
            anonymous_first = entry.when == "not-found"
        return ResolveRelease(forge, anonymous_first) if forge else None

    def _headers(self, path: Path, headers: Mapping[str, str]) -> InjectHeaders:
        pairs: list[tuple[str, Template]] = []
        seen: set[str] = set()
        for key, text in headers.items():
            name = self._take(read_header_name, key, (*path, key))
            template = self._take(Template.parse, text, (*path, key))
            if key.lower() in seen:
                self._wrong((*path, key), "each header once", key, "case makes no difference in a header's name")
            seen.add(key.lower())
            if name and template:
                pairs.append((name, template))
        return InjectHeaders(tuple(pairs))

    def _entries(self, key: str) -> list[tuple[Path, Data]]:
        data = self._document.data
        match data.get(key) if isinstance(data, dict) else None:
            case list() as items:
                return [((key, index), item) for index, item in enumerate(items)]
            case dict() as entries:
                return [((key, name), entry) for name, entry in entries.items()]
            case _:
                return []

    def _decode[T](self, kind: type[T], path: Path, value: Data) -> T | None:
        """An entry in its type, unless something is wrong with the shape of it, or of what it lies in."""
        if any(path[: len(fault)] == fault[: len(path)] for fault in self._faulty):
            return None
        return msgspec.convert(value, kind, strict=True)

    def _take[T](self, reader: Callable[[str], T], text: str, path: Path) -> T | None:
        try:
            return reader(text)
        except UnfitError as unfit:
            self._wrong(path, unfit.expected, text, unfit.hint)
            return None

    def _take_all[T](self, reader: Callable[[str], T], texts: Iterable[str], path: Path) -> list[T] | None:
        taken = [self._take(reader, text, (*path, index)) for index, text in enumerate(texts)]
        values = [value for value in taken if value is not None]
        return values if len(values) == len(taken) else None

    def _wrong(self, path: Path, expected: str, value: Data, hint: str | None) -> None:
        self._problems.append(self._document.wrong(path, expected, value, hint))
