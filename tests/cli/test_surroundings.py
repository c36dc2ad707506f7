"""The command line where its surroundings are not as they should be: no folder, no home, no streams, no proxy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass import home
from gatepass.errors import GatepassError
from harness import BIN, DEADLINE, SCRIPT

if TYPE_CHECKING:
    from harness import Shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="told in the words of a POSIX shell")

# What `gatepass` says where something is wrong: one line, and perhaps what to do about it.
ONE_LINE = re.compile(r"error: [^\n]+\n(hint: [^\n]+\n)?")
URL = "https://github.com/acme/tool/releases/download/v1/x.whl"


def within(shell: Shell, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell's, in which `gatepass` is found; it holds no token for github.com."""
    env = {**shell.env, "PATH": f"{BIN}{os.pathsep}{shell.env['PATH']}", **variables}
    command = ["bash", "-c", script]
    return subprocess.run(
        command, env=env, cwd=shell.home, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


# ----------------------------------------------------------------------- folder


@pytest.mark.parametrize("command", ["check --offline", f"explain {URL}", "run -- true", "serve", "ca bundle"])
def test_a_deleted_folder(shell: Shell, command: str) -> None:
    """In a folder that was deleted, what needs one ends with one line."""
    done = within(shell, f"mkdir gone && cd gone && rmdir ../gone && exec gatepass {command}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert ONE_LINE.fullmatch(done.stderr), done.stderr
    assert "expected one that is there, got a deleted one" in done.stderr


def test_mitmdump_in_a_deleted_folder(shell: Shell) -> None:
    """So does `mitmdump -s addon/inject.py`, which else would go on without rules or end with a traceback."""
    start = f"exec mitmdump -s {SCRIPT} --listen-host 127.0.0.1 --listen-port 0 --set confdir={shell.home}/ca"
    done = within(shell, f"mkdir gone && cd gone && rmdir ../gone && {start}")
    assert done.returncode == 1
    assert "gatepass: the working folder: expected one that is there, got a deleted one\nhint: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["run -- true", "serve -- --set confdir=/dev/null"])
def test_a_folder_whose_name_steers_terminals(shell: Shell, command: str) -> None:
    """What is told of a project's settings names their folder, which came from anybody, and steers no terminal."""
    folder = "a\x1b]0;owned\x07b"
    (shell.home / folder).mkdir()
    (shell.home / folder / ".npmrc").write_text("cafile=/none.pem\n")
    done = within(shell, f"cd a*b && exec gatepass {command}")
    assert "a ]0;owned b/.npmrc:1 names CAs" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_project_with_much_to_tell(shell: Shell) -> None:
    """However many lines of a project's settings are told of, they leave what matters on the screen."""
    (shell.home / "project").mkdir()
    (shell.home / "project" / ".npmrc").write_text("cafile=/none.pem\n" * 10_000)
    done = within(shell, "cd project && exec gatepass run -- true")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) < 30
    assert "gatepass: and 9980 more like these\n" in done.stderr


@pytest.mark.parametrize("place", ["/dev/null", "/dev/null/x", "/proc/x"])
def test_a_confdir_that_is_none(shell: Shell, place: str) -> None:
    """A folder for mitmproxy's files that cannot be one is told in one line."""
    done = within(shell, f"exec gatepass serve --listen 127.0.0.1:0 -- --set confdir={place}")
    assert done.returncode == 1
    assert ONE_LINE.fullmatch(done.stderr), done.stderr
    assert f"expected a folder, got `{place}`" in done.stderr


# ------------------------------------------------------------------------- home


@pytest.fixture
def homeless(shell: Shell) -> str:
    """What a shell puts before a command so that it has no home, and its user no entry that could tell one."""
    user = 54321
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, becomes a user without an entry")
    shell.home.chmod(0o777)  # such a user could write here
    kept = " ".join(
        f"--{kind}=-all,+dac_read_search" for kind in ("bounding-set", "inh-caps", "ambient-caps")
    )  # to read a Python of root's
    return f"env -u HOME -u XDG_CONFIG_HOME TMPDIR=/tmp setpriv --reuid={user} --regid={user} --clear-groups {kept}"


@pytest.mark.parametrize("command", ["check --offline '~/x'", "serve --rules '~/x'", "serve -- --set confdir='~/x'"])
def test_what_is_named_in_no_home(shell: Shell, homeless: str, command: str) -> None:
    """What is named by `~` is told of, and is no folder of that name in the working one."""
    (shell.home / "~").mkdir(mode=0o777)
    before = set(shell.home.rglob("*"))
    done = within(shell, f"exec {homeless} gatepass {command}")
    assert done.returncode == 1
    assert "~/x: expected a path, got one in your home, which nothing tells" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert set(shell.home.rglob("*")) == before


@pytest.mark.parametrize("command", ["ca create", "ca bundle", "ca", "serve", "env"])
def test_no_home(shell: Shell, homeless: str, command: str) -> None:
    """Where nothing tells the user's home, what is kept there is not made: one line says so, and nothing is written."""
    before = set(shell.home.rglob("*"))
    done = within(shell, f"exec {homeless} gatepass {command}")
    assert (done.returncode, done.stdout) == (1, "")
    assert ONE_LINE.fullmatch(done.stderr), done.stderr
    assert "$HOME: expected the path of your home, got none" in done.stderr
    assert set(shell.home.rglob("*")) == before


def test_no_home_is_needed(shell: Shell, homeless: str) -> None:
    """What keeps nothing works without a home, and takes nothing for one."""
    (shell.home / "~" / ".config" / "gatepass").mkdir(parents=True)
    (shell.home / "~" / ".config" / "gatepass" / "rules.yaml").write_text("a trap")
    before = set(shell.home.rglob("*"))
    assert within(shell, f"exec {homeless} gatepass check --offline").stdout.startswith("built-in rules")
    done = within(shell, f"exec {homeless} gatepass run -- sh -c 'exit 7'")
    assert (done.returncode, done.stderr) == (7, "")
    assert set(shell.home.rglob("*")) == before


@pytest.mark.parametrize("variables", [{"HOME": ""}, {"HOME": "a/b"}, {"XDG_CONFIG_HOME": "."}])
def test_a_home_that_is_none(shell: Shell, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty or a relative variable is no place: what the system knows counts, and the working folder never."""
    for name, value in ({"HOME": str(shell.home)} | variables).items():
        monkeypatch.setenv(name, value)
    found = home.expected_config()
    assert found.is_absolute()
    if "HOME" not in variables:
        assert found == shell.home / ".config" / "gatepass"
    before = set(shell.home.rglob("*"))
    assert within(shell, "gatepass env", **{"XDG_RUNTIME_DIR": "", **variables}).returncode == 1
    assert set(shell.home.rglob("*")) == before


def test_a_home_that_nothing_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry, as in a container that was told a number, has the home of its $HOME, or none."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert home.folder() == Path("/h")
    monkeypatch.delenv("HOME")
    assert home.folder() is None
    assert home.config() is None
    with pytest.raises(GatepassError, match="expected the path of your home"):
        home.expected_config()


# ---------------------------------------------------------------------- streams

SAY = ["--help", "script", "check --offline", "check --schema", "ca create", "ca bundle && exec gatepass ca export"]


@pytest.mark.parametrize("stream", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", SAY)
def test_what_cannot_be_said(shell: Shell, command: str, stream: str) -> None:
    """Where stdout is full or closed, what was asked for cannot be said: one line, and no success."""
    done = within(shell, f"gatepass {command} {stream}")
    assert done.returncode == 1
    assert re.fullmatch(r"error: stdout: expected to write to it, got `[a-z ]+`\n", done.stderr)


@pytest.mark.parametrize("stream", [">/dev/full", ">&-"])
def test_a_server_that_cannot_say_where(shell: Shell, stream: str) -> None:
    """`serve` ends then, too, and leaves nothing behind."""
    (shell.home / "tmp").mkdir()
    done = within(shell, f"exec gatepass serve --listen 127.0.0.1:0 {stream}", TMPDIR=str(shell.home / "tmp"))
    assert done.returncode == 1
    assert re.fullmatch(r"error: stdout: expected to write to it, got `[a-z ]+`\n", done.stderr)
    assert list((shell.home / "tmp").iterdir()) == []


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2>&- >&-", "<&-", ">&- 2>&- <&-"])
def test_a_command_without_streams(shell: Shell, stream: str) -> None:
    """`run` keeps its command's exit code whatever streams there are, and hands on those that are open, no other."""
    assert within(shell, f"exec gatepass run -- sh -c 'exit 7' {stream}").returncode == 7
    assert within(shell, f"exec gatepass run -- no-such-command {stream}").returncode == 127
    # a command that writes to what is closed fails by itself, as it does without Gatepass
    script = f"sh -c 'echo here; [ $? = 0 ] || exit 3' {stream}"
    assert within(shell, f"exec gatepass run -- {script}").returncode == within(shell, f"exec {script}").returncode


def test_an_error_that_nobody_hears(shell: Shell) -> None:
    """An error without a stderr is an exit code all the same."""
    for stream in ("2>/dev/full", "2>&-"):
        assert within(shell, f"exec gatepass check none.yaml {stream}").returncode == 1
        assert within(shell, f"exec gatepass check --no-such-option {stream}").returncode == 2


def test_who_has_read_enough(shell: Shell) -> None:
    """A reader that goes away is none of anybody's business."""
    done = within(shell, "gatepass check --schema | head -1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


# ------------------------------------------------------------------------ proxy


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:99999", "http://[::1", "http://a b:1", "http://u:S3CR3T@x:y", "//x", "socks5://x:1"]
)
@pytest.mark.parametrize("command", ["run -- true", "check", f"explain {URL}"])
def test_a_proxy_that_is_none(shell: Shell, proxy: str, command: str) -> None:
    """A HTTPS_PROXY that names no proxy is told of as that, without its password."""
    done = within(shell, f"exec gatepass {command}", HTTPS_PROXY=proxy, GH_TOKEN="ghp_x")
    assert done.returncode == 1
    assert "HTTPS_PROXY: expected the URL of an" in done.stdout + done.stderr
    for never in ("Traceback", "S3CR3T"):
        assert never not in done.stdout + done.stderr
