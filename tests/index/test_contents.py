"""What releases hold as an index, and what is left out, and why: nothing is guessed."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge.hosts import GITHUB
from gatepass.forge.urls import Repository
from gatepass.github.lists import Asset, Release
from gatepass.index.contents import File, Place, contents, part, settled

PLACE = Place(GITHUB, Repository("acme", "tool"))
OTHER = Place(GITHUB, Repository("acme", "other"))
THEN = datetime(2026, 1, 1, tzinfo=UTC)
WHEEL = "acme_tool-1.0-py3-none-any.whl"
_ids = count(1)


def asset(name: str = WHEEL, content: bytes | None = b"", at: datetime = THEN, **more: str) -> Asset:
    digest = None if content is None else f"sha256:{sha256(content).hexdigest()}"
    return Asset(next(_ids), name, 10, at, digest=digest, **more)


def release(
    tag: str = "v1.0",
    at: datetime | None = THEN,
    *,
    draft: bool = False,
    prerelease: bool = False,
    immutable: bool = False,
) -> Release:
    return Release(next(_ids), tag, (), draft, prerelease, immutable, at)


def files(*assets: Asset, of: Release | None = None, place: Place = PLACE) -> tuple[File, ...]:
    return part(place, of or release(), assets).files


def test_a_file() -> None:
    """A distribution is told with what the API tells of it."""
    (file,) = files(asset(content=b"x"))
    assert (file.project, file.version, file.kind, file.size) == ("acme-tool", "1.0", "wheel", 10)
    assert file.sha256 == sha256(b"x").hexdigest()
    assert (file.ref.repository, file.ref.tag, file.ref.name) == (PLACE.repository, "v1.0", WHEEL)


@pytest.mark.parametrize("later", ["asset", "release"])
def test_when_it_was_uploaded(later: str) -> None:
    """A file is there from when both it and its release are: immutable releases are uploaded as drafts."""
    end = THEN + timedelta(days=3)
    (file,) = files(asset(at=end if later == "asset" else THEN), of=release(at=THEN if later == "asset" else end))
    assert file.uploaded == end


@pytest.mark.parametrize(
    ("one", "of", "why"),
    [
        (asset("SHA256SUMS"), release(), "not-a-distribution"),
        (asset(), release(draft=True), "draft"),
        (asset(), release(at=None), "draft"),
        (asset(state="starter"), release(), "not-uploaded"),
        (asset("acme_tool-1.2.0.tar.gz"), release("v1!2.0"), "name-lost"),
        (asset("acme_tool-1.2.0.tar.gz", label="acme_tool-1!2.0.tar.gz"), release(), "name-lost"),
    ],
)
def test_what_is_left_out(one: Asset, of: Release, why: str) -> None:
    """What cannot be in any index is left out, with its reason."""
    found = part(PLACE, of, [one])
    assert found.files == ()
    (left,) = found.left_out
    assert (left.name, left.tag, left.why) == (one.name, of.tag_name, why)
    assert left.words


@pytest.mark.parametrize(
    ("one", "of", "why"),
    [
        (asset(), release(prerelease=True), "prerelease"),
        (asset(content=None), release(immutable=True), "no-digest"),
        (asset(), release(), "not-immutable"),
        (asset(), release(immutable=True), None),
    ],
)
def test_what_an_index_does_not_want(one: Asset, of: Release, why: str | None) -> None:
    """Pre-releases, files without a digest, and releases that can be changed are left out where that is wanted."""
    found = files(one, of=of)
    assert settled(found)[1] == ()
    chosen, left_out = settled(found, prereleases=False, need=lambda _: frozenset({"digest", "immutable"}))
    assert [left.why for left in left_out] == ([why] if why else [])
    assert len(chosen) == (0 if why else 1)


def test_a_digest_that_is_none() -> None:
    """Another hash than SHA-256, and what is no hash, is not told as one."""
    for text in ("sha512:" + "0" * 128, "sha256:xyz", "sha256:", ""):
        (file,) = files(Asset(1, WHEEL, 10, THEN, digest=text))
        assert file.sha256 is None
    (file,) = files(Asset(1, WHEEL, 10, THEN, digest="sha256:" + "A" * 64))
    assert file.sha256 == "a" * 64


def test_one_name_with_two_hashes() -> None:
    """A file name that two releases hold with different hashes is in neither: both are named."""
    first, second = files(asset(content=b"1")), files(asset(content=b"2"), of=release("v1.1"))
    chosen, left_out = settled([*first, *second])
    assert chosen == ()
    assert [(left.tag, left.why) for left in left_out] == [("v1.0", "ambiguous"), ("v1.1", "ambiguous")]
    assert "`v1.1`" in left_out[0].words
    assert "`v1.0`" in left_out[1].words


def test_one_name_with_one_hash() -> None:
    """The same file in two releases, or in two repositories, is there once: where it was first, whatever the order."""
    first = files(asset(content=b"1"))
    second = files(asset(content=b"1", at=THEN + timedelta(days=1)), of=release("v1.1"), place=OTHER)
    assert settled([*second, *first]) == settled([*first, *second]) == (first, ())


def test_one_name_without_a_hash() -> None:
    """Of two files without a hash nobody knows that they are one."""
    both = [*files(asset(content=None)), *files(asset(content=None), of=release("v1.1"))]
    assert [len(each) for each in settled(both)] == [0, 2]
    mixed = [*files(asset(content=None)), *files(asset(content=b"1"), of=release("v1.1"), place=OTHER)]
    chosen, left_out = settled(mixed)
    assert chosen == ()
    assert "github.com/acme/other" in left_out[0].words


def test_a_projects_files_are_found() -> None:
    """Files are found by project, and one by its release and name; a renamed project is known, though without files."""
    parts = [
        part(PLACE, release("v1"), [asset(), asset("b-1.tar.gz"), asset(f"{WHEEL}.metadata")]),
        part(PLACE, release("v1!2"), [asset("c-1.2.tar.gz")]),
    ]
    found = contents(parts)
    assert {project: len(each) for project, each in found.projects.items()} == {"acme-tool": 1, "b": 1, "c": 0}
    file = found.file("v1", WHEEL)
    assert file is not None
    assert file.name == WHEEL
    assert found.file("v2", WHEEL) is found.file("v1", "no.txt") is None
    assert found.sidecars == {("v1", f"{WHEEL}.metadata")}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a-1.tar.gz", "a-2.tar.gz", "a-1-py3-none-any.whl"]),
            st.sampled_from([b"x", b"y", None]),
            st.sampled_from(["v1", "v2", "v3"]),
        ),
        max_size=8,
    )
)
def test_nothing_is_guessed_and_nothing_forgotten(given_files: list[tuple[str, bytes | None, str]]) -> None:
    """Of each name there is one file, or all that have it are left out; and one is there only if all have its hash."""
    found = [file for name, content, tag in given_files for file in files(asset(name, content), of=release(tag))]
    chosen, left_out = settled(found)
    assert len({file.name for file in chosen}) == len(chosen)
    assert {file.name for file in found} == {file.name for file in chosen} | {left.name for left in left_out}
    for file in chosen:
        alike = [other for other in found if other.name == file.name]
        assert len(alike) == 1 or {other.sha256 for other in alike} == {file.sha256}
        assert file.name not in {left.name for left in left_out}
    for left in left_out:
        assert sum(other.name == left.name for other in found) == sum(other.name == left.name for other in left_out)


def test_a_large_repository_takes_little_memory() -> None:
    """Three thousand releases of ten files take some 600 bytes a file, their names and hashes included."""
    releases = [release(f"v{number}") for number in range(3000)]
    names = [f"project_{number}-1.{{}}-py3-none-any.whl" for number in range(10)]
    tracemalloc.start()
    try:
        parts = [
            part(PLACE, each, [asset(name.format(number), b"%d" % number) for name in names])
            for number, each in enumerate(releases)
        ]
        found = contents(parts)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 30_000
    assert size < 30_000 * 600
