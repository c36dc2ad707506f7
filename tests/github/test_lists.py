"""The lists of the API, read whole: what they cost, what ends them, and that a fault is never an empty list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from gatepass.demo.standin import App, Asset, Fault, Installation, Release, Repository, Token
from gatepass.forge.urls import Repository as Name
from gatepass.github.lists import Listed, Lists
from gatepass.problems.problem import Unresolvable
from gatepass.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gatepass.demo.standin import Recorded, StandIn
    from gatepass.demo.standin.exchange import Answer
    from gatepass.forge.hosts import Forge
    from gatepass.github import lists
    from gatepass.github.client import GitHub

TOOL = Name("acme", "tool")
JSON = {"content-type": "application/json; charset=utf-8", "x-github-media-type": "github.v3; format=json"}
CUT = b'{"message":"Only the first %s results are available."}'


@pytest.fixture
def secret(github: StandIn) -> Secret:
    return Secret(github.token, "env:STANDIN_TOKEN")


@pytest.fixture
def tool(github: StandIn) -> Repository:
    tool = Repository("acme", "tool", releases=[Release("v1.0", [Asset("data.bin", b"data")])])
    github.repositories.append(tool)
    return tool


def tags(releases: tuple[lists.Release, ...]) -> tuple[str, ...]:
    return tuple(release.tag_name for release in releases)


def names(assets: tuple[lists.Asset, ...]) -> tuple[str, ...]:
    return tuple(asset.name for asset in assets)


async def kind_of(call: Awaitable[object]) -> tuple[str, int]:
    with pytest.raises(Unresolvable) as caught:
        await call
    return caught.value.problem.kind, caught.value.problem.status


async def test_releases(api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository) -> None:
    """One call tells a hundred releases, each as the API has it, with its assets; the newest is the first."""
    tool.releases.append(Release("v2.0", immutable=True, prerelease=True))
    found = await Lists(api).releases(forge, TOOL, secret, lambda releases: releases)
    first, second = found.things
    assert (first.tag_name, first.immutable, first.prerelease, first.draft) == ("v2.0", True, True, False)
    assert first.published_at == tool.releases[1].created_at
    (asset,) = second.assets
    (real,) = tool.releases[0].assets
    assert (asset.id, asset.name, asset.size, asset.digest) == (real.id, "data.bin", 4, real.digest)
    assert (asset.updated_at, asset.state) == (real.updated_at, "uploaded")
    (call,) = github.calls()
    assert call.target.endswith("/repos/acme/tool/releases?per_page=100&page=1")


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (100, 1), (101, 2), (950, 10)])
async def test_pages(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository, count: int, calls: int
) -> None:
    """A list costs as many calls as it has pages, and all of it is read, in its order."""
    tool.releases = [Release(f"v{number}") for number in range(count)]
    found = await Lists(api).releases(forge, TOOL, secret, tags)
    assert found.things == tuple(f"v{number}" for number in reversed(range(count)))
    assert not found.is_cut
    assert len([call for call in github.calls() if call.status == 200]) == github.tokens[0].used == calls


async def test_what_did_not_change_is_free(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """Asked again, a list costs nothing where it is as it was; only a page that changed is told anew."""
    tool.releases = [Release(f"v{number}") for number in range(250)]
    known = await Lists(api).releases(forge, TOOL, secret, tags)
    used = github.tokens[0].used
    assert await Lists(api).releases(forge, TOOL, secret, tags, known) == known
    assert github.tokens[0].used == used
    tool.releases[10].tag = "renamed"
    changed = await Lists(api).releases(forge, TOOL, secret, tags, known)
    assert "renamed" in changed.things
    assert github.tokens[0].used == used + 1
    assert changed.pages[:2] == known.pages[:2]


@pytest.mark.parametrize(("before", "after"), [(100, 101), (250, 301), (301, 100), (201, 200), (3, 0)])
async def test_a_list_that_grew_or_shrank(
    api: GitHub, forge: Forge, secret: Secret, tool: Repository, before: int, after: int
) -> None:
    """Whatever was known, what is told is the list as it is now."""
    tool.releases = [Release(f"v{number}") for number in range(before)]
    known = await Lists(api).releases(forge, TOOL, secret, tags)
    added = [Release(f"w{number}") for number in range(after - before)]
    tool.releases = [*tool.releases, *added][max(0, before - after) :]
    found = await Lists(api).releases(forge, TOOL, secret, tags, known)
    assert found.things == tuple(release.tag for release in reversed(tool.releases))
    assert len(found.pages) == max(1, -(-after // 100))


async def test_the_end_of_the_list(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """Where the forge gives no more, what it gave is told, and that there is more; asked again, it is the same."""
    tool.releases = [Release(f"v{number}") for number in range(1201)]
    found = await Lists(api).releases(forge, TOOL, secret, tags)
    assert found.is_cut
    assert found.things == tuple(f"v{number}" for number in range(1200, 200, -1))
    again = await Lists(api).releases(forge, TOOL, secret, tags, found)
    assert again == found
    assert {call.status for call in github.calls()} == {200, 304, 422}


async def test_a_release_that_comes_while_the_list_is_read(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """What is published meanwhile moves no other release out of the list."""
    tool.releases = [Release(f"v{number}") for number in range(150)]
    answer = github.answer

    def publishing(request: Recorded) -> Answer | None:
        found = answer(request)
        if request.target.endswith("page=2") and len(tool.releases) == 150:
            tool.releases.append(Release("new"))
        return found

    for listener in github._listeners:
        listener.origin = publishing
    try:
        found = await Lists(api).releases(forge, TOOL, secret, tags)
    finally:
        for listener in github._listeners:
            listener.origin = answer
    assert set(found.things) == {"new", *(f"v{number}" for number in range(150))}


async def test_all_assets(api: GitHub, forge: Forge, secret: Secret, tool: Repository) -> None:
    """The pages of a release's assets tell those that are not embedded."""
    tool.releases[0].assets = [Asset(f"a{number}") for number in range(130)]
    found = await Lists(api).assets(forge, TOOL, tool.releases[0].id, secret, names)
    assert found.things == tuple(f"a{number}" for number in range(130))


async def test_tags(api: GitHub, forge: Forge, secret: Secret, tool: Repository) -> None:
    """All tags are listed, and the release of one is found, with a validator; a tag may have none."""
    tool.tags = ["nightly/2020"]
    lists = Lists(api)
    assert (await lists.tags(forge, TOOL, secret)).things == ("v1.0", "nightly/2020")
    found = await lists.release(forge, TOOL, "v1.0", secret)
    assert found is not None
    release, etag = found
    assert release is not None
    assert release.tag_name == "v1.0"
    assert await lists.release(forge, TOOL, "v1.0", secret, etag) is None
    assert await lists.release(forge, TOOL, "nightly/2020", secret) == (None, None)


async def test_a_renamed_repository(api: GitHub, forge: Forge, secret: Secret, tool: Repository) -> None:
    """The forge's redirect is followed."""
    tool.rename("acme/instrument")
    assert (await Lists(api).releases(forge, TOOL, secret, tags)).things == ("v1.0",)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("api", status=500, times=9), "upstream-failed"),
        (Fault("api", status=422, times=9), "upstream-failed"),
        (Fault("api", "page=2", status=502, times=9), "upstream-failed"),
        (Fault("api", "page=2", status=422, body=b'{"message":"Validation Failed"}', times=9), "upstream-failed"),
        (Fault("api", "page=3", status=422, body=CUT % b"1000", times=9), "upstream-failed"),
        (Fault("api", "&page=1", spoilt=b"[]", times=9), "malformed-answer"),
        (Fault("api", spoilt=b"[]", times=9), "malformed-answer"),
        (Fault("api", "page=3", spoilt=b"[]", times=9), "malformed-answer"),
        (Fault("api", "page=3", close=True, times=9), "unreachable"),
        (Fault("api", "page=3", cut_after=100, times=9), "unreachable"),
        (Fault.malformed_json("page=2"), "malformed-answer"),
        (Fault.secondary_limit("page=2"), "secondary-rate-limited"),
        (Fault.taken_down(), "taken-down"),
    ],
)
async def test_a_fault_is_no_end(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository, fault: Fault, kind: str
) -> None:
    """What fails in the middle of a list fails all of it: no part is taken for the whole."""
    tool.releases = [Release(f"v{number}") for number in range(450)]
    github.faults.append(fault)
    assert (await kind_of(Lists(api).releases(forge, TOOL, secret, tags)))[0] == kind


@pytest.mark.parametrize("owner", ["acme", "monalisa"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("api", "page=2", status=404, headers=JSON, body=b'{"message":"Not Found"}', times=9), "upstream-failed"),
        (Fault("api", "page=2", status=422, headers=JSON, body=CUT % b"100", times=9), "upstream-failed"),
        (Fault("api", "page=2", close=True, times=9), "unreachable"),
        (Fault.malformed_json("page=2", times=9), "malformed-answer"),
    ],
)
async def test_a_fault_is_no_end_of_an_owners_repositories(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, owner: str, fault: Fault, kind: str
) -> None:
    """Nor is another list asked for in the stead of one that fails in its middle."""
    owner_type: Literal["Organization", "User"] = "Organization" if owner == "acme" else "User"
    github.repositories += [Repository(owner, f"r{number}", owner_type=owner_type) for number in range(150)]
    github.faults.append(Fault(**{name: getattr(fault, name) for name in fault.__slots__}))
    assert (await kind_of(Lists(api).repositories(forge, owner, secret)))[0] == kind


async def test_a_404_is_no_empty_list(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """A repository that is not seen is told as that, with 403: a 404 would send clients elsewhere."""
    assert await kind_of(Lists(api).releases(forge, TOOL, secret, tags)) == ("index-not-visible", 403)
    github.repositories.append(Repository("acme", "tool"))
    assert (await Lists(api).releases(forge, TOOL, secret, tags)).things == ()


# ------------------------------------------------------------------ repositories


@pytest.fixture
def several(github: StandIn) -> StandIn:
    github.repositories += [
        Repository("acme", "one"),
        Repository("acme", "two", private=False),
        Repository("other", "three"),
        Repository("monalisa", "mine", owner_type="User"),
        Repository("hubot", "shared", owner_type="User"),
        Repository("octocat", "open", private=False, owner_type="User"),
    ]
    return github


@pytest.mark.parametrize(
    ("owner", "repositories"),
    [
        ("acme", {"acme/one", "acme/two"}),
        ("monalisa", {"monalisa/mine"}),
        ("hubot", {"hubot/shared"}),
        ("octocat", {"octocat/open"}),
        ("nobody", set()),
    ],
)
@pytest.mark.usefixtures("several")
async def test_repositories(api: GitHub, forge: Forge, secret: Secret, owner: str, repositories: set[str]) -> None:
    """An organisation's are in its list, the user's own and those it was let into in its own, others' in the public."""
    found = await Lists(api).repositories(forge, owner, secret)
    assert {name for name in found.things if name.startswith(f"{owner}/")} == repositories
    assert await Lists(api).repositories(forge, owner, secret, found) == found


@pytest.mark.usefixtures("several")
async def test_repositories_of_an_installation(api: GitHub, forge: Forge, github: StandIn) -> None:
    """The token of an App's installation lists what the installation has, and asks for nothing else."""
    installation = Installation("acme", repositories={"acme/one"})
    github.apps.append(App("", installations=[installation]))
    github.tokens.append(Token("ghs_x", kind="installation", installation=installation))
    found = await Lists(api).repositories(forge, "acme", Secret("ghs_x", "env:APP"))
    assert found.things == ("acme/one",)
    assert [call.path for call in github.calls()] == ["/installation/repositories"]


@pytest.mark.usefixtures("several")
async def test_a_list_that_is_refused(api: GitHub, forge: Forge, github: StandIn) -> None:
    """What an organisation forbids is told, and no other list is asked for in its stead."""
    github.tokens.append(Token("sso", sso="https://github.com/orgs/acme/sso"))
    assert (await kind_of(Lists(api).repositories(forge, "acme", Secret("sso", "env:SSO"))))[0] == "sso-required"
    assert len(github.calls()) == 1


def test_nothing_is_listed_by_itself() -> None:
    assert (Listed().things, Listed().is_cut) == ((), False)
