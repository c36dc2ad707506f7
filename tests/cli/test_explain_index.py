"""`gatepass explain` of package indexes: their URLs, and what a project's files lock and name of them."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gatepass.cli import gatepass as command
from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository, Token
from harness import GATEPASS, background, clean_environment, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Shell

RULES = """\
version: 1
forges: [{{web: "{web}", api: "{api}"}}]
credentials:
  standin: {{from: [env:STANDIN_TOKEN], hosts: ["{web}"]}}
  other: {{from: [env:OTHER_TOKEN], hosts: ["{web}"]}}
clients: {{ci: {{networks: [10.0.0.0/8]}}}}
rules:
  - {{match: "{web}/acme/*/releases/download/*", resolve: github-release, credential: standin}}
  - {{match: "{web}/wheels/*/releases/download/*.whl", resolve: github-release, credential: standin}}
  - {{match: "{web}/strict/*", resolve: github-release, credential: standin, require: [digest]}}
  - {{match: "{web}/both/*", resolve: github-release, credential: [other, standin]}}
  - {{match: "{web}/acme/*", resolve: github-source, credential: standin}}
  - {{match: "{web}/acme/*", resolve: github-git, credential: standin}}
indexes:
  acme: {{repositories: ["{web}/acme/tool"], credential: standin, prereleases: false}}
  all: {{repositories: ["{web}/acme/*"], credential: standin, clients: [ci]}}
"""
WHEEL, SDIST = "acme_tool-1.0-py3-none-any.whl", "acme_tool-1.0.tar.gz"


@dataclass(frozen=True)
class Told:
    """The exit code, and what was told."""

    code: int
    document: dict[str, Any]

    def findings(self, name: str) -> list[str]:
        return [step["finding"] for step in self.document["steps"] if step["name"] == name]

    def states(self, name: str) -> list[str]:
        return [step["state"] for step in self.document["steps"] if step["name"] == name]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(step["name"] for step in self.document["steps"]))

    @property
    def failed(self) -> list[str]:
        return [step["name"] for step in self.document["steps"] if step["state"] == "fail"]


@dataclass(frozen=True)
class Desk:
    """A developer's shell with rules that name indexes."""

    shell: Shell
    github: StandIn

    def call(self, *arguments: str, **extra: str) -> Told:
        given = {**self.shell.env, "GATEPASS_RULES": "rules.yaml", **extra}
        env: dict[str, str | None] = {**dict.fromkeys(os.environ), **given}
        with contextlib.chdir(self.shell.home):
            result = CliRunner().invoke(command, ["explain", "--json", *arguments], env=env)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert DEFAULT_TOKEN not in result.output
        assert "hunter2" not in result.output
        return Told(result.exit_code, json.loads(result.stdout))

    def page(self, rest: str, **extra: str) -> Told:
        return self.call(f"https://gatepass.internal/{rest}", **extra)

    def own(self, rest: str = "acme/tool/simple/") -> Told:
        """A repository's own index."""
        return self.page(f"{self.github.web}/{rest}")

    def write(self, name: str, text: str) -> None:
        (self.shell.home / name).write_text(text)


@pytest.fixture
def desk(shell: Shell, github: StandIn) -> Desk:
    desk = Desk(shell, github)
    desk.write("rules.yaml", RULES.format(web=github.web, api=github.api))
    return desk


@pytest.fixture
def tool(github: StandIn) -> Repository:
    wheel, sdist = package.wheel("acme_tool", "1.0"), package.sdist("acme_tool", "1.0")
    releases = [Release("v1.0", [Asset(wheel.name, wheel.content), Asset(sdist.name, sdist.content)])]
    tool = Repository("acme", "tool", releases=releases)
    github.repositories.append(tool)
    return tool


def digest(repository: Repository, number: int = 0) -> str:
    return (repository.releases[0].assets[number].digest or "").removeprefix("sha256:")


# ----------------------------------------------------------------------- pages


@pytest.mark.usefixtures("tool")
def test_a_project(desk: Desk) -> None:
    """The whole way of a project's page: rule, credential and what the forge says of it, what is held, what the index
    answers, and a file of it, tried; the verdict is as for an asset.
    """
    told = desk.own("acme/tool/simple/acme-tool/")
    assert told.code == 0, told.document
    assert told.names == [
        "trust", "rules", "url", "rule", "credential", "account", "rights", "expiry", "sso", "budget", "repository",
        "releases", "held", "page", "file", "signed-url", "head", "range", "get", "proxy",
    ]  # fmt: skip
    for name, part in {
        "url": f"project `acme-tool` of the index of {desk.github.web}/acme/tool",
        "rule": "/acme/*/releases/download/*` covers its downloads",
        "credential": "`standin` from env:STANDIN_TOKEN",
        "account": "monalisa",
        "repository": "acme/tool: private",
        "releases": "1 project, 2 files",
        "held": "1.0: acme_tool-1.0-py3-none-any.whl, acme_tool-1.0.tar.gz of release `v1.0`, with hashes",
        "page": "200, ",
        "file": "`acme_tool-1.0-py3-none-any.whl` of release `v1.0`",
    }.items():
        (finding,) = told.findings(name)
        assert part in finding
    assert told.document["verdict"] == "it can be fetched through Gatepass"
    assert "gatepass run" in told.document["advice"]
    assert set(told.document) == {"ok", "url", "steps", "verdict", "advice"}


@pytest.mark.usefixtures("tool")
def test_a_named_index(desk: Desk) -> None:
    """What the rules say of an index is told, and for whom it is; of several repositories what each holds."""
    gadget = Repository("acme", "gadget", releases=[Release("v1", [Asset("acme_gadget-1.0.tar.gz", b"1")])])
    desk.github.repositories.append(gadget)
    told = desk.page("acme/simple/")
    assert told.code == 0, told.document
    assert told.findings("url") == ["the projects of index `acme`"]
    assert told.findings("rule") == [f"the rules name it: {desk.github.web}/acme/tool; without pre-releases"]
    assert told.findings("held") == ["1 project: acme-tool"]
    told = desk.page("all/simple")
    assert told.code == 0, told.document
    assert "; for `ci` alone" in told.findings("rule")[0]
    assert len(told.findings("releases")) == 2
    assert told.findings("held") == ["2 projects: acme-gadget, acme-tool"]
    assert told.findings("account") == ["monalisa, says localhost:" + desk.github.web.partition(":")[2]]


def test_for_people(desk: Desk, tool: Repository) -> None:
    """People get the same in lines, each with its state in a word."""
    assert tool.releases
    done = desk.shell.gatepass("explain", "--rules", "rules.yaml", "https://gatepass.internal/acme/simple/acme-tool/")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stdout
    assert "ok    held        1.0: acme_tool-1.0-py3-none-any.whl" in done.stdout.decode()
    assert lines[-2] == "it can be fetched through Gatepass"


def test_a_name_that_two_releases_hold(desk: Desk, tool: Repository) -> None:
    """A file name that two releases hold with different hashes is left out, and both releases are named; the other
    files of the project are held.
    """
    tool.releases.append(Release("v1.0-again", [Asset(WHEEL, b"another")]))
    told = desk.own("acme/tool/simple/acme-tool/")
    (left_out,) = told.findings("left-out")
    assert f"`{WHEEL}` is in release `v1.0" in left_out
    assert "release `v1.0` of" in left_out
    assert "release `v1.0-again` of" in left_out
    assert told.states("left-out") == ["warn"]
    (held,) = told.findings("held")
    assert held.startswith(f"1.0: {SDIST} of release `v1.0`")
    tool.releases[0].assets.pop()
    told = desk.own("acme/tool/simple/acme-tool/")
    assert (told.code, told.failed) == (1, ["held"])


def test_what_is_left_out(desk: Desk, tool: Repository) -> None:
    """All else that is left out is told with its release and why; what the rules want so is no warning."""
    tool.releases += [
        Release("v1!2.0", [Asset("acme_tool-1.2.0.tar.gz", b"1")]),
        Release("v2", [Asset("acme_tool-2.0.tar.gz", b"1")], prerelease=True),
        Release("v3", [Asset("acme_tool-3.0.tar.gz", b"1", state="starter"), Asset("SHA256SUMS", b"1")]),
    ]
    told = desk.page("acme/simple/acme-tool/")
    findings = dict(zip(told.findings("left-out"), told.states("left-out"), strict=True))
    assert told.code == 0
    assert {finding.partition(":")[0]: state for finding, state in findings.items()} == {
        "`acme_tool-1.2.0.tar.gz` of `v1!2.0`": "warn",
        "`acme_tool-2.0.tar.gz` of `v2`": "skip",
        "`acme_tool-3.0.tar.gz` of `v3`": "warn",
    }
    assert any("it is version 1!2.0" in finding for finding in findings)
    assert any("SHA256SUMS" in finding for finding in desk.page("acme/simple/").findings("left-out"))


def test_what_the_rule_requires(desk: Desk, github: StandIn) -> None:
    """What a rule requires is told, and what is left out for it."""
    github.repositories.append(
        Repository("strict", "tool", releases=[Release("v1", [Asset(SDIST, b"1", digest=None)])]),
    )
    told = desk.own("strict/tool/simple/acme-tool/")
    assert "it requires digest" in told.findings("rule")[0]
    assert told.findings("left-out") == [f"`{SDIST}` of `v1`: GitHub has no digest of it, which is required"]
    assert told.failed[0] == "held"


def test_hashes_that_some_have(desk: Desk, tool: Repository) -> None:
    """A version of which some files have a hash and others none is warned of (uv #13112)."""
    tool.releases[0].assets[1].digest = None
    told = desk.own("acme/tool/simple/acme-tool/")
    assert "uv #13112" in told.findings("note")[0]
    assert "1 with a hash" in told.findings("held")[0]


@pytest.mark.usefixtures("tool")
def test_a_project_that_is_not_there(desk: Desk) -> None:
    """It is 404, as the index says, and the nearest is named."""
    told = desk.page("acme/simple/acme-tols/")
    assert (told.code, told.failed) == (1, ["page", "client"])
    assert "has no project `acme-tols`" in told.findings("page")[0]
    assert "acme-tool" in told.document["advice"]
    assert told.findings("client")[0].startswith("a client gets 404, with `gatepass: project not found`")


# ------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("rest", "step", "reason"),
    [
        ("acne/simple/", "rule", "no such index"),
        ("gitlab.com/acme/tool/simple/", "rule", "no rule covers the repository"),
        ("{web}/other/tool/simple/other/", "rule", "no rule covers the repository"),
        ("acme/", "url", "no index at that address"),
        ("", "url", "no index at that address"),
    ],
)
def test_what_nothing_covers(desk: Desk, github: StandIn, rest: str, step: str, reason: str) -> None:
    """What no rule covers is 403 with the reason, and never 404; the forge is not asked."""
    told = desk.page(rest.format(web=github.web))
    assert (told.code, told.failed) == (1, [step, "client"])
    assert told.findings(step)[0].startswith(f"{reason}: ")
    assert f"a client gets 403, with `gatepass: {reason}`, and looks in no other index" in told.findings("client")
    assert github.calls() == []


@pytest.mark.usefixtures("tool")
def test_a_repository_that_is_not_seen(desk: Desk, github: StandIn) -> None:
    """What the credential cannot see is 403 with the reason; of a named index of several it is told which it is."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, repositories=set())]
    told = desk.own("acme/tool/simple/acme-tool/")
    assert (told.code, told.failed) == (1, ["repository", "client"])
    assert "does not exist on" in told.findings("repository")[0]
    assert told.findings("client") == [
        "a client gets 403, with `gatepass: repository not visible`, and looks in no other index"
    ]


def test_without_a_credential(desk: Desk) -> None:
    """Without a value the credential's step fails; the client gets no 401, which would ask for a password."""
    for rest in ("acme/simple/", "all/simple/", f"{desk.github.web}/acme/tool/simple/"):
        told = desk.page(rest, STANDIN_TOKEN="")
        assert (told.code, told.failed) == (1, ["credential", "client"])
        assert "env:STANDIN_TOKEN" in told.findings("credential")[0]
        assert told.findings("client")[0].startswith("a client gets 403, ")


@pytest.mark.usefixtures("tool")
def test_an_api_that_fails(desk: Desk, github: StandIn) -> None:
    """A fault of the API is no 404 either: it fails where the releases are listed."""
    github.faults.append(Fault("api", "/releases", status=503, times=99))
    told = desk.own("acme/tool/simple/acme-tool/")
    assert (told.code, told.failed) == (1, ["releases", "client"])
    assert told.findings("client")[0].startswith("a client gets 50")


def test_several_credentials(desk: Desk, github: StandIn) -> None:
    """Of several credentials it is told which one the releases are seen with."""
    github.repositories.append(Repository("both", "tool", releases=[Release("v1", [Asset(SDIST, b"1")])]))
    github.tokens.append(Token("ghp_OtherOtherOther", repositories=set()))
    told = desk.page(f"{github.web}/both/tool/simple/", OTHER_TOKEN="ghp_OtherOtherOther")
    assert told.code == 0, told.document
    assert told.findings("credentials") == ["`other`, then `standin`: `standin` may see the repository"]


def test_a_file_that_no_rule_serves(desk: Desk, github: StandIn) -> None:
    """A page may have a file that the rule does not serve: that is found by trying it."""
    github.repositories.append(Repository("wheels", "tool", releases=[Release("v1", [Asset(SDIST, b"1")])]))
    told = desk.own("wheels/tool/simple/acme-tool/")
    assert (told.code, told.failed) == (1, ["file"])
    assert f"serves `{SDIST}`" in told.findings("file")[0]


def test_metadata(desk: Desk, tool: Repository) -> None:
    """`FILE.whl.metadata` is no asset, and is had all the same; of what is no wheel it is not."""
    url = desk.github.download_url(tool.full_name, "v1.0", f"{WHEEL}.metadata")
    told = desk.call(url)
    assert told.code == 0, told.document
    assert "the index reads it out of the wheel" in told.findings("metadata")[0]
    assert desk.call(url.replace(WHEEL, SDIST)).code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("tool")
def test_through_a_proxy(desk: Desk) -> None:
    """Under `gatepass run` a page is had through the proxy; `--proxy` asks as a client does, and tells a refusal in the
    proxy's own words.
    """
    url = "https://gatepass.internal/acme/simple/acme-tool/"
    again = ("run", "--rules", "rules.yaml", "--", "gatepass", "explain", "--json")
    environ = {**desk.shell.env, "GATEPASS_RULES": "rules.yaml"}

    def explained(*arguments: str) -> Told:
        done = replace(desk.shell, env=environ).gatepass(*again, *arguments)
        return Told(done.returncode, json.loads(done.stdout))

    told = explained(url)
    assert told.code == 0, told.document
    assert (told.states("through"), told.document["verdict"]) == (["ok"], "it can be fetched")
    shell = ("run", "--rules", "rules.yaml", "--", "sh", "-c")
    asked = 'exec gatepass explain --json --proxy "$HTTPS_PROXY" "$0"'
    for each, code, step in ((url, 0, "get"), (url.replace("acme-tool", "acme-tols"), 1, "get")):
        done = replace(desk.shell, env=environ).gatepass(*shell, asked, each)
        told = Told(done.returncode, json.loads(done.stdout))
        assert (told.code, told.names) == (code, ["trust", "proxy", "certificate", step]), told.document
    assert told.findings("get")[0].startswith("404 project not found: ")


# ---------------------------------------------------- a server that is an index


@pytest.fixture
def server(desk: Desk, tool: Repository) -> Iterator[str]:
    """`gatepass serve --index`, with a password; its URL without one."""
    assert tool.releases
    env = {**desk.shell.env, "GATEPASS_RULES": "rules.yaml"}
    arguments = ["serve", "--rules", "rules.yaml", "--listen", "off", "--index", "127.0.0.1:0"]
    with background([GATEPASS, *arguments], clean_environment(**env), cwd=desk.shell.home) as running:
        yield running.wait_for(r"http://(?:[^@\s/]+@)?(127\.0\.0\.1:\d+)")[1]


@pytest.mark.slow
def test_a_server(desk: Desk, server: str) -> None:
    """The URL of `serve --index` is known for what it is; the server is asked without the URL's password."""
    told = desk.call(f"http://me:hunter2hunter2@{server}/acme/simple/acme-tool/")
    assert told.code == 0, told.document
    assert told.document["url"] == f"http://{server}/acme/simple/acme-tool/"
    assert told.findings("url") == ["project `acme-tool` of index `acme`"]
    assert "by `index acme`" in told.findings("file")[0], "its files are given with the credential of the index"
    assert told.findings("server") == [f"{server} answers, and asks who you are (401)"]
    assert told.document["verdict"] == "it can be fetched"
    told = desk.call(f"http://{server}/acme/files/{desk.github.web}/acme/tool/releases/download/v1.0/{WHEEL}")
    assert (told.code, told.findings("url")) == (0, [f"file `{WHEEL}` of index `acme`"])
    told = desk.call(f"http://{server}/acme/files/{desk.github.web}/acme/tool/releases/download/v1.0/x.whl")
    assert (told.code, told.failed[:2]) == (1, ["file", "client"])


@pytest.mark.usefixtures("tool")
def test_a_server_that_is_not_there(desk: Desk) -> None:
    """A server that nobody listens at is told, after what the index would do."""
    place = f"127.0.0.1:{free_port()}"
    told = desk.call(f"http://{place}/packages/acme/simple/")
    assert (told.code, told.failed) == (1, ["server"])
    assert told.findings("held") == ["1 project: acme-tool"]
    assert f"no answer from {place}" in told.findings("server")[0]


def test_no_server_of_indexes(desk: Desk) -> None:
    """What has no index of the rules in its path is what it was: only https is served."""
    told = desk.call("http://packages.example.com/other/simple/")
    assert (told.code, told.failed) == (1, ["url"])


# ------------------------------------------------------------------ lock files


def test_each_locked_file(desk: Desk, tool: Repository) -> None:
    """Each file that uv locked from an index is held against the hash that is locked: one that was uploaded anew since
    fails, and so does one that is gone.
    """
    urls = [desk.github.download_url(tool.full_name, "v1.0", name) for name in (WHEEL, SDIST, "gone-1.0.tar.gz")]
    hashes = [digest(tool), "0" * 64, "0" * 64]
    files = ", ".join(f'{{ url = "{url}", hash = "sha256:{each}" }}' for url, each in zip(urls, hashes, strict=True))
    desk.write(
        "uv.lock",
        '[[package]]\nname = "acme-tool"\nsource = { registry = "https://gatepass.internal/acme/simple/" }\n'
        f"wheels = [{files}]\n",
    )
    told = desk.call()
    good, wrong, gone = told.document["explanations"]
    assert told.code == 1
    assert [each["ok"] for each in (good, wrong, gone)] == [True, False, False]
    assert [s["finding"] for s in good["steps"] if s["name"] == "locked"] == [f"`{WHEEL}` has the hash that is locked"]
    assert f"is locked with sha256 {'0' * 64}, and is {digest(tool, 1)}" in wrong["verdict"]
    assert "asset not found" in gone["verdict"]


def test_a_lock_of_a_server(desk: Desk, tool: Repository) -> None:
    """A lock that has the URLs of `serve --index` is checked, too: by what the index would give."""
    base = f"https://packages.example.com/acme/files/{desk.github.web}/acme/tool/releases/download/v1.0"
    good, wrong = f'{{ url = "{base}/{WHEEL}", hash = "sha256:{digest(tool)}" }}', f'{{ url = "{base}/x-1.0.tar.gz" }}'
    desk.write("uv.lock", f'[[package]]\nname = "acme-tool"\nwheels = [{good}, {wrong}]\n')
    told = desk.call()
    first, second = told.document["explanations"]
    assert (first["ok"], first["url"], second["ok"]) == (True, f"{base}/{WHEEL}", False)
    assert any(s["finding"] == f"`{WHEEL}` has the hash that is locked" for s in first["steps"])


def test_what_poetry_locked(desk: Desk, tool: Repository) -> None:
    """Poetry's lock has names and hashes alone: each is looked for in the index."""

    def lock(name: str, value: str) -> None:
        desk.write(
            "poetry.lock",
            f'[[package]]\nname = "Acme_Tool"\nfiles = [{{ file = "{name}", hash = "sha256:{value}" }}]\n'
            '[package.source]\ntype = "legacy"\nurl = "https://gatepass.internal/acme/simple"\nreference = "acme"\n',
        )

    lock(WHEEL, digest(tool))
    told = desk.call()
    (explanation,) = told.document["explanations"]
    assert (told.code, told.document["file"]) == (0, "poetry.lock")
    assert explanation["url"] == "https://gatepass.internal/acme/simple/acme-tool/"
    assert any(step["finding"] == f"`{WHEEL}` has the hash that is locked" for step in explanation["steps"])
    lock(WHEEL, "0" * 64)
    assert "no client takes it" in desk.call().document["explanations"][0]["verdict"]
    lock("acme_tool-9.0.tar.gz", "0" * 64)
    assert "it is in no release" in desk.call().document["explanations"][0]["verdict"]
    tool.releases.append(Release("v1.0-again", [Asset(WHEEL, b"another")]))
    lock(WHEEL, digest(tool))
    assert "it is left out: the same name with another hash" in desk.call().document["explanations"][0]["verdict"]


# ----------------------------------------------------------------- the settings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "UV_INDEX",
            "https://pypi.example.com/simple acme=https://gatepass.internal/acme/simple/",
            "before all others",
        ),
        ("UV_DEFAULT_INDEX", "https://gatepass.internal/acme/simple/", "place of the public index"),
        ("UV_INDEX_URL", "https://gatepass.internal/acme/simple/", "place of the public index"),
        ("UV_EXTRA_INDEX_URL", "https://me:hunter2@packages.example.com/acme/simple/", "before all others"),
        ("PIP_EXTRA_INDEX_URL", "https://gatepass.internal/acme/simple/", "whichever of its indexes has the newest"),
    ],
)
def test_variables(desk: Desk, wheel_url: str, variable: str, value: str, said: str) -> None:
    """A variable that makes a client ask an index here for everything is warned of, by its name and in plain words; no
    password is repeated. It is no failure.
    """
    desk.write("requirements.txt", f"acme-tool @ {wheel_url}\n")
    told = desk.call(**{variable: value})
    (step,) = told.document["explanations"][0]["steps"]
    assert (told.code, step["name"], step["state"]) == (0, "index", "warn")
    assert step["finding"].startswith(f"{variable} names https://")
    assert "/acme/simple/" in step["finding"]
    assert said in step["finding"]
    assert step["hint"]
    told = desk.call(**{variable: "https://pypi.example.com/simple/"})
    assert len(told.document["explanations"]) == 1, "an index elsewhere is nobody's business"
