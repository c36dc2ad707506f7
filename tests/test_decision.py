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


KINDS = parser.parse(
    """
version: 1
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
rules:
  - {name: release, match: github.com/acme/*, resolve: github-release, credential: github}
  - {name: source, match: github.com/acme/*, resolve: github-source, credential: github}
  - {name: raw, match: raw.githubusercontent.com/acme/*, resolve: github-source, credential: github}
  - {name: push, match: github.com/acme/may-push/*, resolve: github-git, push: true, credential: github}
  - {name: keep, match: github.com/acme/keep/*, resolve: github-git, on_existing: keep, credential: github}
  - {name: refuse, match: github.com/acme/refuse/*, resolve: github-git, on_existing: refuse, credential: github}
  - {name: always, match: github.com/acme/always/*, resolve: github-git, when: always, credential: github}
  - {name: git, match: github.com/acme/*, resolve: github-git, credential: github}
  - {name: rest, match: github.com/acme/*, headers: {X-Rest: "1"}, methods: [GET, POST]}
"""
)
FETCH, PUSH = "info/refs?service=git-upload-pack", "info/refs?service=git-receive-pack"
RAW_HOST = Host("raw.githubusercontent.com")


def named(decision: Decision) -> str | None:
    """The rule that a request fell under."""
    return decision.rule.name if isinstance(decision, Resolve | Inject) else getattr(decision, "rule", None)


@pytest.mark.parametrize(
    ("method", "target", "rule"),
    [
        ("GET", "/acme/tool/releases/download/v1/f", "release"),
        ("GET", "/acme/tool/releases/expanded_assets/v1", "release"),
        ("HEAD", "/acme/tool/archive/v1.zip", "source"),
        ("GET", "/acme/tool/raw/main/f", "source"),
        ("GET", f"/acme/tool.git/{FETCH}", "git"),
        ("POST", "/acme/tool/git-upload-pack", "git"),
        ("GET", f"/acme/may-push.git/{PUSH}", "push"),
        ("POST", "/acme/may-push/git-receive-pack", "push"),
        ("GET", "/acme/tool/info/refs", "rest"),
        ("GET", "/acme/tool/issues", "rest"),
        ("POST", "/acme/tool/archive/v1.zip", "rest"),
        ("PUT", "/acme/tool/git-receive-pack", None),
        ("GET", "/other/tool/archive/v1.zip", None),
        ("GET", f"/other/tool.git/{FETCH}", None),
    ],
)
def test_a_rule_takes_its_own_kind(method: str, target: str, rule: str | None) -> None:
    """A rule that resolves takes the URLs of its kind alone; others go on to the next rule."""
    assert named(decide(Request("https", GITHUB_WEB, method, target), KINDS)) == rule


def test_raw_files_have_a_host_of_their_own() -> None:
    """What is a raw file there is none at the web host, and the other way round; the API's forge is the same."""
    decision = decide(Request("https", RAW_HOST, "GET", "/acme/tool/main/f"), KINDS)
    assert isinstance(decision, Resolve)
    assert (decision.rule.name, decision.forge) == ("raw", GITHUB)
    assert named(decide(Request("https", RAW_HOST, "GET", "/acme/tool/archive/v1.zip"), KINDS)) == "raw"
    assert named(decide(Request("https", GITHUB_WEB, "GET", "/acme/tool/main/f"), KINDS)) == "rest"


@pytest.mark.parametrize("target", [f"/acme/tool/{PUSH}", "/acme/tool.git/git-receive-pack"])
def test_a_push_is_refused(target: str) -> None:
    """Unless its rule lets git push."""
    method = "GET" if "?" in target else "POST"
    decision = decide(Request("https", GITHUB_WEB, method, target), KINDS)
    assert isinstance(decision, Refuse)
    assert (decision.problem.kind, decision.rule) == ("push-refused", "git")


def test_git_is_asked_for_as_anybody_first() -> None:
    """What anybody may fetch needs no credential, and a push always does; `when: always` leaves the question out."""

    def first(method: str, target: str) -> bool:
        decision = decide(Request("https", GITHUB_WEB, method, target), KINDS)
        assert isinstance(decision, Inject)
        assert decision.git is not None
        assert [(name, template.text) for name, template in decision.headers] == [
            ("Authorization", "{basic:x-access-token}")
        ]
        return decision.anonymous_first

    assert first("GET", f"/acme/tool/{FETCH}")
    assert first("GET", f"/acme/may-push/{FETCH}")
    assert not first("GET", f"/acme/may-push/{PUSH}")
    assert not first("POST", "/acme/may-push/info/lfs/objects/batch")
    assert not first("GET", f"/acme/always/{FETCH}")


def test_gits_own_credentials() -> None:
    """They are replaced, or win, or are refused, as the rule says."""
    own = ((b"authorization", b"Basic bWU6eA=="),)
    kinds = [
        type(decide(Request("https", GITHUB_WEB, "GET", f"/acme/{name}/{FETCH}", headers=own), KINDS))
        for name in ("tool", "keep", "refuse")
    ]
    assert kinds == [Inject, Pass, Refuse]
    assert isinstance(decide(Request("https", GITHUB_WEB, "GET", f"/acme/keep/{PUSH}", headers=own), KINDS), Pass)
    assert isinstance(decide(Request("https", GITHUB_WEB, "GET", f"/acme/keep/{FETCH}"), KINDS), Inject)


@pytest.mark.parametrize(
    ("headers", "does"),
    [
        (((b"Content-Length", b"1048576"),), True),
        (((b"Content-Length", b"1048577"),), False),
        (((b"Content-Length", b"9" * 5000),), False),
        (((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")), False),
        (((b"Content-Length", b"5"), (b"Content-Encoding", b"gzip")), False),
        ((), False),
    ],
)
def test_a_batch_has_to_be_read(headers: tuple[tuple[bytes, bytes], ...], does: bool) -> None:
    """LFS's one question for both is held and read where nothing may be uploaded, so it has a bound."""
    path = "/acme/tool.git/info/lfs/objects/batch"
    decision = decide(Request("https", GITHUB_WEB, "POST", path, headers=headers, has_body=True), KINDS)
    assert isinstance(decision, Inject if does else Refuse)
    assert not isinstance(decision, Inject) or decision.is_unread
    pushing = decide(Request("https", GITHUB_WEB, "POST", path.replace("tool", "may-push"), has_body=True), KINDS)
    assert isinstance(pushing, Inject)
    assert not pushing.is_unread


def test_a_source_that_no_rule_names() -> None:
    """It passes, and is known for what it is: a 404 can be explained."""
    decision = decide(Request("https", GITHUB_WEB, "GET", "/other/tool/archive/v1.zip"), KINDS)
    assert isinstance(decision, Pass)
    assert str(decision.ref) == "other/tool@v1 (zipball)"
