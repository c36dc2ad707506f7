"""rules.yaml's `indexes`: what they may say, what they mean, and how errors read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge.hosts import GITHUB, Host
from gatepass.forge.urls import Repository
from gatepass.rules.describe import describe, warnings
from gatepass.rules.indexes import Repositories
from gatepass.rules.model import ResolveRelease
from gatepass.rules.parser import parse
from gatepass.rules.values import UnfitError
from gatepass.rules.yaml_source import RulesError

HEAD = """\
version: 1
credentials:
  acme: {from: [env:GH_TOKEN], hosts: [github.com]}
  server: {from: [env:GHE_TOKEN], hosts: [ghe.example.com]}
clients:
  ci: {networks: [10.20.0.0/16]}
rules:
  - match: github.com/acme/*/releases/download/*
    resolve: github-release
    credential: acme
"""
INDEXES = """\
indexes:
  acme:
    repositories: [github.com/acme/widget, "github.com/acme/py-*"]
    credential: acme
    prereleases: false
    clients: [ci]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        parse(text)
    return str(caught.value).splitlines()


def test_a_file_that_names_none_has_none() -> None:
    assert parse(HEAD).indexes == ()


def test_an_index() -> None:
    """An index has its repositories, each with its forge, and its credential; and what it leaves out."""
    (index,) = parse(HEAD + INDEXES).indexes
    assert index.name == "acme"
    assert index.repositories == (
        (GITHUB, Repositories(Host("github.com"), "acme", "widget")),
        (GITHUB, Repositories(Host("github.com"), "acme", "py-*")),
    )
    assert (index.credential.name, index.prereleases, index.clients) == ("acme", False, ("ci",))


def test_what_need_not_be_said() -> None:
    """Pre-releases are in it, and it is for every client, where nothing else is said."""
    (index,) = parse(f"{HEAD}indexes: {{a-b_1: {{repositories: [github.com/acme/x], credential: acme}}}}").indexes
    assert (index.name, index.prereleases, index.clients) == ("a-b_1", True, ())


@pytest.mark.parametrize(
    ("pattern", "repository", "does"),
    [
        ("github.com/acme/py-*", "acme/py-x", True),
        ("github.com/Acme/PY-*", "acme/py-x", True),
        ("github.com/acme/py-*", "acme/py-", True),
        ("github.com/acme/py-*", "acme/py", False),
        ("github.com/acme/py-*", "other/py-x", False),
        ("github.com/acme/*", "acme/anything", True),
        ("github.com/acme/x", "acme/X", True),
        ("github.com/acme/x", "acme/xy", False),
    ],
)
def test_which_repositories_a_text_stands_for(pattern: str, repository: str, does: bool) -> None:
    """A `*` stands for the rest of a name, of that owner's repositories alone; letter case makes no difference."""
    assert Repositories.parse(pattern).covers(Repository(*repository.split("/"))) is does


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  acme:\n    rep", "  a.b:\n    rep", "expected a name of letters, digits, `_` and `-`, got `a.b`"),
        ("github.com/acme/widget", "https://github.com/acme/widget", "expected HOST/OWNER/REPO"),
        ("github.com/acme/widget", "github.com/acme", "expected HOST/OWNER/REPO"),
        ("github.com/acme/widget", "github.com/acme/widget/releases", "expected HOST/OWNER/REPO"),
        ("github.com/acme/widget", "github.com/acme/..", "expected HOST/OWNER/REPO"),
        ("github.com/acme/widget", '"github.com/*/widget"', "expected a `*` at the end of the repository's name alone"),
        ("github.com/acme/widget", '"github.com/acme/*-x"', "expected a `*` at the end of the repository's name alone"),
        ("github.com/acme/widget", '"*.com/acme/x"', "expected a `*` at the end of the repository's name alone"),
        ("github.com/acme/widget", '"github.com/acme/py-*"', "expected each repository once"),
        ("github.com/acme/widget", "gitlab.com/acme/widget", "expected the host of a forge"),
        ("credential: acme\n    pre", "credential: acne\n    pre", "expected the name of a credential, got `acne`"),
        ("credential: acme\n    pre", "credential: server\n    pre", "expected a credential whose hosts include"),
        ("clients: [ci]", "clients: [dev]", "expected the name of a client, got `dev`"),
        ("clients: [ci]", "clients: []", "expected at least one entry, got none"),
        ("prereleases: false", "prereleases: no", "expected `true` or `false`, got `no`"),
        ("prereleases", "prerelease", "got `prerelease`"),
    ],
)
def test_mistakes(old: str, new: str, told: str) -> None:
    """Each mistake is told with its place in the file."""
    text = HEAD + INDEXES
    assert old in text
    found = problems(text.replace(old, new))
    assert told in found[0], found
    line = int(found[0].split(":")[1])
    assert line > HEAD.count("\n")
    assert "indexes" in found[0]


def test_all_mistakes_are_told_at_once() -> None:
    """What is wrong with one index hides nothing of the others."""
    text = INDEXES.replace("acme/widget", "*/widget").replace("[ci]", "[dev]")
    text += "  other: {repositories: [github.com/acme/x], credential: nobody}\n"
    assert len([line for line in problems(HEAD + text) if "expected" in line]) == 3


def test_an_index_must_have_repositories() -> None:
    assert "indexes.a.repositories: expected at least one entry, got none" in "\n".join(
        problems(f"{HEAD}indexes: {{a: {{repositories: [], credential: acme}}}}")
    )


def test_indexes_are_described() -> None:
    """What an index holds, where it is, for whom, and where its credential goes, is said in words."""
    told = describe(parse(HEAD + INDEXES))
    assert "index acme\n" in told
    assert "https://gatepass.internal/acme/simple/" in told
    assert "what the releases of github.com/acme/widget, github.com/acme/py-* hold" in told
    assert "releases that are marked as pre-releases" in told
    assert "api.github.com, and nowhere else" in told


def test_files_that_no_rule_serves() -> None:
    """An index whose files no rule serves is warned of: through the proxy clients could read its pages alone."""
    assert list(warnings(parse(HEAD + INDEXES))) == []
    other = INDEXES.replace("github.com/acme/widget", "github.com/other/widget")
    (warning,) = warnings(parse(HEAD + other))
    assert warning.startswith("index `acme`: no rule serves the files of github.com/other/widget through the proxy")


RULE = "  - {match: github.com/acme/*/releases/download/*, resolve: github-release, credential: acme"


def test_what_a_rule_requires() -> None:
    """A rule may require digests and immutable releases; then nobody is asked who tells of neither."""
    rules = HEAD.split("rules:")[0] + "rules:\n"
    for words, expected in (("digest", {"digest"}), ("digest, immutable", {"digest", "immutable"})):
        (rule,) = parse(f"{rules}{RULE}, require: [{words}]}}").rules
        assert isinstance(rule.action, ResolveRelease)
        assert rule.action.require == expected
    anybodys = RULE.replace("/acme/*", "/*")
    (rule,) = parse(f"{rules}{anybodys}, require: [digest]}}").rules
    assert isinstance(rule.action, ResolveRelease)
    assert rule.action.anonymous_first is False
    assert "expected `always` beside `require`" in problems(f"{rules}{RULE}, when: not-found, require: [digest]}}")[0]
    assert "expected `digest` or `immutable`, got `digset`" in problems(f"{rules}{RULE}, require: [digset]}}")[0]
    assert "expected at least one entry" in problems(f"{rules}{RULE}, require: []}}")[0]
    header = "  - {match: github.com/a, headers: {X: y}, require: [digest]}"
    assert "expected `require` beside `resolve` alone" in problems(f"{rules}{header}")[0]


@given(st.text("aZ*/.:-@ ", max_size=30))
def test_any_text(text: str) -> None:
    """Any text names repositories, or is refused; what is read is written the same."""
    try:
        found = Repositories.parse(text)
    except UnfitError:
        return
    assert Repositories.parse(str(found)) == found
