"""A stand-in GitHub, served on loopback: web, API and asset host, as honest as what is known of the real ones.

The demo and every end-to-end test run against it. No live GitHub was asked: the REST documentation and the threads
cited in the code say how it behaves. Of the addon it may import `gatepass.trust.certificates` alone, which makes its
CA: what else both sides shared might be wrong on both, and no test would see it. Read on in this order:

    model         repositories, releases, assets, Apps, tokens
    exchange      a request in the log, an answer, a fault, and the names to meet them under
    signing       signed URLs, made and checked
    world         the shared state and settings
    replies       the API's JSON
    issuer        the tokens of CI jobs, and the keys that verify them
    apps          the API of GitHub Apps, for a JWT
    sources     what a repository's git holds: archives, files, packs
    graph       the GraphQL API
    web, api, assets    three of the origins: a request in, an answer out
    server        TLS and HTTP
"""

from __future__ import annotations

import ssl
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from gatepass.trust import certificates

from . import api, assets, sources, web
from .exchange import GITHUB, REAL_HOSTS, TENANT, Answer, Fault, Names, Recorded, Role
from .model import App, Asset, Content, Installation, Issue, Release, Repository, Token, Zeros
from .server import Listener
from .world import DEFAULT_TOKEN, World

__all__ = [
    "DEFAULT_TOKEN",
    "GITHUB",
    "TENANT",
    "App",
    "Asset",
    "Content",
    "Fault",
    "Installation",
    "Issue",
    "Names",
    "Recorded",
    "Release",
    "Repository",
    "Role",
    "StandIn",
    "Token",
    "Zeros",
]

_ORIGINS = {
    "web": web.answer,
    "api": api.answer,
    "asset": assets.answer,
    "raw": sources.raw,
    "codeload": sources.codeload,
}


@dataclass
class StandIn(World):
    """A `World` that listens, between `with` and the end of the block.

    `web` and `asset_host` are `localhost:PORT`, `api` is `https://localhost:PORT/api/v3`. The same ports answer under
    the names of github.com and of a tenant of ghe.com: who connects there and says `Host: api.github.com` meets the API
    without the prefix.
    `ca_file` holds `ca_pem`, the certificate to trust, in a private folder that goes when the block ends.
    """

    ca_pem: str = field(init=False, default="")
    ca_file: Path = field(init=False, default=Path())
    _folder: tempfile.TemporaryDirectory[str] = field(init=False, repr=False)
    _listeners: list[Listener] = field(init=False, default_factory=list, repr=False)
    _stopped: threading.Event = field(init=False, default_factory=threading.Event, repr=False)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="gatepass-standin-")
        pem = certificates.issue(["localhost", "127.0.0.1", *REAL_HOSTS])
        self.ca_pem, self.ca_file = pem.ca, Path(self._folder.name, "ca.pem")
        self.ca_file.write_text(pem.ca, encoding="ascii")
        key_file = Path(self._folder.name, "server.pem")
        key_file.write_text(pem.server, encoding="ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(key_file)
        context.set_alpn_protocols(["http/1.1"])
        key_file.unlink()
        # not `self.clock` itself, which a test may replace
        self._listeners = [Listener(role, context, self.answer, lambda: self.clock()) for role in ("web", "asset")]
        self.web, self.asset_host = (f"localhost:{listener.port}" for listener in self._listeners)
        for listener in self._listeners:
            listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for listener in self._listeners:
            listener.stop()
        self._folder.cleanup()

    def answer(self, request: Recorded) -> Answer | None:
        """Log the request; then the first fault that hits it, or what the origin says."""
        with self.lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.hits(request)), None)
            if fault:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
        # Waits end with the block, so that a hanging request holds up nobody's exit.
        self._stopped.wait(self.latency + (fault.hang if fault else 0))
        if fault and fault.close:
            return None
        if fault and fault.status:
            return Answer(fault.status, fault.headers, fault.body, cut_after=fault.cut_after)
        answer = _ORIGINS[request.role](self, request)
        if fault is None:
            return answer
        body = answer.body if fault.spoilt is None else fault.spoilt
        return replace(answer, cut_after=fault.cut_after, body=body, framing=fault.framing or answer.framing)

    def calls(self, role: Role | None = None, method: str | None = None) -> list[Recorded]:
        """The requests so far, oldest first, of that role and method."""
        with self.lock:
            return [r for r in self.requests if role in (None, r.role) and method in (None, r.method)]

    def forget(self) -> None:
        """Empty the log."""
        with self.lock:
            self.requests.clear()
