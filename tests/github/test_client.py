"""The one client of a forge, asked directly: what it finds, and to whom it shows the secret. Before the stand-in."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tracemalloc
import zlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import brotli  # type: ignore[import-untyped]  # it has no types
import httpx2
import pytest

from gatepass.demo.standin import Asset, Fault, Release, Repository, Zeros
from gatepass.forge.hosts import Forge, Host
from gatepass.forge.signed import SignedUrl
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.github import client
from gatepass.github.client import PER_PAGE, GitHub, UnclearError
from gatepass.github.replies import AssetGoneError
from gatepass.github.statistics import Statistics
from gatepass.problems.problem import Unresolvable
from gatepass.secret import Secret
from harness import free_port, strays
from multiplexed import Front, front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from gatepass.problems.problem import Problem
    from harness import Running

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
    pages = [(await api.assets(forge, found, page, secret))[0] for page in (1, 2)]
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
OTHERS = ["https://evil.test/api/v3/", "//evil.test/api/v3/", "https://{asset_host}/api/v3/repos"]


@pytest.mark.parametrize("location", [*WITHIN, *NOWHERE, *OTHERS])
async def test_a_redirect_takes_the_secret_nowhere(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, location: str
) -> None:
    """A redirect that leads out of the API is not followed with the secret, wherever it leads: the call fails."""
    to = {"location": location.format(web=github.web, asset_host=github.asset_host)}
    github.faults.append(Fault("api", status=302, headers=to))
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    assert problem.kind == ("foreign-answer" if "evil.test" in location else "malformed-answer")
    assert len(github.calls()) == 1


LOGIN = {"location": "https://login.corp.test/?to=api.github.com"}
PAGE = {"content-type": "text/html"}


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=403, headers=PAGE, body=b"<title>Blocked by policy</title>"), "the title `Blocked by policy`"),
        (Fault(status=200, headers=PAGE, body=b"<title>Sign in</title>"), "the title `Sign in`"),
        (Fault(status=404, headers=PAGE, body=b"<p>no"), "is not GitHub"),
        (Fault(status=302, headers=LOGIN), "it sends to login.corp.test"),
    ],
)
async def test_something_between(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset, fault: Fault, words: str
) -> None:
    """A filter or a login page that answers for the API is told as that, whatever was asked."""
    for call in (
        lambda: api.release(forge, ref(), secret),
        lambda: api.sign(forge, asset_url(forge, asset), secret),
        lambda: api.post(forge, f"{forge.api}/app/installations/1/access_tokens", secret, {}),
    ):
        github.faults.append(replace(fault, role="api"))
        problem = await problem_of(call())
        assert problem.kind == "foreign-answer"
        assert words in problem.detail
        assert problem.members == {}


@pytest.mark.usefixtures("tool")
async def test_something_before_the_asset_host(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, asset: Asset
) -> None:
    """The same of the asset host."""
    signed = await api.sign(forge, asset_url(forge, asset), secret)
    assert signed is not None
    for fault, words in (
        (Fault("asset", status=403, headers=PAGE, body=b"<title>Too large</title>"), "the title `Too large`"),
        (Fault("asset", status=302, headers=LOGIN), "it sends to login.corp.test"),
    ):
        github.faults.append(fault)
        problem = await problem_of(api.excerpt(signed, {"Range": "bytes=0-0"}, 1))
        assert problem.kind == "foreign-answer"
        assert words in problem.detail


async def test_a_proxy_that_wants_another_password(
    forge: Forge, secret: Secret, github: StandIn, company: tuple[str, Running]
) -> None:
    """A proxy that does not let the question through is told, with what it says, and without the password."""
    proxy = httpx2.Proxy(company[0].replace("me:", "me:wrong-"))
    api = GitHub(ssl.create_default_context(cafile=github.ca_file), proxy)
    problem = await problem_of(api.ask(forge, f"{forge.api}/user", secret))
    await api.close()
    assert problem.kind == "proxy-refused"
    assert f"the proxy at 127.0.0.1:{proxy.url.port} answered 407 when it was asked for {github.web}" in problem.detail
    assert "wrong" not in str(problem)
    assert github.calls() == []


async def test_a_proxy_that_is_not_there(forge: Forge, secret: Secret, github: StandIn) -> None:
    """A proxy that cannot be reached is what cannot be reached; hosts that it is not for are none of its business."""
    port = free_port()
    proxy, trust = httpx2.Proxy(f"http://127.0.0.1:{port}"), ssl.create_default_context(cafile=github.ca_file)
    api, direct = GitHub(trust, proxy), GitHub(trust, proxy, direct=lambda _: True)
    assert f"127.0.0.1:{port}: " in (await problem_of(api.ask(forge, f"{forge.api}/user", secret))).detail
    nobody = Forge(Host.parse("localhost:1"), "https://localhost:1")
    assert "localhost:1: " in (await problem_of(direct.ask(nobody, "https://localhost:1/user", secret))).detail
    for each in (api, direct):
        await each.close()


@pytest.mark.parametrize("location", [*WITHIN, *NOWHERE])
async def test_no_signed_url(api: GitHub, forge: Forge, secret: Secret, github: StandIn, location: str) -> None:
    """Where the asset endpoint leads to is a signed URL only on another host, over https; nobody is asked there."""
    to = {"location": location.format(web=github.web)}
    github.faults.append(Fault("api", status=302, headers=to))
    problem = await problem_of(api.sign(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret))
    assert problem.kind == ("foreign-answer" if "evil.test" in location else "malformed-answer")
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


# ------------------------------------------------------- connections that end


@asynccontextmanager
async def served(server: Front, folder: Path) -> AsyncIterator[tuple[GitHub, Forge]]:
    """A client of the server, and the forge that it is."""
    async with front(server, folder):
        api = GitHub(ssl.create_default_context(cadata=server.ca))
        yield api, Forge(Host.parse(server.host), f"https://{server.host}/api/v3")
        await api.close()


async def test_a_connection_that_was_closed_meanwhile(
    secret: Secret, github: StandIn, tool: Repository, tmp_path: Path
) -> None:
    """A server that closes idle connections costs nobody an answer: the question is asked once more, on a fresh one."""
    tool.releases.append(Release("v2.0"))
    async with served(Front(github, "web", idle=0.1), tmp_path) as (api, forge):
        for tag in ("v1.0", "v2.0", "v1.0"):
            assert await api.release(forge, ref(tag), secret)
            await asyncio.sleep(0.2)
        assert await api.public(forge, ref()) is None
        assert api._statistics.api_calls == len(github.calls("api")) == 3


@pytest.mark.usefixtures("tool")
async def test_a_new_token_is_asked_for_once_more(secret: Secret, github: StandIn, tmp_path: Path) -> None:
    """The one POST there is makes a token, and may be repeated: it meets closed connections as any question does."""
    async with served(Front(github, "web", idle=0.1), tmp_path) as (api, forge):
        await api.release(forge, ref(), secret)
        await asyncio.sleep(0.2)
        assert (await api.post(forge, f"{forge.api}/app/installations/1/access_tokens", secret, {})).status == 401


@pytest.mark.parametrize("most", [1000, 300])
@pytest.mark.parametrize("clients", [1, 200])
@pytest.mark.usefixtures("tool")
async def test_a_connection_that_has_served_its_requests(
    secret: Secret, github: StandIn, asset: Asset, tmp_path: Path, clients: int, most: int
) -> None:
    """A server that takes so many requests on a connection, and no more, answers all: one after another or at once."""
    server = Front(github, "asset", most=most, delay=0.001 if clients > 1 else 0)
    async with served(server, tmp_path) as (api, _):
        github.asset_host, before = server.host, github.asset_host
        try:
            authority = Forge(Host.parse(github.web), github.api)
            trusting = GitHub(ssl.create_default_context(cadata=github.ca_pem))
            signed = await trusting.sign(authority, asset_url(authority, asset), secret)
            await trusting.close()
        finally:
            github.asset_host = before
        assert signed is not None

        async def ask(first: int) -> None:
            for number in range(first, 1100, clients):
                at = number % 200
                part = await api.excerpt(signed, {"Range": f"bytes={at}-{at}"}, 1)
                assert (part.status, part.content) == (206, CONTENT[at : at + 1])

        await asyncio.gather(*(ask(first) for first in range(clients)))
    assert server.connections >= 1100 // most


@pytest.mark.usefixtures("tool")
async def test_a_server_that_hangs_up(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """Who hangs up on a fresh connection has answered: it is not asked again."""
    github.faults.append(Fault("api", close=True, times=9))
    assert (await problem_of(api.release(forge, ref(), secret))).kind == "unreachable"
    assert len(github.calls()) == 1


@pytest.mark.usefixtures("tool")
async def test_a_server_that_hangs_up_each_time(api: GitHub, forge: Forge, secret: Secret, github: StandIn) -> None:
    """Once more is once: when the fresh connection fails as the old one did, that is told."""
    await api.release(forge, ref(), secret)
    github.faults.append(Fault("api", close=True, times=9))
    assert (await problem_of(api.release(forge, ref(), secret))).kind == "unreachable"
    assert len(github.calls()) == 3


HIDINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(f"?{text}".encode()).decode(),
    "Basic": lambda text: base64.b64encode(f"x-access-token:{text}".encode()).decode(),
    "percent": lambda text: "".join(f"%{ord(character):02x}" for character in text),
    "hexadecimal": lambda text: text.encode().hex(),
}
"""How a server may repeat what it was sent."""
EACH_HIDING = pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)


@EACH_HIDING
async def test_an_encoded_secret_in_an_answer(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, hide: Callable[[str], str]
) -> None:
    """So it is however the secret is written: none of it reaches a problem's text or an answer's headers."""
    said = hide(secret.reveal())
    body = f'{{"message": "bad token {said}"}}'.encode()
    github.faults.append(Fault("api", status=403, headers={"x-said": said}, body=body))
    reply = await api.ask(forge, f"{forge.api}/user", secret)
    assert said not in reply.headers["x-said"] + reply.content.decode()
    github.faults.append(Fault("api", status=403, headers={"x-github-request-id": said}, body=body))
    problem = await problem_of(api.release(forge, ref(), secret))
    shown = problem.body().decode() + str(problem) + repr(problem)
    assert "bad token " in shown
    assert "[removed]" in shown
    assert said not in shown
    assert secret.reveal() not in shown


@EACH_HIDING
async def test_a_location_that_holds_the_secret(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, hide: Callable[[str], str]
) -> None:
    """A redirect with the secret in it, in whatever encoding, is none: it is neither followed nor shown."""
    said = hide(secret.reveal())
    for url in (f"https://{github.asset_host}/x?sig={said}", f"{forge.api}/user?{said}"):
        for call in (api.sign, api.ask):
            github.forget()
            github.faults.append(Fault("api", status=302, headers={"location": url}))
            problem = await problem_of(call(forge, f"{forge.api}/repos/acme/tool/releases/assets/1", secret))
            assert problem.kind == "malformed-answer"
            assert said not in problem.body().decode()
            assert len(github.calls()) == 1


async def test_a_page_that_holds_the_secret(
    api: GitHub, forge: Forge, secret: Secret, github: StandIn, tool: Repository
) -> None:
    """So it is with the page of a release, which tells what its repository is called now."""
    tool.rename("acme/instrument")
    moved = {"location": f"{forge.api}/repositories/{tool.id}/releases/tags/v1.0"}
    page = f"https://{github.web}/{secret.reveal()}/x/releases/tag/v1.0"
    body = f'{{"id": 1, "tag_name": "v1.0", "assets": [], "html_url": "{page}"}}'.encode()
    github.faults += [Fault("api", status=301, headers=moved), Fault("api", status=200, body=body)]
    assert (await problem_of(api.release(forge, ref(), secret))).kind == "malformed-answer"


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
