"""Headers whose secret is on the wire alone."""

from __future__ import annotations

from mitmproxy.http import Headers
from mitmproxy.net.http.http1 import assemble_request_head
from mitmproxy.test import tflow

from gatepass.proxy.sealed import PLACEHOLDER, SealedHeaders, SealedRequest

TOKEN = "ghp_secret"


class Door:
    """A seal that is open, or not."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open

    def opens(self) -> bool:
        return self.is_open


def sealed(seal: Door | None = None) -> SealedHeaders:
    fields = ((b"Host", b"a"), (b"AUTHORIZATION", b"theirs"))
    return SealedHeaders(fields, {"Authorization": lambda: TOKEN}, seal or Door())


def test_the_wire_has_the_secret_once() -> None:
    """mitmproxy's HTTP/1 writer gets the secret, and nobody who asks after it."""
    headers = sealed()
    flow = tflow.tflow()
    flow.request.headers = headers
    assert f"AUTHORIZATION: {TOKEN}\r\n".encode() in assemble_request_head(flow.request)
    assert TOKEN.encode() not in assemble_request_head(flow.request)


def test_nothing_else_has_it() -> None:
    """Fields, copies, states and printed forms hold the placeholder."""
    headers = sealed()
    flow = tflow.tflow()
    flow.request.headers = headers
    shown = (headers.fields, repr(headers), str(dict(headers)), flow.get_state(), flow.copy().request.headers)
    assert TOKEN not in repr([repr(part) for part in shown]) + repr(bytes(flow.request.copy().headers))
    assert headers["authorization"] == PLACEHOLDER
    assert headers.get_all("authorization") == [PLACEHOLDER], "the client's own is replaced"


def test_another_addons_header_stays() -> None:
    """A header that another addon has set since is not ours to replace; and one that it removed stays away."""
    headers = sealed()
    headers["authorization"] = "other"
    assert b"AUTHORIZATION: other\r\n" in bytes(headers)
    headers = sealed()
    del headers["authorization"]
    assert bytes(headers) == bytes(Headers([(b"Host", b"a")]))


def test_a_seal_that_does_not_open() -> None:
    """While the seal does not open not even the wire has the secret; it is kept for when it does."""
    seal = Door(is_open=False)
    headers = sealed(seal)
    flow = tflow.tflow()
    flow.request.headers = headers
    assert TOKEN.encode() not in assemble_request_head(flow.request)
    seal.is_open = True
    assert TOKEN.encode() in assemble_request_head(flow.request)


def test_a_sealed_target() -> None:
    """The wire alone has the target of a signed URL, and only while the seal opens."""
    seal, asked = Door(is_open=False), tflow.tflow().request.data
    fields = (asked.host, asked.port, asked.method, asked.scheme, b"", b"/x?signature=1", asked.http_version)
    request = SealedRequest(seal, *fields, sealed(seal), b"", None, 0.0, 0.0)
    for text in (assemble_request_head(request), repr(request.get_state()), request.path, request.url):
        assert "signature" not in str(text)
    seal.is_open = True
    assert b" /x?signature=1 " in assemble_request_head(request)
    assert "signature" not in request.path + request.url + repr(request.get_state()) + repr(request.copy().get_state())
