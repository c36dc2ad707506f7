"""The shape of rules.yaml: which keys there are, which must be given, and of what type each is.

The types are the file's and nobody else's; `gatepass.rules` gives them their meaning. They are also what a schema can
be generated from. `faults` finds all that is wrong with a document's shape, where a decoder stops at the first thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from gatepass.yaml_source import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.yaml_source import Data, Document, Path, RuleProblem


class ForgeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GitHub besides github.com."""

    web: str
    api: str


class CredentialEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret comes from, and which hosts it may serve."""

    sources: Annotated[list[str], Meta(min_length=1)] = msgspec.field(name="from")
    hosts: Annotated[list[str], Meta(min_length=1)]


class CacheEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is remembered, in entries of each kind, and for how many seconds."""

    entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    latest: Annotated[int, Meta(ge=0, le=86_400)] = 60
    """For so long the latest release is what it was."""
    tags: Annotated[int, Meta(ge=0, le=86_400)] = 300
    """For so long the release of a tag is what it was."""
    missing: Annotated[int, Meta(ge=0, le=86_400)] = 10
    """For so long what could not be had is not asked for again."""
    visibility: Annotated[int, Meta(ge=0, le=86_400)] = 600
    """For so long a repository is as public or private as it was."""


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with the requests that match."""

    match: str
    credential: str
    name: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    resolve: Literal["github-release"] | UnsetType = UNSET
    headers: Annotated[dict[str, str], Meta(min_length=1)] | UnsetType = UNSET
    when: Literal["always", "not-found"] | UnsetType = UNSET


class RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    credentials: Annotated[dict[str, CredentialEntry], Meta(min_length=1)]
    rules: Annotated[list[RuleEntry], Meta(min_length=1)]
    forges: list[ForgeEntry] = []
    cache: CacheEntry = CacheEntry()


def faults(document: Document) -> Iterator[tuple[Path, RuleProblem]]:
    """Find all that keeps a document from being a `RulesFile`, each with its path."""
    return _faults(document, inspect.type_info(RulesFile), document.data, ())


def _faults(document: Document, kind: inspect.Type, value: Data, path: Path) -> Iterator[tuple[Path, RuleProblem]]:
    match kind, value:
        case (inspect.DictType(min_length=least), dict()) | (inspect.ListType(min_length=least), list()) if (
            least and not value
        ):
            yield path, document.problem(path, "at least one entry", "none")
        case inspect.StructType(), dict():
            yield from _struct_faults(document, kind, value, path)
        case inspect.DictType(), dict():
            for key, item in value.items():
                yield from _faults(document, kind.value_type, item, (*path, key))
        case inspect.ListType(), list():
            for index, item in enumerate(value):
                yield from _faults(document, kind.item_type, item, (*path, index))
        case inspect.StrType(), str() if value or not kind.min_length:
            pass
        case inspect.IntType(ge=least, le=most), int() if not isinstance(value, bool):
            if not (least or 0) <= value <= (most or value):
                yield path, document.wrong(path, _expected(kind), value)
        case inspect.LiteralType(), _:
            # Types are compared too: `true` equals 1 to Python, and not to a reader of the file.
            if not any(value == known and type(value) is type(known) for known in kind.values):
                hint = None
                if isinstance(value, str):
                    texts = [str(known) for known in kind.values]
                    hint = "leave the quotes out" if value in texts else nearest(value, texts)
                yield path, document.wrong(path, _expected(kind), value, hint)
        case _:
            quotable = isinstance(kind, inspect.StrType) and isinstance(value, bool | int | float)
            yield path, document.wrong(path, _expected(kind), value, "put it in quotes" if quotable else None)


def _struct_faults(
    document: Document, kind: inspect.StructType, value: dict[str, Data], path: Path
) -> Iterator[tuple[Path, RuleProblem]]:
    fields = {field.encode_name: field for field in kind.fields}
    for key, item in value.items():
        if key in fields:
            yield from _faults(document, fields[key].type, item, (*path, key))
        else:
            known = ", ".join(f"`{name}`" for name in fields)
            yield (*path, key), document.wrong((*path, key), f"one of {known}", key, nearest(key, fields))
    for name, field in fields.items():
        if field.required and name not in value:
            yield (*path, name), document.problem((*path, name), _expected(field.type), "nothing")


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.LiteralType(values):
            return " or ".join(f"`{known}`" for known in values)
        case inspect.StrType():
            return "text"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.ListType():
            return "a list"
        case _:
            return "a mapping"
