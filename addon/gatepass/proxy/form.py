"""The form of a request: what is wrong with it whatever it asks for.

Reads, and changes nothing; knows no rule.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mitmproxy.proxy.mode_specs import ReverseMode

from gatepass.egress.destinations import Place
from gatepass.forge.hosts import HTTPS_PORT, Host
from gatepass.problems import catalogue
from gatepass.proxy import facts

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

    from gatepass.problems.problem import Problem

# RFC 9112, section 3: no control byte and no space is in a request's target, nor in its method.
_CONTROL: Final = re.compile(rb"[\x00-\x20\x7f]")
_LONGEST_NAME: Final = 1024


def fault(flow: HTTPFlow, host: str, *, is_guarded: bool = False, any_name: bool = False) -> Problem | None:
    """What is wrong, if anything; `host` is the Host header as the client sent it.

    `is_guarded` tells whether it matters where a request gets to behind the server that it is sent to, `any_name` that
    a reverse proxy may be asked by whatever name.
    """
    data = flow.request.data
    if _CONTROL.search(data.path) or _CONTROL.search(data.method) or not data.method.isascii():
        return catalogue.MALFORMED_REQUEST(what="there is a control character in the request's first line")
    asked_for = flow.request.host
    if len(asked_for) > _LONGEST_NAME or not _is_name(asked_for):
        return catalogue.MALFORMED_REQUEST(what="its host is no name that could be asked for")
    mode = flow.client_conn.proxy_mode
    if isinstance(mode, ReverseMode) and not (flow.is_replay or any_name) and not _is_ours(host, mode.address[0]):
        ours = Host(mode.address[0].lower(), mode.address[1])
        return _misdirected(host, ours, "index" if facts.is_for_index(flow) else "reverse proxy")
    if is_guarded and flow.request.scheme == "https" and not isinstance(mode, ReverseMode) and not flow.is_replay:
        server = facts.server(flow)
        for asked in (host, flow.request.authority):
            if asked and not _leads_to(asked, server):
                return _misdirected(asked, server, "connection")
    return None


@lru_cache(1024)  # the same is asked at each request of a connection
def _is_name(host: str) -> bool:
    """Whether a host can be looked up, and named in TLS (RFC 3490): mitmproxy would fail in the middle of that."""
    try:
        host.removesuffix(".").encode("idna")
    except UnicodeError:
        return False
    return True


def _misdirected(name: str, host: Host, what: str) -> Problem:
    remedy = catalogue.MISDIRECTED.remedy(what, host=host)
    return catalogue.MISDIRECTED(name=name, host=host, what=what, remedy=remedy)


def _leads_to(authority: str, server: Host) -> bool:
    """Whether a Host header, or the authority of an absolute URL, is that server's.

    A server that serves others, too, goes by it (domain fronting): what was allowed is the connection's name.
    """
    if authority == str(server):  # as nearly always
        return True
    name, colon, port = authority.rpartition(":") if re.search(r":\d*$", authority) else (authority, "", "")
    if not name and colon:
        return False
    try:
        is_it = Place.parse(name, 0) == Place.parse(server.name, 0)
    except ValueError:
        return False
    return is_it and int(port or HTTPS_PORT) == server.port


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
