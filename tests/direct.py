"""One request at a time to the stand-in itself, over real TLS and with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from gatepass.demo.standin import StandIn

OCTETS = {"accept": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["location"]

    @property
    def query(self) -> dict[str, str]:
        """The query of the Location."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.location).query).items()}


def connect(github: StandIn, netloc: str) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(netloc, timeout=10, context=ssl.create_default_context(cadata=github.ca_pem))


def ask(
    github: StandIn, url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> Reply:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = connect(github, parts.netloc)
    try:
        connection.request(method, target, body, {"user-agent": "test", **(headers or {})})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def api(github: StandIn, path: str, method: str = "GET", token: str | None = "", **headers: str) -> Reply:
    """Ask the API with the stand-in's token, another one, or (`None`) none."""
    if token is not None:
        headers["authorization"] = f"Bearer {token or github.token}"
    return ask(github, github.api + path, method, {name.replace("_", "-"): value for name, value in headers.items()})
