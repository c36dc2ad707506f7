"""What is done with a request: pure, so proved without any part of a proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.decision import Decision, Inject, Pass, Refuse, Request, Resolve, Want, decide, want
from gatepass.forge.hosts import GITHUB, Host
from gatepass.rules import parser

RULES = parser.parse(
    """
version: 1
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
  index: {from: [env:INDEX], hosts: [index.test]}
rules:
  - {match: github.com/*/releases/download/*, resolve: github-release, credential: github}
  - {match: index.test/simple/*, headers: {Authorization: "Bearer {credential}"}, credential: index}
"""
)
PATH = "/o/r/releases/download/v1/f.whl"
GITHUB_WEB = GITHUB.web


def test_resolve() -> None:
    """A GET or HEAD of a download URL that a rule names is resolved, its query left aside."""
    for method in ("GET", "HEAD"):
        decision = decide(Request("https", GITHUB_WEB, method, f"{PATH}?x=1"), RULES)
        assert isinstance(decision, Resolve)
        assert (decision.forge, [c.name for c in decision.credentials], str(decision.ref)) == (
            GITHUB,
            ["github"],
            "o/r@v1/f.whl",
        )


def test_inject() -> None:
    """A rule with headers injects on its own host."""
    decision = decide(Request("https", Host("index.test"), "GET", "/simple/x/"), RULES)
    assert isinstance(decision, Inject)


@pytest.mark.parametrize(
    "request_",
    [
        Request("http", GITHUB_WEB, "GET", PATH),
        Request("https", Host("github.com", 444), "GET", PATH),
        Request("https", Host("github.com.evil.test"), "GET", PATH),
        Request("https", Host("evil.test"), "GET", f"/github.com{PATH}"),
        Request("https", Host("github.com."), "GET", PATH),
        Request("https", Host("api.github.com"), "GET", PATH),
        Request("https", GITHUB_WEB, "POST", PATH),
        Request("https", GITHUB_WEB, "PUT", PATH),
        Request("https", GITHUB_WEB, "DELETE", PATH),
        Request("https", GITHUB_WEB, "get", PATH),
        Request("https", GITHUB_WEB, "GET", "/o/r.git/info/refs"),
        Request("https", GITHUB_WEB, "GET", "/o/r?x=/releases/download/v1/f"),
        Request("https", GITHUB_WEB, "GET", "/a/b/c/releases/download/v1/f"),
        Request("https", Host("index.test"), "GET", "/other"),
        Request("https", Host("index.test"), "POST", "/simple/x/"),
    ],
    ids=str,
)
def test_pass(request_: Request) -> None:
    """Whatever is not exactly what a rule names passes."""
    assert decide(request_, RULES) == Pass()


def injected(on_existing: str, *sent: tuple[bytes, bytes]) -> list[str] | None:
    """The names of the headers that are set on a request with these; None when it is refused."""
    rules = parser.parse(
        "version: 1\ncredentials: {a: {from: [env:A], hosts: [a.test]}}\n"
        "rules:\n  - match: a.test/*\n    credential: a\n"
        '    headers: {X-Token: "token {credential}", Authorization: "{basic:me}", X-Kind: literal}\n'
        f"    on_existing: {on_existing}\n"
    )
    decision = decide(Request("https", Host("a.test"), "GET", "/", headers=sent), rules)
    if isinstance(decision, Refuse):
        return None
    assert isinstance(decision, Inject)
    assert (decision.credential is not None) == any(template.needs_secret for _, template in decision.headers)
    return [name for name, _ in decision.headers]


TOKEN, BASIC, KIND = (b"x_token", b"mine"), (b"AUTHORIZATION", b"Basic bWU6eA=="), (b"x-kind", b"mine")


@pytest.mark.parametrize(
    ("on_existing", "sent", "expected"),
    [
        ("replace", (TOKEN, KIND), ["X-Token", "Authorization", "X-Kind"]),
        ("keep", (TOKEN, KIND), ["Authorization"]),
        ("refuse", (TOKEN,), None),
        ("{x-token: refuse}", (BASIC, KIND), ["X-Token", "Authorization", "X-Kind"]),
        ("{x-token: refuse}", (TOKEN,), None),
        ("{X-Token: keep, X-Kind: refuse}", (TOKEN, BASIC), ["Authorization", "X-Kind"]),
        ("{X-Token: keep, X-Kind: refuse}", (KIND,), None),
        ("{X-Token: keep, X-Kind: refuse}", (), ["X-Token", "Authorization", "X-Kind"]),
    ],
)
def test_what_the_client_sent(
    on_existing: str, sent: tuple[tuple[bytes, bytes], ...], expected: list[str] | None
) -> None:
    """What becomes of a header that the client sent is said for all headers, or for each; the rest is replaced."""
    assert injected(on_existing, *sent) == expected


@pytest.mark.parametrize(
    ("name", "value", "is_set"),
    [
        (b"X-Token", b"token PLACE", True),
        (b"x_tokeN", b" token PLACE ", True),
        (b"X-Token", b"token OTHER", False),
        (b"X-Token", b"PLACE", False),
        (b"X-Token", b"token PLACE!", False),
        (b"X-Other", b"token PLACE", False),
    ],
)
def test_a_placeholder(name: bytes, value: bytes, is_set: bool) -> None:
    """A secret takes the place of the placeholder where the client sent it as the rule would the secret, and nowhere
    else: what the client sends besides is its own.
    """
    words = "{X-Token: placeholder, Authorization: placeholder, X-Kind: keep}\n    placeholder: PLACE"
    assert injected(words, (name, value)) == [*(["X-Token"] if is_set else []), "X-Kind"]
    assert injected(words, KIND) == []


def test_a_placeholder_within_basic() -> None:
    """A client that sends the placeholder as its password is one that sends it."""
    words = "{X-Token: placeholder, Authorization: placeholder, X-Kind: keep}\n    placeholder: x"
    assert injected(words, BASIC, KIND) == ["Authorization"]


def test_unverified_upstream() -> None:
    """Where certificates are not checked, what would carry a credential is refused, and what would not still passes."""
    refused = [
        Request("https", GITHUB_WEB, "GET", PATH, False),
        Request("https", Host("index.test"), "GET", "/simple/", False),
    ]
    for request in refused:
        decision = decide(request, RULES)
        assert isinstance(decision, Refuse)
        assert "ssl_insecure" in decision.problem.detail
    assert decide(Request("https", GITHUB_WEB, "GET", "/", False), RULES) == Pass()


@given(st.text(), st.integers(1, 65535), st.text(), st.text())
def test_an_unlisted_host_always_passes(name: str, port: int, method: str, path: str) -> None:
    """No path, port or method makes a host that no rule names ours."""
    host = Host(name.lower(), port)
    if not RULES.names(host):
        assert decide(Request("https", host, method, path), RULES) == Pass()
        assert decide(Request("https", host, "GET", PATH), RULES) == Pass()


def test_want() -> None:
    """Each request wants one thing; a part that is small and sure to be is told from one that may be of any size."""
    assert want("HEAD", {"range": "bytes=0-1"}) is Want.HEADERS
    assert want("GET", {}) is Want.WHOLE
    for name in ("if-none-match", "if-modified-since"):
        assert want("GET", {name: ""}) is Want.NEWER
    for name in ("if-match", "if-unmodified-since"):
        assert want("GET", {name: "", "if-none-match": ""}) is Want.PART
    for text in ("bytes=-16384", "bytes=0-0", "bytes=5-1048580"):
        assert want("GET", {"range": text}) is Want.EXCERPT
    for text in ("bytes=0-", "bytes=0-1048576", "bytes=-1048577", "bytes=0-1,5-6", "bytes=9-1", "lines=1-2", ""):
        assert want("GET", {"range": text}) is Want.PART


FOR_CLIENTS = """
version: 1
clients:
  ci: {password: [env:CI]}
  office: {networks: [10.0.0.0/8]}
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
  index: {from: [env:INDEX], hosts: [index.test]}
rules:
  - {name: ours, match: github.com/o/*, resolve: github-release, credential: github, clients: [ci]}
  - {name: index, match: index.test/*, headers: {X-A: "{credential}"}, credential: index, clients: [ci]}
  - {name: rest, match: index.test/open/*, headers: {X-B: literal}}
"""


def asked(host: str, path: str, client: str | None, more: str = "") -> Decision:
    """What is decided of a GET for that client, with these rules and more."""
    return decide(Request("https", Host(host), "GET", path, client=client), parser.parse(FOR_CLIENTS + more))


@pytest.mark.parametrize("client", ["office", None])
def test_a_rule_for_others(client: str | None) -> None:
    """It is passed over; when no other matches, the refusal names it, whom it is for, and who asked."""
    for host, path, rule in (("github.com", PATH, "ours"), ("index.test", "/x", "index")):
        decision = asked(host, path, client)
        assert isinstance(decision, Refuse)
        problem = decision.problem
        assert (problem.kind, problem.status) == ("client-not-allowed", 403)
        assert problem.detail.startswith(f"rule `{rule}` is for `ci`, ")
        assert ("`office`" in problem.detail) == (client is not None)
    decision = asked("index.test", "/open/x", client)
    assert isinstance(decision, Inject)
    assert decision.rule.name == "rest"


def test_a_rule_for_this_client() -> None:
    """It is applied, in its place among the others."""
    assert isinstance(asked("github.com", PATH, "ci"), Resolve)
    decision = asked("index.test", "/open/x", "ci")
    assert isinstance(decision, Inject)
    assert decision.rule.name == "index"


def test_what_a_rule_for_others_does_nothing_about() -> None:
    """A page of the forge that is no download passes for everybody, as it does without the rule."""
    assert asked("github.com", "/o/r/issues", "office") == Pass()
    assert asked("other.test", "/", "office") == Pass()


def test_a_rule_for_others_that_only_reports() -> None:
    """It passes, without a credential, and what it would have met is told."""
    decision = asked("index.test", "/x", "office", "egress: {report_only: true}")
    assert isinstance(decision, Pass)
    assert decision.would_refuse is not None
    assert decision.would_refuse.rule == "index"
    assert decision.would_refuse.problem.kind == "client-not-allowed"
    assert isinstance(asked("index.test", "/x", "ci", "egress: {report_only: true}"), Inject)


def test_whom_a_download_counts_for() -> None:
    """The account that asks, whatever its name is, is the one that the questions to the API are counted for."""
    decision = decide(Request("https", GITHUB_WEB, "GET", PATH, client="ci", account="client ci"), RULES)
    assert isinstance(decision, Resolve)
    assert decision.account == "client ci"
