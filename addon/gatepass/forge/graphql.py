"""What a GraphQL request would do, read off its document: no server is asked, and what cannot be read is refused.

Pure: knows neither rules nor forges. The grammar is graphql-core's (https://spec.graphql.org/October2021/). What is
judged is all that the document holds, whatever `operationName` says: a server may run another than it was told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, SelectionSetNode

MOST_BYTES: Final = 256 * 1024
"""Of a body; gh's longest are some 10 KiB."""
_MOST_TOKENS: Final = 5_000
"""These take some 60 ms, in which nobody else is served; gh's longest have some hundreds."""
_MOST_DEPTH: Final = 60
_MOST_OPERATIONS: Final = 100
_JSON: Final = "application/json"
# What these say is not in the document: a server knows one by it, and would run that.
_PERSISTED: Final = ("id", "documentId", "doc_id", "queryId", "persistedQuery", "extensions", "sha256Hash", "hash")


class UnreadableError(ValueError):
    """The request cannot be told for sure; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operations of a request do: the mutations among them, by their fields' own names.

    `absent` is the answer to the one question that gh asks beside REST, for a release by its tag, where it is to be
    told that there is none there; None for every other.
    """

    mutations: frozenset[str] = frozenset()
    absent: Mapping[str, Any] | None = None


def load() -> None:
    """Load the grammar, which takes 60 ms: before it is wanted."""
    import graphql  # noqa: F401


def read(method: str, query: str, content_type: str, content_encoding: str, body: bytes) -> Asked:
    """Read a request of GraphQL over HTTP.

    Raises:
        UnreadableError: it is of another form than clients of GitHub's send, or too large.
    """
    if method != "POST":
        raise UnreadableError("GraphQL is asked by POST here, so that all of it is in the body")
    if query:
        raise UnreadableError("a query in the URL may be run in place of the body")
    media, _, parameters = content_type.partition(";")
    if media.strip().lower() != _JSON or parameters.strip().lower().replace('"', "") not in ("", "charset=utf-8"):
        raise UnreadableError(f"its Content-Type is not {_JSON} in UTF-8")
    if content_encoding.strip().lower() not in ("", "identity"):
        raise UnreadableError("its body is compressed")
    if len(body) > MOST_BYTES:
        raise UnreadableError(f"its body has more than {MOST_BYTES // 1024} KiB")
    return _judged(_document(_source(body)))


def _source(body: bytes) -> str:
    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len({name.casefold() for name in found}) != len(pairs):
            raise UnreadableError("a member of its body is there twice, and a server may read the other")
        return found

    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=members)
    except UnreadableError:
        raise
    except (ValueError, RecursionError):
        raise UnreadableError("its body is no JSON") from None
    if isinstance(found, list):
        raise UnreadableError("it is a batch of several, of which each has to be asked by itself")
    if not isinstance(found, dict):
        raise UnreadableError("its body is no JSON object")
    if named := [name for name in found if name in _PERSISTED]:
        raise UnreadableError(f"`{named[0]}` names a document that only the server knows")
    source = found.get("query")
    if not isinstance(source, str):
        raise UnreadableError("it has no `query`")
    if not isinstance(found.get("operationName"), str | None) or not isinstance(found.get("variables"), dict | None):
        raise UnreadableError("`operationName` is no text, or `variables` no object")
    return source


def _document(source: str) -> DocumentNode:
    from graphql import GraphQLError, Lexer, Source, TokenKind, parse  # which few rules want: see `load`

    opening = {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L}
    closing = {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R}
    try:
        # the parser goes down with each of them: it would end at Python's own bound
        lexer, depth, count = Lexer(Source(source)), 0, 0
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            depth, count = depth + (token.kind in opening) - (token.kind in closing), count + 1
            if depth > _MOST_DEPTH or count > _MOST_TOKENS:
                raise UnreadableError("its document is too large, or nested too deeply")
        return parse(source, no_location=True)
    except (GraphQLError, RecursionError) as error:
        message = error.message if isinstance(error, GraphQLError) else "nested too deeply"
        raise UnreadableError(f"its document is no GraphQL: {message[:200]}") from None


def _judged(document: DocumentNode) -> Asked:
    from graphql import FragmentDefinitionNode, OperationDefinitionNode, OperationType

    fragments: dict[str, FragmentDefinitionNode] = {}
    operations: list[OperationDefinitionNode] = []
    for definition in document.definitions:
        match definition:
            case OperationDefinitionNode():
                operations.append(definition)
            case FragmentDefinitionNode(name=name):
                if name.value in fragments:
                    raise UnreadableError(f"the fragment `{name.value}` is there twice")
                fragments[name.value] = definition
            case _:
                raise UnreadableError("its document defines types")
    if not 0 < len(operations) <= _MOST_OPERATIONS:
        raise UnreadableError("its document has no operation, or too many")
    mutations: set[str] = set()
    for operation in operations:
        if operation.operation is OperationType.SUBSCRIPTION:
            raise UnreadableError("it subscribes, which GitHub's API does not know")
        if operation.operation is OperationType.MUTATION:
            mutations |= {field.name.value for field in _fields(operation.selection_set, fragments)}
    absent = None
    if len(operations) == 1 and not mutations:
        absent = _absent(list(_fields(operations[0].selection_set, fragments)), fragments)
    return Asked(frozenset(mutations), absent)


def _fields(
    selection: SelectionSetNode | None,
    fragments: Mapping[str, FragmentDefinitionNode],
    seen: set[str] | None = None,
) -> Iterator[FieldNode]:
    """The fields at the top of a selection, those of its fragments included, each fragment's once."""
    from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode

    seen = set() if seen is None else seen
    for each in () if selection is None else selection.selections:
        match each:
            case FieldNode():
                yield each
            case InlineFragmentNode(selection_set=within):
                yield from _fields(within, fragments, seen)
            case FragmentSpreadNode(name=name):
                if name.value not in fragments:
                    raise UnreadableError(f"there is no fragment `{name.value}`")
                if name.value not in seen:
                    seen.add(name.value)
                    yield from _fields(fragments[name.value].selection_set, fragments, seen)
            case _:
                raise UnreadableError("it selects something that is no field")


def _absent(fields: list[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> Mapping[str, Any] | None:
    """What says that there is no such release, if that is all that is asked: gh looks for drafts so.

    Source: cli/cli, `pkg/cmd/release/shared/fetch.go`: `repository(owner:, name:) { release(tagName:) { … } }`.
    """
    if len(fields) != 1 or fields[0].name.value != "repository":
        return None
    within = list(_fields(fields[0].selection_set, fragments))
    if len(within) != 1 or within[0].name.value != "release":
        return None
    if [argument.name.value for argument in within[0].arguments or ()] != ["tagName"]:
        return None
    return {"data": {_key(fields[0]): {_key(within[0]): None}}}


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value
