"""The command line for programs: its documents, and what completes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from gatepass.cli import COMMANDS
from gatepass.demo.standin import DEFAULT_TOKEN, Asset
from gatepass.shell import environment
from harness import BIN
from pages import PAGES, block
from shells import listening, program

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import Repository, StandIn
    from harness import Shell

PAGE: Final = PAGES["docs/scripts.md"]


def documented(command: str) -> set[str]:
    """The keys that the page tells of a command's document, and of what is in it."""
    (row,) = re.findall(rf"^\| `gatepass {command}[^|]*\| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row)) | {"name", "state", "finding", "hint"}


def keys(document: Any) -> set[str]:
    """All keys in a document."""
    if isinstance(document, dict):
        return set(document) | {key for value in document.values() for key in keys(value)}
    return {key for value in document for key in keys(value)} if isinstance(document, list) else set()


def document(shell: Shell, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """What a command with `--json` prints, which is all that it prints."""
    done = shell.gatepass(*arguments, "--json")
    assert (done.returncode, done.stderr) == (code, b"")
    assert DEFAULT_TOKEN.encode() not in done.stdout
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_check(shell: Shell, github: StandIn) -> None:
    """`check --json` tells of rules and credentials what is told to people, with the same exit code."""
    told = document(shell, "check", shell.rules)
    assert told.keys() == {"ok", "rules", "allowed", "hosts", "credentials", "without_credential"}
    assert told["allowed"] is True
    assert (told["ok"], told["rules"], told["hosts"]) == (True, str(shell.rules), [github.web])
    assert told["without_credential"] == []
    (credential,) = told["credentials"]
    assert (credential["name"], credential["site"], credential["ok"]) == ("standin", github.web, True)
    assert credential["steps"][0]["name"] == "credential"
    assert keys(told) <= documented("check")
    (shell.home / "none.yaml").write_text(shell.rules.read_text().replace("STANDIN_TOKEN", "NO_TOKEN"))
    told = document(shell, "check", "--rules", "none.yaml", code=1)
    assert (told["ok"], len(told["without_credential"])) == (False, 3)
    assert told["credentials"][0]["ok"] is False


def test_check_of_wrong_rules(shell: Shell) -> None:
    """Rules that are wrong, or not there, are a document, too."""
    (shell.home / "wrong.yaml").write_text("version: 2\n")
    for name in ("wrong.yaml", "none.yaml"):
        told = document(shell, "check", name, code=1)
        assert told["ok"] is False
        assert name in told["error"]["message"]
        assert keys(told) <= documented("check")


def test_check_of_rules_that_are_not_allowed(shell: Shell) -> None:
    """Of a file that is not allowed yet the document says so, and no credential is looked for."""
    (shell.home / "rules.yaml").write_bytes(shell.rules.read_bytes())
    for named in ((), ("rules.yaml",), ("--rules", "rules.yaml")):
        told = document(shell, "check", *named)
        assert (told["ok"], told["allowed"], told["credentials"]) == (True, False, [])
        assert keys(told) <= documented("check")


def test_check_by_an_option(shell: Shell) -> None:
    """`check --rules FILE` is `check FILE`; both are one too many."""
    by_option, by_name = (
        shell.gatepass("check", "--offline", *options) for options in (("--rules", shell.rules), (shell.rules,))
    )
    assert by_option.returncode == 0
    assert by_option.stdout == by_name.stdout
    assert shell.gatepass("check", "--rules", shell.rules, shell.rules).returncode == 2


def test_explain(shell: Shell, wheel_url: str) -> None:
    """The keys of `explain --json` are those that are documented."""
    told = document(replace(shell, env={**shell.env, "GATEPASS_RULES": str(shell.rules)}), "explain", wheel_url)
    assert keys(told) <= documented("explain")


def test_ca(shell: Shell) -> None:
    """`ca --json` tells what `ca` shows."""
    mine = replace(shell, env={**shell.env, "GATEPASS_RULES": str(shell.rules)})
    mine.gatepass("ca", "create")
    told = document(mine, "ca")
    assert told == document(mine, "ca", "show")
    shown = mine.gatepass("ca").stdout.decode()
    assert all(told[name] in shown for name in ("subject", "sha256"))
    assert (told["permits"], told["not_permitted"], told["days_left"]) == (["localhost", "gatepass.internal"], [], 364)
    assert told["certificate"].endswith(".pem")
    assert told.keys() == documented("ca") - {"name", "state", "finding", "hint"}
    done = mine.gatepass("ca", "--json", "export")
    assert (done.returncode, done.stdout) == (2, b"")


def test_env(shell: Shell, tmp_path: Path) -> None:
    """`env --json` is the variables, and nothing that is remembered; a path that is no UTF-8 comes through."""
    base = {**shell.env, "XDG_RUNTIME_DIR": str(tmp_path)}
    with listening(base, tmp_path / os.fsdecode(b"\xff.pem")) as server:
        told = document(replace(shell, env=base), "env")
        assert told == environment.for_client(server.proxy, server.bundle, server.ca, {})
        for option in ("--unset", "--github-actions", "--shell=bash"):
            done = replace(shell, env=base).gatepass("env", "--json", option)
            assert (done.returncode, done.stdout) == (2, b"")


# ------------------------------------------------------------------- completion

LINES: Final = {
    line.partition("_COMPLETE=")[2].partition("_source")[0]: line.partition("  #")[0]
    for line in block("sh", "_source").splitlines()
}
# Completes the words, and prints what is offered, a line each.
ASK: Final = {
    "bash": "COMP_WORDS=({words}); COMP_CWORD={last}; _gatepass_completion gatepass; "
    "printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "fish": "complete --do-complete='{line}'",
}


@pytest.mark.parametrize("shell_name", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "offered"),
    [("gatepass ", set(COMMANDS)), ("gatepass run --ver", {"--verbose"}), ("gatepass ca tr", {"trust"})],
)
def test_completion(shell: Shell, shell_name: str, line: str, offered: set[str]) -> None:
    """The line that the page shows for a shell lets it complete commands and options."""
    words = line.split(" ")
    ask = ASK[shell_name].format(line=line, words=" ".join(f"'{word}'" for word in words), last=len(words) - 1)
    env = {**shell.env, "PATH": f"{BIN}{os.pathsep}{shell.env['PATH']}"}
    done = subprocess.run(
        [*program(shell_name), f"{LINES[shell_name]}\n{ask}"], env=env, capture_output=True, text=True, check=True
    )
    assert {found.split()[0] for found in done.stdout.splitlines()} >= offered


def test_completion_for_zsh(shell: Shell) -> None:
    """The line for zsh is one that zsh takes."""
    env = {**shell.env, "PATH": f"{BIN}{os.pathsep}{shell.env['PATH']}"}
    script = f"autoload -Uz compinit && compinit -u\n{LINES['zsh']}\necho $_comps[gatepass]"
    done = subprocess.run(
        [*program("zsh"), script], env=env, cwd=shell.home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "_gatepass_completion\n"


def test_index(shell: Shell, github: StandIn, repository: Repository) -> None:
    """`index --json` tells each file of an index, and each that was left out; with its keys as they are documented."""
    repository.releases[0].assets.append(Asset("SHA256SUMS", b""))
    name = f"{github.web}/{repository.full_name}"
    told = document(shell, "index", name, "--rules", shell.rules)
    assert told.keys() == {"ok", "index", "projects", "left_out", "unread", "notes"}
    assert (told["ok"], told["index"], told["unread"], told["notes"]) == (True, name, 0, [])
    (project,) = told["projects"]
    (version,) = project["versions"]
    assert (project["name"], version["version"]) == ("acme-tool", "1.0")
    wheel = next(file for file in version["files"] if file["kind"] == "wheel")
    assert (wheel["release"], wheel["repository"]) == ("v1.0", name)
    assert f"sha256:{wheel['sha256']}" == repository.releases[0].assets[0].digest
    assert [left["why"] for left in told["left_out"]] == ["not-a-distribution"]
    failed = document(shell, "index", "no", "--rules", shell.rules, code=1)
    assert failed.keys() == {"ok", "error"}
    assert keys(told) | keys(failed) <= documented("index")
