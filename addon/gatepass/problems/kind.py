"""A kind of problem: its texts, with places for facts; and how the facts get into them. Knows none of the problems.

A place is `{fact}` or `{fact.attribute}`, perhaps with a format: Python's, or `span` for seconds; of a list the names
are told in backticks. Of alternatives the first is taken whose facts are all known, that is, neither None nor empty:
whole texts stand in a tuple, parts of one in brackets, as in `[release {tag}|a latest release]`; brackets around one
part leave it out where it is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Formatter
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from gatepass.errors import printable
from gatepass.problems.problem import Problem, span
from gatepass.redaction import cleared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef, GitRef
    from gatepass.forge.urls import Repository
    from gatepass.secret import Secret
    from gatepass.sources import GitHubApp, Source

type Text = str | tuple[str, ...]

_CHOICE: Final = re.compile(r"\[([^\]]*)\]")


class Facts(TypedDict, total=False):
    """All that texts may name: a fact has one name and one type wherever it is used."""

    app: GitHubApp
    candidates: Sequence[str]
    client: str | None
    error: str
    expired: datetime
    forge: Forge
    hint: str | None
    host: Host
    issuer: str | None
    known: Sequence[str]
    message: str
    mode: int
    more: int
    name: str
    names: Sequence[str]
    page: str
    path: Path
    place: str
    proxy: Host
    ref: DownloadRef | GitRef
    remedies: str
    remedy: str
    renamed: Repository | None
    repository: Repository | None
    retry_after: int
    rule: str
    seconds: float
    secret: Secret
    source: Source
    state: str
    status: int
    tag: str
    tried: str
    trust: str
    uploaded: str | None
    url: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Kind:
    """An entry of the catalogue. `remedies` are what `{remedy}` or `{remedies}` in the hint may be, by what decides."""

    name: str
    status: int
    title: str
    detail: Text
    hint: Text
    remedies: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, **facts: Unpack[Facts]) -> Problem:
        """The problem, from all facts that the texts name, and no others (tests/test_problems.py)."""
        title, detail, hint = (fill(text, facts) for text in (self.title, self.detail, self.hint))
        return Problem(self.name, self.status, title, detail, hint, facts.get("retry_after"))

    def remedy(self, decisive: str, **facts: Unpack[Facts]) -> str:
        """The remedy for that case, or the one under no name, for all others."""
        return fill(self.remedies.get(decisive) or self.remedies[""], facts)


def fill(text: Text, facts: Mapping[str, object]) -> str:
    """The text with the facts in it."""
    chosen = text if isinstance(text, str) else _chosen(text, facts)
    whole = _CHOICE.sub(lambda choice: _chosen([*choice[1].split("|"), ""], facts), chosen)
    return _FORMATTER.vformat(whole, (), facts)


def _chosen(alternatives: Sequence[str], facts: Mapping[str, object]) -> str:
    """The first that needs nothing unknown, whatever it leaves out; else the last."""
    for text in alternatives:
        names = (name for _, name, _, _ in _FORMATTER.parse(_CHOICE.sub("", text)) if name)
        if all(_FORMATTER.get_field(name, (), facts)[0] for name in names):
            return text
    return alternatives[-1]


class _Formatter(Formatter):
    """Puts facts into texts: whatever is foreign in a problem comes through here, and nowhere else."""

    def format_field(self, value: object, format_spec: str) -> str:
        match value, format_spec:
            case list() | tuple(), _:
                return ", ".join(f"`{_shown(name)}`" for name in value if name.isprintable())
            case int(), "span":
                return span(value)
        return _shown(format(value, format_spec))


def _shown(text: str) -> str:
    return printable(cleared(text))


_FORMATTER: Final = _Formatter()
