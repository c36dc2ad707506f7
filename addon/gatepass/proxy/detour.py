"""Sending a flow elsewhere, and giving it its face back.

While a request is under way to the API or to an asset host its flow holds a placeholder for the secret and, for the
asset host, a signed URL; from the first answer on it is the client's ordinary request again. Knows flows, and neither
rules nor the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitmproxy.http import Headers

from gatepass.github.client import USER_AGENT
from gatepass.http import fields
from gatepass.http.conditions import partial
from gatepass.proxy import facts
from gatepass.proxy.sealed import SealedHeaders, SealedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from weakref import WeakKeyDictionary

    from mitmproxy.http import HTTPFlow, Request, Response

    from gatepass.forge.hosts import Host
    from gatepass.proxy.outcome import Outcome
    from gatepass.proxy.seal import Seal
    from gatepass.proxy.state import State


@dataclass(slots=True)
class Detour:
    """A request that is under way to an upstream, by an outcome under the rules of then."""

    state: State
    outcome: Outcome
    original: Request | None = None
    """What the flow is to show, once the request is out; None when the request went out as it came."""
    seal: Seal | None = None
    body: bytes | None = None
    """What replaces the upstream's body."""

    def restore(self, flow: HTTPFlow) -> None:
        """Give the flow its ordinary request back: what is shown and saved holds no secret and no signature."""
        if self.original is not None:
            self.original.data.content = flow.request.data.content
            self.original.data.timestamp_end = flow.request.data.timestamp_end
            flow.request = self.original
            self.original = None

    def replace(self, flow: HTTPFlow, response: Response) -> None:
        """Answer with `response`; the body of the upstream's answer is dropped as it arrives."""
        body = self.body = response.raw_content or b""
        # with b"" mitmproxy says that the upstream's body has ended
        response.stream = lambda chunk: b"" if chunk else body
        flow.response = response


type Detours = WeakKeyDictionary[HTTPFlow, Detour]


def pass_on(flow: HTTPFlow) -> None:
    """Let the request go on as it came, its body streamed too, less what was meant for the proxy."""
    request = flow.request
    kept = tuple(fields.onward(request.headers.fields))
    if kept != request.headers.fields:  # they seldom differ, and are many to make anew
        request.headers = Headers(kept)
    _stream(request)


def _stream(request: Request) -> None:
    request.stream = not facts.is_short(request)
    _end_with(request)


def _end_with(request: Request) -> None:
    """Let no other request follow one whose body nobody may read, on the connection to the server.

    To a server that leaves it unread the body is the next request, and what follows belongs to that one: a secret, too.
    RFC 9110, section 9.3.1, warns of it.
    """
    if facts.has_stray_body(request):
        request.headers["Connection"] = "close"


def inject(flow: HTTPFlow, host: Host, sealed: Mapping[str, Callable[[], str]], seal: Seal) -> Request:
    """Set these headers on the request, which goes to `host`, as it was going; what the flow is to show later."""
    request = flow.request
    shown = _shown(request, sealed)
    request.headers = SealedHeaders(fields.forwarded(request.headers.fields, sealed), sealed, seal)
    # a server may choose by Host whom it serves: the client's word may not choose who gets the secret
    request.headers["Host"] = str(host)
    request.authority = ""
    # of a request that says HTTP/2 in a line of HTTP/1 mitmproxy sends a copy, in which nothing is unsealed
    if not request.is_http10:
        request.http_version = "HTTP/1.1"
    _stream(request)
    return shown


def send(
    flow: HTTPFlow,
    host: Host,
    target: str,
    seal: Seal,
    headers: Mapping[str, str] | None = None,
    sealed: Mapping[str, Callable[[], str]] | None = None,
) -> Request:
    """Send the request to `target` on `host`, with these headers and what the client said of ranges and validators.

    Nothing else that the client sent goes there, its credentials and cookies least of all. A body may there be none:
    these headers would not frame it, and what is not framed is read as the next request. Returns what the flow is to
    show later.
    """
    assert not facts.has_body(flow.request)
    request = flow.request
    shown = _shown(request, ("authorization", "cookie"))
    ours = {"Host": str(host), "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
    ours |= partial(request.headers)
    written = ((name.encode(), value.encode()) for name, value in ours.items())
    data = request.data
    flow.request = SealedRequest(
        seal,
        host.name,
        host.port,
        data.method,
        b"https",
        b"",
        target.encode(),
        b"HTTP/1.1",
        SealedHeaders(written, sealed or {}, seal),
        data.content,
        None,
        data.timestamp_start,
        data.timestamp_end,
    )
    seal.bind(flow)
    return shown


def _shown(request: Request, without: Mapping[str, object] | tuple[str, ...]) -> Request:
    """The request as the client sent it, less its own credentials."""
    shown = request.copy()
    shown.headers = Headers(request.headers.fields)
    for name in without:
        shown.headers.pop(name, None)
    return shown
