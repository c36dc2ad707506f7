"""The GraphQL API, as far as gh asks it here: releases, issues, and a mutation that makes one.

A question is answered by its own fields, aliases and fragments included; what is not known of an object is null. Names
are those of GitHub's public schema; that a repository which may not be seen is an error of type NOT_FOUND is observed
(cli/cli, `api/client_test.go`). It may not know who asks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    parse,
    value_from_ast_untyped,
)

from .exchange import Answer
from .model import Issue
from .replies import JSON, MONALISA, Refusal, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import SelectionSetNode

    from .exchange import Recorded
    from .model import Release, Repository, Token
    from .world import World

type _Fragments = Mapping[str, FragmentDefinitionNode]


def answer(world: World, token: Token, request: Recorded) -> Answer:
    """What a POST of a question is answered with; a question may be wrong in part, and is 200 all the same."""
    if token.kind == "anonymous":
        raise Refusal(401, "This endpoint requires you to be authenticated.")
    try:
        asked = json.loads(request.body)
        document = parse(asked["query"])
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, "Problems parsing JSON") from None
    except GraphQLError as error:
        return _told({"errors": [{"message": error.message}]})
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    named = [each for each in operations if each.name and each.name.value == asked.get("operationName")]
    operation = (named or operations)[0]
    known = asked.get("variables") or {}
    errors: list[dict[str, Any]] = []
    root = _Root(world, token, errors)
    data = {}
    for field in _fields(operation.selection_set, fragments):
        given = {each.name.value: value_from_ast_untyped(each.value, known) for each in field.arguments or ()}
        is_mutation = operation.operation is OperationType.MUTATION
        value = root.mutation(field.name.value, given) if is_mutation else root.query(field.name.value, given, field)
        data[_key(field)] = _selected(value, field.selection_set, fragments)
    return _told({"data": data, **({"errors": errors} if errors else {})})


def _told(document: dict[str, Any]) -> Answer:
    return Answer(200, JSON, json.dumps(document).encode())


class _Root:
    """What a question begins with."""

    def __init__(self, world: World, token: Token, errors: list[dict[str, Any]]) -> None:
        self._world = world
        self._token = token
        self._errors = errors

    def query(self, name: str, given: Mapping[str, Any], field: FieldNode) -> Any:
        match name:
            case "repository":
                full_name = f"{given.get('owner')}/{given.get('name')}"
                found, _ = self._world.find(full_name)
                if found is None or not self._token.sees(found):
                    message = f"Could not resolve to a Repository with the name '{full_name}'."
                    self._errors.append({"type": "NOT_FOUND", "path": [_key(field)], "message": message})
                    return None
                return _repository(found, may_push=self._token.push)
            case "viewer":
                return {"login": self._world.login}
            case "__type" | "__schema":
                return {"fields": [], "name": given.get("name")}
        return None

    def mutation(self, name: str, given: Mapping[str, Any]) -> Any:
        wanted = given.get("input") or {}
        found = next((each for each in self._world.repositories if _id(each) == wanted.get("repositoryId")), None)
        if name != "createIssue" or found is None or not self._token.sees(found):
            self._errors.append({"type": "NOT_FOUND", "message": f"Could not resolve to a node with {name}."})
            return None
        if not self._token.may("issues", "write"):
            message = "Resource not accessible by integration"
            self._errors.append({"type": "FORBIDDEN", "path": [name], "message": message})
            return None
        issue = Issue(str(wanted.get("title", "")), len(found.issues) + 1)
        found.issues.append(issue)
        return {"issue": _issue(found, issue)}


def _id(repository: Repository) -> str:
    return f"R_{repository.id}"


def _repository(repository: Repository, *, may_push: bool) -> dict[str, Any]:
    releases = [each for each in reversed(repository.releases) if may_push or not each.draft]
    issues = [_issue(repository, each) for each in repository.issues]
    return {
        "id": _id(repository),
        "name": repository.name,
        "owner": {"login": repository.owner},
        "nameWithOwner": repository.full_name,
        "isPrivate": repository.private,
        "hasIssuesEnabled": True,
        "viewerPermission": "READ",
        "issues": _page(issues),
        "releases": _page([_release(repository, each) for each in releases]),
        # the question for one by its tag finds drafts, and nothing else is wanted of it here
        "release": next(({"databaseId": each.id, "isDraft": True} for each in releases if each.draft), None),
    }


def _page(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"totalCount": len(nodes), "nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}


def _release(repository: Repository, release: Release) -> dict[str, Any]:
    return {
        "name": release.tag,
        "tagName": release.tag,
        "isDraft": release.draft,
        "isPrerelease": release.prerelease,
        "isLatest": release is repository.latest(),
        "createdAt": moment(release.created_at),
        "publishedAt": moment(release.published_at or release.created_at),
    }


def _issue(repository: Repository, issue: Issue) -> dict[str, Any]:
    return {
        "number": issue.number,
        "title": issue.title,
        "state": "OPEN",
        "url": f"https://github.com/{repository.full_name}/issues/{issue.number}",
        "updatedAt": "2026-01-01T00:00:00Z",
        "author": MONALISA,
        "labels": _page([]),
    }


def _selected(value: Any, selection: SelectionSetNode | None, fragments: _Fragments) -> Any:
    """Of a value what is asked for."""
    if isinstance(value, list):
        return [_selected(each, selection, fragments) for each in value]
    if selection is None or not isinstance(value, dict):
        return value
    return {
        _key(field): _selected(value.get(field.name.value), field.selection_set, fragments)
        for field in _fields(selection, fragments)
    }


def _fields(selection: SelectionSetNode | None, fragments: _Fragments) -> list[FieldNode]:
    found: list[FieldNode] = []
    for each in () if selection is None else selection.selections:
        match each:
            case FieldNode():
                found.append(each)
            case InlineFragmentNode(selection_set=within):
                found += _fields(within, fragments)
            case FragmentSpreadNode(name=name):
                found += _fields(fragments[name.value].selection_set, fragments)
    return found


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value
