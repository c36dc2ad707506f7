"""What a proxy says to CONNECT when it refuses: the answer, of which HTTP clients show the status alone.

Asks for a tunnel, and puts nothing through it.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
from typing import TYPE_CHECKING, Final

from gatepass.assets.answers import Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx2

    from gatepass.forge.hosts import Host

_SECONDS: Final = 10.0
_MOST: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}


async def refusal(proxy: httpx2.Proxy, trust: ssl.SSLContext, host: Host) -> Answer | None:
    """The proxy's answer; None where it opens the tunnel after all, or says nothing."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.to_thread(_asked, proxy, trust, host)
    except (OSError, http.client.HTTPException, TimeoutError):
        return None


def _asked(proxy: httpx2.Proxy, trust: ssl.SSLContext, host: Host) -> Answer | None:
    place, port = proxy.url.host, proxy.url.port or _PORTS[proxy.url.scheme]
    connection = (
        http.client.HTTPSConnection(place, port, timeout=_SECONDS, context=trust)
        if proxy.url.scheme == "https"
        else http.client.HTTPConnection(place, port, timeout=_SECONDS)
    )
    try:
        connection.request("CONNECT", f"{host.name}:{host.port}", headers=_credentials(proxy))
        response = connection.getresponse()
        if response.status < 300:
            return None
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read(_MOST), response.reason)
    finally:
        connection.close()


def _credentials(proxy: httpx2.Proxy) -> Mapping[str, str]:
    if proxy.auth is None:
        return {}
    user, password = proxy.auth
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {basic}"}
