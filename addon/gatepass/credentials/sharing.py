"""What it takes to open the store of replicas: its password and its keys, read where the rules say.

Blocks: a file may be on others' disks. Knows what a key looks like; seals nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gatepass import redaction
from gatepass.credentials import files
from gatepass.credentials.validation import AbsentError
from gatepass.errors import GatepassError
from gatepass.problems.problem import Unresolvable
from gatepass.sources import Env, Systemd
from gatepass.store.opening import HINT, MISSING, Opening, is_installed
from gatepass.store.sealing import KeyFormatError, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.rules.model import Kept, SharedCache

_MAKE = "make one with `openssl rand -base64 32`, and give all replicas the same"


def opening(shared: SharedCache, environ: Mapping[str, str] = os.environ) -> Opening:
    """What the rules' own word of it comes to.

    Raises:
        GatepassError: a key or the password is not to be had, or a key is none; or the client library is not installed.
    """
    keys = [_key(kept, environ) for kept in shared.keys]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise GatepassError(f"{shared.keys[index].place}: expected each key once, got it again", "leave one out")
    password = None if shared.password is None else _text(shared.password, environ, "the password of the store")
    if not is_installed():
        raise GatepassError(f"{shared.keys[0].place.partition(': ')[0]}: {MISSING}", HINT)
    return Opening(shared.store, password, tuple(keys))


def _key(kept: Kept, environ: Mapping[str, str]) -> bytes:
    text = _text(kept, environ, "a key")
    try:
        return read_key(text)
    except KeyFormatError as error:
        raise GatepassError(f"{kept.place}: expected {error} in `{kept.source}`, got something else", _MAKE) from None


def _text(kept: Kept, environ: Mapping[str, str], what: str) -> str:
    where = f"{kept.place}: expected {what} in `{kept.source}`"
    match kept.source:
        case Env(name):
            text = environ.get(name)
            if text is None:
                raise GatepassError(f"{where}, which is not set", f"set `{name}` for the proxy")
        case source:
            try:
                text = (
                    files.systemd(source, environ) if isinstance(source, Systemd) else files.secret(source, source.path)
                )
            except AbsentError as error:
                raise GatepassError(f"{where}, which {error.reason}", _MAKE if what == "a key" else None) from None
            except Unresolvable as unresolvable:
                problem = unresolvable.problem
                raise GatepassError(f"{where}: {problem.title}: {problem.detail}", problem.hint) from None
    text = text.strip()
    if not text or not text.isprintable():
        raise GatepassError(f"{where}, got {'nothing' if not text else 'more than one line'}")
    redaction.learn(text)
    return text
