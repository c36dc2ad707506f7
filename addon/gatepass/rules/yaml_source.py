"""YAML text to plain data, and where in the text each part of it stands.

A strict reading of a small part of YAML: one document, text keys, the scalars of YAML's core schema (so `on` and
dates stay text), no tags, anchors, aliases or merge keys, and nothing that looks like a secret. It works on the
parser's events: nothing is built that the text does not spell out, so no alias can blow up, and nesting is counted
before it is followed.

Knows nothing about rules, and does no I/O.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import yaml

from gatepass.errors import GatepassError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_SIZE: Final = 2**20
"""The longest text that is read, in characters."""

MAX_DEPTH: Final = 16
"""How many lists and mappings may lie in each other."""

type Path = tuple[str | int, ...]
"""The keys and indices that lead from the top of the document to a value."""

type Data = bool | int | float | str | list[Data] | dict[str, Data] | None

# The core schema, https://yaml.org/spec/1.2.2/#1032-tag-resolution; what is too long for a number here stays text.
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)

_LONGEST_SHOWN: Final = 80
_HIDDEN: Final = "a text that is not shown"
_HIDDEN_HINT: Final = "a secret does not belong in this file: name the variable that holds it, as in `env:GH_TOKEN`"
_SECRET: Final = re.compile(r"gh[pousr]_|github_pat_|glpat-|//[^/]*@|[^\s/:]:[^\s/@]+@", re.IGNORECASE)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """One thing that is wrong in a rules file; `line` and `column` count from 1, `path` reads like `rules[0].match`."""

    line: int
    column: int
    path: str
    expected: str
    got: str
    hint: str | None = None

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{self.line}:{self.column}:{path} expected {self.expected}, got {self.got}{hint}"


class RulesError(GatepassError):
    """All that is wrong in a rules file, in the order of its lines. Holds nothing that looks like a secret."""

    def __init__(self, source: str, problems: Iterable[RuleProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(f"{source}:{problem}" for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says, and where: `places` holds line and column of every key and every list item."""

    data: Data
    places: Mapping[Path, tuple[int, int]]

    def problem(self, path: Path, expected: str, got: str, hint: str | None = None) -> RuleProblem:
        """Place what is wrong at `path`; a key that is missing is placed where it should have stood."""
        known = path
        while known not in self.places:
            known = known[:-1]
        return RuleProblem(*self.places[known], show_path(path), expected, got, hint)

    def wrong(
        self, path: Path, expected: str, value: Data, hint: str | None = None, *, is_secret: bool = False
    ) -> RuleProblem:
        """Place the problem that `value` was got; what may be a secret is not shown, and the hint says why."""
        shown = _HIDDEN if is_secret else show(value)
        return self.problem(path, expected, shown, _HIDDEN_HINT if shown == _HIDDEN else hint)


def show(value: Data) -> str:
    """Name a value in an error: on one line, short, and never a secret."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value}`"
        case str():
            hidden = len(value) > _LONGEST_SHOWN or _SECRET.search(value)
            return _HIDDEN if hidden else f"`{printable(value, '\N{REPLACEMENT CHARACTER}')}`"


def show_path(path: Path) -> str:
    """Write a path the way people do: `rules[0].match`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_show_key(step)}" for step in path if step != "")
    return "".join(steps).removeprefix(".")


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The hint that names the known word which was probably meant."""
    found = difflib.get_close_matches(text, known, n=1)
    return f"did you mean `{found[0]}`?" if found else None


def read(text: str, source: str) -> Document:
    """Read the one YAML document in `text`; a text without any says null.

    Raises:
        RulesError: it is not YAML, or uses what is refused here.
    """
    if len(text) > MAX_SIZE:
        raise RulesError(source, [RuleProblem(1, 1, "", f"at most {MAX_SIZE} characters", f"{len(text)}")])
    problems: list[RuleProblem] = []
    document = None
    try:
        document = _Reader(text, problems).document()
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        problems.append(RuleProblem(line, column, "", "text", "a control character"))
    except yaml.MarkedYAMLError as error:
        what = error.problem or "it cannot be parsed"
        hint = None if _SECRET.search(what) else what
        problems.append(RuleProblem(*_position(error.problem_mark), "", "YAML", "something else", hint))
    except _TooDeepError:
        pass
    except (ValueError, OverflowError):
        # PyYAML passes escapes such as "\UFFFFFFFF" to chr() and long version numbers to int() unchecked.
        problems.append(RuleProblem(1, 1, "", "YAML", "an escape or a number out of range"))
    if problems or document is None:
        raise RulesError(source, problems)
    return document


class _Mark(Protocol):
    """A position of PyYAML's, counted from 0; its two parsers have a type each."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _TooDeepError(Exception):
    """Nesting that is not followed further; the problem has been noted."""


class _Reader:
    """Builds a document from the parser's events, and notes all that it refuses on the way."""

    def __init__(self, text: str, problems: list[RuleProblem]) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, yaml.SafeLoader)
        self._problems = problems
        self._places: dict[Path, tuple[int, int]] = {(): (1, 1)}

    def document(self) -> Document:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Document(None, self._places)
        data = self._node(next(self._events), ())
        next(self._events)  # the document's end
        if not isinstance(end := next(self._events), yaml.StreamEndEvent):
            self._refuse(end, (), "one document", "a second one")
        return Document(data, self._places)

    def _node(self, event: yaml.Event, path: Path) -> Data:
        self._places.setdefault(path, _position(event.start_mark))
        if len(path) > MAX_DEPTH:
            self._refuse(event, (), f"at most {MAX_DEPTH} levels of nesting", "more")
            raise _TooDeepError
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.anchor is not None:
                self._refuse(event, path, "a value without anchor", "an anchor", "write the value out where it is used")
            if event.tag is not None:
                self._refuse(event, path, "a value without tag", "a tag", "to make a value text, put it in quotes")
        match event:
            case yaml.SequenceStartEvent():
                return self._list(path)
            case yaml.MappingStartEvent():
                return self._mapping(path)
            case yaml.ScalarEvent():
                return self._scalar(event, path)
            case _:
                self._refuse(event, path, "a value", "an alias", "write the value out")
                return None

    def _list(self, path: Path) -> list[Data]:
        items: list[Data] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Data]:
        mapping: dict[str, Data] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            # A key has no path of its own yet; the empty one keeps nesting counted, as a key may be a whole tree.
            key = self._node(event, (*path, ""))
            del self._places[(*path, "")]
            if not isinstance(key, str):
                self._refuse(event, path, "text as a key", show(key), "put the key in quotes")
                key = ""
            elif key == "<<":
                self._refuse(event, path, "a key", "a merge key", "write the keys out")
            elif key in mapping:
                self._refuse(event, (*path, key), "each key once", "the key a second time")
            self._places.setdefault((*path, key), _position(event.start_mark))
            mapping[key] = self._node(next(self._events), (*path, key))
        return mapping

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Data:
        text: str = event.value
        if _SECRET.search(text):
            self._refuse(event, path, "a file without secrets", _HIDDEN, _HIDDEN_HINT)
        if not text.isprintable():
            self._refuse(event, path, "printable text on one line", show(text))
        return _resolve(text) if event.style is None else text

    def _refuse(self, event: yaml.Event, path: Path, expected: str, got: str, hint: str | None = None) -> None:
        self._problems.append(RuleProblem(*_position(event.start_mark), show_path(path), expected, got, hint))


def _resolve(text: str) -> Data:
    """What a plain scalar means."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _position(mark: _Mark | None) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _show_key(key: str) -> str:
    shown = show(key)
    return key if shown != _HIDDEN and _PLAIN_KEY.fullmatch(key) else shown
