"""What is written for a shell: it evaluates to the very values, and to nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepass.errors import GatepassError
from gatepass.shell import syntax
from shells import SHELLS, parse, program, session, texts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A script that evaluates its standard input, and then runs a program that shows its environment.
EVALUATE: Final = {
    "bash": 'eval "$(cat)"; env -0',
    "zsh": 'eval "$(cat)"; env -0',
    "fish": "cat | source; env -0",
    "nushell": "$in | from json | load-env; ^env -0",
    "powershell": "$input | Out-String | Invoke-Expression; env -0",
}

NASTY: Final = [
    "",
    "'",
    '"',
    "''",
    "\\",
    "\\'",
    "a\\",
    "$(exit 9)",
    "`exit 9`",
    "${HOME}",
    "$HOME",
    "!!",
    "%41",
    "~",
    "*",
]
NASTY_LINES: Final = [
    "\n",
    "a\nb\n",
    "\r\n",
    "\t",
    " a ",
    "#b",
    ";exit 9",
    "\u2019; exit 9",
    "\u2028",
    "\x1b[0m",
    "€",
    "@(1)",
]


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    return session(tmp_path)


def evaluate(shell: str, text: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that the shell runs when it has evaluated the text."""
    done = subprocess.run(
        [*program(shell), EVALUATE[shell]],
        input=os.fsencode(text),
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b"", done.stderr
    return parse(done.stdout)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_evaluates_to_itself(shell: str, base: dict[str, str]) -> None:
    """Whatever a variable holds, the shell hands a program that very value, and runs none of it."""
    program(shell)

    # a name that ends in PATH is a list to fish, which must come out as it went in
    names = ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", *(f"V{number}" for number in range(30))]

    @settings(max_examples=15, deadline=None)
    @given(st.lists(texts, max_size=20))
    @example(NASTY)
    @example(NASTY_LINES)
    @example(["a:b", "::", "x y"])
    def law(values: list[str]) -> None:
        changes = dict(zip(names, values, strict=False))
        found = evaluate(shell, syntax.render(shell, changes), base)
        assert {name: found.get(name) for name in changes} == changes

    law()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_bytes_that_are_no_utf_8(shell: str, base: dict[str, str]) -> None:
    """A value is bytes to a shell: those that are no text come through, too."""
    value = os.fsdecode(b"/caf\xe9/\xff'")
    assert evaluate(shell, syntax.render(shell, {"V": value}), base)["V"] == value


@pytest.mark.parametrize("shell", SHELLS)
def test_unsetting(shell: str, base: dict[str, str]) -> None:
    """A variable that is unset reaches no program; to unset one that is not there is no error."""
    found = evaluate(shell, syntax.render(shell, {"THERE": None, "NOT_THERE": None, "V": "1"}), base | {"THERE": "x"})
    assert "THERE" not in found
    assert "NOT_THERE" not in found
    assert found["V"] == "1"


@given(texts)
@example("\u2018\u2019\u201a\u201b'")
def test_powershells_quotes(value: str) -> None:
    """Between single quotes PowerShell knows each kind of single quote, doubled, and nothing else."""
    (match,) = re.findall(
        r"\A\$env:V = '((?:[^'‘’‚‛]|(?:''|‘‘|’’|‚‚|‛‛))*)'\n\Z", syntax.render("powershell", {"V": value})
    )
    assert re.sub(r"(['‘’‚‛])\1", r"\1", match) == value


def test_a_dotenv_file_reads_the_same_everywhere(tmp_path: Path) -> None:
    """What is written to a dotenv file is read as itself by a shell and by node; all else is refused."""
    env = {"PATH": os.environ["PATH"]}
    file = tmp_path / ".env"
    node = [] if shutil.which("node") is None else [("node", f"--env-file={file}", "-e")]
    show = "process.stdout.write(Object.entries(process.env).map(([n, v]) => `${n}=${v}\\0`).join(''))"
    readers = [("sh", "-c", f"set -a; . '{file}'; env -0"), *((*command, show) for command in node)]

    @settings(max_examples=10, deadline=None)
    @given(st.lists(texts, max_size=20))
    @example([*NASTY, *NASTY_LINES])
    @example(["http://127.0.0.1:8080", "/a b/c.pem", "localhost,.example.com,[::1],10.0.0.0/8,*"])
    def law(values: list[str]) -> None:
        written = {}
        for number, value in enumerate(values):
            try:
                syntax.render("dotenv", {"V": value})
            except GatepassError:
                assert re.search(r"['\\]|\$\{|[^ -~]", value), "no plain value is refused"
            else:
                written[f"V{number}"] = value
        file.write_text(syntax.render("dotenv", written), encoding="utf-8", newline="")
        for command in readers:
            found = parse(subprocess.run(command, env=env, capture_output=True, timeout=60, check=True).stdout)
            assert {name: found.get(name) for name in written} == written, command[0]

    law()


@pytest.mark.parametrize(
    ("path", "shell"),
    [
        ("/bin/bash", "bash"),
        ("/usr/bin/zsh", "zsh"),
        ("/opt/bin/fish", "fish"),
        ("/usr/bin/nu", "nushell"),
        ("/usr/bin/pwsh", "powershell"),
        ("/bin/dash", "bash"),
        ("", "bash"),
    ],
)
def test_the_default_shell(path: str, shell: str) -> None:
    """Without `--shell` the syntax is that of $SHELL, and bash's where that is none that differs."""
    assert syntax.detect({"SHELL": path}) == shell
    assert syntax.detect({}) == "bash"
