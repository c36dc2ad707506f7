"""The METADATA of a wheel that lies elsewhere, read by a few ranges: the very bytes that are in the wheel (PEP 658).

Knows a size and a way to read bytes, not where they come from. A wheel is somebody else's file: whatever it says of
itself has a bound, and what it says twice, or in contradiction, is refused, for another reader might take the other.

Sources: APPNOTE.TXT 6.3.10 of the ZIP file format, sections 4.3 to 4.5; the binary distribution format (PEP 427).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    type Read = Callable[[int, int], Awaitable[bytes]]
    """The bytes from `start` up to `stop`."""

_TAIL: Final = 16 * 1024
_END: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
_LONGEST_COMMENT: Final = 65_535
_LOCATOR: Final = b"PK\x06\x07"
_LOCATOR_SIZE: Final = 20
_END64: Final = b"PK\x06\x06"
_END64_SIZE: Final = 56
_ENTRY: Final = b"PK\x01\x02"
_ENTRY_SIZE: Final = 46
_LOCAL: Final = b"PK\x03\x04"
_LOCAL_SIZE: Final = 30
# So much more than its name a local header's extra fields take at most, as wheels are made; else it is read again.
_USUAL_EXTRA: Final = 256
_MOST_DIRECTORY: Final = 8 * 1024 * 1024
_MOST_ENTRIES: Final = 100_000
MOST_METADATA: Final = 4 * 1024 * 1024
"""Bytes; descriptions of packages are some 100 KiB at the most."""
_STORED: Final = 0
_DEFLATED: Final = 8
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_UTF8: Final = 0x800
_METADATA: Final = re.compile(r"([^/]+)\.dist-info/METADATA")
# A field with its further lines, as Python's `email` takes them apart.
_FIELD: Final = re.compile(rb"([!-9;-~]*):[^\r\n]*(?:\r\n|\r|\n|\Z)(?:[ \t][^\r\n]*(?:\r\n|\r|\n|\Z))*")
_READ: Final = frozenset({b"name", b"version", b"requires-python"})
_MOST_FIELDS: Final = 10_000
_LONGEST_FIELD: Final = 4096
# A directory of so many bytes takes longer to read than the loop should wait.
_LARGE_DIRECTORY: Final = 64 * 1024


class UnreadableError(Exception):
    """Its metadata cannot be told for sure; the text says why."""


class MisnamedError(UnreadableError):
    """It is another distribution than its name tells."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The bytes, their hash in hexadecimal, and what of them is of use for a page."""

    content: bytes
    sha256: str
    version: str | None
    requires_python: str | None


class _Entry(NamedTuple):
    name: bytes
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int


class _Window:
    """A file of which parts are read, and what was read is read no more."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._parts: list[tuple[int, bytes]] = []
        self.size = size

    async def bytes(self, start: int, stop: int) -> bytes:
        if not 0 <= start <= stop <= self.size:
            raise UnreadableError("it names a place outside of itself")
        if start == stop:
            return b""
        for at, part in self._parts:
            if at <= start and stop <= at + len(part):
                return part[start - at : stop - at]
        part = await self._read(start, stop)
        if len(part) != stop - start:
            raise UnreadableError("its host gives another number of bytes than it was asked for")
        self._parts.append((start, part))
        return part


async def metadata(read: Read, size: int, project: str, version: str) -> Metadata:
    """The METADATA of a wheel of that size, whose name tells that it is of `project` and `version`.

    Two ranges are read of most wheels, three at most of nearly all, each as small as can be.

    Raises:
        UnreadableError: it is no wheel, or one that readers may differ about.
    """
    window = _Window(read, size)
    directory, shift = await _directory(window)
    entry = _only(directory, project)
    content = _checked(entry, await _stored(window, entry, shift))
    told, _ = parse_email(_needed(content))
    if canonicalize_name(told.get("name", "")) != project:
        raise MisnamedError("its METADATA has the name of another project")
    try:
        own = str(Version(told.get("version", "")))
    except InvalidVersion:
        raise UnreadableError("its METADATA has no version") from None
    if own != version:
        raise MisnamedError(f"its METADATA says version {own}, and its name says {version}")
    return Metadata(content, hashlib.sha256(content).hexdigest(), own, _specifier(told.get("requires_python")))


def _needed(content: bytes) -> bytes:
    """The fields of METADATA that are read, as they stand before its body.

    `packaging` looks all fields through for each of them, which takes hours where there are as many as bytes allow.
    """
    kept: list[bytes] = []
    at = 0
    for count in range(_MOST_FIELDS + 1):
        field = _FIELD.match(content, at)
        if field is None:
            break
        if count == _MOST_FIELDS:
            raise UnreadableError(f"its METADATA has more than {_MOST_FIELDS} fields")
        if field[1].lower() in _READ:
            kept.append(field[0][:_LONGEST_FIELD].rstrip(b"\r\n") + b"\n")
        at = field.end()
    return b"".join(kept)


def _specifier(text: str | None) -> str | None:
    """What the page may say of Python's version: nothing that a client could not read."""
    if text is None or len(text) > 500 or not text.isprintable():
        return None
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return None
    return text


async def _directory(window: _Window) -> tuple[list[_Entry], int]:
    """The entries of the central directory, and how many bytes lie before the archive itself."""
    size = window.size
    if size < _END_SIZE:
        raise UnreadableError("it is too short for a ZIP file")
    tail = await window.bytes(max(0, size - _TAIL), size)
    at = _end_of_directory(tail)
    if at is None and size > len(tail):
        tail = await window.bytes(max(0, size - _END_SIZE - _LONGEST_COMMENT), size)
        at = _end_of_directory(tail)
    if at is None:
        raise UnreadableError("it has no end of a central directory: it is no ZIP file, or a broken one")
    disk, start_disk, here, count, length, start, _ = struct.unpack("<HHHHIIH", tail[at + 4 : at + _END_SIZE])
    end = size - len(tail) + at
    if 0xFFFF in (count, here, disk, start_disk) or 0xFFFFFFFF in (length, start):
        disk, start_disk, here, count, length, start, end = await _end64(window, end)
    if disk or start_disk or here != count:
        raise UnreadableError("it is one of several disks")
    if count > _MOST_ENTRIES or length > _MOST_DIRECTORY:
        raise UnreadableError("it holds more files than are read")
    shift = end - length - start
    if shift < 0:
        raise UnreadableError("its central directory is not where it says")
    directory = await window.bytes(start + shift, start + shift + length)
    if length > _LARGE_DIRECTORY:
        return await asyncio.to_thread(_entries, directory, count), shift
    return _entries(directory, count), shift


def _end_of_directory(tail: bytes) -> int | None:
    """Where the record begins, whose comment goes to the end of the file."""
    at = tail.rfind(_END)
    while at >= 0:
        if at + _END_SIZE <= len(tail):
            (comment,) = struct.unpack("<H", tail[at + 20 : at + _END_SIZE])
            if at + _END_SIZE + comment == len(tail):
                return at
        at = tail.rfind(_END, 0, at)
    return None


async def _end64(window: _Window, end: int) -> tuple[int, int, int, int, int, int, int]:
    """The same for large archives (APPNOTE 4.3.14, 4.3.15), and where that record begins."""
    if end < _LOCATOR_SIZE + _END64_SIZE:
        raise UnreadableError("it has no central directory for its size")
    at = end - _LOCATOR_SIZE - _END64_SIZE
    both = await window.bytes(at, end)
    if both[_END64_SIZE:][:4] != _LOCATOR or both[:4] != _END64:
        # a record with extensible data lies further off; no wheel was seen that has any
        raise UnreadableError("it has no central directory for its size")
    disk, start_disk, here, count, length, start = struct.unpack("<IIQQQQ", both[16:_END64_SIZE])
    return disk, start_disk, here, count, length, start, at


def _entries(directory: bytes, count: int) -> list[_Entry]:
    entries = []
    at = 0
    for _ in range(count):
        head = directory[at : at + _ENTRY_SIZE]
        if len(head) < _ENTRY_SIZE or head[:4] != _ENTRY:
            raise UnreadableError("its central directory is broken")
        _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length, comment_length = struct.unpack(
            "<HHHHHHIIIHHH", head[4:34]
        )
        (offset,) = struct.unpack("<I", head[42:46])
        name_at = at + _ENTRY_SIZE
        extra_at = name_at + name_length
        name = directory[name_at:extra_at]
        extra = directory[extra_at : extra_at + extra_length]
        at = extra_at + extra_length + comment_length
        if at > len(directory):
            raise UnreadableError("its central directory is broken")
        if name.endswith(b".dist-info/METADATA"):
            if 0xFFFFFFFF in (size, compressed, offset):
                size, compressed, offset = _sizes64(extra, size, compressed, offset)
            entries.append(_Entry(name, flags, method, crc, compressed, size, offset))
    if at != len(directory):
        raise UnreadableError("its central directory is longer than its entries")
    return entries


def _sizes64(extra: bytes, *numbers: int) -> tuple[int, int, int]:
    """Size, compressed size and offset; those that are too large for their fields are in an extra one (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            # those that fit their own fields are not repeated
            missing = [position for position, number in enumerate(numbers) if number == 0xFFFFFFFF]
            if len(field) < 8 * len(missing):
                break
            found = list(numbers)
            for order, position in enumerate(missing):
                (found[position],) = struct.unpack_from("<Q", field, 8 * order)
            return found[0], found[1], found[2]
        at += 4 + length
    raise UnreadableError("its central directory is broken")


def _only(entries: list[_Entry], project: str) -> _Entry:
    """The METADATA of the project, which is the only one."""
    found = []
    for entry in entries:
        try:
            name = entry.name.decode("utf-8" if entry.flags & _UTF8 else "ascii")
        except UnicodeDecodeError:
            continue
        if match := _METADATA.fullmatch(name):
            found.append((match[1], entry))
    if len(found) != 1:
        raise UnreadableError(f"it holds {'several' if found else 'no'} *.dist-info/METADATA")
    folder, entry = found[0]
    if canonicalize_name(folder.rpartition("-")[0]) != project:
        raise UnreadableError("its *.dist-info is of another project")
    return entry


async def _stored(window: _Window, entry: _Entry, shift: int) -> bytes:
    """An entry's bytes as they lie in the archive."""
    if entry.flags & _ENCRYPTED:
        raise UnreadableError("its METADATA is encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        raise UnreadableError("its METADATA is compressed in a way that no wheel is")
    if entry.size > MOST_METADATA or entry.compressed > MOST_METADATA:
        raise UnreadableError(f"its METADATA has more than {MOST_METADATA} bytes")
    start = entry.offset + shift
    usual = start + _LOCAL_SIZE + len(entry.name) + _USUAL_EXTRA + entry.compressed
    part = await window.bytes(start, max(min(usual, window.size), start))
    if len(part) < _LOCAL_SIZE or part[:4] != _LOCAL:
        raise UnreadableError("its METADATA is not where its directory says")
    flags, method = struct.unpack("<HH", part[6:10])
    name_length, extra_length = struct.unpack("<HH", part[26:30])
    body = _LOCAL_SIZE + name_length + extra_length
    if part[_LOCAL_SIZE:][:name_length] != entry.name or method != entry.method or flags & _ENCRYPTED:
        raise UnreadableError("its directory says something else of METADATA than stands before it")
    if body + entry.compressed > len(part):
        return await window.bytes(start + body, start + body + entry.compressed)
    return part[body : body + entry.compressed]


def _checked(entry: _Entry, stored: bytes) -> bytes:
    """The content, which is as long as the directory says, and has its checksum."""
    content = stored
    if entry.method == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(stored, entry.size + 1)
        except zlib.error:
            raise UnreadableError("its METADATA cannot be decompressed") from None
        if not inflater.eof or inflater.unused_data:
            raise UnreadableError("its METADATA is not as long as its directory says")
    if len(content) != entry.size or zlib.crc32(content) != entry.crc:
        raise UnreadableError("its METADATA is not what its directory says")
    return content
