"""The stand-in GitHub's lists, of releases, tags and repositories, keep to what is known of the real ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from direct import api
from gatepass.demo.standin import Asset, Release, Repository, StandIn, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from direct import Reply


@pytest.fixture
def tool() -> Repository:
    return Repository("acme", "tool", releases=[Release("v1.0", [Asset("tool.zip", b"zip", label="tool one.zip")])])


@pytest.fixture
def github(tool: Repository) -> Iterator[StandIn]:
    with StandIn([tool]) as standin:
        yield standin


def names(reply: Reply) -> list[str]:
    return [repository["full_name"] for repository in reply.json]


def test_a_release_tells_when_it_was_published(github: StandIn, tool: Repository) -> None:
    """`published_at` may be long after `created_at`, the commit's date; a draft has none; an asset has its own dates
    and its label.
    """
    committed, published = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    tool.releases[0].created_at, tool.releases[0].published_at = committed, published
    tool.releases[0].immutable = True
    tool.releases.append(Release("draft", draft=True))
    github.tokens.append(Token("pusher", push=True))
    by_tag = {each["tag_name"]: each for each in api(github, "/repos/acme/tool/releases", token="pusher").json}
    release = by_tag["v1.0"]
    assert (release["created_at"], release["published_at"]) == ("2020-01-01T00:00:00Z", "2026-02-03T04:05:06Z")
    assert (release["immutable"], by_tag["draft"]["immutable"], by_tag["draft"]["published_at"]) == (True, False, None)
    assert release["assets"][0]["label"] == "tool one.zip"


def test_the_list_of_releases_ends(github: StandIn, tool: Repository) -> None:
    """A page that begins behind the thousandth release is 422, though `Link` names it; each release is still found by
    its tag, and all tags are listed.
    """
    github.most_listed = 20
    tool.releases = [Release(f"v{number}") for number in range(45)]
    tool.tags = ["without-release"]
    first = api(github, "/repos/acme/tool/releases?per_page=10")
    assert 'page=5>; rel="last"' in first.headers["link"]
    assert [len(api(github, f"/repos/acme/tool/releases?per_page=10&page={page}").json) for page in (1, 2)] == [10, 10]
    refused = api(github, "/repos/acme/tool/releases?per_page=10&page=3")
    assert (refused.status, refused.json["message"]) == (422, "Only the first 20 results are available.")
    assert api(github, "/repos/acme/tool/releases/tags/v0").status == 200
    tags = api(github, "/repos/acme/tool/tags?per_page=100").json
    assert [tag["name"] for tag in tags] == [*(f"v{number}" for number in range(44, -1, -1)), "without-release"]


def test_a_list_that_did_not_change_is_free(github: StandIn) -> None:
    """Asked with its validator, a list costs nothing, and its 304 names no other pages."""
    reply = api(github, "/repos/acme/tool/releases?per_page=100")
    used = github.tokens[0].used
    again = api(github, "/repos/acme/tool/releases?per_page=100", if_none_match=reply.headers["etag"])
    assert (again.status, again.body, github.tokens[0].used) == (304, b"", used)
    assert "link" not in again.headers


@pytest.mark.parametrize("path", ["/orgs/Acme/repos", "/user/repos", "/users/acme/repos"])
def test_repositories_are_listed_as_far_as_they_are_seen(github: StandIn, path: str) -> None:
    """An organisation's list holds what the token sees; the user's own, what it was let into; the public one no private
    repository.
    """
    github.repositories += [Repository("acme", "open", private=False), Repository("other", "theirs", private=False)]
    github.tokens.append(Token("narrow", repositories=set()))
    expected = {
        "/orgs/Acme/repos": (["acme/tool", "acme/open"], ["acme/open"]),
        "/user/repos": (["acme/tool"], []),
        "/users/acme/repos": (["acme/open"], ["acme/open"]),
    }[path]
    assert (names(api(github, path)), names(api(github, path, token="narrow"))) == expected


def test_a_user_is_no_organisation(github: StandIn) -> None:
    """A user has no list under `/orgs`, nor has who is not there; its own private ones are in `/user/repos` alone."""
    github.repositories[:] = [Repository("monalisa", "mine", owner_type="User")]
    assert api(github, "/orgs/monalisa/repos").status == api(github, "/orgs/nobody/repos").status == 404
    assert names(api(github, "/users/monalisa/repos")) == []
    assert names(api(github, "/user/repos")) == ["monalisa/mine"]
    assert api(github, "/user/repos").json[0]["owner"]["type"] == "User"


def test_the_users_own_list_needs_a_user(github: StandIn) -> None:
    """Nobody, and an App's installation, have no repositories of their own."""
    github.tokens.append(Token("ghs_x", kind="installation"))
    assert api(github, "/user/repos", token=None).status == 401
    assert api(github, "/user/repos", token="ghs_x").status == 403


def test_a_list_of_repositories_has_pages(github: StandIn) -> None:
    """A list has at most a hundred a page, and `Link` names the next."""
    github.repositories[:] = [Repository("acme", f"r{number}") for number in range(101)]
    reply = api(github, "/orgs/acme/repos?per_page=100")
    assert len(reply.json) == 100
    assert 'rel="next"' in reply.headers["link"]
    assert len(api(github, "/orgs/acme/repos?per_page=100&page=2").json) == 1
    assert "next" not in api(github, "/orgs/acme/repos?per_page=100&page=2").headers["link"]


def test_an_organisation_that_wants_single_sign_on_says_so_in_lists(github: StandIn) -> None:
    """A list that would hold a repository behind single sign-on is refused as the repository is."""
    github.tokens.append(Token("sso", sso="https://example.com/sso"))
    assert api(github, "/orgs/acme/repos", token="sso").status == 403
