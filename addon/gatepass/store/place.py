"""Where a store is: the address of a server, and which of its databases.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and which of its databases; with TLS, or without."""

    host: str
    port: int = PORT
    database: int = 0
    user: str | None = None
    is_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.is_tls else ''}://{host}:{self.port}/{self.database}"


class PlaceError(ValueError):
    """It is no address of a store; the text says what one looks like, `hint` what to do."""

    def __init__(self, expected: str, hint: str, *, is_secret: bool = False) -> None:
        super().__init__(expected)
        self.hint = hint
        self.is_secret = is_secret


def read_place(text: str) -> Place:
    """Read `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS.

    Raises:
        PlaceError: it is something else.
    """
    expected = "`redis://HOST:PORT/DATABASE`, or `rediss://…` with TLS"
    hint = "such as `redis://127.0.0.1:6379/0`"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise PlaceError(expected, hint) from None
    if "@" in parts.netloc:
        hint = "`user: NAME`, and for the password where it is: `password: env:NAME`"
        raise PlaceError(f"{expected}, without user and password", hint, is_secret=True)
    database = parts.path.removeprefix("/") or "0"
    is_database = database.isascii() and database.isdigit() and len(database) < 4
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not is_database or port == 0:
        raise PlaceError(expected, hint)
    if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise PlaceError(expected, hint)
    return Place(parts.hostname, port or PORT, int(database), is_tls=parts.scheme == "rediss")
