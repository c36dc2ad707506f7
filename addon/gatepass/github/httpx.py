"""httpx2, imported when something of it is first used: with the first request to a forge, and not at each start.

It and httpcore2 were measured at 21 ms, for which the first connection of a `gatepass run` would wait. Whoever needs
its classes to make others of them imports itself, late (`dialling`).
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("httpx2"), name)
