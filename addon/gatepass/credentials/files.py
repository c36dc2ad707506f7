"""What a file holds: a secret alone, or a netrc's password for a host.

A file that others of the machine may read holds no secret, and is refused; but for a read-only mount of secrets, as
Kubernetes, Docker and systemd make them: its modes are not the user's to choose. All here blocks: it is for a thread.
"""

from __future__ import annotations

import netrc as netrc_format
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from gatepass import home
from gatepass.credentials.validation import AbsentError
from gatepass.errors import GatepassError, why
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gatepass.sources import Source, Systemd

_MOST: Final = 64 * 1024
_OTHERS: Final = 0o077
# systemd lets a unit's user read by an ACL, whose mask stands where the group's bits do (acl(5)).
_OTHERS_BUT_AN_ACL: Final = 0o007


def secret(source: Source, path: str) -> str:
    """The text of a file, with whatever space is around it; `path` may begin with `~`.

    Raises:
        AbsentError: there is none, or it cannot be read.
        Unresolvable: others may read it, or it is too large to be a secret.
    """
    return _read(source, _at_home(path), _OTHERS)


def systemd(source: Systemd, environ: Mapping[str, str]) -> str:
    """The text of a credential that systemd has put before the unit in which we run.

    https://systemd.io/CREDENTIALS

    Raises:
        AbsentError: there is none, or it cannot be read.
        Unresolvable: others may read it, or it is too large to be a secret.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not Path(folder).is_absolute():
        raise AbsentError("is not to be had: systemd hands over no credentials, `$CREDENTIALS_DIRECTORY` is not set")
    return _read(source, Path(folder, source.name), _OTHERS_BUT_AN_ACL)


def netrc(source: Source, names: Iterable[str], environ: Mapping[str, str]) -> str:
    """The password of the first of these machines that the user's netrc names.

    Its `default` is left aside: it is for whoever asks, and no forge's.

    Raises:
        AbsentError: there is none, or it cannot be read.
        Unresolvable: others may read it.
    """
    path = _netrc_path(environ)
    with _opened(source, path) as file:
        # the very file that was looked at, where its descriptor has a name
        opened = Path(f"/dev/fd/{file.fileno()}")
        try:
            entries = netrc_format.netrc(str(opened if opened.exists() else path)).hosts
        except (netrc_format.NetrcParseError, UnicodeDecodeError, OSError) as error:
            line = getattr(error, "lineno", None)
            raise AbsentError(f"({path}) cannot be read{f', line {line}' if line else ''}", failed=True) from None
    found = next((entries[name][2] for name in names if name in entries and name != "default"), None)
    if not found:
        raise AbsentError(f"has no password for {', '.join(names)}")
    return found


def _read(source: Source, path: Path, others: int) -> str:
    with _opened(source, path, others) as file:
        try:
            content = file.read(_MOST + 1)
        except OSError as error:
            raise AbsentError(f"cannot be read: {why(error)}", failed=True) from None
    if len(content) > _MOST:
        raise Unresolvable(catalogue.UNUSABLE_SECRET(source=source, what=f"more than {_MOST} bytes"))
    return content.decode(errors="surrogateescape")


def _at_home(path: str) -> Path:
    """`path` with its `~` opened.

    Raises:
        AbsentError: there is no such home, and a file of that name in the working folder is not what is meant.
    """
    with suppress(GatepassError):
        place = home.opened(path)
        if place.is_absolute() or not path.startswith("~"):
            return place
    raise AbsentError("is in a home, and nothing tells where that is")


def _netrc_path(environ: Mapping[str, str]) -> Path:
    """$NETRC, as curl, git and uv read it, else the file in the home, which has another name on Windows."""
    if named := environ.get("NETRC"):
        return _at_home(named)
    names = (".netrc", "_netrc") if sys.platform == "win32" else (".netrc",)
    paths = [_at_home(f"~/{name}") for name in names]
    return next((path for path in paths if path.exists()), paths[0])


def _opened(source: Source, path: Path, others: int = _OTHERS) -> BinaryIO:
    """The file, open for reading, and nobody else's to read: none of the bits `others` is in its mode."""
    try:
        # what is no file could keep us waiting for whoever writes to it
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise AbsentError("does not exist") from None
    except OSError as error:
        raise AbsentError(f"cannot be read: {why(error)}", failed=True) from None
    try:
        _check(source, path, descriptor, others)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check(source: Source, path: Path, descriptor: int, others: int) -> None:
    """On the open file, so that it cannot be swapped afterwards."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise AbsentError("is no file", failed=True)
    if sys.platform != "win32" and status.st_mode & others and not _is_secrets_mount(descriptor, status):
        raise Unresolvable(catalogue.EXPOSED_SECRET(source=source, path=path, mode=stat.S_IMODE(status.st_mode)))


def _is_secrets_mount(descriptor: int, status: os.stat_result) -> bool:
    """Whether the file lies on a mount that is read-only, and apart from the system's own files.

    A system whose root is read-only has its files for everybody: on NixOS a secret in the store is everybody's.
    """
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY) and status.st_dev != Path("/").stat().st_dev
