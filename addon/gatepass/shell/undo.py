"""Setting variables so that it can be undone: what was there before is remembered in a variable of its own.

Pure: environments in, changes out. A change is a new value, or None for a variable that is to go.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Mapping

type Changes = dict[str, str | None]

MEMORY: Final = "GATEPASS_BEFORE"
"""JSON: each variable that was set, and what it was before, null for nothing. Its presence says that they are set."""


def undo(environ: Mapping[str, str]) -> Changes:
    """What brings `environ` back to what it was; nothing, where nothing was set.

    Raises:
        GatepassError: what is remembered cannot be read.
    """
    if not (text := environ.get(MEMORY)):
        return {}
    try:
        # the json of the standard library, because it also carries bytes that are no UTF-8 (PEP 383)
        return {**msgspec.convert(json.loads(text), dict[str, str | None]), MEMORY: None}
    except ValueError:  # of both libraries
        raise GatepassError(
            f"{MEMORY}: expected JSON that `gatepass env` wrote, got something else",
            f"unset {MEMORY}; what the variables were before is lost",
        ) from None


def before(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` as it was before anything was set."""
    changed = {**environ, **undo(environ)}
    return {name: value for name, value in changed.items() if value is not None}


def remember(variables: Mapping[str, str], environ: Mapping[str, str]) -> Changes:
    """What sets `variables` in `environ`, and remembers how to undo it. Doing it twice is doing it once."""
    was = before(environ)
    memory = {name: was.get(name) for name in variables}
    return {**undo(environ), **variables, MEMORY: json.dumps(memory, separators=(",", ":"))}
