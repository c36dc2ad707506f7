"""The stand-in's GraphQL, issues and uploads: as far as gh asks them, and as GitHub's schema and docs have them."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, Asset, Issue, Release, Repository, Token

if TYPE_CHECKING:
    from gatepass.demo.standin import StandIn


def ask(github: StandIn, path: str, body: Any = None, token: str | None = DEFAULT_TOKEN) -> tuple[int, Any]:
    """Status and JSON of what the API says, of a POST where there is a body."""
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"token {token}"})
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = Request(f"https://{github.web}{path}", data, headers)
    try:
        with urlopen(request, context=ssl.create_default_context(cafile=github.ca_file)) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def repository(github: StandIn) -> Repository:
    release = Release("v1.0", [Asset("a.txt", b"a")])
    made = Repository("acme", "tool", releases=[release, Release("v2", draft=True)], issues=[Issue("a bug", 1)])
    github.repositories.append(made)
    return made


def question(github: StandIn, text: str, token: str | None = DEFAULT_TOKEN, **variables: Any) -> tuple[int, Any]:
    return ask(github, "/api/graphql", {"query": text, "variables": variables}, token)


def test_root(github: StandIn) -> None:
    """The API's root tells where things are."""
    assert ask(github, "/api/v3/")[0] == 200


def test_a_query(github: StandIn, repository: Repository) -> None:
    """Aliases, fragments and variables mean what they mean; what is not known is null."""
    text = """
    query($o: String!, $n: String!) { it: repository(owner: $o, name: $n) { ...F nothing } }
    fragment F on Repository { issues(first: 1) { totalCount nodes { ... on Issue { title } } } }
    """
    status, found = question(github, text, o="ACME", n=repository.name)
    issues = {"totalCount": 1, "nodes": [{"title": "a bug"}]}
    assert (status, found) == (200, {"data": {"it": {"issues": issues, "nothing": None}}})


def test_what_may_not_be_seen(github: StandIn, repository: Repository) -> None:
    """It is an error of the type NOT_FOUND, with 200; and nobody asks without a token."""
    github.tokens.append(Token("ghp_other", repositories=set()))
    status, found = question(github, '{ repository(owner: "acme", name: "tool") { id } }', "ghp_other")
    assert status == 200
    assert found["data"] == {"repository": None}
    assert found["errors"][0]["type"] == "NOT_FOUND"
    assert question(github, "{ viewer { login } }", None)[0] == 401
    assert repository.private


def test_drafts_are_for_who_may_push(github: StandIn, repository: Repository) -> None:
    """The question for a release by its tag finds a draft for those alone."""
    text = '{ repository(owner: "acme", name: "tool") { release(tagName: "v2") { isDraft } } }'
    assert question(github, text)[1]["data"]["repository"] == {"release": None}
    github.tokens[0].push = True
    assert question(github, text)[1]["data"]["repository"] == {"release": {"isDraft": True}}
    assert repository.releases[1].draft


@pytest.mark.parametrize(
    ("permissions", "is_made"), [(None, True), ({"issues": "write"}, True), ({"issues": "read"}, False)]
)
def test_a_mutation(github: StandIn, repository: Repository, permissions: dict[str, str] | None, is_made: bool) -> None:
    """An issue is made by whose token may write issues."""
    github.tokens[0].permissions = permissions
    text = "mutation($input: CreateIssueInput!) { createIssue(input: $input) { issue { number } } }"
    _, found = question(github, text, input={"repositoryId": f"R_{repository.id}", "title": "x"})
    assert (found["data"]["createIssue"] is not None) is is_made
    assert len(repository.issues) == (2 if is_made else 1)
    status, _ = ask(github, "/api/v3/repos/acme/tool/issues", {"title": "y"})
    assert status == (201 if is_made else 404)


def test_issues(github: StandIn, repository: Repository) -> None:
    """They are listed by REST, too."""
    status, found = ask(github, f"/api/v3/repos/{repository.full_name}/issues")
    assert (status, [each["title"] for each in found]) == (200, ["a bug"])


def test_uploads(github: StandIn, repository: Repository) -> None:
    """A file goes where the release's JSON says, for who may push."""
    _, found = ask(github, "/api/v3/repos/acme/tool/releases/tags/v1.0")
    place = found["upload_url"].removeprefix(f"https://{github.web}").partition("{")[0]
    assert ask(github, f"{place}?name=b.txt", b"b")[0] == 404
    github.tokens[0].push = True
    assert ask(github, f"{place}?name=b.txt", b"b")[0] == 201
    asset = repository.releases[0].asset("b.txt")
    assert asset is not None
    assert asset.content == b"b"
    assert GITHUB.uploads == "uploads.github.com"
