"""How the client of a forge gets connections: to addresses that somebody else tells, where one is asked.

Through the upstream proxy, or past it. Knows neither names nor what makes an address fit; TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, override

import httpcore2
import httpx2

from gatepass.forge.hosts import HTTPS_PORT, Host

if TYPE_CHECKING:
    import ssl

LIMITS: Final = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=60)

type Dial = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses by which a host may be dialled, at least one; raises what is to be said instead."""


class Way(Protocol):
    """Which hosts may be connected to, and by which addresses. Both raise `Unresolvable` for those that may not."""

    async def dial(self, name: str, port: int) -> Sequence[str]:
        """The addresses, at least one, the best first."""

    def expect_literal(self, name: str, port: int) -> None:
        """Judge a host that an upstream proxy resolves."""


def transport(
    trust: ssl.SSLContext, proxy: httpx2.Proxy | None, direct: Callable[[Host], bool], way: Way | None
) -> httpx2.AsyncBaseTransport:
    """What connects by `proxy`, where there is one, but for the hosts that are `direct`."""
    return _past(trust, way) if proxy is None else _Either(trust, proxy, direct, way)


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


def _past(trust: ssl.SSLContext, way: Way | None) -> httpx2.AsyncHTTPTransport:
    """What connects directly."""
    if way is None:
        return httpx2.AsyncHTTPTransport(verify=trust, http2=True, trust_env=False, limits=LIMITS)
    return DialledTransport(trust, LIMITS, way.dial)


class _Either(httpx2.AsyncBaseTransport):
    """Through the upstream proxy, or past it to the hosts that it is not for."""

    def __init__(
        self, trust: ssl.SSLContext, proxy: httpx2.Proxy, direct: Callable[[Host], bool], way: Way | None
    ) -> None:
        self._direct = direct
        self._way = way
        self._past = _past(trust, way)
        self._through = httpx2.AsyncHTTPTransport(verify=trust, http2=True, trust_env=False, limits=LIMITS, proxy=proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = Host(request.url.host, request.url.port or HTTPS_PORT)
        if self._direct(host):
            return await self._past.handle_async_request(request)
        if self._way is not None:
            self._way.expect_literal(host.name, host.port)
        return await self._through.handle_async_request(request)

    async def aclose(self) -> None:
        await self._past.aclose()
        await self._through.aclose()
