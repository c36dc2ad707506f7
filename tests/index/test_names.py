"""Which distribution a file is, by its name: as Python's installers read it, and whether GitHub has renamed it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import Version

from gatepass.index import names
from gatepass.index.names import Distribution
from gatepass.problems.choice import upload_name


@pytest.mark.parametrize(
    ("name", "project", "version", "kind"),
    [
        ("acme_tool-1.0-py3-none-any.whl", "acme-tool", "1.0", "wheel"),
        ("Acme.Tool-1.0.0rc1-1-cp313-cp313-manylinux_2_28_x86_64.whl", "acme-tool", "1.0.0rc1", "wheel"),
        ("acme_tool-1.0+cu121-py3-none-any.whl", "acme-tool", "1.0+cu121", "wheel"),
        ("acme_tool-1.0.tar.gz", "acme-tool", "1.0", "sdist"),
        ("acme-tool-1.0.tar.gz", "acme-tool", "1.0", "sdist"),
        ("acme_tool-1!2.0.tar.gz", "acme-tool", "1!2.0", "sdist"),
        ("acme_tool-01.0.tar.gz", "acme-tool", "1.0", "sdist"),
    ],
)
def test_a_distribution(name: str, project: str, version: str, kind: names.Kind) -> None:
    """A wheel and an sdist are known by their names; project and version are in their normal form."""
    assert names.parse(name) == Distribution(canonicalize_name(project), version, kind)


@pytest.mark.parametrize(
    "name",
    [
        "SHA256SUMS",
        "acme_tool-1.0-py3-none-any.whl.metadata",
        "acme_tool-1.0-py3-none-any.whl.asc",
        "acme_tool-1.0.zip",
        "acme_tool-1.0.tar.bz2",
        "acme_tool-1.0-py3.8.egg",
        "tool-linux-amd64.tar.gz",
        "tool-1.0-linux.tar.gz",
        "acme_tool-latest-py3-none-any.whl",
        "acme_tool-1.0-any.whl",
        "tool.tar.gz",
        "-1.0.tar.gz",
        "_-1.0.tar.gz",
        "näme-1.0.tar.gz",
        "näme-1.0-py3-none-any.whl",
        "acme_tool-1.0\n-py3-none-any.whl",
        "acme_tool-1.0 .tar.gz",
        "acme_tool-1.0-py3-none-a/../b.whl",
        "acme_tool-1.0-py3-none-\x1b[31m.whl",
        'acme_tool-1.0-py3-none-"><script>.whl',
        f"a-{'1' * 5000}.tar.gz",
        f"a-{'1' * 120}.tar.gz",
        "",
    ],
)
def test_no_distribution(name: str) -> None:
    """What is neither a wheel nor an sdist by its name is none, however near it comes."""
    assert names.parse(name) is None


@given(st.text("aA1._-!+ ~é/", max_size=40), st.sampled_from([".tar.gz", "-py3-none-any.whl", ".whl", ""]))
def test_any_name(stem: str, end: str) -> None:
    """Any name is read or is none; what is read is normal, and reads the same again."""
    found = names.parse(stem + end)
    if found is not None:
        assert is_normalized_name(found.project)
        assert str(Version(found.version)) == found.version
        assert names.parse(f"{found.project.replace('-', '_')}-{found.version}.tar.gz") is not None


@given(st.text(max_size=30))
def test_a_normal_name(name: str) -> None:
    """The normal form of a name is that of PEP 503, and is its own; what PEP 508 calls no name has none."""
    found = names.normal(name)
    if found is not None:
        assert found == canonicalize_name(name)
        assert is_normalized_name(found)
        assert names.normal(found) == found
    else:
        assert not is_normalized_name(name)


@pytest.mark.parametrize(
    ("name", "tag", "label", "was"),
    [
        ("acme_tool-1.2.0-py3-none-any.whl", "v1!2.0", None, "1!2.0"),
        ("acme_tool-1.2.0-py3-none-any.whl", "1!2.0", "", "1!2.0"),
        ("acme_tool-1.2.0.tar.gz", "acme-tool/v1!2.0", None, "1!2.0"),
        ("acme_tool-1.2.0.tar.gz", "v1.2.0", "acme_tool-1!2.0.tar.gz", "1!2.0"),
        ("acme_tool-1.2.0.tar.gz", "v1.2.0", None, None),
        ("acme_tool-1.2.0.tar.gz", "v2!1.0", None, None),
        ("acme_tool-1.2.0.tar.gz", "v0!1.2.0", None, None),
        ("acme_tool-1.2.0.tar.gz", "v1.2.0", "The source", None),
        ("acme_tool-1.2.0.tar.gz", "v1.2.0", "acme_tool-1.2.0.tar.gz", None),
        ("acme_tool-1.2.0.tar.gz", "v1.2.0", "acme tool-1.2.0.tar.gz", None),
        ("acme_tool-1.2.0.tar.gz", "v1!" + "9" * 5000, None, None),
    ],
)
def test_what_a_renamed_file_was(name: str, tag: str, label: str | None, was: str | None) -> None:
    """An epoch of which GitHub made a dot is remembered by the label or the tag; what is no contradiction is none."""
    distribution = names.parse(name)
    assert distribution is not None
    assert names.loss(name, distribution, tag, label) == was


@given(st.integers(1, 99), st.lists(st.integers(0, 99), min_size=1, max_size=4), st.sampled_from(["label", "tag"]))
def test_no_epoch_is_lost_unnoticed(epoch: int, numbers: list[int], where: str) -> None:
    """Whatever epoch a file had before GitHub renamed it: it is noticed, where a label or a tag remembers it."""
    version = f"{epoch}!{'.'.join(map(str, numbers))}"
    original = f"acme_tool-{version}-py3-none-any.whl"
    uploaded = upload_name(original)
    distribution = names.parse(uploaded)
    assert distribution is not None
    assert distribution.version != str(Version(version))
    tag, label = (f"v{version}", "") if where == "tag" else ("release", original)
    assert names.loss(uploaded, distribution, tag, label) == str(Version(version))


@pytest.mark.parametrize(
    ("name", "wheel"),
    [
        ("a-1-py3-none-any.whl.metadata", "a-1-py3-none-any.whl"),
        ("a-1-py3-none-any.whl", None),
        ("a-1.tar.gz.metadata", None),
        (".metadata", None),
    ],
)
def test_the_name_of_metadata(name: str, wheel: str | None) -> None:
    """A wheel's metadata goes by its name and `.metadata`; an sdist has none."""
    assert names.wheel_of(name) == wheel
