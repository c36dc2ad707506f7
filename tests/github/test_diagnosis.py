"""Why a release was not found: what a few more questions tell apart. Before the stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import Release, Repository
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.github.diagnosis import MOST_CALLS, look, renamed_to
from gatepass.problems.problem import Unresolvable
from gatepass.secret import Secret

if TYPE_CHECKING:
    from gatepass.demo.standin import StandIn
    from gatepass.forge.hosts import Forge
    from gatepass.github.client import GitHub
    from gatepass.problems.problem import Problem


@pytest.fixture
def tool(github: StandIn) -> Repository:
    tool = Repository("acme", "tool", releases=[Release("v1.0"), Release("v1.1"), Release("v2.0", draft=True)])
    github.repositories.append(tool)
    return tool


async def diagnosed(api: GitHub, forge: Forge, github: StandIn, tag: str | None, repository: str = "tool") -> Problem:
    ref = AssetRef(Name("acme", repository), tag, "data.bin")
    secret = Secret(github.token, "env:STANDIN_TOKEN")
    return (await look(api, forge, ref.repository, secret)).why(forge, ref, secret)


@pytest.mark.usefixtures("tool")
async def test_a_repository_that_is_not_seen(api: GitHub, forge: Forge, github: StandIn) -> None:
    """One call tells that the repository is not there for this token; the tag is then no question."""
    problem = await diagnosed(api, forge, github, "v1.0", "none")
    assert problem.kind == "repository-not-visible"
    assert [call.path for call in github.calls()] == ["/repos/acme/none"]


@pytest.mark.usefixtures("tool")
async def test_a_tag_that_is_misspelt(api: GitHub, forge: Forge, github: StandIn) -> None:
    """Two calls tell that the tag is wrong, and what may have been meant; a draft is not, though the token sees it."""
    github.tokens[0].push = True
    problem = await diagnosed(api, forge, github, "1.0")
    assert problem.kind == "tag-not-found"
    assert "did you mean `v1.0`" in problem.hint
    assert len(github.calls()) == 2
    assert "v2.0" not in (await diagnosed(api, forge, github, "2.0")).hint


async def test_no_release_at_all(api: GitHub, forge: Forge, github: StandIn, tool: Repository) -> None:
    """A repository without a release is told as one, be it asked for a tag or for the latest."""
    tool.releases.clear()
    for tag, words in (("v1.0", "has no release with the tag `v1.0`"), (None, "has no published release")):
        assert words in (await diagnosed(api, forge, github, tag)).detail


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(("push", "kind"), [(True, "only-a-draft"), (False, "tag-not-found")])
async def test_a_draft(api: GitHub, forge: Forge, github: StandIn, push: bool, kind: str) -> None:
    """A draft of that tag is told to whom the forge shows drafts, which is who may push."""
    github.tokens[0].push = push
    assert (await diagnosed(api, forge, github, "v2.0")).kind == kind


@pytest.mark.usefixtures("tool")
async def test_a_drafts_url(api: GitHub, forge: Forge, github: StandIn) -> None:
    """The name that a draft has on GitHub's pages is told, by one look at its repository; one like it is not."""
    problem = await diagnosed(api, forge, github, "untagged-0f4ae9d8d2cd27b9a0c1")
    assert problem.kind == "draft-url"
    assert len(github.calls()) == MOST_CALLS
    assert (await diagnosed(api, forge, github, "untagged-build")).kind == "tag-not-found"
    assert (await diagnosed(api, forge, github, "untagged-0f4ae9d8", "none")).kind == "repository-not-visible"


async def test_a_renamed_repository(api: GitHub, forge: Forge, github: StandIn, tool: Repository) -> None:
    """That the repository goes by another name now is told beside what is wrong."""
    tool.rename("acme/instrument")
    problem = await diagnosed(api, forge, github, "v9.9")
    assert problem.kind == "tag-not-found"
    assert problem.members["renamed-to"] == "acme/instrument"


@pytest.mark.usefixtures("tool")
async def test_a_refusal_is_no_diagnosis(api: GitHub, forge: Forge, github: StandIn) -> None:
    """Where the API refuses the question, nothing is concluded about the release."""
    github.tokens[0].sso = "https://github.com/orgs/acme/sso"
    with pytest.raises(Unresolvable) as caught:
        await diagnosed(api, forge, github, "v1.0")
    assert caught.value.problem.kind == "sso-required"


@pytest.mark.parametrize(
    ("full_name", "is_renamed"), [("acme/tool", False), ("ACME/Tool", False), ("acme/tools", True), ("b/tool", True)]
)
def test_a_name_is_the_same_in_any_case(full_name: str, is_renamed: bool) -> None:
    """GitHub's names ignore case: only a name that differs otherwise is another."""
    renamed = renamed_to(full_name, Name("acme", "tool"))
    assert renamed == (Name(*full_name.split("/")) if is_renamed else None)
