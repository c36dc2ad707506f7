"""`gatepass index`: what an index holds, as people and programs are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Shell

RULES = """\
version: 1
forges: [{{web: "{web}", api: "{api}"}}]
credentials: {{standin: {{from: [env:STANDIN_TOKEN], hosts: ["{web}"]}}}}
clients: {{ci: {{networks: [10.0.0.0/8]}}}}
rules:
  - {{match: "{web}/acme/*/releases/download/*", resolve: github-release, credential: standin, clients: [ci]}}
indexes:
  acme: {{repositories: ["{web}/acme/*"], credential: standin, clients: [ci]}}
"""


@pytest.fixture
def index_rules(github: StandIn, tmp_path: Path) -> Path:
    path = tmp_path / "index.yaml"
    path.write_text(RULES.format(web=github.web, api=github.api))
    return path


@pytest.fixture
def tool(github: StandIn) -> Repository:
    wheel, sdist = package.wheel("acme_tool", "1.0"), package.sdist("acme_tool", "1.0")
    assets = [Asset(wheel.name, wheel.content), Asset(sdist.name, sdist.content), Asset("SHA256SUMS", b"")]
    newer = [Asset("acme_tool-1.1.tar.gz", b"1", digest=None)]
    releases = [Release("v1.0", assets), Release("v1.1", newer), Release("v1!2.0", [Asset("acme_tool-1.2.0.tar.gz")])]
    tool = Repository("acme", "tool", releases=releases)
    github.repositories.append(tool)
    return tool


@pytest.mark.usefixtures("tool")
def test_the_table(shell: Shell, index_rules: Path, github: StandIn) -> None:
    """A line a version: its files, their release, whether they have a hash, since when; then what was left out."""
    for name in ("acme", f"{github.web}/acme/tool", "https://gatepass.internal/acme/simple/"):
        done = shell.gatepass("index", name, "--rules", index_rules)
        assert (done.returncode, done.stderr) == (0, b"")
        lines = done.stdout.decode().splitlines()
        assert lines[0].endswith(": 1 project, 3 files")
        assert lines[2].split() == ["project", "version", "files", "release", "hash", "since"]
        assert lines[3].split()[:6] == ["acme-tool", "1.1", "1", "sdist", "v1.1", "no"]
        assert lines[4].split()[:8] == ["acme-tool", "1.0", "1", "wheel,", "1", "sdist", "v1.0", "yes"]
        text = done.stdout.decode()
        assert "left out: 2 files" in text
        assert "neither a wheel nor an sdist by its name:\n    SHA256SUMS  v1.0" in text
        assert "it is version 1!2.0" in text
        assert "acme-tool 1.1: no file has a hash" in text
        assert DEFAULT_TOKEN not in text


def test_foreign_names_make_no_lines(shell: Shell, index_rules: Path, tool: Repository) -> None:
    """What a file is called neither begins a line of the table nor steers the terminal."""
    tool.releases[0].assets.append(Asset("x\x1b[31m\nleft out: nothing", b""))
    done = shell.gatepass("index", "acme", "--rules", index_rules)
    assert b"    x [31m left out: nothing  v1.0\n" in done.stdout
    assert b"\nleft out: nothing" not in done.stdout


def test_a_hash_that_some_have(shell: Shell, index_rules: Path, tool: Repository) -> None:
    """Of a version some of whose files have no hash it is said which: no lock file of it can be synchronised."""
    tool.releases[0].assets[1].digest = None
    done = shell.gatepass("index", "acme", "--rules", index_rules)
    assert "acme-tool 1.0: acme_tool-1.0.tar.gz has no hash, and the others have one" in done.stdout.decode()
    assert "1 of 2" in done.stdout.decode()


@pytest.mark.usefixtures("tool")
def test_an_index_that_there_is_not(shell: Shell, index_rules: Path) -> None:
    """What cannot be shown is an error, with what to do."""
    done = shell.gatepass("index", "acne", "--rules", index_rules)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("error: no such index: the rules name no index `acne`\nhint: ")
    done = shell.gatepass("index", "gitlab.com/acme/tool", "--rules", index_rules, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["ok"], "no rule covers" in told["error"]["message"]) == (False, True)


def test_it_downloads_nothing(shell: Shell, index_rules: Path, tool: Repository, github: StandIn) -> None:
    """One call for the repositories, and one for the releases of each."""
    assert tool.releases
    github.forget()
    shell.gatepass("index", "acme", "--rules", index_rules, "--json")
    assert [call.path.rpartition("/")[2] for call in github.calls()] == ["repos", "releases"]


def test_explain_warns_of_an_index_that_is_not_explicit(shell: Shell, wheel_url: str) -> None:
    """`gatepass explain` without a URL warns of an index here that uv would ask for any project; it is no failure."""
    text = f"""
    [project]
    name = "app"
    version = "0"
    dependencies = ["acme-tool @ {wheel_url}"]
    [[tool.uv.index]]
    name = "acme"
    url = "https://gatepass.internal/acme/simple/"
    """
    (shell.home / "pyproject.toml").write_text(text)
    done = shell.gatepass("explain", "--rules", shell.rules, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (0, True), told
    (step,) = told["explanations"][0]["steps"]
    assert (step["name"], step["state"]) == ("index", "warn")
    assert len(told["explanations"]) == 2
    (shell.home / "pyproject.toml").write_text(f"{text}explicit = true\n")
    done = shell.gatepass("explain", "--rules", shell.rules, "--json")
    assert len(json.loads(done.stdout)["explanations"]) == 1
