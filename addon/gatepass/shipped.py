"""Files that come with Gatepass: a wheel holds them inside the package, the source tree outside of it (pyproject.toml).

Knows where they are, and nothing of what they say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def script() -> Path:
    """The file for `mitmdump -s`."""
    return _find("script/inject.py", _PACKAGE.parent / "inject.py")


def rules() -> Path:
    """The built-in rules."""
    return _find("rules.yaml", _PACKAGE.parent.parent / "rules.yaml")


def _find(name: str, in_source_tree: Path) -> Path:
    packaged = _PACKAGE / name
    return packaged if packaged.exists() else in_source_tree
