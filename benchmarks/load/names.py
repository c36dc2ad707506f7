"""For `mitmdump -s`, before the addon: every name of the world leads to loopback, and each kind of server has its own.

A name's address is one of 127.0.0.0/8, by the option `load_names` (JSON: name to address; `*` for all others); the
address and any port lead to a port of 127.0.0.1, by `load_ports` (JSON: address to port). Nothing else is dialled: what
these do not tell is refused. So real names can be used, and no packet leaves the machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.addonmanager import Loader


class Names:
    """Resolves and connects in the resolver's and the event loop's stead."""

    def load(self, loader: Loader) -> None:
        loader.add_option("load_names", str, "{}", "Addresses by name, JSON.")
        loader.add_option("load_ports", str, "{}", "Ports by address, JSON.")

    def running(self) -> None:
        names: dict[str, str] = json.loads(ctx.options.load_names)
        ports: dict[str, int] = json.loads(ctx.options.load_ports)

        def resolve(host: Any, port: Any, family: int = 0, kind: int = 0, *_: Any, **__: Any) -> list[Any]:
            name = host.decode("latin-1") if isinstance(host, bytes) else str(host)
            address = name
            try:
                if ipaddress.ip_address(name.partition("%")[0]).version != 4:
                    raise socket.gaierror(socket.EAI_NONAME, "no such address in this world")
            except ValueError:
                try:
                    address = socket.inet_ntoa(socket.inet_aton(name))  # `127.1`, as resolvers take it
                except (OSError, ValueError):
                    address = names.get(name.rstrip(".").lower(), names["*"])
            if family not in (0, socket.AF_INET):
                raise socket.gaierror(socket.EAI_NONAME, "IPv4 alone in this world")
            return [(socket.AF_INET, kind or socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))]

        socket.getaddrinfo = resolve  # type: ignore[assignment]
        loop = asyncio.get_running_loop()
        connect: Callable[..., Any] = loop.create_connection

        async def create_connection(factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
            if host is not None:
                address = resolve(host, port)[0][4][0]
                if address not in ports:
                    raise ConnectionRefusedError(f"{address} is nowhere in this world")
                host, port = "127.0.0.1", ports[address]
            return await connect(factory, host, port, **named)

        loop.create_connection = create_connection  # type: ignore[assignment]
        # each connection is a line, of which nothing can be learnt; but first it is told that the proxy listens
        loop.call_later(1, lambda: ctx.options.update(termlog_verbosity="warn"))


addons = [Names()]
