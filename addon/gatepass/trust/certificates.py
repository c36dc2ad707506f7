"""Private keys and X.509 certificates: a CA that signs servers' certificates and nothing else, and what it signs.

Makes them, and reads a CA's name constraints: what it may vouch for, as its certificate says it (RFC 5280, section
4.2.1.10). Knows neither rules nor folders, nor who uses them.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network

_EVERY_ADDRESS: Final = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))


class Issued(NamedTuple):
    """PEM texts: a CA's certificate, and a server's private key with its certificate."""

    ca: str
    server: str


def authority(subject: x509.Name, lifetime: datetime.timedelta, names: Iterable[str]) -> str:
    """A CA that can vouch for these names and addresses and for nothing else: private key and certificate, PEM.

    The constraints are critical: a client that does not know them refuses the CA.
    """
    made = _make(subject, lifetime, (_only(names), True))
    return made.private + made.public


def issue(names: Iterable[str]) -> Issued:
    """A certificate for `names` (DNS names or IP addresses), and the throw-away CA that signed it; good for a week.

    The CA's key never leaves memory, so nobody can sign more with it.
    """
    week = datetime.timedelta(days=7)
    ca = _make(_common_name("Gatepass, throw-away CA"), week)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    server = _make(_common_name("localhost"), week, (alternatives, False), (identifier, False), signer=ca)
    return Issued(ca.public, server.private + server.public)


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


def shown(constraint: x509.GeneralName) -> str:
    """What people are shown of it."""
    if isinstance(constraint, x509.IPAddress):
        return str(constraint.value).removesuffix("/32").removesuffix("/128")
    return str(constraint.value)


class _Pair(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def private(self) -> str:
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(pem, form, serialization.NoEncryption()).decode()

    @property
    def public(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def _make(
    subject: x509.Name,
    lifetime: datetime.timedelta,
    *extensions: tuple[x509.ExtensionType, bool],
    signer: _Pair | None = None,
) -> _Pair:
    """A new key and its certificate, with these extensions, which are critical or not; without a signer, a CA's own.

    It has what Python's and rustls' strict checks ask for (RFC 5280: key usage, key identifiers).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    is_ca = signer is None
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a client's clock may be behind
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(usage, critical=True)
        # servers alone: no mail, no code, no clients
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return _Pair(key, builder.sign(signer.key if signer else key, hashes.SHA256()))


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _only(names: Iterable[str]) -> x509.NameConstraints:
    """These names and addresses, and no others; a name stands for its subdomains too, and cannot do otherwise.

    Names that are permitted say nothing of addresses: without the exclusion a CA for github.com could vouch for every
    address (CA/Browser Forum, Baseline Requirements, section 7.1.2.5.2).
    """
    names = list(dict.fromkeys(names))
    subtrees = [_general_name(name, ipaddress.ip_network) for name in names]
    kinds = {type(constraint) for constraint in subtrees}
    if kinds == {x509.IPAddress}:
        # Addresses say nothing of names either. To exclude them all would be too much: mitmproxy's certificate for an
        # address has it as its common name, which OpenSSL checks as if it were a DNS name. Permitting that beside real
        # names would be too much, too: rustls then takes the whole list for malformed.
        subtrees += [x509.DNSName(name) for name in names]
    excluded = None if x509.IPAddress in kinds else [x509.IPAddress(network) for network in _EVERY_ADDRESS]
    return x509.NameConstraints(subtrees, excluded)


def _general_name(name: str, read: Callable[[str], _Address] = ipaddress.ip_address) -> x509.GeneralName:
    try:
        return x509.IPAddress(read(name))
    except ValueError:
        return x509.DNSName(name)
