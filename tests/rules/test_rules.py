"""rules.yaml: what it may say, what it means, and how its errors read."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge import urls
from gatepass.forge.hosts import GITHUB, Forge, Host
from gatepass.rules.model import Credential, Header, InjectHeaders, ResolveRelease, ResolveSource, ServeGit
from gatepass.rules.parser import parse
from gatepass.rules.shape import CacheEntry
from gatepass.rules.values import Pattern, Template
from gatepass.rules.yaml_source import RuleProblem, RulesError
from gatepass.sources import Default, Env, File

GITHUB_WEB = Host("github.com")
TOKEN = "ghp_" + "Zq7" * 12

FULL = """\
version: 1
forges:
  - web: ghe.example.com:8443
    api: https://ghe.example.com:8443/api/v3/
credentials:
  github:
    from: [env:GH_TOKEN, env:GITHUB_TOKEN]
    hosts: [github.com]
  ours:
    from: [env:OURS]
    hosts: [ghe.example.com:8443, store.example.com]
rules:
  - name: releases
    match: github.com/*/releases/download/*
    resolve: github-release
    credential: github
  - match: ghe.example.com:8443/*/releases/download/*
    resolve: github-release
    credential: ours
  - match: store.example.com/private/*
    headers:
      Authorization: Bearer {credential}
      X-Kind: literal
    credential: ours
"""


def with_change(old: str, new: str) -> str:
    """The full example with one place changed."""
    assert FULL.count(old) == 1, old
    return FULL.replace(old, new)


def problems(text: str) -> tuple[RuleProblem, ...]:
    """What is wrong with a text that must be wrong."""
    with pytest.raises(RulesError) as caught:
        parse(text)
    assert caught.value.problems
    return caught.value.problems


def error_of(text: str) -> RulesError | None:
    """What is wrong with a text, if anything."""
    try:
        parse(text)
    except RulesError as error:
        return error
    return None


# --- meaning


def test_full_example_means_what_it_says() -> None:
    """Every key of the format arrives in its type, and nothing else does."""
    rules = parse(FULL)
    ghe = Forge(Host("ghe.example.com", 8443), "https://ghe.example.com:8443/api/v3")
    store = Host("store.example.com")
    github = Credential("github", (Env("GH_TOKEN"), Env("GITHUB_TOKEN")), frozenset({GITHUB_WEB}))
    ours = Credential("ours", (Env("OURS"),), frozenset({ghe.web, store}))
    assert rules.source == "rules.yaml"
    assert rules.forges == (GITHUB, ghe)
    assert rules.credentials == (github, ours)
    assert rules.hosts == {GITHUB_WEB, ghe.web, store}
    assert [rule.name for rule in rules.rules] == [
        "releases",
        "ghe.example.com:8443/*/releases/download/*",
        "store.example.com/private/*",
    ]
    assert [rule.action for rule in rules.rules] == [
        ResolveRelease(GITHUB, anonymous_first=True),
        ResolveRelease(ghe, anonymous_first=True),
        InjectHeaders(
            (
                Header("Authorization", Template("Bearer {credential}")),
                Header("X-Kind", Template("literal")),
            )
        ),
    ]
    assert [rule.credentials for rule in rules.rules] == [(github,), (ours,), (ours,)]


@pytest.mark.parametrize(
    ("match", "when", "anonymous_first"),
    [
        ("github.com/*/releases/download/*", "", True),
        ("github.com/ac*/releases/download/*", "", True),
        ("github.com/acme/*/releases/download/*", "", False),
        ("github.com/*/releases/download/*", "when: always", False),
        ("github.com/acme/*/releases/download/*", "when: not-found", True),
    ],
)
def test_when(match: str, when: str, anonymous_first: bool) -> None:
    """A pattern that leaves the owner open asks anonymously first, one that names it does not, and `when` says else."""
    text = re.sub(r"^    match: github.com/.*$", f"    match: {match}\n    {when}", FULL, flags=re.MULTILINE)
    assert parse(text).rules[0].action == ResolveRelease(GITHUB, anonymous_first)


def test_cache() -> None:
    """The cache's sizes and lifetimes have defaults, and each may be set."""
    assert parse(FULL).cache == CacheEntry()
    assert parse(f"{FULL}\ncache: {{latest: 0, entries: 9}}\n").cache == CacheEntry(entries=9, latest=0)


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("entries: 0", "cache.entries: expected a whole number from 1 to 1000000, got `0`"),
        ("tags: 1.5", "cache.tags: expected a whole number from 0 to 86400, got `1.5`"),
        ("latest: true", "cache.latest: expected a whole number from 0 to 86400, got `true`"),
        ("missing: -1", "cache.missing: expected a whole number from 0 to 86400, got `-1`"),
        ("tag: 1", "did you mean `tags`?"),
    ],
)
def test_wrong_cache(cache: str, expected: str) -> None:
    """A lifetime that is none is an error with its bounds."""
    assert expected in str(error_of(f"{FULL}\ncache: {{{cache}}}\n"))


SHARED = 'cache: {{shared: {{url: "{url}", key: {key}}}}}\n'


def test_shared_cache() -> None:
    """What replicas share by has a place, a key or several, perhaps a password, and their places in the file."""
    text = FULL + SHARED.format(
        url="rediss://cache.test:7/2", key="[env:NEW, file:/run/old], password: env:PW, user: me"
    )
    shared = parse(text).shared
    assert shared is not None
    assert shared.store.user == "me"
    assert str(shared.store) == "rediss://cache.test:7/2"
    assert [key.source for key in shared.keys] == [Env("NEW"), File("/run/old")]
    assert shared.keys[1].place.endswith(": cache.shared.key[1]")
    assert parse(text).variables >= {"NEW", "PW"}
    assert Path("/run/old") in parse(text).files
    assert parse(FULL).shared is None
    assert str(parse(FULL + SHARED.format(url="redis://[::1]", key="env:A")).shared.store) == "redis://[::1]:6379/0"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        (
            "http://a:1",
            "env:A",
            "cache.shared.url: expected `redis://HOST:PORT/DATABASE`, or `rediss://…` with",
        ),
        ("redis://a/x", "env:A", "cache.shared.url: expected `redis://HOST:PORT/DATABASE`"),
        ("redis://a:99999/0", "env:A", "cache.shared.url: expected `redis://HOST:PORT/DATABASE`"),
        ("redis://a/0?ssl_cert_reqs=none", "env:A", "cache.shared.url: expected `redis://HOST:PORT/DATABASE`"),
        ("redis:///0", "env:A", "cache.shared.url: expected `redis://HOST:PORT/DATABASE`"),
        ("redis://u:hunter2@a/0", "env:A", "cache.shared.url: expected a file without secrets"),
        ("redis://a", "env:A, user: me", "cache.shared.user: expected `user` beside `password`, got `me`"),
        ("redis://a", "gh", "cache.shared.key: expected `file:PATH`, `systemd:NAME` or `env:NAME`"),
        ("redis://a", "file:x", "cache.shared.key: expected `file:PATH` with an absolute path"),
        ("redis://a", "[]", "cache.shared.key: expected at least one entry, got none"),
        ("redis://a", "[env:A, env:A]", "cache.shared.key[1]: expected each key once, got `env:A`"),
        ("redis://a", "env:A, pass: x", "hint: did you mean `password`?"),
        (
            "redis://a",
            "env:A, password: hunter2",
            "cache.shared.password: expected `file:PATH`, `systemd:NAME` or `env:NAME`",
        ),
    ],
)
def test_wrong_shared_cache(url: str, key: str, expected: str) -> None:
    """What is wrong with it is told at its place; a password that stands there is not shown."""
    told = str(error_of(FULL + SHARED.format(url=url, key=key)))
    assert expected in told
    assert "hunter2" not in told


def test_a_shared_cache_needs_both() -> None:
    """Without an address, or without a key, nothing is shared: both are wanted."""
    for there, missing in (("url: redis://a", "key"), ("key: env:A", "url")):
        text = f"{FULL}cache: {{shared: {{{there}}}}}\n"
        assert f"cache.shared.{missing}: expected text" in str(error_of(text))


def test_when_beside_headers() -> None:
    """`when` has no meaning for headers, which are always injected: it is an error there."""
    text = re.sub(r"^    headers:", "    when: always\n    headers:", FULL, flags=re.MULTILINE)
    assert "rules[2].when: expected `when` beside `resolve` alone" in str(error_of(text))


def test_repository_rules_are_the_documented_defaults() -> None:
    """The repository's rules.yaml is valid, and serves releases, their lists and sources of github.com, and no git."""
    rules = parse((Path(__file__).parents[2] / "rules.yaml").read_text(encoding="utf-8"))
    assert [str(rule.match) for rule in rules.rules] == [
        "github.com/*/releases/download/*",
        "github.com/*/releases/latest*",
        "github.com/*/releases/expanded_assets/*",
        "github.com/*",
        "raw.githubusercontent.com/*",
    ]
    assert {rule.action for rule in rules.rules} == {
        ResolveRelease(GITHUB, anonymous_first=True),
        ResolveSource(GITHUB, anonymous_first=True),
    }
    assert [credential.sources for credential in rules.credentials] == [(Default(),)]


def test_examples_in_the_comments_are_valid() -> None:
    """What the repository's rules.yaml has commented out works when the comment marks are taken away."""
    text = (Path(__file__).parents[2] / "rules.yaml").read_text(encoding="utf-8")
    keys = (
        r"forges:|  - web:|    api:|  artifacts:|    from:|    hosts:|- match:|  headers:|  credential:|  on_existing:|"
        r"  resolve:"
    )
    text = re.sub(rf"^# ?(?=(?:{keys}))", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(- match|  headers|  credential|  on_existing|  resolve)", r"  \1", text, flags=re.MULTILINE)
    rules = parse(text)
    assert len(rules.forges) == 2
    assert len(rules.credentials) == 2
    assert rules.rules[-2].action == ServeGit(GITHUB)
    assert isinstance(rules.rules[-1].action, InjectHeaders)
    assert [header.on_existing for header in rules.rules[-1].action.headers] == ["keep"]


def test_first_match_wins() -> None:
    """Of two rules that match, the earlier one is applied."""
    rules = parse(with_change("  - name: releases", "  - {match: github.com/acme/*, resolve: github-release, "
                              "credential: github, name: first}\n  - name: releases"))  # fmt: skip
    first = rules.match(GITHUB_WEB, "/acme/tool/releases/download/v1/a.whl")
    other = rules.match(GITHUB_WEB, "/other/tool/releases/download/v1/a.whl")
    assert first is not None
    assert first.name == "first"
    assert other is not None
    assert other.name == "releases"


@pytest.mark.parametrize(
    "path",
    [
        "/private/../public",
        "/private/..",
        "/private/./x",
        "/private/%2e%2E/public",
        "/private/.%2e/public",
        "/private/..%2fpublic",
        "/private/x%5c..%5cpublic",
        "/private/..;/public",
        "/private/..#",
        "/private/x#y",
    ],
)
def test_dot_segments_match_nothing(path: str) -> None:
    """A path that a server may resolve to another one gets no header."""
    rules = parse(FULL)
    assert rules.match(Host("store.example.com"), path) is None


@pytest.mark.parametrize("path", ["/private/v1..v2", "/private/...", "/private/.hidden", "/private/x..", "/private/"])
def test_dots_in_names_do_match(path: str) -> None:
    """Dots that make no dot segment are ordinary characters."""
    assert parse(FULL).match(Host("store.example.com"), path)


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?\Z"), st.integers(1, 65535), st.text())
def test_unlisted_host_is_never_named(name: str, port: int, path: str) -> None:
    """A host that no rule names is not intercepted, and no path on it matches, however like a named one it looks."""
    rules = parse(FULL)
    for host in (Host(name, port), Host(f"github.com.{name}"), Host(f"{name}.github.com"), Host("github.com", port)):
        if host not in rules.hosts:
            assert not rules.names(host)
            assert rules.match(host, path) is None


def test_named_hosts_are_named() -> None:
    """Each host of a rule's pattern is intercepted; a forge's API host is not for that."""
    rules = parse(FULL)
    assert all(rules.names(host) for host in rules.hosts)
    assert not rules.names(GITHUB.api_host)


# --- patterns and templates


@given(st.text("ab/*", max_size=8), st.text("ab/\n", max_size=12))
def test_pattern_equals_its_regular_expression(pattern: str, path: str) -> None:
    """`*` stands for any run of characters, slashes and the empty run included, and both ends are anchored."""
    reference = ".*".join(map(re.escape, f"/{pattern}".split("*")))
    expected = re.fullmatch(reference, f"/{path}", re.DOTALL) is not None
    assert Pattern(GITHUB_WEB, f"/{pattern}").matches(GITHUB_WEB, f"/{path}") is expected


@given(st.text("aAb/*", max_size=6), st.text("aAb/", max_size=6), st.integers(0, 5))
def test_pattern_without_case_in_front(pattern: str, path: str, caseless: int) -> None:
    """Where case makes no difference for so many characters, a path matches when some spelling of these does."""
    spellings = itertools.product(*({letter.lower(), letter.upper()} for letter in path[:caseless]))
    regular = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    expected = any(regular.fullmatch("".join(start) + path[caseless:]) for start in spellings)
    assert Pattern(GITHUB_WEB, pattern).matches(GITHUB_WEB, path, caseless) is expected


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("Acme/*", "/acme/widget/releases/download/v1/x", True),
        ("acme/*", "/ACME/Widget/releases/download/v1/x", True),
        ("acme/WIDGET/releases/download/*", "/acme/Widget/releases/download/v1/x", True),
        ("*/widget/releases/*", "/acme/Widget/releases/download/v1/x", True),
        ("acme/widget*", "/ACME/WIDGET-2/releases/download/v1/x", True),
        ("acme/*", "//Acme//widget/releases/download/v1/x", True),
        ("acme/widget/releases/download/V1/*", "/Acme/widget/releases/download/v1/x", False),
        ("*/V1/*", "/acme/widget/releases/download/v1/x", False),
        ("*/v1/App.zip", "/acme/widget/releases/download/v1/app.zip", False),
        ("acme/*", "/acmee/widget/releases/download/v1/x", False),
        ("acme/*", "/acme", False),
        ("acme/*", "/x/acme/releases/download/v1/x", False),
    ],
)
def test_owner_and_repository_know_no_case(pattern: str, path: str, does: bool) -> None:
    """A forge tells owners and repositories apart whatever their letters' case, tags and files by it; and several
    slashes are one.
    """
    rules = parse(
        f"version: 1\ncredentials: {{c: {{from: [gh], hosts: [github.com]}}}}\n"
        f"rules: [{{match: github.com/{pattern}, resolve: github-release, credential: c}}]"
    )
    assert (rules.match(GITHUB_WEB, path) is not None) is does


def test_other_hosts_tell_paths_apart() -> None:
    """What is no forge's path is compared as it stands."""
    rules = parse(FULL)
    store = Host("store.example.com")
    assert rules.match(store, "/private/x")
    assert rules.match(store, "/Private/x") is None
    assert rules.match(store, "//private/x") is None


def test_letter_case_is_not_slow_on_hostile_paths() -> None:
    """However long a path without owner and repository is, its letters are compared one by one for the first few."""
    for path in ("/" + "a" * 100_000, "/" * 100_000, "a" * 100_000, ""):
        assert urls.repository_end(path) <= min(len(path), 302)


class _Counting(str):
    """A path that counts how often it is searched."""

    __slots__ = ("searches",)
    searches: int

    def find(self, *args: Any) -> int:
        self.searches += 1
        return super().find(*args)


def test_pattern_is_not_slow_on_hostile_paths() -> None:
    """No backtracking: what lies between two stars is looked for once, where a regular expression takes for ever."""
    path = _Counting("/" + "a" * 10_000)
    path.searches = 0
    assert not Pattern(GITHUB_WEB, "/" + "*a" * 40 + "*b*c").matches(GITHUB_WEB, path)
    assert path.searches <= 41


def test_pattern_compares_the_path_by_case_and_the_host_by_port() -> None:
    """A path counts its letters' case, and another port is another host."""
    pattern = Pattern.parse("GitHub.com/Acme/*")
    assert str(pattern) == "github.com/Acme/*"
    assert pattern.matches(GITHUB_WEB, "/Acme/x")
    assert not pattern.matches(GITHUB_WEB, "/acme/x")
    assert not pattern.matches(Host("github.com", 444), "/Acme/x")
    assert not pattern.matches(Host("github.com.evil.test"), "/Acme/x")


@given(st.text('!"#%{}credntial x', max_size=20))
def test_template_renders_the_secret_once(secret: str) -> None:
    """The secret is put in as it is; a placeholder inside it stays text."""
    assert Template.parse("token {credential}").render(secret) == f"token {secret}"
    assert Template.parse("literal").render(secret) == "literal"


# --- what is refused


# One change of the full example a block: what is replaced by what (`⏎` is a line's end), and all that is then said;
# a word in capitals there is short for a longer text.
MISTAKES = """
version: 1 → version: 2
1:1: version: expected `1`, got `2`

version: 1 → version: true
1:1: version: expected `1`, got `true`

version: 1 → version: '1'
1:1: version: expected `1`, got `1`
hint: leave the quotes out

version: 1⏎ →
1:1: version: expected `1`, got nothing

forges: → forge:
2:1: forge: expected TOP_KEY, got `forge`
hint: did you mean `forges`?
17:5: rules[1].match: expected the host of a forge, got `ghe.example.com:8443/*/releases/download/*`
hint: add `ghe.example.com:8443` under `forges:`: `- web: ghe.example.com:8443`

- web: ghe.example.com:8443 → - web: ghe.example.com
17:5: rules[1].match: expected the host of a forge, got `ghe.example.com:8443/*/releases/download/*`
hint: add `ghe.example.com:8443` under `forges:`: `- web: ghe.example.com:8443`

- web: ghe → - {web: github.com, api: "https://x.test"}⏎  - web: ghe
3:23: forges[0].api: expected no `api` of a built-in forge, got `https://x.test`
hint: the API of `github.com` is known: leave `api` out, and the entry too unless it names `assets`

- web: ghe → - {web: acme.ghe.com, api: "https://x.test"}⏎  - web: ghe
3:25: forges[0].api: expected no `api` of a built-in forge, got `https://x.test`
hint: the API of `acme.ghe.com` is known: leave `api` out, and the entry too unless it names `assets`

- web: ghe → - {web: github.com, assets: [api.github.com, github.com]}⏎  - web: ghe
3:32: forges[0].assets[0]: expected another host than web and API, got `api.github.com`
hint: an asset host gets no credential, and this one does
3:48: forges[0].assets[1]: expected another host than web and API, got `github.com`
hint: an asset host gets no credential, and this one does

- web: ghe → - {web: github.com, assets: [store.example.com]}⏎  - web: ghe
12:35: credentials.ours.hosts[1]: expected a host that is no asset host, got `store.example.com`
hint: signed URLs need no credential, and refuse one
21:5: rules[2].match: expected a host that is no asset host, got `store.example.com/private/*`
hint: signed URLs need no credential, and refuse one

hosts: [github.com] → hosts: [objects.githubusercontent.com]
8:13: credentials.github.hosts[0]: expected a host that is no asset host, got `objects.githubusercontent.com`
hint: signed URLs need no credential, and refuse one
16:5: rules[0].credential: expected a credential whose hosts include `github.com`, got `github`
hint: credential `github` may not be sent to `github.com` unless its `hosts:` name it

from: [env:OURS] → from: [evn:OURS]
10:12: credentials.ours.from[0]: expected SOURCE, got `evn:OURS`
hint: did you mean `env:`?

from: [env:OURS] → from: [netrcs]
10:12: credentials.ours.from[0]: expected SOURCE, got `netrcs`
hint: did you mean `netrc`?

from: [env:OURS] → from: [file:token.txt]
10:12: credentials.ours.from[0]: expected `file:PATH` with an absolute path, got `file:token.txt`
hint: begin PATH with `/`, or with `~/` for your home

from: [env:OURS] → from: [keyring:acme]
10:12: credentials.ours.from[0]: expected `keyring:SERVICE/USER`, got `keyring:acme`
hint: SERVICE and USER are what `keyring set SERVICE USER` got

from: [env:OURS] → from: ["systemd:../x", "systemd:a:b", "systemd:", "systemd:a b"]
10:12: credentials.ours.from[0]: expected `systemd:NAME`, got `systemd:../x`
hint: NAME is what `LoadCredential=NAME:PATH` of the unit has
10:28: credentials.ours.from[1]: expected `systemd:NAME`, got `systemd:a:b`
hint: NAME is what `LoadCredential=NAME:PATH` of the unit has
10:43: credentials.ours.from[2]: expected `systemd:NAME`, got `systemd:`
hint: NAME is what `LoadCredential=NAME:PATH` of the unit has
10:55: credentials.ours.from[3]: expected `systemd:NAME`, got `systemd:a b`
hint: NAME is what `LoadCredential=NAME:PATH` of the unit has

from: [env:OURS] → from: [env: OURS]
10:12: credentials.ours.from[0].env: expected one of `command`, `ttl`, `github-app`, got `env`
hint: without the space after the colon it is a source: `env:…`

from: [env:OURS] → from: [{comand: [op, read]}]
10:13: credentials.ours.from[0].comand: expected one of `command`, `ttl`, `github-app`, got `comand`
hint: did you mean `command`?

from: [env:OURS] → from: [{command: op read}]
10:13: credentials.ours.from[0].command: expected a list, got `op read`
hint: put it in brackets: `[…]`

from: [env:OURS] → from: [{command: [op read x]}]
10:23: credentials.ours.from[0].command[0]: expected the name of a program, got `op read x`
hint: one word an entry, as no shell takes them apart: `[op, read, …]`

from: [env:OURS] → from: [$OURS, "${OURS}", ENV:X, file:///x]
10:12: credentials.ours.from[0]: expected SOURCE, got `$OURS`
hint: `env:OURS` reads the environment variable
10:19: credentials.ours.from[1]: expected SOURCE, got `${OURS}`
hint: `env:OURS` reads the environment variable
10:30: credentials.ours.from[2]: expected SOURCE, got `ENV:X`
hint: did you mean `env:`?
10:37: credentials.ours.from[3]: expected `file:PATH` with an absolute path, got `file:///x`
hint: it is no URL: PATH begins with one `/`

- web: ghe → - {web: x.github.com}⏎  - {web: "github.com:8443"}⏎  - {web: a.b.ghe.com}⏎  - web: ghe
3:6: forges[0].web: expected a GitHub of your own, got `x.github.com`
hint: github.com and SUBDOMAIN.ghe.com are known by themselves; gh takes any name below for the same
4:6: forges[1].web: expected a GitHub of your own, got `github.com:8443`
hint: github.com and SUBDOMAIN.ghe.com are known by themselves; gh takes any name below for the same
5:6: forges[2].web: expected a GitHub of your own, got `a.b.ghe.com`
hint: github.com and SUBDOMAIN.ghe.com are known by themselves; gh takes any name below for the same

Bearer {credential} → "Basic {basic:me}"
22:7: rules[2].headers.Authorization: expected `{basic:USER}` alone, got `Basic {basic:me}`
hint: it is the whole value, the word `Basic` included

Bearer {credential} → "${credential}"
22:7: rules[2].headers.Authorization: expected PLACEHOLDER, got `${credential}`
hint: there is no `$` before it

Bearer {credential} → {credential}
22:7: rules[2].headers.Authorization: expected text, got a mapping
hint: put it in quotes

from: [env:OURS] → from: [{command: []}]
10:13: credentials.ours.from[0].command: expected at least one entry, got none

from: [env:OURS] → from: [{command: ['']}]
10:23: credentials.ours.from[0].command[0]: expected the name of a program, got ``

from: [env:OURS] → from: [{command: [op], ttl: 1h}]
10:28: credentials.ours.from[0].ttl: expected a whole number from 0 to 86400, got `1h`

from: [env:OURS] → from: [{ttl: 5}, [gh], 7]
10:22: credentials.ours.from[1]: expected text or a mapping, got a list
10:28: credentials.ours.from[2]: expected text or a mapping, got `7`

from: [env:OURS] → from: [{ttl: 5}, {command: [op], github-app: {id: 1, key: "env:K"}}]
10:12: credentials.ours.from[0]: expected either `command` or `github-app`, got neither
10:22: credentials.ours.from[1]: expected either `command` or `github-app`, got both

from: [env:OURS] → from: [default, gh]
10:12: credentials.ours.from[0]: expected hosts of forges alone beside `default`, got `store.example.com`
hint: make a credential of its own for the other, or name it under `forges:`
10:21: credentials.ours.from[1]: expected hosts of forges alone beside `gh`, got `store.example.com`
hint: make a credential of its own for the other, or name it under `forges:`

from: [env:GH_TOKEN, env:GITHUB_TOKEN] → from: [{github-app: {id: a b, key: /x.pem, owner: a/b}}]
7:26: credentials.github.from[0].github-app.id: expected the client id of a GitHub App, or its number, got `a b`
hint: the App's settings page shows both
7:35: credentials.github.from[0].github-app.key: expected `file:PATH`, `systemd:NAME` or `env:NAME`, got `/x.pem`
hint: the App's settings page gives out its private key, a PEM file
7:48: credentials.github.from[0].github-app.owner: expected the name of a user or an organisation, got `a/b`
hint: as in `github.com/OWNER/REPO`

from: [env:GH_TOKEN, env:GITHUB_TOKEN] → from: [{github-app: {id: 1.5, installation: 0}, ttl: 5}]
7:13: credentials.github.from[0].github-app.key: expected text, got nothing
7:26: credentials.github.from[0].github-app.id: expected a whole number or text, got `1.5`
7:35: credentials.github.from[0].github-app.installation: expected a whole number from 1, got `0`

[env:GH_TOKEN, env:GITHUB_TOKEN] → [{github-app: {id: 1, key: "env:K", installation: 5, owner: acme}, ttl: 5}]
7:64: credentials.github.from[0].github-app.owner: expected either `installation` or `owner`, got `acme`
hint: the number says it all
7:78: credentials.github.from[0].ttl: expected `ttl` beside `command` alone, got `5`
hint: the App's tokens say themselves when they end

- web: ghe → - {web: ghe.example.com:8443, api: "https://x.test"}⏎  - web: ghe
4:5: forges[1].web: expected each forge once, got `ghe.example.com:8443`

from: [env:OURS] → from: []
10:5: credentials.ours.from: expected at least one entry, got none

from: [env:OURS] → from: {}
10:5: credentials.ours.from: expected a list, got a mapping

from: [env:OURS] → from: env:OURS
10:5: credentials.ours.from: expected a list, got `env:OURS`
hint: put it in brackets: `[…]`

from: [env:OURS] → from: [OURS]
10:12: credentials.ours.from[0]: expected SOURCE, got `OURS`
hint: `env:OURS` reads the environment variable

from: [env:OURS] → from: [env:1X, vault:x]
10:12: credentials.ours.from[0]: expected `env:NAME`, got `env:1X`
hint: `env:NAME` reads the environment variable NAME: letters, digits and `_`
10:20: credentials.ours.from[1]: expected SOURCE, got `vault:x`

from: [env:OURS] → from: [env:PIP_INDEX_URL, {github-app: {id: 1, key: "env:PATH"}}]
10:12: credentials.ours.from[0]: expected a variable that holds a secret, and nothing else, got `env:PIP_INDEX_URL`
hint: `PIP_INDEX_URL` says where packages come from, and how they are judged: give the secret one of its own
10:52: credentials.ours.from[1].github-app.key: expected a variable that holds a secret, and nothing else, got \
`env:PATH`
hint: `PATH` says what programs run, and how: give the secret one of its own

hosts: [github.com] → hosts: ["*.github.com"]
16:5: rules[0].credential: expected a credential whose hosts include `github.com`, got `github`
hint: credential `github` may not be sent to `github.com` unless its `hosts:` name it

hosts: [github.com] → hosts: [github.com, "*", "*.com", "a.*.test", "*.*.test", "*.com:8443"]
8:25: credentials.github.hosts[1]: expected a host without `*`, got `*`
hint: `*.example.com` in `match` and `hosts` stands for all hosts below
8:30: credentials.github.hosts[2]: expected `*.` before a domain, got `*.com`
hint: name a domain of your own, as in `*.example.com`
8:39: credentials.github.hosts[3]: expected a host without `*`, got `a.*.test`
hint: `*.example.com` in `match` and `hosts` stands for all hosts below
8:51: credentials.github.hosts[4]: expected a host without `*`, got `*.*.test`
hint: `*.example.com` in `match` and `hosts` stands for all hosts below
8:63: credentials.github.hosts[5]: expected `*.` before a domain, got `*.com:8443`
hint: name a domain of your own, as in `*.example.com`

from: [env:OURS]⏎    hosts: [ → from: [env:OURS, netrc, git]⏎    hosts: ["*.example.com", "*.githubusercontent.com",
10:22: credentials.ours.from[1]: expected hosts without `*` beside `netrc`, got `*.example.com`
hint: it has a secret for each host: name them, for a client could ask it for any
10:29: credentials.ours.from[2]: expected hosts without `*` beside `git`, got `*.example.com`
hint: it has a secret for each host: name them, for a client could ask it for any
11:30: credentials.ours.hosts[1]: expected a host that is no asset host, got `*.githubusercontent.com`
hint: signed URLs need no credential, and refuse one

match: ghe.example.com:8443/*/releases/download/* → match: "*.example.com:8443/*"
17:5: rules[1].match: expected the host of a forge, got `*.example.com:8443/*`
hint: write one rule for each forge: each has an API of its own
19:5: rules[1].credential: expected a credential whose hosts include `*.example.com:8443`, got `ours`
hint: credential `ours` may not be sent to `*.example.com:8443` unless its `hosts:` name it

hosts: [github.com] → hosts: [git hub]
8:13: credentials.github.hosts[0]: expected a host name, such as `github.com` or `ghe.example.com:8443`, got `git hub`

hosts: [github.com] → hosts: [store.example.com]
16:5: rules[0].credential: expected a credential whose hosts include `github.com`, got `github`
hint: credential `github` may not be sent to `github.com` unless its `hosts:` name it

ours:⏎ → my key:⏎
9:3: credentials.`my key`: expected a name of letters, digits, `_`, `.` and `-`, got `my key`
19:5: rules[1].credential: expected the name of a credential, got `ours`
hint: describe it under `credentials:`
24:5: rules[2].credential: expected the name of a credential, got `ours`
hint: describe it under `credentials:`

credential: github → credential: githb
16:5: rules[0].credential: expected the name of a credential, got `githb`
hint: did you mean `github`?

name: releases → name: 5
13:5: rules[0].name: expected text, got `5`
hint: put it in quotes

name: releases → name: ''
13:5: rules[0].name: expected text, got ``

name: releases → name:
13:5: rules[0].name: expected text, got nothing

name: releases → colour: red
13:5: rules[0].colour: expected RULE_KEY, got `colour`

match: github.com/*/releases/download/* → match: github.com
14:5: rules[0].match: expected HOST/PATH, got `github.com`
hint: `/*` after the host stands for every path

match: github.com/ → match: https://github.com/
14:5: rules[0].match: expected HOST/PATH, got `https://github.com/*/releases/download/*`
hint: leave `https://` out: only https is served

match: github.com/ → match: github.*/
14:5: rules[0].match: expected a host without `*`, got `github.*/*/releases/download/*`
hint: `*.example.com` in `match` and `hosts` stands for all hosts below

match: github.com/ → match: me@github.com/
14:5: rules[0].match: expected a host name, such as `github.com` or `ghe.example.com:8443`, got \
`me@github.com/*/releases/download/*`

match: github.com/*/releases/download/* → match: github.com/a?b=c
14:5: rules[0].match: expected HOST/PATH without query and fragment, got `github.com/a?b=c`
hint: only the path is compared

match: github.com/*/releases/download/* → match: github.com/ü
14:5: rules[0].match: expected HOST/PATH in visible ASCII, got `github.com/ü`
hint: write other characters of the path percent-encoded

match: github.com/*/releases/download/* → match: github.com/a b
14:5: rules[0].match: expected HOST/PATH in visible ASCII, got `github.com/a b`
hint: write other characters of the path percent-encoded

resolve: github-release⏎    credential: ours → resolve: github-relase⏎    credential: ours
18:5: rules[1].resolve: expected RESOLVED, got `github-relase`
hint: did you mean `github-release`?

resolve: github-release⏎    credential: ours → credential: ours
17:5: rules[1]: expected either `resolve` or `headers`, got neither

    headers: →     resolve: github-release⏎    headers:
20:5: rules[2]: expected either `resolve` or `headers`, got both

headers:⏎      Authorization: Bearer {credential}⏎      X-Kind: literal → headers: {}
21:5: rules[2].headers: expected at least one entry, got none

Bearer {credential} → Bearer {token}
22:7: rules[2].headers.Authorization: expected PLACEHOLDER, got `Bearer {token}`

Bearer {credential} → "{basic:a:b}"
22:7: rules[2].headers.Authorization: expected PLACEHOLDER, got `{basic:a:b}`
hint: USER has neither colon nor brace, and may be empty: `{basic:}`

Bearer {credential} → Bearer {credential
22:7: rules[2].headers.Authorization: expected PLACEHOLDER, got `Bearer {credential`

Bearer {credential} → abc
24:5: rules[2].credential: expected a header that holds the credential, got none
hint: write `{credential}` or `{basic:USER}` where the secret goes, or leave the credential out

X-Kind: literal⏎    credential: ours → X-Kind: literal
22:7: rules[2].headers.Authorization: expected a rule with a `credential` for its placeholder, got \
`Bearer {credential}`
hint: name the credential whose secret it is: `credential: NAME`

X-Kind: literal⏎    credential: ours → X-Kind: literal⏎    credential: [ours, ours, github]
24:5: rules[2].credential: expected one credential beside `headers`, got several
hint: no answer tells which of them a header should have: list the sources under one credential
24:24: rules[2].credential[1]: expected each credential once, got `ours`
24:30: rules[2].credential[2]: expected a credential whose hosts include `store.example.com`, got `github`
hint: credential `github` may not be sent to `store.example.com` unless its `hosts:` name it

    headers: →     methods: [get, TRACE, CONNECT]⏎    drop_response_headers: [a b, Content-Length]\
⏎    on_existing: drop⏎    headers:
21:15: rules[2].methods[0]: expected a method in capital letters, got `get`
hint: as in `GET`
21:20: rules[2].methods[1]: expected a method that a credential may go with, got `TRACE`
hint: `TRACE` is none: its answer repeats the request, and the secret
21:27: rules[2].methods[2]: expected a method that a credential may go with, got `CONNECT`
hint: `CONNECT` is none: it opens a tunnel
22:29: rules[2].drop_response_headers[0]: expected a header's name, got `a b`
hint: letters, digits and `-`, as in `Set-Cookie`
22:34: rules[2].drop_response_headers[1]: expected a header that a client can do without, got `Content-Length`
hint: `Content-Length` says how the response is to be read
23:5: rules[2].on_existing: expected `keep` or `placeholder` or `refuse` or `replace`, got `drop`

    headers: →     on_existing: {authorization: keep, X-Kind: placeholder, X-Kin: keep, x-kind: refuse}⏎    headers:
21:5: rules[2].on_existing: expected `placeholder` beside `on_existing: placeholder`, got none
hint: name what clients send in the secret's place: `placeholder: TEXT`
21:61: rules[2].on_existing.X-Kin: expected a header that the rule sets, got `X-Kin`
hint: did you mean `X-Kind`?
21:74: rules[2].on_existing.x-kind: expected each header once, got `x-kind`

    headers: →     on_existing: placeholder⏎    placeholder: "a b"⏎    headers:
22:5: rules[2].placeholder: expected a text in visible ASCII, without spaces, got `a b`
hint: clients send it for the secret
25:7: rules[2].headers.X-Kind: expected a header that holds the credential, for `on_existing: placeholder`, got \
`literal`
hint: give it another `on_existing` by its name: `on_existing: {NAME: replace, …}`

    headers: →     on_existing: {Authorization: dorp}⏎    placeholder: x⏎    headers:
21:19: rules[2].on_existing.Authorization: expected `keep` or `placeholder` or `refuse` or `replace`, got `dorp`

    headers: →     placeholder: x⏎    headers:
21:5: rules[2].placeholder: expected `on_existing: placeholder` beside `placeholder`, got none

resolve: github-release⏎    credential: ours → resolve: github-release⏎    methods: [GET]\
⏎    on_existing: keep⏎    credential: ours
19:5: rules[1].methods: expected `methods` beside `headers` alone, got `resolve`
hint: a release asset is downloaded by GET and HEAD, and gets headers of its own
20:5: rules[1].on_existing: expected `on_existing` beside `headers` alone, got `resolve`
hint: a release asset is downloaded by GET and HEAD, and gets headers of its own

resolve: github-release⏎    credential: ours → resolve: github-git⏎    methods: [GET]\
⏎    on_existing: placeholder⏎    require: [digest]⏎    credential: ours
19:5: rules[1].methods: expected `methods` beside `headers` alone, got `resolve`
hint: git asks by GET and POST, and gets Basic
20:5: rules[1].on_existing: expected `replace`, `keep` or `refuse` beside `github-git`, got `placeholder`
hint: git sends one header: `keep` lets what it sends stand
21:5: rules[1].require: expected `require` beside `resolve: github-release` alone, got `github-git`
hint: only a release's assets have a digest

resolve: github-release⏎    credential: ours → resolve: github-source⏎    push: true⏎    credential: ours
19:5: rules[1].push: expected `push` beside `resolve: github-git` alone, got `github-source`
hint: nothing else is pushed: leave it out

    headers: →     push: true⏎    headers:
21:5: rules[2].push: expected `push` beside `resolve: github-git` alone, got `headers`
hint: for a rule with headers say `methods`

resolve: github-release⏎    credential: ours → resolve: github-git⏎    credential: [ours, ours]
19:5: rules[1].credential: expected one credential beside `github-git`, got several
hint: write a rule for each owner, or list the sources under one credential
19:24: rules[1].credential[1]: expected each credential once, got `ours`

    credential: github⏎ →
13:5: rules[0].credential: expected the name of a credential, got nothing

credential: github⏎ → credential: [github, githb]⏎
16:26: rules[0].credential[1]: expected the name of a credential, got `githb`
hint: did you mean `github`?

Bearer {credential} → "Bearer "
22:7: rules[2].headers.Authorization: expected a header's value in printable ASCII, without spaces around it, got \
`Bearer `

Bearer {credential} → é
22:7: rules[2].headers.Authorization: expected a header's value in printable ASCII, without spaces around it, got `é`

Authorization: → x-kind:
23:7: rules[2].headers.X-Kind: expected each header once, got `X-Kind`
hint: case makes no difference in a header's name

Authorization: → Bad Name:
22:7: rules[2].headers.`Bad Name`: expected a header's name, got `Bad Name`
hint: letters, digits and `-`, as in `PRIVATE-TOKEN`

Authorization: → ":path":
22:7: rules[2].headers.`:path`: expected a header's name, got `:path`
hint: letters, digits and `-`, as in `PRIVATE-TOKEN`

Authorization: → Host:
22:7: rules[2].headers.Host: expected a header that a rule may set, got `Host`
hint: `Host` belongs to the connection or to proxies
"""


LONG_TEXTS = {
    "SOURCE": "a source: `default`, `gh`, `git`, `netrc`, `env:NAME`, `file:PATH`, `systemd:NAME`, "
    "`keyring:SERVICE/USER`, or a mapping with `command` or `github-app`",
    "TOP_KEY": "one of `version`, `rules`, `credentials`, `forges`, `cache`, `clients`, `trusted_proxies`, `egress`, "
    "`limits`, `indexes`",
    "RULE_KEY": "one of `match`, `credential`, `name`, `resolve`, `headers`, `when`, `require`, `push`, "
    "`methods`, `on_existing`, `placeholder`, `access`, `graphql`, `also`, "
    "`permissions`, `drop_response_headers`, `clients`",
    "RESOLVED": "`github-api` or `github-git` or `github-release` or `github-source`",
    "PLACEHOLDER": "`{credential}` or `{basic:USER}` as the placeholder, and no other brace",
}


@pytest.mark.parametrize("mistake", MISTAKES.strip("\n").split("\n\n"), ids=lambda mistake: mistake.split("\n")[0])
def test_mistakes_are_located_and_explained(mistake: str) -> None:
    """A mistake is said once, at its line and column, with its path, what was expected and got, and what to do."""
    change, expected = mistake.split("\n", 1)
    old, new = (side.replace("⏎", "\n") for side in change.split(" →", 1))
    found = problems(with_change(old, new.removeprefix(" ")))
    for word, text in LONG_TEXTS.items():
        expected = expected.replace(word, text)
    assert "\n".join(map(str, found)) == expected


@pytest.mark.parametrize(
    "name", ["content-length", "Transfer-Encoding", "Connection", "Proxy-Authorization", "TE", "Upgrade"]
)
def test_headers_of_the_connection_cannot_be_set(name: str) -> None:
    """What frames the message or speaks to a proxy is not a rule's to set, in whatever case."""
    [problem] = problems(with_change("Authorization:", f"{name}:"))
    assert problem.expected == "a header that a rule may set"


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
def test_methods_that_no_rule_may_name(method: str) -> None:
    """A rule cannot be made for a method whose answer would bring the secret back, or that makes a tunnel."""
    text = f"version: 1\nrules:\n  - {{match: a.test/*, headers: {{X-Kind: literal}}, methods: [GET, {method}]}}\n"
    with pytest.raises(RulesError, match=rf"rules\[0\]\.methods\[1\]: expected a method .* got `{method}`\nhint: "):
        parse(text)


@pytest.mark.parametrize(
    "api",
    [
        "http://ghe.example.com/api/v3",
        "ghe.example.com/api/v3",
        "https://",
        "https:///api",
        "https://ghe.example.com/api?x=1",
        "https://ghe.example.com/api?",
        "https://ghe.example.com/api#x",
        "https://ghe.example.com/../api",
        "https://ghe.example.com/a b",
        "https://[::1/",
        "https://ghe.example.com:x/",
    ],
)
def test_api_must_be_a_plain_https_url(api: str) -> None:
    """What could send a token in the clear, or elsewhere, is no API address; its forge's rules are not blamed too."""
    [problem] = problems(with_change("https://ghe.example.com:8443/api/v3/", json.dumps(api)))
    assert problem.path == "forges[0].api"
    assert problem.expected.startswith("an https URL")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: expected a mapping, got nothing"),
        ("# nothing\n", "1:1: expected a mapping, got nothing"),
        ("- a", "1:1: expected a mapping, got a list"),
        ("github.com", "1:1: expected a mapping, got `github.com`"),
        ("a: b: c", "1:5: expected YAML, got something else\nhint: mapping values are not allowed here"),
        ("a: [", "1:5: expected YAML, got something else"),
        ("a: b\n\x00", "2:1: expected text, got a control character"),
        ('a: "\\UFFFFFFFF"', "1:1: expected YAML, got an escape or a number out of range"),
        ("a: 1\n---\nb: 2\n", "2:1: expected one document, got a second one"),
        ("a: 1\nb: 2\na: 3", "3:1: a: expected each key once, got the key a second time"),
        ("a: {b: 1, b: 2}", "1:11: a.b: expected each key once, got the key a second time"),
        ("1: a", "1:1: expected text as a key, got `1`\nhint: put the key in quotes"),
        ("? [x]\n: a", "1:3: expected text as a key, got a list\nhint: put the key in quotes"),
        ("a: !!binary aGk=", "1:4: a: expected a value without tag, got a tag"),
        ("a: !!python/object/apply:os.system [x]", "1:4: a: expected a value without tag, got a tag"),
        ("a: &x 1", "1:4: a: expected a value without anchor, got an anchor"),
        ("a: *x", "1:4: a: expected a value, got an alias\nhint: write the value out"),
        ("<<: {a: b}", "1:1: expected a key, got a merge key\nhint: write the keys out"),
        ('a: "x\\ny"', "1:4: a: expected printable text on one line, got `x\N{REPLACEMENT CHARACTER}y`"),
        ('a: "\\uD800"', "1:4: a: expected printable text on one line, got `\N{REPLACEMENT CHARACTER}`"),
        ("[" * 5000, "1:18: expected at most 16 levels of nesting, got more"),
        ("#" * (2**20 + 1), "1:1: expected at most 1048576 characters, got 1048577"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str, expected: str) -> None:
    """Text that is no YAML, or uses what could hide or blow something up, is one located problem."""
    assert [str(problem)[: len(expected)] for problem in problems(text)] == [expected]


def test_scalars_are_those_of_the_core_schema() -> None:
    """`on`, dates and octal-looking words stay text, so that names may be spelled like that."""
    text = FULL.replace("github:\n", "on:\n").replace("credential: github", "credential: on")
    assert parse(text).credentials[0].name == "on"
    for name in ("2024-01-01", "1:30", "yes", "0x1F"):
        assert parse(with_change("name: releases", f"name: {name}")).rules[0].name == name


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines() -> None:
    """One run shows every mistake, of shape and of meaning alike, sorted, one line each with its hint below."""
    text = (
        FULL.replace("env:OURS", "OURS")
        .replace("version: 1", "version: 3")
        .replace("name: releases", "nam: releases")
        .replace("store.example.com/private/*", "store.example.com")
        .replace("X-Kind", "Host")
    )
    with pytest.raises(RulesError) as caught:
        parse(text, "my.yaml")
    assert [problem.path for problem in caught.value.problems] == [
        "version",
        "credentials.ours.from[0]",
        "rules[0].nam",
        "rules[2].match",
        "rules[2].headers.Host",
    ]
    lines = str(caught.value).splitlines()
    assert all(line.startswith(("my.yaml:", "hint: ")) for line in lines)
    assert "my.yaml:13:5: rules[0].nam: expected one of" in str(caught.value)


# --- promises


def test_a_pasted_token_is_refused_and_not_shown() -> None:
    """A token in the file is an error that names the variable to use, and shows nothing of the token."""
    for text in (
        with_change("env:OURS", TOKEN),
        with_change("env:OURS", f"env:{TOKEN}"),
        with_change("Bearer {credential}", f"Bearer {TOKEN}"),
        with_change("  ours:", f"  {TOKEN}:"),
        with_change("https://ghe.example.com:8443/", "https://me:hunter2@ghe.example.com/"),
    ):
        [problem] = problems(text)
        assert problem.got == "a text that is not shown"
        assert problem.hint is not None
        assert "env:GH_TOKEN" in problem.hint
        assert "Zq7" not in str(problem)
        assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("env:OURS", "hunter2-password"),
        ("env:OURS", "AKIAIOSFODNN7EXAMPLE"),
        ("env:OURS", "0123456789abcdef0123456789abcdef01234567"),
        ("env:OURS", "{github-app: {id: 1, key: hunter2secret}}"),
        ("match: github.com/", "match: reader:hunter2@github.com/"),
        ("hosts: [github.com]", "hosts: ['reader:hunter2@github.com']"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(old: str, new: str) -> None:
    """A secret without a form of its own, in a place for the name of where it is, is not repeated."""
    shown = str(problems(with_change(old, new)))
    for secret in ("hunter2", "AKIA", "abcdef"):
        assert secret not in shown


def test_long_values_are_not_shown() -> None:
    """What is too long for a name may be a secret of an unknown kind."""
    [problem] = problems(with_change("env:OURS", "x" * 81))
    assert "xxx" not in str(problem)
    assert "env:GH_TOKEN" in str(problem)


@given(st.integers(0, len(FULL)))
def test_no_error_shows_a_token_wherever_it_was_pasted(position: int) -> None:
    """A secret is in no error text, wherever in the file it stands."""
    error = error_of(FULL[:position] + TOKEN + FULL[position:])
    assert "Zq7" not in f"{error}{error!r}"


WORDS = st.sampled_from([
    "version", "forges", "web", "api", "credentials", "from", "hosts", "rules", "name", "match", "resolve", "headers",
    "credential", "github", "ours", "github.com", "ghe.example.com:8443", "github.com/*", "env:X", "github-release",
    "https://x.test", "{credential}", "<<", "*", "&", "1",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | WORDS
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def assert_rules_or_their_error(text: str) -> None:
    """Parse a text: nothing but a RulesError may come out, of located lines that can be printed."""
    if error := error_of(text):
        assert error.problems
        assert all(line.startswith(("rules.yaml:", "hint: ")) for line in str(error).splitlines())
        str(error).encode()


@given(st.text() | st.text("[]{}:,-?&*!|>'\"%@`#\n \\U1aé\x00\x85\u2028\ufeff", max_size=40))
def test_any_text_gives_rules_or_their_error(text: str) -> None:
    """The parser raises nothing but its own error, in lines that can be printed, for any text at all."""
    assert_rules_or_their_error(text)


@given(DATA)
def test_any_structure_gives_rules_or_their_error(data: object) -> None:
    """The same for any YAML structure."""
    assert_rules_or_their_error(yaml.safe_dump(data))


@given(st.data())
def test_any_change_of_a_good_file_gives_rules_or_their_error(data: st.DataObject) -> None:
    """The same when any one part of a good file is replaced, removed or added to."""
    tree: Any = copy.deepcopy(yaml.safe_load(FULL))
    node = tree
    while True:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and data.draw(st.booleans()):
            node = node[key]
            continue
        break
    if data.draw(st.booleans()):
        node[key] = data.draw(DATA)
    elif isinstance(node, dict):
        node[data.draw(WORDS)] = node.pop(key)
    else:
        del node[key]
    assert_rules_or_their_error(yaml.safe_dump(tree, sort_keys=False))


@given(st.integers(0, len(FULL)), st.integers(0, 12), st.text("[]{}:,-?&*!|>'\"\n #a1", max_size=4))
def test_any_slip_of_the_pen_gives_rules_or_their_error(position: int, cut: int, put: str) -> None:
    """The same when characters of a good file are cut out or put in."""
    assert_rules_or_their_error(FULL[:position] + put + FULL[position + cut :])
