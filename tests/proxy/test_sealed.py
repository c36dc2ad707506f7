"""Headers whose secret is on the wire alone."""

from __future__ import annotations

from mitmproxy.http import Headers
from mitmproxy.net.http.http1 import assemble_request_head
from mitmproxy.test import tflow

from gatepass.proxy.sealed import PLACEHOLDER, SealedHeaders

TOKEN = "ghp_secret"


def sealed() -> SealedHeaders:
    return SealedHeaders(((b"Host", b"a"), (b"AUTHORIZATION", b"theirs")), {"Authorization": lambda: TOKEN})


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
