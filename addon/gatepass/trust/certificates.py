"""Private keys and X.509 certificates: a CA that signs servers' certificates and nothing else, and what it signs.

Makes them; knows neither rules nor folders, nor who uses them.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable


class Issued(NamedTuple):
    """PEM texts: a CA's certificate, and a server's private key with its certificate."""

    ca: str
    server: str


def authority(subject: x509.Name, lifetime: datetime.timedelta, constraints: x509.NameConstraints) -> str:
    """A CA that can vouch for what these constraints permit and for nothing else: private key and certificate, PEM.

    They are critical (RFC 5280, section 4.2.1.10): a client that does not know them refuses the CA.
    """
    made = _make(subject, lifetime, (constraints, True))
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


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
