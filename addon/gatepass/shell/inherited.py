"""The proxy that the user's shell has already, and what need not go there.

Pure. A company's proxy stays the way out: it becomes the upstream proxy of ours.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatepass.forge.hosts import Host

_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_NO_NAME: Final = re.compile(r"[^\w.:%-]")
# What Python makes of bytes that are no UTF-8 (PEP 383).
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PLAIN: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy as mitmproxy's upstream mode wants it, and the variable that names it.

    `auth` is `user:password`, and in no repr.
    """

    url: str
    auth: str | None
    variable: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"<Upstream {self.url}>"


def upstream(environ: Mapping[str, str]) -> Upstream | None:
    """The proxy that the shell names for https.

    Raises:
        GatepassError: it is one that mitmproxy cannot go through.
    """
    name = next((name for name in _VARIABLES if environ.get(name)), None)
    if name is None:
        return None
    from mitmproxy.net import server_spec  # for those alone who have a proxy

    text = environ[name]
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # has a label that is empty, or too long, where it is none
        url = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORTS.get(parts.scheme)}"
        # mitmproxy's own word for it, which would come when the command has begun
        server_spec.parse(url, "http")
    except ValueError:
        host = ""
    if not host or _NO_NAME.search(host) or parts.scheme not in _PORTS:
        # what stands between scheme and host may be a password
        shown = re.sub(r"^([A-Za-z0-9+.-]+://)?.*@", r"\1", text, flags=re.DOTALL)
        raise GatepassError(
            f"${name}: expected the URL of an http or https proxy, got `{shown}`",
            "mitmproxy goes through no other kind upstream: unset it for this command, or name an http proxy",
        )
    auth = None
    if parts.username is not None:
        auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # mitmproxy's own pattern (`addons/upstream_auth.py`), which an end of line as the user does not fit
        if not parts.username or _SURROGATE.search(auth) or not re.search(".+:", auth):
            raise GatepassError(
                f"${name}: expected a user and a password in UTF-8 before the proxy's name, got something else",
                "mitmproxy can tell a proxy no other",
            )
    return Upstream(url, auth, name)


def beyond(environ: Mapping[str, str], host: str, port: int) -> Upstream | None:
    """The proxy that the shell names for https, for one that listens at `host` and `port` itself; never that one.

    Raises:
        GatepassError: as `upstream` does.
    """
    found = upstream(environ)
    if found is None:
        return None
    parts = urlsplit(found.url)
    name = parts.hostname or ""
    return None if parts.port == port and (name == host or is_loopback(name)) else found


def carries_plain(environ: Mapping[str, str], host: Host) -> bool:
    """Whether a plain request for `host` would go through the shell's proxy: one for https alone carries none.

    What is on this machine no other can reach, whatever the shell says.
    """
    named = any(environ.get(name) for name in _PLAIN)
    return named and not is_loopback(host.name) and exempting(environ, host) is None


def is_loopback(name: str) -> bool:
    """Whether that is this machine, by name or address, as far as can be told without asking anybody."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # `127.1`, which is an address to the resolver
        except (OSError, UnicodeError):
            return False
    return address.is_loopback or address.is_unspecified


def exempting(environ: Mapping[str, str], host: Host) -> str | None:
    """The entry of NO_PROXY that keeps a host from the proxy; None when there is none.

    Entries are `*`, a name with all below it, with or without a leading dot, an address, a network, each with or
    without a port: what curl, requests and Go agree on.
    """
    return next((entry for name in NO_PROXY if (entry := exempting_entry(environ.get(name, ""), host))), None)


def exempted(environ: Mapping[str, str]) -> Callable[[Host], bool]:
    """What tells which hosts the shell's proxy is not for."""
    return lambda host: exempting(environ, host) is not None


def exempting_entry(no_proxy: str, host: Host) -> str | None:
    """The entry among these that keeps a host from the proxy; they stand apart by commas or spaces."""
    return next((entry for entry in no_proxy.replace(",", " ").split() if _exempts(entry, host)), None)


def _exempts(entry: str, host: Host) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host.name) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    name, _, port = entry.lower().partition(":")
    name = name.removeprefix("*").lstrip(".")
    if not name or (port and port != str(host.port)):
        return False
    return host.name == name or host.name.endswith(f".{name}")
