"""How each shell, and GitHub Actions, is told that variables are set or unset. Pure: changes in, text out.

Whatever a value holds, the text evaluates to it and to nothing else: values come from the environment, and are not
trusted. For GitHub Actions' runner that is its environment file, and commands in a step's output:
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAMES: Final = ("bash", "zsh", "fish", "powershell", "nushell", "dotenv")

_OTHER_NAMES: Final = {"nu": "nushell", "pwsh": "powershell"}

# PowerShell takes the typographic quotation marks for `'`, too (about_Quoting_Rules).
_POWERSHELL_QUOTES: Final = re.compile("(['\u2018\u2019\u201a\u201b])")
# What readers of dotenv files agree on: as it stands, and, but for `docker --env-file`, between single quotes. They do
# not agree on backslashes and line breaks, and some expand `${…}` wherever it stands.
_DOTENV_PLAIN: Final = re.compile(r"[\w%+,./:@=~\[\]-]*", re.ASCII)
_DOTENV_UNSAFE: Final = re.compile(r"['\\\r\n]|\$\{")


def canonical(name: str) -> str:
    """The name that a shell has here: `pwsh` is PowerShell."""
    return _OTHER_NAMES.get(name, name)


def detect(environ: Mapping[str, str]) -> str:
    """The shell that $SHELL names; bash, whose syntax most others share, if that is none of ours."""
    name = PurePath(environ.get("SHELL", "")).stem
    name = canonical(name)
    return name if name in NAMES else "bash"


def render(shell: str, changes: Mapping[str, str | None]) -> str:
    """The text that makes the changes, for `shell` of NAMES; None unsets.

    Raises:
        GatepassError: the shell cannot express it.
    """
    if shell == "nushell":
        # it evaluates no text, but loads a record; a variable that is null there does not reach a program
        return f"{json.dumps(changes)}\n"
    return "".join(f"{_WRITERS[shell](name, value)}\n" for name, value in changes.items())


def _posix(name: str, value: str | None) -> str:
    return f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str | None) -> str:
    # The semicolons are for `eval (gatepass env)`, which joins the lines.
    return f"set -ge {name};" if value is None else f"set -gx {name} {fish_quoted(value)};"


def fish_quoted(value: str) -> str:
    """A text as a word of fish, which between single quotes knows `\\\\` and `\\'` alone."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(name: str, value: str | None) -> str:
    return (
        f"Remove-Item Env:{name} -ErrorAction Ignore" if value is None else f"$env:{name} = {powershell_quoted(value)}"
    )


def powershell_quoted(value: str) -> str:
    """A text as a literal of PowerShell."""
    return "'" + _POWERSHELL_QUOTES.sub(r"\1\1", value) + "'"


def _dotenv(name: str, value: str | None) -> str:
    if value is None:
        raise GatepassError("a dotenv file cannot unset a variable", "take the lines out of the file instead")
    if _DOTENV_UNSAFE.search(value):
        raise GatepassError(
            f"{name}: expected a value that every reader of dotenv files understands, got `{value!r}`",
            "leave out `'`, `\\`, `${` and line breaks, or use another shell's syntax",
        )
    return f"{name}={value}" if _DOTENV_PLAIN.fullmatch(value) else f"{name}='{value}'"


_WRITERS: Final[Mapping[str, Callable[[str, str | None], str]]] = {
    "bash": _posix,
    "zsh": _posix,
    "fish": _fish,
    "powershell": _powershell,
    "dotenv": _dotenv,
}


# ------------------------------------------------------------ GitHub Actions


def environment_file(variables: Mapping[str, str]) -> str:
    """What to append to $GITHUB_ENV. The delimiter is random: a value that held it could set other variables."""
    delimiter = f"gatepass_{secrets.token_hex(16)}"
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in variables.items())


def masks(values: Iterable[str]) -> str:
    """Commands that keep the passwords in URLs out of the job's log, where each step's environment is shown."""
    return "".join(f"::add-mask::{_escape(secret)}\n" for secret in sorted(set(_passwords(values))))


def _passwords(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        try:
            password = urlsplit(value).password
        except ValueError:  # no URL
            continue
        if password:
            yield from (password, unquote(password))


def _escape(text: str) -> str:
    """A command's data as the runner unescapes it (actions/toolkit, `packages/core/src/command.ts`)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
