"""What there is to share, and what becomes of it where nobody shares: nothing is known, and all is asked for.

The interface of whatever replicas share by. Knows no server.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    type Take[V] = Callable[[bytes], V | None]
    """Reads a value that was found; None when it is of no use."""


class Made[V](NamedTuple):
    """What was asked for; and what of it is to be shared, and for how many seconds: nothing where it is None."""

    value: V
    shared: bytes | None = None
    seconds: float = 0.0


class Store:
    """Values by name, each with an end. Nobody waits for it for more than a moment, and nothing that it does fails."""

    is_shared = False

    def __init__(self) -> None:
        self.salt = secrets.token_bytes(32)
        """Of fingerprints of secrets, which are of no use to whoever does not have it."""

    def name(self, kind: str, *parts: str) -> str:
        """What a value is called: it tells nothing of the parts."""
        return f"{kind} {parts}"

    async def get(self, _name: str, /) -> bytes | None:
        """What another replica, or this one, has put there, and has not ended."""
        return None

    def put(self, _name: str, _value: bytes, _seconds: float, /) -> None:
        """Share it for so long. It takes its time, which is nobody's."""

    async def once[V](self, _name: str, _take: Take[V], ask: Callable[[], Awaitable[Made[V]]], /) -> V:
        """What can be taken of what is there, else what `ask` makes: of all replicas one asks at a time.

        `take` may be called several times. Of an `ask` that fails the others hear nothing, and ask themselves.
        """
        return (await ask()).value

    async def tally(self, _name: str, _own: int, _seconds: float, /) -> int:
        """Tell the others how many of something are this replica's own, for so long; how many are theirs."""
        return 0

    def tell(self, _name: str, _own: int, _seconds: float, /) -> None:
        """The same, without hearing of theirs."""

    async def close(self) -> None:
        """Let go of what is under way."""


ALONE = Store()
