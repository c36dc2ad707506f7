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


HERE = "https://gatepass.internal/acme/simple/"
THERE = "https://pypi.example.com/simple"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pyproject.toml", f"{INDEX}default = true", ["takes the place of the public index"]),
        ("pyproject.toml", f'tool.uv.index-url = "{HERE}"', ["`index-url` is https://gatepass.internal/acme/simple/"]),
        ("pyproject.toml", f'tool.uv.extra-index-url = ["{THERE}", "{HERE}"]', ["before all others"]),
        ("pyproject.toml", f'[[tool.poetry.source]]\nname = "a"\nurl = "{HERE}"', ["`a` is not explicit: poetry"]),
        ("pyproject.toml", f'[[tool.poetry.source]]\nurl = "{HERE}"\npriority = "explicit"', []),
        ("pyproject.toml", f'[[tool.pdm.source]]\nname = "a"\nurl = "{HERE}"', ["`a` is not explicit: pdm"]),
        ("pyproject.toml", f'[[tool.pdm.source]]\nurl = "{HERE}"\ninclude_packages = ["a"]', []),
        ("pyproject.toml", "tool.poetry.source = [1]\ntool.pdm = 1\ntool.uv.index-url = 1", []),
        (
            "requirements.txt",
            f"--extra-index-url {HERE}\na==1",
            ["`--extra-index-url` names https://gatepass.internal"],
        ),
        ("requirements.txt", f"-i {HERE}\n--extra-index-url={THERE}", ["whichever of its indexes has the newest"]),
        ("requirements.txt", f"--index-url={THERE}", []),
    ],
)
def test_other_settings(tmp_path: Path, name: str, text: str, said: list[str]) -> None:
    """Each way in which a file has a client ask an index here for everything is warned of; what is explicit is not."""
    (tmp_path / name).write_text(text)
    found = list(loose(tmp_path, None, {}, tmp_path / name))
    assert [step.state for step in found] == ["warn"] * len(said)
    for step, part in zip(found, said, strict=True):
        assert part in step.finding
        assert step.hint


def test_an_index_alone(tmp_path: Path) -> None:
    """pip with an index here and no other mixes nothing: that is told, and is no warning."""
    (tmp_path / "requirements.txt").write_text(f"--index-url {HERE}\n")
    (step,) = loose(tmp_path, None, {}, tmp_path / "requirements.txt")
    assert (step.state, step.finding.endswith("which is all that pip has")) == ("ok", True)


def test_pips_own_file(tmp_path: Path) -> None:
    """pip.conf counts, with its values on several lines; one that cannot be read is pip's to tell."""
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nextra-index-url =\n    {THERE}\n    {HERE}\n[install]\nindex_url = {HERE}\n")
    environ = {"PIP_CONFIG_FILE": str(file)}
    found = list(loose(tmp_path, None, environ))
    assert [step.state for step in found] == ["warn", "warn"]
    assert all(step.finding.startswith(f"{file} names {HERE}") for step in found)
    file.write_text("[global\nindex-url")
    assert list(loose(tmp_path, None, environ)) == []
