"""The one client of a forge, asked directly: what it finds, and to whom it shows the secret. Before the stand-in."""

from __future__ import annotations

import asyncio
import json
import ssl
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest

from gatepass.demo.standin import Asset, Fault, Release, Repository, Zeros
from gatepass.forge.hosts import Forge, Host
from gatepass.forge.signed import SignedUrl
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.github import client
from gatepass.github.client import PER_PAGE, AssetGoneError, GitHub, UnclearError
from gatepass.github.statistics import Statistics
from gatepass.problems.problem import Unresolvable
from gatepass.secret import Secret
from harness import free_port, strays

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from gatepass.demo.standin import StandIn
    from gatepass.problems.problem import Problem

CONTENT = bytes(range(256))


@pytest.fixture
def secret(github: StandIn) -> Secret:
    return Secret(github.token, "env:STANDIN_TOKEN")


@pytest.fixture
def asset() -> Asset:
    return Asset("data.bin", CONTENT)


@pytest.fixture
def tool(github: StandIn, asset: Asset) -> Repository:
    """`acme/tool`, private, whose release `v1.0` holds the asset."""
    tool = Repository("acme", "tool", releases=[Release("v1.0", [asset])])
    github.repositories.append(tool)
    return tool


def ref(tag: str | None = "v1.0", repository: str = "tool", name: str = "data.bin") -> AssetRef:
    return AssetRef(Name("acme", repository), tag, name)


async def problem_of(call: Awaitable[object]) -> Problem:
    with pytest.raises(Unresolvable) as caught:
        await call
    return caught.value.problem


def asset_url(forge: Forge, asset: Asset) -> str:
    return f"{forge.api}/repos/acme/tool/releases/assets/{asset.id}"


# --------------------------------------------------------------------- releases


@pytest.mark.usefixtures("tool")
async def test_a_release(api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset) -> None:
    """One call tells the release with its assets; the API gets the secret, its own media type, and who asks."""
    found = await api.release(forge, ref(), secret)
    assert found is not None
    assert (found.release.tag_name, found.renamed) == ("v1.0", None)
    assert [(each.id, each.name, each.size) for each in found.release.assets] == [(asset.id, "data.bin", 256)]
    (call,) = github.calls()
    assert (call.method, call.path) == ("GET", "/repos/acme/tool/releases/tags/v1.0")
    assert call.headers["authorization"] == f"Bearer {secret.reveal()}"
    assert call.headers["accept"] == "application/vnd.github+json"
    assert call.headers["x-github-api-version"] == client.API_VERSION
    assert call.headers["user-agent"] == client.USER_AGENT


@pytest.mark.parametrize("tag", ["v1.0", "release/1.0", "a b", "50%", "ä", "?#"])
async def test_any_tag(api: GitHub, forge: Forge, secret: Secret, tool: Repository, tag: str) -> None:
    """A tag is data, whatever stands in it: the release of that very tag is found."""
    tool.releases[:] = [Release("other"), Release(tag)]
    found = await api.release(forge, ref(tag), secret)
    assert found is not None
    assert found.release.tag_name == tag


async def test_the_latest_release(api: GitHub, forge: Forge, secret: Secret, tool: Repository) -> None:
    """Without a tag it is the release that the forge calls the latest."""
    tool.releases.append(Release("v2.0"))
    found = await api.release(forge, ref(None), secret)
    assert found is not None
    assert found.release.tag_name == "v2.0"


async def test_an_unchanged_release_is_free(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """Asked with its validator, a release that did not change costs no budget; one that did is told anew."""
    found = await api.release(forge, ref(), secret)
    assert found is not None
    used = github.tokens[0].used
    assert await api.release(forge, ref(), secret, found.etag) is None
    assert github.tokens[0].used == used
    tool.releases[0].assets.append(Asset("more.bin", b""))
    changed = await api.release(forge, ref(), secret, found.etag)
    assert changed is not None
    assert len(changed.release.assets) == 2


async def test_a_renamed_repository(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """The forge's redirect is followed, the new name is told, and what follows is asked of the new place at once."""
    tool.rename("acme/instrument")
    found = await api.release(forge, ref(), secret)
    assert found is not None
    assert found.renamed == Name("acme", "instrument")
    assert found.releases_url == f"{forge.api}/repositories/{tool.id}/releases"
    github.forget()
    await api.assets(forge, found, 1, secret)
    assert [call.status for call in github.calls()] == [200]


async def test_pages(api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository) -> None:
    """The list of a release's assets is read page by page; one that is not full is the last."""
    tool.releases[0].assets[:] = [Asset(f"{number}.bin", b"") for number in range(PER_PAGE + 1)]
    github.embedded_assets = 1
    found = await api.release(forge, ref(), secret)
    assert found is not None
    assert len(found.release.assets) == 1
    pages = [await api.assets(forge, found, page, secret) for page in (1, 2)]
    assert [len(page) for page in pages] == [PER_PAGE, 1]
    assert [asset.name for page in pages for asset in page] == [f"{number}.bin" for number in range(PER_PAGE + 1)]


@pytest.mark.usefixtures("tool")
async def test_no_release(api: GitHub, forge: Forge, secret: Secret) -> None:
    """What is not there, or not to be seen, is a release that was not found: an API's 404 says no more."""
    for other in (ref("v9.9"), ref(repository="none")):
        assert (await problem_of(api.release(forge, other, secret))).kind == "release-not-found"


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": "x", "tag_name": "v1.0"}', b'{"id": "\xff"}'])
async def test_a_malformed_answer(api: GitHub, forge: Forge, secret: Secret, github: StandIn, body: bytes) -> None:
    """An answer that is no release is told as the forge's mistake; what stood in it is not repeated."""
    github.faults.append(Fault("api", status=200, body=body))
    problem = await problem_of(api.release(forge, ref(), secret))
    assert (problem.kind, problem.status) == ("malformed-answer", 502)
    assert "html" not in problem.detail


# ------------------------------------------------------------------- signed URLs


@pytest.mark.usefixtures("tool")
async def test_sign(api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset) -> None:
    """The asset endpoint gives a URL at another host, which is asked without the secret, for parts and by GET."""
    signed = await api.sign(forge, asset_url(forge, asset), secret)
    assert signed is not None
    assert signed.host == Host.parse(github.asset_host)
    assert signed.expires is not None
    part = await api.excerpt(signed, {"Range": "bytes=10-19"}, 10)
    assert (part.status, part.content) == (206, CONTENT[10:20])
    (call,) = github.calls("asset")
    assert call.method == "GET"
    assert "authorization" not in call.headers
    assert strays(github, secret.reveal()) == []


@pytest.mark.usefixtures("tool")
async def test_a_forge_that_streams(api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset) -> None:
    """A forge that sends the bytes itself gives no URL; its part comes from the API, which knows the secret."""
    github.stream_assets = github.stream_ranges = True
    assert await api.sign(forge, asset_url(forge, asset), secret) is None
    part = await api.api_excerpt(forge, asset_url(forge, asset), secret, {"Range": "bytes=-6"}, 6)
    assert (part.status, part.content) == (206, CONTENT[-6:])
    assert github.calls("asset") == []


async def test_an_asset_that_is_gone(api: GitHub, forge: Forge, secret: Secret, tool: Repository, asset: Asset) -> None:
    """An asset that was replaced since its id was read is told from one that may not be had."""
    tool.releases[0].assets.clear()
    with pytest.raises(AssetGoneError):
        await api.sign(forge, asset_url(forge, asset), secret)


async def test_a_part_is_no_larger_than_was_asked_for(
    api: GitHub, forge: Forge, secret: Secret, tool: Repository, github: StandIn
) -> None:
    """A host that sends more than a part is not read on, and the whole, where no part was given, not at all."""
    tool.releases[0].assets[:] = [Asset("data.bin", Zeros(1 << 30))]
    signed = await api.sign(forge, asset_url(forge, tool.releases[0].assets[0]), secret)
    assert signed is not None
    problem = await problem_of(api.excerpt(signed, {"Range": "bytes=0-"}, 100))
    assert problem.kind == "malformed-answer"
    whole = await api.excerpt(signed, {}, 100)
    assert (whole.status, whole.content) == (200, b"")
    await api.close()
    assert sum(call.bytes_sent for call in github.calls("asset")) < 1 << 28


# ------------------------------------------------------------------- the secret


WITHIN = [
    "https://{web}/login",
    "https://{web}/api/v3",
    "https://{web}/api/v33/repos",
    "/api/v3/../../acme",
    "/api/v3/%2e%2E/acme",
    "/api/v3/..%2facme",
]
"""Places on the forge's own hosts that are not of its API."""
NOWHERE = ["http://{web}/api/v3/repos", "https://{web}@evil.test/api/v3/", "https://[/", "data:,x"]
ELSEWHERE = ["https://evil.test/api/v3/", "//evil.test/api/v3/", "https://{asset_host}/api/v3/repos"]


@pytest.mark.parametrize("location", [*WITHIN, *NOWHERE, *ELSEWHERE])
async def test_a_redirect_takes_the_secret_nowhere(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, location: str
) -> None:
    """A redirect that leads out of the API is not followed with the secret, wherever it leads: the call fails."""
    to = {"location": location.format(web=github.web, asset_host=github.asset_host)}
    github.faults.append(Fault("api", status=302, headers=to))
    assert (await problem_of(api.ask(forge, f"{forge.api}/user", secret))).kind == "malformed-answer"
    assert len(github.calls()) == 1


@pytest.mark.parametrize("location", [*WITHIN, *NOWHERE])
async def test_no_signed_url(api: GitHub, forge: Forge, secret: Secret, github: StandIn, location: str) -> None:
    """Where the asset endpoint leads to is a signed URL only on another host, over https; nobody is asked there."""
    to = {"location": location.format(web=github.web)}
    github.faults.append(Fault("api", status=302, headers=to))
    problem = await problem_of(api.sign(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret))
    assert problem.kind == "malformed-answer"
    assert len(github.calls()) == 1


@pytest.mark.parametrize("url", ["https://evil.test/user", "https://{web}/user", "https://{web}/api/v3/../user", ""])
async def test_only_the_api_is_asked_with_the_secret(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, url: str
) -> None:
    """A URL that is not of the API is refused before anything is sent, however it was come by."""
    url = url.format(web=github.web)
    for call in (api.ask(forge, url, secret), api.post(forge, url, secret, {}), api.sign(forge, url, secret)):
        assert (await problem_of(call)).kind == "malformed-answer"
    assert github.calls() == []


async def test_redirects_come_to_an_end(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """Redirects within the API are followed three times at the most."""
    github.faults.append(Fault("api", status=301, headers={"location": f"{forge.api}/user"}, times=9))
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    assert "too many redirects" in problem.detail
    assert len(github.calls()) == 3


async def test_an_answer_that_repeats_the_secret(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """Some servers say what they were sent: neither headers nor body of what is handed on hold the secret."""
    said = f"you sent {secret.reveal()}"
    github.faults.append(Fault("api", status=200, headers={"x-said": said}, body=said.encode()))
    reply = await api.ask(forge, f"{forge.api}/user", secret)
    assert (reply.headers["x-said"], reply.content) == ("you sent [removed]", b"you sent [removed]")


# ---------------------------------------------------------------- as anybody may


async def test_a_public_asset(api: GitHub, forge: Forge, github: StandIn, tool: Repository) -> None:
    """A public asset's URL is got from the web host, without a credential: by an old name and as the latest, too."""
    tool.private = False
    assert (await api.public(forge, ref())) is not None
    assert (await api.public(forge, ref(None))) is not None
    tool.rename("acme/instrument")
    signed = await api.public(forge, ref())
    assert signed is not None
    assert signed.host == Host.parse(github.asset_host)
    assert github.calls("api") == []
    assert all("authorization" not in call.headers for call in github.calls())


@pytest.mark.usefixtures("tool")
async def test_no_public_asset(api: GitHub, forge: Forge, github: StandIn) -> None:
    """What the web host does not know, or shows to nobody without a session, is not public."""
    assert await api.public(forge, ref()) is None
    github.private_mode = True
    assert await api.public(forge, ref()) is None


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("web", status=500),
        Fault("web", status=429),
        Fault("web", status=200),
        Fault("web", status=302),
        Fault("web", status=302, headers={"location": "http://plain.test/"}),
        Fault("web", status=302, headers={"location": "/acme/tool"}, times=9),
        Fault("web", close=True),
    ],
    ids=["fails", "is busy", "has a page", "leads nowhere", "leads to plain http", "leads in a circle", "hangs up"],
)
async def test_a_web_host_that_is_unclear(api: GitHub, forge: Forge, github: StandIn, fault: Fault) -> None:
    """A web host that gives neither the asset nor a 404 has said nothing about it."""
    github.faults.append(fault)
    with pytest.raises(UnclearError):
        await api.public(forge, ref())


# ------------------------------------------------------------------------ faults


async def test_a_forge_that_is_not_trusted(forge: Forge, secret: Secret, github: StandIn) -> None:
    """A certificate of nobody's is refused before the secret is sent; who issued it is told, and what was trusted."""
    api = GitHub(ssl.create_default_context(), trust_name="the trust of this test")
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    await api.close()
    assert (problem.kind, problem.status) == ("certificate-not-trusted", 502)
    assert "issued by `" in problem.detail
    assert "the trust of this test" in problem.detail
    assert github.calls() == []


async def test_a_forge_that_is_not_there(api: GitHub, secret: Secret) -> None:
    """A port that nobody listens on is told with the system's own words."""
    forge = Forge(Host("localhost", free_port()), f"https://localhost:{free_port()}/api/v3")
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    assert problem.kind == "unreachable"
    assert str(forge.api_host) in problem.detail


async def test_a_forge_that_hangs_up(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """A connection that is closed without an answer is told, in words that hold no header."""
    github.faults.append(Fault("api", close=True, times=9))
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    assert problem.kind == "unreachable"
    assert secret.reveal() not in str(problem)


@pytest.mark.usefixtures("tool")
async def test_what_calls_cost(forge: Forge, secret: Secret, github: StandIn) -> None:
    """Calls with the secret are counted, with the budget that the last told; others are none."""
    statistics = Statistics()
    api = GitHub(ssl.create_default_context(cafile=github.ca_file), statistics=statistics)
    await api.release(forge, ref(), secret)
    await api.ask(forge, f"{forge.api}/user", secret)
    await api.public(forge, ref())
    await api.close()
    assert (statistics.api_calls, statistics.remaining, statistics.limit) == (2, 4998, 5000)


# ------------------------------------------------------------------------ bounds


def bomb(encoding: str, size: int) -> bytes:
    """So many zeros, in that encoding: some kB at the most."""
    block = bytes(1 << 20)
    if encoding == "br":
        compressor = brotli.Compressor(quality=1)
        return bytes(b"".join(compressor.process(block) for _ in range(size >> 20)) + compressor.finish())
    once = zlib.compressobj(9, wbits=31)
    return b"".join(once.compress(block) for _ in range(size >> 20)) + once.flush()


@pytest.mark.parametrize("encoding", ["br", "gzip"])
@pytest.mark.parametrize("read", [True, False], ids=["read", "passed over"])
async def test_an_answer_that_inflates(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, encoding: str, read: bool
) -> None:
    """What some kB become is bounded while it is read, and is not read at all where only the head counts."""
    body = bomb(encoding, 256 << 20)
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    headers |= {} if read else {"location": f"{forge.api}/user"}
    github.faults.append(Fault("api", status=200 if read else 301, headers=headers, body=body, times=9))
    tracemalloc.start()
    try:
        problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem.kind == "malformed-answer"
    assert ("more than" if read else "too many redirects") in problem.detail
    assert peak < 100 << 20


async def test_an_answer_in_an_encoding(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """No encoding is asked for; one that comes all the same is read, and one that cannot be is told."""
    body = zlib.compress(b"{}", wbits=31)
    for content, expected in ((body, b"{}"), (b"{}", None), (body[:9], b"")):
        github.faults.append(Fault("api", status=200, headers={"content-encoding": "gzip"}, body=content))
        if expected is None:
            assert "encoding" in (await problem_of(api.ask(forge, f"{forge.api}/user", secret))).detail
        else:
            assert (await api.ask(forge, f"{forge.api}/user", secret)).content == expected
    assert {call.headers["accept-encoding"] for call in github.calls()} == {"identity"}


@pytest.mark.usefixtures("tool")
async def test_no_cookie_is_kept(api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset) -> None:
    """What a host sets as a cookie is sent to no host again: not from the web host to the API, nor within the API."""
    cookie = {"set-cookie": "session=1; Path=/"}
    github.faults.append(Fault("web", status=404, headers=cookie))
    assert await api.public(forge, ref()) is None
    github.faults.append(Fault("api", status=200, headers=cookie, body=b"{}"))
    await api.ask(forge, f"{forge.api}/user", secret)
    signed = await api.sign(forge, asset_url(forge, asset), secret)
    assert signed is not None
    await api.excerpt(signed, {"Range": "bytes=0-0"}, 1)
    assert len(github.calls()) == 4
    assert not any("cookie" in call.headers for call in github.calls())


@pytest.mark.usefixtures("tool")
async def test_a_place_that_hangs(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """However many calls hang, for one repository, on the web or for one asset, another repository is answered."""
    github.faults.append(Fault(match="/hanging/", hang=30, times=1000))
    refs = [AssetRef(Name("hanging", "tool"), f"v{number}", "x") for number in range(170)]
    signed = SignedUrl(f"https://{github.asset_host}/hanging/x", Host.parse(github.asset_host), None)
    calls: list[Coroutine[Any, Any, object]] = [api.release(forge, each, secret) for each in refs]
    calls += [api.public(forge, each) for each in refs]
    calls += [api.excerpt(signed, {"Range": "bytes=0-0"}, 1) for _ in refs]
    hanging = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.5)
    try:
        async with asyncio.timeout(5):
            assert await api.release(forge, ref(), secret) is not None
            assert await api.public(forge, ref()) is None
    finally:
        for each in hanging:
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


# ------------------------------------------------------------------------ nonsense


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"id": 1, "tag_name": "v", "assets": ' + DEEP,
        b'{"message": ' + DEEP,
        b'{"message": "\xff"}',
        b"\xff\xfe",
    ],
    ids=["list", "assets", "message", "latin-1", "utf-16"],
)
@pytest.mark.parametrize("status", [200, 401, 403, 500])
async def test_an_answer_that_is_nonsense(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, status: int, body: bytes
) -> None:
    """Whatever an answer is made of, it is a problem with a name."""
    github.faults.append(Fault("api", status=status, body=body))
    problem = await problem_of(api.release(forge, ref(), secret))
    kinds = {200: "malformed-answer", 401: "bad-credential", 403: "forbidden", 500: "upstream-failed"}
    assert problem.kind == kinds[status]


async def test_unchanged_though_nothing_was_known(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """A 304 to a question without a validator is no answer."""
    github.faults.append(Fault("api", status=304, times=2))
    assert (await problem_of(api.release(forge, ref(), secret))).kind == "upstream-failed"
    assert (await problem_of(api.sign(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret))).status == 502


@pytest.mark.parametrize(
    "html_url", ["https://[/a/b", "", "x", "https://e.test/a", "https://e.test/a/..", "//\u001b/b"]
)
@pytest.mark.usefixtures("tool")
async def test_a_page_that_is_nonsense(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, html_url: str
) -> None:
    """Of a page's address that names no repository no new name is taken."""
    github.faults.append(
        Fault("api", status=301, headers={"location": f"{forge.api}/repositories/7/releases/tags/v1.0"})
    )
    body = json.dumps({"id": 1, "tag_name": "v1.0", "html_url": html_url}).encode()
    github.faults.append(Fault("api", "/repositories/7", status=200, body=body))
    found = await api.release(forge, ref(), secret)
    assert found is not None
    assert found.renamed is None


LOCATIONS = [
    "https://objects.test/\x01?x=1",
    "https://objects.test/a b",
    "https://objects.test/\x7f",
    "https://objects.test/\xff",
    "https://objects.test/?x=" + "a" * 50_000,
    "/" + "a" * 50_000,
    "https://objects.test:99999/",
    "https://\xff/",
    "https://xn--\xe4/",
    "\\\\objects.test",
    "https://",
    "https://objects.test:x/",
    "https://[::1",
    "https://objects.test/" + "a" * 99_000,
]


@pytest.mark.parametrize(
    "location", [*LOCATIONS, "https://objects.test/" + "a" * 99_000], ids=lambda text: repr(text[:30])
)
async def test_a_redirect_that_is_nonsense(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, location: str
) -> None:
    """A redirect that cannot be followed, or is longer than any URL, is told as that, whoever gives it."""
    github.faults.append(Fault(status=302, headers={"location": location}, times=9))
    for call in (
        api.sign(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret),
        api.ask(forge, f"{forge.api}/user", secret),
    ):
        assert (await problem_of(call)).status == 502
    with pytest.raises(UnclearError):
        await api.public(forge, ref())


ADDRESSES = ["169.254.169.254", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "10.0.0.1:8443", "1"]
"""Spellings of addresses that resolvers read."""


@pytest.mark.parametrize("host", [*ADDRESSES, "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1."])
async def test_an_asset_host_has_a_name(api: GitHub, forge: Forge, secret: Secret, github: StandIn, host: str) -> None:
    """A signed URL at an address, in whatever spelling, is refused, and nobody is asked there."""
    github.faults.append(Fault(status=302, headers={"location": f"https://{host}/x?sig=1"}, times=2))
    problem = await problem_of(api.sign(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret))
    assert problem.status == 502
    assert "sig=" not in str(problem)
    with pytest.raises(UnclearError):
        await api.public(forge, ref())


async def test_a_known_asset_host(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """Where the rules name the asset hosts of a forge, a signed URL at another is refused, with what to do."""
    named = replace(forge, assets=(Host("media.test"),))
    for host, kind in (("media.test", None), ("other.test", "unknown-asset-host")):
        github.faults.append(Fault("api", status=302, headers={"location": f"https://{host}/x"}))
        call = api.sign(named, f"{forge.api}/repos/acme/tool/releases/assets/1", secret)
        if kind is None:
            assert (await call) is not None
        else:
            problem = await problem_of(call)
            assert (problem.kind, host in problem.detail) == (kind, True)
