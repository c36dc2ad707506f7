"""Several proxies with one store: what one has learnt no other asks for; and without the store each goes on."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, App, Asset, Fault, Release, Repository, StandIn, Token
from harness import Proxy, eventually, mitmdump
from redisserver import RedisServer, Talk, new_key, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish

pytestmark = pytest.mark.slow

NO_TOKEN = "ghp_SeesSeesNothingNothingNothingNothing00"

RULES = """\
version: 1
cache:
  {lifetimes}
  shared:
    url: {url}
    password: env:REDIS_PASSWORD
    key: {key}
forges:
  - web: {web}
    api: {api}
credentials:
  first:
    from: [env:NO_TOKEN]
    hosts: ["{web}"]
  standin:
    from: [env:STANDIN_TOKEN]
    hosts: ["{web}"]
rules:
  - match: {web}/acme/*/releases/download/*
    resolve: github-release
    credential: standin
  - match: {web}/both/*/releases/download/*
    resolve: github-release
    credential: [first, standin]
indexes:
  all:
    repositories: ["{web}/acme/*"]
    credential: standin
"""


@dataclass
class Replicas:
    """Proxies, the store that they share, and clients of each."""

    proxies: list[Proxy]
    server: RedisServer
    rules: Path
    key: str

    def __post_init__(self) -> None:
        self._contexts = [ssl.create_default_context(cafile=str(proxy.bundle)) for proxy in self.proxies]

    def client(self, number: int) -> httpx2.AsyncClient:
        """A client of one replica."""
        proxy, context = self.proxies[number], self._contexts[number]
        return httpx2.AsyncClient(proxy=proxy.url, verify=context, trust_env=False, timeout=60)

    async def fetch(self, number: int, url: str, **headers: str) -> httpx2.Response:
        """What a client of one replica gets."""
        async with self.client(number) as client:
            return await client.get(url, headers=headers)

    async def statuses(self, url: str, each: int = 1, **headers: str) -> list[int]:
        """So many clients of each replica ask at once."""
        asked = [self.fetch(number, url, **headers) for _ in range(each) for number in range(len(self.proxies))]
        return [response.status_code for response in await asyncio.gather(*asked)]

    def seen(self, number: int, path: str) -> httpx2.Response:
        """What the admin listener of one replica shows."""
        admin = self.proxies[number].running.wait_for(r"the admin listener is (http://127\.0\.0\.1:\d+)/")[1]
        return httpx2.get(f"{admin}{path}", trust_env=False)

    def is_up(self, number: int) -> bool:
        """Whether one replica uses the store."""
        before = self.seen(number, "/status.json").json()["shared_cache"]
        metrics = self.seen(number, "/metrics").text
        shared = self.seen(number, "/status.json").json()["shared_cache"]
        assert f"gatepass_store_up {float(shared['up'])}" in metrics or before != shared
        assert shared["url"] == self.server.url
        assert (shared["error"] is None) == shared["up"]
        return bool(shared["up"])


@contextmanager
def replicas(
    github: StandIn,
    folder: Path,
    server: RedisServer,
    count: int = 3,
    more: str = "",
    lifetimes: str = "missing: 10",
) -> Iterator[Replicas]:
    """So many proxies before the stand-in."""
    rules, key = folder / "rules.yaml", new_key()
    told = {"web": github.web, "api": github.api, "url": server.url, "lifetimes": lifetimes}
    rules.write_text(RULES.format(**told, key="env:CACHE_KEY") + more)
    proxies = []
    with ExitStack() as stack:
        for number in range(count):
            home = folder / f"replica{number}"
            home.mkdir()
            proxy = mitmdump(
                home,
                rules,
                github.ca_file,
                "--set",
                "gatepass_admin=127.0.0.1:0",
                NO_TOKEN=NO_TOKEN,
                REDIS_PASSWORD=server.password,
                CACHE_KEY=key,
                STANDIN_TOKEN=DEFAULT_TOKEN,
            )
            proxies.append(stack.enter_context(proxy))
        yield Replicas(proxies, server, rules, key)
    for each in proxies:
        assert "Traceback" not in each.log, each.log


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def _three(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    with running(folder / "redis") as server, replicas(_standin, folder, server) as found:
        yield found


@pytest.fixture
def three(github: StandIn, _three: Replicas) -> Replicas:
    """Three replicas that are well; what they have learnt of other tests' repositories is of no help."""
    github.forget()
    return _three


def calls(github: StandIn) -> int:
    """How often the API was asked since this was called the last time."""
    found = len(github.calls("api"))
    github.forget()
    return found


async def changed(two: Replicas, number: int, *, is_up: bool) -> None:
    """The replica uses the store, or does not, any more."""
    await asyncio.to_thread(eventually, lambda: two.is_up(number) == is_up)


async def settled(three: Replicas) -> None:
    """What was learnt has been told."""
    await asyncio.sleep(0.2)
    assert three.is_up(0)


async def test_three_replicas_cost_what_one_costs(github: StandIn, three: Replicas, publish: Publish) -> None:
    """300 clients of 3 replicas that want one asset at once, cold, cost 2 API calls in all."""
    url = publish(b"0123456789")
    github.latency = 0.3
    assert await three.statuses(url, 100) == [302] * 300
    assert calls(github) == 2
    assert await three.statuses(url, 10, Range="bytes=0-3") == [206] * 30
    assert calls(github) == 0


async def test_another_asset_of_a_known_release(github: StandIn, three: Replicas, publish: Publish) -> None:
    """A release that one replica knows another does not ask for; nor for the pages behind what it tells."""
    github.embedded_assets = 3
    urls = [publish(b"x", name=f"{number}.bin") for number in range(150)]
    assert (await three.fetch(0, urls[140])).status_code == 302
    assert calls(github) == 1 + 2 + 1
    await settled(three)
    assert (await three.fetch(1, urls[140])).status_code == 302
    assert calls(github) == 0
    assert (await three.fetch(2, urls[2])).status_code == 302
    assert calls(github) == 1, "its signed URL"


async def test_failures(github: StandIn, three: Replicas, publish: Publish) -> None:
    """What is not there for one replica is not asked for by another, and all say the same."""
    url = publish(b"x").replace("/v1.0/", "/v9.9/")
    first = await three.fetch(0, url)
    assert first.status_code == 404
    assert calls(github) == 3, "the lookup, and two questions about why"
    await settled(three)
    others = [await three.fetch(number, url) for number in (1, 2)]
    assert calls(github) == 0
    assert {other.json()["type"] for other in others} == {first.json()["type"]}


async def test_what_is_new_is_found(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """A release that another replica was told of before an asset came is asked for again when the asset is wanted."""
    url = publish(b"x")
    with replicas(github, tmp_path, server, 2, lifetimes="missing: 1") as two:
        assert (await two.fetch(0, url)).status_code == 302
        await asyncio.sleep(1.5)
        new = publish(b"new", name="new.bin")
        assert (await two.fetch(1, new)).status_code == 302
        assert (await two.fetch(1, new.replace("new.bin", "none.bin"))).status_code == 404


async def test_which_credential_sees_a_repository(github: StandIn, tmp_path: Path, server: RedisServer) -> None:
    """What one replica had to try the others know: which of two credentials a repository is seen with."""
    github.tokens.append(Token(NO_TOKEN, repositories=set()))
    github.repositories.append(Repository("both", "tool", releases=[Release("v1.0", [Asset("data.bin", b"x")])]))
    url = github.download_url("both/tool", "v1.0", "data.bin")
    # failures are not known for a moment, so that it is not by these
    with replicas(github, tmp_path, server, 2, lifetimes="missing: 0") as two:
        github.forget()
        assert (await two.fetch(0, url)).status_code == 302
        assert calls(github) == 3
        await settled(two)
        assert (await two.fetch(1, url)).status_code == 302
        assert calls(github) == 0


async def test_an_index(github: StandIn, three: Replicas, repository: Repository) -> None:
    """Lists of releases, and the metadata of wheels, are asked for by one replica alone."""
    wheel = package.wheel("acme_shared", "2.0")
    repository.releases.append(Release("v2.0", [Asset(wheel.name, wheel.content)]))
    page = "https://gatepass.internal/all/simple/acme-shared/"
    json = "application/vnd.pypi.simple.v1+json"
    first = await three.fetch(0, page, Accept=json)
    assert first.status_code == 200, first.text
    wanted = f"{first.json()['files'][0]['url']}.metadata"
    metadata = await three.fetch(0, wanted)
    assert metadata.status_code == 200
    await settled(three)
    github.forget()
    for number in (1, 2):
        again = await three.fetch(number, page, Accept=json)
        assert again.json()["files"] == first.json()["files"]
        told = await three.fetch(number, wanted)
        assert (told.status_code, told.content) == (200, metadata.content)
    assert [call.path for call in github.calls() if call.role in ("api", "asset")] == []


async def test_a_signed_url_that_was_revoked(github: StandIn, three: Replicas, publish: Publish) -> None:
    """A URL that another replica was given, and that works no more, is asked for anew, once for all."""
    url = publish(b"0123456789")
    assert (await three.fetch(0, url, Range="bytes=0-3")).status_code == 206
    await settled(three)
    calls(github)
    github.faults.append(Fault("asset", status=403, times=1))
    assert (await three.fetch(1, url, Range="bytes=0-4")).content == b"01234"
    assert calls(github) == 1
    await settled(three)
    assert (await three.fetch(2, url, Range="bytes=0-5")).content == b"012345"
    assert calls(github) == 0


async def test_nothing_of_it_can_be_read(three: Replicas, publish: Publish) -> None:
    """Neither tokens nor signed URLs, nor names of owners, repositories, hosts or files are seen by who has the server:
    in what it holds, or in what is said to it.
    """
    url = publish(b"0123456789", name="very-secret-name.bin")
    said: list[str] = []
    monitor = socket.create_connection(("127.0.0.1", three.server.port), timeout=10)
    talk = Talk(monitor)
    talk("AUTH", three.server.password)
    talk("MONITOR")

    def listen() -> None:
        while True:
            try:
                said.append(repr(talk.read()))
            except OSError:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    answers = [await three.fetch(number, url) for number in range(3)]
    signed = {answer.headers["location"] for answer in answers}
    await three.fetch(0, url.replace("very-secret-name", "absent"))
    await three.fetch(1, "https://gatepass.internal/all/simple/")
    await settled(three)
    held = three.server.everything().decode()
    monitor.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    talk.close()
    assert any("gatepass:" in line for line in said)
    assert "gatepass:" in held
    secrets = [
        DEFAULT_TOKEN,
        NO_TOKEN,
        three.key,
        "very-secret-name",
        "acme",
        "tool-",
        "standin",
        "localhost",
        "X-Amz",
    ]
    for text in (held, "".join(said)):
        for secret in [*secrets, *signed, *(part.partition("?")[2] for part in signed)]:
            assert secret
            assert secret not in text, secret
    for name in three.server.names():
        assert name.removeprefix(b"gatepass:").split(b":")[0].hex() or name == b"gatepass:probe"


async def test_a_forged_store(three: Replicas, publish: Publish) -> None:
    """Values that were copied under other names, or written by somebody else, are not believed: all is asked anew."""
    mine, other = publish(b"mine", name="mine.bin"), publish(b"other", name="other.bin")
    assert (await three.fetch(0, mine, Range="bytes=0-")).content == b"mine"
    assert (await three.fetch(0, other, Range="bytes=0-")).content == b"other"
    await settled(three)
    names = [name for name in three.server.names() if three.server.ask("TYPE", name) == b"string"]
    values = [three.server.ask("GET", name) for name in names]
    for name, value in zip(names, [*values[1:], values[0]], strict=True):
        assert isinstance(value, bytes)
        three.server.ask("SET", name, value)
    assert (await three.fetch(1, mine, Range="bytes=0-")).content == b"mine"
    assert (await three.fetch(1, other, Range="bytes=0-")).content == b"other"
    for name in three.server.names():
        three.server.ask("SET", name, "garbage")
    assert (await three.fetch(2, mine, Range="bytes=0-")).content == b"mine"
    assert three.is_up(2)


async def test_an_owner_that_freezes(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """A replica that freezes while it asks holds the others up for five seconds at the most."""
    warm, url = publish(b"y", name="warm.bin"), publish(b"x", tag="v2.0")
    with replicas(github, tmp_path, server, 2) as two:
        assert [(await two.fetch(number, warm)).status_code for number in (0, 1)] == [302] * 2
        github.latency = 2
        frozen = asyncio.create_task(two.fetch(0, url))
        await asyncio.sleep(0.7)
        two.proxies[0].running.process.send_signal(signal.SIGSTOP)
        github.latency = 0
        try:
            begun = time.monotonic()
            assert (await two.fetch(1, url)).status_code == 302
            assert time.monotonic() - begun < 6
        finally:
            two.proxies[0].running.process.send_signal(signal.SIGCONT)
        assert (await frozen).status_code == 302


async def test_an_outage(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """Without the store each replica goes on with what it knows, tells it once, and is ready; with it again they share
    again, without a restart.
    """
    url = publish(b"x")
    with replicas(github, tmp_path, server, 2) as two:
        assert await two.statuses(url) == [302] * 2
        assert [two.is_up(number) for number in (0, 1)] == [True, True]
        server.kill()
        calls(github)
        begun = time.monotonic()
        assert await two.statuses(url, 10) == [302] * 20
        assert calls(github) == 0, "what memory knows"
        other = publish(b"y", name="other.bin")
        assert await two.statuses(other, 5) == [302] * 10
        assert time.monotonic() - begun < 20, "what waits for no store takes a moment, on a busy machine some"
        assert calls(github) <= 4
        for number in (0, 1):
            await changed(two, number, is_up=False)
            assert two.seen(number, "/readyz").status_code == 200
        await asyncio.sleep(3)
        for proxy in two.proxies:
            assert proxy.log.count("the shared cache at") == 1, proxy.log
            assert server.password not in proxy.log
        server.start()
        for number in (0, 1):
            await changed(two, number, is_up=True)
        calls(github)
        new = publish(b"z", name="new.bin")
        assert (await two.fetch(0, new)).status_code == 302
        asked = calls(github)
        await asyncio.sleep(0.3)
        assert (await two.fetch(1, new)).status_code == 302
        assert (asked, calls(github)) == (2, 0)
        for proxy in two.proxies:
            assert proxy.log.count("the shared cache at") == 2, proxy.log


@pytest.mark.parametrize("state", ["frozen", "full", "not there", "wrong password"])
async def test_a_store_that_is_not_well(
    github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish, state: str
) -> None:
    """Whatever is wrong with the store: clients get what they want without waiting for it, and the proxy is ready."""
    url, right = publish(b"x"), server.password
    if state == "not there":
        server.kill()
    if state == "full":
        server.ask("CONFIG", "SET", "maxmemory", "1")
    if state == "wrong password":
        server.password = "not-the-password"
    with replicas(github, tmp_path, server, 2) as two:
        if state == "frozen":
            assert two.is_up(0)
            server.freeze()
        github.forget()
        begun = time.monotonic()
        assert await two.statuses(url, 5) == [302] * 10
        assert time.monotonic() - begun < 15, "what waits for no store takes a moment, on a busy machine some"
        assert calls(github) == 4
        for number in (0, 1):
            await changed(two, number, is_up=False)
            assert two.seen(number, "/readyz").text == "ready\n"
            assert two.proxies[number].log.count("the shared cache at") == 1
            assert server.password not in two.proxies[number].log
        server.thaw() if state == "frozen" else None
    server.password = right


async def test_an_app(
    github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish, app: App, app_key_file: Path
) -> None:
    """Each replica has tokens of its own of a GitHub App, and yet knows what another has learnt with it."""
    assert app.installations
    url = publish(b"x")
    with replicas(github, tmp_path, server, 2) as two:
        text = two.rules.read_text()
        source = f"{{github-app: {{id: {app.id}, key: 'file:{app_key_file}'}}}}"
        two.rules.write_text(text.replace("[env:STANDIN_TOKEN]", f"[{source}]"))
        for proxy in two.proxies:
            await asyncio.to_thread(proxy.running.wait_for, "rules read again")
        github.forget()
        assert (await two.fetch(0, url)).status_code == 302
        await asyncio.sleep(0.3)
        assert (await two.fetch(1, url)).status_code == 302
        asked = [call.path for call in github.calls("api") if "/releases/" in call.path]
        assert len(asked) == 2, asked


async def test_misses(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """What a client asks in vain at one replica it has asked in vain at the other, too."""
    url = publish(b"x")
    if time.time() % 60 > 40:
        await asyncio.sleep(21)  # a minute that ends meanwhile would begin with nothing
    with replicas(github, tmp_path, server, 2, more="limits: {misses: 12}\n") as two:
        assert (await two.fetch(1, url)).status_code == 302
        found = []
        for number in range(12):
            found.append((await two.fetch(number % 2, url.replace("/v1.0/", f"/v{number}.9/"))).status_code)
            await asyncio.sleep(0.1)
        # each costs a lookup, and for each replica the first two more, to know why
        assert found == [404] * 8 + [429] * 4
        assert (await two.fetch(1, url)).status_code == 302, "what is known is served on"


async def test_limits(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """The requests and connections of a client are counted for all replicas together."""
    url = publish(b"x")
    limits = "limits: {requests: 20, connections: 4}\n"
    with replicas(github, tmp_path, server, 2, more=limits) as two:
        async with two.client(0) as one, two.client(1) as other, two.client(0) as third, two.client(1) as fourth:
            if time.time() % 60 > 45:
                await asyncio.sleep(16)  # a minute that ends meanwhile would begin with nothing
            clients = [one, other, third, fourth]
            found = [(await clients[number % 2].get(url)).status_code for number in range(30)]
            # a CONNECT is a request, too
            assert found.count(302) == 18
            assert set(found[18:]) == {429}
    server.ask("FLUSHALL")
    limits = "limits: {connections: 3}\n"
    (tmp_path / "again").mkdir()
    with replicas(github, tmp_path / "again", server, 2, more=limits) as two:
        async with two.client(0) as one, two.client(1) as other, two.client(0) as third, two.client(1) as fourth:
            assert [(await client.get(url)).status_code for client in (one, other, third)] == [302] * 3
            with pytest.raises(httpx2.ProxyError, match="429"):
                await fourth.get(url)
            await third.aclose()
            await asyncio.sleep(3)
            async with two.client(1) as fifth:
                assert (await fifth.get(url)).status_code == 302


async def test_validators(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """An old release is asked for with the validator that another replica has learnt: that costs nothing."""
    url, other = publish(b"x"), publish(b"y", name="other.bin")
    with replicas(github, tmp_path, server, 2, lifetimes="tags: 1") as two:
        assert (await two.fetch(0, url)).status_code == 302
        await asyncio.sleep(1.5)
        github.forget()
        assert (await two.fetch(1, other)).status_code == 302
        assert [call.status for call in github.calls("api")] == [304, 302]


async def test_a_new_key(github: StandIn, tmp_path: Path, server: RedisServer, publish: Publish) -> None:
    """A bad key refuses a reload, and the rules of before are at work; a new one beside the old loses nothing."""
    url = publish(b"x")
    with replicas(github, tmp_path, server, 1) as one:
        (proxy,) = one.proxies
        assert (await one.fetch(0, url)).status_code == 302
        new = tmp_path / "new.key"
        new.write_text("no key")
        new.chmod(0o600)
        text = one.rules.read_text()
        one.rules.write_text(text.replace("key: env:CACHE_KEY", f"key: [file:{new}, env:CACHE_KEY]"))
        where = r"rules not replaced.*rules.yaml:\d+:\d+: cache.shared.key\[0\]: expected 32 random bytes"
        await asyncio.to_thread(proxy.running.wait_for, where)
        assert (await one.fetch(0, url)).status_code == 302
        github.forget()
        new.write_text(new_key())
        await asyncio.to_thread(proxy.running.wait_for, "rules read again")
        assert (await one.fetch(0, url)).status_code == 302
        assert calls(github) == 0, "memory began anew, and the store did not"
