"""What is written of an answer: its own headers, of which none can end its line."""

from __future__ import annotations

import pytest
from mitmproxy.http import Headers, Response
from mitmproxy.net.http.http1 import assemble_response_head

from gatepass.assets.answers import Answer
from gatepass.proxy import wire

SPLITTING = ["a\r\nSet-Cookie: x=1", "a\nSet-Cookie: x=1", "a\rSet-Cookie: x=1", "a\0Set-Cookie: x=1", "\r\n\r\n<html>"]


def lines(response: Response) -> list[bytes]:
    """The lines of a head, as any reader may take them to end."""
    head = assemble_response_head(response)
    assert isinstance(head, bytes)
    assert b"\0" not in head
    return head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines()


@pytest.mark.parametrize("value", SPLITTING)
def test_an_answer_of_ours(value: str) -> None:
    """A value that an API told, or that came over HTTP/2, is one line of ours."""
    written = wire.written(Answer(200, {"content-type": value, "x": "1"}))
    assert len(lines(written)) == 4
    assert written.headers["x"] == "1"


@pytest.mark.parametrize("value", SPLITTING)
def test_an_answer_that_passes(value: str) -> None:
    """So is one of an upstream's answer, whether some of its headers are kept or all."""
    fields = [(b"content-type", value.encode()), (b"content-length", b"1")]
    upstream = Response(b"HTTP/1.1", 200, b"OK", Headers(fields), b"", None, 0, 0)
    assert len(lines(wire.relayed(upstream, fields))) == 4
    assert len(lines(wire.streamed(upstream))) == 4


def test_a_phrase() -> None:
    """A reason phrase is ASCII; without one it is the usual."""
    assert wire.written(Answer(404, {}, reason="é")).reason == "?"
    assert wire.written(Answer(404, {})).reason == "Not Found"
