"""Bodies that pass through: what is known of them is held against what comes, and the end waits for that."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.assets.check import Check, Expected, expected, repr_digest, sha256

HEX = hashlib.sha256(b"hello").hexdigest()


def passed(check: Check, chunks: list[bytes]) -> bytes:
    """What a client gets of these chunks; without an end when there is a fault."""
    let_go = b"".join(part for chunk in chunks for part in check(chunk))
    return let_go if check.fault() else let_go + b"".join(check(b""))


@given(st.lists(st.binary(min_size=1)), st.booleans())
def test_what_is_whole_passes(chunks: list[bytes], has_digest: bool) -> None:
    """In whatever chunks it comes, each byte goes on, in order, and no part of it is empty."""
    whole = b"".join(chunks)
    check = Check(Expected(len(whole), hashlib.sha256(whole).digest() if has_digest else None))
    counted: list[bytes] = []
    check.counted(counted.append)
    assert passed(check, chunks) == whole
    assert check.fault() is None
    assert b"".join(counted) == whole
    assert b"" not in [part for chunk in chunks for part in Check(Expected(None))(chunk)]


@given(st.lists(st.binary(min_size=1), max_size=5), st.integers(1, 40))
def test_another_length_is_never_reached(chunks: list[bytes], size: int) -> None:
    """Of a body that is shorter or longer than is known the client gets fewer bytes than it waits for."""
    whole = b"".join(chunks)
    check = Check(Expected(size))
    got = passed(check, chunks)
    assert (check.fault() is None) is (len(whole) == size)
    assert len(got) < size or got == whole


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=5), st.integers(0))
def test_another_digest_has_no_end(chunks: list[bytes], place: int) -> None:
    """Of a body that is another the client gets not all."""
    whole = bytearray(b"".join(chunks))
    whole[place % len(whole)] ^= 1
    check = Check(Expected(len(whole), hashlib.sha256(whole).digest()))
    assert len(passed(check, chunks)) < len(whole)
    assert check.fault() == "its body is another than its digest says"


@pytest.mark.parametrize(
    ("status", "headers", "size", "digest", "wanted"),
    [
        (200, {}, 5, f"sha256:{HEX}", Expected(5, bytes.fromhex(HEX))),
        (200, {}, 5, None, Expected(5)),
        (200, {}, None, None, None),
        (200, {"content-encoding": "gzip"}, 5, f"sha256:{HEX}", None),
        (206, {"content-range": "bytes 1-3/5"}, 5, f"sha256:{HEX}", Expected(3)),
        (206, {"content-range": "bytes 0-3/5"}, 5, f"sha256:{HEX}", Expected(4)),
        (206, {"content-range": "bytes 0-4/5"}, 5, f"sha256:{HEX}", Expected(5, bytes.fromhex(HEX))),
        (206, {"content-range": "bytes 1-3/*"}, None, None, Expected(3)),
        (206, {"content-type": "multipart/byteranges"}, 5, None, None),
        (304, {}, 5, None, None),
        (416, {"content-range": "bytes */5"}, 5, None, None),
    ],
)
def test_what_is_expected(
    status: int, headers: dict[str, str], size: int | None, digest: str | None, wanted: Expected | None
) -> None:
    """A whole has size and digest, a part has the length of its range, and of the rest nothing is known."""
    assert expected(status, headers, size, digest) == wanted


def test_digests() -> None:
    """RFC 9530's form of GitHub's digest; another sort of digest is none."""
    encoded = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    assert repr_digest(f"sha256:{HEX}") == f"sha-256=:{encoded}:"
    for unknown in (None, "", "sha256:", f"sha512:{HEX}", HEX, f"sha256:{HEX}0", f"sha256:{HEX.upper()}"):
        assert (sha256(unknown), repr_digest(unknown)) == (None, None)
