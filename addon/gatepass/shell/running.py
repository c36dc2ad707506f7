"""Which servers of this user run, and where: the one place where `gatepass serve` and `gatepass env` meet.

A server leaves a file while it listens. The file is private: it holds the proxy's password, and who can write there
chooses the proxy, and the CA, of whoever reads it.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from gatepass import files, home
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_TIMEOUT: Final = 2.0
"""Seconds; on this machine it takes none."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens: its process, its URL as a client reaches it, and what a client of it trusts.

    The URL holds the password, where there is one that clients can be told. `placeholders` are what programs find in
    variables in a secret's place.
    """

    pid: int
    proxy: str = field(repr=False)
    bundle: Path
    ca: Path
    placeholders: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return urlsplit(self.proxy).netloc.rpartition("@")[2]


def folder(environ: Mapping[str, str]) -> Path:
    """Where the files are: this user's runtime folder, where there is one, else beside the user's rules.

    A relative $XDG_RUNTIME_DIR counts as none (XDG Base Directory Specification 0.8).

    Raises:
        GatepassError: there is neither.
    """
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    return runtime / "gatepass" if runtime.is_absolute() else home.expected_config() / "run"


def announce(server: Running, environ: Mapping[str, str]) -> Path:
    """Tell that `server` listens, in the file which is returned; who made it unlinks it.

    Raises:
        GatepassError: the folder is another user's.
        OSError: it cannot be written.
    """
    place = folder(environ)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_foreign(place)
    # the json of the standard library, because it also carries paths that are no UTF-8 (PEP 383)
    text = json.dumps(msgspec.to_builtins(server, enc_hook=str))
    # with the pid, so that a server that ends never removes the file of the next one at its port
    return files.write(place / f"{urlsplit(server.proxy).port}-{server.pid}.json", text, 0o600)


def find(environ: Mapping[str, str]) -> list[Running]:
    """The servers that run, by their ports; the file of one that ended without removing it is removed.

    Raises:
        GatepassError: the folder is another user's.
    """
    place = folder(environ)
    if not place.is_dir():
        return []
    _refuse_foreign(place)
    servers = []
    for path in place.glob("*.json"):
        try:
            server = msgspec.convert(json.loads(path.read_bytes()), Running, dec_hook=lambda kind, text: kind(text))
            urlsplit(server.proxy).port  # noqa: B018 — which tells whether it is a URL
        except (OSError, ValueError):  # it has just ended, or is of a version to come
            continue
        if _lives(server):
            servers.append(server)
        else:
            path.unlink(missing_ok=True)
    return sorted(servers, key=lambda server: urlsplit(server.proxy).port or 0)


def choose(servers: list[Running], address: str | None) -> Running:
    """The server at `address`, HOST:PORT; without one, the only server.

    Raises:
        GatepassError: there is none, or several.
    """
    listed = ", ".join(f"`--proxy {server.address}`" for server in servers)
    if not servers:
        raise GatepassError(
            "no `gatepass serve` is running", "start one with `gatepass serve`, or use `gatepass run -- COMMAND`"
        )
    if address is None:
        if len(servers) > 1:
            raise GatepassError(f"expected one running `gatepass serve`, got {len(servers)}", f"choose: {listed}")
        return servers[0]
    for server in servers:
        if server.address == address:
            return server
    raise GatepassError(f"--proxy: no `gatepass serve` is running at `{address}`", f"running: {listed}")


def _lives(server: Running) -> bool:
    """Whether the process is there and listens. Both are asked: pids and ports are used again, seldom together."""
    if not _exists(server.pid):
        return False
    url = urlsplit(server.proxy)
    try:
        socket.create_connection((url.hostname, url.port or 0), _CONNECT_TIMEOUT).close()
    except TimeoutError:  # there, and busy
        return True
    except OSError:
        return False
    return True


def _exists(pid: int) -> bool:
    if sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's now; no pid at all
        return False
    return True


def _refuse_foreign(place: Path) -> None:
    """What another user could write must not decide where this one's clients go, nor whom they trust."""
    if sys.platform == "win32":  # where the owner is no number, and st_mode does not tell who may write
        return
    status = place.stat()
    if status.st_uid != os.geteuid():
        raise GatepassError(
            f"{place}: expected a folder of your own, got one of user {status.st_uid}",
            "let XDG_RUNTIME_DIR name a folder of your own, or unset it",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise GatepassError(
            f"{place}: expected a folder that others cannot change, got mode {stat.S_IMODE(status.st_mode):o}",
            f"`chmod 700 {place}`",
        )
