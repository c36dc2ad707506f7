"""A body that passes through, held against what is known of it: its length, and its digest.

Pure: bytes in, bytes out. The last of them are let go when all is well, and not before: a client that knows how long a
body is would take it for whole by then.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHA256: Final = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_SPAN: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


def sha256(digest: str | None) -> bytes | None:
    """The SHA-256 that the API tells as a digest; None when it tells none, or another sort."""
    found = _SHA256.fullmatch(digest or "")
    return bytes.fromhex(found[1]) if found else None


def repr_digest(digest: str | None) -> str | None:
    """The value of Repr-Digest for it (RFC 9530, section 3); None where it is not known."""
    known = sha256(digest)
    return None if known is None else f"sha-256=:{base64.b64encode(known).decode()}:"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a body should be: so many bytes, None when that is not known, and of that SHA-256, where it is."""

    size: int | None
    digest: bytes | None = None


def expected(status: int, headers: Mapping[str, str], size: int | None, digest: str | None) -> Expected | None:
    """What the body of an answer should be, of an asset of that size and digest; None when nothing is known of it."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return None
    if status == 206:
        span = _SPAN.fullmatch(headers.get("content-range", "").strip())
        if span is None:
            return None
        length = int(span[2]) - int(span[1]) + 1
        return Expected(length, sha256(digest) if int(span[1]) == 0 and span[3] == str(length) else None)
    if status != 200 or (size is None and sha256(digest) is None):
        return None
    return Expected(size, sha256(digest))


def of_another(status: int, headers: Mapping[str, str], size: int | None) -> str | None:
    """Why a part is of something else than an asset of that size; None when nothing says so."""
    span = _SPAN.fullmatch(headers.get("content-range", "").strip()) if status == 206 else None
    if span is None or size is None or span[3] in ("*", str(size)):
        return None
    return f"it gives a part of {span[3]} bytes, and there are {size}"


def fault_of(
    status: int, headers: Mapping[str, str], content: bytes, size: int | None, digest: str | None
) -> str | None:
    """What is wrong with a whole body that is held; None when nothing is, as far as can be told."""
    known = expected(status, headers, size, digest)
    if known is None:
        return None
    check = Check(known)
    check(content)
    return of_another(status, headers, size) or check.fault()


class Check:
    """Lets a body pass, less what it holds back: called with each chunk of it, and with none at the end."""

    __slots__ = ("_count", "_expected", "_hash", "_held", "_size")

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._hash = None if expected.digest is None else hashlib.sha256()
        self._held = b""
        self._size = 0
        self._count: Callable[[bytes], object] = len

    def counted(self, count: Callable[[bytes], object]) -> None:
        """Have what is let go counted, too."""
        self._count = count

    def __call__(self, chunk: bytes) -> list[bytes]:
        """What may go on; nothing of a body that is too long already, or wrong in the end.

        An empty part is none: in chunks it would be the end.
        """
        self._size += len(chunk)
        if self._hash is not None:
            self._hash.update(chunk)
        too_long = self._expected.size is not None and self._size > self._expected.size
        let_go = b"" if too_long or (not chunk and self.fault() is not None) else self._held
        self._held = b"" if too_long else chunk
        self._count(let_go)
        return [let_go] if let_go else []

    def fault(self) -> str | None:
        """What is wrong with a body that has ended; None when nothing is, as far as can be told."""
        size, digest = self._expected.size, self._expected.digest
        if size is not None and self._size != size:
            return f"its body has {self._size} bytes, and {size} were to come"
        if self._hash is not None and self._hash.digest() != digest:
            return "its body is another than its digest says"
        return None
