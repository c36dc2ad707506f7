"""What replicas share in a real redis-server: values, flights with one owner, tallies; and what others write there."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gatepass.store import shared as shared_module
from gatepass.store.alone import Made, Store
from gatepass.store.circuit import Health, patience
from gatepass.store.opening import Opening, opened
from gatepass.store.place import read_place
from gatepass.store.sealing import Seal
from gatepass.trust import certificates
from harness import free_port
from redisserver import RedisServer, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from gatepass.store.shared import Shared

KEY, OTHER = os.urandom(32), os.urandom(32)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Replicas:
    """Stores of several replicas, and what each has told of the server."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.told: list[Health] = []
        self._stores: list[Shared] = []

    def new(self, *keys: bytes, password: str | None = None) -> Shared:
        opening = Opening(read_place(self.server.url), password or self.server.password, keys or (KEY,))
        store = opened(opening, ssl.create_default_context(), self.told.append)
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture
async def replicas(server: RedisServer) -> AsyncIterator[Replicas]:
    replicas = Replicas(server)
    yield replicas
    await replicas.close()


async def until[T](condition: Callable[[], T], seconds: float = 15) -> T:
    """The first true value, without blocking the loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def written(store: Shared) -> None:
    """All that was put is there."""
    await until(lambda: not store._tasks)


def bearing(value: bytes) -> bytes:
    return value


# -------------------------------------------------------------------- values


async def test_what_one_puts_the_other_gets(replicas: Replicas) -> None:
    """A value goes from one replica to another, and is over at its end."""
    one, other = replicas.new(), replicas.new()
    name = one.name("kind", "a")
    assert await other.get(name) is None
    one.put(name, b"value", 0.5)
    await written(one)
    assert await other.get(name) == b"value"
    await asyncio.sleep(0.6)
    assert await other.get(name) is None


async def test_every_entry_has_an_end(replicas: Replicas, server: RedisServer) -> None:
    """Nothing stays for ever in the server, whatever is kept there."""
    store = replicas.new()
    store.put(store.name("a"), b"x", 1e12)
    await store.tally(store.name("b"), 1, 60)
    flying = asyncio.create_task(store.once(store.name("c"), bearing, lambda: asyncio.sleep(5, Made(b"x"))))
    held = await until(lambda: keys if len(keys := server.names()) == 3 else [])
    for key in held:
        left = server.ask("PTTL", key)
        assert isinstance(left, int)
        assert 0 < left <= 41 * 86_400_000, key
    flying.cancel()


async def test_two_configurations_do_not_mix(replicas: Replicas, server: RedisServer) -> None:
    """With another key there is nothing to be found, not even a name."""
    one, other = replicas.new(), replicas.new(OTHER)
    one.put(one.name("a"), b"x", 60)
    await written(one)
    before = server.names()
    assert await other.get(other.name("a")) is None
    assert await other.get(one.name("a")) is None
    other.put(other.name("a"), b"y", 60)
    await written(other)
    assert len(server.names()) == len(before) + 1
    assert await one.get(one.name("a")) == b"x"


async def test_rotation_asks_nothing_anew(replicas: Replicas) -> None:
    """With `[new, old]` what was sealed with the old key is known, and what is sealed then is with the new one."""
    old, both = replicas.new(OTHER), replicas.new(KEY, OTHER)
    old.put(old.name("a"), b"x", 60)
    await written(old)
    assert await both.get(both.name("a")) == b"x"
    both.put(both.name("b"), b"y", 60)
    await written(both)
    assert await old.get(old.name("b")) is None
    assert (
        Seal([KEY]).open(both.name("b"), as_bytes(replicas.server.ask("GET", f"gatepass:{both.name('b')}")), 0) == b"y"
    )


def as_bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


async def test_what_others_write_is_not_believed(replicas: Replicas, server: RedisServer) -> None:
    """Garbage, a value moved under another name, a list where a value should be, and one past its end are nothing."""
    store = replicas.new()
    name, moved = store.name("a"), store.name("b")
    store.put(name, b"x", 0.5)
    await written(store)
    sealed = as_bytes(server.ask("GET", f"gatepass:{name}"))
    server.ask("SET", f"gatepass:{moved}", sealed)
    assert await store.get(moved) is None
    assert await store.get(name) == b"x"
    await asyncio.sleep(0.6)
    server.ask("SET", f"gatepass:{name}", sealed)
    assert await store.get(name) is None, "its end is inside"
    for garbage in (b"", b"garbage", sealed[:-4], sealed[:20] + b"AAAA" + sealed[24:], os.urandom(3_000_000)):
        server.ask("SET", f"gatepass:{name}", garbage)
        assert await store.get(name) is None
    server.ask("DEL", f"gatepass:{name}")
    server.ask("RPUSH", f"gatepass:{name}", "x")
    assert await store.get(name) is None
    assert replicas.told == [], "the server itself is well"
    assert await store.once(name, bearing, lambda: asyncio.sleep(0, Made(b"y", b"y", 60))) == b"y"
    await written(store)
    assert await store.get(name) == b"y"


# ------------------------------------------------------------------- flights


async def test_one_asks_for_all(replicas: Replicas) -> None:
    """Of many replicas that want the same at once one asks, and all have its answer."""
    stores, asked = [replicas.new() for _ in range(10)], 0

    async def ask() -> Made[bytes]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.3)
        return Made(b"x", b"x", 60)

    name = stores[0].name("a")
    assert set(await asyncio.gather(*(store.once(name, bearing, ask) for store in stores))) == {b"x"}
    assert asked == 1
    assert await replicas.new().once(name, bearing, ask) == b"x"
    assert asked == 1


async def test_a_flight_longer_than_its_lock(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that lives keeps its flight, however long it takes."""
    monkeypatch.setattr(shared_module, "FLIGHT_SECONDS", 0.3)
    asked: list[str] = []

    async def ask(who: str) -> Made[bytes]:
        asked.append(who)
        await asyncio.sleep(1.5)
        return Made(b"x", b"x", 60)

    one, other = replicas.new(), replicas.new()
    first = asyncio.create_task(one.once(one.name("a"), bearing, lambda: ask("one")))
    await asyncio.sleep(0.1)
    assert await other.once(one.name("a"), bearing, lambda: ask("other")) == b"x"
    assert await first == b"x"
    assert asked == ["one"]


async def test_an_owner_that_fails(replicas: Replicas) -> None:
    """Of a question that failed the others hear nothing; the next asks at once."""
    one, other = replicas.new(), replicas.new()

    async def fail() -> Made[bytes]:
        await asyncio.sleep(0.2)
        raise ConnectionError("nobody there")

    first = asyncio.create_task(one.once(one.name("a"), bearing, fail))
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    assert await other.once(one.name("a"), bearing, lambda: asyncio.sleep(0, Made(b"y", b"y", 9))) == b"y"
    assert time.monotonic() - begun < 1
    with pytest.raises(ConnectionError):
        await first


async def test_an_owner_that_died(replicas: Replicas, server: RedisServer) -> None:
    """A flight whose owner died, or which somebody else wrote there, holds up nobody for longer than five seconds."""
    store = replicas.new()
    name = store.name("a")
    lock = f"gatepass:{name}:flight"
    server.ask("SET", lock, "the dead", "PX", "4000")
    begun = time.monotonic()
    assert await store.once(name, bearing, lambda: asyncio.sleep(0, Made(b"x"))) == b"x"
    assert 3 < time.monotonic() - begun < 5
    for forged in (("SET", lock, "for ever"), ("SET", lock, "long", "PX", "99999999")):
        server.ask(*forged)
        begun = time.monotonic()
        assert await store.once(name, bearing, lambda: asyncio.sleep(0, Made(b"x"))) == b"x"
        assert time.monotonic() - begun < 1
    server.ask("DEL", lock)
    server.ask("RPUSH", lock, "a list")
    assert await store.once(name, bearing, lambda: asyncio.sleep(0, Made(b"x"))) == b"x"


async def test_a_flight_is_not_landed_by_another(replicas: Replicas, server: RedisServer) -> None:
    """An owner that comes back late frees no flight but its own."""
    store = replicas.new()
    name = store.name("a")

    async def ask() -> Made[bytes]:
        server.ask("SET", f"gatepass:{name}:flight", "another's", "PX", "4000")
        return Made(b"x", b"x", 60)

    assert await store.once(name, bearing, ask) == b"x"
    await written(store)
    assert server.ask("GET", f"gatepass:{name}:flight") == b"another's"


async def test_what_cannot_be_taken_is_asked_for(replicas: Replicas) -> None:
    """A value that is there and of no use is asked for by one, and then replaced."""
    stores, asked = [replicas.new() for _ in range(4)], 0
    name = stores[0].name("a")
    stores[0].put(name, b"old", 60)
    await written(stores[0])

    async def ask() -> Made[bytes]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1)
        return Made(b"new", b"new", 60)

    found = await asyncio.gather(
        *(store.once(name, lambda value: value if value == b"new" else None, ask) for store in stores)
    )
    assert found == [b"new"] * 4
    assert asked == 1


# ------------------------------------------------------------------- tallies


async def test_tallies(replicas: Replicas) -> None:
    """Each replica tells its own count, and hears the sum of the others'; it ends by itself."""
    one, two, three = (replicas.new() for _ in range(3))
    name = one.name("requests", "a", "minute")
    assert [await one.tally(name, 1, 60), await two.tally(name, 2, 60), await three.tally(name, 4, 60)] == [0, 1, 3]
    assert [await one.tally(name, 1, 60), await two.tally(name, 0, 60), await one.tally(name, 1, 60)] == [6, 5, 4]
    two.tell(name, 8, 0.2)
    await written(two)
    await asyncio.sleep(0.3)
    assert await one.tally(name, 1, 60) == 0, "the shortest end is the whole's"


async def test_tallies_of_others(replicas: Replicas, server: RedisServer) -> None:
    """What somebody else counts, or has copied of a replica's count, is none."""
    one, two = replicas.new(), replicas.new()
    name, elsewhere = one.name("a"), one.name("b")
    await two.tally(name, 5, 60)
    found = server.ask("HGETALL", f"gatepass:{name}")
    assert isinstance(found, list)
    field, sealed = found
    server.ask("HSET", f"gatepass:{name}", "0" * 32, sealed, "another", "1000", b"\xff\xfe", sealed)
    server.ask("HSET", f"gatepass:{elsewhere}", field, sealed)
    assert await one.tally(name, 0, 60) == 5
    assert await one.tally(elsewhere, 0, 60) == 0
    server.ask("SET", f"gatepass:{name}", "no hash")
    assert await one.tally(name, 0, 60) == 0
    assert replicas.told == []


# -------------------------------------------------------------------- alone


async def test_alone() -> None:
    """Where nobody shares nothing is known, everything is asked for, and nobody else counts."""
    store = Store()
    store.put(store.name("a"), b"x", 60)
    assert await store.get(store.name("a")) is None
    assert await store.once(store.name("a"), bearing, lambda: asyncio.sleep(0, Made(b"y"))) == b"y"
    assert await store.tally(store.name("a"), 5, 60) == 0


# ------------------------------------------------------------------- outages


async def outage(store: Shared) -> float:
    """Ask until the server is known not to be well; how long the slowest question took."""
    slowest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        with patience():
            await store.get(store.name("a"))
            await store.once(store.name("b"), bearing, lambda: asyncio.sleep(0, Made(b"x", b"x", 60)))
        slowest = max(slowest, time.monotonic() - begun)
        if not store.health.is_up:
            return slowest
    raise AssertionError("it is still up")


async def nobody_waits(store: Shared) -> None:
    begun = time.monotonic()
    for _ in range(200):
        assert await store.get(store.name("a")) is None
        assert await store.once(store.name("b"), bearing, lambda: asyncio.sleep(0, Made(b"x", b"x", 60))) == b"x"
        assert await store.tally(store.name("c"), 1, 60) == 0
    assert time.monotonic() - begun < 5, "each of 600 would be a quarter of a second"


async def back(replicas: Replicas, store: Shared) -> None:
    """It is used again by itself, and both changes were told once."""
    await until(lambda: store.health.is_up, 20)
    assert [health.is_up for health in replicas.told] == [False, True]
    store.put(store.name("z"), b"x", 60)
    await written(store)
    assert await replicas.new().get(store.name("z")) == b"x"


async def test_killed_and_restarted(replicas: Replicas, server: RedisServer) -> None:
    """Without the server each replica goes on at once; with it again it is used again; each is told once."""
    store = replicas.new()
    await store.get(store.name("a"))
    server.kill()
    assert await outage(store) < 1
    await nobody_waits(store)
    assert "cannot be reached" in replicas.told[0].why
    server.start()
    await back(replicas, store)


async def test_frozen(replicas: Replicas, server: RedisServer) -> None:
    """A server that is stopped holds a request up for 250 ms once, and then none."""
    store = replicas.new()
    await store.get(store.name("a"))
    server.freeze()
    assert await outage(store) < 1
    await nobody_waits(store)
    assert replicas.told[0].why == "it gives no answer within 250 ms"
    await asyncio.sleep(1)
    server.thaw()
    await back(replicas, store)


async def test_full(replicas: Replicas, server: RedisServer) -> None:
    """A server that takes nothing more is not used, until there is room."""
    store = replicas.new()
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    await outage(store)
    await nobody_waits(store)
    assert replicas.told[0].why == "it is full"
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await back(replicas, store)


async def large(number: int) -> Made[bytes]:
    return Made(b"%d" % number, os.urandom(20_000), 60)


async def test_eviction_is_harmless(replicas: Replicas, server: RedisServer) -> None:
    """Where the server throws things away, they are asked for anew, and it is well."""
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    used = as_bytes(server.ask("INFO", "memory")).decode().partition("used_memory:")[2].split()[0]
    server.ask("CONFIG", "SET", "maxmemory", str(int(used) + 3_000_000))
    store = replicas.new()
    for number in range(200):
        name = store.name("a", str(number))
        assert await store.once(name, bearing, partial(large, number)) == b"%d" % number
    await written(store)
    there = [await store.get(store.name("a", str(number))) is not None for number in range(200)]
    assert 0 < sum(there) < 200
    assert replicas.told == []


async def test_a_wrong_password(replicas: Replicas) -> None:
    """With a wrong password nothing is shared, it is told once, and the password is in no text."""
    store = replicas.new(password="not-the-password")
    await outage(store)
    await nobody_waits(store)
    (told,) = replicas.told
    assert told.why == "it does not take the password"
    await asyncio.sleep(2)
    assert len(replicas.told) == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"$99999999999\r\nx", b"*5\r\n:1\r\n",
     b"+OK\r\n" * 50,
     b":17\r\n" * 50, b"$3\r\nabc\r\n" * 50, b"*-1\r\n" * 50, os.urandom(500), b"-MOVED 1 10.0.0.1:1\r\n" * 9],
    ids=["http", "tls", "huge", "half", "ok", "number", "text", "null", "random", "moved"],
)  # fmt: skip
async def test_nonsense(replicas: Replicas, answer: bytes) -> None:
    """A server that answers anything but what it should is not used, and nothing of it is believed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    nonsense = await asyncio.start_server(serve, "127.0.0.1", 0)
    replicas.server.kill()
    replicas.server.port = nonsense.sockets[0].getsockname()[1]
    store = replicas.new()
    store.start()
    await until(lambda: not store.health.is_up, 5)
    await nobody_waits(store)
    assert len(replicas.told) == 1
    await replicas.close()
    nonsense.close()


async def test_slow(replicas: Replicas, server: RedisServer) -> None:
    """A server that takes more than 50 ms is slow: after a few such answers it is not waited for, until it is quick."""
    delay = 0.08

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_slow: bool) -> None:
        try:
            while data := await reader.read(65536):
                await asyncio.sleep(delay if is_slow else 0)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, there[1], is_slow=False), pipe(there[0], writer, is_slow=True))

    port = server.port
    slow = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = slow.sockets[0].getsockname()[1]
    store = replicas.new()
    assert await outage(store) < 1
    await nobody_waits(store)
    assert "slow" in replicas.told[0].why or "no answer" in replicas.told[0].why
    delay = 0.0
    await back(replicas, store)
    server.port = port
    await replicas.close()
    slow.close()


async def test_tls(replicas: Replicas, server: RedisServer, tmp_path: Path) -> None:
    """With `rediss` the server is verified by the trust that is handed in: a stranger's certificate is refused."""
    mine, others = certificates.issue(["127.0.0.1"]), certificates.issue(["127.0.0.1"])
    (tmp_path / "server.pem").write_text(mine.server)
    port = free_port()
    server.kill()
    pem = str(tmp_path / "server.pem")
    server.start("--tls-port", str(port), "--tls-cert-file", pem, "--tls-key-file", pem, "--tls-auth-clients", "no")
    place = read_place(f"rediss://127.0.0.1:{port}/0")
    stores = {}
    for name, ca in (("mine", mine.ca), ("others", others.ca)):
        trust = ssl.create_default_context(cadata=ca)
        stores[name] = opened(Opening(place, server.password, (KEY,)), trust, replicas.told.append)
    stores["mine"].put(stores["mine"].name("a"), b"x", 60)
    await written(stores["mine"])
    assert await stores["mine"].get(stores["mine"].name("a")) == b"x"
    assert await stores["others"].get(stores["others"].name("a")) is None
    (told,) = replicas.told
    assert "CERTIFICATE_VERIFY_FAILED" in told.why
    for store in stores.values():
        await store.close()


async def test_a_request_waits_for_a_quarter_of_a_second_at_the_most(replicas: Replicas, server: RedisServer) -> None:
    """However many questions a request has, it waits 250 ms for all of them together."""
    store = replicas.new()
    await store.get(store.name("a"))
    server.freeze()
    begun = time.monotonic()
    with patience():
        await asyncio.gather(*(store.get(store.name("a", str(number))) for number in range(50)))
        for number in range(50):
            await store.once(store.name("b", str(number)), bearing, lambda: asyncio.sleep(0, Made(b"x", b"x", 60)))
            await store.tally(store.name("c"), 1, 60)
    # each by itself would be 150 times that
    assert time.monotonic() - begun < 10
    server.thaw()


async def test_connections_are_bounded(replicas: Replicas, server: RedisServer) -> None:
    """A thousand questions at once use a few connections: what is not answered in time is not known, and no outage."""
    store = replicas.new()
    store.put(store.name("a"), b"x", 60)
    await written(store)
    found = await asyncio.gather(*(store.get(store.name("a")) for _ in range(1000)))
    assert set(found) <= {b"x", None}
    assert found.count(b"x") > 50
    clients = as_bytes(server.ask("CLIENT", "LIST")).count(b"\n")
    assert clients <= 18
    assert replicas.told == []


async def test_a_replica_that_is_late_itself(replicas: Replicas) -> None:
    """A loop that was held up says nothing of the server."""
    store = replicas.new()
    asking = asyncio.create_task(store.get(store.name("a")))
    await asyncio.sleep(0)
    for _ in range(4):
        time.sleep(0.3)  # noqa: ASYNC251 — what holds the loop up
        await asyncio.sleep(0.01)
    await asking
    assert store.health.is_up
