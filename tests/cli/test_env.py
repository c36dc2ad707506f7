"""`gatepass env`: a shell set up for a running `gatepass serve`, and taken back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from gatepass.errors import GatepassError
from gatepass.shell import environment, running, syntax, undo
from gatepass.shell.running import Running
from harness import eventually
from pages import TEXT, block
from shells import SHELLS, gatepass_env, listening, parse, program, read_environment_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def wanted(serving: Running, env: Mapping[str, str]) -> dict[str, str]:
    return environment.for_client(serving.proxy, serving.bundle, serving.ca, env)


# ------------------------------------------------------------------ round trips

# Four times what a program sees: at first, set up, set up again, and taken back.
ROUND_TRIP: Final = {
    "bash": """
        env -0 > 1; eval "$(gatepass env)"; env -0 > 2; eval "$(gatepass env)"; env -0 > 3
        eval "$(gatepass env --unset)"; env -0 > 4""",
    "fish": """
        env -0 > 1; gatepass env | source; env -0 > 2; gatepass env | source; env -0 > 3
        gatepass env --unset | source; env -0 > 4""",
    "nushell": """
        ^env -0 o> "1"; gatepass env | from json | load-env; ^env -0 o> "2"
        gatepass env | from json | load-env; ^env -0 o> "3"
        gatepass env --unset | from json | load-env; ^env -0 o> "4"; """,
    "powershell": """
        env -0 > 1; gatepass env | Out-String | iex; env -0 > 2; gatepass env | Out-String | iex; env -0 > 3
        gatepass env --unset | Out-String | iex; env -0 > 4""",
}
ROUND_TRIP["zsh"] = ROUND_TRIP["bash"]


@pytest.mark.parametrize("shell", SHELLS)
def test_round_trip(shell: str, user: dict[str, str], serving: Running, tmp_path: Path) -> None:
    """Set up, set up again, taken back: the second time changes nothing, and in the end all is as it was."""
    command = program(shell)
    mine = {
        "HTTPS_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/it's mine.pem",
        "NO_PROXY": "a b,\\c,$(exit 9)",
    }
    env = user | mine | {"SHELL": command[0], "TOUCHED": "not"}
    done = subprocess.run(
        [*command, ROUND_TRIP[shell]], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done.stderr.decode()
    first, once, twice, last = (parse((tmp_path / number).read_bytes()) for number in "1234")
    for seen in (first, once, twice, last):
        for name in ("_", "SHLVL"):  # the shell's own
            seen.pop(name, None)
    assert {name: once.get(name) for name in environment.NAMES} == wanted(serving, env)
    assert once["NO_PROXY"] == mine["NO_PROXY"]
    assert set(once) - set(first) - set(environment.NAMES) == {undo.MEMORY}
    assert twice == once
    assert last == first


@pytest.mark.parametrize("memory", ["x", "[]", '{"A": 1}', "null"])
def test_a_memory_of_something_else(user: dict[str, str], memory: str) -> None:
    """What cannot be read is an error with a way out, not a guess."""
    done = gatepass_env(user | {undo.MEMORY: memory}, "--unset")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"hint: unset {undo.MEMORY}" in done.stderr


def test_nothing_to_undo(user: dict[str, str]) -> None:
    """In a shell that nothing was set in, `--unset` changes nothing: the user's own proxy stays."""
    done = gatepass_env(user | {"HTTPS_PROXY": "http://proxy.example:3128"}, "--unset")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ----------------------------------------------------------- which server it is


def test_no_server(user: dict[str, str]) -> None:
    """Without a server there is an error and nothing to evaluate: the shell stays as it is."""
    done = gatepass_env(user)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no `gatepass serve` is running" in done.stderr
    assert "hint: start one with `gatepass serve`, or use `gatepass run -- COMMAND`" in done.stderr


def test_several_servers(user: dict[str, str], serving: Running, tmp_path: Path) -> None:
    """Among several the user chooses; the error lists them, and `--proxy` takes one of the list, and no other."""
    with listening(user, tmp_path / "other.pem") as other:
        done = gatepass_env(user)
        assert (done.returncode, done.stdout) == (1, "")
        assert "expected one running `gatepass serve`, got 2" in done.stderr
        for known in (serving, other):
            assert f"`--proxy {known.address}`" in done.stderr
        done = gatepass_env(user, "--proxy", other.address)
        assert f"export HTTPS_PROXY={other.proxy}\n" in done.stdout
        done = gatepass_env(user, "--proxy", "127.0.0.1:1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "--proxy: no `gatepass serve` is running at `127.0.0.1:1`" in done.stderr


def test_a_lost_bundle(user: dict[str, str], serving: Running) -> None:
    """A bundle that is gone is not handed out: clients would trust nobody."""
    serving.bundle.unlink()
    done = gatepass_env(user)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{serving.bundle}: expected what `gatepass serve` wrote" in done.stderr


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write(user: dict[str, str], serving: Running, mode: int) -> None:
    """Who could write there could choose the proxy and the CA of this user's clients: nothing is read from it."""
    running.folder(user).chmod(mode)
    done = gatepass_env(user)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a folder that others cannot change" in done.stderr
    with pytest.raises(GatepassError, match="others cannot change"):
        running.announce(serving, user)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to give a folder away")
def test_a_folder_of_another_user(user: dict[str, str], serving: Running) -> None:
    """Nor is what lies in another user's folder."""
    os.chown(running.folder(user), 65534, 65534)
    done = gatepass_env(user)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a folder of your own, got one of user 65534" in done.stderr
    with pytest.raises(GatepassError, match="of your own"):
        running.announce(serving, user)


# --------------------------------------------------------------- GitHub Actions


def test_github_actions(user: dict[str, str], serving: Running, tmp_path: Path) -> None:
    """The variables are appended to $GITHUB_ENV, and nothing is printed that need not be."""
    file = tmp_path / "github_env"
    file.write_text("EARLIER<<x\n1\nx\n")
    done = gatepass_env(user | {"GITHUB_ENV": str(file)}, "--github-actions")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_environment_file(file.read_text()) == {"EARLIER": "1"} | wanted(serving, user)


def test_github_actions_elsewhere(user: dict[str, str], serving: Running) -> None:
    """Outside of a job it is an error that says what is missing."""
    assert serving.proxy
    for env in (user, user | {"GITHUB_ENV": ""}, user | {"GITHUB_ENV": "/no/such/folder/file"}):
        done = gatepass_env(env, "--github-actions")
        assert (done.returncode, done.stdout) == (1, "")
        assert "GITHUB_ENV: expected" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--github-actions", "--unset"), ("--github-actions", "--shell", "bash"), ("--unset", "--proxy", "h:1")],
)
def test_options_that_exclude_each_other(user: dict[str, str], arguments: tuple[str, ...]) -> None:
    """What would have no meaning is refused, with nothing to evaluate."""
    done = gatepass_env(user, *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_dotenv_remembers_nothing(user: dict[str, str], serving: Running) -> None:
    """A file has no before: it holds the variables alone, and cannot unset; one that is wrong is not half written."""
    serving.bundle.rename(serving.bundle.with_name("plain.pem"))
    plain = Running(
        serving.pid, serving.proxy, serving.bundle.with_name("plain.pem"), serving.bundle.with_name("plain.pem")
    )
    running.announce(plain, user)
    done = gatepass_env(user, "--shell", "dotenv")
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == wanted(plain, user)
    done = gatepass_env(user | {"NO_PROXY": "it's"}, "--shell", "dotenv")
    assert (done.returncode, done.stdout) == (1, "")
    done = gatepass_env(user | {undo.MEMORY: '{"HTTPS_PROXY":null}'}, "--shell", "dotenv", "--unset")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot unset" in done.stderr


# -------------------------------------------------------------------- the pages


LINES: Final = {
    name: line
    for line, name in re.findall(r"^(gatepass env.*|eval.*?) +# (\w+)", block("sh", "load-env"), re.MULTILINE)
}
LINES["zsh"] = LINES["bash"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_line_that_is_shown_for_a_shell(shell: str, user: dict[str, str], serving: Running) -> None:
    """The line that the pages have for a shell sets it up."""
    show = "^env -0" if shell == "nushell" else "env -0"
    done = subprocess.run(
        [*program(shell), f"{LINES[shell]}; {show}"],
        env=user,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert parse(done.stdout).items() >= wanted(serving, user).items()


def test_a_line_is_shown_for_each_shell() -> None:
    """No shell is left out."""
    assert set(LINES) == set(syntax.NAMES)


def test_the_line_that_is_shown_for_direnv(user: dict[str, str], serving: Running, tmp_path: Path) -> None:
    """The line for `.envrc` sets up what runs in that folder; direnv itself reads it where it is installed."""
    (line,) = re.findall(r"\.envrc`\s+is\s+`([^`]+)`", TEXT)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".envrc").write_text(f"{line}\n")
    command = ["bash", "-c", ". ./.envrc; env -0"]
    if shutil.which("direnv"):
        subprocess.run(["direnv", "allow", folder], env=user, check=True)
        command = ["direnv", "exec", str(folder), "env", "-0"]
    done = subprocess.run(command, env=user | {"SHELL": "/usr/bin/fish"}, cwd=folder, capture_output=True, check=True)
    assert parse(done.stdout).items() >= wanted(serving, user).items()


def test_the_devcontainer_that_is_shown(user: dict[str, str], serving: Running, tmp_path: Path) -> None:
    """It is JSON, its commands exist, and what it adds to .bashrc sets a shell up."""
    container = json.loads(block("json", "devcontainers"))
    assert container["remoteEnv"] == {"GH_TOKEN": "${localEnv:GH_TOKEN}"}
    named = {command for text in container.values() for command in re.findall(r"gatepass (\w+)", str(text))}
    assert named == {"env", "serve"}
    for phase in ("postCreateCommand", "postStartCommand"):
        subprocess.run(["sh", "-n", "-c", container[phase]], check=True)
    # the installation is not what is tested here
    install, _, adds_to_bashrc = container["postCreateCommand"].partition(" && ")
    assert re.fullmatch(r"pip install git\+https://[\w./-]+/gatepass", install)
    subprocess.run(["sh", "-c", adds_to_bashrc], env=user, check=True)
    done = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; env -0"], env=user, cwd=tmp_path, capture_output=True, check=True
    )
    assert parse(done.stdout).items() >= wanted(serving, user).items()


def test_the_devcontainers_server(user: dict[str, str], tmp_path: Path) -> None:
    """The command that starts the server returns at once, and leaves it running."""
    container = json.loads(block("json", "devcontainers"))
    start = (
        container["postStartCommand"].replace("serve", "serve --listen 127.0.0.1:0").replace("/tmp/", f"{tmp_path}/")
    )
    subprocess.run(["sh", "-c", start], env=user, timeout=10, check=True)
    (known,) = eventually(lambda: running.find(user))
    os.kill(known.pid, signal.SIGTERM)
    eventually(lambda: not running.find(user))
