"""What is sealed opens under its own name, with one of the keys, until its end, and in no other case."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.store.sealing import MOST_OPENED, MOST_SEALED, KeyFormatError, Seal, read_key

OLD, NEW, OTHER = (bytes(range(start, start + 32)) for start in (0, 50, 100))


@given(st.binary(max_size=3000), st.text(), st.text())
def test_it_opens_as_it_was(value: bytes, kind: str, part: str) -> None:
    """Whatever is sealed comes out as it went in."""
    seal = Seal([NEW])
    name = seal.name(kind, part)
    sealed = seal.seal(name, value, 100)
    assert sealed is not None
    assert seal.open(name, sealed, 99) == value


def test_it_has_an_end() -> None:
    """Its end is inside: whoever keeps it longer, or puts it back later, has nothing."""
    seal = Seal([NEW])
    name = seal.name("a")
    sealed = seal.seal(name, b"x", 100)
    assert sealed is not None
    assert [seal.open(name, sealed, now) for now in (0, 99.9, 100, 1e9, float("inf"))] == [b"x", b"x", None, None, None]


def test_it_is_of_one_name() -> None:
    """Under another name it is nothing."""
    seal = Seal([NEW])
    sealed = seal.seal(seal.name("a", "b"), b"x", 100)
    assert sealed is not None
    for name in (seal.name("a", "c"), seal.name("b", "b"), seal.name("a", "b", ""), seal.name("a"), seal.name("ab")):
        assert seal.open(name, sealed, 0) is None


@given(st.binary(max_size=200))
def test_what_others_wrote(garbage: bytes) -> None:
    """What was not sealed is nothing, and raises nothing."""
    seal = Seal([NEW])
    assert seal.open(seal.name("a"), garbage, 0) is None


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_byte_of_it_can_be_changed(place: int, change: int) -> None:
    """A sealed value of which a byte was changed is nothing, or what it was: base64 has bits that mean nothing."""
    seal = Seal([NEW])
    name = seal.name("a")
    sealed = bytearray(seal.seal(name, b"value", 100) or b"")
    sealed[place % len(sealed)] ^= change
    assert seal.open(name, bytes(sealed), 0) in (None, b"value")


def test_rotation() -> None:
    """The first key seals and every one opens; names are the same until the old key goes."""
    old, both, new = Seal([OLD]), Seal([NEW, OLD]), Seal([NEW])
    name = old.name("a")
    assert both.name("a") == name != new.name("a")
    by_old, by_both = old.seal(name, b"x", 100), both.seal(name, b"x", 100)
    assert by_old is not None
    assert by_both is not None
    assert both.open(name, by_old, 0) == both.open(name, by_both, 0) == new.open(name, by_both, 0) == b"x"
    assert old.open(name, by_both, 0) is new.open(name, by_old, 0) is None


def test_two_keys_do_not_mix() -> None:
    """With another key all names are others, nothing opens, and fingerprints differ."""
    one, other = Seal([NEW]), Seal([OTHER])
    sealed = one.seal(one.name("a"), b"x", 100)
    assert sealed is not None
    assert one.name("a") != other.name("a")
    assert one.salt != other.salt
    assert other.open(one.name("a"), sealed, 0) is None


def test_names_tell_nothing() -> None:
    """A name is a keyed hash: nothing of what it names stands in it."""
    name = Seal([NEW]).name("release", "github.com", "acme/tool")
    assert len(bytes.fromhex(name)) == 32
    assert "acme" not in name


def test_large_values() -> None:
    """What packs well is kept though it is long; what is too long is not, nor what becomes so when it is opened."""
    seal = Seal([NEW])
    name = seal.name("a")
    long = b"0123456789" * 1_000_000
    sealed = seal.seal(name, long, 100)
    assert sealed is not None
    assert len(sealed) < MOST_SEALED / 4
    assert seal.open(name, sealed, 0) == long
    assert seal.seal(name, os.urandom(MOST_SEALED), 100) is None
    bomb = seal.seal(name, bytes(MOST_OPENED + 1), 100)
    assert bomb is not None
    assert seal.open(name, bomb, 0) is None


def test_keys() -> None:
    """A key is 32 random bytes in base64, of either alphabet; what was typed, or is of zeros, is none."""
    key = bytes(range(200, 232))
    for good in (b64encode(key), urlsafe_b64encode(key), b" " + b64encode(key) + b"\n"):
        assert read_key(good.decode()) == key
    short, long = b64encode(key[:31]).decode(), b64encode(key + b"1").decode()
    typed = b64encode(b"secret12" * 4).decode()
    for text in ("", "changeme", short, long, b64encode(bytes(32)).decode(), typed, "ü" * 44):
        with pytest.raises(KeyFormatError) as caught:
            read_key(text)
        assert not text or text not in str(caught.value)
