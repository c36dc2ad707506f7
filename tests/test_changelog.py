"""The changelog: in the form of Keep a Changelog 1.1, for people and for the tools that read it."""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

import pytest

from harness import ROOT
from pages import PAGES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = PAGES["CHANGELOG.md"]
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
"""The kinds of changes, in the order in which Keep a Changelog 1.1 tells them."""


class Version(NamedTuple):
    """A version of the changelog, with its kinds of changes: of each, what is told."""

    name: str
    date: str
    kinds: dict[str, str]


def versions(text: str) -> list[Version]:
    """What a changelog tells, each heading in its form.

    Raises:
        ValueError: one is not.
    """
    read = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, *kinds = re.split(r"^### ", part, flags=re.MULTILINE)
        found = re.fullmatch(r"\[(Unreleased)\]\s*|\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)( \[YANKED\])?\s*", heading)
        if not found:
            raise ValueError(
                f"expected `[Unreleased]` or `[1.2.3] - 2026-01-31`, and kinds of changes, got `{heading}`"
            )
        told = dict(kind.split("\n", 1) for kind in kinds)
        if len(told) < len(kinds) or [kind for kind in KINDS if kind in told] != list(told):
            raise ValueError(f"expected each once and in order of {', '.join(KINDS)}, got {', '.join(told)}")
        read.append(Version(found[1] or found[2], found[3] or "", told))
    return read


def test_the_changelog() -> None:
    """It is as Keep a Changelog has it: what is to come first, then versions, the newest first, and lists of changes.

    The project's version is the newest that is told, or the next.
    """
    assert CHANGELOG.startswith("# Changelog\n")
    assert "https://keepachangelog.com/en/1.1.0/" in CHANGELOG
    unreleased, *released = versions(CHANGELOG)
    assert (unreleased.name, unreleased.date) == ("Unreleased", "")
    numbers = [tuple(map(int, version.name.split("."))) for version in released]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [version.date for version in released] == sorted((version.date for version in released), reverse=True)
    project = tuple(map(int, PROJECT["project"]["version"].split(".")))
    assert project >= max(numbers, default=(0,))
    for version in (unreleased, *released):
        assert re.search(rf"^\[{re.escape(version.name)}\]: https://", CHANGELOG, re.MULTILINE), version.name
        for kind, text in version.kinds.items():
            assert text.strip().startswith("- "), f"{version.name}: {kind}"


@pytest.mark.parametrize(
    "text",
    [
        "## 0.1.0 (unreleased)\n\n- A change\n",
        "## [0.1.0]\n\n### Added\n\n- A change\n",
        "## [Unreleased]\n\n- A change of no kind\n",
        "## [Unreleased]\n\n### New\n\n- A change\n",
        "## [Unreleased]\n\n### Fixed\n\n- A change\n\n### Added\n\n- Another\n",
        "## [Unreleased]\n\n### Fixed\n\n- A change\n\n### Fixed\n\n- Another\n",
    ],
)
def test_what_is_no_changelog(text: str) -> None:
    """A heading in another form, and a kind that is missing, unknown, out of order or told twice are refused."""
    with pytest.raises(ValueError, match="expected"):
        versions(text)
