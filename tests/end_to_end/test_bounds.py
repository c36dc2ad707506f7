"""What a client, or a server, may have the proxy hold: little, however long it goes on; the others are served."""

from __future__ import annotations

import base64
import itertools
import json
import re
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Fault, Zeros
from gatepass.trust import certificates
from harness import Client, Proxy, mitmdump, peak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import Repository, StandIn

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

MB = 1 << 20
MOST = 40 * MB
"""Bytes that the proxy may have taken more, whatever is done to it: what it touches for the first time counts."""


class Wire:
    """A client that says what it likes."""

    def __init__(self, proxy: Proxy, auth: str = "") -> None:
        where = urlsplit(proxy.url)
        assert where.port
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", where.port), 30)
        self._bundle = proxy.bundle
        self._auth = auth

    def connect(self, netloc: str) -> Self:
        """A CONNECT, and TLS in it."""
        self.send(f"CONNECT {netloc} HTTP/1.1\r\nHost: {netloc}\r\n{self._auth}\r\n")
        assert self.head().startswith("HTTP/1.1 200")
        context = ssl.create_default_context(cafile=self._bundle)
        self.socket = context.wrap_socket(self.socket, server_hostname=netloc.partition(":")[0])
        return self

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def flood(self, block: bytes, size: int, seconds: float = 20) -> int:
        """Send as much, unless the other side ends it or does not read on; how much it was."""
        sent, self.end = 0, time.monotonic() + seconds
        self.socket.settimeout(seconds)
        with suppress(OSError):
            while sent < size and time.monotonic() < self.end:
                sent += self.socket.send(block)
        self.socket.settimeout(30)
        return sent

    def head(self) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            head += byte
        return head.decode("latin-1")

    def all(self) -> str:
        """All that comes, until the other side closes."""
        came = b""
        with suppress(OSError):
            while block := self.socket.recv(65_536):
                came += block
        return came.decode("latin-1")

    def answer(self) -> tuple[int, bytes]:
        """A whole answer: its status and its body."""
        head = self.head()
        length = re.search(r"(?i)\r\ncontent-length: (\d+)", head)
        body = b""
        while length and len(body) < int(length[1]):
            body += self.socket.recv(65_536)
        return int(head.split(" ")[1]), body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture
def data(publish: Publish) -> str:
    """The URL of an asset of 16 MiB."""
    return publish(Zeros(16 * MB))


@pytest.fixture
def wire(lone_proxy: Proxy, github: StandIn) -> Iterator[Wire]:
    with Wire(lone_proxy).connect(github.web) as wire:
        yield wire


@pytest.fixture
def growth(lone_proxy: Proxy, client: Client, data: str) -> Callable[[], int]:
    """How many bytes the proxy has taken more since then, at its peak."""
    Client(client.home, lone_proxy.variables()).fetch(data, "-r", "0-9")
    process = lone_proxy.running.process.pid
    before = peak(process)
    return lambda: peak(process) - before


def get(url: str, *fields: str) -> str:
    parts = urlsplit(url)
    return "\r\n".join((f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *fields, "", ""))


# ---------------------------------------------------------------------- the API


def test_invented_names(wire: Wire, github: StandIn, repository: Repository, data: str) -> None:
    """Who invents tags and repositories costs the API sixty calls, and is told why; what is known is served."""
    wire.send(get(data))
    assert wire.answer()[0] == 302
    github.forget()
    urls = [github.download_url(repository.full_name, f"invented-{number}", "x") for number in range(100)]
    urls += [github.download_url(f"acme/invented-{number}", "v1", "x") for number in range(100)]
    statuses = []
    for url in urls:
        wire.send(get(url))
        status, body = wire.answer()
        statuses.append(status)
    assert len(github.calls("api")) <= 60
    assert statuses[:50] == [404] * 50
    assert statuses[-100:] == [429] * 100
    assert json.loads(body)["type"] == "urn:gatepass:problem:too-many-misses"
    assert "127.0.0.1 asked 60 times within a minute" in json.loads(body)["detail"]
    wire.send(get(data))
    assert wire.answer()[0] == 302


# ------------------------------------------------------------------------ ranges


@pytest.mark.parametrize("value", ["bytes=\xff-", "bytes=0-\xff", "\xff", "bytes=0-1\x80", "\x01"])
@pytest.mark.parametrize("name", ["Range", "If-None-Match", "If-Modified-Since", "If-Range", "If-Match"])
def test_a_field_that_is_no_text(proxy: Proxy, github: StandIn, data: str, name: str, value: str) -> None:
    """A condition or range that is no text is as none: the asset is had."""
    with Wire(proxy).connect(github.web) as wire:
        wire.send(get(data, f"{name}: {value}"))
        assert wire.answer()[0] == 302


def test_many_parts(proxy: Proxy, github: StandIn, data: str) -> None:
    """Many ranges in one header are refused with the reason; a few go to the asset's host."""
    with Wire(proxy).connect(github.web) as wire:
        wire.send(get(data, f"Range: bytes={','.join(f'{2 * at}-{2 * at}' for at in range(1000))}"))
        status, body = wire.answer()
        assert (status, json.loads(body)["type"]) == (416, "urn:gatepass:problem:too-many-ranges")
        assert "1000 parts" in json.loads(body)["detail"]
        wire.send(get(data, "Range: bytes=0-0,2-2,4-4"))
        assert int(wire.head().split(" ")[1]) in (200, 206)


def test_pipelined_ranges(wire: Wire, data: str, growth: Callable[[], int]) -> None:
    """Answers that are not taken are not made: however many are asked for at once, few are held."""
    for number in range(3000):
        wire.send(get(data, f"Range: bytes={number}-{number + MB - 1}"))
    time.sleep(3)
    assert growth() < MOST
    # and they come when they are taken
    for _ in range(20):
        assert wire.answer() == (206, bytes(MB))


# ------------------------------------------------------------ heads, chunks, bodies


@pytest.mark.parametrize("encrypted", [True, False], ids=["https", "http"])
@pytest.mark.parametrize("start", ["GET /", "GET / HTTP/1.1\r\nHost: x\r\nX: "], ids=["line", "header"])
def test_a_head_without_end(
    lone_proxy: Proxy, github: StandIn, growth: Callable[[], int], start: str, encrypted: bool
) -> None:
    """A request's head that has no end is refused, and not held."""
    with Wire(lone_proxy) as wire:
        if encrypted:
            wire.connect(github.web)
        wire.send(start)
        wire.flood(b"x" * 65_536, 100 * MB)
        assert growth() < MOST
    with Wire(lone_proxy) as wire:
        wire.send(start + "x" * 300_000)
        assert wire.head().startswith("HTTP/1.1 431 ")
        assert "head-too-large" in wire.all()


def test_a_large_head(wire: Wire, data: str) -> None:
    """A head that is merely large is served."""
    wire.send(get(data, *(f"X-{number}: {'x' * 1000}" for number in range(100))))
    assert wire.answer()[0] == 302


@pytest.mark.parametrize("start", ["5;", "0\r\nX: "], ids=["extension", "trailer"])
def test_a_chunk_without_end(lone_proxy: Proxy, github: StandIn, growth: Callable[[], int], start: str) -> None:
    """A chunk's extension, or a trailer, that has no end is refused, and not held."""
    head = f"POST /upload HTTP/1.1\r\nHost: {github.web}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Wire(lone_proxy).connect(github.web) as wire:
        wire.send(head + start)
        assert wire.flood(b"x" * 65_536, 100 * MB) < 50 * MB
        assert growth() < MOST
    with Wire(lone_proxy).connect(github.web) as wire:
        wire.send(head + start + "x" * 300_000)
        assert "chunk-too-large" in wire.all()


def test_what_comes_while_a_request_is_looked_at(
    wire: Wire, github: StandIn, data: str, growth: Callable[[], int]
) -> None:
    """While the API is asked about a request, its client is not read on; then all goes on."""
    github.faults.append(Fault("api", hang=6, times=9))
    url = get(data.replace("v1.0", "v2.0"))
    wire.send(url)
    assert wire.flood(url.encode() * 300, 100 * MB, 4) < 50 * MB
    assert growth() < MOST
    assert wire.answer()[0] == 404


# --------------------------------------------------------------------- strangers


@pytest.fixture
def locked(github: StandIn, rules: Path, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with a password."""
    with mitmdump(tmp_path, rules, github.ca_file, "--set=proxyauth=me:pw", STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy


LONG = f"Content-Length: {300 * MB}"


@pytest.mark.parametrize("framing", [LONG, "Transfer-Encoding: chunked", f"{LONG}\r\nExpect: 100-continue"])
def test_a_stranger_with_a_body(locked: Proxy, framing: str) -> None:
    """Who has no password is told so at once, and asked for no body; what it goes on to send is not kept."""
    with Wire(locked) as wire:
        wire.send("GET http://x.test/ HTTP/1.1\r\nHost: x.test\r\n\r\n")
        assert wire.answer()[0] == 407
        before = peak(locked.running.process.pid)
        wire.send(f"POST http://x.test/ HTTP/1.1\r\nHost: x.test\r\n{framing}\r\n\r\n")
        assert wire.answer()[0] == 407
        block = b"x" * 65_536 if framing.startswith("Content") else b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        wire.flood(block, 100 * MB)
        assert peak(locked.running.process.pid) - before < MOST


def test_a_strangers_head(locked: Proxy) -> None:
    """Who has no password is not listened to for ever."""
    before = peak(locked.running.process.pid)
    with Wire(locked) as wire:
        assert wire.flood(b"x" * 65_536, 100 * MB) < 50 * MB
    assert peak(locked.running.process.pid) - before < MOST


def test_who_comes_after_a_body(locked: Proxy, github: StandIn, data: str) -> None:
    """A request with a body that was refused is followed by others on its connection."""
    auth = f"Proxy-Authorization: Basic {base64.b64encode(b'me:pw').decode()}\r\n"
    with Wire(locked, auth) as wire:
        for _ in range(2):
            wire.send("POST http://x.test/ HTTP/1.1\r\nHost: x.test\r\nContent-Length: 100000\r\n\r\n")
            assert wire.answer()[0] == 407
            wire.send(b"x" * 100_000)
        wire.connect(github.web).send(get(data))
        assert wire.answer()[0] == 302


# ----------------------------------------------------------------------- servers


@contextmanager
def server(ca: Path, serve: Callable[[ssl.SSLSocket], None], delay: float) -> Iterator[int]:
    """A TLS server that does as it likes with a connection, of which each but the first waits before its handshake."""
    pem = certificates.issue(["localhost"])
    file = ca.with_suffix(".key")
    ca.write_text(pem.ca)
    file.write_text(pem.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            for number in itertools.count():
                raw, _ = listener.accept()
                time.sleep(delay if number else 0)
                with suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                    serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


RULES = """\
version: 1
credentials: {{mine: {{from: [env:MINE], hosts: ["localhost:{port}"]}}}}
rules: [{{match: "localhost:{port}/*", headers: {{X-Token: "{{credential}}"}}, credential: mine}}]
"""


@contextmanager
def before(
    tmp_path: Path, serve: Callable[[ssl.SSLSocket], None], delay: float = 0
) -> Iterator[tuple[Proxy, Wire, int]]:
    """A proxy before such a server, and a client of both; what the proxy had taken by then."""
    ca = tmp_path / "ca.pem"
    with server(ca, serve, delay) as port:
        rules = tmp_path / "rules.yaml"
        rules.write_text(RULES.format(port=port))
        with (
            mitmdump(tmp_path, rules, ca, MINE="secret-of-this-test") as proxy,
            Wire(proxy).connect(f"localhost:{port}") as wire,
        ):
            wire.send(get(f"https://localhost:{port}/small"))
            assert wire.answer()[0] == 200
            yield proxy, wire, peak(proxy.running.process.pid)


def read_head(connection: ssl.SSLSocket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        block = connection.recv(65_536)
        if not block:
            raise OSError
        head += block
    return head


def test_a_body_before_its_server_is_there(tmp_path: Path) -> None:
    """While a server is being connected to, the body that is for it is not read on; then all of it arrives."""
    came: list[int] = []

    def serve(connection: ssl.SSLSocket) -> None:
        head, _, start = read_head(connection).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(length[1]) - len(start) if length else 0
        came.append(left + len(start))
        while left > 0 and (block := connection.recv(min(left, 65_536))):
            left -= len(block)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    size = 64 * MB
    with before(tmp_path, serve, delay=4) as (proxy, wire, peak_before):
        started = time.monotonic()
        wire.send(f"GET /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n")
        assert wire.flood(bytes(65_536), size) == size
        assert time.monotonic() - started > 3
        assert wire.answer()[0] == 200
        assert came == [0, size]
        assert peak(proxy.running.process.pid) - peak_before < MOST


def test_a_servers_head_without_end(tmp_path: Path) -> None:
    """A server whose headers have no end is left, and its client told."""

    def serve(connection: ssl.SSLSocket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(3000):
            connection.sendall(b"X-Y: " + b"x" * 65_000 + b"\r\n")

    with before(tmp_path, serve) as (proxy, wire, peak_before):
        wire.send(get("https://localhost/large"))
        head = wire.head()
        assert head.startswith("HTTP/1.1 502 ")
        assert f"a head of more than {256 * 1024} bytes" in wire.all()
        time.sleep(1)
        assert peak(proxy.running.process.pid) - peak_before < MOST


@pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("size", [1, 60_000])
def test_a_message_without_end(tmp_path: Path, by_client: bool, size: int) -> None:
    """A WebSocket message in fragments without end is broken off, both sides are told, and little is held."""
    # a frame of text, not the last; masked with zeros where a client sends it (RFC 6455, section 5.2)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    masked = bytes([length[0] | 0x80]) + length[1:] + bytes(4)

    def frame(opcode: int, masking: bool) -> bytes:
        return bytes([opcode]) + (masked if masking else length) + b"x" * size

    came: list[bytes] = []

    def serve(connection: ssl.SSLSocket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        read_head(connection)
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade"
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\n\r\n")
        if not by_client:
            connection.sendall(frame(0x01, False))
            many = frame(0x00, False) * (65_536 // size + 1)
            for _ in range(64 * MB // len(many)):
                connection.sendall(many)
        while block := connection.recv(65_536):
            came.append(block)

    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    with before(tmp_path, serve) as (proxy, wire, peak_before):
        wire.send(get("https://localhost/socket", *fields))
        assert wire.head().startswith("HTTP/1.1 101 ")
        if by_client:
            wire.send(frame(0x01, True))
            wire.flood(frame(0x00, True) * (65_536 // size + 1), 64 * MB)
        # a close frame, with the code for a message that is too big
        assert (1009).to_bytes(2, "big") + b"a message of more than" in wire.all().encode("latin-1")
        assert peak(proxy.running.process.pid) - peak_before < 3 * MOST


# -------------------------------------------------------------------------- many


def test_who_says_nothing(lone_proxy: Proxy, client: Client, data: str) -> None:
    """However many connections are idle, who has something to ask is answered."""
    with ExitStack() as idle:
        for _ in range(300):
            idle.enter_context(Wire(lone_proxy))
        assert Client(client.home, lone_proxy.variables()).fetch(data, "--max-time", "10").status == 302


@pytest.mark.slow
@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["nothing", "little by little"])
def test_who_never_asks(lone_proxy: Proxy, trickle: bytes) -> None:
    """A connection on which nothing is asked for is closed after half a minute, be it silent or slow."""
    with Wire(lone_proxy) as wire:
        started = time.monotonic()
        wire.socket.settimeout(1)
        while time.monotonic() - started < 60:
            try:
                wire.send(trickle)
                if wire.socket.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 25 < time.monotonic() - started < 45
