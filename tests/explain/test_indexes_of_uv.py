"""The indexes of a project's uv: one that leads here, and is asked for everything, is warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatepass.explain.indexes import loose

if TYPE_CHECKING:
    from pathlib import Path

INDEX = """\
[[tool.uv.index]]
name = "acme"
url = "https://gatepass.internal/github.com/acme/widget/simple/"
"""


@pytest.mark.parametrize(
    ("text", "is_warned"),
    [
        (INDEX, True),
        (f"{INDEX}explicit = false", True),
        (f"{INDEX}explicit = true", False),
        (INDEX.replace("gatepass.internal", "packages.example.com"), False),
        (INDEX.replace("gatepass.internal", "[::1"), False),
        (INDEX.replace("url", "uri"), False),
        ("[tool.uv]\nindex = 1", False),
        ("tool = 1", False),
        ("[tool.uv", False),
        ("", False),
    ],
)
def test_an_index_that_is_not_explicit(tmp_path: Path, text: str, is_warned: bool) -> None:
    """An index here without `explicit = true` is warned of; nothing else is, whatever is in the file."""
    (tmp_path / "pyproject.toml").write_text(text)
    found = list(loose(tmp_path))
    assert [step.state for step in found] == ["warn"] * is_warned
    assert all("`acme` is not explicit" in step.finding and step.hint for step in found)


def test_uvs_own_file(tmp_path: Path) -> None:
    """uv.toml has the same settings at its top."""
    (tmp_path / "uv.toml").write_text(INDEX.replace("tool.uv.", ""))
    (step,) = loose(tmp_path)
    assert step.finding.startswith("uv.toml: ")


def test_no_file(tmp_path: Path) -> None:
    assert list(loose(tmp_path)) == []
