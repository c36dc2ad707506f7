"""From a decision to the asset: what it costs, how long it is remembered, and who profits. Before the stand-in."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from httpx2 import Headers

from gatepass.assets import public, resolver
from gatepass.assets.answers import Answer
from gatepass.assets.delivery import plan
from gatepass.assets.resolver import Resolver
from gatepass.credentials.store import Credentials
from gatepass.decision import Resolve
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository, StandIn, Token
from gatepass.forge.hosts import Host
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.rules.access import MOST_MISSES
from gatepass.rules.model import Credential, Requirement, ResolveRelease, Rule, Rules
from gatepass.rules.shape import CacheEntry
from gatepass.rules.values import Pattern
from gatepass.sources import Env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatepass.assets.source import Source
    from gatepass.forge.hosts import Forge
    from gatepass.github.client import GitHub

MINE = Credential("mine", (Env("MINE"),), frozenset())
OTHER = Credential("other", (Env("OTHER"),), frozenset())
OTHERS_TOKEN = "ghp_OtherOtherOtherOtherOtherOtherOther0000"
LIFETIMES = CacheEntry(latest=60, tags=200, missing=10, visibility=600)
CONTENT = bytes(range(256))


@dataclass
class Asking:
    """Who asks for assets of the stand-in; both have the same clock."""

    standin: StandIn
    forge: Forge
    api: GitHub
    now: float = 0
    last: Problem | None = None
    environ: dict[str, str] = field(default_factory=lambda: {"MINE": DEFAULT_TOKEN, "OTHER": OTHERS_TOKEN})

    def __post_init__(self) -> None:
        self.now = self.standin.clock()
        self.standin.clock = self.clock
        self.credentials = Credentials(self.environ, self.api, self.clock, lambda _: None)
        rules = Rules("", (self.forge,), (), (), LIFETIMES)
        self.resolver = Resolver(self.credentials, self.api, rules, self.clock)

    def clock(self) -> float:
        return self.now

    def request(
        self, ref: AssetRef, credentials: tuple[Credential, ...], *, anonymous_first: bool, client: str | None = None
    ) -> Resolve:
        rule = Rule("", Pattern(self.forge.web, "/*"), ResolveRelease(self.forge, anonymous_first), credentials)
        return Resolve(rule, self.forge, anonymous_first, credentials, ref, client)

    async def maybe(
        self,
        name: str = "one.bin",
        *credentials: Credential,
        tag: str | None = "v1.0",
        repository: str = "tool",
        anonymous_first: bool = False,
        client: str | None = None,
    ) -> Source | None:
        ref = AssetRef(Name("acme", repository), tag, name)
        request = self.request(ref, credentials or (MINE,), anonymous_first=anonymous_first, client=client)
        return await self.resolver.resolve(request)

    async def kind(self, client: str, tag: str = "v1.0", repository: str = "tool", name: str = "one.bin") -> str:
        """What became of a client's question, in a word."""
        try:
            await self.maybe(name, tag=tag, repository=repository, client=client)
        except Unresolvable as unresolvable:
            self.last = unresolvable.problem
            return unresolvable.problem.kind
        return "found"

    async def __call__(self, name: str = "one.bin", *credentials: Credential, tag: str | None = "v1.0") -> Source:
        source = await self.maybe(name, *credentials, tag=tag)
        assert source is not None
        return source

    async def problem(self, name: str = "one.bin", *credentials: Credential, tag: str | None = "v1.0") -> Problem:
        with pytest.raises(Unresolvable) as caught:
            await self(name, *credentials, tag=tag)
        return caught.value.problem

    def cost(self) -> list[str]:
        """What was asked for since this was called the last time, by the role of who was asked."""
        asked = [f"{call.role} {call.status}" for call in self.standin.calls()]
        self.standin.forget()
        return asked


@pytest.fixture
async def asking(github: StandIn, forge: Forge, api: GitHub) -> AsyncIterator[Asking]:
    asking = Asking(github, forge, api)
    yield asking
    asking.credentials.close()


@pytest.fixture
def tool(github: StandIn) -> Repository:
    """`acme/tool`, private, whose release `v1.0` holds `one.bin` and `two.bin`; another's token may not see it."""
    tool = Repository("acme", "tool", releases=[Release("v1.0", [Asset("one.bin", CONTENT), Asset("two.bin", b"2")])])
    github.repositories.append(tool)
    github.tokens.append(Token(OTHERS_TOKEN, repositories=set()))
    return tool


# ------------------------------------------------------------------ what it costs


async def test_the_first_time(asking: Asking, tool: Repository) -> None:
    """An asset costs two calls: its release, and its signed URL, which leads to the asset's host."""
    source = await asking()
    assert asking.cost() == ["api 200", "api 302"]
    assert source.signed is not None
    assert source.host == Host.parse(asking.standin.asset_host)
    assert source.asset is not None
    assert source.asset.id == tool.releases[0].assets[0].id
    assert (source.credential, source.reused, source.notices) == ("mine", False, ())


@pytest.mark.usefixtures("tool")
async def test_the_next_times(asking: Asking) -> None:
    """The same asset costs nothing, and another of the same release its signed URL alone."""
    first = await asking()
    asking.cost()
    again = await asking()
    assert replace(again, secret=first.secret) == replace(first, reused=True)
    assert asking.cost() == []
    await asking("two.bin")
    assert asking.cost() == ["api 302"]


@pytest.mark.usefixtures("tool")
async def test_other_letters_are_the_same_repository(asking: Asking) -> None:
    """An owner and a repository in other letter case cost nothing anew."""
    await asking()
    asking.cost()
    ref = AssetRef(Name("ACME", "Tool"), "v1.0", "one.bin")
    assert await asking.resolver.resolve(asking.request(ref, (MINE,), anonymous_first=False))
    assert asking.cost() == []


@pytest.mark.usefixtures("tool")
async def test_many_at_once(asking: Asking) -> None:
    """However many want an asset at once, it is asked for once; who gives up takes it from nobody."""
    asking.standin.latency = 0.05
    impatient = asyncio.ensure_future(asking())
    others = [asyncio.ensure_future(asking()) for _ in range(50)]
    await asyncio.sleep(0.02)
    impatient.cancel()
    sources = await asyncio.gather(*others)
    assert len({source.signed.url for source in sources if source.signed}) == 1
    assert asking.cost() == ["api 200", "api 302"]
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_pages_are_read_once(asking: Asking, tool: Repository) -> None:
    """An asset beyond those that a release's answer holds is looked for page by page, and the pages are remembered."""
    tool.releases[0].assets[:] = [Asset(f"{number}.bin", b"") for number in range(150)]
    asking.standin.embedded_assets = 10
    await asking("120.bin")
    assert asking.cost() == ["api 200", "api 200", "api 200", "api 302"]
    await asking("149.bin")
    await asking("60.bin")
    assert asking.cost() == ["api 302", "api 302"]
    assert (await asking.problem("150.bin")).kind == "asset-not-found"
    # the release is asked for whether it changed, and the pages, which were just read, are not
    assert asking.cost() == ["api 304"]


# ----------------------------------------------------------------- how long it holds


@pytest.mark.usefixtures("tool")
async def test_a_signed_url_is_handed_out_while_it_lives(asking: Asking) -> None:
    """Half a minute before its end a signed URL is replaced: by one call, for the release is known for longer."""
    asking.standin.signed_lifetime = 100
    first = await asking()
    asking.cost()
    asking.now += 69
    assert (await asking()).signed == first.signed
    asking.now += 2
    assert (await asking()).signed != first.signed
    assert asking.cost() == ["api 302"]


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(("tag", "lifetime"), [("v1.0", LIFETIMES.tags), (None, LIFETIMES.latest)])
async def test_a_release_is_what_it_was_for_a_while(asking: Asking, tag: str | None, lifetime: int) -> None:
    """For its lifetime a release is not asked for; after it, whether it changed, which is free."""
    asking.standin.signed_lifetime = 31
    await asking(tag=tag)
    asking.cost()
    asking.now += lifetime - 1
    await asking(tag=tag)
    assert asking.cost() == ["api 302"]
    asking.now += 2
    used = asking.standin.tokens[0].used
    await asking(tag=tag)
    assert asking.cost() == ["api 304", "api 302"]
    assert asking.standin.tokens[0].used == used + 1


async def test_what_is_missing_is_not_asked_for_again_at_once(asking: Asking, tool: Repository) -> None:
    """What could not be had stays so for a moment, however often it is asked for; then it may be there."""
    for _ in range(5):
        problem = await asking.problem("three.bin")
        assert (problem.kind, problem.status) == ("asset-not-found", 404)
    assert len(asking.cost()) <= 2
    tool.releases[0].assets.append(Asset("three.bin", b"3"))
    asking.now += LIFETIMES.missing + 1
    assert (await asking("three.bin")).asset is not None


@pytest.mark.usefixtures("tool")
async def test_a_fault_is_not_remembered(asking: Asking) -> None:
    """What the network or the forge did wrong may be over at once: the next who asks asks anew."""
    asking.standin.faults.append(Fault("api", status=500))
    assert (await asking.problem()).kind == "upstream-failed"
    assert await asking()


async def test_an_asset_that_was_replaced(asking: Asking, tool: Repository) -> None:
    """An asset that was uploaded anew, under another id, is found: the release is read again when the old is gone."""
    asking.standin.signed_lifetime = 31
    old = await asking()
    tool.releases[0].assets[0] = Asset("one.bin", b"new")
    asking.now += 2
    asking.cost()
    new = await asking()
    assert asking.cost() == ["api 404", "api 200", "api 302"]
    assert new.version != old.version
    assert new.asset is not None
    assert new.asset.size == 3


async def test_an_asset_that_was_replaced_while_its_url_lives(asking: Asking, tool: Repository) -> None:
    """A URL that was handed out before and leads to nothing now makes the release be asked for anew: what goes by the
    asset's name is served in place.
    """
    await asking()
    reused = await asking()
    tool.releases[0].assets[:] = [Asset("one.bin", b"new content"), Asset("two.bin", b"2")]
    asking.cost()
    part = await asking.resolver.excerpt(reused, {"range": "bytes=0-2"}, 3)
    assert (part.status, part.content) == (206, b"new")
    assert asking.cost() == ["asset 404", "api 404", "api 200", "api 302", "asset 206"]
    assert (await asking()).version != reused.version
    assert asking.cost() == []


async def test_an_asset_that_was_removed_while_its_url_lives(asking: Asking, tool: Repository) -> None:
    """The same where nothing goes by that name any more: that is told."""
    await asking()
    reused = await asking()
    tool.releases[0].assets[:] = [Asset("two.bin", b"2")]
    with pytest.raises(Unresolvable) as caught:
        await asking.resolver.first_byte(reused)
    assert caught.value.problem.kind == "asset-not-found"


# ------------------------------------------------------------------------ forgotten


@pytest.mark.usefixtures("tool")
async def test_a_refused_url_is_forgotten(asking: Asking) -> None:
    """A URL that was refused is handed out no more; one that has taken its place meanwhile stays."""
    first = await asking()
    asking.resolver.forget(first)
    asking.now += 1
    second = await asking()
    assert second.signed != first.signed
    asking.resolver.forget(first)
    asking.now += 1
    assert (await asking()).signed == second.signed


@pytest.mark.usefixtures("tool")
async def test_a_url_that_was_seen_is_learnt(asking: Asking) -> None:
    """A signed URL that passed by is handed out from then on, for as long as it says."""
    first = await asking()
    asking.now += 10
    assert first.secret is not None
    seen = await asking.api.sign(asking.forge, first.api_url, first.secret)
    assert seen is not None
    assert seen != first.signed
    asking.resolver.learn(first, seen)
    asking.cost()
    assert (await asking()).signed == seen
    assert asking.cost() == []


# --------------------------------------------------------------------------- bytes


@pytest.mark.usefixtures("tool")
async def test_the_first_byte(asking: Asking) -> None:
    """The first byte, which tells of the whole, is fetched once for all who ask, until the asset is another."""
    source = await asking()
    asking.cost()
    parts = await asyncio.gather(*(asking.resolver.first_byte(source) for _ in range(20)))
    assert {(part.status, part.content, part.headers["content-range"]) for part in parts} == {
        (206, CONTENT[:1], "bytes 0-0/256")
    }
    assert asking.cost() == ["asset 206"]


@pytest.mark.usefixtures("tool")
async def test_a_part_is_remembered(asking: Asking) -> None:
    """The same part of the same asset is fetched once; another part, or the same of another asset, is another."""
    one, two = await asking(), await asking("two.bin")
    asking.cost()
    for source, wanted, expected in (
        (one, "bytes=-6", CONTENT[-6:]),
        (one, "bytes=-6", CONTENT[-6:]),
        (one, "bytes=0-5", CONTENT[:6]),
        (two, "bytes=-6", b"2"),
    ):
        part = await asking.resolver.excerpt(source, {"range": wanted}, 100)
        assert (part.status, part.content) == (206, expected)
    assert asking.cost() == ["asset 206"] * 3


@pytest.mark.usefixtures("tool")
async def test_a_url_that_was_revoked_is_renewed(asking: Asking) -> None:
    """A URL that was handed out before and is refused now is asked for anew; of one that is new the refusal is told."""
    fresh = await asking()
    reused = await asking()
    asking.standin.expire_signed_urls()
    asking.cost()
    assert (await asking.resolver.excerpt(fresh, {"range": "bytes=0-1"}, 2)).status == 403
    assert asking.cost() == ["asset 403"]
    part = await asking.resolver.excerpt(reused, {"range": "bytes=0-1"}, 2)
    assert (part.status, part.content) == (206, CONTENT[:2])
    assert asking.cost() == ["asset 403", "api 302", "asset 206"]


@pytest.mark.usefixtures("tool")
async def test_a_forge_that_streams(asking: Asking) -> None:
    """Where the forge sends the bytes itself they come from the API, with the secret; that is remembered like a URL."""
    asking.standin.stream_assets = asking.standin.stream_ranges = True
    source = await asking()
    assert source.signed is None
    assert source.host == asking.forge.api_host
    assert (await asking.resolver.first_byte(source)).content == CONTENT[:1]
    asking.cost()
    await asking()
    assert asking.cost() == []


# ------------------------------------------------------------- when nobody can be asked

DOWN = {
    "fails": (Fault("api", status=503, times=99), "upstream-failed"),
    "hangs up": (Fault("api", close=True, times=99), "unreachable"),
    "hangs": (Fault("api", hang=2, times=99), "timed-out"),
    "is spent": (Fault.secondary_limit(seconds=3000, times=99), "secondary-rate-limited"),
}


async def answered(asking: Asking, source: Source, method: str = "GET", **headers: str) -> Answer:
    answer = await plan(asking.resolver, source, method, Headers(headers))
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(("fault", "kind"), DOWN.values(), ids=DOWN)
async def test_what_is_known_is_served(
    asking: Asking, fault: Fault, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the API is down, HEAD, parts and validators that are known are answered, and that it is down is told; what
    would need another signature is refused with the reason.
    """
    monkeypatch.setattr(resolver, "_OUTAGE_SECONDS", 1.0)
    known = await asking()
    etag = (await answered(asking, known, "HEAD")).headers["etag"]
    await answered(asking, known, range="bytes=-16")
    asking.now += 3600
    asking.standin.faults.append(replace(fault))
    for _ in range(3):
        source = await asking()
        asked = asking.cost()
        head = await answered(asking, source, "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, "256")
        assert (await answered(asking, source, range="bytes=-16")).content == CONTENT[-16:]
        assert (await answered(asking, source, **{"if-none-match": etag})).status == 304
        for headers in ({}, {"range": "bytes=0-5"}, {"range": "bytes=0-"}, {"if-none-match": '"other"'}):
            with pytest.raises(Unresolvable) as caught:
                await plan(asking.resolver, source, "GET", Headers(headers))
            assert caught.value.problem.kind == kind
        assert source.notices[-1].endswith("; meanwhile what is known is served, for a day")
    assert asked == asking.cost() == [], "it is asked once in a while, and not for each"
    asking.standin.faults.clear()
    await asyncio.sleep(fault.hang)
    asking.now += 3001
    assert (await asking()).outage is None


@pytest.mark.usefixtures("tool")
async def test_a_live_url_needs_no_api(asking: Asking) -> None:
    """A signed URL that lives is handed out, and any part had by it, while the API is down."""
    await asking()
    asking.standin.faults.append(Fault("api", status=503, times=99))
    source = await asking()
    assert source.outage is None
    assert (await answered(asking, source)).status == 302
    assert (await answered(asking, source, range="bytes=7-9")).content == CONTENT[7:10]


@pytest.mark.usefixtures("tool")
async def test_it_is_known_for_a_day(asking: Asking) -> None:
    """After a day what was known is not served any more."""
    await asking()
    asking.standin.faults.append(Fault("api", status=503, times=99))
    asking.now += 86_401
    assert (await asking.problem()).kind == "upstream-failed"


@pytest.mark.usefixtures("tool")
async def test_who_is_refused_gets_nothing_of_what_was_known(asking: Asking) -> None:
    """An API that refuses is not down: what was known is not served, and not afterwards either."""
    asking.standin.signed_lifetime = 31
    await answered(asking, await asking(), "HEAD")
    asking.now += 3600
    asking.standin.tokens[0].repositories = set()
    assert (await asking.problem()).status == 404
    asking.now += LIFETIMES.missing + 1
    asking.standin.faults.append(Fault("api", status=503, times=99))
    assert (await asking.problem()).kind == "upstream-failed"


@pytest.mark.usefixtures("tool")
async def test_only_the_release_cannot_be_asked_for(asking: Asking) -> None:
    """A release that is known is enough to have its asset signed."""
    await asking()
    asking.now += 3600
    asking.standin.faults.append(Fault("api", "/tags/", status=503, times=99))
    source = await asking()
    assert source.outage is None
    assert (await answered(asking, source)).status == 302


async def test_a_public_asset_is_known(asking: Asking, tool: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of what anybody may have, while the web host is down."""
    monkeypatch.setattr(public, "_PUBLIC_SECONDS", 1.0)
    tool.private = False
    asking.environ.clear()
    source = await asking.maybe(anonymous_first=True)
    assert source is not None
    await answered(asking, source, "HEAD")
    asking.now += 3600
    asking.standin.faults.append(Fault("web", close=True, times=99))
    source = await asking.maybe(anonymous_first=True)
    assert source is not None
    assert (await answered(asking, source, "HEAD")).status == 200
    with pytest.raises(Unresolvable) as caught:
        await answered(asking, source)
    assert caught.value.problem.kind == "unreachable"


# -------------------------------------------------------------------------- public


async def test_what_anybody_may_have(asking: Asking, tool: Repository) -> None:
    """A public asset is found on the web host: no call to the API, no credential asked for, and remembered as any."""
    tool.private = False
    asking.environ.clear()
    source = await asking.maybe(anonymous_first=True)
    assert source is not None
    assert (source.secret, source.credential, source.asset) == (None, "", None)
    assert asking.cost() == ["web 302"]
    await asking.maybe(anonymous_first=True)
    assert asking.cost() == []


@pytest.mark.usefixtures("tool")
async def test_a_private_repository_is_asked_about_once(asking: Asking) -> None:
    """That a repository is private is known from then on, for all its assets, until that may have changed."""
    await asking.maybe(anonymous_first=True)
    assert asking.cost() == ["web 404", "api 200", "api 302"]
    await asking.maybe("two.bin", anonymous_first=True)
    assert asking.cost() == ["api 302"]
    asking.now += LIFETIMES.visibility + 1
    await asking.maybe(anonymous_first=True)
    assert asking.cost()[0] == "web 404"


UNCLEAR = {"is busy": Fault("web", status=429, times=9), "fails": Fault("web", status=502, times=9)}
SILENT = {"hangs up": Fault("web", close=True, times=9), "hangs": Fault("web", hang=60, times=9)}


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("fault", (UNCLEAR | SILENT).values(), ids=UNCLEAR | SILENT)
async def test_a_web_host_that_does_not_say(asking: Asking, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the web host does not say whether an asset is public, the API is asked, which may know it; and for a moment
    the web host is left alone.
    """
    monkeypatch.setattr(public, "_PUBLIC_SECONDS", 1.0)
    asking.standin.faults.append(replace(fault))
    for _ in range(3):
        source = await asking.maybe(anonymous_first=True)
        assert source is not None
        assert source.credential == "mine"
    assert asking.cost() == [f"web {fault.status}", "api 200", "api 302"]
    asking.now += LIFETIMES.missing + 1
    asking.standin.faults.clear()
    await asking.maybe(anonymous_first=True)
    assert asking.cost() == ["web 404"]


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR)
async def test_what_nobody_finds_is_the_web_hosts_to_tell(asking: Asking, fault: Fault) -> None:
    """Where the API finds nothing either, the client gets what the web host said: the request is to pass."""
    asking.standin.faults.append(replace(fault))
    assert await asking.maybe("three.bin", anonymous_first=True) is None
    asking.environ.clear()
    assert await asking.maybe("two.bin", anonymous_first=True) is None


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("fault", "kind"), [(SILENT["hangs up"], "unreachable"), (SILENT["hangs"], "timed-out")], ids=SILENT
)
async def test_a_web_host_that_cannot_be_asked(
    asking: Asking, fault: Fault, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the web host has no answer for the client, and the API finds nothing either, both reasons are told."""
    monkeypatch.setattr(public, "_PUBLIC_SECONDS", 1.0)
    asking.standin.faults.append(replace(fault))
    for _ in range(2):
        with pytest.raises(Unresolvable) as caught:
            await asking.maybe("three.bin", anonymous_first=True)
        problem = caught.value.problem
        assert problem.kind == kind
        assert str(asking.forge.web) in problem.detail
        assert "the API was asked, too: asset not found: release `v1.0` of acme/tool has no asset" in problem.detail
        assert problem.members["credential-source"] == "env:MINE"
    assert asking.cost().count("web 0") == 1


# ---------------------------------------------------------------- the latest release's page


@pytest.mark.parametrize("tag", ["v2.0", "release/2.0", "@acme/tool@2.0"])
async def test_the_page_of_the_latest_release(asking: Asking, tool: Repository, tag: str) -> None:
    """The page of a private repository's latest release is where it leads: to the page of its tag, as on the web."""
    tool.releases.append(Release(tag))
    for anonymous_first in (True, False):
        source = await asking.maybe("", tag=None, anonymous_first=anonymous_first)
        assert source is not None
        answer = await answered(asking, source)
        assert answer.status == 302
        assert answer.headers["Location"] == f"https://{asking.forge.web}/acme/tool/releases/tag/{quote(tag)}"
    assert asking.cost() == ["web 404", "api 200"]
    tool.private = False
    asking.now += LIFETIMES.visibility + 1
    public = await asking.maybe("", tag=None, anonymous_first=True)
    assert public is not None
    assert public.page == answer.headers["Location"]
    assert asking.cost() == ["web 302"]
    tool.releases.append(Release("v3.0"))
    asking.now += LIFETIMES.latest + 1
    newest = await asking.maybe("", tag=None)
    assert newest is not None
    assert newest.page.endswith("/releases/tag/v3.0")


@pytest.mark.usefixtures("tool")
async def test_a_page_that_would_hold_the_token(asking: Asking) -> None:
    """A forge that tells the token back gets it to no client in a page's address."""
    release = {"id": 1, "tag_name": "v1.0", "html_url": f"https://{asking.forge.web}/acme/tool/{DEFAULT_TOKEN}"}
    asking.standin.faults.append(Fault("api", "/latest", status=200, body=json.dumps(release).encode()))
    problem = await asking.problem("", tag=None)
    assert problem.kind == "malformed-answer"
    assert DEFAULT_TOKEN not in str(problem)


@pytest.mark.usefixtures("tool")
async def test_the_page_of_a_release_that_is_known(asking: Asking) -> None:
    """Who has asked for too much in vain gets the page of a known release all the same."""
    request = asking.request(AssetRef(Name("acme", "tool"), None, ""), (MINE,), anonymous_first=False, client="a")
    source = await asking.resolver.resolve(request)
    assert source is not None
    kinds = [await asking.kind("a", name=f"{number}.bin") for number in range(MOST_MISSES + 1)]
    assert kinds[-1] == "too-many-misses"
    asking.resolver.forget(source)
    again = await asking.resolver.resolve(request)
    assert again is not None
    assert (again.page, again.outage) == (source.page, None)


async def test_no_page_of_a_latest_release(asking: Asking, tool: Repository) -> None:
    """Where there is no release there is no page, and why is told; who may not see it learns nothing."""
    assert (await asking.problem("", OTHER, tag=None)).status == 404
    tool.releases.clear()
    asking.now += 100
    assert (await asking.problem("", tag=None)).kind == "tag-not-found"


# --------------------------------------------------------------------- credentials


@pytest.mark.usefixtures("tool")
async def test_no_credential_profits_from_another(asking: Asking) -> None:
    """What one credential may see is nothing to another: not the signed URL, nor that the asset is there."""
    await asking("one.bin", MINE)
    asking.cost()
    assert (await asking.problem("one.bin", OTHER)).status == 404
    assert asking.cost()[0] == "api 404"


@pytest.mark.usefixtures("tool")
async def test_the_first_that_may_see_it(asking: Asking) -> None:
    """Of several credentials the first is used that may see the repository, and goes first for all its assets then."""
    source = await asking("one.bin", OTHER, MINE)
    assert source.credential == "mine"
    assert asking.cost() == ["api 404", "api 200", "api 302"]
    asking.now += LIFETIMES.missing + 1
    assert (await asking("two.bin", OTHER, MINE)).credential == "mine"
    assert asking.cost() == ["api 302"]


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("order", list(itertools.permutations([MINE, OTHER])), ids=["mine-other", "other-mine"])
async def test_an_asset_that_is_not_there_ends_the_search(asking: Asking, order: tuple[Credential, ...]) -> None:
    """Who sees the repository knows what is in it: no other credential is asked for an asset that it lacks."""
    problem = await asking.problem("three.bin", *order)
    assert problem.kind == "asset-not-found"
    # the release, and the list of all its assets
    seen = ["api 200", "api 200"]
    assert asking.cost() == (seen if order[0] is MINE else ["api 404", *seen])


@pytest.mark.usefixtures("tool")
async def test_a_bad_credential_is_tried_once(asking: Asking) -> None:
    """A token that the forge does not accept is not tried for one asset after another: that is what locks out."""
    asking.environ["MINE"] = "ghp_mistyped"
    for name, tag in (("one.bin", "v1.0"), ("two.bin", "v1.0"), ("one.bin", "v2.0"), ("one.bin", None)):
        assert (await asking.problem(name, tag=tag)).kind == "bad-credential"
    assert asking.cost() == ["api 401"]


@pytest.mark.usefixtures("tool")
async def test_a_spent_budget_is_asked_no_more(asking: Asking) -> None:
    """A budget that is used up is so for every asset: the wait is told, and within it nothing is asked."""
    token = asking.standin.tokens[0]
    token.used, token.reset = token.limit, int(asking.now) + 1000
    for tag in ("v1.0", "v2.0", None):
        problem = await asking.problem(tag=tag)
        assert problem.kind == "rate-limited"
        assert problem.retry_after is not None
    assert asking.cost() == ["api 403"]


@pytest.mark.usefixtures("tool")
async def test_a_wait_counts_down(asking: Asking) -> None:
    """Who is to wait is told for how long yet, for every asset, and asks again when that is over, and not before."""
    asking.standin.faults.append(Fault.secondary_limit(seconds=130))
    for later, left, words in ((0, 130, "in 3 min"), (60.2, 70, "in 70 s"), (69.5, 1, "in 1 s")):
        asking.now += later
        for name, tag in (("one.bin", "v1.0"), ("two.bin", "v2.0")):
            problem = await asking.problem(name, tag=tag)
            assert (problem.kind, problem.retry_after) == ("secondary-rate-limited", left)
            assert words in problem.detail
    assert asking.cost() == ["api 403"]
    asking.now += 0.5
    assert await asking()


@pytest.mark.usefixtures("tool")
async def test_a_wait_is_not_for_ever(asking: Asking) -> None:
    """A wait that nobody can mean is asked about within the hour."""
    asking.standin.faults.append(Fault.secondary_limit(seconds=10**9))
    await asking.problem()
    asking.now += 3601
    assert await asking()


@pytest.mark.usefixtures("tool")
async def test_no_credential_at_all(asking: Asking) -> None:
    """Without a value for the credential nothing is asked of the forge, and where it was looked for is told."""
    asking.environ.clear()
    problem = await asking.problem()
    assert problem.kind == "no-credential"
    assert "`env:MINE` is not set" in problem.detail
    assert asking.cost() == []


# ------------------------------------------------------------------------- notices


async def test_what_its_user_should_know(asking: Asking, tool: Repository) -> None:
    """That a repository has another name, and that a token ends within the week, is told beside what works."""
    tool.rename("acme/instrument")
    asking.standin.tokens[0].expires = datetime.fromtimestamp(asking.now + 6 * 86_400, UTC)
    named, ending = (await asking()).notices
    assert "acme/tool is now acme/instrument" in named
    assert f"expires on {asking.standin.tokens[0].expires:%Y-%m-%d}" in ending
    assert DEFAULT_TOKEN not in named + ending


@pytest.mark.usefixtures("tool")
async def test_what_need_not_be_known(asking: Asking) -> None:
    """A token that lives for longer than a week is no news."""
    asking.standin.tokens[0].expires = datetime.fromtimestamp(asking.now + 8 * 86_400, UTC)
    assert (await asking()).notices == ()


async def test_a_token_that_came_to_its_end(asking: Asking, tool: Repository) -> None:
    """A token whose end was told, and that is refused after it, is called expired, and not mistyped."""
    end = datetime.fromtimestamp(int(asking.now) + 100, UTC)
    asking.standin.tokens[0].expires = end
    await asking()
    tool.releases.append(Release("v2.0", [Asset("one.bin", b"")]))
    asking.now += 200
    problem = await asking.problem(tag="v2.0")
    assert problem.kind == "expired-credential"
    assert problem.members["credential-source"] == "env:MINE"


# ------------------------------------------------------------------- not to be found


@pytest.mark.usefixtures("tool")
async def test_why_it_was_not_found(asking: Asking) -> None:
    """Behind a 404 a few more questions find the reason, and are asked once for all who meet it."""
    for _ in range(3):
        problem = await asking.problem(tag="v1.1")
        assert problem.kind == "tag-not-found"
        assert "did you mean `v1.0`" in problem.hint
    assert asking.cost() == ["api 404", "api 200", "api 200"]


@pytest.mark.usefixtures("tool")
async def test_a_repository_that_is_blocked(asking: Asking) -> None:
    """A takedown is final: no other credential is tried, and the notice's address is told."""
    asking.standin.faults.append(Fault.taken_down(times=9))
    for _ in range(3):
        problem = await asking.problem("one.bin", MINE, OTHER)
        assert (problem.kind, problem.status) == ("taken-down", 451)
        assert "https://github.com/github/dmca/" in problem.hint
    assert asking.cost() == ["api 451"]


@pytest.mark.parametrize(
    ("asked", "uploaded"),
    [
        ("pkg_1.0~rc1_amd64.deb", "pkg_1.0.rc1_amd64.deb"),
        ("a b (final).zip", "a.b.final.zip"),
        ("tool-1.0+cu121-x.whl", "tool-1.0+cu121-x.whl"),
    ],
)
async def test_what_github_made_of_a_name(asking: Asking, tool: Repository, asked: str, uploaded: str) -> None:
    """GitHub renames what is uploaded: who asks by the file's own name is told that, and the name that is there."""
    tool.releases[0].assets.append(Asset(uploaded, b"x"))
    if asked == uploaded:
        assert await asking(asked)
    else:
        assert (await asking.problem(asked)).hint == f"GitHub renames uploads: there it is `{uploaded}`"


async def test_an_upload_that_was_not_finished(asking: Asking, tool: Repository) -> None:
    """An asset whose upload was broken off is told as such, and not as one that is not there."""
    tool.releases[0].assets.append(Asset("three.bin", b"3", state="starter"))
    assert (await asking.problem("three.bin")).kind == "asset-not-uploaded"


@pytest.mark.usefixtures("tool")
async def test_what_a_look_told_holds_for_its_repository(asking: Asking) -> None:
    """Of one repository many releases may be asked for in vain: the look that tells why is taken once for all."""
    for number in range(5):
        assert (await asking.problem(tag=f"v1.{number + 1}")).kind == "tag-not-found"
    assert asking.cost() == ["api 404", "api 200", "api 200", *["api 404"] * 4]


@pytest.mark.usefixtures("tool")
async def test_a_repository_that_is_not_seen_is_left_alone(asking: Asking) -> None:
    """That a repository is not visible is true for each of its releases, and for a moment nothing of it is asked."""
    for number in range(5):
        assert await asking.kind("a", f"v{number}", "invented") == "repository-not-visible"
    assert asking.cost() == ["api 404", "api 404"]
    asking.standin.repositories.append(Repository("acme", "invented", releases=[Release("v9", [Asset("one.bin")])]))
    asking.now += LIFETIMES.missing + 1
    assert await asking.kind("a", "v9", "invented") == "found"


# ------------------------------------------------------------------ asked in vain

INVENTED = {
    "tags": [("tool", f"v{number}.x", "one.bin") for number in range(200)],
    "repositories": [(f"invented-{number}", "v1.0", "one.bin") for number in range(200)],
    "assets": [("tool", "v1.0", f"{number}.x") for number in range(200)],
}
"""Each is a question of its own; of the release whose assets are asked for at once, one is enough for all."""


@pytest.mark.parametrize(
    ("what", "at_once"),
    [("tags", True), ("tags", False), ("repositories", True), ("repositories", False), ("assets", False)],
)
async def test_a_client_that_invents(asking: Asking, tool: Repository, what: str, at_once: bool) -> None:
    """What is not there costs the API sixty calls a minute for one client, whatever it invents; then it is told so.

    What is known is served on, and so is who else asks.
    """
    tool.releases.append(Release("v2.0", [Asset("one.bin", b"2")]))
    assert await asking.kind("a") == "found"
    asking.cost()
    questions = [asking.kind("a", tag, repository, name) for repository, tag, name in INVENTED[what]]
    kinds = await asyncio.gather(*questions) if at_once else [await question for question in questions]
    calls = len(asking.cost())
    assert 55 <= calls <= 60
    assert "too-many-misses" not in kinds[:20]
    assert kinds.count("too-many-misses") >= 140
    assert asking.last is not None
    assert (asking.last.status, asking.last.retry_after) == (429, 60)
    assert await asking.kind("a") == "found"
    assert await asking.kind("a", name="two.bin") == "found"
    assert await asking.kind("a", "v2.0") == "too-many-misses"
    assert await asking.kind("b", "v2.0") == "found"
    assert await asking.kind("a", "v2.0") == "found"
    asking.now += 61
    assert await asking.kind("a", "v3.0") == "tag-not-found"


async def test_all_clients_that_invent(asking: Asking, tool: Repository) -> None:
    """What is not there costs a credential a tenth of its hourly budget, however many ask; what is known is served."""
    tool.releases.append(Release("v2.0", [Asset("one.bin", b"2")]))
    token = asking.standin.tokens[0]
    token.limit = 200
    assert await asking.kind("0") == "found"
    used = token.used
    kinds = [await asking.kind(str(number), f"v{number}.x") for number in range(50)]
    assert token.used == used + token.limit // 10
    assert set(kinds) == {"tag-not-found", "misses-cost-too-much"}
    assert asking.last is not None
    assert (asking.last.status, asking.last.retry_after) == (429, 3600)
    assert await asking.kind("0") == "found"
    assert await asking.kind("1", name="two.bin") == "found"
    assert await asking.kind("1", "v2.0") == "misses-cost-too-much"
    asking.now += 3601
    assert await asking.kind("1", "v2.0") == "found"


async def test_what_is_found_is_not_counted(asking: Asking, tool: Repository) -> None:
    """However much that is there one client asks for at once, it gets all of it."""
    tool.releases[:] = [Release(f"v{number}", [Asset("one.bin", b"")]) for number in range(150)]
    kinds = await asyncio.gather(*(asking.kind("a", f"v{number}") for number in range(150)))
    assert set(kinds) == {"found"}


@pytest.mark.usefixtures("tool")
async def test_what_is_free_costs_no_budget(asking: Asking) -> None:
    """That a release did not change is told for nothing: of the tenth of the budget nothing goes."""
    token = asking.standin.tokens[0]
    token.limit = 50
    assert await asking.kind("a") == "found"
    await asking.kind("a", name="0.x")
    used = token.used
    kinds = {await asking.kind(str(number), name=f"{number}.x") for number in range(1, 40)}
    assert kinds == {"asset-not-found"}
    assert token.used == used


@pytest.mark.usefixtures("tool")
async def test_the_same_in_vain_counts_once(asking: Asking) -> None:
    """Who asks again for what is known to be missing, or with others, costs nothing, and is not told that it did."""
    for _ in range(2):
        kinds = await asyncio.gather(*(asking.kind(str(number % 2), "v9") for number in range(200)))
        assert set(kinds) == {"tag-not-found"}
    assert len(asking.cost()) == 3
    assert await asking.kind("0") == "found"


@pytest.mark.usefixtures("tool")
async def test_a_lockout_ends_with_the_forges_own(asking: Asking) -> None:
    """Who is refused a login is told the budget of those without one, which says nothing of the credential's: what was
    asked for meanwhile does not keep it from the others for an hour.
    """
    github = asking.standin
    github.bad_logins, github.locked_until = github.max_bad_logins, asking.now + 300
    kinds = set()
    while asking.now < github.locked_until:
        kinds.add(await asking.kind(str(asking.now), f"v{asking.now}"))
        asking.now += 11
    assert kinds == {"locked-out"}
    asking.now += 61
    assert await asking.kind("a") == "found"


@pytest.mark.usefixtures("tool")
async def test_a_forge_that_fails_is_not_held_against_clients(asking: Asking) -> None:
    """What the forge did wrong is told as that, however often it is met."""
    asking.standin.faults.append(Fault("api", status=500, times=100))
    assert {await asking.kind("a", f"v{number}") for number in range(100)} == {"upstream-failed"}
    assert await asking.kind("a") == "found"


# -------------------------------------------------------------- what is required


@pytest.mark.parametrize(
    ("require", "digest", "immutable", "kind"),
    [
        ({"digest"}, True, False, None),
        ({"digest"}, False, True, "without-digest"),
        ({"digest", "immutable"}, True, False, "mutable-release"),
        ({"digest", "immutable"}, True, True, None),
        (set(), False, False, None),
    ],
)
async def test_what_a_rule_requires(
    asking: Asking, tool: Repository, require: set[Requirement], digest: bool, immutable: bool, kind: str | None
) -> None:
    """An asset that lacks what its rule requires is refused with the reason, whatever another rule let be known."""
    tool.releases[0].immutable = immutable
    if not digest:
        tool.releases[0].assets[0].digest = None
    request = asking.request(AssetRef(Name("acme", "tool"), "v1.0", "one.bin"), (MINE,), anonymous_first=False)
    assert await asking.resolver.resolve(request) is not None
    action = ResolveRelease(asking.forge, require=frozenset(require))
    required = replace(request, rule=replace(request.rule, name="strict", action=action))
    if kind is None:
        assert await asking.resolver.resolve(required) is not None
        return
    with pytest.raises(Unresolvable) as caught:
        await asking.resolver.resolve(required)
    assert (caught.value.problem.kind, caught.value.problem.status) == (kind, 403)
    assert "`strict`" in caught.value.problem.detail
    assert await asking.resolver.resolve(request) is not None
