"""What was done and what it cost, counted while it happens."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_COUNT: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


class Call(NamedTuple):
    """An API call: the forge's web host, what it answered, the credential's name, and what is left of how many."""

    forge: str
    status: int
    credential: str | None
    remaining: int | None
    limit: int | None = None


@dataclass(slots=True)
class Asked:
    """The API calls that one request has caused so far, which are those made within its `with` block.

    Those that it shares with others are the first one's.
    """

    calls: int = 0
    _token: Token[Asked | None] | None = field(default=None, init=False, repr=False, compare=False)

    def __enter__(self) -> Self:
        self._token = _asked.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _asked.reset(self._token)


# A task that several requests wait for has those of the one that began it.
_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)
_credential: ContextVar[str | None] = ContextVar("credential", default=None)


@contextmanager
def spending(credential: str) -> Iterator[None]:
    """Let the API calls within be told as made with the credential of that name."""
    token = _credential.set(credential)
    try:
        yield
    finally:
        _credential.reset(token)


@dataclass(slots=True)
class Statistics:
    """Counts since the start. `remaining` and `limit` are the API budget as last told, None while it was not."""

    served: int = 0
    refused: int = 0
    api_calls: int = 0
    remaining: int | None = None
    limit: int | None = None
    heard: Callable[[Call], None] | None = field(default=None, compare=False)
    """Hears of every call."""

    def called(self, headers: Mapping[str, str], forge: str = "", status: int = 0) -> None:
        """Count an API call, by the headers of its answer (REST docs, rate limits)."""
        self.api_calls += 1
        if (asked := _asked.get()) is not None:
            asked.calls += 1
        remaining, limit = number(headers, "x-ratelimit-remaining"), number(headers, "x-ratelimit-limit")
        if remaining is not None and limit is not None:
            self.remaining, self.limit = remaining, limit
        if self.heard is not None:
            self.heard(Call(forge, status, _credential.get(), remaining, limit))

    def __str__(self) -> str:
        parts = [f"{self.served} asset request{'' if self.served == 1 else 's'} served"]
        if self.refused:
            parts.append(f"{self.refused} refused")
        parts.append(f"{self.api_calls} API call{'' if self.api_calls == 1 else 's'}")
        if self.remaining is not None:
            parts.append(f"{self.remaining} of {self.limit} left")
        return ", ".join(parts)


def number(headers: Mapping[str, str], name: str) -> int | None:
    """The count that a header tells; None when it tells none."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
