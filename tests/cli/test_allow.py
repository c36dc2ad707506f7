"""`gatepass allow` and `gatepass deny`, and what a cloned folder's rules.yaml does before: nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import GATEPASS, Client, Result, background, call, mitmdump

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Shell

NOT_ALLOWED = "./rules.yaml is not allowed; used instead: built-in rules; hint: gatepass check, then gatepass allow\n"


class Clone:
    """A folder with a rules.yaml of somebody's, and a user's shell in it."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in shell.env.items() if name != "STANDIN_TOKEN"}
        self.rules = folder / "rules.yaml"

    def gatepass(self, *arguments: str | Path, **extra: str) -> Result:
        return call([GATEPASS, *arguments], {**self.env, **extra}, cwd=self.folder)

    def listed(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def kept(self, *names: str) -> set[str]:
        """What `run` takes of these variables from its command."""
        show = (sys.executable, "-c", "import os; print(*os.environ)")
        told = self.gatepass("run", "--", *show, **dict.fromkeys(names, "s3cret"))
        assert told.code == 0, told.output
        return set(names) - set(told.output.splitlines()[-1].split())


@pytest.fixture
def clone(shell: Shell, tmp_path: Path) -> Clone:
    folder = tmp_path / "clone"
    folder.mkdir()
    clone = Clone(shell, folder)
    clone.rules.write_text(shell.rules.read_text())
    return clone


def test_allow_and_deny(clone: Clone) -> None:
    """Rules that lie in the folder are used once they are allowed, until they change, or are denied."""
    used = Result(0, "")
    not_used = Result(0, f"gatepass: {NOT_ALLOWED}")
    assert clone.gatepass("run", "--", "true") == not_used
    assert clone.gatepass("deny") == Result(0, "rules.yaml is not allowed: it was not before\n")
    allowing = Result(0, "rules.yaml is allowed until it changes; `gatepass deny` takes that back\n")
    assert clone.gatepass("allow") == allowing
    assert clone.gatepass("run", "--", "true") == used
    clone.rules.write_text(clone.rules.read_text() + "# changed\n")
    assert clone.gatepass("run", "--", "true") == not_used
    assert clone.gatepass("allow") == allowing
    assert clone.gatepass("deny") == Result(0, "rules.yaml is not allowed any more\n")
    assert clone.gatepass("run", "--", "true") == not_used


def test_a_file_elsewhere(clone: Clone, tmp_path: Path) -> None:
    """FILE may be anywhere; where it is found it is allowed, and only there."""
    for act, kept in (("allow", {"STANDIN_TOKEN"}), ("deny", set[str]())):
        told = call([GATEPASS, act, "clone/rules.yaml"], clone.env, cwd=tmp_path)
        assert (told.code, "clone/rules.yaml is " in told.output) == (0, True)
        assert clone.kept("STANDIN_TOKEN") == kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "error: rules.yaml: expected a rules file, got no such file\nhint: "),
        ("version: 1\nrules: []\n", "error: rules.yaml:2:1: rules: expected at least one entry, got none\n"),
        ("groups: []\n", "\nrules.yaml:1:1: version: expected `1`, got nothing\n"),
    ],
)
def test_what_cannot_be_allowed(clone: Clone, text: str | None, reason: str) -> None:
    """What is no rules file, or wrong, is not allowed: it is told what is wrong with it."""
    clone.rules.unlink()
    if text is not None:
        clone.rules.write_text(text)
    told = clone.gatepass("allow")
    assert told.code == 1
    assert reason in told.output
    assert not (clone.folder.parent / ".local").exists()


# ------------------------------------------------- what a cloned folder tries


def test_a_tools_setting(clone: Clone) -> None:
    """An index that the shell names stays the command's: the rules that would take it are not used, and not allowed."""
    settings = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_REQUIRE_HASHES")
    sources = ", ".join(f"env:{name}" for name in settings)
    clone.rules.write_text(
        f"version: 1\ncredentials: {{x: {{from: [{sources}], hosts: [github.com]}}}}\n"
        "rules: [{match: github.com/*, resolve: github-release, credential: x}]\n"
    )
    for act in (("check",), ("allow",), ("run", "--rules", "rules.yaml", "--", "true")):
        told = clone.gatepass(*act)
        assert told.code == 1
        for name in settings:
            assert f"a variable that holds a secret, and nothing else, got `env:{name}`\nhint: " in told.output
    assert clone.kept(*settings) == set()


def test_a_secret_of_the_shells(clone: Clone, github: StandIn) -> None:
    """No variable that the file names leaves the shell before it was allowed: by no command, to no host."""
    clone.rules.write_text(
        f"version: 1\ncredentials: {{x: {{from: [env:AWS_SECRET_ACCESS_KEY], hosts: ['{github.web}']}}}}\n"
        f"rules: [{{match: '{github.web}/*', headers: {{X-Token: '{{credential}}'}}, credential: x}}]\n"
    )
    secret = {"AWS_SECRET_ACCESS_KEY": "hunter2hunter2"}
    url = f"https://{github.web}/injected/x"
    clone.gatepass("run", "--", "curl", "-s", url, **secret)
    told = clone.gatepass("explain", url, **secret)
    assert f"gatepass: {NOT_ALLOWED}" in told.output
    told = clone.gatepass("check", **secret)
    assert told.code == 0
    assert "it is not allowed yet, so no credential was looked for" in told.output
    assert [call for call in github.calls() if "hunter2" in str(call)] == []
    assert clone.gatepass("allow").code == 0
    clone.gatepass("run", "--", "curl", "-s", url, **secret)
    assert [call.headers["x-token"] for call in github.calls("web") if "hunter2" in str(call)] == ["hunter2hunter2"]


@pytest.mark.parametrize("named", [(), ("rules.yaml",), ("./rules.yaml",)])
def test_check_runs_nothing(clone: Clone, named: tuple[str, ...]) -> None:
    """`check` looks at a file before it is allowed, be it by its name, and asks none of its sources; after it, all."""
    clone.rules.write_text(
        "version: 1\ncredentials: {x: {from: [{command: [touch, sprung]}], hosts: [github.com]}}\n"
        "rules: [{match: github.com/*, resolve: github-release, credential: x}]\n"
    )
    told = clone.gatepass("check", *named)
    assert told.code == 0
    assert "github.com/*\n  match       github.com/*\n" in told.output
    assert told.output.endswith("no credential was looked for; `gatepass allow` lets it be used\n")
    assert clone.listed() == ["rules.yaml"]
    clone.gatepass("allow")
    assert "allowed" not in clone.gatepass("check", *named).output
    assert clone.listed() == ["rules.yaml", "sprung"]


def test_another_programs_rules(clone: Clone) -> None:
    """A rules.yaml that is none of Gatepass's stops nothing, and costs no word."""
    clone.rules.write_text("groups:\n  - name: example\n    rules: []\n")
    assert clone.gatepass("run", "--", "true") == Result(0, "")
    assert clone.gatepass("check", "--offline", GH_TOKEN="ghp_a").output.startswith("built-in rules: 5 rules;")


def test_nothing_is_shown_of_a_file_that_is_linked_to(clone: Clone, tmp_path: Path) -> None:
    """A link in the folder shows nobody what it leads to: by no command, whatever that says at its top."""
    (tmp_path / "private").write_text("version: 1\nhunter2: x\n")
    clone.rules.unlink()
    clone.rules.symlink_to("../private")
    for act in (
        ("run", "--", "true"),
        ("check",),
        ("check", "rules.yaml"),
        ("allow",),
        ("deny",),
        ("explain", "https://github.com/"),
    ):
        told = clone.gatepass(*act, GH_TOKEN="ghp_a")
        assert "hunter2" not in told.output


# ------------------------------------------------------------ servers, too


def test_serve(clone: Clone) -> None:
    """`serve` follows the same places."""
    serve = (GATEPASS, "serve", "--listen", "127.0.0.1:0")
    with background(serve, clone.env, clone.folder) as running:
        running.wait_for(r"gatepass: \./rules\.yaml is not allowed; used instead: built-in rules; hint: ")
        running.wait_for(r"5 rules of built-in rules for github\.com, raw\.githubusercontent\.com")
        assert running.output.count("is not allowed") == 1
    assert clone.gatepass("allow").code == 0
    assert clone.gatepass("ca", "renew").code == 0
    with background(serve, clone.env, clone.folder) as running:
        running.wait_for(r"3 rules of rules\.yaml for localhost:")
        assert "is not allowed" not in running.output


def test_mitmdump(clone: Clone, github: StandIn, wheel_url: str) -> None:
    """`mitmdump -s` follows the same places: what is served after the file was allowed was not before."""
    home = clone.env["HOME"]
    with mitmdump(clone.folder, None, github.ca_file, HOME=home, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        assert f"gatepass: {NOT_ALLOWED}" in proxy.log
        assert Client(clone.folder, proxy.variables()).fetch(wheel_url, "-k").status == 404
    clone.gatepass("allow")
    with mitmdump(clone.folder, None, github.ca_file, HOME=home, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        assert "is not allowed" not in proxy.log
        assert Client(clone.folder, proxy.variables()).fetch(wheel_url).status == 302
