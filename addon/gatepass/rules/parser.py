"""rules.yaml to `Rules`: each entry read, and all that is wrong with the file found.

Pure: text goes in, frozen values come out. Which file is read is for `gatepass.rules.locate`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path as PathOfFile
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gatepass.forge import hosts, urls
from gatepass.forge.hosts import GITHUB, Forge, Host
from gatepass.rules import access_parser, index_parser, values
from gatepass.rules.model import (
    DOWNLOADS,
    GIT_METHODS,
    Action,
    CallApi,
    Credential,
    Header,
    InjectHeaders,
    Kept,
    Placeholder,
    ResolveRelease,
    ResolveSource,
    Rule,
    Rules,
    ServeGit,
    SharedCache,
)
from gatepass.rules.reader import Reader, value_of, values_of
from gatepass.rules.shape import CacheEntry, CredentialEntry, ForgeEntry, RuleEntry, SharedEntry, SourceEntry
from gatepass.rules.values import Pattern, Template
from gatepass.rules.yaml_source import Data, Path, RulesError, nearest
from gatepass.sources import DEFAULT_TTL, Command, Default, Gh, Git, GitHubApp, Netrc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.rules.model import GraphQL, OnExisting
    from gatepass.sources import Source


def parse(text: str, source: str = "rules.yaml", folder: PathOfFile = PathOfFile()) -> Rules:
    """Read the text of a rules file; `source` is its name in errors, `folder` where the files are that it names.

    Raises:
        RulesError: with all that is wrong; but what is no YAML, or uses more of YAML than is allowed, is said first.
    """
    return _Parser(text, source, folder).rules()


class _Parser(Reader):
    """Reads entry by entry; what is wrong is noted and becomes None, so that the rest is read too."""

    def __init__(self, text: str, source: str, folder: PathOfFile) -> None:
        super().__init__(text, source)
        self._folder = folder
        self._forges = {GITHUB.web: GITHUB}
        self._forges_complete = True
        self._credentials: dict[str, Credential | None] = {}
        self._clients: list[str] = []

    def rules(self) -> Rules:
        self._read_forges()
        # only now is it known which hosts belong to forges
        for path, value in self.entries("credentials"):
            self._credentials[str(path[-1])] = self._credential(path, value)
        access = access_parser.access(self, self._folder, self._any_source)
        self._clients = [str(path[-1]) for path, _ in self.entries("clients")]
        rules = [self._rule(path, value) for path, value in self.entries("rules")]
        indexes = index_parser.indexes(self, self._forge_of_index, self._named, self._expect_clients)
        shared = self._shared()
        if self.problems:
            raise RulesError(self.source, self.problems)
        return Rules(
            source=self.source,
            forges=tuple(self._forges.values()),
            credentials=tuple(credential for credential in self._credentials.values() if credential),
            rules=tuple(rule for rule in rules if rule),
            cache=msgspec.convert(self.data.get("cache", {}), CacheEntry, strict=True),
            access=access,
            indexes=indexes,
            shared=shared,
        )

    # ----------------------------------------------------------------- cache

    def _shared(self) -> SharedCache | None:
        path: Path = ("cache", "shared")
        cache = self.data.get("cache")
        if not isinstance(cache, dict) or "shared" not in cache:
            return None
        if (entry := self.decode(SharedEntry, path, cache["shared"])) is None:
            return None
        several = [entry.key] if isinstance(entry.key, str) else entry.key
        places: list[Path] = [(*path, "key")]
        if not isinstance(entry.key, str):
            places = [(*path, "key", index) for index in range(len(several))]
        for index, text in enumerate(several):
            if text in several[:index]:
                self.wrong(places[index], "each key once", text)
        keys = [self._kept(place, text) for place, text in zip(places, several, strict=True)]
        password = None if entry.password is UNSET else self._kept((*path, "password"), entry.password)
        store = value_of(values.read_store, entry.url)
        if store is not None and entry.user is not UNSET:
            store = replace(store, user=value_of(values.read_store_user, entry.user))
            if password is None:
                self.wrong((*path, "user"), "`user` beside `password`", entry.user, "a user has a password")
        found = tuple(key for key in keys if key)
        return SharedCache(store, found, password) if store and len(found) == len(keys) else None

    def _kept(self, path: Path, text: str) -> Kept | None:
        source = value_of(values.read_kept_source, text)
        return Kept(source, self.place(path)) if source else None

    # ---------------------------------------------------------------- forges

    def _read_forges(self) -> None:
        declared: set[Host] = set()
        for path, value in self.entries("forges"):
            forge = self._forge(path, value)
            if forge is None:
                self._forges_complete = False
                continue
            if forge.web in declared:
                self.wrong((*path, "web"), "each forge once", str(forge.web))
            declared.add(forge.web)
            self._forges[forge.web] = forge

    def _forge(self, path: Path, value: Data) -> Forge | None:
        if (entry := self.decode(ForgeEntry, path, value)) is None:
            return None
        web, assets = value_of(values.read_host, entry.web), values_of(values.read_host, entry.assets)
        api = None if entry.api is UNSET else value_of(values.read_api, entry.api)
        if web is None or assets is None or (api is None and entry.api is not UNSET):
            return None
        known = hosts.known(web)
        if known is None and hosts.is_githubs_own(web):
            hint = "github.com and SUBDOMAIN.ghe.com are known by themselves; gh takes any name below for the same"
            self.wrong((*path, "web"), "a GitHub of your own", entry.web, hint)
            return None
        if known is not None and entry.api is not UNSET:
            hint = f"the API of `{web}` is known: leave `api` out, and the entry too unless it names `assets`"
            self.wrong((*path, "api"), "no `api` of a built-in forge", entry.api, hint)
            return None
        forge = known or (Forge(web, api) if api else hosts.enterprise_server(web))
        if taken := [index for index, asset in enumerate(assets) if asset in (forge.web, forge.api_host)]:
            for index in taken:
                hint = "an asset host gets no credential, and this one does"
                self.wrong((*path, "assets", index), "another host than web and API", entry.assets[index], hint)
            return None
        return replace(forge, assets=tuple(dict.fromkeys((*forge.assets, *assets))))

    def _forge_at(self, host: Host) -> Forge | None:
        """The forge with that web host."""
        if host not in self._forges and (known := hosts.known(host)):
            self._forges[host] = known
        return self._forges.get(host)

    def _forge_of(self, host: Host) -> Forge | None:
        """The forge whose web or API host it is."""
        return self._forge_at(host) or next((forge for forge in self._forges.values() if forge.api_host == host), None)

    def _check_no_asset_host(self, path: Path, host: Host, text: str) -> None:
        if any(host.covers(asset) for forge in self._forges.values() for asset in forge.assets):
            hint = "signed URLs need no credential, and refuse one"
            self.wrong(path, "a host that is no asset host", text, hint)

    # ----------------------------------------------------------- credentials

    def _credential(self, path: Path, value: Data) -> Credential | None:
        if (entry := self.decode(CredentialEntry, path, value)) is None:
            return None
        name, hosts = value_of(values.read_credential_name, str(path[-1])), values_of(values.read_hosts, entry.hosts)
        found = [self._any_source((*path, "from", index), source) for index, source in enumerate(entry.sources)]
        for index, host in enumerate(hosts or ()):
            self._check_no_asset_host((*path, "hosts", index), host, entry.hosts[index])
        if hosts is None:
            return None
        for index, source in enumerate(found):
            if isinstance(source, GitHubApp | Gh | Default) and self._forges_complete:
                self._check_forges((*path, "from", index), source, hosts)
            if isinstance(source, Git | Netrc) and (several := [str(host) for host in hosts if host.is_pattern]):
                hint = "it has a secret for each host: name them, for a client could ask it for any"
                self.report((*path, "from", index), f"hosts without `*` beside `{source}`", f"`{several[0]}`", hint)
        sources = tuple(source for source in found if source)
        return Credential(name, sources, frozenset(hosts)) if name and len(sources) == len(found) else None

    def _any_source(self, path: Path, entry: str | SourceEntry) -> Source | None:
        if isinstance(entry, str):
            return value_of(values.read_source, entry)
        if (entry.command is UNSET) == (entry.github_app is UNSET):
            self.report(path, "either `command` or `github-app`", "neither" if entry.command is UNSET else "both")
            return None
        if entry.command is not UNSET:
            first = entry.command[0]
            if not first:
                self.wrong((*path, "command", 0), "the name of a program", first)
            elif " " in first and len(entry.command) == 1 and not first.startswith(("/", "~")):
                hint = "one word an entry, as no shell takes them apart: `[op, read, …]`"
                self.wrong((*path, "command", 0), "the name of a program", first, hint)
            return Command(tuple(entry.command), DEFAULT_TTL if entry.ttl is UNSET else entry.ttl)
        if entry.ttl is not UNSET:
            hint = "the App's tokens say themselves when they end"
            self.wrong((*path, "ttl"), "`ttl` beside `command` alone", entry.ttl, hint)
        assert entry.github_app is not UNSET
        app = entry.github_app
        if app.owner is not UNSET and app.installation is not UNSET:
            place = (*path, "github-app", "owner")
            self.wrong(place, "either `installation` or `owner`", app.owner, "the number says it all")
        identity, key = value_of(values.read_app_id, str(app.id)), value_of(values.read_key_source, app.key)
        owner = None if app.owner is UNSET else value_of(values.read_owner, app.owner)
        if not (identity and key):
            return None
        return GitHubApp(identity, key, None if app.installation is UNSET else app.installation, owner)

    def _check_forges(self, path: Path, source: Source, hosts: Iterable[Host]) -> None:
        """What a forge alone can be asked for has no meaning at another host."""
        found = {host: self._forge_of(host) for host in hosts}
        strangers = [str(host) for host, forge in found.items() if forge is None]
        if strangers:
            hint = "make a credential of its own for the other, or name it under `forges:`"
            self.report(path, f"hosts of forges alone beside `{source}`", f"`{strangers[0]}`", hint)
        elif isinstance(source, GitHubApp) and len({forge.web for forge in found.values() if forge}) > 1:
            hint = "an App belongs to one forge: make a credential of its own for the other"
            self.report(path, f"one forge beside `{source}`", "several", hint)

    # ----------------------------------------------------------------- rules

    def _rule(self, path: Path, value: Data) -> Rule | None:
        if (entry := self.decode(RuleEntry, path, value)) is None:
            return None
        pattern = value_of(Pattern.parse, entry.match)
        if pattern:
            self._check_no_asset_host((*path, "match"), pattern.host, entry.match)
        action = self._action(path, entry, pattern)
        credentials = self._chosen((*path, "credential"), entry, pattern)
        self._check_token((*path, "graphql"), action, credentials or ())
        methods = GIT_METHODS if isinstance(action, ServeGit) else DOWNLOADS
        methods = methods if entry.methods is UNSET else frozenset(values_of(values.read_method, entry.methods) or ())
        clients = () if entry.clients is UNSET else self._expect_clients((*path, "clients"), entry.clients)
        if not (pattern and action and credentials is not None):
            return None
        name = str(pattern) if entry.name is UNSET else entry.name
        variables = () if not isinstance(entry.placeholder, list) else tuple(dict.fromkeys(entry.placeholder))
        return Rule(name, pattern, action, credentials, methods, clients, variables)

    def _check_token(self, path: Path, action: Action | None, credentials: Iterable[Credential]) -> None:
        """A query names what it likes: only GitHub itself can hold one to a repository, by an App's token."""
        if not isinstance(action, CallApi) or not isinstance(action.graphql, frozenset):
            return
        for credential in credentials:
            for source in credential.sources:
                if not isinstance(source, GitHubApp):
                    hint = "another token's queries reach all that it sees: `graphql: any` is your own word for that"
                    self.report(path, "credentials of GitHub Apps alone beside it", f"`{source}`", hint)

    def _expect_clients(self, path: Path, names: Iterable[str]) -> tuple[str, ...]:
        """The clients of these names, which the file describes."""
        for index, client in enumerate(names):
            if client not in self._clients:
                hint = nearest(client, self._clients) or "describe it under `clients:`"
                self.wrong((*path, index), "the name of a client", client, hint)
        return tuple(dict.fromkeys(names))

    def _forge_of_index(self, path: Path, host: Host, text: str) -> Forge | None:
        forge = self._forge_at(host)
        if forge is None and self._forges_complete:
            self.wrong(path, "the host of a forge", text, f"add `{host}` under `forges:`: `- web: {host}`")
        return forge

    def _chosen(self, path: Path, entry: RuleEntry, pattern: Pattern | None) -> tuple[Credential, ...] | None:
        """The credentials that the rule names; None when one of them is not to be had."""
        if entry.credential is UNSET:
            if entry.headers is UNSET:
                self.report(path, "the name of a credential", "nothing")
            return ()
        names = entry.credential
        places = [(path, names)] if isinstance(names, str) else [((*path, nth), name) for nth, name in enumerate(names)]
        if entry.headers is not UNSET and len(places) > 1:
            hint = "no answer tells which of them a header should have: list the sources under one credential"
            self.report(path, "one credential beside `headers`", "several", hint)
        if entry.resolve in ("github-git", "github-api") and len(places) > 1:
            hint = "write a rule for each owner, or list the sources under one credential"
            self.report(path, f"one credential beside `{entry.resolve}`", "several", hint)
        at = pattern.host if pattern else None
        if at and entry.resolve in ("github-source", "github-api"):
            # the API gets the secret, wherever the file was asked for
            at = next((forge.web for forge in self._forges.values() if at in (forge.raw, forge.api_host)), at)
        chosen: list[Credential] = []
        for place, name in places:
            credential = self._named(place, name, at)
            if credential in chosen:
                self.wrong(place, "each credential once", name)
            elif credential:
                chosen.append(credential)
        return tuple(chosen) if len(chosen) == len(places) else None

    def _named(self, path: Path, name: str, at: Host | None) -> Credential | None:
        """The credential of that name, which may be sent to the host."""
        if name not in self._credentials:
            hint = nearest(name, self._credentials) or "describe it under `credentials:`"
            self.wrong(path, "the name of a credential", name, hint)
        credential = self._credentials.get(name)
        if at and credential and not any(host.covers(at) for host in credential.hosts):
            expected = f"a credential whose hosts include `{at}`"
            hint = f"credential `{credential.name}` may not be sent to `{at}` unless its `hosts:` name it"
            self.wrong(path, expected, name, hint)
        return credential

    def _action(self, path: Path, entry: RuleEntry, pattern: Pattern | None) -> Action | None:
        if (entry.headers is UNSET) == (entry.resolve is UNSET):
            self.report(path, "either `resolve` or `headers`", "neither" if entry.resolve is UNSET else "both")
            return None
        if entry.headers is not UNSET:
            if entry.when is not UNSET:
                self.wrong((*path, "when"), "`when` beside `resolve` alone", entry.when, "headers are always injected")
            if entry.require is not UNSET:
                hint = "only a release's assets have a digest"
                self.report((*path, "require"), "`require` beside `resolve` alone", "`headers`", hint)
            if entry.push is not UNSET:
                hint = "for a rule with headers say `methods`"
                self.report((*path, "push"), "`push` beside `resolve: github-git` alone", "`headers`", hint)
            self._expect_api(path, entry, "`headers`")
            return self._headers(path, entry, entry.headers, pattern)
        if entry.resolve == "github-api":
            return self._api(path, entry, pattern)
        self._expect_api(path, entry, f"`{entry.resolve}`")
        is_git = entry.resolve == "github-git"
        for key in ("methods", "on_existing", "placeholder", "drop_response_headers"):
            is_for_git = key == "on_existing" or (key == "placeholder" and isinstance(entry.placeholder, list))
            if getattr(entry, key) is not UNSET and not (is_git and is_for_git):
                hint = "a release asset is downloaded by GET and HEAD, and gets headers of its own"
                if is_git:
                    hint = "git asks by GET and POST, and gets Basic"
                self.report((*path, key), f"`{key}` beside `headers` alone", "`resolve`", hint)
        if entry.push is not UNSET and not is_git:
            hint = "nothing else is pushed: leave it out"
            self.report((*path, "push"), "`push` beside `resolve: github-git` alone", f"`{entry.resolve}`", hint)
        forge = self._forge_at(pattern.host) if pattern else None
        if pattern and entry.resolve == "github-source":
            forge = forge or next((forge for forge in self._forges.values() if forge.raw == pattern.host), None)
        if pattern and not forge and self._forges_complete:
            hint = f"add `{pattern.host}` under `forges:`: `- web: {pattern.host}`"
            if pattern.host.is_pattern:
                hint = "write one rule for each forge: each has an API of its own"
            self.wrong((*path, "match"), "the host of a forge", entry.match, hint)
        # a pattern that leaves the owner open meets more public repositories than private ones
        anonymous_first = pattern is not None and "*" in pattern.path.split("/")[1]
        if entry.when is not UNSET:
            anonymous_first = entry.when == "not-found"
        if entry.require is not UNSET and entry.resolve != "github-release":
            hint = "only a release's assets have a digest"
            place = (*path, "require")
            self.report(place, "`require` beside `resolve: github-release` alone", f"`{entry.resolve}`", hint)
        if is_git:
            return self._git(path, entry, forge)
        if entry.resolve == "github-source":
            return ResolveSource(forge, anonymous_first) if forge else None
        require = frozenset(() if entry.require is UNSET else entry.require)
        if require and entry.when == "not-found":
            hint = "nobody tells the digest of what anybody may have: leave `when` out"
            self.wrong((*path, "when"), "`always` beside `require`", entry.when, hint)
        return ResolveRelease(forge, anonymous_first and not require, require) if forge else None

    def _expect_api(self, path: Path, entry: RuleEntry, got: str) -> None:
        for key in ("access", "graphql", "also", "permissions"):
            if getattr(entry, key) is not UNSET:
                self.report((*path, key), f"`{key}` beside `resolve: github-api` alone", got)

    def _api(self, path: Path, entry: RuleEntry, pattern: Pattern | None) -> CallApi | None:
        for key in ("when", "require", "push", "methods", "on_existing", "drop_response_headers"):
            if getattr(entry, key) is not UNSET:
                hint = "`access` says what may be done" if key == "methods" else None
                self.report((*path, key), f"no `{key}` beside `resolve: github-api`", "one", hint)
        if isinstance(entry.placeholder, str):
            hint = "its value is made at each start: `placeholder: [GH_TOKEN]`"
            self.report((*path, "placeholder"), "names of variables", "a text", hint)
        if pattern is None:
            return None
        forge = next((each for each in self._forges.values() if each.api_host == pattern.host), None)
        forge = forge or self._forge_at(hosts.web_of_api(pattern.host))
        prefix = "" if forge is None else forge.api_prefix
        found = re.fullmatch(rf"{re.escape(prefix)}/repos/([^/*]+)/([^/*]*\*?)/?", pattern.path)
        if forge is None and self._forges_complete:
            hint = "that of github.com is `api.github.com`; add another GitHub under `forges:`"
            self.wrong((*path, "match"), "the API host of a forge", entry.match, hint)
        elif found is None or urls.named(found[1], found[2].replace("*", "x")) is None:
            hint = f"as in `{pattern.host}{prefix}/repos/acme/widget`, or `…/acme/*` for all of an owner's"
            self.wrong((*path, "match"), f"HOST{prefix}/repos/OWNER/REPO", entry.match, hint)
        if forge is None or found is None:
            return None
        said = "read" if entry.access is UNSET else entry.access
        access = said if isinstance(said, str) else tuple(values_of(values.read_allowed, said) or ())
        graphql: GraphQL = frozenset()
        if entry.graphql is UNSET or entry.graphql in ("none", "any"):
            graphql = "none" if entry.graphql is UNSET or entry.graphql == "none" else "any"
        elif isinstance(entry.graphql, list):
            graphql = frozenset(entry.graphql)
        if isinstance(graphql, frozenset) and found[2].endswith("*") and found[2] != "*":
            hint = "no token can be held to names that begin so: write a rule for each, or `OWNER/*`"
            self.report((*path, "graphql"), "`none` or `any` beside such a `match`", f"`{entry.match}`", hint)
        permissions = None if entry.permissions is UNSET else tuple(sorted(entry.permissions.items()))
        also = frozenset() if entry.also is UNSET else frozenset(entry.also)
        return CallApi(forge, found[1], found[2], access, graphql, also, permissions)

    def _git(self, path: Path, entry: RuleEntry, forge: Forge | None) -> ServeGit | None:
        word = "replace" if entry.on_existing is UNSET else entry.on_existing
        if not isinstance(word, str) or word == "placeholder":
            hint = "git sends one header: `keep` lets what it sends stand"
            got = "`placeholder`" if isinstance(word, str) else "a mapping"
            self.report((*path, "on_existing"), "`replace`, `keep` or `refuse` beside `github-git`", got, hint)
            return None
        # what anybody may read needs no secret, whoever's it is
        return ServeGit(forge, entry.when != "always", entry.push is True, word) if forge else None

    def _headers(
        self, path: Path, entry: RuleEntry, headers: dict[str, str], pattern: Pattern | None
    ) -> InjectHeaders | None:
        found: list[Header] = []
        on_existing = self._on_existing(path, entry, headers)
        seen: set[str] = set()
        for key, text in headers.items():
            place = (*path, "headers", key)
            name, template = value_of(values.read_header_name, key), value_of(Template.parse, text)
            if key.lower() in seen:
                self.wrong(place, "each header once", key, "case makes no difference in a header's name")
            seen.add(key.lower())
            if template and template.needs_secret and entry.credential is UNSET:
                hint = "name the credential whose secret it is: `credential: NAME`"
                self.wrong(place, "a rule with a `credential` for its placeholder", text, hint)
            if template and not template.needs_secret and isinstance(on_existing.get(key), Placeholder):
                hint = "give it another `on_existing` by its name: `on_existing: {NAME: replace, …}`"
                self.wrong(place, "a header that holds the credential, for `on_existing: placeholder`", text, hint)
            if name and template:
                found.append(Header(name, template, on_existing.get(key, "replace")))
        if len(found) < len(headers):
            return None
        if entry.credential is not UNSET and not any(header.template.needs_secret for header in found):
            hint = "write `{credential}` or `{basic:USER}` where the secret goes, or leave the credential out"
            self.report((*path, "credential"), "a header that holds the credential", "none", hint)
        dropped = () if entry.drop_response_headers is UNSET else entry.drop_response_headers
        return InjectHeaders(
            tuple(found),
            frozenset(name.lower() for name in values_of(values.read_dropped_header, dropped) or ()),
            self._forge_of(pattern.host) if pattern else None,
        )

    def _on_existing(self, path: Path, entry: RuleEntry, headers: Iterable[str]) -> dict[str, OnExisting]:
        """What is said of each header, by its name as `headers` writes it."""
        place, said = (*path, "on_existing"), {} if entry.on_existing is UNSET else entry.on_existing
        if isinstance(said, str):
            said = dict.fromkeys(headers, said)
        written, named = {header.lower(): header for header in headers}, set[str]()
        for name in said:
            if name.lower() not in written:
                self.report((*place, name), "a header that the rule sets", f"`{name}`", nearest(name, headers))
            elif name.lower() in named:
                self.report((*place, name), "each header once", f"`{name}`")
            named.add(name.lower())
        if entry.placeholder is UNSET and "placeholder" in said.values():
            hint = "name what clients send in the secret's place: `placeholder: TEXT`"
            self.report(place, "`placeholder` beside `on_existing: placeholder`", "none", hint)
        if entry.placeholder is not UNSET and "placeholder" not in said.values():
            self.report((*path, "placeholder"), "`on_existing: placeholder` beside `placeholder`", "none")
        text = entry.placeholder if isinstance(entry.placeholder, str) else None
        return {
            written.get(name.lower(), name): Placeholder(text) if word == "placeholder" else word
            for name, word in said.items()
        }
