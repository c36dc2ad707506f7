"""What is done with a request that brings a placeholder, or that is for a forge's API: pure, as `decide` is."""

from __future__ import annotations

import base64
import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.decision import Decision, Inject, Pass, Refuse, Request, decide
from gatepass.forge.hosts import Host
from gatepass.placeholder import Placeholders
from gatepass.rules import parser

RULES = parser.parse(
    """
version: 1
credentials:
  app: {from: [{github-app: {id: Iv1, key: env:KEY}}], hosts: [github.com]}
  other: {from: [env:OTHER], hosts: [github.com]}
  store: {from: [env:STORE], hosts: [store.test]}
clients:
  ci: {networks: [10.0.0.0/8]}
rules:
  - {name: one, match: api.github.com/repos/acme/widget, resolve: github-api, credential: app, access: issues,
     graphql: [addComment], also: [/user], placeholder: [GH_TOKEN]}
  - {name: two, match: api.github.com/repos/acme/*, resolve: github-api, credential: other, placeholder: [OTHER_TOKEN]}
  - {name: git, match: github.com/acme/*, resolve: github-git, credential: app, placeholder: [GH_TOKEN]}
  - {name: ci, match: api.github.com/repos/hidden/*, resolve: github-api, credential: app, placeholder: [GH_TOKEN],
     clients: [ci]}
  - name: store
    match: store.test/*
    headers: {X-Store: "key {credential}", X-Kind: literal}
    on_existing: {X-Store: placeholder}
    placeholder: [STORE_TOKEN]
    credential: store
"""
)
PLACEHOLDERS = Placeholders(b"k", RULES.placeholders)
GH, OTHER, STORE = (PLACEHOLDERS.values[name] for name in ("GH_TOKEN", "OTHER_TOKEN", "STORE_TOKEN"))
STALE = Placeholders(b"another", ["GH_TOKEN"]).values["GH_TOKEN"]
API, WEB, UPLOADS, SHOP = map(Host, ("api.github.com", "github.com", "uploads.github.com", "store.test"))


def made(
    host: Host, path: str, token: str | None = GH, method: str = "GET", scheme: str = "https", **headers: str
) -> Decision:
    """What is done with a request that brings that token as gh does, and these headers."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"token {token}"
    fields = [(name.encode(), value.encode()) for name, value in sent.items()]
    asked = Request(scheme, host, method, path, headers=fields, has_body=method != "GET")
    return decide(asked, RULES, PLACEHOLDERS)


def kind(decision: Decision) -> str:
    assert isinstance(decision, Refuse), decision
    return decision.problem.kind


def injected(decision: Decision) -> str:
    """The rule by which a header is set."""
    assert isinstance(decision, Inject), decision
    return decision.rule.name


def test_it_is_replaced_where_it_belongs() -> None:
    """In the header of its rule, by any scheme, at its repository: and of several rules that whose it is."""
    assert injected(made(API, "/repos/acme/widget/releases")) == "one"
    assert injected(made(API, "/repos/acme/widget/releases", OTHER)) == "two"
    assert injected(made(API, "/repos/acme/other", OTHER)) == "two"
    basic = base64.b64encode(f"x:{GH}".encode()).decode()
    for value in (f"Bearer {GH}", f"bearer {GH}", f"Basic {basic}"):
        assert injected(made(API, "/repos/acme/widget", None, Authorization=value)) == "one"
    assert injected(made(WEB, "/acme/widget.git/info/refs?service=git-upload-pack")) == "git"


def test_a_rule_with_one_does_nothing_without_it() -> None:
    """What comes without, or with a credential of the client's own, passes as it came."""
    for path in ("/repos/acme/widget", "/repos/acme/other", "/user", "/users/x", "/graphql", "/repos/acme/../x"):
        assert made(API, path, None) == Pass()
        assert made(API, path, "ghp_Own0123456789012345678901234567890123") == Pass()
    assert made(WEB, "/acme/widget.git/info/refs?service=git-upload-pack", None) == Pass()


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (made(API, "/repos/evil/widget"), "api-outside-rules"),
        (made(API, "/repos/acme/other"), "api-outside-rules"),
        (made(API, "/repos/acme/widget-evil"), "api-outside-rules"),
        (made(API, "/repos/acme/widget/../../evil/x"), "api-outside-rules"),
        (made(API, "/repos/acme/widget/%2e%2e/%2e%2e/evil/x"), "api-outside-rules"),
        (made(API, "/repos/acme%2fwidget/x"), "api-outside-rules"),
        (made(API, "/repos/acme/widget%2f..%2fevil"), "api-outside-rules"),
        (made(API, "/repos//acme/widget"), "api-outside-rules"),
        (made(API, "/REPOS/acme/widget"), "api-outside-rules"),
        (made(API, "/repos/acme/widget#/../evil"), "api-outside-rules"),
        (made(API, "/search/issues?q=x"), "api-outside-rules"),
        (made(API, "/user/repos"), "api-outside-rules"),
        (made(API, "/user", method="PATCH"), "api-not-allowed"),
        (made(API, "/repos/acme/widget", method="DELETE"), "api-not-allowed"),
        (made(API, "/repos/acme/widget/contents/x", method="PUT"), "api-not-allowed"),
        (made(API, "/repos/acme/widget/hooks"), "api-not-allowed"),
        (made(API, "/repos/acme/widget/issues/1", method="POST", X_HTTP_Method_Override="PUT"), "api-not-allowed"),
        (made(API, "/repos/acme/widget", OTHER, "POST"), "api-not-allowed"),
        (made(UPLOADS, "/repos/acme/widget/releases/1/assets?name=x", method="POST"), "api-not-allowed"),
        (made(API, f"/repos/acme/widget?token={GH}"), "misplaced-placeholder"),
        (made(API, f"/repos/acme/widget?q={GH.replace('g', '%67')}", None), "misplaced-placeholder"),
        (made(API, f"/repos/acme/{GH}", None), "misplaced-placeholder"),
        (made(API, "/repos/acme/widget", None, X_Token=GH), "misplaced-placeholder"),
        (made(API, "/repos/acme/widget", GH, Cookie=f"a={GH}"), "misplaced-placeholder"),
        (made(API, "/repos/acme/widget", STORE), "misplaced-placeholder"),
        (made(SHOP, "/", GH), "misplaced-placeholder"),
        (made(SHOP, "/", STORE), "misplaced-placeholder"),
        (made(SHOP, "/", None, X_Store=f"key {GH}"), "misplaced-placeholder"),
        (made(SHOP, "/", None, X_Kind=STORE), "misplaced-placeholder"),
        (made(SHOP, "/a/../b", None, X_Store=STORE), "misplaced-placeholder"),
        (made(WEB, "/acme/widget/releases/download/v1/x"), "misplaced-placeholder"),
        (made(WEB, "/evil/widget.git/info/refs?service=git-upload-pack"), "misplaced-placeholder"),
        (made(Host("evil.test"), "/"), "misplaced-placeholder"),
        (made(API, "/repos/acme/widget", scheme="http"), "misplaced-placeholder"),
        (made(Host("evil.test"), "/", scheme="http"), "misplaced-placeholder"),
        (made(API, "/repos/acme/widget", STALE), "stale-placeholder"),
        (made(Host("evil.test"), "/", STALE, scheme="http"), "stale-placeholder"),
        (made(API, "/repos/hidden/x"), "client-not-allowed"),
        (made(WEB, "/acme/widget.git/git-receive-pack", method="POST"), "push-refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_refused_anywhere_else(decision: Decision, expected: str) -> None:
    """At another repository or path, by another way to write one, in another header, in path or query, at another host,
    over plain http, one of another start: each is refused with the reason, and nothing is asked for.
    """
    assert kind(decision) == expected


def test_a_header_of_another_name_is_set_where_it_was_sent() -> None:
    """A rule for headers sets the one alone in which the placeholder was; what is literal is set in any case."""
    with_it, without = made(SHOP, "/", None, x_store=f"key {STORE}"), made(SHOP, "/", None)
    assert isinstance(with_it, Inject)
    assert isinstance(without, Inject)
    assert [name for name, _ in with_it.headers] == ["X-Store", "X-Kind"]
    assert [name for name, _ in without.headers] == ["X-Kind"]
    assert (with_it.credential is None, without.credential is None) == (False, True)


def test_whom_the_secret_is_for() -> None:
    """A secret is for the repository that is asked for, else for the rule's, else for its owner's installation."""
    one, two = made(API, "/user"), made(API, "/repos/acme/x/issues", OTHER)
    assert isinstance(one, Inject)
    assert isinstance(two, Inject)
    assert (str(one.repository), str(two.repository)) == ("acme/widget", "acme/x")
    numbered = made(API, "/repositories/1/issues", OTHER)
    assert isinstance(numbered, Inject)
    assert numbered.repository is None
    assert numbered.call is not None
    assert numbered.call.number == 1
    assert dict(one.permissions)["issues"] == "write"
    assert dict(two.permissions)["issues"] == "read"


def test_graphql_is_read_first() -> None:
    """A question of GraphQL is held until it is read, unless nothing of it can be told."""
    asked = made(API, "/graphql", method="POST", Content_Length="10", Content_Type="application/json")
    assert isinstance(asked, Inject)
    assert asked.is_unread
    assert asked.is_graphql
    none = made(API, "/graphql", OTHER, "POST", Content_Length="10")
    assert isinstance(none, Inject)
    assert (none.credential, none.headers) == (None, ()), "no secret is asked for where nothing may go out"
    assert kind(made(API, "/graphql", method="POST")) == "unreadable-graphql"
    assert kind(made(API, "/graphql", method="POST", Content_Length="999999")) == "unreadable-graphql"
    encoded = made(API, "/graphql", method="POST", Content_Length="9", Content_Encoding="gzip")
    assert kind(encoded) == "unreadable-graphql"


PARTS = ["repos", "REPOS", "acme", "Acme", "widget", "evil", "..", ".", "%2e%2e", "%252e%252e", "%2e", "", "hooks"]
PARTS += [
    "repositories",
    "1",
    "user",
    "graphql",
    "releases",
    "widget%2f..%2fevil",
    "widget;x",
    "widget%00",
    "\\..\\evil",
]


@given(st.lists(st.sampled_from(PARTS), max_size=8), st.sampled_from(["/", "//", "%2f", "/./", "\\", "/x/../"]))
def test_however_it_is_read(parts: list[str], slash: str) -> None:
    """Whatever a server makes of a path, decoding it once more, or resolving its dots: what gets the secret is below
    the repository, of a number, or a path that the rule has besides.
    """
    decision = made(API, f"/{slash.join(parts)}", Content_Length="2", method="GET")
    if not isinstance(decision, Inject):
        return
    text = f"/{slash.join(parts)}"
    for _ in range(4):
        read = posixpath.normpath(text.replace("\\", "/").split(";")[0]).lower()
        below = f"{read}/".startswith(("/repos/acme/widget/", "/repositories/1/"))
        assert below or read in ("/user", "/graphql"), text
        text = unquote(text)


OPEN = parser.parse(
    """
version: 1
credentials:
  all: {from: [env:ALL], hosts: [github.com]}
rules:
  - {match: api.github.com/repos/acme/*, resolve: github-api, credential: all, also: [/rate_limit]}
"""
)


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/repos/acme/widget/releases", "GET", None),
        ("/rate_limit", "GET", None),
        ("/repos/acme/widget/issues", "POST", "api-not-allowed"),
        ("/user", "GET", "api-outside-rules"),
        ("/search/code?q=x", "GET", "api-outside-rules"),
        ("/repos/acme/widget/../evil", "GET", "api-outside-rules"),
        ("/repos/acme//evil", "GET", "api-outside-rules"),
    ],
)
def test_without_a_placeholder(path: str, method: str, expected: str | None) -> None:
    """Who sends no credential gets the rule's where it may, and is refused outside; who sends one keeps it."""
    asked = Request("https", API, method, path)
    own = Request("https", API, method, path, headers=[(b"authorization", b"token mine")])
    decision = decide(asked, OPEN)
    assert isinstance(decision, Inject) if expected is None else kind(decision) == expected
    assert decide(own, OPEN) == Pass()


def test_others_repositories_pass() -> None:
    """What is public of others' is anybody's: no rule is for it, and nothing is set."""
    assert decide(Request("https", API, "GET", "/repos/jdx/mise/releases/latest"), OPEN) == Pass()
    assert decide(Request("https", WEB, "GET", "/"), OPEN) == Pass()


def test_unverified() -> None:
    """Where certificates are not checked no secret takes a placeholder's place."""
    fields = [(b"Authorization", f"token {GH}".encode())]
    asked = Request("https", API, "GET", "/repos/acme/widget", False, fields)
    assert kind(decide(asked, RULES, PLACEHOLDERS)) == "unverified-upstream"
