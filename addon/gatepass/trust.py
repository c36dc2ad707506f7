"""The proxy's CA, and the bundles of CAs that clients and the proxy trust.

Makes and combines certificates; does not know who uses them.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gatepass.forges import Host

# The names under which mitmproxy looks for its CA in the folder `confdir`.
CA_FILE: Final = "mitmproxy-ca.pem"
BUNDLE_FILE: Final = "gatepass-bundle.pem"
"""What clients of the proxy trust."""
UPSTREAM_FILE: Final = "gatepass-upstream.pem"
"""What the proxy itself trusts."""

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# Where a shell says which CAs it trusts besides, or instead of, the public ones.
_SHELL_BUNDLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# Where it says what some clients trust besides their own.
_SHELL_EXTRAS: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")


def make_ca(hosts: Iterable[Host], lifetime: datetime.timedelta) -> str:
    """A CA that can vouch for these hosts and for nothing else: private key and certificate, PEM.

    The name constraints are critical (RFC 5280, section 4.2.1.10): a client that does not know them refuses the CA.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gatepass"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Gatepass on {socket.gethostname()[:20]}, {now:%Y-%m-%d %H:%M}Z"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a client's clock may be behind
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints([_constraint(host.name) for host in hosts], None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def _constraint(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        return x509.DNSName(name)


def shell_bundle(environ: Mapping[str, str]) -> str:
    """The CAs that a shell trusts: the public ones, and those that its variables name; PEM, each once.

    Raises:
        GatepassError: a variable names a file that cannot be read.
    """
    return combine(Path(certifi.where()).read_text(encoding="ascii"), *_named(_SHELL_BUNDLES, environ))


def shell_extras(environ: Mapping[str, str]) -> str:
    """The CAs that a shell has some clients trust besides their own; PEM, each once.

    Raises:
        GatepassError: a variable names a file that cannot be read.
    """
    return combine(*_named(_SHELL_EXTRAS, environ))


def _named(variables: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """What stands in the files that these variables name."""
    named = ((variable, environ.get(variable)) for variable in variables)
    return [_read(variable, Path(path)) for variable, path in named if path]


def combine(*texts: str) -> str:
    """One PEM bundle with each certificate of the texts once, and nothing else: no private key comes along."""
    certificates = dict.fromkeys(found for text in texts for found in _CERTIFICATE.findall(text))
    return "".join(f"{certificate}\n" for certificate in certificates)


def _read(variable: str, path: Path) -> str:
    if path.is_dir():  # requests takes a folder there; its files are hashed links to certificates
        return "".join(_read(variable, file) for file in sorted(path.iterdir()) if file.is_file())
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GatepassError(
            f"${variable}: expected a PEM file of trusted CAs, got `{path}`: {error.strerror}",
            f"unset {variable}, or let it name an existing file",
        ) from None


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a file whole or not at all; a reader never sees half a bundle."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
