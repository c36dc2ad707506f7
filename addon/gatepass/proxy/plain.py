"""Plain requests beside a proxy that the shell names for https: they go where they went without us.

Clients send theirs here, too, whatever their shell says of them. Knows the environment's word for them, and no rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy.connection import Server
from mitmproxy.proxy.mode_specs import UpstreamMode

from gatepass.forge.hosts import Host
from gatepass.shell import inherited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitmproxy.http import HTTPFlow


class Plain:
    """An addon that sends plain requests directly, unless `environ` has a proxy for them.

    It has to come after mitmproxy's own, which adds the upstream proxy's password.
    """

    name = "gatepass_plain"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def requestheaders(self, flow: HTTPFlow) -> None:
        request = flow.request
        if request.scheme != "http" or not isinstance(flow.client_conn.proxy_mode, UpstreamMode):
            return
        if not inherited.carries_plain(self._environ, Host(request.host.lower(), request.port)):
            # mitmproxy's own way to choose another upstream (its example `change_upstream_proxy.py`)
            flow.server_conn = Server(address=(request.host, request.port))
            request.authority = ""  # a server expects the path alone
            request.headers.pop("Proxy-Authorization", None)
