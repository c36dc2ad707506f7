"""The pages of an index: by the letter of the PEPs, and as the tools read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from packaging.version import Version
from pypi_simple import IndexPage, ProjectPage

from gatepass.index import pages
from gatepass.index.negotiation import HTML, HTML_V1, JSON
from gatepass.index.pages import Link

HASH: Final = "0123456789abcdef" * 4
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = "https://gatepass.internal/acme/simple/acme-tool/"

_META: Final = {
    "type": "object",
    "required": ["api-version"],
    "properties": {"api-version": {"const": "1.1"}},
    "additionalProperties": False,
}
_NORMAL: Final = {"type": "string", "pattern": "^([a-z0-9]|[a-z0-9]([a-z0-9-](?!--))*[a-z0-9])$"}
ROOT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["meta", "projects"],
    "properties": {
        "meta": _META,
        "projects": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _NORMAL},
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""PEP 691, "Project List"."""
_SHA256: Final = {"type": "object", "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}}
PROJECT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["meta", "name", "files", "versions"],
    "properties": {
        "meta": _META,
        "name": _NORMAL,
        "versions": {"type": "array", "uniqueItems": True, "items": {"type": "string", "minLength": 1}},
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["filename", "url", "hashes", "size"],
                "properties": {
                    "filename": {"type": "string", "minLength": 1},
                    "url": {"type": "string", "minLength": 1, "not": {"pattern": "#"}},
                    "hashes": {**_SHA256, "additionalProperties": False},
                    "size": {"type": "integer", "minimum": 0},
                    "upload-time": {
                        "type": "string",
                        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?Z$",
                    },
                    "requires-python": {"type": "string"},
                    "core-metadata": {
                        "oneOf": [{"type": "boolean"}, {**_SHA256, "minProperties": 1, "additionalProperties": False}]
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""PEP 691, "Project Detail", with what PEP 700 requires of version 1.1, and PEP 714's name of the metadata."""


def link(**changed: Any) -> Link:
    known: dict[str, Any] = {
        "name": "acme_tool-1.0-py3-none-any.whl",
        "url": "https://github.com/acme/tool/releases/download/v1.0/acme_tool-1.0-py3-none-any.whl",
        "version": "1.0",
        "size": 1234,
        "sha256": HASH,
        "uploaded": THEN,
        "has_metadata": True,
        "metadata_sha256": None,
        "requires_python": None,
    }
    return Link(**{**known, **changed})


def read(content: bytes, form: str) -> ProjectPage:
    """The page as pypi-simple reads it."""
    if form == JSON:
        document = json.loads(content)
        Draft202012Validator(PROJECT_SCHEMA).validate(document)
        return ProjectPage.from_json_data(document, base_url=BASE)
    return ProjectPage.from_html("acme-tool", content.decode(), base_url=BASE)


@pytest.mark.parametrize("form", [JSON, HTML_V1, HTML])
def test_a_project(form: str) -> None:
    """A page tells each file with its URL, hash, and what is known of its metadata; and JSON its size and time."""
    links = [
        link(metadata_sha256="f" * 64, requires_python=">=3.9,<4"),
        link(name="acme_tool-1.0.tar.gz", url="../../files/x/acme_tool-1.0.tar.gz", sha256=None, has_metadata=False),
    ]
    page = read(pages.project("acme-tool", links, form).content, form)
    wheel, sdist = page.packages
    assert page.project == "acme-tool"
    assert page.repository_version == "1.1"
    assert (wheel.filename, wheel.url) == (links[0].name, links[0].url)
    assert (wheel.digests, wheel.requires_python, wheel.has_metadata) == ({"sha256": HASH}, ">=3.9,<4", True)
    assert wheel.metadata_digests == {"sha256": "f" * 64}
    assert (wheel.project, wheel.version, wheel.package_type) == ("acme_tool", "1.0", "wheel")
    assert wheel.metadata_url == f"{links[0].url}.metadata"
    assert sdist.url == "https://gatepass.internal/acme/files/x/acme_tool-1.0.tar.gz"
    assert not sdist.digests
    assert not sdist.has_metadata
    assert wheel.is_yanked is False
    if form == JSON:
        assert (wheel.size, wheel.upload_time) == (1234, THEN)
        assert page.versions == ["1.0"]


@pytest.mark.parametrize("form", [JSON, HTML_V1, HTML])
def test_the_root(form: str) -> None:
    """The root lists all projects, sorted, each with a link to its page."""
    content = pages.root(["b", "acme-tool"], form).content
    if form == JSON:
        Draft202012Validator(ROOT_SCHEMA).validate(json.loads(content))
        page = IndexPage.from_json_data(json.loads(content))
    else:
        page = IndexPage.from_html(content.decode())
        assert b'<a href="acme-tool/">acme-tool</a>' in content
    assert page.projects == ["acme-tool", "b"]
    assert page.repository_version == "1.1"


def test_html_by_the_letter() -> None:
    """HTML5 with the version of PEP 629, the hash as PEP 503 has it, and the metadata by the name of PEP 714."""
    content = pages.project("acme-tool", [link()], HTML).content.decode()
    assert content.startswith("<!DOCTYPE html>\n")
    assert '<meta name="pypi:repository-version" content="1.1">' in content
    assert f"#sha256={HASH}" in content
    assert 'data-core-metadata="true"' in content


def test_upload_time_is_in_utc() -> None:
    """Times are told in UTC, whatever zone they came in (PEP 700)."""
    there = THEN.astimezone(timezone(timedelta(hours=2)))
    document = json.loads(pages.project("acme-tool", [link(uploaded=there)], JSON).content)
    assert document["files"][0]["upload-time"] == "2026-01-02T03:04:05.000000Z"


def test_the_validator() -> None:
    """A page's validator is strong: it is another one for every other byte."""
    plain = pages.project("acme-tool", [link()], JSON)
    assert plain.etag[0] == plain.etag[-1] == '"'
    assert pages.project("acme-tool", [link()], JSON) == plain
    others = [
        pages.project("acme-tool", [link()], HTML),
        pages.project("other", [link()], JSON),
        pages.project("acme-tool", [], JSON),
        pages.project("acme-tool", [link(requires_python=">=3")], JSON),
    ]
    assert len({plain.etag, *(page.etag for page in others)}) == 5


def test_the_version_of_a_page() -> None:
    """The version of a page is another one when its files are, and not by what is learnt of the same files."""
    plain = pages.version([link()])
    assert pages.version([link(metadata_sha256=HASH, requires_python=">=3")]) == plain
    changes: list[dict[str, Any]] = [
        {"sha256": None},
        {"size": 1},
        {"url": "x"},
        {"uploaded": THEN + timedelta(seconds=1)},
        {"has_metadata": False},
    ]
    others = [pages.version([link(**changed)]) for changed in changes]
    assert len({plain, pages.version([]), pages.version([link(), link()]), *others}) == len(others) + 3


@given(
    st.lists(
        st.builds(
            link,
            name=st.from_regex(r"[A-Za-z0-9_.+<>&\"'é-]{1,20}\.tar\.gz", fullmatch=True),
            url=st.from_regex(r"https://github\.com/[A-Za-z0-9_.+~&'%-]{1,20}/x\.tar\.gz", fullmatch=True),
            requires_python=st.none() | st.just(">=3,<4"),
            sha256=st.none() | st.just(HASH),
            has_metadata=st.booleans(),
        ),
        max_size=5,
    ),
    st.sampled_from([JSON, HTML]),
)
def test_any_name(links: list[Link], form: str) -> None:
    """Whatever signs are in a name or an address, what is read is what was told."""
    page = read(pages.project("acme-tool", links, form).content, form)
    told = [(each.filename, each.url, each.requires_python, bool(each.has_metadata)) for each in page.packages]
    assert told == [(each.name, each.url, each.requires_python, each.has_metadata) for each in links]


def test_versions_are_those_of_the_files() -> None:
    """Each version is told once, and is one that `packaging` reads (PEP 700)."""
    links = [link(version=version) for version in ("1.0", "1.0", "2.0rc1", "1!3.0+local")]
    document = json.loads(pages.project("acme-tool", links, JSON).content)
    assert document["versions"] == ["1.0", "2.0rc1", "1!3.0+local"]
    assert all(str(Version(version)) == version for version in document["versions"])
