"""What was done and what it cost, counted while it happens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNT: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


@dataclass(slots=True)
class Statistics:
    """Counts since the start. `remaining` and `limit` are the API budget as last told, None while it was not."""

    served: int = 0
    refused: int = 0
    api_calls: int = 0
    remaining: int | None = None
    limit: int | None = None

    def called(self, headers: Mapping[str, str]) -> None:
        """Count an API call, by the headers of its answer (REST docs, rate limits)."""
        self.api_calls += 1
        remaining, limit = number(headers, "x-ratelimit-remaining"), number(headers, "x-ratelimit-limit")
        if remaining is not None and limit is not None:
            self.remaining, self.limit = remaining, limit

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
