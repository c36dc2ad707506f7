"""`gatepass run --isolate` as a way to run commands: what `gatepass run` is to them, but for what it takes away."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Repository
from gitrepos import ALONE, bare
from harness import BIN, DEADLINE, GATEPASS, PIP, UV, background, connections, eventually, need
from sandbox import OPTIONS, Sandbox, as_nobody, need_isolation, ruled
from terminal import INTERRUPT, SUSPEND, WATCH, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from gatepass.demo.standin import StandIn
    from harness import Running, Shell
    from terminal import Terminal

pytestmark = pytest.mark.slow  # each starts a namespace, and many a proxy

KEPT = b"gatepass: STANDIN_TOKEN kept from the command (--keep NAME leaves it)\n"


@pytest.fixture
def sandbox(shell: Shell, github: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    need_isolation()
    return Sandbox(ruled(shell, github, tmp_path_factory.mktemp("rules")))


def within(sandbox: Sandbox, **variables: str) -> Sandbox:
    """The same with more in its environment."""
    return Sandbox(replace(sandbox.shell, env={**sandbox.shell.env, **variables}))


# --------------------------------------------------------------------- the command


@pytest.mark.parametrize("code", [0, 3, 137])
def test_the_exit_code(sandbox: Sandbox, code: int) -> None:
    """The exit code is the command's, 137 too, and nothing is printed but what one that failed may lack."""
    done = sandbox.run("sh", "-c", f"exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", KEPT if code else b"")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_it_dies_as_the_command_died(sandbox: Sandbox, name: str) -> None:
    """A command that a signal killed looks to the shell as if it had been run without Gatepass."""
    done = sandbox.run("sh", "-c", f"kill -{name.removeprefix('SIG')} $$")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.Signals[name], b"", b"")


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/hostname", 126)])
def test_no_command_to_run(sandbox: Sandbox, command: str, code: int) -> None:
    """A command that cannot be run gives what a shell gives, and why, as `run` does."""
    done = sandbox.run(command)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(sandbox.shell.run(command).stderr.splitlines(keepends=True)[0])
    assert b"Traceback" not in done.stderr


def test_streams_and_arguments(sandbox: Sandbox) -> None:
    """Streams are the command's own, byte for byte, and so is every argument, be it no text."""
    every = bytes(range(256)) * 1000
    done = sandbox.run("sh", "-c", "cat; echo oops >&2", stdin=every)
    assert (done.returncode, done.stdout, done.stderr) == (0, every, b"oops\n")
    odd = [os.fsdecode(b"\xff\n"), "", "--help", "a b", "--", "$x"]
    done = sandbox.run("printf", "[%s]", *odd)
    assert done.stdout == b"".join(b"[%s]" % os.fsencode(each) for each in odd)


def test_nothing_else_is_open(sandbox: Sandbox) -> None:
    """The command has the three streams, and no other descriptor: neither the shell's, nor Gatepass's own."""
    program = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1])"
    command: list[str | Path] = [
        GATEPASS,
        *OPTIONS,
        "--rules",
        sandbox.shell.rules,
        "--",
        sys.executable,
        "-c",
        program,
    ]
    secret = os.open(sandbox.home, os.O_RDONLY)
    done = subprocess.run(
        command, env=sandbox.shell.env, cwd=sandbox.home, pass_fds=[secret], capture_output=True, check=True
    )
    os.close(secret)
    assert done.stdout == b"['0', '1', '2']\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGQUIT"])
def test_signals(sandbox: Sandbox, name: str) -> None:
    """A signal to Gatepass reaches the command, once, which may make of it what it likes."""
    program = (
        "import signal, sys, time\n"
        "count = 0\n"
        "def got(*_):\n global count; count += 1; print('got', count, flush=True)\n"
        f"signal.signal(signal.{name}, got)\n"
        "print('ready', flush=True)\n"
        "while not count: time.sleep(0.02)\n"
        "time.sleep(0.3); sys.exit(4 + count)\n"
    )
    command = (GATEPASS, *OPTIONS, "--rules", sandbox.shell.rules, "--", sys.executable, "-c", program)
    with background(command, sandbox.shell.env, sandbox.home) as running:
        running.wait_for("ready")
        running.process.send_signal(signal.Signals[name])
        running.wait_for("got 1")
        assert running.process.wait(DEADLINE) == 5


def test_a_signal_to_all(sandbox: Sandbox) -> None:
    """What ends bubblewrap reaches the command alone: `timeout`, a supervisor or a terminal sends to all of a group."""
    program = "trap 'echo told; sleep 0.3; echo tidied; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    command: list[str | Path] = [
        "setsid",
        GATEPASS,
        *OPTIONS,
        "--rules",
        sandbox.shell.rules,
        "--",
        "sh",
        "-c",
        program,
    ]
    with background(command, sandbox.shell.env, sandbox.home) as running:
        running.wait_for("ready")
        os.killpg(running.process.pid, signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 7
    assert "told\ntidied\n" in running.output


def test_nohup(sandbox: Sandbox) -> None:
    """A hangup that the shell has ignored stays ignored."""
    command = (
        "nohup",
        GATEPASS,
        *OPTIONS,
        "--rules",
        sandbox.shell.rules,
        "--",
        "sh",
        "-c",
        "echo here; sleep 1; echo there",
    )
    with background(command, sandbox.shell.env, sandbox.home) as running:
        running.wait_for("here")
        running.process.send_signal(signal.SIGHUP)
        assert running.process.wait(DEADLINE) == 0
    assert "there" in running.output


def test_dispositions(sandbox: Sandbox) -> None:
    """The command ignores and blocks the signals that it would without isolation, whatever Python does for itself."""

    def masks(done: subprocess.CompletedProcess[bytes]) -> list[int]:
        # but for the two that the C library keeps for itself, and ignores in what `posix_spawn` starts: 32 and 33
        return [int(line.split()[1], 16) & ~(3 << 31) for line in done.stdout.splitlines()]

    script = ("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    inside, outside = masks(sandbox.run(*script)), masks(sandbox.shell.run(*script))
    assert len(inside) == 2
    assert inside == outside


# ---------------------------------------------------------------------- the end


MARK = f"4711.{os.getpid()}"
"""The seconds that a command sleeps, by which it is found: no other run of the tests has the same."""


def processes(mark: str) -> list[int]:
    """Those whose arguments hold that."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def test_all_ends_with_it(sandbox: Sandbox) -> None:
    """When `run` has ended nothing lives that the command has left in the background, and no file is left."""
    sandbox = within(sandbox, TMPDIR=str(sandbox.home))
    done = sandbox.run("sh", "-c", f"setsid sleep {MARK} >/dev/null 2>&1 </dev/null & exit 0")
    assert done.returncode == 0
    assert processes(MARK) == []
    assert list(sandbox.home.glob("gatepass-*")) == []


def test_all_ends_with_gatepass(sandbox: Sandbox) -> None:
    """Where Gatepass itself is killed no command is left that nobody watches."""
    command = (GATEPASS, *OPTIONS, "--rules", sandbox.shell.rules, "--", "sh", "-c", f"echo here; exec sleep {MARK}")
    with background(command, sandbox.shell.env, sandbox.home) as running:
        running.wait_for("here")
        assert len(processes(MARK)) == 1
        running.process.kill()
        running.process.wait(DEADLINE)
        eventually(lambda: processes(MARK) == [])


def test_orphans_are_let_go(sandbox: Sandbox) -> None:
    """What has lost its parent does not stay as a zombie, for however long the command runs."""
    program = "for n in 1 2 3 4 5 6; do (true & true &) ; done; sleep 0.5; ps -e -o stat= | grep -c Z; true"
    assert sandbox.run("sh", "-c", program).stdout == b"0\n"


# ----------------------------------------------------------------- real clients


def test_uv(sandbox: Sandbox, wheel_url: str) -> None:
    """uv installs the private asset."""
    done = sandbox.run(UV, "pip", "install", "--target", "site", f"acme-tool @ {wheel_url}")
    assert done.returncode == 0, done.stderr.decode()
    assert (sandbox.home / "site" / "acme_tool.py").exists()


def test_pip(sandbox: Sandbox, wheel_url: str) -> None:
    """So does pip."""
    done = sandbox.run(*PIP, "install", "--no-deps", "--target", "site", f"acme-tool @ {wheel_url}")
    assert done.returncode == 0, done.stderr.decode()
    assert (sandbox.home / "site" / "acme_tool.py").exists()


def test_curl(sandbox: Sandbox, wheel_url: str, github: StandIn) -> None:
    """curl gets it, all bytes through the proxy; and the proxy's guard sees no address in the redirect."""
    done = sandbox.run("curl", "-sSfL", "-o", "out", wheel_url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (sandbox.home / "out").stat().st_size > 0
    assert github.calls("api")


def test_git(sandbox: Sandbox, github: StandIn, tmp_path: Path) -> None:
    """git clones a private repository."""
    repository = Repository("acme", "isolated", git=bare(tmp_path / "git", {"README.md": b"hello\n"}))
    github.repositories.append(repository)
    rules = sandbox.home / "git.yaml"
    entry = f"  - {{match: '{github.web}/acme/*', resolve: github-git, credential: standin}}\n"
    rules.write_text(sandbox.shell.rules.read_text() + entry)
    mine = within(Sandbox(replace(sandbox.shell, rules=rules)), **ALONE)
    done = mine.run("git", "clone", "-q", f"https://{github.web}/acme/isolated", "clone")
    assert done.returncode == 0, done.stderr.decode()
    assert (sandbox.home / "clone" / "README.md").read_bytes() == b"hello\n"


def test_it_tells_why(sandbox: Sandbox, wheel_url: str, github: StandIn) -> None:
    """When the command fails, what the proxy had to say follows, as with `run`."""
    github.tokens.clear()
    done = sandbox.run("curl", "-sSf", wheel_url)
    assert done.returncode == 22
    assert b"bad credential" in done.stderr
    assert DEFAULT_TOKEN.encode() not in done.stdout + done.stderr


def test_through_a_proxy(sandbox: Sandbox, wheel_url: str, github: StandIn, company: tuple[str, Running]) -> None:
    """The shell's own proxy stays the way out, and its password is not the command's."""
    url, running = company
    done = within(sandbox, HTTPS_PROXY=url).run("sh", "-c", 'curl -sSfL -o out "$0" && env', wheel_url)
    assert done.returncode == 0, done.stderr.decode()
    assert github.web in connections(running)
    assert b"p%40ss" not in done.stdout
    assert b"p@ss" not in done.stdout


def test_its_own_servers(sandbox: Sandbox) -> None:
    """What the command serves inside it reaches there, without the proxy, where no rule names a loopback host."""
    rules = sandbox.home / "own.yaml"
    rules.write_text("version: 1\nrules: [{match: files.example.com/x, headers: {x: y}}]\n")
    program = (
        f"{sys.executable} -m http.server 8765 >/dev/null 2>&1 & n=0; "
        "while ! curl -sSf -o out http://localhost:8765/own.yaml 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; "
        "n=$((n+1)); done; cmp out own.yaml"
    )
    done = Sandbox(replace(sandbox.shell, rules=rules)).run("sh", "-c", program)
    assert done.returncode == 0, done.stderr.decode()


# --------------------------------------------------------------------- terminal


def in_terminal(sandbox: Sandbox, *command: str | Path) -> AbstractContextManager[Terminal]:
    shell = sandbox.shell
    return terminal([GATEPASS, *OPTIONS, "--rules", shell.rules, "--", *command], shell.env, shell.home)


def test_the_command_has_the_terminal(sandbox: Sandbox) -> None:
    """The terminal is the command's: all three streams, its size, and news of a change of that."""
    with in_terminal(sandbox, sys.executable, "-c", WATCH) as shown:
        shown.wait_for(r"terminals \[True, True, True\] True\nsize 100 40\n")
        shown.resize(77, 33)
        shown.wait_for("size 77 33\n")


def test_ctrl_c(sandbox: Sandbox) -> None:
    """Ctrl-C reaches the command once, and a second one once more, and nothing ends that should not."""
    with in_terminal(sandbox, sys.executable, "-c", WATCH) as shown:
        shown.wait_for("size")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 1\n")
        shown.process.send_signal(signal.SIGUSR1)
        shown.wait_for("so far 1\n")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 2\n")
        assert shown.end() == 130
    assert "Traceback" not in shown.output


def test_ctrl_c_ends_what_does_not_mind_it(sandbox: Sandbox) -> None:
    """A command that dies of Ctrl-C has Gatepass die of it, too; nothing is left behind."""
    sandbox = within(sandbox, TMPDIR=str(sandbox.home))
    with in_terminal(sandbox, "sh", "-c", "echo here; exec sleep 1000") as shown:
        shown.wait_for("here")
        shown.press(INTERRUPT)
        assert shown.end() == -signal.SIGINT
    assert list(sandbox.home.glob("gatepass-*")) == []


BASH = ("bash", "--norc", "--noprofile", "-i")
PLAIN: Mapping[str, str] = {"PS1": "$ ", "HISTFILE": "/dev/null"}


def test_job_control(sandbox: Sandbox) -> None:
    """Ctrl-Z gives the shell back, and `fg` the command."""
    command = f"{GATEPASS} run --isolate --rules {sandbox.shell.rules} -- {sys.executable} watch.py\n"
    (sandbox.home / "watch.py").write_text(WATCH)
    with terminal(BASH, within(sandbox, **PLAIN).shell.env, sandbox.home) as shown:
        shown.press(command)
        shown.wait_for("size 100 40\n")
        shown.press(SUSPEND)
        shown.wait_for("Stopped")
        shown.press("echo back-$((6*7))\n")
        shown.wait_for("back-42\n")
        shown.press("fg\n")
        shown.wait_for(r"fg\n.*gatepass run.*\n")
        shown.wait_for("continued\n")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 1\n")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 2\n")
        shown.press("echo code-$?\n")
        shown.wait_for("code-130\n")
        shown.press("exit\n")
        shown.end()


@pytest.mark.parametrize("program", [BASH, ("zsh", "-f", "-i")], ids=lambda program: program[0])
def test_a_shell_inside(sandbox: Sandbox, program: tuple[str, ...]) -> None:
    """A shell inside has jobs of its own, and what called Gatepass has its terminal back when that shell has ended."""
    need(program[0])
    seconds = f"4713.{os.getpid()}"  # which no other test waits for
    inner = " ".join(program)
    outer = f'{GATEPASS} run --isolate --keep-token --rules {sandbox.shell.rules} -- {inner}; read line; echo "[$line]"'
    with terminal(["sh", "-c", outer], within(sandbox, **PLAIN, PROMPT="$ ").shell.env, sandbox.home) as shown:
        shown.press("echo here-$((6*7))\n")
        shown.wait_for("here-42\n")
        shown.press(f"sleep {seconds}\n")
        shown.press("\n")
        eventually(lambda: processes(seconds))
        shown.press(SUSPEND)
        shown.wait_for("(?i)(stopped|suspended)")
        shown.press("fg\n")
        shown.wait_for(rf"(?i)(stopped|suspended)(.|\n)*sleep {seconds}\n(.|\n)*sleep {seconds}\n")
        shown.press(INTERRUPT)
        shown.press("echo code-$?\n")
        shown.wait_for("code-130\n")
        shown.press("exit\n")
        time.sleep(0.5)  # the line is for who reads after the shell inside
        shown.press("from outside\n")
        shown.wait_for(r"\[from outside\]\n")
        assert shown.end() == 0
    for complaint in ("no job control", "cannot set terminal", "Traceback"):
        assert complaint not in shown.output


def test_a_pager_beside_it(sandbox: Sandbox) -> None:
    """In a pipe, what comes after it reads from the terminal, as it does after any command."""
    command = f"{GATEPASS} run --isolate --keep-token --rules {sandbox.shell.rules} -- sh -c 'echo ready; sleep 1'"
    program = f'{command} | (read a; read b </dev/tty; echo "[$a $b]")'
    with terminal([*BASH, "-c", program], within(sandbox, **PLAIN).shell.env, sandbox.home) as shown:
        shown.press("key\n")
        shown.wait_for(r"\[ready key\]\n")
        assert shown.end() == 0


# ----------------------------------------------------------------------- folders


@pytest.mark.parametrize("name", ["plain", "with spaces", "with\nlines\n", "quo'te\"s", os.fsdecode(b"\xff")])
def test_the_working_folder(sandbox: Sandbox, name: str) -> None:
    """The working folder is there by its name, below /tmp too, and writable; what lies beside it there is not."""
    folder = sandbox.home / name
    folder.mkdir()
    (sandbox.home / "beside").write_text("x")
    mine = Sandbox(replace(sandbox.shell, home=folder, env={**sandbox.shell.env, "HOME": str(folder)}))
    done = mine.run("sh", "-c", 'pwd; echo "$0" >made; ls ..', "content")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(f"{folder}\n{name}\n") or b"plain" not in os.fsencode(name)
    assert b"beside" not in done.stdout
    assert (folder / "made").read_text() == "content\n"


def test_a_deleted_working_folder(sandbox: Sandbox) -> None:
    """Where the working folder was deleted that is said, and nothing is run."""
    gone = sandbox.home / "gone"
    gone.mkdir()
    script = 'rmdir "$1"; exec "$0" run --isolate --rules "$2" -- echo here'
    done = subprocess.run(
        ["sh", "-c", script, GATEPASS, gone, sandbox.shell.rules],
        env=sandbox.shell.env, cwd=gone, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the working folder: expected one that is there, got a deleted one\nhint: " in done.stderr


@pytest.mark.parametrize("place", ["/tmp", ".ssh", ".ssh/keys", "hidden"])
def test_a_working_folder_that_is_hidden(sandbox: Sandbox, place: str) -> None:
    """Where the working folder could not be what it is outside, that is said, and nothing is run."""
    folder = sandbox.home / place
    folder.mkdir(parents=True, exist_ok=True)
    shell = replace(sandbox.shell, home=folder)
    options = ("--hide", folder) if place == "hidden" else ()
    done = Sandbox(shell).run("echo", "here", options=options)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: --isolate: expected a working folder " in done.stderr
    assert b"hint: " in done.stderr


@pytest.mark.parametrize("value", [None, "", "relative", "/nonexistent"])
def test_no_home(sandbox: Sandbox, value: str | None) -> None:
    """A home that is not there, or that nothing tells, is nothing to hide."""
    env = {name: text for name, text in sandbox.shell.env.items() if name != "HOME"}
    shell = replace(sandbox.shell, env=env if value is None else {**env, "HOME": value})
    done = Sandbox(shell).run("sh", "-c", "echo here")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"here\n", b"")


def test_read_only(sandbox: Sandbox) -> None:
    """With `--read-only` the working folder is writable, and so are /tmp and the cache, which go with the command;
    without it the home is as well, and `--write` names what is besides.
    """
    home = Path("/var/lib") / f"gatepass-test-{os.getpid()}"
    if not os.access("/var/lib", os.W_OK):
        home = Path.home() / f".gatepass-test-{os.getpid()}"
    working = home / "project"
    for folder in (working, home / ".cache", home / "other", home / "more"):
        folder.mkdir(parents=True)
    try:
        mine = Sandbox(replace(sandbox.shell, home=working, env={**sandbox.shell.env, "HOME": str(home)}))
        program = (
            'for at in . .. ../other ../more ../.cache /tmp; do (>"$at/made") 2>/dev/null && echo "$at"; done; true'
        )
        assert mine.run("sh", "-c", program).stdout.decode().split() == [
            ".", "..", "../other", "../more", "../.cache", "/tmp",
        ]  # fmt: skip
        for path in home.rglob("made"):
            path.unlink()
        done = mine.run("sh", "-c", program, options=("--read-only", "--write", home / "more"))
        assert done.stdout.decode().split() == [".", "../more", "../.cache", "/tmp"]
        assert sorted(path.parent.name for path in home.rglob("made")) == ["more", "project"]
    finally:
        shutil.rmtree(home)


# ---------------------------------------------------------------------- refusals


def test_without_bubblewrap(shell: Shell) -> None:
    """Where bubblewrap is not installed nothing is run, and what to install is said."""
    if sys.platform != "linux":
        pytest.skip("bubblewrap is for Linux")
    shell = replace(shell, env={**shell.env, "PATH": str(BIN)})
    done = shell.gatepass(*OPTIONS, "--rules", shell.rules, "--", sys.executable, "-c", "print('here')")
    assert (done.returncode, done.stdout) == (1, b"")
    assert (
        b"error: --isolate: expected the program `bwrap`, got none on the PATH\nhint: install bubblewrap" in done.stderr
    )


def test_a_bubblewrap_of_the_working_folder(sandbox: Sandbox) -> None:
    """What is called so in the working folder is not run."""
    fake = sandbox.home / "bwrap"
    fake.write_text("#!/bin/sh\necho fake\n")
    fake.chmod(0o755)
    mine = within(sandbox, PATH=f".{os.pathsep}{sandbox.shell.env['PATH']}")
    assert mine.run("echo", "real").stdout == b"real\n"


def test_where_no_namespace_can_be_made(sandbox: Sandbox) -> None:
    """Where user namespaces are not allowed nothing is run, less isolated: what is in the way is said."""
    strict = [
        need("bwrap"),
        "--unshare-user",
        "--disable-userns",
        "--bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
    ]
    command: list[str | Path] = [
        *strict,
        "--",
        GATEPASS,
        *OPTIONS,
        "--rules",
        sandbox.shell.rules,
        "--",
        "echo",
        "here",
    ]
    done = subprocess.run(command, env=sandbox.shell.env, cwd=sandbox.home, capture_output=True, check=False)
    if b"nknown option" in done.stderr and b"--disable-userns" in done.stderr:
        pytest.skip("this bubblewrap cannot forbid it")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: --isolate: expected bubblewrap to isolate the command, got `" in done.stderr
    assert b"\nhint: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_folder_as_a_stream(sandbox: Sandbox, stream: str) -> None:
    """A folder that is open from outside leads to all that is hidden: with one as a stream nothing starts, for Python
    itself does not.
    """
    command: list[str | Path] = [GATEPASS, *OPTIONS, "--rules", sandbox.shell.rules, "--", "touch", "ran"]
    folder = os.open("/", os.O_RDONLY)
    try:
        done = subprocess.run(
            command,
            env=sandbox.shell.env,
            cwd=sandbox.home,
            check=False,
            **{stream: folder},  # type: ignore[call-overload]
        )
    finally:
        os.close(folder)
    assert done.returncode != 0
    assert not (sandbox.home / "ran").exists()


@pytest.mark.parametrize(
    "options", [("--read-only",), ("--hide", "x"), ("--show", "x"), ("--write", "x"), ("--keep", "x")]
)
def test_options_without_it(shell: Shell, options: tuple[str, ...]) -> None:
    """What is said of isolation without `--isolate` is wrong usage: somebody believed in it."""
    done = shell.gatepass("run", "--rules", shell.rules, *options, "--", "echo", "here")
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"{options[0]} is for --isolate".encode() in done.stderr


@pytest.mark.parametrize("name", ["--hide", "--show", "--write"])
def test_a_path_that_is_not_there(sandbox: Sandbox, name: str) -> None:
    """A path that is misspelt is an error: it would hide nothing."""
    done = sandbox.run("echo", "here", options=(name, "no/such\npath"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"error: {name}: expected a path that is there, got `no/such path`".encode() in done.stderr.replace(
        b"\n", b" "
    )


def test_hidden_and_shown(sandbox: Sandbox) -> None:
    """What is to be both hidden and shown is an error."""
    done = sandbox.run("echo", "here", options=("--hide", ".", "--show", "."))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"which is also shown" in done.stderr


# ------------------------------------------------------------------ more Gatepass


def test_nested(sandbox: Sandbox, wheel_url: str) -> None:
    """Inside, another `run --isolate` becomes its command at once; more of it than there is, is refused."""
    mine = within(sandbox, GATEPASS_RULES=str(sandbox.shell.rules))
    inner = [str(GATEPASS), *OPTIONS]
    done = mine.run(*inner, "--", "curl", "-sSfL", "-o", "out", wheel_url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (sandbox.home / "out").stat().st_size > 0
    done = mine.run(*inner, "--read-only", "--", "echo", "here")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: --isolate: expected no more of it in a shell that is isolated already" in done.stderr


def test_under_a_run_that_does_not_isolate(sandbox: Sandbox) -> None:
    """Under a `run` that does not isolate, `--isolate` is refused: its proxy is none that the command reaches alone."""
    mine = within(sandbox, GATEPASS_RULES=str(sandbox.shell.rules))
    done = mine.shell.run(GATEPASS, *OPTIONS, "--", "echo", "here")
    assert (done.returncode, done.stdout) == (1, b"")
    assert (
        b"error: --isolate: expected a shell that is under no `gatepass run`, or under one that isolates" in done.stderr
    )


# ------------------------------------------------------------------- other users


def test_a_plain_user(sandbox: Sandbox, wheel_url: str) -> None:
    """It works for a user who may do nothing in particular; this test is for root, which can become one."""
    if os.getuid() != 0:
        pytest.skip("all other tests are run as a plain user")
    place = Path("/var/tmp") / f"gatepass-test-{os.getpid()}"
    place.mkdir()
    try:
        (place / ".ssh").mkdir()
        (place / ".ssh" / "key").write_text("SECRET")
        shutil.copy(sandbox.shell.rules, place / "rules.yaml")
        shutil.copy(sandbox.shell.env["SSL_CERT_FILE"], place / "ca.pem")
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        env = {**sandbox.shell.env, "HOME": str(place), "SSL_CERT_FILE": str(place / "ca.pem")}
        script = 'id -u; curl -sSfL -o out "$0" && wc -c <out; cat .ssh/key; (>/etc/made) || echo closed'
        command: list[str | Path] = [GATEPASS, *OPTIONS, "--rules", "rules.yaml", "--", "sh", "-c", script, wheel_url]
        done = subprocess.run(as_nobody(command), env=env, cwd=place, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        user_id, size, closed = done.stdout.decode().split()
        assert (user_id, closed) == ("65534", "closed")
        assert int(size) > 100
    finally:
        shutil.rmtree(place)


# --------------------------------------------------------------------- what it says


def test_what_is_kept_from_it(sandbox: Sandbox) -> None:
    """The secrets that the command is not given are told by name, where it failed, and no value is."""
    mine = within(sandbox, NPM_TOKEN="S3CR3T", PLAIN="x")
    done = mine.run("false")
    assert done.stderr == b"gatepass: NPM_TOKEN, STANDIN_TOKEN kept from the command (--keep NAME leaves them)\n"
    done = mine.run("sh", "-c", 'echo "$NPM_TOKEN$STANDIN_TOKEN$PLAIN"', options=("--keep", "NPM_TOKEN"))
    assert done.stdout == b"S3CR3Tx\n"
    done = mine.run("sh", "-c", 'echo "$NPM_TOKEN$STANDIN_TOKEN$PLAIN"', options=("--keep-token",))
    assert done.stdout == f"{DEFAULT_TOKEN}x\n".encode()


def test_a_path_of_the_folder(sandbox: Sandbox) -> None:
    """The files that the variables name are there, readable and not to be changed, and the CA's key is not."""
    script = (
        'for name in SSL_CERT_FILE NODE_EXTRA_CA_CERTS WGETRC HOMEBREW_CURLRC; do eval "f=\\$$name"; '
        'test -s "$f" && ! (>>"$f") 2>/dev/null && echo $name; done; ls -A "$GATEPASS_RUN" "$GATEPASS_RUN/inside"'
    )
    done = sandbox.run("sh", "-c", script)
    listed = done.stdout.decode().split()
    assert listed[:4] == ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "WGETRC", "HOMEBREW_CURLRC"]
    assert not re.search("mitmproxy|upstream|lock", done.stdout.decode())
