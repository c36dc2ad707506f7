"""The METADATA of a wheel, read by a few ranges: the bytes that are in it, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import io
import struct
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.metadata import parse_email

from gatepass.demo import package
from gatepass.index.wheel import MOST_METADATA, UnreadableError, metadata

if TYPE_CHECKING:
    from collections.abc import Callable

METADATA = b"Metadata-Version: 2.1\nName: acme-tool\nVersion: 1.0\nRequires-Python: >=3.9\n\nText.\n"
PATH = "acme_tool-1.0.dist-info/METADATA"


class Far:
    """A file somewhere else: what was read of it, and how often."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[tuple[int, int]] = []

    async def read(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self.content)
        self.ranges.append((start, stop))
        return self.content[start:stop]

    @property
    def bytes_read(self) -> int:
        return sum(stop - start for start, stop in self.ranges)


def archive(
    files: dict[str, bytes] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
    comment: bytes = b"",
    extra: bytes = b"",
    more: dict[str, bytes] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in {**(more or {}), **({PATH: METADATA} if files is None else files)}.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.extra = method, extra
            made.writestr(info, content)
        made.comment = comment
    return buffer.getvalue()


async def read(content: bytes, project: str = "acme-tool", version: str = "1.0") -> tuple[bytes, Far]:
    far = Far(content)
    return (await metadata(far.read, len(content), project, version)).content, far


async def why_not(content: bytes, version: str = "1.0") -> str:
    with pytest.raises(UnreadableError) as caught:
        await read(content, version=version)
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_the_bytes_of_the_wheel(method: int) -> None:
    """What is read is what is in the wheel, byte for byte, with its hash and what a page tells of it."""
    content = archive(method=method)
    far = Far(content)
    found = await metadata(far.read, len(content), "acme-tool", "1.0")
    assert found.content == METADATA == zipfile.ZipFile(io.BytesIO(content)).read(PATH)
    assert found.sha256 == hashlib.sha256(METADATA).hexdigest()
    assert (found.version, found.requires_python) == ("1.0", ">=3.9")


async def test_a_real_wheel() -> None:
    """The demo's wheel, of which a large file is the first, is read without that file: two ranges, 17 KB."""
    wheel = package.wheel("acme_tool", "1.0", padding=5_000_000)
    content, far = await read(wheel.content)
    assert content == zipfile.ZipFile(io.BytesIO(wheel.content)).read(PATH)
    assert len(far.ranges) == 1  # all that is asked for lies in the last 16 KiB
    assert far.bytes_read == 16 * 1024


async def test_metadata_far_from_the_end() -> None:
    """Where METADATA comes first, a second range has it, and no byte of what lies between is read."""
    content = archive({PATH: METADATA, "big.bin": bytes(1_000_000)}, zipfile.ZIP_STORED)
    found, far = await read(content)
    assert found == METADATA
    assert len(far.ranges) == 2
    assert far.bytes_read < 17_000


async def test_a_large_directory() -> None:
    """A central directory that is larger than the tail is read by a range of its own."""
    content = archive(more={f"acme_tool/{'x' * 100}{number}.py": b"" for number in range(2000)})
    found, far = await read(content)
    assert found == METADATA
    assert len(far.ranges) <= 3


async def test_a_comment_and_what_lies_before() -> None:
    """A comment at the end, an extra field, and bytes before the archive, hinder nobody who reads ZIP files."""
    for content in (
        archive(comment=b"PK\x05\x06" * 10_000),
        archive(extra=struct.pack("<HH", 0xCAFE, 60_000) + bytes(60_000)),
        b"#!/bin/sh\n" * 10_000 + archive(),
    ):
        found, far = await read(content)
        assert found == METADATA
        assert len(far.ranges) <= 4


async def test_a_large_archive() -> None:
    """An archive with the records of ZIP64 is read by them."""
    plain = archive(method=zipfile.ZIP_STORED)
    at = plain.rindex(b"PK\x05\x06")
    count, length, start = struct.unpack("<HII", plain[at + 10 : at + 20])
    end64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, start)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    found, _ = await read(plain[:at] + end64 + locator + end)
    assert found == METADATA


def other(name: str = "acme-tool", version: str = "1.0") -> dict[str, bytes]:
    return {PATH: f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "too short"),
        (b"no zip at all" * 100, "no end of a central directory"),
        (archive()[:-30], "no end of a central directory"),
        (archive()[:-1], "no end of a central directory"),
        (archive({}), "no *.dist-info/METADATA"),
        (archive({f"x/{PATH}": METADATA}), "no *.dist-info/METADATA"),
        (archive({PATH: METADATA, "acme_tool-1.1.dist-info/METADATA": METADATA}), "several *.dist-info/METADATA"),
        (archive({"evil-1.0.dist-info/METADATA": METADATA}), "another project"),
        (archive(other(name="evil")), "the name of another project"),
        (archive(other(version="1!1.0")), "says version 1!1.0, and its name says 1.0"),
        (archive(other(version="x")), "no version"),
        (archive({PATH: b"\xff\xfe"}), "the name of another project"),
        (archive({PATH: bytes(MOST_METADATA + 1)}), "more than"),
        (archive(method=zipfile.ZIP_BZIP2), "in a way that no wheel is"),
    ],
)
async def test_what_is_refused(content: bytes, told: str) -> None:
    """What is no wheel, or could be read in two ways, has no metadata; and it is said why."""
    assert told in await why_not(content)


async def test_a_twin_is_refused() -> None:
    """Two files of the one name: readers differ in which they take."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(PATH, METADATA)
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr(PATH, METADATA)
    assert "several" in await why_not(buffer.getvalue())


def patched(change: Callable[[bytearray, int, int], None]) -> bytes:
    """An archive in which the local header and the directory's entry of METADATA were tampered with."""
    content = bytearray(archive())
    change(content, content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02"))
    return bytes(content)


def put(content: bytearray, at: int, form: str, value: int) -> None:
    struct.pack_into(form, content, at, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda content, _local, entry: put(content, entry + 16, "<I", 1),  # checksum
        lambda content, _local, entry: put(content, entry + 24, "<I", 10),  # size, too small
        lambda content, _local, entry: put(content, entry + 24, "<I", 5000),  # size, too large
        lambda content, _local, entry: put(content, entry + 20, "<I", 5),  # compressed size
        lambda content, _local, entry: put(content, entry + 20, "<I", 0xFFFFFFFE),
        lambda content, _local, entry: put(content, entry + 24, "<I", 0xFFFFFFFF),  # ZIP64 without its field
        lambda content, _local, entry: put(content, entry + 42, "<I", 1),  # offset
        lambda content, _local, entry: put(content, entry + 42, "<I", 0xFFFFFFF0),
        lambda content, _local, entry: put(content, entry + 8, "<H", 1),  # encrypted
        lambda content, _local, entry: put(content, entry + 28, "<H", 5),  # length of the name
        lambda content, _local, entry: put(content, entry + 30, "<H", 60000),  # of the extra field
        lambda content, local, _entry: put(content, local + 30, "<H", 0x4141),  # another name
        lambda content, local, _entry: put(content, local + 8, "<H", 0),  # another method
        lambda content, local, _entry: put(content, local + 28, "<H", 60000),
        lambda content, _local, _entry: put(content, content.index(b"PK\x05\x06") + 12, "<I", 10),
        lambda content, _local, _entry: put(content, content.index(b"PK\x05\x06") + 16, "<I", 0xFFFFFF),
        lambda content, _local, _entry: put(content, content.index(b"PK\x05\x06") + 10, "<H", 7),
        lambda content, _local, _entry: put(content, content.index(b"PK\x05\x06") + 4, "<H", 1),
        lambda content, _local, _entry: put(content, content.index(b"PK\x05\x06") + 8, "<I", 0xFFFFFFFF),
    ],
)
async def test_contradictions(change: Callable[[bytearray, int, int], None]) -> None:
    """What an archive says twice and differently, or says of what is not there, is refused."""
    assert await why_not(patched(change))


async def test_a_bomb() -> None:
    """METADATA that swells is read no further than its bound."""
    bomb = archive({PATH: METADATA + bytes(1_000_000_000 // 10)})
    assert len(bomb) < 200_000
    content = bytearray(bomb)
    put(content, content.index(b"PK\x01\x02") + 24, "<I", len(METADATA))
    assert "not as long" in await why_not(bytes(content))


async def test_a_bomb_of_fields() -> None:
    """METADATA of as many fields as its bytes allow is refused at once: to look all of them through takes hours."""
    bomb = archive({PATH: METADATA.partition(b"\n\n")[0] + b"".join(b"\na%d:" % number for number in range(300_000))})
    start = time.thread_time()
    assert "more than 10000 fields" in await why_not(bomb)
    assert time.thread_time() - start < 5


@given(
    st.lists(st.sampled_from(["Name: acme-tool", "Version: 1.0", "Version: 2", "Name: x", "x: y", "é: 1", " z", ""])),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@example(["Name: acme-tool", "x: y", " z", "Version: 1.0", "", "Version: 2"], "\r\n")
async def test_fields_are_read_as_packaging_reads_them(lines: list[str], end: str) -> None:
    """What METADATA says of itself is what `packaging` makes of the whole of it."""
    content = end.join(lines).encode()
    told, _ = parse_email(content)
    is_it = (told.get("name"), told.get("version")) == ("acme-tool", "1.0")
    try:
        assert await read(archive({PATH: content}))
    except UnreadableError:
        assert not is_it
    else:
        assert is_it


async def test_a_directory_of_many_files_holds_nobody_up() -> None:
    """The central directory of a wheel of very many files is read beside the loop."""
    content = archive(more={f"acme_tool/{number}": b"" for number in range(60_000)}, method=zipfile.ZIP_STORED)
    far = Far(content)
    reading = asyncio.ensure_future(metadata(far.read, len(content), "acme-tool", "1.0"))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await reading).content == METADATA
    assert turns > 20


@settings(max_examples=300)
@given(st.data())
async def test_any_damage(data: st.DataObject) -> None:
    """Whatever bytes are changed: the metadata of the wheel comes out, or none; never another error."""
    content = bytearray(archive(more={"acme_tool/__init__.py": b"x = 1\n"}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, _ = await read(bytes(content))
    except UnreadableError:
        return
    assert found == METADATA


@given(st.binary(max_size=400), st.binary(max_size=60))
async def test_any_bytes(content: bytes, end: bytes) -> None:
    """Any bytes, with and without the end of an archive, are refused in words."""
    for each in (content, content + b"PK\x05\x06" + end, content + b"PK\x05\x06" + bytes(18)):
        assert await why_not(each)


async def test_a_host_that_gives_too_little() -> None:
    """A part that is shorter than was asked for is no part."""
    content = archive()

    async def short(start: int, stop: int) -> bytes:
        return content[start : stop - 1]

    with pytest.raises(UnreadableError, match="another number of bytes"):
        await metadata(short, len(content), "acme-tool", "1.0")


async def test_what_python_it_wants_is_told_only_where_it_can_be_read() -> None:
    """A Requires-Python that is no specifier stays out of the pages."""
    for text, told in ((">=3.8, <4", ">=3.8, <4"), ("whatever", None), (">=3" + ",>=3" * 500, None)):
        content = archive({PATH: METADATA.replace(b">=3.9", text.encode())})
        far = Far(content)
        assert (await metadata(far.read, len(content), "acme-tool", "1.0")).requires_python == told
