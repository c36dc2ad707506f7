"""REST paths of the API: the repository that a path is below is told for sure, or the path is nobody's."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge import api
from gatepass.forge.api import Allowed, Call, may
from gatepass.forge.urls import Repository

WIDGET = Repository("acme", "widget")


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/repos/acme/widget", Call("", WIDGET)),
        ("/repos/acme/widget/", Call("", WIDGET)),
        ("/repos/ACME/Widget/issues/1", Call("issues/1", WIDGET)),
        ("/repos/acme/widget/git/ref/heads/feature%2Fx", Call("git/ref/heads/feature/x", WIDGET)),
        ("/repos/acme/widget/contents/%C3%A9.txt", Call("contents/é.txt", WIDGET)),
        ("/repositories/42/releases", Call("releases", number=42)),
        ("/user", Call("/user")),
        ("/", Call("/")),
        ("/search/issues", Call("/search/issues")),
    ],
)
def test_a_path_is_below_its_repository(path: str, call: Call) -> None:
    """Owner and repository are read from the path, decoded once; a number alone tells one, too; all else is outside."""
    assert api.parse(path) == call


@pytest.mark.parametrize(
    "path",
    [
        "/repos/acme/widget/../../evil/x",
        "/repos/acme/widget/%2e%2e/%2e%2e/evil/x",
        "/repos/acme/widget/%252e%252e/%252e%252e/evil",
        "/repos/acme/widget/..%2f..%2fevil",
        "/repos/acme/widget/..%5c..%5cevil",
        "/repos/acme/widget/..;/x",
        "/repos/acme//widget",
        "//repos/acme/widget",
        "/repos//acme/widget",
        "/repos/acme%2fwidget",
        "/repos/acme/widget%2f..%2fevil",
        "/repos/acm%65/widget",
        "/repos/acme/widget%00",
        "/repos/acme/widget%0d%0a",
        "/Repos/acme/widget",
        "/REPOSITORIES/42",
        "/repositories/4%32",
        "/repositories/",
        "/repositories/x",
        "/%72epos/acme/widget",
        "/repos/acme",
        "/repos/./widget",
        "/repos/acme/..",
        "/repos/acme/widget/\u00e9",
        "repos/acme/widget",
        "",
        "/repos/acme/widget/" + "x" * 5000,
        "/repos/acme/widget/%ff",
    ],
)
def test_what_might_be_read_otherwise_is_nobodys(path: str) -> None:
    """Dot segments, empty ones, and owner or repository in another spelling are not guessed at, however encoded."""
    assert api.parse(path) is None


@given(st.text(st.sampled_from("/.%2eEfF5cC;\\ab"), max_size=40))
def test_no_spelling_leads_out_of_the_repository(rest: str) -> None:
    """Whatever follows the repository: decoded over and over there is no segment that leads up."""
    call = api.parse(f"/repos/acme/widget/{rest}")
    if call is not None:
        assert call.repository == WIDGET
        text = call.rest
        for _ in range(3):
            assert not {".", ".."} & set(text.replace("\\", "/").split("/"))
            text = unquote(text)


@pytest.mark.parametrize(
    ("access", "method", "rest", "expected"),
    [
        ("read", "GET", "", True),
        ("read", "GET", "releases/latest", True),
        ("read", "HEAD", "contents/a", True),
        ("read", "POST", "issues", False),
        ("read", "GET", "actions/secrets", False),
        ("read", "GET", "actions/secrets/NAME", False),
        ("read", "GET", "hooks", False),
        ("read", "GET", "Hooks/1", False),
        ("read", "GET", "actions/runs", True),
        ("issues", "POST", "issues", True),
        ("issues", "PATCH", "issues/1", True),
        ("issues", "POST", "pulls/1/reviews", True),
        ("issues", "PUT", "pulls/1/merge", False),
        ("issues", "POST", "releases", False),
        ("issues", "PUT", "contents/a", False),
        ("write", "POST", "releases", True),
        ("write", "PUT", "contents/a", True),
        ("write", "PUT", "pulls/1/merge", True),
        ("write", "DELETE", "", False),
        ("write", "PATCH", "", False),
        ("write", "POST", "hooks", False),
        ("write", "PUT", "actions/secrets/X", False),
        ("write", "PUT", "collaborators/mallory", False),
        ("write", "PUT", "branches/main/protection", False),
        ("write", "POST", "transfer", False),
        ((Allowed("POST", "issues/*/comments"),), "POST", "issues/1/comments", True),
        ((Allowed("POST", "issues/*/comments"),), "POST", "issues/1/2/comments", False),
        ((Allowed("GET", "contents/**"),), "GET", "contents/a/b", True),
        ((Allowed("GET", "contents/**"),), "POST", "contents/a/b", False),
        ((Allowed("GET", "a.b"),), "GET", "axb", False),
    ],
)
def test_what_a_word_lets_be_done(access: api.ApiAccess, method: str, rest: str, expected: bool) -> None:
    """A word stands for reading, issues or contents, and none for administration, hooks or secrets."""
    assert may(access, method, rest) is expected


@given(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), st.text(max_size=30))
def test_reading_changes_nothing(method: str, rest: str) -> None:
    """No other method than GET and HEAD is a reading one, whatever the path."""
    assert not may("read", method, quote(rest))
