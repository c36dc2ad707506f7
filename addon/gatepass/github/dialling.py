"""How the client of a forge gets connections: to addresses that somebody else tells, where one is asked.

Knows neither names nor what makes an address fit; TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, override

import httpcore2
import httpx2

if TYPE_CHECKING:
    import ssl

type Dial = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses by which a host may be dialled, at least one; raises what is to be said instead."""


class Dialled(httpcore2.AsyncNetworkBackend):
    """Connects to the first of these addresses that answers; each has its share of the time."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._backend = httpcore2.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._dial(host, port)
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        failed: Exception | None = None
        for index, address in enumerate(addresses):
            share = None if end is None else max(0.1, end - loop.time()) / (len(addresses) - index)
            try:
                return await self._backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    @override
    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("no socket of this machine is dialled")

    @override
    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class DialledTransport(httpx2.AsyncHTTPTransport):
    """httpx2's own, whose connections are made by `dial`."""

    def __init__(self, trust: ssl.SSLContext, limits: httpx2.Limits, dial: Dial) -> None:
        super().__init__(verify=trust, http2=True, trust_env=False, limits=limits)
        # httpx2 hands no backend on: its pool is replaced by one of the same settings, before it is used
        if not isinstance(self._pool, httpcore2.AsyncConnectionPool):
            raise TypeError("this httpx2 has another pool")
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http2=True,
            network_backend=Dialled(dial),
        )
