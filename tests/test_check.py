"""`gatepass check`, as its users see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gatepass.cli.check import check

if TYPE_CHECKING:
    from pathlib import Path

RULES = """\
version: 1
forges:
  - {web: ghe.example.com, api: https://ghe.example.com/api/v3}
credentials:
  work: {from: [env:WORK, env:OTHER], hosts: [store.example.com, ghe.example.com]}
rules:
  - name: company releases
    match: ghe.example.com/*/releases/download/*
    resolve: github-release
    credential: work
  - match: store.example.com:443/private/*
    headers: {PRIVATE-TOKEN: "{credential}", X-Team: do-not-print}
    credential: work
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without rules of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEPASS_RULES", raising=False)
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "home" / name))
    return tmp_path


def test_good_rules_are_explained(folder: Path) -> None:
    """Each rule is a block: what matches, what happens, the sources in order, and where the secret may go."""
    (folder / "mine.yaml").write_text(RULES, encoding="utf-8")
    result = CliRunner().invoke(check, ["mine.yaml"])
    assert result.stderr == ""
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
mine.yaml: 2 rules; the first that matches is applied
intercepted: ghe.example.com, store.example.com

company releases
  match       ghe.example.com/*/releases/download/*
  action      finds the release asset through the API, and fetches it
  credential  work: env:WORK, then env:OTHER
  sent to     ghe.example.com, and nowhere else
  bound to    ghe.example.com, store.example.com

store.example.com/private/*
  match       store.example.com/private/*
  action      sets PRIVATE-TOKEN, X-Team
  credential  work: env:WORK, then env:OTHER
  sent to     store.example.com, and nowhere else
  bound to    ghe.example.com, store.example.com
"""
    )


def test_secrets_are_not_looked_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking reads no secret: neither a set variable nor an unset one makes a difference."""
    (folder / "mine.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.delenv("WORK", raising=False)
    unset = CliRunner().invoke(check, ["mine.yaml"])
    monkeypatch.setenv("WORK", "hunter2")
    assert CliRunner().invoke(check, ["mine.yaml"]).output == unset.output


def test_without_a_file_the_rules_in_use_are_named() -> None:
    """Without FILE the rules are those that are in use, and the output says which these are."""
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 0
    assert result.stdout.startswith("built-in rules: 2 rules;")
    assert "  sent to     api.github.com, and nowhere else\n" in result.stdout


def test_wrong_rules_give_located_errors(folder: Path) -> None:
    """Mistakes go to stderr, all of them, located; nothing goes to stdout, and the exit code is 1."""
    (folder / "rules.yaml").write_text(RULES.replace("env:OTHER", "OTHER").replace("name:", "nme:"), encoding="utf-8")
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "rules.yaml:5:27: credentials.work.from[1]: expected a source of the kind `env:NAME`, got `OTHER`",
        "hint: `env:NAME` reads the environment variable NAME",
        (
            "rules.yaml:7:5: rules[0].nme: "
            "expected one of `match`, `credential`, `name`, `resolve`, `headers`, `when`, got `nme`"
        ),
        "hint: did you mean `name`?",
    ]


def test_a_missing_file_is_an_error() -> None:
    """A file that is named and missing is said to be missing, with a hint."""
    result = CliRunner().invoke(check, ["missing.yaml"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("missing.yaml: expected a rules file, got no such file\nhint: ")
