"""The audit file, as those read it who get it: each line is held against the JSON Schema that `check` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema

from gatepass.telemetry import lines
from harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALIDATOR = jsonschema.Draft202012Validator(lines.schema())

type Told = dict[str, Any]


def parsed(text: str) -> list[Told]:
    """All lines of a text, each of them whole and as the schema has it."""
    assert not text or text.endswith("\n"), text[-200:]
    found = []
    for line in text.splitlines():
        told = json.loads(line)
        VALIDATOR.validate(told)
        assert "?" not in told["url"].get("path", "")
        found.append(told)
    return found


def read(path: Path) -> list[Told]:
    return parsed(path.read_text())


def awaited(path: Path, is_it: Callable[[Told], bool]) -> Told:
    """The one line of which that is so, as soon as it has been written."""
    (found,) = eventually(lambda: [told for told in read(path) if is_it(told)])
    return found


def of(path: str) -> Callable[[Told], bool]:
    """Whether a line is of a request for that path."""
    return lambda told: told["url"].get("path") == path
