"""Placeholders under `gatepass run`, at a GitHub Enterprise Server, and in headers of any host."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from shells import parse

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import Repository, StandIn
    from harness import Shell

pytestmark = pytest.mark.slow  # each starts a proxy of its own

RULES = """\
version: 1
forges:
  - web: {web}
    api: {api}
credentials:
  standin: {{from: [env:STANDIN_TOKEN], hosts: ["{web}"]}}
rules:
  - {{match: "{web}/api/v3/repos/acme/*", resolve: github-api, credential: standin, access: issues,
     placeholder: [GH_ENTERPRISE_TOKEN]}}
  - match: "{web}/injected/*"
    headers: {{X-Token: "token {{credential}}"}}
    credential: standin
    on_existing: placeholder
    placeholder: [STANDIN_TOKEN]
"""


@pytest.fixture
def agent(github: StandIn, shell: Shell, tmp_path: Path) -> Shell:
    """A shell whose rules have placeholders; one stands in the variable that held the secret."""
    rules = tmp_path / "agents.yaml"
    rules.write_text(RULES.format(web=github.web, api=github.api))
    return replace(shell, rules=rules)


def test_the_environment(agent: Shell) -> None:
    """A command finds a placeholder in each variable, and the secret in none: not where the rules read it either."""
    found = parse(agent.run("env", "-0").stdout)
    again = parse(agent.run("env", "-0").stdout)
    for name in ("GH_ENTERPRISE_TOKEN", "STANDIN_TOKEN"):
        assert found[name].startswith("ghp_gatepass")
        assert len(found[name]) == 40, "as long as a token"
        assert found[name] != again[name], "each start makes its own"
    assert found["GH_ENTERPRISE_TOKEN"] != found["STANDIN_TOKEN"]
    assert DEFAULT_TOKEN not in str(found)


def test_an_enterprise_server(github: StandIn, agent: Shell, repository: Repository) -> None:
    """At a GHES the API is below the web host: there the placeholder is replaced, and what is refused says so."""
    below = f"https://{github.web}/api/v3/repos/{repository.full_name}"
    ask = 'curl -sS -H "Authorization: token $GH_ENTERPRISE_TOKEN"'
    script = f"{ask} {below}; echo; {ask} {below}/hooks; echo; {ask} https://{github.web}/{repository.full_name}"
    done = agent.run("sh", "-c", script)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["full_name"] == repository.full_name, done.stderr
    assert told[1]["type"].endswith(":api-not-allowed")
    assert told[2]["type"].endswith(":misplaced-placeholder")
    assert [call.headers["authorization"] for call in github.calls()] == [f"Bearer {DEFAULT_TOKEN}"]


def test_a_header(github: StandIn, agent: Shell) -> None:
    """A header of any name gets the secret where the placeholder was sent in it, and in no other."""
    url = f"https://{github.web}/injected/x"
    script = f'curl -sS -H "X-Token: $STANDIN_TOKEN" {url}; curl -sS {url}; curl -sS -H "X-Other: $STANDIN_TOKEN" {url}'
    done = agent.run("sh", "-c", script)
    assert b"misplaced-placeholder" in done.stdout
    assert [call.headers.get("x-token") for call in github.calls()] == [f"token {DEFAULT_TOKEN}", None]


def test_graphql_at_an_enterprise_server(github: StandIn, agent: Shell, repository: Repository) -> None:
    """There GraphQL is at `/api/graphql`: refused where the rule has none, and what gh asks for a tag answered here."""
    asked = {
        "a": '{repository(owner: "acme", name: "x") { release(tagName: "v1") { databaseId } } }',
        "b": '{repository(owner: "acme", name: "x") { id } }',
    }
    ask = 'curl -sS -H "Authorization: token $GH_ENTERPRISE_TOKEN" -H "Content-Type: application/json" -d'
    lines = [f"{ask} '{json.dumps({'query': text})}' https://{github.web}/api/graphql; echo" for text in asked.values()]
    done = agent.run("sh", "-c", "\n".join(lines))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0] == {"data": {"repository": {"release": None}}}
    assert told[1]["type"].endswith(":graphql-not-allowed")
    assert github.calls() == []
    assert repository.private


def test_explain(github: StandIn, agent: Shell, repository: Repository) -> None:
    """`gatepass explain` walks the way of an API's URL as one who sends the placeholder, and tells why not."""
    below = f"https://{github.web}/api/v3/repos/{repository.full_name}"
    found = agent.gatepass("explain", "--rules", agent.rules, f"{below}/releases")
    told = found.stdout.decode()
    assert "placeholder of `GH_ENTERPRISE_TOKEN`" in told, told
    assert "sets Authorization on the request" in told
    refused = agent.gatepass("explain", "--rules", agent.rules, f"{below}/hooks").stdout.decode()
    assert "the rule does not allow that at the API" in refused, refused
    assert DEFAULT_TOKEN not in told + refused
