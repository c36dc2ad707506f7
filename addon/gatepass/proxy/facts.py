"""The facts of a connection and of a request, read off mitmproxy's objects.

Reads, and changes nothing. The Host header is believed by none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.decision import Request
from gatepass.errors import printable
from gatepass.forge.hosts import HTTPS_PORT, OWN, Host
from gatepass.proxy import modes

if TYPE_CHECKING:
    from mitmproxy import http
    from mitmproxy.connection import Client

    from gatepass.egress.identity import Identity

# The methods that are there to send content (RFC 9110, sections 9.3.3 and 9.3.4; RFC 5789): a server reads it.
_SENDING = frozenset({"POST", "PUT", "PATCH"})
_SMALL = 64 * 1024
_LENGTH = b"content-length"
_CODING = b"transfer-encoding"


def destination(client: Client, address: tuple[str, int]) -> Host:
    """The server that a connection really goes to: the CONNECT authority, or the SNI that upstream TLS verifies."""
    name, port = address
    if isinstance(client.proxy_mode, modes.TRANSPARENT):
        name = client.sni or ""
    return Host(name.lower(), port)


def is_own_name(name: str) -> bool:
    """Whether a name is the proxy's own, in whatever letters, and however a resolver would come to it (RFC 3490)."""
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return False
    return name.lower().removesuffix(".") == OWN.name


def is_index(address: tuple[str, int]) -> bool:
    """Whether that is where the package indexes are: the proxy's own name, behind TLS, where nothing is dialled."""
    return address[1] == HTTPS_PORT and is_own_name(address[0])


def is_for_index(flow: http.HTTPFlow) -> bool:
    """Whether a request is for the package indexes."""
    return flow.request.scheme == "https" and is_index((flow.request.host, flow.request.port))


def is_fronted(client: Client, name: str) -> bool:
    """Whether the client asked the proxy for one server, and asks another by its SNI."""
    if client.sni is None or not isinstance(client.proxy_mode, modes.EXPLICIT):
        return False
    if is_own_name(name):  # of which clients leave a dot at the end out of the SNI
        return not is_own_name(client.sni)
    return client.sni.lower() != name.lower()


def server(flow: http.HTTPFlow) -> Host:
    """The server that the request really goes to. Of a replay the record tells nothing: mode and SNI are of then."""
    if flow.is_replay == "request":
        return Host(flow.request.host.lower(), flow.request.port)
    return destination(flow.client_conn, (flow.request.host, flow.request.port))


def request(flow: http.HTTPFlow, identity: Identity | None, *, verified: bool) -> Request:
    """What a decision rests on: who asks, and `verified` tells whether upstream certificates are checked."""
    asked = flow.request
    return Request(
        asked.scheme,
        server(flow),
        asked.method,
        asked.path,
        verified,
        asked.headers.fields,
        has_body=has_body(asked),
        client=None if identity is None else identity.client,
        account=None if identity is None else identity.account,
    )


def url(flow: http.HTTPFlow) -> str:
    """The request's URL by its server's name, where mitmproxy may know an address alone."""
    host, scheme = server(flow), flow.request.scheme
    return f"{scheme}://{host if scheme == 'https' else f'{host.name}:{host.port}'}{flow.request.path}"


def shown(flow: http.HTTPFlow) -> str:
    """Method and URL without its query, for the log."""
    return printable(f"{flow.request.method} {url(flow).partition('?')[0]}")


def _announced(message: http.Message, untold: str) -> str | None:
    """The length of its body as it is told, `untold` where none is; None when the body tells its end itself.

    Asked several times of each request: mitmproxy's look-up of one header takes longer.
    """
    lengths = []
    for name, value in message.headers.fields:
        if len(name) == len(_LENGTH) and name.lower() == _LENGTH:
            lengths.append(value.decode("utf-8", "surrogateescape"))
        elif len(name) == len(_CODING) and name.lower() == _CODING:
            return None
    return ", ".join(lengths) if lengths else untold


def has_body(request: http.Request) -> bool:
    """Whether the client announces a body."""
    length = _announced(request, "0")
    return length is None or length.strip() != "0"


def has_stray_body(request: http.Request) -> bool:
    """Whether a body is announced that no method is there to send: its server may leave it unread."""
    return request.method not in _SENDING and has_body(request)


def is_short(request: http.Request) -> bool:
    """Whether the request has no body, or one that is sure to be small."""
    length = _announced(request, "0")
    return length is not None and _is_small(length)


def is_small(response: http.Response) -> bool:
    """Whether the body is known to be small: to stream it would cost mitmproxy more than to hold it."""
    return _is_small(_announced(response, "") or "")


def _is_small(length: str) -> bool:
    return length.isascii() and length.isdigit() and int(length) <= _SMALL
