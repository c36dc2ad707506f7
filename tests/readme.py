"""What the README shows, for the tests that run it."""

from __future__ import annotations

import re
from typing import Final

from harness import ROOT

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, part: str) -> str:
    """The README's code block that holds `part`."""
    found = re.finditer(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return next(match[1] for match in found if part in match[1])
