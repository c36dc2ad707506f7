"""Servers on loopback, each in a process of its own that ends with this one: the stand-in GitHub, an upstream that
costs next to nothing, a road with a delay, and git over HTTPS.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import ssl
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Any, Concatenate, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from gatepass.demo import package
from gatepass.demo.standin import App, Asset, Fault, Installation, Release, Repository, StandIn, Zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from gatepass.demo.standin import Role

_SPAWN: Final = multiprocessing.get_context("spawn")
_PATIENCE: Final = 30.0


@contextmanager
def child(serve: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run `serve(pipe, *arguments)` in a process; it is to end when its pipe does."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(_PATIENCE)
        if process.is_alive():
            process.terminate()


def _ready(pipe: Connection) -> Any:
    if not pipe.poll(_PATIENCE):
        raise RuntimeError("a server did not start in time")
    return pipe.recv()


# ------------------------------------------------------------ the stand-in


@dataclass(frozen=True)
class GitHub:
    """The stand-in, at the other end of a pipe."""

    web: str
    api: str
    ca: str
    token: str
    pipe: Connection

    def ask[T, **P](self, question: Callable[Concatenate[StandIn, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What a function of a module says of the stand-in, or does to it."""
        self.pipe.send((question, arguments, named))
        answer: T = self.pipe.recv()
        return answer

    def url(self, repository: str, name: str, tag: str = "v1.0") -> str:
        return f"https://{self.web}/{repository}/releases/download/{tag}/{name}"


@contextmanager
def github() -> Iterator[GitHub]:
    with child(_serve_github) as pipe:
        web, api, ca, token = _ready(pipe)
        yield GitHub(web, api, ca, token, pipe)


def _serve_github(pipe: Connection) -> None:
    with StandIn() as standin:
        pipe.send((standin.web, standin.api, standin.ca_pem, standin.token))
        while True:
            try:
                question, arguments, named = pipe.recv()
            except EOFError:
                return
            pipe.send(question(standin, *arguments, **named))


def asset_host(standin: StandIn) -> str:
    return standin.asset_host


def calls(standin: StandIn, role: Role) -> int:
    """The requests that reached the API, the web or the asset host, since last asked."""
    count = len(standin.calls(role))
    standin.forget()
    return count


def moved(standin: StandIn) -> int:
    """The bytes that the asset host has sent, since last asked."""
    sent = sum(request.bytes_sent for request in standin.calls("asset"))
    standin.forget()
    return sent


def behave(standin: StandIn, *, latency: float = 0, embedded_assets: int = 54, stream_assets: bool = False) -> None:
    """Set how the stand-in answers, from now on, and empty its log."""
    standin.latency, standin.embedded_assets, standin.stream_assets = latency, embedded_assets, stream_assets
    standin.stream_ranges = stream_assets
    # an address is no asset host to the addon: what `suit_gh` changed ends with gh
    standin.asset_host = standin.asset_host.replace("127.0.0.1", "localhost")
    for token in standin.tokens:
        token.used = 0
    standin.forget()


def suit_gh(standin: StandIn) -> None:
    """Answer GraphQL with nothing, for gh asks for a draft of the release besides; and give the asset host a name that
    is not the API's, for gh takes its token along to other ports of the same host.
    """
    standin.asset_host = standin.asset_host.replace("localhost", "127.0.0.1")
    body = b'{"data": {"repository": {"release": null}}}'
    headers = {"content-type": "application/json"}
    standin.faults[:] = [Fault("web", "/api/graphql", "POST", status=200, headers=headers, body=body, times=10)]


def publish_wheel(standin: StandIn, repository: str, project: str, *, padding: int = 0, private: bool = True) -> str:
    """Upload a wheel of so many bytes; its file name."""
    wheel = package.wheel(project, "1.0", padding)
    _publish(standin, repository, [Asset(wheel.name, wheel.content)], private=private)
    return wheel.name


def publish_zeros(standin: StandIn, repository: str, names: Sequence[str], size: int, *, private: bool = True) -> None:
    """Upload files of so many zero bytes, all to one release."""
    _publish(standin, repository, [Asset(name, Zeros(size)) for name in names], private=private)


def publish_contents(
    standin: StandIn, repository: str, contents: Mapping[str, tuple[str, int]], wheel: package.File
) -> None:
    """Upload files of bytes that follow from a seed and a size each, and a wheel, to one release; the token's budget
    has no end.
    """
    assets = [Asset(name, Random(seed).randbytes(size)) for name, (seed, size) in contents.items()]  # noqa: S311 — no secret
    _publish(standin, repository, [*assets, Asset(wheel.name, wheel.content)], private=True)
    standin.embedded_assets = 100
    for token in standin.tokens:
        token.limit = 10**9


def tally(standin: StandIn, secrets: Sequence[str]) -> tuple[dict[str, int], int]:
    """What was asked since last asked, by role and status, and how often a secret was where it should not be."""
    found: Counter[str] = Counter()
    strays = 0
    for request in standin.calls():
        found[f"{request.role} {request.status}"] += 1
        text = f"{request.target} {request.headers}"
        strays += request.role != "api" and any(secret in text for secret in secrets)
    standin.forget()
    return dict(found), strays


def publish_index(
    standin: StandIn, repository: str, projects: Sequence[str], versions: Sequence[str], size: int
) -> list[package.File]:
    """Upload a wheel of so many bytes of each version of each project, two projects to a release; the files."""
    releases: list[Release] = []
    found: list[package.File] = []
    for version in versions:
        for at in range(0, len(projects), 2):
            wheels = [package.wheel(project, version, size) for project in projects[at : at + 2]]
            found += wheels
            assets = [Asset(wheel.name, wheel.content) for wheel in wheels]
            releases.append(Release(f"{projects[at]}-v{version}", assets))
    owner, _, name = repository.partition("/")
    standin.repositories.append(Repository(owner, name, releases=releases))
    return found


def tags(standin: StandIn, repository: str) -> list[str]:
    """The tags of its releases."""
    found, _ = standin.find(repository)
    return [release.tag for release in found.releases] if found else []


def install_app(standin: StandIn, public_key: str) -> str:
    """Install a GitHub App of that key on `acme`; its client id."""
    app = App(public_key, installations=[Installation("acme")])
    standin.apps.append(app)
    _publish(standin, "acme/wheel", [], private=True)
    return app.client_id


def _publish(standin: StandIn, repository: str, assets: list[Asset], *, private: bool) -> None:
    owner, _, name = repository.partition("/")
    standin.repositories[:] = [known for known in standin.repositories if known.full_name != repository]
    standin.repositories.append(Repository(owner, name, private=private, releases=[Release("v1.0", assets)]))


# ------------------------------------------------------- the fast upstream


@dataclass(frozen=True)
class Upstream:
    """A web host with an API, and an asset host, that know one private asset and answer at once."""

    web: str
    asset_host: str

    @property
    def api(self) -> str:
        return f"https://{self.web}/api/v3"


ASSET_SIZE: Final = 65_536
DOWNLOAD: Final = "/acme/tool/releases/download/v1.0/data.bin"
SIGNED: Final = "/signed/data.bin"
HERE: Final = "/redirect"
"""Of either host: the answer that a full GET of the asset gets, for who asks without the addon."""
PAGE: Final = "/page"
"""Of the web host: 1 KB that no rule is about."""


@contextmanager
def upstream(certificate: Path) -> Iterator[Upstream]:
    with child(_serve_upstream, certificate) as pipe:
        yield Upstream(*_ready(pipe))


def _serve_upstream(pipe: Connection, certificate: Path) -> None:
    asyncio.run(_upstream(pipe, _server_context(certificate)))


async def _upstream(pipe: Connection, trust: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    hosts = ["", ""]
    for at in range(2):
        server = await loop.create_server(lambda: _Answers(hosts[1]), "127.0.0.1", 0, ssl=trust, backlog=512)
        hosts[at] = f"localhost:{server.sockets[0].getsockname()[1]}"
    pipe.send(hosts)
    await _until_closed(pipe)


class _Answers(asyncio.Protocol):
    """One connection: as little work an answer as Python can do."""

    _RANGE: Final = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)\r\n", re.IGNORECASE)
    _HEADERS: Final = (
        b"Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n"
        b'ETag: "0x1"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n'
    )
    _RELEASE: Final = json.dumps(
        {
            "id": 1,
            "tag_name": "v1.0",
            "assets": [{"id": 1, "name": "data.bin", "size": ASSET_SIZE, "state": "uploaded"}],
        }
    ).encode()
    _CONTENT: Final = bytes(ASSET_SIZE)

    def __init__(self, asset_host: str) -> None:
        self._asset_host = asset_host.encode()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        path = target.partition(b"?")[0]
        if path == SIGNED.encode():
            return self._part(method, head)
        if path == PAGE.encode():
            return self._whole(b"200 OK", b"Content-Type: text/plain\r\n", self._CONTENT[:1024])
        if path == HERE.encode() or path.endswith(b"/assets/1"):
            date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            query = f"X-Amz-Date={date}&X-Amz-Expires=3600&X-Amz-Signature={'0' * 64}"
            where = b"https://%s%s?%s" % (self._asset_host, SIGNED.encode(), query.encode())
            return self._whole(b"302 Found", b"Cache-Control: no-store\r\nLocation: %s\r\n" % where, b"")
        if path.endswith(b"/tags/v1.0"):
            return self._whole(b"200 OK", b'Content-Type: application/json\r\nETag: "1"\r\n', self._RELEASE)
        return self._whole(b"404 Not Found", b"", b"")

    def _part(self, method: bytes, head: bytes) -> bytes:
        if method == b"HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (ASSET_SIZE, self._HEADERS)
        span = self._RANGE.search(head)
        if span is None:
            return self._whole(b"200 OK", self._HEADERS, self._CONTENT)
        first, last = span.groups()
        start = int(first) if first else ASSET_SIZE - int(last)
        stop = int(last) + 1 if first and last else ASSET_SIZE
        where = b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, ASSET_SIZE)
        return self._whole(b"206 Partial Content", self._HEADERS + where, self._CONTENT[start:stop])

    @staticmethod
    def _whole(status: bytes, headers: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


# ------------------------------------------------------------------ HTTP/2


@contextmanager
def http2(certificate: Path) -> Iterator[int]:
    """The port of a server that speaks nothing but HTTP/2, and has `/big/N` as the stand-in has it."""
    with child(_serve_http2, certificate) as pipe:
        port: int = _ready(pipe)
        yield port


def _serve_http2(pipe: Connection, certificate: Path) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        trust = _server_context(certificate, "h2")
        server = await loop.create_server(_Http2, "127.0.0.1", 0, ssl=trust)
        pipe.send(server.sockets[0].getsockname()[1])
        await _until_closed(pipe)

    asyncio.run(serve())


class _Http2(asyncio.Protocol):
    """One connection: zero bytes, as many as the client's windows take."""

    _ZEROS: Final = bytes(65_536)

    def __init__(self) -> None:
        self._http = H2Connection(H2Configuration(client_side=False))
        self._left: dict[int, int] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for event in self._http.receive_data(data):
            if isinstance(event, RequestReceived):
                size = dict(event.headers)[b":path"].rpartition(b"/")[2]
                self._http.send_headers(event.stream_id, [(":status", "200"), ("content-length", size.decode())])
                self._left[event.stream_id] = int(size)
        for stream in list(self._left):
            self._fill(stream)
        self._transport.write(self._http.data_to_send())

    def _fill(self, stream: int) -> None:
        most = min(self._http.max_outbound_frame_size, len(self._ZEROS))
        while room := min(self._http.local_flow_control_window(stream), most, self._left[stream]):
            self._left[stream] -= room
            self._http.send_data(stream, self._ZEROS[:room], end_stream=not self._left[stream])
        if not self._left[stream]:
            del self._left[stream]


# ---------------------------------------------------------------- the road


@contextmanager
def roads(port: int, count: int, seconds: float) -> Iterator[list[int]]:
    """Ports that lead to this one, whose round trip takes so long; a new connection costs one more, as TCP's does."""
    with child(_serve_roads, port, count, seconds) as pipe:
        ports: list[int] = _ready(pipe)
        yield ports


def _serve_roads(pipe: Connection, port: int, count: int, seconds: float) -> None:
    asyncio.run(_roads(pipe, port, count, seconds))


async def _roads(pipe: Connection, port: int, count: int, seconds: float) -> None:
    async def travel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        # the kernel has shaken hands at once: what that would have cost is waited for before the first byte goes
        there = _delayed(reader, far_writer, seconds / 2, seconds)
        await asyncio.gather(there, _delayed(far_reader, writer, seconds / 2, 0), return_exceptions=True)

    servers = [await asyncio.start_server(travel, "127.0.0.1", 0) for _ in range(count)]
    pipe.send([server.sockets[0].getsockname()[1] for server in servers])
    await _until_closed(pipe)


async def _delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, first: float) -> None:
    """Carry bytes so much later than they come, in order and without holding up those behind."""
    loop = asyncio.get_running_loop()
    not_before = loop.time() + first
    while data := await reader.read(262_144):
        loop.call_at(max(loop.time(), not_before) + seconds, writer.write, data)
    loop.call_at(max(loop.time(), not_before) + seconds, writer.close)


async def _until_closed(pipe: Connection) -> None:
    """Wait for the end of the process that started this one."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), closed.set)
    await closed.wait()


# --------------------------------------------------------------- the meter


@dataclass(frozen=True)
class Meter:
    """A port that leads to another, and counts."""

    port: int
    pipe: Connection

    def moved(self) -> int:
        """The bytes that have passed, both ways, since last asked."""
        self.pipe.send(None)
        count: int = self.pipe.recv()
        return count


@contextmanager
def meter(port: int) -> Iterator[Meter]:
    with child(_serve_meter, port) as pipe:
        yield Meter(_ready(pipe), pipe)


def _serve_meter(pipe: Connection, port: int) -> None:
    asyncio.run(_meter(pipe, port))


async def _meter(pipe: Connection, port: int) -> None:
    count = 0

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with suppress(OSError):
            while data := await reader.read(262_144):
                count += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    def tell() -> None:
        nonlocal count
        try:
            pipe.recv()
        except EOFError:
            closed.set()
        else:
            pipe.send(count)
            count = 0

    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    loop.add_reader(pipe.fileno(), tell)
    await closed.wait()
    loop.remove_reader(pipe.fileno())


# --------------------------------------------------------------------- git


@contextmanager
def git(certificate: Path, folder: Path) -> Iterator[int]:
    """The port of a server of the bare repositories in `folder`."""
    with child(_serve_git, certificate, folder) as pipe:
        port: int = _ready(pipe)
        yield port


def _serve_git(pipe: Connection, certificate: Path, folder: Path) -> None:
    server = _GitServer(_server_context(certificate), folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_address[1])
    pipe.poll(None)


class _GitServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, trust: ssl.SSLContext, folder: Path) -> None:
        self.folder = folder
        super().__init__(("127.0.0.1", 0), _GitHandler)
        self.socket = trust.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class _GitHandler(BaseHTTPRequestHandler):
    """git's own CGI program behind HTTP (git-http-backend(1))."""

    protocol_version = "HTTP/1.1"
    server: _GitServer

    def _exchange(self) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
        }
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with subprocess.Popen(
            ["git", "-c", "safe.directory=*", "http-backend"],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(body)
            process.stdin.close()
            self.send_response(200)
            while line := process.stdout.readline().strip():
                name, _, value = line.decode().partition(":")
                self.send_header(name, value.strip())
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while block := os.read(process.stdout.fileno(), 65_536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = _exchange  # noqa: N815 — the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        """Nothing goes to stderr."""


def _server_context(certificate: Path, protocol: str = "http/1.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols([protocol])
    return context
