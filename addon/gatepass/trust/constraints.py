"""Name constraints: what a CA may vouch for, as its certificate says it (RFC 5280, section 4.2.1.10).

Writes and reads them; knows neither who makes the CA nor who meets it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Iterable

_EVERY_ADDRESS: Final = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))


def only(names: Iterable[str]) -> x509.NameConstraints:
    """These names and addresses, and no others; a name stands for its subdomains too, and cannot do otherwise.

    Names that are permitted say nothing of addresses: without the exclusion a CA for github.com could vouch for every
    address (CA/Browser Forum, Baseline Requirements, section 7.1.2.5.2).
    """
    names = list(dict.fromkeys(names))
    permitted = [_constraint(name) for name in names]
    kinds = {type(constraint) for constraint in permitted}
    if kinds == {x509.IPAddress}:
        # Addresses say nothing of names either. To exclude them all would be too much: mitmproxy's certificate for an
        # address has it as its common name, which OpenSSL checks as if it were a DNS name. Permitting that beside real
        # names would be too much, too: rustls then takes the whole list for malformed.
        permitted += [x509.DNSName(name) for name in names]
    excluded = None if x509.IPAddress in kinds else [x509.IPAddress(network) for network in _EVERY_ADDRESS]
    return x509.NameConstraints(permitted, excluded)


def permitted(certificate: x509.Certificate) -> list[x509.GeneralName] | None:
    """What a CA may vouch for; None if it may vouch for anything."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return None
    return list(extension.value.permitted_subtrees or ())


def covers(constraint: x509.GeneralName, name: str) -> bool:
    """Whether it permits this name or address: a DNS name stands for itself and its subdomains."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        base = constraint.value.lower() if isinstance(constraint, x509.DNSName) else None
        return base is not None and (name == base or name.endswith(f".{base}") or not base)
    network = constraint.value if isinstance(constraint, x509.IPAddress) else None
    return isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network) and address in network


def text(constraint: x509.GeneralName) -> str:
    """What people are shown of it."""
    if isinstance(constraint, x509.IPAddress):
        return str(constraint.value).removesuffix("/32").removesuffix("/128")
    return str(constraint.value)


def _constraint(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        return x509.DNSName(name)
