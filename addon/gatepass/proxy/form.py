"""The form of a request: what is wrong with it whatever it asks for.

Reads, and changes nothing; knows no rule.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final

from mitmproxy.proxy.mode_specs import ReverseMode

from gatepass.forge.hosts import Host
from gatepass.problems import catalogue

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

    from gatepass.problems.problem import Problem

# RFC 9112, section 3: no control byte and no space is in a request's target, nor in its method.
_CONTROL: Final = re.compile(rb"[\x00-\x20\x7f]")


def fault(flow: HTTPFlow, host: str) -> Problem | None:
    """What is wrong, if anything; `host` is the Host header as the client sent it."""
    data = flow.request.data
    if _CONTROL.search(data.path) or _CONTROL.search(data.method):
        return catalogue.MALFORMED_REQUEST(what="there is a control character in the request's first line")
    mode = flow.client_conn.proxy_mode
    if isinstance(mode, ReverseMode) and not flow.is_replay and not _is_ours(host, mode.address[0]):
        return catalogue.MISDIRECTED(name=host, host=Host(mode.address[0].lower(), mode.address[1]))
    return None


def _is_ours(host: str, upstream: str) -> bool:
    """Whether a reverse proxy goes by that name.

    A page may be served under a name that comes to have the proxy's address (DNS rebinding): its own scripts would then
    be served with a credential. An address cannot be had so.
    """
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower().rstrip(".") in {"", "localhost", upstream.lower(), socket.gethostname().lower()}
    return True
