"""The download URLs of a forge."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass.forge.urls import AssetRef, Repository, download_path, parse

PLAIN = string.ascii_letters + string.digits
_segment = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: text not in (".", "..")
)
_names = _segment.filter(lambda text: "/" not in text)
_tags = st.lists(_names, min_size=1, max_size=3).map("/".join)
_repositories = st.builds(
    Repository, st.text(PLAIN, min_size=1, max_size=39), st.text(PLAIN + "-_", min_size=1, max_size=50)
)
_refs = st.builds(AssetRef, _repositories, st.none() | _tags, _names)


@given(_refs)
@example(AssetRef(Repository("o", "r"), "release/2.0+build.7", "a b%2F+.whl"))
@example(AssetRef(Repository("o", "r"), "latest", "latest"))
def test_round_trip(ref: AssetRef) -> None:
    """What `download_path` writes, `parse` reads back."""
    assert parse(download_path(ref)) == ref


@given(st.text())
def test_parse_never_raises(path: str) -> None:
    """Any text is a download URL or is not; what is one is written back to one that means the same."""
    ref = parse(path)
    if ref is not None:
        assert parse(download_path(ref)) == ref


@pytest.mark.parametrize(
    ("path", "tag", "name"),
    [
        ("/o/r/releases/download/v1/f.whl", "v1", "f.whl"),
        ("/o/r/releases/download/release/2.0+build.7/f.whl", "release/2.0+build.7", "f.whl"),
        ("/o/r/releases/download/release%2F2.0%2Bbuild.7/f.whl", "release/2.0+build.7", "f.whl"),
        ("/o/r/releases/download/100%25/f%20g.whl", "100%", "f g.whl"),
        ("/o/r/releases/download/v%252F1/f.whl", "v%2F1", "f.whl"),
        ("/o/r/releases/download/%C3%A9t%C3%A9/f.whl", "été", "f.whl"),
        ("/o/r/releases/latest/download/f.whl", None, "f.whl"),
        ("/o/r/releases/download/latest/f.whl", "latest", "f.whl"),
        ("//o/r/releases/download/v1/f.whl", "v1", "f.whl"),
        ("/o//r///releases//download/v1//f.whl", "v1", "f.whl"),
        ("/o/r/releases/download/release//2.0/f.whl", "release/2.0", "f.whl"),
        ("/o/r//releases/latest//download/f.whl", None, "f.whl"),
        ("/o/r/releases/latest", None, ""),
        ("/o/r/releases//latest", None, ""),
    ],
)
def test_forms(path: str, tag: str | None, name: str) -> None:
    """Tags hold slashes and special characters; each segment is decoded once; several slashes are one."""
    assert parse(path) == AssetRef(Repository("o", "r"), tag, name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "o/r/releases/download/v1/f",
        "/o/r/releases/download/f",
        "/o/r/releases/download//f",
        "/o/r/releases/download/v1/",
        "/o/r/releases/download/v1//",
        "/o/r/releases/download/v1%2F%2Fx/f",
        "/o/r/releases/download/v1/%2Ff",
        "/o/r/releases/download/../../../../user/x",
        "/o/r/releases/download/%2e%2e/x",
        "/o/r/releases/download/v1%2F..%2F../x",
        "/o/r/releases/download/v1/..",
        "/o/r/releases/download/v1/a%2Fb",
        "/o/r/releases/download/v1/a%00b",
        "/o/r/releases/download/v1%0d%0aHost:x/f",
        "/o/r/releases/download/%ff/f",
        "/o/r/releases/download/v1/\udcff",
        "/../r/releases/download/v1/f",
        "/o/../releases/download/v1/f",
        "/o/%2e%2e/releases/download/v1/f",
        "/o/r/s/releases/download/v1/f",
        "/o/r/releases/latest/download/a/b",
        "/o/r/releases/latest/download/",
        "/o/r/releases/latest/",
        "/o/r/releases/latest/x",
        "/o/r/releases",
        "/o/r/releases/tag/v1/f",
        "/o?/r/releases/download/v1/f",
        "/o/r/releases/download/v1/" + "f" * 5000,
    ],
)
def test_not_a_download(path: str) -> None:
    """What could name no asset is no download URL, and what would lead elsewhere in the API least of all."""
    assert parse(path) is None
