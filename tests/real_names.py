"""A mitmproxy addon for tests: connections of this process to github.com's names, and a tenant's, end at the stand-in.

The event loop is the one seam that mitmproxy's own connections and those of the addon's API client have in common; the
names stay what they are for everything above it: TLS, the rules, the flows.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.addonmanager import Loader

NAMES = frozenset(
    {
        "github.com",
        "github.com.",
        "api.github.com",
        "objects.githubusercontent.com",
        "release-assets.githubusercontent.com",
        "codeload.github.com",
        "raw.githubusercontent.com",
        "uploads.github.com",
        "acme.ghe.com",
        "api.acme.ghe.com",
        "objects.acme.ghe.com",
        "release-assets.acme.ghe.com",
        "evil.test",
        "github.com.evil.test",
        "notgithub.com",
    }
)


class RealNames:
    def load(self, loader: Loader) -> None:
        loader.add_option("standin_port", int, 0, "Where the stand-in listens.")

    def running(self) -> None:
        loop = asyncio.get_running_loop()
        create_connection: Callable[..., Any] = loop.create_connection
        getaddrinfo: Callable[..., Any] = loop.getaddrinfo

        async def connect(factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
            if host in NAMES | {"127.0.0.1"} and port == 443:
                host, port = "127.0.0.1", ctx.options.standin_port
            return await create_connection(factory, host, port, **kwargs)

        async def resolve(host: Any, port: Any, **kwargs: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name in NAMES:
                # the port stays 443: `connect` knows then that it is one of ours
                return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]
            return await getaddrinfo(host, port, **kwargs)

        loop.create_connection = connect  # type: ignore[assignment]
        loop.getaddrinfo = resolve  # type: ignore[method-assign]


addons = [RealNames()]
