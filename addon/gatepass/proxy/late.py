"""A library of mitmproxy's that takes long to import, and of which nothing is wanted by most: it comes when it is.

The start of every proxy would pay for it, and so would the first connection of every `gatepass run`. Knows its name,
and not what it does.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_LATE: Final = "ldap3"
"""For the option `proxyauth=ldap…` alone; it was measured at 25 of the 330 ms that all imports take."""


class _Finder:
    """Finds it as Python does, and has it run when it is used (`importlib`, "Implementing lazy imports")."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _LATE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def postpone() -> None:
    """To be called before mitmproxy is imported; after that it does nothing."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
