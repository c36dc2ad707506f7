"""Files of Apache's `htpasswd`: their users, and whether a password is one's.

Knows hashes, and no client. All here blocks: a hash of bcrypt is made to take long.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from mitmproxy.utils.htpasswd import HtpasswdFile

from gatepass import files
from gatepass.errors import GatepassError, why
from gatepass.rules.access import Htpasswd, Password

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gatepass.rules.access import Access

type Users = Mapping[str, str]
"""The hash of each user."""

_MOST: Final = 8 * 1024 * 1024
_SHA: Final = "{SHA}"
_WHOLE: Final = re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}=|\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[A-Za-z0-9./]{53}")


def read(proof: Htpasswd) -> Users:
    """The users of a file.

    Raises:
        GatepassError: it cannot be read, or is something else.
    """
    make = f"`htpasswd -B -c {proof.path} USER` makes one"
    expected = f"{proof.place}: expected a file of Apache's htpasswd, got `{proof.path}`"
    try:
        content = files.read(proof.path, _MOST)
    except OSError as error:
        raise GatepassError(f"{expected}: {why(error)}", make) from None
    except ValueError:
        raise GatepassError(f"{expected}: no file can have that name", make) from None
    if len(content) > _MOST:
        raise GatepassError(f"{expected}: it has more than {_MOST} bytes", make)
    users: dict[str, str] = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            found = HtpasswdFile(line.decode()).users
        except ValueError:
            found = {"": ""}
        if not all(user.isprintable() and _WHOLE.fullmatch(hashed) for user, hashed in found.items()):
            # the line itself holds a hash, if not a password
            raise GatepassError(
                f"{expected}: line {number} is no user with a hash of bcrypt or SHA",
                f"`htpasswd -B {proof.path} USER` writes bcrypt; `-m` and `-d` write what is not read",
            )
        for user, hashed in found.items():
            users.setdefault(user, hashed)
    return users


def expect(access: Access) -> None:
    """See that the files of users can be had.

    Raises:
        GatepassError: one cannot be read, or is something else.
    """
    for client in access.clients:
        if isinstance(client.proof, Htpasswd):
            read(client.proof)


def check(hashed: str, password: str) -> bool:
    """Whether the hash is that of the password; takes the same time wherever they differ."""
    if hashed.startswith(_SHA):
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
        return hmac.compare_digest(hashed.removeprefix(_SHA), base64.b64encode(digest).decode())
    try:
        return HtpasswdFile(f"user:{hashed}").check_password("user", password)
    except ValueError:  # bcrypt takes 72 bytes, none of them NUL
        return False


def cost(hashed: str) -> int:
    """How long a check takes, as bcrypt counts it; 0 for SHA."""
    return 0 if hashed.startswith(_SHA) else int(hashed[4:6])


def warnings(access: Access) -> Iterable[str]:
    """What cannot work: users whom an earlier entry describes, too; a sentence each.

    Raises:
        GatepassError: as `read` does.
    """
    known: dict[str, str] = {}
    for client in access.clients:
        match client.proof:
            case Password():
                if client.name in known:
                    yield f"client `{client.name}` is never known by its password: {_first(client.name, known)}"
                known.setdefault(client.name, client.name)
            case Htpasswd(path):
                for user in read(client.proof):
                    if user in known:
                        yield f"user `{user}` of {path} is never known as `{client.name}`: {_first(user, known)}"
                    known.setdefault(user, client.name)
            case _:
                pass


def _first(user: str, known: Mapping[str, str]) -> str:
    return f"client `{known[user]}` comes first, and has a user of that name"
