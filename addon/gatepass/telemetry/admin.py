"""The listener for those who run the proxy: is it there, is it ready, how much does it do; and a page for people.

Knows the ledger, and nothing that asks the proxy for anything. Whoever reaches it may read it, and change nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.template import Template
from tornado.web import Application, HTTPError, RequestHandler

from gatepass.errors import GatepassError, printable, printable_json, why
from gatepass.redaction import cleared
from gatepass.telemetry import metrics
from gatepass.telemetry.status import status

if TYPE_CHECKING:
    from tornado.iostream import IOStream

    from gatepass.telemetry.ledger import Ledger
    from gatepass.telemetry.metrics import Encoder

logger: Final = logging.getLogger("gatepass")

# All that anybody could want here fits; whoever sends more, or slower, is not asking.
_MOST_CONNECTIONS: Final = 64
_MOST_HEADER_BYTES: Final = 16 * 1024
_MOST_BODY_BYTES: Final = 4 * 1024
_HEADER_SECONDS: Final = 10.0
_CONNECTION_SECONDS: Final = 30.0

_METHODS: Final = ("GET", "HEAD")


def parse_address(text: str) -> tuple[str, int]:
    """Where to listen: HOST:PORT, an address of IPv6 in brackets.

    Raises:
        GatepassError: it is something else.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s\[\]]+)):([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise GatepassError(
            f"admin: expected HOST:PORT, got `{printable(text)}`", "for example `--admin 127.0.0.1:9090`"
        )
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Admin:
    """A server on one address, from the moment that it is made: it answers once `start` was called.

    Raises:
        GatepassError: the address is none, or not free.
    """

    def __init__(self, address: str, ledger: Ledger) -> None:
        self._host, port = parse_address(address)
        self.is_loopback = is_loopback(self._host)
        try:
            self._sockets = bind_sockets(port, self._host, reuse_port=False)
        except OSError as error:
            raise GatepassError(
                f"admin: expected a free address of this machine, got `{printable(address)}`: {why(error)}",
                "see what listens there, or name another, such as `127.0.0.1:0` for any free port",
            ) from None
        self.port = int(self._sockets[0].getsockname()[1])
        kept = {"ledger": ledger, "is_loopback": self.is_loopback}
        self._server = _Server(
            Application(
                [
                    ("/", _Page, kept),
                    ("/healthz", _Health, kept),
                    ("/readyz", _Ready, kept),
                    ("/metrics", _Metrics, kept | {"encoder": metrics.encoder(ledger.counts)}),
                    ("/status.json", _Status, kept),
                ],
                default_handler_class=_NotFound,
                default_handler_args=kept,
                log_function=lambda _: None,
            ),
            no_keep_alive=True,
            max_header_size=_MOST_HEADER_BYTES,
            max_body_size=_MOST_BODY_BYTES,
            idle_connection_timeout=_HEADER_SECONDS,
            body_timeout=_HEADER_SECONDS,
        )

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        """Answer, on the loop that runs."""
        self._server.add_sockets(self._sockets)

    def close(self) -> None:
        """Answer no more, and let go of all connections."""
        self._server.stop()
        for each in self._sockets:
            each.close()
        self._server.drop_all()


class _Server(HTTPServer):
    """Takes so many connections at once, each for so long."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._deadlines: dict[IOStream, asyncio.TimerHandle] = {}

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._deadlines) >= _MOST_CONNECTIONS:
            stream.close()
            return
        self._deadlines[stream] = asyncio.get_running_loop().call_later(_CONNECTION_SECONDS, stream.close)
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        assert isinstance(server_conn, HTTP1ServerConnection)
        if (deadline := self._deadlines.pop(server_conn.stream, None)) is not None:
            deadline.cancel()
        super().on_close(server_conn)

    def drop_all(self) -> None:
        for stream in tuple(self._deadlines):
            stream.close()


class _Handler(RequestHandler):
    """What all answers have in common."""

    SUPPORTED_METHODS = _METHODS
    ledger: Ledger

    def initialize(self, *, ledger: Ledger, is_loopback: bool, encoder: Encoder | None = None) -> None:
        self.ledger = ledger
        self.encoder = encoder
        self._is_loopback = is_loopback

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        # a page of the web that has its own name lead here could read what only this machine may (DNS rebinding)
        if self._is_loopback and not _is_local_name(self.request.host_name):
            raise HTTPError(421, reason="Misdirected Request")

    def head(self) -> None:
        self.get()

    def get(self) -> None:
        raise HTTPError(404)

    def compute_etag(self) -> str | None:
        return None  # nothing here is worth keeping

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_default_headers()
        if status_code == 405:
            self.set_header("Allow", ", ".join(_METHODS))
        self.finish(f"{status_code} {self._reason}\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, HTTPError):
            logger.error("gatepass: admin: %s", self.request.path, exc_info=(typ, value, tb))

    def _answer(self, text: str, status_code: int = 200) -> None:
        self.set_status(status_code)
        self.finish(cleared(text))


class _NotFound(_Handler):
    pass


class _Health(_Handler):
    """Answers where the loop does."""

    def get(self) -> None:
        self._answer("ok\n")


class _Ready(_Handler):
    def get(self) -> None:
        reasons = self.ledger.not_ready()
        told = "".join(f"{name}: {reason}\n" for name, reason in reasons.items())
        self._answer(told or "ready\n", 503 if reasons else 200)


class _Metrics(_Handler):
    def get(self) -> None:
        if self.encoder is None:
            self._answer(f"{metrics.MISSING}\n", 501)
            return
        document, content_type = self.encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(document)


class _Status(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        document = msgspec.json.format(msgspec.json.encode(status(self.ledger, time.time())), indent=2)
        self.finish(printable_json(document))


class _Page(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY)
        now = time.time()
        self.finish(_TEMPLATE.generate(status=status(self.ledger, now), since=_since, now=now))


def _is_local_name(host: str) -> bool:
    name = host.lower().removesuffix(".")
    return name == "localhost" or is_loopback(name.removeprefix("[").removesuffix("]"))


def _since(told: str, now: float, units: int = 2) -> str:
    """How long ago that was, for people, in so many units."""
    seconds = max(0, int(now - datetime.fromisoformat(told).timestamp()))
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            rest, below = seconds % size, {"d": (3600, "h"), "h": (60, "min"), "min": (1, "s")}[name]
            part = rest // below[0]
            return f"{seconds // size} {name}" + (f" {part} {below[1]}" if part and units > 1 else "")
    return f"{seconds} s"


_SOURCE: Final = (Path(__file__).parent / "status.html").read_text(encoding="utf-8")
_TEMPLATE: Final = Template(_SOURCE, whitespace="all")


def _hashes(element: str) -> str:
    """What a policy calls the texts of these elements, none of which the template changes."""
    texts = re.findall(rf"<{element}>(.*?)</{element}>", _SOURCE, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)


_POLICY: Final = (
    f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
