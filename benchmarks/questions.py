"""Requests a second whose body is a document of GraphQL, which is parsed and judged before anything is done."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks import client, programs, servers
from benchmarks.client import Request
from benchmarks.report import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.report import Row

_RULE: Final = """
  - {{match: '{web}/api/v3/repos/acme/*', resolve: github-api, credential: benchmark}}
"""
_CLIENTS: Final = 10
_QUESTION: Final = """\
query RepositoryReleaseByTag($owner: String!, $name: String!, $tagName: String!) {
  repository(owner: $owner, name: $name) { release(tagName: $tagName) { databaseId isDraft } }
}"""


def parsed(bench: Bench) -> Iterator[Row]:
    """What gh asks for a release by its tag, which is parsed and answered here; and a page that no rule is about."""
    web = bench.upstream.web
    rules = bench.fresh("questions") / "rules.yaml"
    rules.write_text(bench.rules().read_text(encoding="utf-8") + _RULE.format(web=web), encoding="utf-8")
    body = json.dumps({"query": _QUESTION, "variables": {"owner": "acme", "name": "tool", "tagName": "v1.0"}})
    head = Request.make(
        "POST", web, "/api/graphql", 200, **{"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    question = Request(head.data + body.encode(), 200, is_head=False)
    page = Request.make("GET", web, servers.PAGE, 200)
    options = ("-s", str(programs.SCRIPT), "--set", f"gatepass_rules={rules}")
    with bench.mitmdump(*options) as ours, ExitStack() as stack:
        connections = [stack.enter_context(bench.connect(web, ours)) for _ in range(_CLIENTS)]
        for connection in connections:
            connection.send(question)
            connection.send(page)
        asked, other = bench.in_turn(
            lambda: client.rate(connections, [question], bench.scale.seconds),
            lambda: client.rate(connections, [page], bench.scale.seconds),
        )
    yield Comparison(
        f"requests/s with a GraphQL parse, {_CLIENTS} clients",
        "/s",
        (("GraphQL, parsed and answered here", asked), ("another page, passed on", other)),
        "the document is gh's own; no token is asked for, and no server",
    )
