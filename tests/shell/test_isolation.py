"""What an isolated command sees of files: the plan, and how bubblewrap is told of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.errors import GatepassError
from gatepass.shell import isolation
from gatepass.shell.isolation import Around, Kind, Plan, Wishes

WRITABLE, READABLE, EMPTY = Kind.WRITABLE, Kind.READABLE, Kind.EMPTY
NAMES = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(lambda parts: Path("/", *parts))
KINDS = st.dictionaries(PATHS, st.sampled_from(Kind), max_size=12)
EVERY = [
    Path("/", *parts) for parts in (["a"], ["b", "c"], ["a", "b", "c", "a"], ["a", "a", "a", "b", "c"], ["c", "b"])
]


@pytest.fixture
def around(tmp_path: Path) -> Around:
    """A home with a project, some secrets and some settings, below a /tmp that is not there inside."""
    home = tmp_path / "home"
    names = (
        ".ssh/key",
        ".config/gh/hosts.yml",
        ".config/git/config",
        ".bashrc",
        "notes",
        "project/.venv/bin/x",
        "bin/y",
    )
    for name in (*names, "run/private/ca.pem", "run/private/inside/empty"):
        path = (home if name.split("/")[0] != "run" else tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    private = tmp_path / "run" / "private"
    return Around({"PATH": f"{home}/bin"}, (home,), home / "project", private, private / "inside")


def test_what_becomes_of_what(around: Around) -> None:
    """In /tmp the working folder alone is there, writable; the run's public part, and not its key; and what is on the
    PATH. The home is there, and empty.
    """
    plan = isolation.plan(around, Wishes())
    home = around.homes[0]
    assert plan.of(around.working / "any") is WRITABLE
    assert plan.of(home / "notes") is EMPTY
    assert plan.of(home / "bin" / "y") is READABLE
    assert plan.of(around.private / "ca.pem") is EMPTY
    assert plan.of(around.public / "ca.pem") is READABLE
    for path in map(Path, ("/tmp/x", "/run/docker.sock", "/var/tmp/x")):
        assert plan.of(path) is EMPTY or not path.parent.is_dir()
    assert plan.of(Path("/usr/bin/env")) is READABLE
    assert plan.of(Path("/srv/x")) is WRITABLE


def test_a_home_that_is_there(around: Around) -> None:
    """Where the home is shown, its secrets are not, and what gives orders is readable alone."""
    home = around.homes[0]
    plan = isolation.plan(replace(around, working=home), Wishes())
    for name, kind in {
        "notes": WRITABLE, ".ssh/key": EMPTY, ".config/gh/hosts.yml": EMPTY, ".config/git/config": READABLE,
        ".bashrc": READABLE, ".config/x": WRITABLE, "bin/y": READABLE,
    }.items():  # fmt: skip
        assert plan.of(home / name) is kind, name
    # a folder around what is told apart is held in its place
    assert home / ".config" in plan.kinds


def test_code_is_nobodys_to_write(around: Around) -> None:
    """What Gatepass runs from can be read inside, and not written: in the working folder, and whatever is wished."""
    venv = around.working / ".venv"
    mine = replace(around, code=(venv,))
    for wishes in (Wishes(), Wishes(write=(around.working,)), Wishes(write=(venv,)), Wishes(hide=(venv,))):
        plan = isolation.plan(mine, wishes)
        assert plan.of(venv / "bin" / "x") is READABLE
        assert plan.of(around.working / "x") is WRITABLE
    with pytest.raises(GatepassError, match="not Gatepass's own"):
        isolation.plan(replace(mine, working=venv / "bin"), Wishes())


def test_python_is_there(around: Around) -> None:
    """What Python needs is there though what is around it is not."""
    python = around.homes[0] / "bin"
    plan = isolation.plan(replace(around, environ={}, needed=(python,)), Wishes())
    assert plan.of(python / "y") is READABLE


def test_wishes(around: Around) -> None:
    """What is hidden, shown or written by name is so with all below it, and the last word is that of the innermost."""
    home = around.homes[0]
    mine = replace(around, working=home)
    plan = isolation.plan(mine, Wishes(hide=(home / "project",), show=(home / ".config",), write=(home / ".bashrc",)))
    assert plan.of(home / "project" / "x") is EMPTY
    assert plan.of(home / ".config" / "gh" / "hosts.yml") is WRITABLE
    assert plan.of(home / ".config" / "git" / "config") is READABLE
    assert plan.of(home / ".bashrc") is WRITABLE
    plan = isolation.plan(mine, Wishes(show=(home / ".config",), hide=(home / ".config" / "gh",)))
    assert plan.of(home / ".config" / "gh" / "hosts.yml") is EMPTY


def test_read_only(around: Around) -> None:
    """Read-only is all but the working folder, what is written by name, and what goes with the command; what is shown
    is read-only, too.
    """
    home = around.homes[0]
    wishes = Wishes(read_only=True, write=(home / "bin",), show=(home / ".ssh",))
    plan = isolation.plan(around, wishes)
    assert plan.of(Path("/srv")) is READABLE
    assert plan.of(around.working) is WRITABLE
    assert plan.of(home / "bin") is WRITABLE
    assert plan.of(home / ".ssh" / "key") is READABLE


@pytest.mark.parametrize("place", ["/tmp", "home/.ssh", "home/bin"])
def test_a_working_folder_that_cannot_be(around: Around, tmp_path: Path, place: str) -> None:
    """The working folder is neither one that the command has anew, nor one that is hidden."""
    wishes = Wishes(hide=(tmp_path / "home" / "bin",))
    with pytest.raises(GatepassError, match="expected a working folder"):
        isolation.plan(replace(around, working=(tmp_path / place).resolve()), wishes)


def test_links(around: Around, tmp_path: Path) -> None:
    """What is hidden is what a link leads to: a mount lies there."""
    home = around.homes[0]
    (home / ".ssh").rename(home / "keys")
    (home / ".ssh").symlink_to("keys")
    plan = isolation.plan(replace(around, working=home), Wishes())
    assert plan.of(home / "keys" / "key") is EMPTY
    assert home / ".ssh" not in plan.kinds
    assert tmp_path not in plan.kinds


def test_devices_and_processes_are_let_be(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of /dev and /proc is told apart, whatever variables name: those outside would be there, then."""
    environ = {**around.environ, "NETRC": "/dev/null", "KUBECONFIG": "/proc/self/status", "SSH_AUTH_SOCK": "/dev/tty"}
    monkeypatch.setattr(isolation, "_listening", lambda: [Path("/dev/log"), Path("/dev/null")])
    plan = isolation.plan(replace(around, environ=environ), Wishes())
    assert [path for path in plan.kinds if path.parts[1] in ("dev", "proc")] in ([], [Path("/dev/shm")])
    told = plan.arguments(around.working, around.public)
    assert told[3:7] == ["--dev", "/dev", "--proc", "/proc"]
    assert not {"/dev", "/proc"} & {*told[7:]}


def mounted(told: list[str], path: Path) -> str:
    """By which of the words that bubblewrap is told a path is what it is: the last one around it."""
    found = ""
    words = iter(told)
    for word in words:
        if word in ("--bind", "--ro-bind", "--ro-bind-try", "--symlink"):
            source, target = next(words), next(words)
            kind = "empty" if source.endswith("/empty") else word
        else:
            target, kind = next(words), word
        if path.is_relative_to(target) and word != "--chdir":
            found = kind
    return found


@given(KINDS, st.sampled_from([WRITABLE, READABLE]))
def test_the_inner_comes_last(kinds: dict[Path, Kind], base: Kind) -> None:
    """However a plan was made, bubblewrap is told it so that each path becomes what the plan says."""
    plan = Plan(base, kinds)
    told = plan.arguments(Path("/a"), Path("/public"))
    words = {WRITABLE: ("--bind",), READABLE: ("--ro-bind",), EMPTY: ("--tmpfs", "empty")}
    for path in (*EVERY, *kinds):
        assert mounted(told, path) in words[plan.of(path)]


@given(KINDS, st.sampled_from([WRITABLE, READABLE]), st.sets(PATHS, max_size=3))
def test_what_is_left_out(kinds: dict[Path, Kind], base: Kind, own: set[Path]) -> None:
    """What is left out of a plan, and what is held in its place, changes nothing of what becomes of a path."""
    before, after = Plan(base, dict(kinds)), Plan(base, dict(kinds))
    isolation._settle(after, own, set())
    for path in (*EVERY, *kinds):
        assert after.of(path) is before.of(path)


@pytest.mark.parametrize("name", ["with spaces", "with\nlines", os.fsdecode(b"\xff"), "--bind"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    """A path is one word to bubblewrap, whatever is in it."""
    folder = tmp_path / name
    folder.mkdir()
    told = Plan(WRITABLE, {folder: EMPTY}).arguments(folder, tmp_path)
    assert told[-4:] == ["--tmpfs", str(folder), "--chdir", str(folder)]
    assert isolation.asked("--hide", [name], tmp_path, ()) == (folder,)


def test_paths_that_options_name(tmp_path: Path) -> None:
    """They are below the working folder, or begin with `~` for the home; one that is not there is an error."""
    (tmp_path / "x").mkdir()
    assert isolation.asked("--show", ["x", "~/x", str(tmp_path)], tmp_path, (tmp_path,)) == (
        tmp_path / "x", tmp_path / "x", tmp_path,
    )  # fmt: skip
    for wrong in ("y", "~/y", "a\0b", "~other/x"):
        with pytest.raises(GatepassError, match="--show: expected a path that is there"):
            isolation.asked("--show", [wrong], tmp_path, (tmp_path,))
    for wrong in ("/", "/proc", "/proc/1", "/proc/sys", "/dev", "/dev/null", "../" * 20):
        with pytest.raises(GatepassError, match=f"--write: expected a path of files, got `{wrong}`"):
            isolation.asked("--write", [wrong], tmp_path, (tmp_path,))


def test_variables(tmp_path: Path) -> None:
    """Secrets and ways to sockets are gone, what is kept or shown is not, and the rest stays."""
    agent = tmp_path / "agent"
    environ = {"A": "1", "X_TOKEN": "2", "Y_TOKEN": "3", "SSH_AUTH_SOCK": str(agent), "DOCKER_HOST": f"unix://{agent}"}
    assert isolation.environment(environ, ["Y_TOKEN"], []) == {"A": "1", "Y_TOKEN": "3"}
    given = isolation.environment(environ, ["DISPLAY"], [tmp_path])
    assert set(given) == {"A", "SSH_AUTH_SOCK", "DOCKER_HOST"}
