"""The index as clients meet it: its pages, what it answers where it has none, and what all of it costs the API."""

from __future__ import annotations

import asyncio
import base64
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from httpx2 import Headers
from hypothesis import given
from hypothesis import strategies as st

from gatepass.credentials.store import Credentials
from gatepass.decision import Resolve
from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository, StandIn, Token
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.index import answers
from gatepass.index.answers import Asked, PackageIndex, Request, Told
from gatepass.index.negotiation import HTML, HTML_V1, JSON
from gatepass.problems.problem import Unresolvable
from gatepass.rules.coverage import covering
from gatepass.rules.model import ResolveRelease
from gatepass.rules.parser import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gatepass.assets.answers import Answer
    from gatepass.demo.standin import App
    from gatepass.forge.hosts import Forge
    from gatepass.github.client import GitHub
    from gatepass.problems.problem import Problem

WHEEL, SDIST = "acme_tool-1.0-py3-none-any.whl", "acme_tool-1.0.tar.gz"
NEW_WHEEL, NEW_SDIST = "acme_tool-2.0-py3-none-any.whl", "acme_tool-2.0.tar.gz"


RULES = """\
version: 1
forges: [{web: "%(web)s", api: "%(api)s"}]
credentials:
  mine: {from: [env:MINE], hosts: ["%(web)s"]}
  other: {from: [env:OTHER], hosts: ["%(web)s"]}
clients:
  ci: {networks: [10.0.0.0/8]}
  dev: {networks: [192.168.0.0/16]}
rules:
  - {match: "%(web)s/acme/*/releases/download/*", resolve: github-release, credential: mine}
  - {match: "%(web)s/both/*/releases/download/*", resolve: github-release, credential: [other, mine]}
  - {match: "%(web)s/wheels/*/releases/download/v*.whl", resolve: github-release, credential: mine}
  - {match: "%(web)s/ci/*", resolve: github-release, credential: mine, clients: [ci]}
indexes:
  acme: {repositories: ["%(web)s/acme/tool"], credential: mine}
  pair: {repositories: ["%(web)s/acme/tool", "%(web)s/acme/gadget"], credential: mine}
  all: {repositories: ["%(web)s/acme/py-*"], credential: mine}
  stable: {repositories: ["%(web)s/acme/tool"], credential: mine, prereleases: false}
  private: {repositories: ["%(web)s/acme/tool"], credential: mine, clients: [ci]}
cache: {tags: 300}
"""


@dataclass
class Asking:
    """A client of the index, and the clock that they share."""

    standin: StandIn
    api: GitHub
    text: str = RULES
    now: float = 0
    environ: dict[str, str] = field(default_factory=lambda: {"MINE": DEFAULT_TOKEN, "OTHER": "ghp_Other"})

    def __post_init__(self) -> None:
        self.now = self.standin.clock()
        self.standin.clock = self.clock
        self.restart()

    def restart(self) -> None:
        """The index as new: nothing is known."""
        rules = parse(self.text % {"web": self.standin.web, "api": self.standin.api})
        self.credentials = Credentials(self.environ, self.api, self.clock, lambda _: None)
        self.index = PackageIndex(self.credentials, self.api, rules, self.clock)

    def clock(self) -> float:
        return self.now

    def place(self, repository: str = "acme/tool") -> str:
        """The path of a repository's own index."""
        return f"/{self.standin.web}/{repository}/simple/"

    async def told(
        self, path: str, method: str = "GET", client: str | None = None, in_place: bool = False, **headers: str
    ) -> Told:
        told = await self.asked(path, method, client, in_place, **headers)
        assert isinstance(told, Told)
        return told

    async def asked(
        self, path: str, method: str = "GET", client: str | None = None, in_place: bool = False, **headers: str
    ) -> Told | Asked:
        sent = Headers({"accept": JSON, **{name.replace("_", "-"): value for name, value in headers.items()}})
        return await self.index.answer(Request(method, path, sent, client, in_place))

    async def page(self, path: str, **more: Any) -> dict[str, Any]:
        """A page, in JSON."""
        told = await self.told(path, **more)
        assert told.answer.status == 200, told.problem
        document = json.loads(told.answer.content)
        assert isinstance(document, dict)
        return document

    async def files(self, project: str = "acme-tool", path: str | None = None, **more: Any) -> list[str]:
        """The names of a project's files."""
        document = await self.page(f"{path or self.place()}{project}/", **more)
        return [file["filename"] for file in document["files"]]

    async def problem(self, path: str, **more: Any) -> Problem:
        told = await self.told(path, **more)
        assert told.problem is not None
        assert told.answer.status == told.problem.status
        assert json.loads(told.answer.content)["type"] == told.problem.type
        return told.problem

    def cost(self) -> list[str]:
        """What was asked for since this was called the last time, by role, status and the last part of the path."""
        asked = [f"{call.role} {call.status} {call.path.rsplit('/', 1)[-1]}" for call in self.standin.calls()]
        self.standin.forget()
        return asked


@pytest.fixture
async def asking(github: StandIn, api: GitHub) -> AsyncIterator[Asking]:
    asking = Asking(github, api)
    yield asking
    await asking.index.close()
    asking.credentials.close()


@pytest.fixture
def tool(github: StandIn) -> Repository:
    """`acme/tool`, private, with two releases of `acme_tool`, and a checksum file."""
    releases = [
        Release(
            f"v{version}",
            [
                *(
                    Asset(file.name, file.content)
                    for file in (package.wheel("acme_tool", version), package.sdist("acme_tool", version))
                ),
                Asset("SHA256SUMS", b"sums"),
            ],
        )
        for version in ("1.0", "2.0")
    ]
    tool = Repository("acme", "tool", releases=releases)
    github.repositories.append(tool)
    return tool


def header(answer: Answer, name: str) -> str:
    return next((value for key, value in answer.headers.items() if key.lower() == name), "")


# ------------------------------------------------------------------------ pages


@pytest.mark.usefixtures("tool")
async def test_a_repository_is_an_index(asking: Asking, github: StandIn, tool: Repository) -> None:
    """Every repository that a rule covers has an index, without a word in the rules: its files by their own URLs."""
    document = await asking.page(f"{asking.place()}acme-tool/")
    assert (document["name"], document["versions"]) == ("acme-tool", ["1.0", "2.0"])
    by_name = {file["filename"]: file for file in document["files"]}
    assert list(by_name) == [WHEEL, SDIST, NEW_WHEEL, NEW_SDIST]
    wheel = tool.releases[0].assets[0]
    told = by_name[WHEEL]
    assert told["url"] == github.download_url("acme/tool", "v1.0", WHEEL)
    assert told["hashes"] == {"sha256": (wheel.digest or "").removeprefix("sha256:")}
    assert told["size"] == wheel.size
    assert told["core-metadata"] is True
    assert "core-metadata" not in by_name[SDIST]
    assert (await asking.page(asking.place()))["projects"] == [{"name": "acme-tool"}]


async def test_when_a_file_was_uploaded(asking: Asking, tool: Repository) -> None:
    """`upload-time` is the later of the asset's and the release's, and never the commit's."""
    release = tool.releases[0]
    release.created_at = datetime(2020, 1, 1, tzinfo=UTC)
    release.published_at = datetime(2026, 5, 1, tzinfo=UTC)
    release.assets[0].updated_at = datetime(2026, 4, 1, tzinfo=UTC)
    release.assets[1].updated_at = datetime(2026, 6, 1, tzinfo=UTC)
    by_name = {
        file["filename"]: file["upload-time"] for file in (await asking.page(f"{asking.place()}acme-tool/"))["files"]
    }
    assert by_name[WHEEL].startswith("2026-05-01")
    assert by_name[SDIST].startswith("2026-06-01")


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("form", [JSON, HTML_V1, HTML])
async def test_every_form(asking: Asking, form: str) -> None:
    """A client gets the form that it asks for, and learns that others would get another."""
    told = await asking.told(f"{asking.place()}acme-tool/", accept=form)
    assert header(told.answer, "content-type").partition(";")[0] == form
    assert header(told.answer, "vary") == "Accept"
    assert header(told.answer, "content-length") == str(len(told.answer.content))
    refused = await asking.problem(f"{asking.place()}acme-tool/", accept="application/json")
    assert (refused.kind, refused.status) == ("not-acceptable", 406)


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("simple", "simple/"),
        ("simple/acme-tool", "acme-tool/"),
        ("simple/Acme_Tool", "acme-tool/"),
        ("simple/Acme.Tool/", "../acme-tool/"),
        ("simple/acme--tool/", "../acme-tool/"),
    ],
)
async def test_redirects(asking: Asking, path: str, location: str) -> None:
    """A page has one address: that of the name's normal form, with a slash; the way there holds below any prefix."""
    for start in ("/acme/", asking.place().removesuffix("simple/")):
        told = await asking.told(f"{start}{path}")
        assert (told.answer.status, told.answer.headers["Location"]) == (301, location)
    assert asking.cost() == []


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("path", ["//acme//simple///acme-tool//", "/acme/simple//", "//acme/simple/Acme_Tool"])
async def test_slashes_too_many(asking: Asking, path: str) -> None:
    """Several slashes are one, as on the web; but where links are relative to the page they would lead elsewhere."""
    assert (await asking.told(path)).answer.status in (200, 301)
    told = await asking.told(path, in_place=True)
    assert told.answer.status == 403
    assert told.problem is not None
    assert "slashes too many" in told.problem.detail


@pytest.mark.usefixtures("tool")
async def test_head(asking: Asking) -> None:
    """A HEAD is answered as a GET is, without its body: with its status, too."""
    path = f"{asking.place()}acme-tool/"
    whole, head = await asking.told(path), await asking.told(path, method="HEAD")
    assert (head.answer.status, dict(head.answer.headers)) == (200, dict(whole.answer.headers))
    assert head.answer.content == b""
    refused = await asking.told("/nobody/simple/x/", method="HEAD")
    assert (refused.answer.status, refused.answer.content) == (403, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_an_index_is_for_reading(asking: Asking, method: str) -> None:
    """Nothing is uploaded to an index; what may be done is told."""
    told = await asking.told("/acme/simple/", method=method)
    assert (told.answer.status, header(told.answer, "allow")) == (405, "GET, HEAD")


# ------------------------------------------------------------- several, by name


async def test_an_index_of_several(asking: Asking, github: StandIn, tool: Repository) -> None:
    """Two repositories that hold the same project make one page of it."""
    other = package.wheel("acme_tool", "3.0")
    gadget = package.wheel("gadget", "1.0")
    assets = [Asset(file.name, file.content) for file in (other, gadget)]
    github.repositories.append(Repository("acme", "gadget", releases=[Release("x", assets)]))
    assert (await asking.page("/pair/simple/"))["projects"] == [{"name": "acme-tool"}, {"name": "gadget"}]
    found = (await asking.page("/pair/simple/acme-tool/"))["files"]
    assert {file["filename"] for file in found} == {WHEEL, SDIST, NEW_WHEEL, NEW_SDIST, other.name}
    # the same file name with other bytes
    tool.releases[0].assets.append(Asset(other.name, b"another"))
    asking.restart()
    assert other.name not in await asking.files(path="/pair/simple/")
    listed = await asking.index.contents("pair")
    assert [left.name for left in listed.left_out if left.why == "ambiguous"] == [other.name] * 2


@pytest.mark.usefixtures("tool")
async def test_a_pattern(asking: Asking, github: StandIn) -> None:
    """A `*` stands for the repositories that the credential may see: those that come to be, too."""
    github.tokens.append(Token("ghp_Narrow", repositories={"acme/py-one"}))
    asking.environ["MINE"] = "ghp_Narrow"
    for name in ("py-one", "py-two", "tool-py-"):
        wheel = package.wheel(name.replace("-", "_").strip("_"), "1.0")
        github.repositories.append(Repository("acme", name, releases=[Release("v1", [Asset(wheel.name, b"")])]))
    assert (await asking.page("/all/simple/"))["projects"] == [{"name": "py-one"}]
    github.tokens[-1].repositories = {"acme/py-one", "acme/PY-two"}
    assert (await asking.problem("/all/simple/py-two/")).kind == "project-not-found"
    asking.now += 301
    assert await asking.files("py-two", "/all/simple/") == ["py_two-1.0-py3-none-any.whl"]


async def test_a_pattern_of_nothing(asking: Asking, github: StandIn, tool: Repository) -> None:
    """A `*` that stands for no repository is 403 with the reason: its owner may be mistyped, or not to be seen."""
    assert tool.releases
    for _ in range(2):
        problem = await asking.problem("/all/simple/py-one/")
        assert (problem.kind, problem.status) == ("index-without-repositories", 403)
        assert "/acme/py-*" in problem.detail
    github.repositories.append(Repository("acme", "py-one", releases=[Release("v1", [Asset("py_one-1.0.tar.gz")])]))
    asking.now += 301
    assert await asking.files("py-one", "/all/simple/") == ["py_one-1.0.tar.gz"]


async def test_pre_releases(asking: Asking, tool: Repository) -> None:
    """Releases that are marked so are in an index, unless it says that it wants none."""
    tool.releases[1].prerelease = True
    assert await asking.files(path="/acme/simple/") == [WHEEL, SDIST, NEW_WHEEL, NEW_SDIST]
    assert await asking.files(path="/stable/simple/") == [WHEEL, SDIST]


@pytest.mark.usefixtures("tool")
async def test_an_index_is_for_its_clients(asking: Asking) -> None:
    """An index that names clients is for these alone, and so is a repository's, by its rule."""
    for client in (None, "dev"):
        assert (await asking.problem("/private/simple/", client=client)).kind == "index-not-for-client"
    assert await asking.files(path="/private/simple/", client="ci")
    assert (await asking.problem("/private/simpel/x", client="ci")).status == 403
    assert "`private`" not in (await asking.problem("/privat/simple/", client="dev")).hint
    assert "`private`" in (await asking.problem("/privat/simple/", client="ci")).hint


async def test_a_rule_is_for_its_clients(asking: Asking, github: StandIn) -> None:
    """A repository whose rule names clients has an index for these alone."""
    wheel = package.wheel("x", "1.0")
    github.repositories.append(Repository("ci", "x", releases=[Release("v1", [Asset(wheel.name, b"")])]))
    path = f"{asking.place('ci/x')}x/"
    assert (await asking.problem(path, client="dev")).kind == "index-not-covered"
    document = await asking.page(path, client="ci")
    assert document["files"][0]["core-metadata"] is True


# ------------------------------------------------- never a reason to look elsewhere


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/acme",
        "/acme/",
        "/acme/acme-tool/",
        "/acme/simple/acme-tool/x",
        "/acme/simple/acme-tool/1.0/json",
        "/nobody/simple/acme-tool/",
        "/acme/files/x",
        "/no.such.host/acme/tool/simple/acme-tool/",
        "/github.com/acme/tool/simple/acme-tool/",
        "//",
        "/../simple/x/",
        "/acme/simple/..%2f/",
        "/acme/%ff/",
        "/acme/simple/%00/",
        "x",
        "",
        "/" + "a" * 5000,
    ],
)
async def test_what_is_no_index_is_never_404(asking: Asking, path: str) -> None:
    """A 404 lets uv go on to the next index, and to somebody else's package: whoever mistypes an index gets 403."""
    problem = await asking.problem(path)
    assert problem.status == 403
    assert asking.cost() == []


@given(st.text("/acme.-_%:2f0simple@é\x00", max_size=40))
def test_no_path_is_an_error(path: str) -> None:
    """Any path is split, or refused as no index's."""
    try:
        segments = answers._segments(f"/{path}")
    except Unresolvable as unresolvable:
        segments = [unresolvable.problem.kind]
    assert not {".", ".."} & {part for segment in segments for part in segment.split("/")}


@pytest.mark.usefixtures("tool")
async def test_a_project_that_is_not_there(asking: Asking) -> None:
    """A project that an index does not have is 404, when it was read a moment ago; and what it has is told."""
    problem = await asking.problem(f"{asking.place()}acme-toll/")
    assert (problem.kind, problem.status) == ("project-not-found", 404)
    assert "`acme-tool`" in problem.hint
    assert (await asking.problem(f"{asking.place()}-/")).status == 404


async def test_a_repository_that_is_not_seen(asking: Asking, github: StandIn) -> None:
    """A repository that is not there, or not to be seen, is 403 with the reason; so is one of an index's."""
    for path in (f"{asking.place()}acme-tool/", "/acme/simple/acme-tool/"):
        problem = await asking.problem(path)
        assert (problem.kind, problem.status) == ("index-not-visible", 403)
        assert "acme/tool" in problem.detail
    asking.environ["MINE"] = "wrong"
    problem = await asking.problem(f"{asking.place('acme/another')}x/")
    assert (problem.kind, problem.status) == ("bad-credential", 403)
    del asking.environ["MINE"]
    assert (await asking.problem(f"{asking.place('acme/another')}x/")).status == 403
    github.faults.append(Fault.taken_down(times=9))
    asking.environ["MINE"] = DEFAULT_TOKEN
    assert (await asking.problem(f"{asking.place('acme/third')}x/")).status == 403


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("api", status=500, times=99), 502),
        (Fault("api", close=True, times=99), 502),
        (Fault.malformed_json(times=99), 502),
        (Fault.secondary_limit(times=99), 503),
    ],
)
@pytest.mark.parametrize("project", ["acme-tool", "unknown"])
async def test_a_fault_of_the_api(asking: Asking, github: StandIn, fault: Fault, status: int, project: str) -> None:
    """When the API cannot be asked, whatever is asked for is 502 or 503, with the reason."""
    github.faults[:] = [Fault(**{name: getattr(fault, name) for name in fault.__slots__})]
    problem = await asking.problem(f"{asking.place()}{project}/")
    assert problem.status == status
    told = await asking.told(f"{asking.place()}{project}/")
    assert bool(header(told.answer, "retry-after")) is (status == 503)


async def test_one_repository_of_several_that_fails(asking: Asking, github: StandIn, tool: Repository) -> None:
    """While one repository cannot be read, no page tells of the others alone: what it has would be taken elsewhere."""
    github.repositories.append(Repository("acme", "gadget", releases=[tool.releases[0]]))
    github.faults.append(Fault("api", "/acme/gadget/", status=503, times=9))
    assert (await asking.problem("/pair/simple/acme-tool/")).status == 502


async def test_a_name_that_lost_its_epoch(asking: Asking, tool: Repository) -> None:
    """A project whose files GitHub renamed is known: its page is empty, and no other index is asked."""
    tool.releases.append(Release("v1!2.0", [Asset("epochal-1.2.0.tar.gz", b"x")]))
    assert await asking.files("epochal") == []


# -------------------------------------------------------------------- metadata


def resolve(asking: Asking, forge: Forge, name: str, tag: str = "v1.0") -> Resolve:
    """What the proxy decides about a download of `acme/tool`."""
    rules = parse(asking.text % {"web": asking.standin.web, "api": asking.standin.api})
    rule = covering(rules, forge.web, Name("acme", "tool"), None)
    assert rule is not None
    assert isinstance(rule.action, ResolveRelease)
    return Resolve(rule, rule.action.forge, False, rule.credentials, AssetRef(Name("acme", "tool"), tag, name))


async def test_metadata_of_a_wheel(asking: Asking, forge: Forge, tool: Repository) -> None:
    """By the wheel's own URL with `.metadata` behind it the wheel's METADATA is had: for one call of the API."""
    await asking.files()
    asking.cost()
    answer = await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
    assert answer is not None
    content = tool.releases[0].assets[0].content
    assert isinstance(content, bytes)
    assert answer.content == zipfile.ZipFile(BytesIO(content)).read("acme_tool-1.0.dist-info/METADATA")
    assert [each.split()[0] for each in asking.cost()] == ["api", "asset"]
    again = await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "HEAD", {})
    assert again is not None
    assert (again.status, again.content) == (200, b"")
    unchanged = {"if-none-match": header(answer, "etag")}
    third = await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", unchanged)
    assert third is not None
    assert third.status == 304
    assert asking.cost() == []


async def test_the_digest_of_metadata(asking: Asking, forge: Forge, tool: Repository) -> None:
    """What is answered for metadata carries Repr-Digest (RFC 9530) of these bytes, and not of the wheel's: whole, by a
    HEAD, and where it has not changed; through the proxy, and where the index is a server of its own.
    """
    name = f"{WHEEL}.metadata"
    answer = await asking.index.metadata(resolve(asking, forge, name), "GET", {})
    assert answer is not None
    digest = f"sha-256=:{base64.b64encode(sha256(answer.content).digest()).decode()}:"
    assert header(answer, "repr-digest") == digest
    assert b"Name: acme_tool" in answer.content
    unchanged = {"if-none-match": header(answer, "etag")}
    for method, headers, status in (("HEAD", {}, 200), ("GET", unchanged, 304)):
        again = await asking.index.metadata(resolve(asking, forge, name), method, headers)
        assert again is not None
        assert (again.status, header(again, "repr-digest")) == (status, digest)
    told = await asking.told(f"/acme/files/{forge.web}/{tool.full_name}/releases/download/v1.0/{name}", in_place=True)
    assert header(told.answer, "repr-digest") == digest


async def test_what_is_learnt_is_told(asking: Asking, forge: Forge, tool: Repository) -> None:
    """What a wheel's metadata tells is told when a page changes; a page of the same files stays as it is, byte for
    byte, so that who has it need not have it again.
    """
    path = f"{asking.place()}acme-tool/"
    before = await asking.told(path)
    answer = await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
    assert answer is not None
    assert (await asking.told(path)).answer == before.answer
    tool.releases.append(Release("v3", [Asset("acme_tool-3.0.tar.gz", b"x")]))
    asking.now += 301
    after = await asking.told(path)
    told = json.loads(after.answer.content)["files"][0]
    assert told["core-metadata"] == {"sha256": header(answer, "etag").strip('"')}
    assert header(before.answer, "etag") != header(after.answer, "etag")


@pytest.mark.parametrize("name", [WHEEL, SDIST, f"{SDIST}.metadata", "no-1.0-py3-none-any.whl.metadata", "x.metadata"])
async def test_what_has_no_metadata(asking: Asking, forge: Forge, tool: Repository, name: str) -> None:
    """Nothing but the name of a wheel that is there, with `.metadata` behind it, is answered by the index."""
    assert tool.releases
    assert await asking.index.metadata(resolve(asking, forge, name), "GET", {}) is None
    wanted = resolve(asking, forge, f"{WHEEL}.metadata", "v9")
    assert await asking.index.metadata(wanted, "GET", {}) is None


async def test_an_asset_of_that_name_wins(asking: Asking, forge: Forge, tool: Repository) -> None:
    """A release that really has a file by the name of a wheel's metadata is asked for that."""
    tool.releases[0].assets.append(Asset(f"{WHEEL}.metadata", b"mine"))
    document = await asking.page(f"{asking.place()}acme-tool/")
    assert document["files"][0]["core-metadata"] is True
    assert await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {}) is None


async def test_metadata_is_promised_only_where_it_is_served(asking: Asking, github: StandIn) -> None:
    """Where the rule does not match `FILE.whl.metadata`, no page promises it: to clients its failure is final."""
    wheel = package.wheel("x", "1.0")
    github.repositories.append(Repository("wheels", "x", releases=[Release("v1", [Asset(wheel.name, wheel.content)])]))
    document = await asking.page(f"{asking.place('wheels/x')}x/")
    assert "core-metadata" not in document["files"][0]
    document = await asking.page(f"{asking.place('wheels/x')}x/", in_place=True)
    assert document["files"][0]["core-metadata"] is True


async def test_a_wheel_that_cannot_be_read(asking: Asking, forge: Forge, tool: Repository) -> None:
    """What is no wheel inside fails once, with the reason; from then on its metadata is not promised."""
    tool.releases[0].assets[0] = Asset(WHEEL, b"no zip at all")
    by_name = {file["filename"]: file for file in (await asking.page(f"{asking.place()}acme-tool/"))["files"]}
    assert by_name[WHEEL]["core-metadata"] is True
    for _ in range(2):
        with pytest.raises(Unresolvable) as caught:
            await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
        assert caught.value.problem.kind == "unreadable-wheel"
    files = (await asking.page(f"{asking.place()}acme-tool/"))["files"]
    by_name = {file["filename"]: file for file in files}
    assert "core-metadata" not in by_name[WHEEL]
    assert by_name[NEW_WHEEL]["core-metadata"] is True


async def test_a_wheel_that_was_broken_off(asking: Asking, forge: Forge, github: StandIn, tool: Repository) -> None:
    """A part that comes short is a fault of the moment: the wheel's metadata is promised on, and read the next time."""
    assert tool.releases
    await asking.files()
    github.faults.append(Fault("asset", cut_after=10, framing="close"))
    with pytest.raises(Unresolvable) as caught:
        await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
    assert caught.value.problem.kind == "broken-answer"
    assert await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {}) is not None


async def test_a_wheel_that_is_another_than_its_name_tells(asking: Asking, forge: Forge, tool: Repository) -> None:
    """A wheel whose epoch only its metadata remembers is left out from when that was read, and told."""
    was = package.wheel("acme_tool", "1!3.0")
    name = was.name.replace("!", ".")
    assert isinstance(was.content, bytes)
    tool.releases[0].assets.append(Asset(name, was.content))
    assert name in await asking.files()
    with pytest.raises(Unresolvable) as caught:
        await asking.index.metadata(resolve(asking, forge, f"{name}.metadata"), "GET", {})
    assert "says version 1!3.0, and its name says 1.3.0" in caught.value.problem.detail
    assert await asking.files() == [WHEEL, SDIST, NEW_WHEEL, NEW_SDIST]
    assert (name, "name-lost") in {(left.name, left.why) for left in (await asking.index.contents("acme")).left_out}


async def test_a_wheel_that_was_uploaded_anew(asking: Asking, forge: Forge, tool: Repository) -> None:
    """A wheel that was replaced since its release was listed is found as it is now."""
    await asking.files()
    other = package.wheel("acme_tool", "1.0", padding=1000)
    tool.releases[0].assets[0] = Asset(WHEEL, other.content)
    asking.now += 10
    answer = await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
    assert answer is not None
    assert b"acme_tool" in answer.content
    assert answer.status == 200


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("with_ranges", [True, False])
async def test_a_forge_that_streams(asking: Asking, forge: Forge, github: StandIn, with_ranges: bool) -> None:
    """A server that streams assets is read by ranges, too; where it gives none, metadata is promised no more."""
    github.stream_assets, github.stream_ranges = True, with_ranges
    wanted = resolve(asking, forge, f"{WHEEL}.metadata")
    if with_ranges:
        answer = await asking.index.metadata(wanted, "GET", {})
        assert answer is not None
        assert answer.status == 200
    else:
        with pytest.raises(Unresolvable):
            await asking.index.metadata(wanted, "GET", {})
    promised = ["core-metadata" in file for file in (await asking.page(f"{asking.place()}acme-tool/"))["files"]]
    assert any(promised) is with_ranges


# --------------------------------------------------------- a web server of its own


@pytest.mark.usefixtures("tool")
async def test_links_that_lead_back(asking: Asking, forge: Forge) -> None:
    """Without a proxy links are relative to the index, and what they lead to is a file of it, or its metadata."""
    document = await asking.page("/acme/simple/acme-tool/", in_place=True)
    url = document["files"][0]["url"]
    assert url == f"../../files/{forge.web}/acme/tool/releases/download/v1.0/{WHEEL}"
    path = url.replace("../../", "/acme/")
    asked = await asking.asked(path, in_place=True)
    assert isinstance(asked, Asked)
    assert str(asked.decision.ref) == f"acme/tool@v1.0/{WHEEL}"
    assert [credential.name for credential in asked.decision.credentials] == ["mine"]
    told = await asking.told(f"{path}.metadata", in_place=True)
    assert (told.answer.status, b"Name: acme_tool" in told.answer.content) == (200, True)


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/acme/files/{web}/acme/tool/releases/download/v1.0/SHA256SUMS", 404),
        ("/acme/files/{web}/acme/tool/releases/download/v9/" + WHEEL, 404),
        ("/acme/files/{web}/acme/secret/releases/download/v1.0/" + WHEEL, 404),
        ("/acme/files/other.example.com/acme/tool/releases/download/v1.0/" + WHEEL, 404),
        ("/acme/files/{web}/acme/tool/releases/latest/download/" + WHEEL, 403),
        ("/acme/files/{web}/acme/tool/archive/main.zip", 403),
        ("/private/files/{web}/acme/tool/releases/download/v1.0/" + WHEEL, 403),
    ],
)
async def test_nothing_but_the_indexs_files(
    asking: Asking, forge: Forge, github: StandIn, path: str, status: int
) -> None:
    """What is in no page of the index is not given either: no other asset, no other repository, no other client."""
    secret = Repository("acme", "secret", releases=[Release("v1.0", [Asset(WHEEL, b"")])])
    github.repositories.append(secret)
    told = await asking.told(path.format(web=forge.web), in_place=True)
    assert told.answer.status == status


@pytest.mark.usefixtures("tool")
async def test_files_are_not_given_by_the_proxys_index(asking: Asking, forge: Forge) -> None:
    """Where files have their own URLs, the index has none below its own."""
    path = f"/acme/files/{forge.web}/acme/tool/releases/download/v1.0/{WHEEL}"
    assert (await asking.problem(path)).kind == "not-an-index"


# ------------------------------------------------------------------------- cost


async def test_ten_packages_cost_one_page(asking: Asking, forge: Forge, github: StandIn) -> None:
    """Cold, ten packages of a repository with 100 releases cost one page, and one call for each file whose metadata is
    read; again, they cost nothing, and clients have what there is.
    """
    wheels = [package.wheel(f"p{number}", f"1.{version}") for version in range(10) for number in range(10)]
    releases = [Release(f"v{number}", [Asset(wheel.name, wheel.content)]) for number, wheel in enumerate(wheels)]
    github.repositories.append(Repository("acme", "tool", releases=releases))
    paths = [f"{asking.place()}p{number}/" for number in range(10)]
    told = await asyncio.gather(*(asking.told(path) for path in paths))
    assert [call.split()[0] for call in asking.cost()] == ["api"]
    wanted = [resolve(asking, forge, f"{wheel.name}.metadata", f"v{number}") for number, wheel in enumerate(wheels)]
    await asyncio.gather(*(asking.index.metadata(each, "GET", {}) for each in wanted[90:]))
    assert [call.split()[0] for call in asking.cost()].count("api") == 10
    again = [
        await asking.told(path, if_none_match=header(each.answer, "etag"))
        for path, each in zip(paths, told, strict=True)
    ]
    assert {each.answer.status for each in again} == {304}
    assert all(header(each.answer, "cache-control") == "private, no-cache" for each in (*told, *again))
    await asyncio.gather(*(asking.index.metadata(each, "GET", {}) for each in wanted[90:]))
    assert asking.cost() == []


async def test_a_lifetime(asking: Asking, github: StandIn, tool: Repository) -> None:
    """The list is what it was for as long as the rules say; then it is asked for with its validator."""
    await asking.files()
    asking.cost()
    tool.releases.pop()
    asking.now += 299
    assert NEW_WHEEL in await asking.files()
    assert asking.cost() == []
    asking.now += 2
    assert NEW_WHEEL not in await asking.files()
    used = github.tokens[0].used
    asking.now += 301
    await asking.files()
    assert github.tokens[0].used == used
    assert asking.cost() == ["api 200 releases", "api 304 releases"]


async def test_no_cache_renews(asking: Asking, tool: Repository) -> None:
    """A client that wants no copy gets the list as it is; however many want that, it is asked for once in 5 s."""
    await asking.files()
    tool.releases.append(Release("v3", [Asset("acme_tool-3.0.tar.gz", b"x")]))
    asking.now += 4
    assert "acme_tool-3.0.tar.gz" not in await asking.files(cache_control="no-cache")
    asking.now += 2
    asking.cost()
    found = await asyncio.gather(*(asking.files(cache_control="max-age=0, no-cache") for _ in range(20)))
    assert all("acme_tool-3.0.tar.gz" in each for each in found)
    for _ in range(20):
        await asking.files(cache_control="no-cache")
    assert len(asking.cost()) == 1
    asking.now += 6
    await asking.files(pragma="no-cache")
    await asking.files(cache_control="max-age=0")
    assert len(asking.cost()) == 1


async def test_no_cache_and_no_api(asking: Asking, github: StandIn, tool: Repository) -> None:
    """Who wants no copy, while the API fails, gets what is known; but not from the copy that there is no such project:
    it may have been published since.
    """
    assert tool.releases
    await asking.files()
    asking.now += 6
    github.faults.append(Fault("api", status=500, times=99))
    assert WHEEL in await asking.files(cache_control="no-cache")
    for _ in range(2):
        assert (await asking.problem(f"{asking.place()}published-now/", cache_control="no-cache")).status == 502
    assert len(asking.cost()) == 2


async def test_what_is_stale_is_served_while_it_is_renewed(
    asking: Asking, github: StandIn, tool: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal that hangs holds up nobody who can be served without it."""
    monkeypatch.setattr("gatepass.index.kept._PATIENCE", 0.05)
    await asking.files()
    asking.now += 301
    tool.releases.append(Release("v3", [Asset("other-1.0.tar.gz", b"x")]))
    github.faults.append(Fault("api", hang=0.5))
    started = asyncio.get_running_loop().time()
    assert WHEEL in await asking.files()
    assert asyncio.get_running_loop().time() - started < 0.4
    # but nothing is said not to be there before it is known
    assert await asking.files("other") == ["other-1.0.tar.gz"]


async def test_for_a_day_while_renewing_fails(asking: Asking, github: StandIn, tool: Repository) -> None:
    """What is known is served for a day while the API fails, and that is told; what is not known is 502 all the while,
    and after a day all is.
    """
    assert tool.releases
    await asking.files()
    github.faults.append(Fault("api", status=502, times=999))
    asking.now += 3600
    told = await asking.told(f"{asking.place()}acme-tool/")
    assert told.answer.status == 200
    assert "meanwhile what is known is served" in told.notices[0]
    assert (await asking.problem(f"{asking.place()}unknown/")).status == 502
    asking.cost()
    await asking.files()
    assert asking.cost() == []  # what failed a moment ago is not asked again
    asking.now += 82_000
    assert await asking.files()
    asking.now += 3_000
    assert (await asking.problem(f"{asking.place()}acme-tool/")).status == 502
    github.faults.clear()
    asking.now += 11
    assert await asking.files()


async def test_what_was_taken_away_is_not_served_on(asking: Asking, github: StandIn, tool: Repository) -> None:
    """A repository that may not be seen any more is no outage: nothing of it is served."""
    assert tool.releases
    await asking.files()
    github.tokens[0].repositories = set()
    asking.now += 301
    assert (await asking.problem(f"{asking.place()}acme-tool/")).status == 403


async def test_a_failure_is_remembered(asking: Asking) -> None:
    """What is not there is not asked for at every request."""
    for _ in range(20):
        await asking.problem(f"{asking.place()}x/")
    assert len(asking.cost()) == 1
    asking.now += 11
    await asking.problem(f"{asking.place()}x/")
    assert len(asking.cost()) == 1


async def test_several_credentials(asking: Asking, github: StandIn) -> None:
    """The first credential that may see the repository is used, and is the first from then on."""
    github.tokens.append(Token("ghp_Other", repositories=set()))
    wheel = package.wheel("x", "1.0")
    github.repositories.append(Repository("both", "x", releases=[Release("v1", [Asset(wheel.name, b"")])]))
    await asking.files("x", asking.place("both/x"))
    assert [call.split()[1] for call in asking.cost()] == ["404", "200"]
    asking.now += 301
    await asking.files("x", asking.place("both/x"))
    assert [call.split()[1] for call in asking.cost()] == ["304"]


async def test_what_was_seen_with_one_credential(asking: Asking, github: StandIn, tool: Repository) -> None:
    """What was learnt with a token is not told to who has another."""
    assert tool.releases
    await asking.files()
    github.tokens.append(Token("ghp_Narrow", repositories=set()))
    asking.environ["MINE"] = "ghp_Narrow"
    assert (await asking.problem(f"{asking.place()}acme-tool/")).status == 403


async def test_many_assets(asking: Asking, github: StandIn, tool: Repository) -> None:
    """Of a release with 30 assets and more its own pages are read; of an immutable one only once."""
    tool.releases = [Release("v1", [Asset(f"p-{number}.tar.gz", b"%d" % number) for number in range(130)])]
    assert len(await asking.files("p")) == 130
    used = github.tokens[0].used
    assert asking.cost() == ["api 200 releases", "api 200 assets", "api 200 assets", "api 304 assets"]
    assert used == 3
    asking.now += 301
    assert len(await asking.files("p")) == 130
    assert (len(asking.cost()), github.tokens[0].used) == (3, used)
    tool.releases[0].immutable = True
    asking.now += 301
    await asking.files("p")
    asking.cost()
    asking.now += 301
    await asking.files("p")
    assert asking.cost() == ["api 304 releases"]


# -------------------------------------------------------- behind the list's end


def of_versions(count: int, name: str = "p") -> list[Release]:
    return [Release(f"v{number}", [Asset(f"{name}-{number}.tar.gz", b"%d" % number)]) for number in range(count)]


async def settled(asking: Asking) -> None:
    """Wait until nothing goes on in the background."""
    while asking.index._listing._filling:
        await asyncio.gather(*asking.index._listing._filling.values(), return_exceptions=True)
        await asyncio.sleep(0)


async def test_releases_that_no_list_holds(asking: Asking, github: StandIn, tool: Repository) -> None:
    """What lies behind the list's end comes by its tags, in the background; until then an unknown project is 503 with
    its wait, and then it is there, or 404.
    """
    github.most_listed = 100
    tool.releases = [*of_versions(1, "old"), *of_versions(105)]
    tool.releases[0].tag = "old/0"
    tool.tags = ["nightly"]
    problem = await asking.problem(f"{asking.place()}old/")
    assert (problem.kind, problem.status) == ("index-incomplete", 503)
    assert problem.retry_after
    assert len(await asking.files("p")) >= 100
    await settled(asking)
    assert await asking.files("old") == ["old-0.tar.gz"]
    assert len(await asking.files("p")) == 105
    assert (await asking.problem(f"{asking.place()}unknown/")).status == 404
    asking.cost()
    asking.now += 301
    await asking.files("p")
    await settled(asking)
    assert {call.split()[1] for call in asking.cost()} == {"304", "422"}  # they are kept


async def test_within_a_tenth_of_the_budget(asking: Asking, github: StandIn, tool: Repository) -> None:
    """No more than a tenth of an hour's budget goes into what no list holds; the rest comes an hour later."""
    github.tokens[0].limit = 120
    github.most_listed = 100
    tool.releases = of_versions(118)
    assert len(await asking.files("p")) == 100
    await settled(asking)
    asked = [call for call in asking.cost() if call.startswith("api 200 v")]
    assert len(asked) == 10  # and the two pages of tags
    assert len(await asking.files("p")) == 110
    problem = await asking.problem(f"{asking.place()}unknown/")
    assert problem.status == 503
    assert 3000 < (problem.retry_after or 0) <= 3600
    asking.now += 3601
    await asking.files("p")
    await settled(asking)
    assert len(await asking.files("p")) == 118


async def test_what_is_pushed_out_of_the_list(asking: Asking, github: StandIn, tool: Repository) -> None:
    """A release that newer ones push behind the list's end is known on; one that was deleted goes."""
    github.most_listed = 100
    tool.releases = of_versions(101)
    await asking.files("p")
    await settled(asking)
    tool.releases += [Release(f"new{number}") for number in range(3)]
    del tool.releases[0]
    asking.now += 86_500
    files = await asking.files("p")
    assert "p-1.tar.gz" in files
    await settled(asking)
    files = await asking.files("p")
    assert "p-1.tar.gz" in files
    assert "p-0.tar.gz" not in files


async def test_a_first_answer_comes_in_time(
    asking: Asking, github: StandIn, tool: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that takes too long is 503 with a wait; it is read on meanwhile, and then it is there."""
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    assert tool.releases
    github.faults.append(Fault("api", hang=0.6))
    problem = await asking.problem(f"{asking.place()}acme-tool/")
    assert (problem.kind, problem.status) == ("index-not-read", 503)
    assert problem.retry_after
    await asyncio.sleep(0.6)
    assert await asking.files()
    assert len(asking.cost()) == 1


async def test_metadata_comes_in_time(
    asking: Asking, forge: Forge, github: StandIn, tool: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel that cannot be read in time is said to be so; it is read on meanwhile."""
    monkeypatch.setattr(answers, "SECONDS", 0.4)
    assert tool.releases
    await asking.files()
    github.faults.append(Fault("asset", hang=0.5))
    with pytest.raises(Unresolvable) as caught:
        await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {})
    assert caught.value.problem.status == 504
    await asyncio.sleep(0.6)
    assert await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {}) is not None


async def test_no_answer_takes_longer_than_25_s() -> None:
    """The deadline leaves time to write the answer: clients give up after 30 s."""
    assert answers.SECONDS <= 20


# ----------------------------------------------------------------- what it holds


async def test_all_of_an_index(asking: Asking, tool: Repository) -> None:
    """What an index holds is told by project, with what was left out and why; by name, by repository, and by URL."""
    tool.releases[0].assets.append(Asset("half-1.0.tar.gz", b"", state="starter"))
    bare = asking.place()[1:-8]
    served = (f"http://u:secret@127.0.0.1:8081{asking.place()}acme-tool/", "https://x.example/pypi/acme/simple/?a=b")
    for name in (
        "acme",
        "acme/simple/",
        f"https://gatepass.internal{asking.place()}",
        bare,
        f"https://{bare}",
        *served,
    ):
        found = await asking.index.contents(name)
        assert {project: len(files) for project, files in found.files.items()} == {"acme-tool": 4}
        assert sorted((left.name, left.why) for left in found.left_out) == [
            ("SHA256SUMS", "not-a-distribution"),
            ("SHA256SUMS", "not-a-distribution"),
            ("half-1.0.tar.gz", "not-uploaded"),
        ]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "..",
        "acme/other",
        "github.com",
        "github.com/acme",
        "github.com//tool",
        "https://gatepass.internal/",
        "https://u:secret@github.com/acme",
        "ftp://u:secret@example.com/acme/simple/",
        "git+https://u:secret@github.com/acme/tool",
        "://",
    ],
)
async def test_what_names_no_index(asking: Asking, name: str) -> None:
    """What names neither an index nor a repository is told as that, without the password that a URL may hold."""
    with pytest.raises(Unresolvable) as caught:
        await asking.index.contents(name)
    assert caught.value.problem.kind == "not-an-index"
    assert "secret" not in str(caught.value.problem)
    assert asking.cost() == []


async def test_what_a_rule_requires(asking: Asking, forge: Forge, tool: Repository) -> None:
    """What its rule would not give out is in no index, and its metadata is not told; why is."""
    asking.text = RULES.replace("credential: mine}", "credential: mine, require: [digest, immutable]}", 1)
    asking.restart()
    tool.releases[1].immutable = True
    tool.releases[1].assets[1].digest = None
    for path in (asking.place(), "/acme/simple/"):
        assert await asking.files(path=path) == [NEW_WHEEL]
    whys = {(left.name, left.why) for left in (await asking.index.contents("acme")).left_out}
    assert {(WHEEL, "not-immutable"), (NEW_SDIST, "no-digest")} <= whys
    assert await asking.index.metadata(resolve(asking, forge, f"{WHEEL}.metadata"), "GET", {}) is None
    wanted = resolve(asking, forge, f"{NEW_WHEEL}.metadata", "v2.0")
    assert await asking.index.metadata(wanted, "GET", {}) is not None
    files = f"/acme/files/{forge.web}/acme/tool/releases/download"
    assert (await asking.told(f"{files}/v1.0/{WHEEL}.metadata", in_place=True)).answer.status == 404
    assert (await asking.told(f"{files}/v2.0/{NEW_WHEEL}.metadata", in_place=True)).answer.status == 200


APP_RULES = """\
version: 1
forges: [{web: "%(web)s", api: "%(api)s"}]
credentials:
  app: {from: [github-app: {id: %(id)s, key: "file:%(key)s"}], hosts: ["%(web)s"]}
rules:
  - {match: "%(web)s/acme/*/releases/download/*", resolve: github-release, credential: app}
indexes:
  all: {repositories: ["%(web)s/acme/*"], credential: app}
"""


async def test_the_repositories_of_an_app(
    github: StandIn, api: GitHub, app: App, app_key_file: Path, tool: Repository
) -> None:
    """For a GitHub App a `*` stands for what its installation on that account has, and for nothing else there."""
    app.installations[0].repositories = {"acme/tool"}
    github.repositories.append(Repository("acme", "other", releases=[Release("v1", [Asset("other-1.tar.gz")])]))
    text = APP_RULES.replace("%(id)s", str(app.id)).replace("%(key)s", str(app_key_file))
    asking = Asking(github, api, text)
    try:
        assert (await asking.page("/all/simple/"))["projects"] == [{"name": "acme-tool"}]
        assert "api 200 repositories" in asking.cost()
        assert tool.releases
        assert (await asking.problem(f"{asking.place('acme/other')}other/")).status == 403
    finally:
        await asking.index.close()
        asking.credentials.close()


async def test_for_a_day_with_an_app(
    github: StandIn, api: GitHub, app: App, app_key_file: Path, tool: Repository
) -> None:
    """A token of an App lives for an hour: where no other is to be had because the API fails, what was seen with it is
    served on, for a day as well; and not when the App was taken away.
    """
    assert tool.releases
    asking = Asking(github, api, APP_RULES.replace("%(id)s", str(app.id)).replace("%(key)s", str(app_key_file)))
    try:
        start, paths = asking.now, ("/all/simple/acme-tool/", f"{asking.place()}acme-tool/")
        for path in paths:
            await asking.page(path)
        github.faults.append(Fault("api", status=502, times=9999))
        for hours, status in ((0.5, 200), (2, 200), (23.5, 200), (24.5, 502)):
            asking.now = start + hours * 3600
            for path in paths:
                told = await asking.told(path)
                assert told.answer.status == status, (hours, told.problem)
                assert bool(told.notices) is (status == 200)
        assert (await asking.problem("/all/simple/unknown/")).status == 502
        github.faults.clear()
        asking.now += 60
        await asking.page(paths[0])
        app.installations[0].suspended = True
        asking.now += 7200
        for path in paths:
            assert (await asking.problem(path)).status == 403
    finally:
        await asking.index.close()
        asking.credentials.close()
