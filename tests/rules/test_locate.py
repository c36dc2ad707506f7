"""Which rules file is read, and which is not trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gatepass import shipped
from gatepass.errors import GatepassError
from gatepass.rules import locate
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import RulesError

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "rules.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder, empty, wherever the platform has it."""
    folder = tmp_path / "home"
    monkeypatch.setattr("click.get_app_dir", lambda name: str(folder / name))
    return folder


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """A working folder, empty."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def write(path: Path, name: str) -> None:
    """Rules that can be told by the name of their first rule."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(EXAMPLE.replace("name: private releases", f"name: {name}"), encoding="utf-8")
    path.chmod(0o644)


def test_first_found_is_read(cwd: Path, home: Path) -> None:
    """The order is: explicit, the variable, the working folder, the user's folder, built in."""
    places = [cwd / "explicit.yaml", cwd / "variable.yaml", cwd / "rules.yaml", home / "gatepass" / "rules.yaml"]
    for path in places:
        write(path, path.parent.name + path.stem)

    def first(explicit: str | None, variable: str | None) -> tuple[str, str]:
        rules = locate.load(explicit, {"GATEPASS_RULES": variable} if variable is not None else {}, cwd)
        return rules.source, rules.rules[0].name

    assert first("explicit.yaml", "variable.yaml") == ("explicit.yaml", "workexplicit")
    assert first(None, str(places[1])) == (str(places[1]), "workvariable")
    assert first("", "") == ("rules.yaml", "workrules")
    places[2].unlink()
    assert first(None, None) == (str(places[3]), "gatepassrules")
    places[3].unlink()
    assert first(None, None) == ("built-in rules", "private releases")


def test_built_in_rules_are_the_repository_s(cwd: Path) -> None:
    """Without any file the rules are those of the repository's rules.yaml."""
    assert locate.load(None, {}, cwd) == parse(EXAMPLE, "built-in rules")


def test_wheel_holds_what_the_source_tree_has(tmp_path: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installed package the rules and the script lie inside it."""
    package = tmp_path / "site-packages" / "gatepass"
    write(package / "rules.yaml", "packaged")
    (package / "script").mkdir()
    (package / "script" / "inject.py").touch()
    assert shipped.script() == ROOT / "addon" / "inject.py"
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert locate.load(None, {}, cwd).rules[0].name == "packaged"
    assert shipped.script() == package / "script" / "inject.py"


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing.yaml", "missing.yaml: expected a rules file, got no such file"),
        ("~nobody-of-that-name/rules.yaml", "~nobody-of-that-name/rules.yaml: expected a rules file, got no such file"),
        ("folder", "folder: expected a readable file, got `"),
        ("latin.yaml", "latin.yaml:2: expected text in UTF-8, got the byte `0xe9`"),
        ("long.yaml", "long.yaml: expected at most 1048576 bytes, got more"),
        ("link.yaml", "link.yaml: expected a rules file, got a link to nothing"),
    ],
)
def test_a_named_file_is_never_passed_over(cwd: Path, name: str, expected: str, by_variable: bool) -> None:
    """A file that is named and cannot be read is an error with a hint, not a reason to read another."""
    write(cwd / "rules.yaml", "fallback")
    (cwd / "folder").mkdir()
    (cwd / "latin.yaml").write_bytes(b"a: b\nc: \xe9")
    (cwd / "long.yaml").write_bytes(b"#" * (2**20 + 1))
    (cwd / "link.yaml").symlink_to("nowhere")
    with pytest.raises(GatepassError) as caught:
        locate.load(None if by_variable else name, {"GATEPASS_RULES": name} if by_variable else {}, cwd)
    assert caught.value.message.startswith(expected)
    assert caught.value.hint is not None
    if name == "missing.yaml":
        assert ("GATEPASS_RULES" in caught.value.hint) is by_variable


def test_a_found_file_that_cannot_be_read_is_an_error(cwd: Path) -> None:
    """A rules.yaml in the working folder is not passed over either, once it is there."""
    (cwd / "rules.yaml").mkdir()
    with pytest.raises(GatepassError, match=r"^rules\.yaml: expected a readable file"):
        locate.load(None, {}, cwd)


def test_mistakes_name_the_file_that_was_read(cwd: Path) -> None:
    """An error in the rules begins with the name of their file."""
    (cwd / "mine.yaml").write_text("version: 2", encoding="utf-8")
    with pytest.raises(RulesError, match=r"^mine\.yaml:1:1: version: "):
        locate.load("mine.yaml", {}, cwd)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners and modes")
class TestTrust:
    """A rules.yaml that merely lies in the working folder could send a token elsewhere."""

    def test_a_world_writable_file_is_refused(self, cwd: Path) -> None:
        """What anyone may change is not read."""
        write(cwd / "rules.yaml", "trap")
        (cwd / "rules.yaml").chmod(0o666)
        with pytest.raises(GatepassError, match="got a world-writable one"):
            locate.load(None, {}, cwd)

    def test_another_user_s_file_is_refused(self, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What another user wrote is not read."""
        write(cwd / "rules.yaml", "trap")
        if os.geteuid() == 0:  # root's files are everyone's to trust
            os.chown(cwd / "rules.yaml", 12345, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(GatepassError, match="expected a file of your own, got one of user"):
            locate.load(None, {}, cwd)

    def test_a_file_that_is_named_is_trusted(self, cwd: Path) -> None:
        """Naming the file is how to say that it is meant, and the hint says so."""
        write(cwd / "rules.yaml", "mine")
        (cwd / "rules.yaml").chmod(0o666)
        with pytest.raises(GatepassError) as caught:
            locate.load(None, {}, cwd)
        assert caught.value.hint == "if you trust it, name it: `GATEPASS_RULES=./rules.yaml`"
        assert locate.load(None, {"GATEPASS_RULES": "./rules.yaml"}, cwd).rules[0].name == "mine"

    @pytest.mark.parametrize(
        ("source", "hosts"),
        [
            ("{command: [touch, sprung]}", "github.com"),
            ("file:~/.netrc", "github.com"),
            ("keyring:team/me", "github.com"),
            ("git", "github.com"),
            ("netrc", "github.com"),
            ("{github-app: {id: 1, key: 'file:~/app.pem'}}", "github.com"),
            ("env:AWS_SECRET_ACCESS_KEY", "github.com, evil.test"),
            ("default", "github.com, ghe.evil.test"),
            ("gh", "github.com, ghe.evil.test"),
        ],
    )
    def test_what_it_may_reach(self, cwd: Path, source: str, hosts: str) -> None:
        """A file that came with a repository runs nothing, opens nothing of the user's, and sends no secret to a host
        of its own choice, until the user names it.
        """
        text = "version: 1\nforges: [{web: ghe.evil.test}]\n"
        text += f"credentials: {{a: {{from: [env:A, {source}], hosts: [{hosts}]}}}}\n"
        text += "rules: [{match: github.com/*, resolve: github-release, credential: a}]\n"
        (cwd / "rules.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(GatepassError, match=r"^rules.yaml: credentials.a: expected ") as caught:
            locate.load(None, {}, cwd)
        assert caught.value.hint is not None
        assert "GATEPASS_RULES=./rules.yaml" in caught.value.hint
        assert "`--rules ./rules.yaml`" in caught.value.hint
        assert locate.load("rules.yaml", {}, cwd).credentials
        assert locate.load(None, {"GATEPASS_RULES": "rules.yaml"}, cwd).credentials

    @pytest.mark.parametrize("source", ["default", "gh", "env:A", "{github-app: {id: 1, key: 'env:KEY'}}"])
    def test_what_it_may_use(self, cwd: Path, source: str) -> None:
        """What leads to GitHub itself needs no more than to be found."""
        text = f"version: 1\ncredentials: {{a: {{from: [{source}], hosts: [github.com]}}}}\n"
        text += "rules: [{match: github.com/*, resolve: github-release, credential: a}]\n"
        (cwd / "rules.yaml").write_text(text, encoding="utf-8")
        assert locate.load(None, {}, cwd).credentials

    def test_a_pipe(self, cwd: Path) -> None:
        """A pipe of that name, which nobody writes to, holds up no command."""
        os.mkfifo(cwd / "rules.yaml", 0o600)
        with pytest.raises(GatepassError, match="expected a file, got something else"):
            locate.load(None, {}, cwd)


def test_another_programs_rules(tmp_path: Path) -> None:
    """A rules.yaml that is found, and that is no rules file, is told with the way round it."""
    (tmp_path / "rules.yaml").write_text("name: ci\non: push\n")
    with pytest.raises(GatepassError, match="was found in this folder: if it is not Gatepass's"):
        locate.load(None, {}, tmp_path)
