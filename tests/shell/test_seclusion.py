"""A process that holds tokens, before other processes of the same user."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import GATEPASS, call

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

# Looks for a text in all that it can read of its parent.
LOOK: Final = """
import os, re, sys
parent, wanted = f"/proc/{os.getppid()}", sys.argv[1][::-1].encode()
def told(name, found):
    print(name, found)
for name in ("environ", "cmdline"):
    try:
        told(name, wanted in open(f"{parent}/{name}", "rb").read())
    except OSError as error:
        told(name, error.strerror)
try:
    memory = open(f"{parent}/mem", "rb", 0)
except OSError as error:
    told("mem", error.strerror)
    sys.exit()
for line in open(f"{parent}/maps"):
    start, end, how = re.match(r"(\\w+)-(\\w+) (\\S+)", line).groups()
    if how.startswith("rw") and int(end, 16) < 2**63:
        memory.seek(int(start, 16))
        try:
            if wanted in memory.read(int(end, 16) - int(start, 16)):
                told("mem", True)
                break
        except OSError:
            pass
else:
    told("mem", False)
"""


def as_a_user(*command: str | Path) -> list[str | Path]:
    """The command as an ordinary user runs it: root becomes one, that may read the files of a Python of root's."""
    if os.geteuid() != 0:
        return list(command)
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv, to become an ordinary user")
    kept = "-all,+dac_read_search"
    capabilities = [f"--{kind}={kept}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *capabilities, *command]


def looked(shell: Shell, *command: str | Path) -> dict[str, str]:
    """What a child of that command found of the token in its parent."""
    token = shell.env["STANDIN_TOKEN"]
    env = {**shell.env, "TMPDIR": "/tmp", "GATEPASS_RULES": str(shell.rules)}
    # backwards, because an argument of the command is in the memory of its parent
    result = call(as_a_user(*command, sys.executable, "-c", LOOK, token[::-1]), env, shell.home)
    assert result.code == 0, result.output
    return dict(line.split(" ", 1) for line in result.output.splitlines())


def test_what_a_child_could_see(shell: Shell) -> None:
    """A child that looks finds the token in a parent that does nothing against it: the next test can fail."""
    program = "import os, subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    seen = looked(shell, sys.executable, "-c", program)
    assert (seen["environ"], seen["mem"]) == ("True", "True")


def test_what_a_child_of_run_sees(shell: Shell) -> None:
    """As an ordinary user, a command under `gatepass run` reads neither the proxy's environment nor its memory."""
    seen = looked(shell, GATEPASS, "run", "--")
    assert (seen["environ"], seen["mem"]) == ("Permission denied", "Permission denied")


def test_what_root_sees_of_the_environment(shell: Shell) -> None:
    """The block that /proc shows to root, too, and what `ps e` prints of it, holds nothing of the environment."""
    if os.geteuid() != 0:
        pytest.skip("only root may look")
    done = shell.run("sh", "-c", "cat /proc/$PPID/environ")
    assert done.returncode == 0
    assert done.stdout.strip(b"\0") == b""


def test_what_is_started_has_its_environment(shell: Shell) -> None:
    """The environment itself is whole: for the command, and for the programs that Gatepass asks for a secret."""
    odd = os.fsdecode(b"\xff\xc3\xa9 = '$x'\n")
    mine = replace(shell, env={**shell.env, "ODD": odd, "EMPTY": ""})
    done = mine.run("sh", "-c", 'printf "[%s][%s]" "$ODD" "${EMPTY-unset}"')
    assert done.stdout == b"[" + os.fsencode(odd) + b"][]"
    printer = shell.home / "printer"
    printer.write_text('#!/bin/sh\nprintf "%s\\n" "$STANDIN_TOKEN"\n')
    printer.chmod(0o755)
    (shell.home / "command.yaml").write_text(
        shell.rules.read_text().replace("from: [env:STANDIN_TOKEN]", f"from: [{{command: ['{printer}']}}]")
    )
    checked = mine.gatepass("check", "command.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert DEFAULT_TOKEN.encode() not in checked.stdout + checked.stderr
