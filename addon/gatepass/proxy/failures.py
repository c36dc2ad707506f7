"""Why mitmproxy's own way to a server failed, as a problem like those of the addon's own calls.

All that mitmproxy keeps of the reason is its words. Knows connections, and neither rules nor what was asked.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Final

from gatepass.forge.hosts import Host
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from mitmproxy.connection import Server

    from gatepass.problems.problem import Problem

_UNRESOLVED: Final = frozenset(value for name, value in vars(socket).items() if name.startswith("EAI_"))
# `mitmproxy/proxy/layers/tls.py`, `layers/http/_upstream_proxy.py`, and asyncio's words for `OSError`s
_UNTRUSTED: Final = re.compile(r"Certificate verify failed: (.*)", re.DOTALL)
_BY_PROXY: Final = re.compile(r"Upstream proxy .* refused HTTP CONNECT request: ([1-9][0-9]{2})\b", re.DOTALL)
_SYSTEM: Final = re.compile(r"(?:Multiple exceptions: )?\[Errno (-?[0-9]+)\] ([^,]*)")


def problem(message: str, host: Host, server: Server, trust: str) -> Problem:
    """What is behind mitmproxy's `message` about the way to `host`; `trust` says what certificates are checked against.

    `server` is the connection as far as it came.
    """
    proxy = Host(*server.via[1]) if server.via is not None else None
    if untrusted := _UNTRUSTED.match(message):
        return catalogue.CERTIFICATE_NOT_TRUSTED(host=host, error=untrusted[1], issuer=None, trust=trust)
    if proxy is not None and (refused := _BY_PROXY.match(message)):
        remedy = catalogue.PROXY_REFUSED.remedy(refused[1], host=host)
        return catalogue.PROXY_REFUSED(host=host, proxy=proxy, status=int(refused[1]), remedy=remedy)
    if system := _SYSTEM.match(message):
        # a proxy is all that is connected to, and all that is looked up
        if int(system[1]) in _UNRESOLVED:
            return catalogue.NAME_NOT_RESOLVED(host=proxy or host, error=system[2])
        return catalogue.UNREACHABLE(host=proxy or host, error=message)
    # what is said of an answer may quote it, and a text with a URL in it may hold a signature
    text = message if "://" not in message else "it ended otherwise than HTTP has it"
    is_met = server.address == (host.name, host.port) and (
        server.timestamp_tls_setup if server.tls else server.timestamp_tcp_setup
    )
    return catalogue.BROKEN_ANSWER(host=host, error=text) if is_met else catalogue.UNREACHABLE(host=host, error=text)
