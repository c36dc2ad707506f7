"""What an isolated command sees of this machine's files: which are writable, readable, or not there for it.

Looks at what is there, and changes nothing; the words are bubblewrap's. Knows neither rules nor proxies.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass.errors import GatepassError
from gatepass.shell import places, tempdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PORT: Final = 3128
"""Where the proxy is, inside: a network of the command's own has every port free."""
_ROOT: Final = Path("/")
_SOCKETS: Final = Path("/proc/net/unix")
_MOST_LISTED: Final = 16 * 1024 * 1024


class Kind(Enum):
    """What becomes of a file or a folder inside, with all below it."""

    WRITABLE = auto()
    READABLE = auto()
    EMPTY = auto()
    """A folder of the command's own that goes with it, or a file in which nothing is."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user says of it: paths that are there, as they really are."""

    hide: tuple[Path, ...] = ()
    show: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """What is there: an environment, homes, the working folder, and what the run itself has.

    `private` is its folder, which holds the key of its CA, and `public` the part of it that the command is told of.
    `code` is what Gatepass itself is loaded from, while the command runs, too; `needed` what else Python is. `programs`
    and `files` are those that a rule's secrets come from.
    """

    environ: Mapping[str, str]
    homes: tuple[Path, ...]
    working: Path
    private: Path
    public: Path
    code: tuple[Path, ...] = ()
    needed: tuple[Path, ...] = ()
    programs: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(slots=True)
class Plan:
    """What becomes of which path; what is not told of becomes what the folder around it does."""

    base: Kind
    kinds: dict[Path, Kind] = field(default_factory=dict)

    def of(self, path: Path) -> Kind:
        """What becomes of that path."""
        return next((self.kinds[each] for each in (path, *path.parents) if each in self.kinds), self.base)

    def around(self, path: Path) -> Kind:
        """What becomes of the folder in which it is."""
        return self.base if path == _ROOT else self.of(path.parent)

    def arguments(self, working: Path, public: Path) -> list[str]:
        """What bubblewrap is told: the outer before the inner, since what comes later lies above."""
        told = [_BINDS[self.base], "/", "/", "--dev", "/dev", "--proc", "/proc"]
        for setting in _KERNEL:
            told += ["--ro-bind-try", setting, setting]
        for path in sorted(self.kinds, key=lambda path: (len(path.parts), path)):
            kind = self.kinds[path]
            if kind is not Kind.EMPTY:
                told += [_BINDS[kind], str(path), str(path)]
            elif path.is_dir():
                told += ["--tmpfs", str(path)]
                # NixOS keeps the system there, behind links: they show nothing that is not shown elsewhere
                for link in _links(path) if path == _RUN else ():
                    told += ["--symlink", str(link.readlink()), str(link)]
            else:
                told += ["--ro-bind", str(public / EMPTY_FILE), str(path)]
        return [*told, "--chdir", str(working)]


EMPTY_FILE: Final = "empty"
"""In the public folder: what is shown in place of a file."""
_KERNEL: Final = ("/proc/sys", "/proc/sysrq-trigger", "/proc/acpi", "/proc/fs", "/proc/mtrr", "/proc/scsi")
"""The kernel's own settings: root may change them, whatever else has been taken from it (`kernel.core_pattern` names a
program that is run outside). Bubblewrap covers only those of which it is sure that they are writable.
"""
_RUN: Final = Path("/run")
_BINDS: Final = {Kind.WRITABLE: "--bind", Kind.READABLE: "--ro-bind"}


def plan(around: Around, wishes: Wishes) -> Plan:
    """What becomes of what.

    Raises:
        GatepassError: the working folder would not be there, or would be what should be the command's own.
    """
    environ, homes, working = around.environ, around.homes, around.working
    made = Plan(Kind.READABLE if wishes.read_only else Kind.WRITABLE)
    kinds = made.kinds
    mine = {*_real(map(Path, places.OWN)), *_real([Path(environ.get("XDG_RUNTIME_DIR", ""))])}
    temporary = _real([Path(environ.get("TMPDIR", ""))]) - {working}
    caches = _real(places.caches(environ, homes))
    # other runs have their keys, and the passwords of their proxies, beside this one's
    runs = around.private.parent.glob(f"{tempdir.PREFIX}*")
    secret = _real([*places.secrets(environ, homes), *around.files, *runs])

    readable = {*_real([*places.orders(environ, homes), *around.programs, Path("/sys")])}
    kinds.update(dict.fromkeys(readable, Kind.READABLE))
    kinds.update(dict.fromkeys(mine | temporary | (caches if wishes.read_only else set()), Kind.EMPTY))
    kinds.update(dict.fromkeys(secret, Kind.EMPTY))
    # what is on the PATH outside is found inside, too, wherever it lies; a folder in the working one is the command's
    for folder in _real(places.programs(environ)):
        is_its_own = folder.is_relative_to(working) and working not in _real(homes)
        if not is_its_own and folder not in kinds and not any(each.is_relative_to(folder) for each in mine | temporary):
            kinds[folder] = Kind.READABLE
    for path in _real(_listening()):
        kinds[path] = Kind.EMPTY

    for path in wishes.show:
        _forget(kinds, path, Kind.EMPTY)
        if made.of(path) is Kind.EMPTY:
            kinds[path] = made.base
    for path in wishes.write:
        _forget(kinds, path, Kind.EMPTY, Kind.READABLE)
        kinds[path] = Kind.WRITABLE
    for path in wishes.hide:
        _forget(kinds, path, *Kind)
        kinds[path] = Kind.EMPTY

    _expect_workable(made, working, mine, around)
    if made.of(working) is not Kind.WRITABLE:
        kinds[working] = Kind.WRITABLE
    for path in _real(around.needed) - {working}:
        # as one, and not in pieces: each mount takes time
        if made.of(path) is Kind.EMPTY or not any(path.is_relative_to(each) for each in wishes.write):
            kinds[path] = Kind.READABLE
    kinds.update(dict.fromkeys(_real(around.code), Kind.READABLE))
    kinds[around.private] = Kind.EMPTY
    kinds[around.public] = Kind.READABLE
    # what programs take for granted: a home is there, though nothing be in it
    kinds.update((home, Kind.EMPTY) for home in _real(homes) if made.of(home) is Kind.EMPTY)
    _settle(made, mine | temporary | _real(homes), caches)
    return made


def _expect_workable(made: Plan, working: Path, mine: set[Path], around: Around) -> None:
    if working in mine and made.of(working) is Kind.EMPTY:
        raise GatepassError(
            f"--isolate: expected a working folder of your own, got `{working}`, which the command has anew",
            "`cd` into a folder below it, or elsewhere",
        )
    if any(working.is_relative_to(path) for path in _real(around.code)):
        raise GatepassError(
            f"--isolate: expected a working folder that is not Gatepass's own, got `{working}`",
            "`cd` elsewhere: what the command could write there would be run outside",
        )
    if made.of(working) is Kind.EMPTY:
        hidden = next(path for path in (working, *working.parents) if path in made.kinds)
        if hidden in mine or hidden in _real([Path(around.environ.get("TMPDIR", ""))]):
            return  # it is brought back
        raise GatepassError(
            f"--isolate: expected a working folder that the command may see, got `{working}` in `{hidden}`, "
            "which is hidden",
            f"`cd` elsewhere, or give `--show {hidden}`",
        )


def _settle(made: Plan, own: set[Path], caches: set[Path]) -> None:
    """Leave out what says nothing new, and hold in its place what is told apart: whoever may rename a folder could put
    another there, for programs outside.
    """
    kinds = made.kinds
    for path in sorted(kinds, key=lambda path: len(path.parts)):
        if made.around(path) is kinds[path] and path not in own:
            del kinds[path]
    held = [path for path in kinds if not any(path.is_relative_to(cache) for cache in caches)]
    for path in held:
        for folder in path.parents:
            if _is_its_own(folder) or folder in kinds:
                break
            # no bubblewrap can bind a folder in one that is not there
            if made.of(folder) is Kind.WRITABLE and os.access(folder.parent, os.W_OK):
                kinds[folder] = Kind.WRITABLE


def _forget(kinds: dict[Path, Kind], path: Path, *which: Kind) -> None:
    for each in [each for each, kind in kinds.items() if kind in which and each.is_relative_to(path)]:
        del kinds[each]


def _real(paths: Iterable[Path]) -> set[Path]:
    """Those that are there, as they really are: a mount lies where a link leads. None of the kernel's is among them: a
    variable may well name /dev/null.
    """
    found = set()
    for path in paths:
        # most are not there, and to resolve a path takes some twenty times as long as to look for it
        if not path.is_absolute() or not os.path.exists(path):  # noqa: PTH110 — Path's raises where it may not look
            continue
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            continue  # nobody can see it who may not look there
        if not _is_its_own(real):
            found.add(real)
    return found


def _is_its_own(path: Path) -> bool:
    """Whether it is a process or a device, of which the command has others in any case, or the root of all."""
    first, *rest = path.parts[1:] or [""]
    return first in ("", "proc") or (first == "dev" and rest[:1] != ["shm"])


def _listening() -> list[Path]:
    """The sockets of this machine that have a path, wherever it is."""
    try:
        with _SOCKETS.open("rb") as listed:
            text = os.fsdecode(listed.read(_MOST_LISTED))
    except OSError:
        return []
    return [path for path in places.listed_sockets(text) if _is_socket(path)]


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except (OSError, ValueError):
        return False  # as others' folders, into which the command cannot look either


def _links(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_symlink()]
    except OSError:
        return []


def asked(name: str, paths: Sequence[str], working: Path, homes: Sequence[Path]) -> tuple[Path, ...]:
    """The paths that an option names, which begin with `~` for the home, or are below the working folder.

    Raises:
        GatepassError: one is not there: a mistake would hide, or show, nothing. Or it would bring the processes back
            that are outside, which a mount over all else does.
    """
    found = []
    for text in paths:
        first, *rest = Path(text).parts or ("",)
        path = homes[0].joinpath(*rest) if first == "~" and homes else working / text
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise GatepassError(f"{name}: expected a path that is there, got `{text}`") from None
        if _is_its_own(real):
            raise GatepassError(
                f"{name}: expected a path of files, got `{text}`",
                "processes and devices are the command's own, and `/` is all there is",
            )
        found.append(real)
    return tuple(found)


# --------------------------------------------------------------- the environment


def environment(environ: Mapping[str, str], kept: Iterable[str], shown: Iterable[Path]) -> dict[str, str]:
    """The variables of a command that is isolated: none that hold a secret, or lead to a socket; but those `kept`, and
    those that name what is `shown`.
    """
    kept, shown = set(kept), list(shown)

    def leads_nowhere(name: str, value: str) -> bool:
        if name not in places.SOCKETS or name in kept:
            return False
        path = Path(value.removeprefix("unix://").removeprefix("unix:path="))
        return not any(path.resolve().is_relative_to(each) for each in shown)

    return {
        name: value
        for name, value in environ.items()
        if not leads_nowhere(name, value) and (name in kept or not places.is_secret(name, value))
    }
