"""Values sealed for a place that others may read and write, and names that tell nothing.

Pure: the time is the caller's. What was not sealed with one of the keys, was sealed under another name, or has come to
its end is nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import zlib
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SEALED: Final = 1024 * 1024
"""Bytes; what is longer is neither kept nor read."""
MOST_OPENED: Final = 32 * 1024 * 1024

_HEAD: Final = struct.Struct(">32sd?")
_WORTH: Final = 512
_KEY_BYTES: Final = 32
# Of 32 random bytes more than half are never like another: these were typed, or are of a file of zeros.
_LEAST_DISTINCT: Final = 16


class KeyFormatError(ValueError):
    """It is no key; the text says what one is, and nothing of what was there."""


def read_key(text: str) -> bytes:
    """A key of 32 bytes in base64, of either alphabet (RFC 4648), as Fernet has it.

    Raises:
        KeyFormatError: it is something else.
    """
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES or len(set(key)) < _LEAST_DISTINCT:
        raise KeyFormatError("32 random bytes in base64")
    return key


class Seal:
    """Keys, of which the first seals and every one opens. Names are made with the last, so that a new key changes none
    before the old one goes.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Each key is of 32 bytes."""
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self._names = _derived(keys[-1], b"gatepass names")
        self.salt = _derived(keys[-1], b"gatepass secrets")
        """Of fingerprints of secrets, which are the same for all who have the key."""

    def name(self, kind: str, *parts: str) -> str:
        """What a value is called in the place: the same for the same, and of no use to guess what that is."""
        return hmac.digest(self._names, msgspec.json.encode((kind, *parts)), "sha256").hex()

    def seal(self, name: str, value: bytes, end: float) -> bytes | None:
        """A value to be believed under that name until `end` (epoch seconds); None of too long a one."""
        is_packed = len(value) > _WORTH
        head = _HEAD.pack(bytes.fromhex(name), end, is_packed)
        sealed = self._fernet.encrypt(head + (zlib.compress(value, 1) if is_packed else value))
        return sealed if len(sealed) <= MOST_SEALED else None

    def open(self, name: str, sealed: bytes, now: float) -> bytes | None:
        """The value, where it is one of ours, of that name, and has not ended."""
        if not sealed or len(sealed) > MOST_SEALED:
            return None
        try:
            whole = self._fernet.decrypt(sealed)
            held, end, is_packed = _HEAD.unpack_from(whole)
        except (InvalidToken, struct.error):
            return None
        if not hmac.compare_digest(held, bytes.fromhex(name)) or not now < end:
            return None
        value = whole[_HEAD.size :]
        if not is_packed:
            return value
        unpacking = zlib.decompressobj()
        try:
            value = unpacking.decompress(value, MOST_OPENED)
        except zlib.error:
            return None
        return value if unpacking.eof else None


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=key, digest_size=32).digest()
