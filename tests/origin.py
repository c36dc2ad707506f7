"""Servers of the tests' own, over TLS, that keep what they were asked: what a header rule sets has to arrive there."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pypiserver  # type: ignore[import-untyped]  # carries no types

from gatepass.trust import certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from email.message import Message
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment


class Trust:
    """A CA, and the certificate of all servers here."""

    def __init__(self, folder: Path, *names: str) -> None:
        pem = certificates.issue(["localhost", "127.0.0.1", *names])
        self.ca, server = folder / "ca.pem", folder / "server.pem"
        self.ca.write_text(pem.ca)
        server.write_text(pem.server)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(server)

    @contextmanager
    def serve(self, httpd: HTTPServer) -> Iterator[int]:
        """The port on which it answers for as long as the block."""
        # the handshake is for the thread of the connection: a client that never ends it must not hold up the others
        httpd.socket = self._context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield httpd.server_port
        finally:
            httpd.shutdown()
            thread.join()
            httpd.server_close()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived; `start`, `size` and `digest` (SHA-256) are those of its body."""

    method: str
    target: str
    headers: Message
    size: int = 0
    digest: str = ""
    start: bytes = b""

    def values(self, name: str) -> list[str]:
        """What all headers of that name say."""
        return self.headers.get_all(name, [])


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered; a body to a HEAD is counted only."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass
class Origin:
    """A server that answers by path prefix, the longest first, and 404 to the rest."""

    trust: Trust
    host: str = ""
    answers: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://{self.host}{path}"

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        for prefix in sorted(self.answers, key=len, reverse=True):
            if asked.target.startswith(prefix):
                return self.answers[prefix](asked)
        return Answer(404)

    def last(self) -> Asked:
        return self.asked[-1]


@contextmanager
def origin(trust: Trust, name: str = "localhost") -> Iterator[Origin]:
    """An origin for as long as the block."""
    server = Origin(trust)

    class Handler(_Handler):
        origin = server

    httpd = _Server(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    with trust.serve(httpd) as port:
        server.host = f"{name}:{port}"
        yield server


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news; what else fails, its client sees."""


class _Handler(BaseHTTPRequestHandler):
    """Reads no body of a GET, as many small servers do: what stands there is the next request to it."""

    protocol_version = "HTTP/1.1"
    origin: Origin

    def _respond(self, size: int = 0, digest: str = "", start: bytes = b"") -> None:
        answer = self.origin.answer(Asked(self.command, self.path, self.headers, size, digest, start))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status == 101:
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def do_GET(self) -> None:
        self._respond()

    do_HEAD = do_TRACE = do_DELETE = do_REPORT = do_GET  # noqa: N815 — the base class names them

    def do_POST(self) -> None:
        size, digest, start = 0, hashlib.sha256(), b""
        for part in self._body():
            size += len(part)
            digest.update(part)
            start = start or part[:1000]
        self._respond(size, digest.hexdigest(), start)

    do_PUT = do_POST  # noqa: N815 — the same

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        left = int(self.headers.get("content-length", "0"))
        while left and (part := self.rfile.read(min(left, 65_536))):
            left -= len(part)
            yield part

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        pass


def echo(asked: Asked) -> Answer:
    """Says what it was asked, never what came in its headers."""
    text = f"{asked.method} of {asked.size} bytes\n".encode()
    return Answer(200, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Internal", "x"), ("X-Kept", "yes")), text)


def redirect(asked: Asked) -> Answer:
    """To the URL in the query."""
    return Answer(302, (("Location", parse_qs(urlsplit(asked.target).query)["to"][0]),))


def guarded(name: str, value: str, status: int, content: bytes) -> Callable[[Asked], Answer]:
    """`content` for who brings that header once; for anybody else `status`."""

    def answer(asked: Asked) -> Answer:
        return Answer(200, (), content) if asked.values(name) == [value] else Answer(status)

    return answer


def switch(asked: Asked) -> Answer:
    """Agrees to whatever protocol the client would rather speak; in a WebSocket it says `hi` and `ho`."""
    protocol = asked.headers.get("upgrade")
    if protocol is None:
        return echo(asked)
    key = asked.headers.get("sec-websocket-key", "")
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())  # noqa: S324 — RFC 6455 says so
    headers = (("Upgrade", protocol), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept.decode()))
    return Answer(101, (*headers, ("Set-Cookie", "a=1")), b"\x81\x02hi\x81\x02ho\x88\x02\x03\xe8")


def basic(user: str, password: str) -> str:
    """The credentials of RFC 7617, section 2."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclass
class Index:
    """A private package index: pypiserver behind Basic auth, and what came to it."""

    host: str = ""
    logins: list[tuple[str, str]] = field(default_factory=list)
    """The path and the Authorization of each request."""


@contextmanager
def index(trust: Trust, packages: Path, user: str, password: str) -> Iterator[Index]:
    """The index of the distributions in a folder, for as long as the block."""
    found = Index()
    app = pypiserver.app(
        roots=[packages],
        authenticate=["list", "download", "update"],
        auther=lambda *login: login == (user, password),
        disable_fallback=True,
    )

    def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found.logins.append((environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "")))
        # whole, so that pypiserver has let go of the file before the client goes on
        return [b"".join(app(environ, start_response))]

    httpd = _ThreadingWSGIServer(("127.0.0.1", 0), _QuietRequestHandler)
    httpd.set_app(logged)
    with trust.serve(httpd) as port:
        found.host = f"localhost:{port}"
        yield found


class _ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietRequestHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        pass
