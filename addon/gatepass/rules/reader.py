"""What reads a rules file's entries: each in its type, and what is wrong with it noted at its place.

Knows shapes, and the meaning of none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gatepass.rules.shape import faults
from gatepass.rules.values import UnfitError
from gatepass.rules.yaml_source import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gatepass.rules.yaml_source import Data, Path


class Reader:
    """A text, and the `problems` that were found in it so far."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.document = read(text, source)
        data = self.document.data
        self.data = data if isinstance(data, dict) else {}
        found = list(faults(self.document))
        self.misshapen = [fault.path for fault in found if fault.is_of_shape]
        self.problems = [fault.problem for fault in found]

    def entries(self, key: str) -> list[tuple[Path, Data]]:
        match self.data.get(key):
            case list() as items:
                return [((key, index), item) for index, item in enumerate(items)]
            case dict() as entries:
                return [((key, name), entry) for name, entry in entries.items()]
            case _:
                return []

    def decode[T](self, kind: type[T], path: Path, value: Data) -> T | None:
        """An entry in its type, unless something is wrong with the shape of it, or of what it lies in."""
        if any(path[: len(fault)] == fault[: len(path)] for fault in self.misshapen):
            return None
        return msgspec.convert(value, kind, strict=True)

    def wrong(self, path: Path, expected: str, value: Data, hint: str | None = None) -> None:
        self.problems.append(self.document.wrong(path, expected, value, hint))

    def report(self, path: Path, expected: str, got: str, hint: str | None = None) -> None:
        """`wrong`, where what was got is no value of the file."""
        self.problems.append(self.document.problem(path, expected, got, hint))

    def place(self, path: Path) -> str:
        """Where a value stands, as errors begin."""
        problem = self.document.problem(path, "", "")
        return f"{self.source}:{problem.line}:{problem.column}: {problem.path}"


def value_of[T](reader: Callable[[str], T], text: str) -> T | None:
    """What a text says; None when it is not fit, which `faults` has told of."""
    try:
        return reader(text)
    except UnfitError:
        return None


def values_of[T](reader: Callable[[str], T], texts: Iterable[str]) -> list[T] | None:
    """The same for all of them, or for none."""
    found = [value_of(reader, text) for text in texts]
    fit = [value for value in found if value is not None]
    return fit if len(fit) == len(found) else None
