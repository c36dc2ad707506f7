"""The URLs of archives, raw files and git: what each asks for, and what is none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge import sources
from gatepass.forge.sources import (
    MOST_TRIED,
    Content,
    GitRef,
    Place,
    api_path,
    batch_operation,
    parse,
    parse_git,
    parse_raw,
    without_git,
)
from gatepass.forge.urls import Repository

REPOSITORY = Repository("acme", "tool")


@pytest.mark.parametrize(
    ("path", "kind", "places"),
    [
        ("/archive/v1.tar.gz", Content.TARBALL, [("v1", "")]),
        ("/archive/v1.zip", Content.ZIPBALL, [("v1", "")]),
        ("/archive/refs/tags/a.tar.gz", Content.TARBALL, [("refs/tags/a", "")]),
        ("/archive/refs/tags/a/b.tar.gz", Content.TARBALL, [("refs/tags/a/b", ""), ("refs/tags/a", "")]),
        ("/archive/a/tool-a.tar.gz", Content.TARBALL, [("a/tool-a", ""), ("a", "")]),
        ("/archive/a%2Fb.zip", Content.ZIPBALL, [("a/b", ""), ("a", "")]),
        ("/tarball", Content.TARBALL, [("", "")]),
        ("/tarball/a/b", Content.TARBALL, [("a/b", "")]),
        ("/zipball/refs/heads/x", Content.ZIPBALL, [("refs/heads/x", "")]),
        ("/raw/main/a.txt", Content.FILE, [("main", "a.txt")]),
        ("/raw/a/b/c", Content.FILE, [("a", "b/c"), ("a/b", "c")]),
        ("/raw/refs/heads/a/b/c", Content.FILE, [("refs/heads/a", "b/c"), ("refs/heads/a/b", "c")]),
        (f"/raw/{'a' * 40}/b/c", Content.FILE, [("a" * 40, "b/c")]),
        ("/raw/refs/other/c", Content.FILE, [("refs", "other/c"), ("refs/other", "c")]),
    ],
)
def test_sources(path: str, kind: Content, places: list[tuple[str, str]]) -> None:
    """Each form names a repository, what of it is wanted, and the refs that it may mean, the likelier first."""
    ref = parse(f"/acme/tool{path}")
    assert ref is not None
    assert (ref.repository, ref.kind, list(ref.places)) == (REPOSITORY, kind, [Place(*place) for place in places])
    if kind is Content.FILE:
        raw = parse_raw(f"/acme/tool{path.removeprefix('/raw')}")
        assert raw == ref
        assert raw.is_raw


@pytest.mark.parametrize(
    "path",
    [
        "/acme/tool",
        "/acme/tool/archive",
        "/acme/tool/archive/",
        "/acme/tool/archive/.zip",
        "/acme/tool/archive/v1.rar",
        "/acme/tool/archive/../x.zip",
        "/acme/tool/archive/a/%2e%2e/x.zip",
        "/acme/tool/tarball/",
        "/acme/tool/tarball/a%0ab",
        "/acme/tool/raw/main",
        "/acme/tool/raw/main/",
        "/acme/tool/raw/main/a%2f..%2fb",
        "/acme/tool/raw/%ff/a",
        "/acme/tool/blob/main/archive/v1.zip",
        "/acme/../archive/v1.zip",
        "/-/tool/archive/v1.zip",
        "",
    ],
)
def test_no_source(path: str) -> None:
    """What has no ref, no file, or names that lead elsewhere in the API, is somebody else's page."""
    assert parse(path) is None


@given(st.text(max_size=200))
def test_no_path_leads_elsewhere_in_the_api(rest: str) -> None:
    """Whatever a path is, what is asked of the API stays below its repository, and is tried a few times."""
    for ref in (
        parse(f"/acme/tool/raw/{rest}"),
        parse(f"/acme/tool/archive/{rest}.zip"),
        parse_raw(f"/acme/tool/{rest}"),
    ):
        if ref is None:
            continue
        assert len(ref.places) <= MOST_TRIED
        for place in ref.places:
            path, _, query = api_path(ref, place).partition("?")
            assert {".", ".."}.isdisjoint(path.split("/"))
            assert path.isascii()
            assert "#" not in path + query
            assert "&" not in query


@pytest.mark.parametrize(
    ("method", "target", "use"),
    [
        ("GET", "/acme/tool.git/info/refs?service=git-upload-pack", "fetch"),
        ("GET", "/acme/tool/info/refs?service=git-upload-pack", "fetch"),
        ("POST", "/acme/tool/git-upload-pack", "fetch"),
        ("GET", "/acme/tool.git/info/refs?service=git-receive-pack", "push"),
        ("POST", "/acme/tool.git/git-receive-pack", "push"),
        ("POST", "/acme/tool.git/info/lfs/objects/batch", "batch"),
        ("GET", "/acme/tool.git/info/lfs/locks?limit=1", "fetch"),
        ("POST", "/acme/tool.git/info/lfs/locks", "push"),
        ("POST", "/acme/tool.git/info/lfs/locks/7/unlock", "push"),
        ("GET", "/acme/tool.git/info/refs", None),
        ("GET", "/acme/tool.git/info/refs?service=git-upload-pack&service=git-receive-pack", None),
        ("GET", "/acme/tool.git/info/refs?service=git%2Dreceive-pack", None),
        ("GET", "/acme/tool.git/info/refs?Service=git-upload-pack", None),
        ("HEAD", "/acme/tool.git/info/refs?service=git-upload-pack", None),
        ("POST", "/acme/tool.git/git%2Dreceive-pack", None),
        ("POST", "/acme/tool.git/git-upload-pack?x", None),
        ("PUT", "/acme/tool.git/git-receive-pack", None),
        ("POST", "/acme.git/tool/git-upload-pack", None),
        ("POST", "/acme/tool/x/git-upload-pack", None),
        ("POST", "/acme/.git/git-upload-pack", None),
    ],
)
def test_git(method: str, target: str, use: str | None) -> None:
    """Git's own requests are known as it writes them; anything that a server might read as another is none."""
    ref = parse_git(method, target)
    assert (ref and ref.use) == use
    if ref is not None:
        assert ref == GitRef(REPOSITORY, ref.use, is_lfs="/lfs/" in target)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/acme/tool.git/info/refs", "/acme/tool/info/refs"),
        ("/acme/tool.git", "/acme/tool"),
        ("/acme/tool.github/info/refs", "/acme/tool.github/info/refs"),
        ("/acme/tool/x.git/y", "/acme/tool/x.git/y"),
        ("/acme.git/tool/info/refs", "/acme.git/tool/info/refs"),
        ("/acme/.git/x", "/acme/.git/x"),
    ],
)
def test_without_git(path: str, expected: str) -> None:
    """The suffix of the repository's name goes, and nothing else that looks like it."""
    assert without_git(path) == expected


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (b'{"operation": "download"}', "download"),
        (b'{"objects": [{"operation": "upload"}], "operation": "download"}', "download"),
        (b'{"operation": "upload"}', "upload"),
        (b'{"operation": "download", "operation": "upload"}', None),
        (b'{"operation": "download", "Operation": "upload"}', None),
        (b'{"operation": ["download"]}', None),
        (b"{}", None),
        (b"[]", None),
        (b'["download"]', None),
        (b"download", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_batch_operation(body: bytes, operation: str | None) -> None:
    """It is told where no two readers could read it in two ways."""
    assert batch_operation(body) == operation


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/acme/tool", "/acme/tool/info/refs"),
        ("/acme/tool.git", "/acme/tool.git/info/refs"),
        ("/acme/tool/", "/acme/tool/info/refs"),
        ("/acme/tool.git/info/refs", "/acme/tool.git/info/refs"),
        ("/acme", None),
        ("/acme/tool/issues", None),
    ],
)
def test_clone_target(path: str, asked: str | None) -> None:
    """The address of a repository stands for what git asks for first."""
    assert sources.clone_target(path) == (asked and f"{asked}?service=git-upload-pack")
