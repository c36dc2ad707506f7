"""Rules for a forge's API: what they mean, what of them is wrong, and what `check` tells of them."""

from __future__ import annotations

import pytest

from gatepass.forge.api import Allowed
from gatepass.forge.hosts import GITHUB, Forge, Host
from gatepass.forge.urls import Repository
from gatepass.rules.describe import describe
from gatepass.rules.model import CallApi, Placeholder, Rule
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import RulesError

API, UPLOADS = Host("api.github.com"), Host("uploads.github.com")

RULES = """\
version: 1
forges:
  - web: ghe.example.com
credentials:
  app: {from: [{github-app: {id: Iv1, key: env:KEY}}], hosts: [github.com]}
  token: {from: [env:GH_TOKEN], hosts: [github.com]}
  ours: {from: [env:OURS], hosts: [ghe.example.com]}
rules:
  - match: %s
    resolve: github-api
    credential: %s
"""


def rule(match: str = "api.github.com/repos/acme/widget", credential: str = "app", **more: str) -> Rule:
    """The one rule of a text with these keys besides."""
    text = RULES % (match, credential) + "".join(f"    {key}: {value}\n" for key, value in more.items())
    return parse(text).rules[0]


def action(match: str = "api.github.com/repos/acme/widget", credential: str = "app", **more: str) -> CallApi:
    found = rule(match, credential, **more).action
    assert isinstance(found, CallApi)
    return found


def wrong(match: str = "api.github.com/repos/acme/widget", credential: str = "app", **more: str) -> list[str]:
    """What is wrong with a rule that must be wrong."""
    with pytest.raises(RulesError) as caught:
        rule(match, credential, **more)
    return [str(problem) for problem in caught.value.problems]


def test_least() -> None:
    """A rule that says no more reads its repository, and neither GraphQL nor anything outside of it."""
    assert action() == CallApi(GITHUB, "acme", "widget", "read", "none", frozenset(), None)
    assert rule().variables == ()


def test_all() -> None:
    """Each key arrives in its type."""
    found = rule(
        match="api.github.com/repos/acme/*",
        access="[GET /releases/**, POST /issues/*/comments]",
        graphql="[createIssue, addComment]",
        also="[/, /user]",
        permissions="{issues: write, contents: read}",
        placeholder="[GH_TOKEN, GITHUB_TOKEN, GH_TOKEN]",
    )
    assert found.variables == ("GH_TOKEN", "GITHUB_TOKEN")
    assert found.action == CallApi(
        GITHUB,
        "acme",
        "*",
        (Allowed("GET", "releases/**"), Allowed("POST", "issues/*/comments")),
        frozenset({"createIssue", "addComment"}),
        frozenset({"/", "/user"}),
        (("contents", "read"), ("issues", "write")),
    )


def test_a_ghes_has_its_api_below_its_web_host() -> None:
    """There the API, GraphQL and uploads are paths; and no other path of that host is the rule's."""
    found = action("ghe.example.com/api/v3/repos/acme/*", "ours")
    host = Host("ghe.example.com")
    assert found.forge == Forge(host, "https://ghe.example.com/api/v3")
    for path in ("/api/v3/repos/acme/x/issues", "/api/graphql", "/api/uploads/repos/acme/x/releases/1/assets"):
        assert found.owns(host, path), path
    for path in ("/acme/x", "/repos/acme/x", "/graphql", "/api/v3/user", "/api/v3/graphql", "/api/v4/repos/acme/x"):
        assert not found.owns(host, path), path


@pytest.mark.parametrize(
    ("name", "host", "path", "is_owned"),
    [
        ("widget", API, "/repos/acme/widget", True),
        ("widget", API, "/repos/acme/widget/", True),
        ("widget", API, "/repos/Acme/WIDGET/issues/1", True),
        ("widget", UPLOADS, "/repos/acme/widget/releases/1/assets", True),
        ("widget", API, "/graphql", True),
        ("widget", API, "/repositories/1/releases", True),
        ("widget", API, "/repos/acme/widget-evil", False),
        ("widget", API, "/repos/acme/widget.evil/issues", False),
        ("widget", API, "/repos/acme", False),
        ("widget", API, "/repos/evil/widget", False),
        ("widget", API, "/Repos/acme/widget", False),
        ("widget", API, "/GRAPHQL", False),
        ("widget", UPLOADS, "/graphql", False),
        ("widget", API, "/repos/acme/widget%2f..%2fevil", False),
        ("widget", API, "/repos/acme/widget/../evil", False),
        ("widget", API, "/repos/acme//widget", False),
        ("widget", API, "/user", False),
        ("widget", Host("github.com"), "/repos/acme/widget", False),
        ("widget", Host("api.github.com", 444), "/repos/acme/widget", False),
        ("*", API, "/repos/acme/anything", True),
        ("*", API, "/repos/acme-evil/anything", False),
        ("tool-*", API, "/repos/acme/tool-1", True),
        ("tool-*", API, "/repos/acme/other", False),
    ],
)
def test_what_is_the_rules_to_judge(name: str, host: Host, path: str, is_owned: bool) -> None:
    """A repository and all below it, its uploads and GraphQL: never another's whose name begins so, nor what may be
    read as another path.
    """
    assert action(f"api.github.com/repos/acme/{name}").owns(host, path) is is_owned


def test_covers_is_by_whole_names() -> None:
    """The owner is the owner, and of the name no more is open than the star."""
    assert action("api.github.com/repos/acme/*").covers(Repository("ACME", "x"))
    assert not action("api.github.com/repos/acme/*").covers(Repository("acmeX", "x"))
    assert not action("api.github.com/repos/acme/a*").covers(Repository("acme", "ba"))


def test_hosts_are_named() -> None:
    """A rule names the API's host and that for uploads, so that both are decrypted, and reached."""
    assert rule().hosts == {API, UPLOADS}
    names = parse(RULES % ("api.github.com/repos/acme/widget", "app"))
    assert names.names(UPLOADS)
    assert not names.names(Host("github.com"))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"contents": "read", "issues": "read", "pull_requests": "read", "metadata": "read"}),
        ({"access": "issues"}, {"contents": "read", "issues": "write", "pull_requests": "write"}),
        ({"access": "write"}, {"contents": "write", "issues": "write", "actions": "read"}),
        ({"access": "[GET /**]"}, {"contents": "read", "issues": "read"}),
        ({"access": "[GET /**, POST /issues]"}, {"contents": "read", "issues": "write"}),
        ({"access": "[POST /releases]"}, {"contents": "write"}),
        ({"graphql": "query"}, {"issues": "read"}),
        ({"graphql": "[createIssue]"}, {"issues": "write", "contents": "read"}),
    ],
)
def test_permissions_follow_the_access(more: dict[str, str], expected: dict[str, str]) -> None:
    """An App's token may do what the rule lets be done, and administration, hooks and secrets never."""
    granted = dict(action(**more).granted)
    assert expected.items() <= granted.items()
    assert granted.keys() <= {"actions", "checks", "contents", "issues", "metadata", "pull_requests"}
    assert {name for name, level in granted.items() if level == "write"} <= {"contents", "issues", "pull_requests"}


def test_own_permissions_are_all() -> None:
    """What the rule says of them itself is all that a token gets."""
    assert action(permissions="{statuses: write}").granted == (("statuses", "write"),)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"match": "api.github.com/*"}, "rules[0].match: expected HOST/repos/OWNER/REPO, got `api.github.com/*`"),
        ({"match": "api.github.com/repos/*/x"}, "rules[0].match: expected HOST/repos/OWNER/REPO"),
        ({"match": "api.github.com/repos/acme/*/issues"}, "rules[0].match: expected HOST/repos/OWNER/REPO"),
        ({"match": "api.github.com/repos/acme"}, "rules[0].match: expected HOST/repos/OWNER/REPO"),
        ({"match": "api.other.example.com/repos/acme/x"}, "rules[0].match: expected the API host of a forge"),
        ({"credential": "token", "graphql": "query"}, "rules[0].graphql: expected credentials of GitHub Apps alone"),
        ({"credential": "token", "graphql": "[addComment]"}, "rules[0].graphql: expected credentials of GitHub Apps"),
        ({"match": "api.github.com/repos/acme/a*", "graphql": "query"}, "rules[0].graphql: expected `none` or `any`"),
        ({"graphql": "[query]"}, "rules[0].graphql[0]: expected the name of a mutation, got `query`"),
        ({"access": "[LIST /issues]"}, "rules[0].access[0]: expected METHOD /path"),
        ({"access": "[GET /%2e%2e/x]"}, "rules[0].access[0]: expected a path below the repository"),
        ({"also": "[/repos/acme/x]"}, "rules[0].also[0]: expected a path of the API outside of repositories"),
        ({"also": "[user]"}, "rules[0].also[0]: expected a path of the API outside of repositories"),
        ({"permissions": "{administration: write}"}, "expected a repository permission, got `administration`"),
        ({"permissions": "{secrets: read}"}, "expected a repository permission, got `secrets`"),
        ({"placeholder": "PLACE"}, "rules[0].placeholder: expected names of variables, got a text"),
        ({"placeholder": "[HTTPS_PROXY]"}, "rules[0].placeholder[0]: expected a variable that holds a token"),
        ({"placeholder": "[GH-TOKEN]"}, "rules[0].placeholder[0]: expected the name of an environment variable"),
        ({"credential": "[app, token]"}, "rules[0].credential: expected one credential beside `github-api`"),
        ({"methods": "[GET]"}, "rules[0].methods: expected no `methods` beside `resolve: github-api`"),
        ({"when": "always"}, "rules[0].when: expected no `when` beside `resolve: github-api`"),
    ],
)
def test_mistakes(more: dict[str, str], expected: str) -> None:
    """What cannot be meant is said, with its place."""
    found = wrong(**more)
    assert len(found) <= 2  # a credential is bound to other hosts than a wrong one
    assert expected in found[0]


def test_keys_of_the_api_are_its_own() -> None:
    """No other rule has them."""
    text = (
        "version: 1\nrules:\n  - {match: a.test/*, headers: {X-Kind: y}, access: read, graphql: any, also: [/user]}\n"
    )
    with pytest.raises(RulesError) as caught:
        parse(text)
    assert [str(each).partition(",")[0].partition(": ")[2] for each in caught.value.problems] == [
        f"rules[0].{key}: expected `{key}` beside `resolve: github-api` alone" for key in ("access", "graphql", "also")
    ]


def test_any_is_the_users_own_word() -> None:
    """`any` is accepted with every credential."""
    assert action(credential="token", graphql="any").graphql == "any"


def test_placeholders_of_other_rules() -> None:
    """Headers and git have them, too: for headers it is said which."""
    text = """\
version: 1
credentials:
  store: {from: [env:STORE], hosts: [store.test]}
  hub: {from: [env:HUB], hosts: [github.com]}
rules:
  - match: store.test/*
    headers: {X-Store: "{credential}", X-Kind: y}
    on_existing: {X-Store: placeholder}
    placeholder: [STORE_TOKEN]
    credential: store
  - {match: github.com/acme/*, resolve: github-git, placeholder: [GH_TOKEN], credential: hub}
"""
    rules = parse(text)
    headers = {header.name: header.on_existing for header in rules.rules[0].action.headers}  # type: ignore[union-attr]
    assert headers == {"X-Store": Placeholder(None), "X-Kind": "replace"}
    assert [each.own_headers for each in rules.rules] == [{"x-store"}, {"authorization"}]
    assert rules.placeholders == {"STORE_TOKEN", "GH_TOKEN"}


def test_what_check_tells() -> None:
    """What may be asked, what the token gets, and where its placeholder is, stand in words."""
    more = {"access": "issues", "also": "[/user]", "graphql": "[addComment]", "placeholder": "[GH_TOKEN]"}
    text = describe(parse(RULES % ("api.github.com/repos/acme/*", "app") + _keys(more)))
    assert "lets the API be asked below acme/*: reads, and writes issues and pull requests" in text
    assert "GraphQL     queries, and addComment" in text
    assert "also reads  /user" in text
    assert "the placeholder of GH_TOKEN" in text
    assert "tokens may  actions: read, checks: read, contents: read, issues: write" in text


def _keys(more: dict[str, str]) -> str:
    return "".join(f"    {key}: {value}\n" for key, value in more.items())
