"""Which rules file is read, and which is not before it was allowed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass import shipped
from gatepass.errors import GatepassError
from gatepass.rules import allowed, locate
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import RulesError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "rules.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder, empty, wherever the platform has it."""
    folder = tmp_path / "home"
    monkeypatch.setattr("click.get_app_dir", lambda name: str(folder / name))
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment that says where it is remembered what was allowed."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


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


def allow(path: Path, environ: dict[str, str]) -> None:
    """What `gatepass allow` does."""
    allowed.allow(path.resolve(), path.read_bytes(), environ)


def look(environ: dict[str, str], cwd: Path) -> tuple[str, list[str]]:
    """Whose the rules are that are read when none are named, and what is told besides."""
    told: list[str] = []
    return locate.load(None, environ, cwd, told.append).source, told


NOT_ALLOWED = "./rules.yaml is not allowed; used instead: built-in rules; hint: gatepass check, then gatepass allow"


def test_first_found_is_read(cwd: Path, home: Path, environ: dict[str, str]) -> None:
    """The order is: explicit, the variable, the working folder, the user's folder, built in."""
    places = [cwd / "explicit.yaml", cwd / "variable.yaml", cwd / "rules.yaml", home / "gatepass" / "rules.yaml"]
    for path in places:
        write(path, path.parent.name + path.stem)

    allow(places[2], environ)

    def first(explicit: str | None, variable: str | None) -> tuple[str, str]:
        named = {"GATEPASS_RULES": variable} if variable is not None else {}
        rules = locate.load(explicit, environ | named, cwd)
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


def test_a_named_file_without_a_home(no_home: Path) -> None:
    """`~` is never a folder of that name in the working one."""
    write(no_home / "rules.yaml", "a trap")
    with pytest.raises(GatepassError, match="expected a path, got one in your home"):
        locate.load("~/rules.yaml", {}, no_home.parent)


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


def test_mistakes_name_the_file_that_was_read(cwd: Path) -> None:
    """An error in the rules begins with the name of their file."""
    (cwd / "mine.yaml").write_text("version: 2", encoding="utf-8")
    with pytest.raises(RulesError, match=r"^mine\.yaml:1:1: version: "):
        locate.load("mine.yaml", {}, cwd)


# ------------------------------------------------------------- merely found


def test_a_found_file_is_not_used_before_it_was_allowed(cwd: Path, home: Path, environ: dict[str, str]) -> None:
    """Whatever lies in the working folder is passed over for the next place, and one line says so; allowed, it is used;
    denied, it is not any more.
    """
    write(cwd / "rules.yaml", "mine")
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])
    write(home / "gatepass" / "rules.yaml", "users")
    assert look(environ, cwd)[0] == str(home / "gatepass" / "rules.yaml")
    allow(cwd / "rules.yaml", environ)
    assert look(environ, cwd) == ("rules.yaml", [])
    assert allowed.deny(cwd / "rules.yaml", environ)
    assert look(environ, cwd)[0] == str(home / "gatepass" / "rules.yaml")
    assert not allowed.deny(cwd / "rules.yaml", environ)


def test_what_is_named_is_trusted(cwd: Path, environ: dict[str, str]) -> None:
    """Naming a file is how to say that it is meant: it need not be allowed."""
    write(cwd / "rules.yaml", "mine")
    assert locate.load("rules.yaml", environ, cwd).rules[0].name == "mine"
    assert locate.load(None, environ | {"GATEPASS_RULES": "./rules.yaml"}, cwd).rules[0].name == "mine"


def test_a_change_ends_it(cwd: Path, environ: dict[str, str]) -> None:
    """A file is allowed as it was: any other content is not, and the same content is again."""
    write(cwd / "rules.yaml", "mine")
    allow(cwd / "rules.yaml", environ)
    content = (cwd / "rules.yaml").read_bytes()
    (cwd / "rules.yaml").write_bytes(content + b"\n")
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])
    (cwd / "rules.yaml").write_bytes(content)
    assert look(environ, cwd) == ("rules.yaml", [])


def test_another_place_is_another_file(cwd: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """A copy of an allowed file is not allowed: who allowed it looked at one place."""
    write(cwd / "rules.yaml", "mine")
    allow(cwd / "rules.yaml", environ)
    write(tmp_path / "other" / "rules.yaml", "mine")
    assert look(environ, tmp_path / "other") == ("built-in rules", [NOT_ALLOWED])


def test_a_link_is_what_it_leads_to(cwd: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """A link is allowed where that which it leads to is, and not where it is led elsewhere since."""
    write(tmp_path / "team.yaml", "team")
    write(tmp_path / "other.yaml", "team")
    (cwd / "rules.yaml").symlink_to(tmp_path / "team.yaml")
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])
    allow(cwd / "rules.yaml", environ)
    assert look(environ, cwd) == ("rules.yaml", [])
    (cwd / "rules.yaml").unlink()
    (cwd / "rules.yaml").symlink_to(tmp_path / "other.yaml")
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])


@pytest.mark.parametrize(
    "content", [b"version: 1\npassword hunter2: [\n", b"version: 1\nhunter2: x\n", b"version: 1\n\xff"]
)
def test_nothing_is_shown_of_what_a_link_leads_to(cwd: Path, environ: dict[str, str], content: bytes) -> None:
    """A link may lead to what its maker cannot read: no error has a part of it before it is allowed."""
    (cwd.parent / "private").write_bytes(content)
    (cwd / "rules.yaml").symlink_to("../private")
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])
    for explicit in (None, "rules.yaml", "./rules.yaml"):
        with pytest.raises(
            GatepassError, match=r"rules\.yaml: expected a rules file, got a link to what is none"
        ) as caught:
            locate.examine(explicit, environ, cwd)
        assert str(cwd.parent / "private") in str(caught.value.hint)
        assert "hunter2" not in str(caught.value)
    allow(cwd / "rules.yaml", environ)
    with pytest.raises(GatepassError, match=r"^rules\.yaml:\d"):
        locate.load(None, environ, cwd)


@pytest.mark.parametrize(
    "text",
    [
        "name: ci\non: push\n",
        "groups: [{name: example, rules: []}]\n",
        "version: 2\n",
        "version: 10\n",
        "apiVersion: 1\n",
        "groups:\n  version: 1\n",
        "# version: 1\nname: x\n",
        "{not: [yaml\n",
        "",
        "#" * (2**20 + 1),
    ],
)
def test_another_programs_file_is_passed_over(cwd: Path, environ: dict[str, str], text: str) -> None:
    """A file that does not say `version: 1` at its top is another program's, and not worth a word."""
    (cwd / "rules.yaml").write_text(text)
    assert look(environ, cwd) == ("built-in rules", [])


@pytest.mark.parametrize(
    "text",
    [
        "rules: []\nversion: 1\n",
        "version: 1",
        "# mine\n---\n  version:  1  # the first\n",
        '{"version": 1, "rules": []}',
        '{\n  "version": 1,\n  "rules": []\n}',
        "\ufeff'version': 1\n",
        "version: 1\nrules: [not: {yaml\n",
        "version: 1\n" + "#" * 2**20,
    ],
)
def test_a_file_that_may_be_ours_is_told(cwd: Path, environ: dict[str, str], text: str) -> None:
    """However it is written, and be it wrong: who meant it for Gatepass hears that it is not used."""
    (cwd / "rules.yaml").write_text(text)
    assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "expected a readable file, got `"),
        (make_pipe, "expected a readable file, got `no file`"),
        (lambda path: path.symlink_to("/dev/zero"), "expected a readable file, got `no file`"),
        (lambda path: path.symlink_to("nowhere"), "expected a rules file, got a link to nothing"),
        (lambda path: path.symlink_to("rules.yaml"), "expected a readable file, got `"),
    ],
    ids=["folder", "pipe", "device", "lost", "circle"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
def test_what_cannot_be_read_holds_nothing_up(
    cwd: Path, environ: dict[str, str], make: Callable[[Path], None], reason: str
) -> None:
    """What is no file, or cannot be read, is passed over with the reason; a pipe that nobody writes to, too."""
    make(cwd / "rules.yaml")
    source, told = look(environ, cwd)
    assert source == "built-in rules"
    assert len(told) == 1
    assert told[0].startswith(f"rules.yaml: {reason}")
    # whoever looks at it is told as of any error
    with pytest.raises(GatepassError, match=re.escape(reason)):
        locate.examine(None, environ, cwd)


# --------------------------------------------------------------- remembered


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners and modes")
class TestMemory:
    """What is remembered decides who gets secrets: it is the user's own."""

    def test_it_is_private(self, cwd: Path, environ: dict[str, str]) -> None:
        """The folder is its user's alone, and so is each file in it, whatever the umask; none is half written."""
        write(cwd / "rules.yaml", "mine")
        before = os.umask(0)
        try:
            allow(cwd / "rules.yaml", environ)
        finally:
            os.umask(before)
        folder = allowed.folder(environ)
        assert folder == Path(environ["XDG_STATE_HOME"], "gatepass", "allowed")
        (file,) = folder.iterdir()
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, file)] == [0o700, 0o700, 0o600]
        checked = subprocess.run(["sha256sum", "--check", file], capture_output=True, check=True)
        assert checked.stdout == f"{cwd / 'rules.yaml'}: OK\n".encode()

    def test_what_others_wrote_does_not_count(
        self, cwd: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another user wrote there, or could change, allows nothing."""
        write(cwd / "rules.yaml", "mine")
        allow(cwd / "rules.yaml", environ)
        folder = allowed.folder(environ)
        assert folder is not None
        (file,) = folder.iterdir()
        for mode in (0o620, 0o602):
            file.chmod(mode)
            assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])
        file.chmod(0o600)
        assert look(environ, cwd) == ("rules.yaml", [])
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert look(environ, cwd) == ("built-in rules", [NOT_ALLOWED])

    def test_where_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is $XDG_STATE_HOME, else where the platform has it; a relative path, or no home at all, is no place."""
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("HOME", "/home/me")
        assert allowed.folder({"XDG_STATE_HOME": "/state"}) == Path("/state/gatepass/allowed")
        for environ in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "state"}):
            assert allowed.folder(environ) == Path("/home/me/.local/state/gatepass/allowed")
        monkeypatch.setattr("gatepass.home.folder", lambda: None)  # as it is without HOME and passwd entry
        assert allowed.folder({}) is None

    def test_without_a_place(self, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nothing can be remembered nothing is allowed, and who tries to is told; nothing is written."""
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setattr("gatepass.home.folder", lambda: None)  # as it is without HOME and passwd entry
        write(cwd / "rules.yaml", "mine")
        with pytest.raises(GatepassError, match="expected a folder to remember it in, got no home"):
            allow(cwd / "rules.yaml", {})
        assert look({}, cwd) == ("built-in rules", [NOT_ALLOWED])
        assert not allowed.deny(cwd / "rules.yaml", {})
        assert [path.name for path in cwd.iterdir()] == ["rules.yaml"]

    def test_a_place_that_is_none(self, cwd: Path, tmp_path: Path) -> None:
        """A state folder that cannot be written to is told by its name."""
        write(cwd / "rules.yaml", "mine")
        (tmp_path / "file").touch()
        for act in (allow, lambda path, environ: allowed.deny(path, environ)):
            with pytest.raises(GatepassError, match="gatepass/allowed: expected a folder to write to, got `"):
                act(cwd / "rules.yaml", {"XDG_STATE_HOME": str(tmp_path / "file")})


def test_the_users_folder_is_none_of_the_working_folder(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home, or with an empty $XDG_CONFIG_HOME, no file below the working folder passes for the user's."""
    for place in ("~/.config/gatepass", "gatepass"):
        write(cwd / place / "rules.yaml", "trap")
        monkeypatch.chdir(cwd)
        monkeypatch.setattr("click.get_app_dir", lambda _, place=place: place)
        assert locate.load(None, {}, cwd).source == "built-in rules"
