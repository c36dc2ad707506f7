"""Where the rules are: which file is read, and whether it may be trusted.

All I/O about configuration is here; what a file says is for `gatepass.rules.model`.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from gatepass import home, shipped
from gatepass.errors import GatepassError, why
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import MAX_SIZE, RulesError
from gatepass.sources import Default, Env, Gh, GitHubApp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gatepass.rules.model import Rules

_FILE: Final = "rules.yaml"
_VARIABLE: Final = "GATEPASS_RULES"
_NAME_ANOTHER: Final = f"mend it, or name another file with `${_VARIABLE}`"


def load(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Rules:
    """Read the first of: `explicit`, `$GATEPASS_RULES`, `./rules.yaml`, the user's rules.yaml, the built-in rules.

    A file that is named must be there; an empty name names none.

    Raises:
        GatepassError: a file cannot be read, or not be trusted.
        RulesError: what it says is wrong.
    """
    if named := explicit or environ.get(_VARIABLE):
        hint = "correct the name, or leave it out" if explicit else f"`${_VARIABLE}` names it: correct or unset it"
        # Path.expanduser raises for an unknown user, where this leaves the name alone, to be reported as missing.
        path = cwd / os.path.expanduser(named)  # noqa: PTH111
        if (text := _read(path, named, hint)) is None:
            raise GatepassError(f"{named}: expected a rules file, got no such file", hint)
        return parse(text, named)
    if (text := _read(cwd / _FILE, _FILE, _NAME_ANOTHER, found=True)) is not None:
        try:
            return _confined(parse(text, _FILE))
        except RulesError as error:
            if all(problem.path != "version" for problem in error.problems):
                raise
            # another program's file of the same name, perhaps
            hint = f"`./{_FILE}` was found in this folder: if it is not Gatepass's, name another with `${_VARIABLE}`"
            raise GatepassError(str(error), hint) from None
    if (place := home.config()) is not None:
        users = place / _FILE
        if (text := _read(users, str(users), _NAME_ANOTHER)) is not None:
            return parse(text, str(users))
    return parse(shipped.rules().read_text(encoding="utf-8"), "built-in rules")


def _read(path: Path, name: str, hint: str, *, found: bool = False) -> str | None:
    """The text of a file, or None if there is nothing of that name; `found` if nobody asked for this file by name."""
    try:
        with open(path, "rb", opener=_opened_at_once if found else None) as file:
            if found:
                _refuse_foreign(os.fstat(file.fileno()), name)
            content = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise GatepassError(f"{name}: expected a rules file, got a link to nothing", hint) from None
        return None
    except OSError as error:
        raise GatepassError(f"{name}: expected a readable file, got `{why(error)}`", hint) from None
    if len(content) > MAX_SIZE:
        raise GatepassError(f"{name}: expected at most {MAX_SIZE} bytes, got more", hint)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"the byte `{content[error.start]:#04x}`"
        raise GatepassError(f"{name}:{line}: expected text in UTF-8, got {got}", "save the file as UTF-8") from None


def _opened_at_once(path: str, flags: int) -> int:
    """A pipe under that name would keep us waiting for whoever writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _confined(rules: Rules) -> Rules:
    """Rules that merely lie in the working folder may have come with somebody's repository.

    Until the user names them they run no program, open nothing of the user's, and send a secret to github.com or a
    tenant of ghe.com alone.
    """
    for credential in rules.credentials:
        where = f"{_FILE}: credentials.{credential.name}"
        hint = (
            "the file was only found in this folder; if you trust it, name it: "
            f"`--rules ./{_FILE}`, or `export {_VARIABLE}=./{_FILE}`"
        )
        for host in sorted(credential.hosts):
            forge = rules.forge_of(host)
            if forge is None or not forge.is_cloud:
                raise GatepassError(f"{where}: expected github.com or a tenant of ghe.com as host, got `{host}`", hint)
        for source in credential.sources:
            asked = source.key if isinstance(source, GitHubApp) else source
            if not isinstance(asked, Env | Default | Gh):
                raise GatepassError(
                    f"{where}: expected a source that runs and opens nothing of yours, got `{source}`", hint
                )
    return rules


def _refuse_foreign(status: os.stat_result, name: str) -> None:
    """Rules that merely lie in the working folder may be a trap: they can have a token sent to another server.

    The check is git's for a repository (`safe.directory`), on the open file, so that it cannot be swapped afterwards.
    """
    if sys.platform == "win32":  # where the owner is no number, and st_mode does not tell who may write
        return
    hint = f"if you trust it, name it: `{_VARIABLE}=./{_FILE}`"
    if not stat.S_ISREG(status.st_mode):
        raise GatepassError(f"{name}: expected a file, got something else", hint)
    if status.st_uid not in {0, os.geteuid()}:
        raise GatepassError(f"{name}: expected a file of your own, got one of user {status.st_uid}", hint)
    if status.st_mode & stat.S_IWOTH:
        raise GatepassError(f"{name}: expected a file that others cannot change, got a world-writable one", hint)
