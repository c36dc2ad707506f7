"""GraphQL requests judged: every mutation is seen, however it is hidden, and what is unclear is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatepass.forge import graphql
from gatepass.forge.graphql import Asked, UnreadableError

JSON = "application/json; charset=utf-8"


def asked(query: object, **members: Any) -> Asked:
    """What is read of a POST of that query."""
    return graphql.read("POST", "", JSON, "", json.dumps({"query": query, **members}).encode())


@pytest.mark.parametrize(
    ("document", "mutations"),
    [
        ("{ viewer { login } }", set()),
        ("query Q { viewer { login } }", set()),
        ("{ __schema { types { name } } }", set()),
        ("mutation { createIssue(input: {}) { issue { id } } }", {"createIssue"}),
        ("mutation { viewer: deleteRef(input: {}) { id } }", {"deleteRef"}),
        ("query A { viewer { login } } mutation B { deleteRef(input: {}) { id } }", {"deleteRef"}),
        ("mutation { ...F } fragment F on Mutation { deleteRef(input: {}) { id } }", {"deleteRef"}),
        ("mutation { ... on Mutation { ...F } } fragment F on Mutation { ... { addLabels { id } } }", {"addLabels"}),
        ("mutation { ...A } fragment A on Mutation { x ...B } fragment B on Mutation { ...A y }", {"x", "y"}),
        ("# { viewer }\nmutation\n#\n{ addComment(input: {}) { id } }", {"addComment"}),
        ("mutation @a { createIssue @skip(if: true) { id } }", {"createIssue"}),
        ("query { a } # mutation { deleteRef }", set()),
        ('{ repository(owner: "mutation { deleteRef }") { id } }', set()),
    ],
)  # fmt: skip
def test_every_mutation_is_seen(document: str, mutations: set[str]) -> None:
    """By alias, fragment, second operation or behind a comment: a mutation is called by its field's own name."""
    assert asked(document).mutations == mutations


def test_the_name_of_an_operation_makes_no_difference() -> None:
    """A server may run another one than it was told."""
    document = "query A { viewer { login } } mutation B { deleteRef(input: {}) { id } }"
    assert asked(document, operationName="A").mutations == {"deleteRef"}


def test_fragments_that_double_are_read_in_no_time() -> None:
    """Of thirty fragments, each with the next one twice, none is read a thousand million times."""
    document = "mutation { ...F0 } " + " ".join(
        f"fragment F{n} on Mutation {{ ...F{n + 1} ...F{n + 1} }}" for n in range(200)
    )
    assert asked(document + " fragment F200 on Mutation { x }").mutations == {"x"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "batch"),
        (b'[{"query": "{ a }"}]', "batch"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b'"{ a }"', "no JSON object"),
        (b"{}", "no `query`"),
        (b'{"query": 1}', "no `query`"),
        (b'{"query": "{ a }", "query": "mutation { b }"}', "twice"),
        (b'{"query": "{ a }", "Query": "mutation { b }"}', "twice"),
        (b'{"query": "{ a }", "extensions": {"persistedQuery": {}}}', "only the server knows"),
        (b'{"id": "abc"}', "only the server knows"),
        (b'{"query": "{ a }", "operationName": 1}', "no text"),
        (b'{"query": "{ a }", "variables": []}', "no object"),
        (b'{"query": ""}', "no GraphQL"),
        (b'{"query": "{ a"}', "no GraphQL"),
        (b'{"query": "subscription { a }"}', "subscribes"),
        (b'{"query": "type Query { a: Int }"}', "defines types"),
        (b'{"query": "fragment F on Query { a }"}', "no operation"),
        (b'{"query": "mutation { ...F }"}', "no fragment"),
        (b'{"query": "mutation { ...F } fragment F on M { a } fragment F on M { b }"}', "twice"),
        (json.dumps({"query": "{a" * 200 + "}" * 200}).encode(), "nested too deeply"),
        (json.dumps({"query": "{" + "a " * 30_000 + "}"}).encode(), "too large"),
        (json.dumps({"query": "{ a(b: " + "[" * 5000 + "]" * 5000 + ") }"}).encode(), "nested too deeply"),
        (b'{"query": "' + b"a" * 300_000 + b'"}', "256 KiB"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_unclear_is_refused(body: bytes, said: str) -> None:
    """Batches, persisted documents, members that are there twice, what is too large or no GraphQL: each with why."""
    with pytest.raises(UnreadableError, match=said):
        graphql.read("POST", "", JSON, "", body)


@pytest.mark.parametrize(
    ("method", "query", "content_type", "encoding"),
    [
        ("GET", "query={a}", JSON, ""),
        ("GET", "", JSON, ""),
        ("POST", "query=mutation{a}", JSON, ""),
        ("POST", "", "application/graphql", ""),
        ("POST", "", "text/plain", ""),
        ("POST", "", "", ""),
        ("POST", "", "application/json; charset=utf-16", ""),
        ("POST", "", "multipart/form-data; boundary=a", ""),
        ("POST", "", JSON, "gzip"),
    ],
)
def test_other_forms_are_refused(method: str, query: str, content_type: str, encoding: str) -> None:
    """Only JSON in the body of a POST is judged, so only that is let through."""
    with pytest.raises(UnreadableError):
        graphql.read(method, query, content_type, encoding, b'{"query": "{ a }"}')


@pytest.mark.parametrize(
    ("document", "absent"),
    [
        (
            "query Q($o:String!){repository(owner: $o, name: $n){release(tagName: $tagName){databaseId,isDraft}}}",
            {"data": {"repository": {"release": None}}},
        ),
        ('{r: repository(owner: "a", name: "b") {x: release(tagName: "v1") {id}}}', {"data": {"r": {"x": None}}}),
        ('{repository(owner: "a", name: "b") {release(tagName: "v1") {id} issues {id}}}', None),
        ('{repository(owner: "a", name: "b") {release(tagName: "v1") {id}} viewer {login}}', None),
        ('{repository(owner: "a", name: "b") {releases(first: 1) {id}}}', None),
        ('mutation {repository {release(tagName: "v1") {id}}}', None),
    ],
)
def test_the_question_for_a_release(document: str, absent: object) -> None:
    """The one that `gh release view` asks beside REST is known, by its shape, and answered by the names it gives."""
    assert asked(document).absent == absent
