"""Signed URLs: where they lead, and until when."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge.signed import MARGIN, SignedUrl, expiry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("X-Amz-Date=20261123T120000Z&X-Amz-Expires=300", NOON + 300),
        ("x-amz-expires=60&x-amz-date=20261123T120000Z", NOON + 60),
        ("se=2026-11-23T12%3A30%3A00Z&sig=x", NOON + 1800),
        ("se=2026-11-23", NOON - 12 * 3600),
        (f"jwt={jwt(exp=NOON + 300, nbf=NOON)}", NOON + 300),
        (f"se=2026-11-23T13%3A00%3A00Z&jwt={jwt(exp=NOON + 300)}", NOON + 300),
        (f"se=2026-11-23T12%3A01%3A00Z&jwt={jwt(exp=NOON + 300)}", NOON + 60),
        ("", None),
        ("sig=x", None),
        ("X-Amz-Expires=300", None),
        ("X-Amz-Date=yesterday&X-Amz-Expires=300", None),
        ("X-Amz-Date=20261123T120000Z&X-Amz-Expires=many", None),
        ("se=soon", None),
        ("jwt=abc", None),
        ("jwt=a.%21%21.c", None),
        (f"jwt={jwt(iat=5)}", None),
        (f"se=2026-11-23T13%3A00%3A00Z&jwt={jwt(exp='x')}", None),
    ],
)
def test_expiry(query: str, end: float | None) -> None:
    """The first end that a URL's parameters tell counts; one that cannot be read leaves the whole unknown."""
    assert expiry(query) == end


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever a redirect says, it is read or it is not, and never raises; its query is never shown."""
    expiry(text)
    signed = SignedUrl.parse(f"https://a.test/f?{text}")
    if signed is not None and len(text) > 20:
        assert text not in repr(signed)
    SignedUrl.parse(text)


@pytest.mark.parametrize(
    "url",
    ["http://a.test/f", "ftp://a.test/f", "//a.test/f", "/f", "https:///f", "https://u:p@a.test/f", "https://a..b/f",
     "https://[", "https://a.test:0/f", "https://a.test:99999/f", f"https://{'a' * 64}.test/f", ""],
)  # fmt: skip
def test_nowhere_to_send_a_client(url: str) -> None:
    """A client is sent to an https server with a name that can be, and without anybody's password."""
    assert SignedUrl.parse(url) is None


def test_target() -> None:
    """What is signed is sent as it stands, byte for byte."""
    signed = SignedUrl.parse("https://A.test:8443/a%2Fb//c?x=%2B&y=a+b")
    assert signed is not None
    assert (str(signed.host), signed.target) == ("a.test:8443", "/a%2Fb//c?x=%2B&y=a+b")


def test_seconds() -> None:
    """A URL is handed out until shortly before its end; one without a known end is not kept at all."""
    signed = SignedUrl.parse("https://a.test/?X-Amz-Date=20261123T120000Z&X-Amz-Expires=300")
    assert signed is not None
    assert signed.seconds(NOON) == 300 - MARGIN
    assert signed.seconds(NOON + 299) == 0
    unknown = SignedUrl.parse("https://a.test/")
    assert unknown is not None
    assert unknown.seconds(NOON) == 0
