"""HTTP/1.1 over TLS on loopback: reads requests, writes answers, counts bytes.

It may not know GitHub: an `Origin` gives it the answers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from .exchange import KEPT_BODY, Answer, Recorded, Role, role_of
from .model import blocks, size_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

# Seconds that a client may be silent, also in its handshake.
_PATIENCE = 60
# Seconds that stopping waits for handlers whose connections were closed under them.
_GRACE = 5


type Origin = Callable[[Recorded], Answer | None]
"""Who answers. `None` closes the connection without an answer."""


class Listener(ThreadingHTTPServer):
    """One port on loopback; each connection has a thread, and shakes hands in it, so that none holds up the others."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, role: Role, context: ssl.SSLContext, origin: Origin, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds, for the `Date` of answers."""
        self.role: Role = role
        self.clock = clock
        self.context = context
        self.origin = origin
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, close every connection and wait for its thread."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's, which takes the TLS state away from under the thread that uses it.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _GRACE)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the resolver for this machine's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS, then requests until one side has had enough."""
        request.settimeout(_PATIENCE)
        # Clients vanish, distrust the certificate, or are cut off by `stop`: no fault of the stand-in.
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as connection,
        ):
            with self._changed:
                self._open.add(connection)
            try:
                connection.do_handshake()
                super().finish_request(connection, client_address)
            finally:
                with self._changed:
                    self._open.discard(connection)
                    self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def _exchange(self) -> None:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        host = headers.get("host", "")
        role = role_of(host, self.path, self.server.role)
        request = Recorded(host, self.server.port, self.command, self.path, headers, role)
        try:
            self._receive(request)
        except ValueError:
            self.send_error(400, "Bad Request")
            return
        answer = self.server.origin(request)
        if answer is None:
            self.close_connection = True
        else:
            self._send(request, answer)

    # the base class's names
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _exchange  # noqa: N815
    do_TRACE = do_CONNECT = do_PROPFIND = _exchange  # noqa: N815

    def _receive(self, request: Recorded) -> None:
        """Read the request's body to its end; what is larger than the log keeps is only counted."""
        kept = bytearray()
        for block in self._blocks(request.headers):
            request.bytes_received += len(block)
            if request.bytes_received <= KEPT_BODY:
                kept += block
            else:
                kept.clear()
        length = request.headers.get("content-length")
        if length is not None and request.bytes_received < int(length):
            raise ConnectionError("the body has broken off")
        request.body = bytes(kept)

    def _blocks(self, headers: dict[str, str]) -> Iterator[bytes]:
        """The body as it comes, in blocks that take little memory."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            yield from self._read(int(headers.get("content-length") or 0))
            return
        while line := self.rfile.readline(1024):
            if not (size := int(line.partition(b";")[0], 16)):
                break
            yield from self._read(size)
            self.rfile.readline(1024)
        else:
            raise ConnectionError("the body has broken off")
        while self.rfile.readline(65536).strip():
            pass  # trailers

    def _read(self, size: int) -> Iterator[bytes]:
        return (self.rfile.read(min(65536, size - at)) for at in range(0, size, 65536))

    def _send(self, request: Recorded, answer: Answer) -> None:
        stop = size_of(answer.body) if answer.stop is None else answer.stop
        bodiless = answer.status in (204, 304)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        chunked = answer.framing == "chunked" and not bodiless
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        elif answer.framing == "close":
            self.close_connection = True
        elif not bodiless:
            self.send_header("content-length", str(stop - answer.start))
        if answer.cut_after is not None:
            stop = min(stop, answer.start + answer.cut_after)
            self.close_connection = self.close_connection or answer.framing == "length"
        request.status = answer.status
        self.end_headers()
        if bodiless or request.method == "HEAD":
            return
        for block in blocks(answer.body, answer.start, stop):
            # Counted before, so that a client which has the last byte finds it in the log.
            request.bytes_sent += len(block)
            try:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(block), bytes(block)) if chunked else block)
            except OSError:
                request.bytes_sent -= len(block)
                raise
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.clock() if timestamp is None else timestamp)

    def version_string(self) -> str:
        return "github.com"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it
        """The log is `StandIn.requests`; nothing goes to stderr."""
