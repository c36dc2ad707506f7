"""Where the rules are: which file is read, and whether it is trusted.

A file that somebody named is. One that merely lies in the working folder may have come with somebody's repository, and
is not used until its user allowed it. All I/O about configuration is here and in `gatepass.rules.allowed`; what a file
says is for `gatepass.rules.model`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass import home, shipped
from gatepass.errors import GatepassError, printable, why
from gatepass.rules import allowed
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatepass.rules.model import Rules

FILE: Final = "rules.yaml"
"""What is looked for in the working folder, and in the user's."""

_VARIABLE: Final = "GATEPASS_RULES"
_BUILT_IN: Final = "built-in rules"
_NAME_ANOTHER: Final = f"mend it, or name another file with `${_VARIABLE}`"
# Looked for in the bytes: a file may be no YAML for the moment, and of somebody else's no more should be read. The key
# begins a line, or is the first thing in the file.
_OURS: Final = re.compile(
    rb"""(?: ^ | \A (?:\xef\xbb\xbf)? (?:\s|\#[^\n]*\n|---|\{)* )
    (["']?)version\1 [ \t]* : [ \t]* 1 [ \t]* (?:[,}\#\r\n]|\Z)""",
    re.MULTILINE | re.VERBOSE,
)


def load(
    explicit: str | None, environ: Mapping[str, str], cwd: Path, notice: Callable[[str], None] = lambda _: None
) -> Rules:
    """Read the first of: `explicit`, `$GATEPASS_RULES`, `./rules.yaml`, the user's rules.yaml, the built-in rules.

    A file that is named must be there; an empty name names none. `./rules.yaml` must have been allowed: else `notice`
    hears of it, unless it is another program's.

    Raises:
        GatepassError: a file cannot be read.
        RulesError: what it says is wrong.
    """
    if named := explicit or environ.get(_VARIABLE):
        hint = "correct the name, or leave it out" if explicit else f"`${_VARIABLE}` names it: correct or unset it"
        path = _absolute(named, cwd)
        if (content := _content(path, named, hint)) is None:
            raise GatepassError(f"{named}: expected a rules file, got no such file", hint)
        return parse(_text(content, named), named, path.parent)
    try:
        found = find(FILE, environ, cwd)
    except GatepassError as error:
        reason: str | None = error.message
    else:
        if found is not None and found.is_allowed:
            return found.rules()
        reason = f"./{FILE} is not allowed" if found is not None and found.is_ours else None
    rules = _elsewhere()
    if reason is not None:
        notice(f"{reason}; used instead: {rules.source}; hint: gatepass check, then gatepass allow")
    return rules


def load_again(explicit: str | None, environ: Mapping[str, str], cwd: Path, source: str) -> Rules:
    """Read anew what `load` read as `source`: that one place, whatever has appeared before it meanwhile.

    A proxy that runs must not fall back on other rules because its own have gone; the built-in ones, nobody's own,
    give way to what is there now.

    Raises:
        GatepassError: as `load` does; or the file is not there any more, or not allowed as it is now.
    """
    if explicit or environ.get(_VARIABLE):
        return load(explicit, environ, cwd)
    if source == FILE:
        found = find(FILE, environ, cwd)
        if found is not None and not found.is_allowed:
            raise GatepassError(
                f"{FILE}: expected what was allowed, got something else", "gatepass check, then gatepass allow"
            )
        if found is not None:
            return found.rules()
    elif source != _BUILT_IN:
        if (content := _content(Path(source), source, _NAME_ANOTHER)) is not None:
            return parse(_text(content, source), source, Path(source).parent)
    else:
        return load(explicit, environ, cwd)
    raise GatepassError(f"{source}: expected a rules file, got no such file", "put it back, or start anew without it")


def places(explicit: str | None, environ: Mapping[str, str], cwd: Path, source: str | None = None) -> tuple[Path, ...]:
    """The files on which depends what `load` reads, or `load_again` for that `source`."""
    if named := explicit or environ.get(_VARIABLE):
        return (_absolute(named, cwd),)
    ours, users = cwd / FILE, home.config()
    allowance = allowed.record(Path(os.path.realpath(ours)), environ)
    found = {FILE: (ours, allowance)}.get(source or "", (ours, allowance, users and users / FILE))
    return tuple(filter(None, found if source in (None, FILE, _BUILT_IN) else (Path(str(source)),)))


def examine(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> tuple[Rules, bool]:
    """What `load` reads, and whether it is trusted: `./rules.yaml` is read, too, before it was allowed.

    Raises:
        GatepassError: as `load` does; and `./rules.yaml` cannot be read.
    """
    is_named = explicit and os.path.realpath(_absolute(explicit, cwd)) == os.path.realpath(cwd / FILE)
    if is_named or not (explicit or environ.get(_VARIABLE)):
        found = find(explicit or FILE, environ, cwd)
        if found is not None and not found.is_allowed and (is_named or found.is_ours):
            return found.rules(), False
    return load(explicit, environ, cwd), True


def _elsewhere() -> Rules:
    """The user's rules, else the built-in ones."""
    if (place := home.config()) is not None:
        users = place / FILE
        if (content := _content(users, str(users), _NAME_ANOTHER)) is not None:
            return parse(_text(content, str(users)), str(users), place)
    return parse(shipped.rules().read_text(encoding="utf-8"), _BUILT_IN)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that nobody need have named. `path` is where it lies; `is_link` tells that `name` is a link to it."""

    name: str
    path: Path
    content: bytes
    is_link: bool
    is_allowed: bool

    @property
    def is_ours(self) -> bool:
        """Whether it says that it is a rules file, and no other program's of the same name."""
        return _OURS.search(self.content) is not None

    def rules(self) -> Rules:
        """What it says.

        Raises:
            GatepassError: it is wrong. What a link leads to may be anything, and is not shown before it is allowed.
        """
        try:
            return parse(_text(self.content, self.name), self.name, self.path.parent)
        except GatepassError:
            if self.is_allowed or not self.is_link:
                raise
        hint = f"`gatepass check {printable(str(self.path))}` tells what is wrong with it"
        raise GatepassError(f"{self.name}: expected a rules file, got a link to what is none", hint)


def find(name: str, environ: Mapping[str, str], cwd: Path) -> Found | None:
    """The file of that name, and whether it is allowed; None if there is nothing.

    Raises:
        GatepassError: it is no file, or cannot be read.
    """
    place = _absolute(name, cwd)
    content = _content(place, name, _NAME_ANOTHER, _opened_as_file)
    if content is None:
        return None
    path = Path(os.path.realpath(place))
    return Found(name, path, content, place.is_symlink(), allowed.is_allowed(path, content, environ))


def _absolute(name: str, cwd: Path) -> Path:
    # of an unknown user `opened` leaves the name alone, to be reported as missing
    return cwd / home.opened(name)


def _content(path: Path, name: str, hint: str, opener: Callable[[str, int], int] | None = None) -> bytes | None:
    """The bytes of a file, one more at the most than it may have; None if there is nothing of that name."""
    try:
        with open(path, "rb", opener=opener) as file:
            return file.read(MAX_SIZE + 1) or b""  # as in `files.read`
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise GatepassError(f"{name}: expected a rules file, got a link to nothing", hint) from None
        return None
    except OSError as error:
        raise GatepassError(f"{name}: expected a readable file, got `{why(error)}`", hint) from None


def _opened_as_file(path: str, flags: int) -> int:
    """A pipe under that name would keep us waiting for whoever writes to it, and a device has no end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "no file")


def _text(content: bytes, name: str) -> str:
    if len(content) > MAX_SIZE:
        raise GatepassError(f"{name}: expected at most {MAX_SIZE} bytes, got more", _NAME_ANOTHER)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"the byte `{content[error.start]:#04x}`"
        raise GatepassError(f"{name}:{line}: expected text in UTF-8, got {got}", "save the file as UTF-8") from None
