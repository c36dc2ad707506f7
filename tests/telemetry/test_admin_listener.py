"""The admin listener by itself: what it answers, to whom, and what it does not put up with."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from gatepass.errors import GatepassError
from gatepass.secret import Secret
from gatepass.store.circuit import Health
from gatepass.telemetry import admin as listening
from gatepass.telemetry import event, metrics
from gatepass.telemetry.admin import Admin, is_loopback, parse_address
from gatepass.telemetry.event import Event
from gatepass.telemetry.ledger import Ledger
from harness import DEADLINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATHS = ("/healthz", "/readyz", "/metrics", "/status.json", "/")


@pytest.fixture
def ledger() -> Ledger:
    """That of a proxy which has rules."""
    ledger = Ledger()
    ledger.counts.loaded("rules.yaml")
    return ledger


@pytest.fixture
async def admin(ledger: Ledger) -> AsyncIterator[Admin]:
    admin = Admin("127.0.0.1:0", ledger)
    admin.start()
    yield admin
    admin.close()


async def raw(admin: Admin, request: bytes) -> bytes:
    """All that it answers to these bytes, till it closes."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        try:
            writer.write(request)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def ask(
    admin: Admin, path: str, method: str = "GET", host: str = "localhost", more: str = ""
) -> tuple[int, str, str]:
    """Status, head and body."""
    answer = await raw(admin, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


@pytest.mark.parametrize("path", PATHS)
async def test_get_and_head(admin: Admin, path: str) -> None:
    """Each path is answered, HEAD as GET but for the body; nothing of it is kept, sniffed, framed, or loads more."""
    status, head, body = await ask(admin, path)
    assert status == 200
    assert body
    for field in ("Cache-Control: no-store", "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY"):
        assert field in head
    assert "Content-Security-Policy: default-src 'none'" in head
    assert "unsafe" not in head
    assert "Server:" not in head
    status, without, nothing = await ask(admin, path, "HEAD")
    assert (status, nothing) == (200, "")
    assert re.findall("^[^:]+:", head, re.MULTILINE) == re.findall("^[^:]+:", without, re.MULTILINE)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/absent"])
async def test_other_methods(admin: Admin, method: str, path: str) -> None:
    """Nothing but GET and HEAD is answered."""
    status, head, _ = await ask(admin, path, method)
    assert status == 405
    assert "Allow: GET, HEAD" in head


@pytest.mark.parametrize("path", ["/absent", "//", "/../etc/passwd", "/healthz/", "/%2e%2e/"])
async def test_other_paths(admin: Admin, path: str) -> None:
    """What is not there is not there."""
    assert (await ask(admin, path))[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:9090", 200), ("LOCALHOST.", 200), ("127.0.0.1", 200), ("127.0.0.2:1", 200),
        ("[::1]:9090", 200), ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil.example", 421),
        ("192.0.2.1", 421), ("0.0.0.0", 421),
    ],
)  # fmt: skip
async def test_names_of_this_machine(admin: Admin, host: str, status: int) -> None:
    """On loopback it answers to this machine's own names alone, so that no web page reads it by a name of its own."""
    for path in PATHS:
        assert (await ask(admin, path, host=host))[0] == status


async def test_ready(admin: Admin, ledger: Ledger) -> None:
    """It is ready while every check says so, those of others too; and it says in words why not. It stays healthy."""
    assert (await ask(admin, "/readyz"))[2] == "ready\n"
    ledger.checks["disk"] = lambda: "is on fire"
    ledger.drain()
    status, _, body = await ask(admin, "/readyz")
    assert (status, body) == (503, "draining: the proxy is about to end\ndisk: is on fire\n")
    assert (await ask(admin, "/healthz"))[0] == 200
    assert json.loads((await ask(admin, "/status.json"))[2])["not_ready"]["disk"] == "is on fire"


async def test_without_the_library(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where prometheus-client is not installed /metrics says what to install, and the rest works."""
    monkeypatch.setattr(metrics, "encoder", lambda _: None)
    admin = Admin("127.0.0.1:0", ledger)
    admin.start()
    status, _, body = await ask(admin, "/metrics")
    assert status == 501
    assert "prometheus-client" in body
    assert "extra `metrics`" in body
    assert (await ask(admin, "/"))[0] == 200
    admin.close()


async def test_nothing_foreign_becomes_markup(admin: Admin, ledger: Ledger) -> None:
    """What others have written is text on the page and harmless in the JSON; no secret in use is in either."""
    evil = "</script><script>alert(1)</script><img src=x onerror=y>\"'&\u202e"
    secret = Secret("open-sesame-4711", "env:X").reveal()
    facts = dict.fromkeys(
        ("client", "user", "method", "host", "path", "reason", "problem", "rule"), event.text(evil + secret)
    )
    told = Event(action="refuse", failed=True, began=0, seconds=0, source=evil, status=403, port=1, **facts)  # type: ignore[arg-type]  # all of these are texts
    ledger.counts.add(told)
    ledger.counts.failed(evil + secret)
    ledger.checks["x"] = lambda: evil + secret
    _, head, page = await ask(admin, "/")
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "&lt;img" in page
    policy = re.findall(r"script-src ([^;]+);", head)
    assert policy == [listening._hashes("script")]
    _, _, document = await ask(admin, "/status.json")
    assert json.loads(document)["refusals"][0]["host"].startswith(evil[:-1])
    assert "\u202e" not in document
    for text in (page, document, (await ask(admin, "/readyz"))[2], (await ask(admin, "/metrics"))[2]):
        assert secret not in text


async def test_the_keys_of_the_status(admin: Admin, ledger: Ledger) -> None:
    """The state has the keys that are documented."""
    ledger.counts.add(Event(action="refuse", failed=True, began=0, seconds=0, source="::1", problem="internal"))
    state = json.loads((await ask(admin, "/status.json"))[2])
    assert set(state) == {
        "version", "started", "now", "not_ready", "rules", "audit", "shared_cache", "connections", "tunnels",
        "requests", "credentials", "clients", "problems", "refusals",
    }  # fmt: skip
    assert set(state["rules"]) == {"file", "loaded", "error"}
    assert state["requests"]["refuse"] == 1
    assert state["problems"] == {"internal": 1}
    assert state["clients"] == [{"client": "::1", "requests": 1, "per_minute": 1.0}]
    assert len(state["refusals"]) == 1


async def test_the_shared_cache_is_shown(admin: Admin, ledger: Ledger) -> None:
    """Nothing of a shared cache is told where there is none; else how it is, in words, in JSON, as a metric."""
    assert "gatepass_store_up" not in (await ask(admin, "/metrics"))[2]
    assert json.loads((await ask(admin, "/status.json"))[2])["shared_cache"] is None
    url = "redis://127.0.0.1:6379/0"
    ledger.counts.shares(url, Health(is_up=False, since=0, why="it is full"))
    assert "gatepass_store_up 0.0" in (await ask(admin, "/metrics"))[2]
    state = json.loads((await ask(admin, "/status.json"))[2])
    assert state["shared_cache"] == {
        "url": url,
        "up": False,
        "since": "1970-01-01T00:00:00.000000Z",
        "error": "it is full",
    }
    assert "The shared cache is not used" in (page := (await ask(admin, "/"))[2])
    assert "it is full" in page
    assert (await ask(admin, "/readyz"))[0] == 200
    ledger.counts.shares(url, Health(is_up=True, since=1))
    assert "gatepass_store_up 1.0" in (await ask(admin, "/metrics"))[2]
    assert "The shared cache is not used" not in (await ask(admin, "/"))[2]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["header", "body", "tls", "nonsense", "smuggling"],
)
async def test_what_is_no_question(admin: Admin, request_: bytes) -> None:
    """Whatever else is sent is not answered with success, and the next question is."""
    assert not (await raw(admin, request_)).startswith(b"HTTP/1.1 2")
    assert (await ask(admin, "/healthz"))[0] == 200


async def test_many_questions(admin: Admin) -> None:
    """Connections that have ended count for nothing."""
    for _ in range(3 * listening._MOST_CONNECTIONS):
        assert (await ask(admin, "/healthz"))[0] == 200


async def test_who_sits_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens connections and says nothing, or reads nothing, is let go in time, and then others are answered."""
    monkeypatch.setattr(listening, "_CONNECTION_SECONDS", 0.5)
    admin = Admin("127.0.0.1:0", ledger)
    admin.start()
    idle = [await asyncio.open_connection("127.0.0.1", admin.port) for _ in range(listening._MOST_CONNECTIONS)]
    for _, writer in idle[::2]:
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
    await asyncio.sleep(0.1)
    assert await raw(admin, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    async with asyncio.timeout(DEADLINE):
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()
    assert (await ask(admin, "/healthz"))[0] == 200
    admin.close()


async def test_it_closes(ledger: Ledger) -> None:
    """Closed, it lets go of its port and of all connections."""
    admin = Admin("127.0.0.1:0", ledger)
    admin.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    await asyncio.sleep(0.05)
    admin.close()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    writer.close()
    with socket.create_server(("127.0.0.1", admin.port)):
        pass


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9090", ("127.0.0.1", 9090)), ("[::1]:0", ("::1", 0)), ("host.example:1", ("host.example", 1))],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int]) -> None:
    """HOST:PORT, of IPv6 in brackets."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "9090", ":9090", "::1:9090", "127.0.0.1", "127.0.0.1:99999", "a b:1", "[::1]"])
def test_what_is_no_address(text: str) -> None:
    """Anything else is an error that says what was expected."""
    with pytest.raises(GatepassError, match="expected HOST:PORT"):
        parse_address(text)


def test_loopback() -> None:
    """An address that others reach is told from one that they do not."""
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "")))
