"""mitmproxy's modes: how each tells the server that a client wants, and what cannot be done in it.

Knows what the modes are and what rules name; no flow and no connection.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.mode_specs import ProxyMode

from gatepass.forge.hosts import OWN, Host
from gatepass.rules.describe import RESOLVED_UPSTREAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mitmproxy.options import Options

    from gatepass.rules.model import Rules

TRANSPARENT: Final = (
    mode_specs.TransparentMode,
    mode_specs.LocalMode,
    mode_specs.WireGuardMode,
    mode_specs.TunMode,
)
"""Where the address of a connection is an IP, and the client's SNI names the server that upstream TLS verifies."""

EXPLICIT: Final = (mode_specs.RegularMode, mode_specs.UpstreamMode, mode_specs.Socks5Mode)
"""Where the client tells the proxy which server it wants."""

_OF_THEIR_OWN: Final = (mode_specs.WireGuardMode, mode_specs.LocalMode, mode_specs.TunMode)
"""Which ask for keys, or take no connections from elsewhere."""


def at(specs: Sequence[str], addresses: Iterable[tuple[str, int]]) -> list[str]:
    """These modes, and the first of them at the addresses, too."""
    first = specs[0] if specs else "regular"
    if ProxyMode.parse(first).custom_listen_port is not None:
        first = first.rpartition("@")[0]
    return [*specs, *(f"{first}@{host}:{port}" for host, port in addresses)]


def is_index(mode: ProxyMode) -> bool:
    """Whether it is a web server of package indexes: a reverse proxy for this proxy itself."""
    return (
        isinstance(mode, mode_specs.ReverseMode)
        and mode.scheme == "https"
        and Host(mode.address[0].lower(), mode.address[1]) == OWN
    )


def index(host: str, port: int) -> str:
    """Such a mode, at that address."""
    return f"reverse:https://{OWN}@{host}:{port}"


def exposed(options: Options) -> list[str]:
    """Where it listens for other machines without asking for a password, for people; nothing where all is well."""
    if options.proxyauth and options.proxyauth != "any":  # with which any password is right
        return []
    modes = [ProxyMode.parse(spec) for spec in options.mode]
    hosts = [mode.listen_host(options.listen_host) for mode in modes if not isinstance(mode, _OF_THEIR_OWN)]
    return list(dict.fromkeys(host or "every interface" for host in hosts if not is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Whether who listens there listens to this machine alone; mitmproxy's empty host is every interface."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_open(options: Options) -> bool:
    """Whether a listener beyond loopback was asked for: what mitmproxy does unasked, a developer's shell does, too."""
    asked = (ProxyMode.parse(spec).custom_listen_host or options.listen_host for spec in options.mode)
    return any(host and not is_loopback(host) for host in asked)


def limits(mode: ProxyMode, rules: Rules, *, is_guarded: bool = False) -> Iterator[str]:
    """What cannot be done in a mode, as sentences for its user; none where all can.

    `is_guarded` tells whether clients may get to public addresses alone.
    """
    match mode:
        case mode_specs.ReverseMode():
            if is_index(mode):
                return
            host = Host(mode.address[0].lower(), mode.address[1])
            if mode.scheme != "https":
                yield f"mode `{mode.full_spec}`: no credential goes there: expected `reverse:https://…`"
            elif not rules.names(host):
                named = ", ".join(map(str, sorted(rules.hosts)))
                yield f"mode `{mode.full_spec}`: nothing is done there: no rule names {host}, but {named}"
        case mode_specs.UpstreamMode() if is_guarded:
            yield f"mode `{mode.full_spec}`: {RESOLVED_UPSTREAM}"
        case mode_specs.DnsMode():
            yield f"mode `{mode.full_spec}`: nothing is done there: it carries no HTTP"
        case _ if isinstance(mode, TRANSPARENT):
            yield (
                f"mode `{mode.full_spec}`: a client that sends no SNI is tunnelled: nothing else tells its server; and "
                f"there are no package indexes: clients ask DNS for {OWN.name}, which does not know it"
            )
