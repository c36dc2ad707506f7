"""The documents that people read: what tests ask of them. Knows where they are, and not whether they are true."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_BESIDE_IT: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

PAGES: Final = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in _BESIDE_IT))
    if path.is_file()
}
"""The text of each, by its path in the repository; the README is the first."""

README: Final = PAGES["README.md"]
TEXT: Final = "\n".join(PAGES.values())
"""All of them."""

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"(`+)(.+?)\1", re.DOTALL)


class Block(NamedTuple):
    """A block of code, and the page that shows it."""

    page: str
    text: str


def blocks(language: str) -> Iterator[Block]:
    """The blocks of code in a language, of all pages."""
    for page, text in PAGES.items():
        yield from (Block(page, found[2]) for found in _BLOCK.finditer(text) if found[1] == language)


def block(language: str, part: str) -> str:
    """The one block of code that holds `part`."""
    (found,) = (each.text for each in blocks(language) if part in each.text)
    return found


def first_commands() -> tuple[str, str]:
    """The two commands with which the README begins: the demo, and the tests."""
    first, second = (each.text.strip() for each in list(blocks("sh"))[:2])
    return first, second


def section(title: str) -> str:
    """What is said under the one heading of that name, of the second level."""
    parts = (part for text in PAGES.values() for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    (found,) = (part for part in parts if part.partition("\n")[0] == title)
    return found


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return _BLOCK.sub("", text)


def links(text: str) -> Iterator[str]:
    """Where the links and the pictures of a page lead."""
    plain = _SPAN.sub("", prose(text))
    yield from re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", plain)
    yield from re.findall(r"^\[[^\]]+\]:\s+(\S+)", plain, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What a link can name of a page: its headings, as GitHub writes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)", prose(text), re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", re.sub(r"\]\(\S*\)", "", heading).lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {f"{anchor}-{number}" if number else anchor for anchor, most in found.items() for number in range(most + 1)}


def code(text: str) -> Iterator[str]:
    """All that a page shows as code: each line of a block, and each span, on one line."""
    for found in _BLOCK.finditer(text):
        yield from found[2].splitlines()
    yield from spans(text)


def spans(text: str) -> Iterator[str]:
    """The code within a page's lines."""
    yield from (" ".join(found[2].split()) for found in _SPAN.finditer(prose(text)))
