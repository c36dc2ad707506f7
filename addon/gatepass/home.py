"""Where this user's own files are. Absolute, or nowhere: never in the folder that happens to be the working one.

Also where that one is, which may have been deleted.

Makes nothing, and knows nothing of what the files are for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_AN_EMPTY_HOME: Final = Path("/.config/gatepass")


def folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The user's home; None where nothing tells it. A $HOME that is empty or relative tells nothing."""
    named = Path(environ.get("HOME", ""))
    if named.is_absolute():
        return named
    if sys.platform == "win32":
        known = Path.home()
        return known if known.is_absolute() else None
    import pwd

    try:
        known = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry, as in a container that was told a number
        return None
    return known if known.is_absolute() else None


def opened(path: str, environ: Mapping[str, str] = os.environ) -> Path:
    """`path`, which may begin with `~` for the user's home, or with `~NAME` for that of another whom the system knows.

    Raises:
        GatepassError: no file can have that name; or nothing tells where the user's home is. Python's own functions
            would leave the `~` as it is, which names a folder in the working one, or take an empty $HOME for the root.
    """
    if "\0" in path:
        raise GatepassError(f"{path}: expected the name of a file, got one that none can have")
    whose, *rest = Path(path).parts or ("",)
    if whose != "~":
        return Path(os.path.expanduser(path))  # noqa: PTH111 — Path's raises for a name that is nobody's
    place = folder(environ)
    if place is None:
        raise GatepassError(
            f"{path}: expected a path, got one in your home, which nothing tells",
            "set HOME, or name the file by its whole path",
        )
    return place.joinpath(*rest)


def working() -> Path:
    """The working folder, for what is named by its place in it.

    Raises:
        GatepassError: it was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise GatepassError(
            "the working folder: expected one that is there, got a deleted one", "`cd` elsewhere"
        ) from None


def config() -> Path | None:
    """Gatepass's folder among the user's settings; None where nothing tells it.

    A relative $XDG_CONFIG_HOME counts as none (XDG Base Directory Specification 0.8).
    """
    place = Path(click.get_app_dir("gatepass"))
    if place.is_absolute() and place != _OF_AN_EMPTY_HOME:
        return place
    home = folder()
    return home and home / ".config" / "gatepass"


def expected_config() -> Path:
    """The same, where something is to be kept.

    Raises:
        GatepassError: nothing tells where.
    """
    place = config()
    if place is None:
        raise GatepassError(
            "$HOME: expected the path of your home, got none, nor does the system know one for this user",
            "set HOME to a folder of your own",
        )
    return place
