"""Conditional and range requests, as far as the proxy answers them itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.http.conditions import is_unmodified, span

ETAG, DATE, EARLIER, LATER = (
    '"abc"', "Mon, 23 Nov 2026 12:00:00 GMT", "Mon, 23 Nov 2026 11:59:59 GMT", "Tue, 24 Nov 2026 00:00:00 GMT",
)  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"if-none-match": ETAG}, True),
        ({"if-none-match": f'W/{ETAG}, "x"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": "abc"}, False),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, False),
        ({"if-modified-since": DATE}, True),
        ({"if-modified-since": LATER}, True),
        ({"if-modified-since": EARLIER}, False),
        ({"if-modified-since": "yesterday"}, None),
        ({"if-modified-since": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"if-modified-since": "Mon, 23 Nov 2026 12:00:00 +99999999999999999999"}, None),
        ({"if-modified-since": "Mon, 23 Nov 2026 12:00:00 -0000"}, None),
        ({"if-match": ETAG}, None),
        ({"if-unmodified-since": DATE, "if-none-match": ETAG}, None),
        ({}, None),
    ],
)
def test_is_unmodified(request_: dict[str, str], expected: bool | None) -> None:
    """If-None-Match goes before If-Modified-Since and compares weakly; what is unclear is left to the asset's host."""
    assert is_unmodified(request_, ETAG, DATE) is expected


@pytest.mark.parametrize("etag", [None, "abc", ""])
def test_no_validator(etag: str | None) -> None:
    """Without a validator of ours nothing can be said of the client's."""
    assert is_unmodified({"if-none-match": ETAG}, etag, None) is None
    assert is_unmodified({"if-modified-since": DATE}, etag, None) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bytes=0-0", 1),
        ("bytes=5-9", 5),
        ("bytes=-16384", 16384),
        ("bytes=-0", 0),
        (" bytes=0-1 ", 2),
        ("bytes=0-", None),
        ("bytes=9-5", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=-", None),
        ("bytes=٣-٤", None),
    ],
)
def test_span(text: str, size: int | None) -> None:
    """A range is as long as it says, where it says so."""
    assert span(text) == size


@given(st.text(), st.text(), st.text())
def test_any_text(header: str, etag: str, date: str) -> None:
    """Nothing that a client or a host may say raises."""
    span(header)
    for name in ("if-none-match", "if-modified-since"):
        is_unmodified({name: header}, etag, date)
