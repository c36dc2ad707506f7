"""The HTTP exchanges of an inquiry, for its report: who was asked what, and which headers came back.

Keeps no body and no secret: headers and URLs are cleared when they are noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gatepass.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx2

    from gatepass.github.client import Hooks
    from gatepass.secret import Secret

_MOST: Final = 300


@dataclass(slots=True)
class Exchange:
    """One request, and its answer when there was one; each line is cleared of secrets."""

    request: str
    request_headers: tuple[str, ...]
    response: str = "no answer"
    response_headers: tuple[str, ...] = ()


@dataclass(slots=True)
class Recorder:
    """Notes the first exchanges of the clients that get its `hooks`."""

    secrets: list[str] = field(repr=False)
    exchanges: list[Exchange] = field(default_factory=list)
    left_out: int = 0
    _open: dict[int, Exchange] = field(default_factory=dict, repr=False)

    def learn(self, _name: str, secret: Secret) -> None:
        """Note a credential's secret that was got on the way, to be removed wherever it appears."""
        self.secrets.append(secret.reveal())

    @property
    def hooks(self) -> Hooks:
        return {"request": [self._asked], "response": [self._answered]}

    async def _asked(self, request: httpx2.Request) -> None:
        if len(self.exchanges) == _MOST:
            self.left_out += 1
            return
        line = redact(f"{request.method} {request.url}", self.secrets)
        exchange = Exchange(line, self._lines(request.headers.multi_items()))
        self.exchanges.append(exchange)
        self._open[id(request)] = exchange

    async def _answered(self, response: httpx2.Response) -> None:
        if (exchange := self._open.pop(id(response.request), None)) is not None:
            exchange.response = f"{response.http_version} {response.status_code} {response.reason_phrase}".strip()
            exchange.response_headers = self._lines(response.headers.multi_items())

    def _lines(self, headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        return tuple(redact(f"{name}: {value}", self.secrets) for name, value in headers)
