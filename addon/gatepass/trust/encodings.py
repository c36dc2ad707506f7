"""Certificates in the forms in which files hold them: PEM by any of OpenSSL's names for it, and DER.

Pure: bytes in, PEM out. Knows no file, and nothing of whom to trust but what a file itself says.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# whatever else stands between the two lines is no certificate (RFC 7468, section 3); the other names are OpenSSL's
_PEM: Final = re.compile(
    r"-----BEGIN (?P<name>|X509 |TRUSTED )CERTIFICATE-----[A-Za-z0-9+/=\s]+"
    r"-----END (?P=name)CERTIFICATE-----",
    re.ASCII,
)

_SEQUENCE, _REJECTED = 0x30, 0xA0
_LONG: Final = (b"\x81", b"\x82", b"\x83")
_ANY: Final = b"\x55\x1d\x25\x00"  # 2.5.29.37.0, anyExtendedKeyUsage
_SERVERS: Final = b"\x2b\x06\x01\x05\x05\x07\x03\x01"  # 1.3.6.1.5.5.7.3.1, serverAuth


def text(content: bytes) -> str:
    """A file's content as text in which `certificates` finds what it holds: of DER the same in PEM."""
    # a certificate has so many bytes that its length takes some of its own, which no text begins with
    if content[:1] == b"0" and content[1:2] in _LONG and (der := _first(content)):
        return _pem(der)
    return content.decode("utf-8", "replace")


def certificates(text: str) -> list[str]:
    """The certificates in a text, PEM; of trusted ones those that are trusted for TLS servers."""
    found = ((match["name"], match[0]) for match in _PEM.finditer(text))
    return [pem for name, whole in found if (pem := _named(name, whole) if name else whole.replace("\r\n", "\n"))]


def _named(name: str, whole: str) -> str | None:
    try:
        content = base64.b64decode(whole.split("-----")[2])
    except binascii.Error:
        return None
    der = _first(content)
    if der is None or (name == "TRUSTED " and not _is_for_servers(content[len(der) :])):
        return None
    return _pem(der)


def _pem(der: bytes) -> str:
    lines = re.findall("(?s).{1,64}", base64.b64encode(der).decode("ascii"))
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"))


def _is_for_servers(trust: bytes) -> bool:
    """Whether what follows a trusted certificate lets it vouch for TLS servers, as OpenSSL judges it.

    `X509_CERT_AUX` is a sequence of the purposes that it is trusted for, and of those that it is rejected for, tagged
    0; both may be left out (OpenSSL, `crypto/x509/x_x509a.c`, and `obj_trust` in `x509_trust.c`).
    """
    try:
        parts = dict(_elements(next(_elements(trust))[1])) if trust else {}
        trusted, rejected = ([oid for _, oid in _elements(parts.get(tag, b""))] for tag in (_SEQUENCE, _REJECTED))
    except (IndexError, StopIteration):
        return False
    if {_ANY, _SERVERS} & {*rejected}:
        return False
    return _SEQUENCE not in parts or bool({_ANY, _SERVERS} & {*trusted})


def _first(content: bytes) -> bytes | None:
    """The first element of DER, whole; None where there is none."""
    try:
        _, start, end = _header(content, 0)
    except IndexError:
        return None
    return content[:end] if start < end <= len(content) else None


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(content):
        tag, start, end = _header(content, position)
        if end > len(content):
            raise IndexError
        yield tag, content[start:end]
        position = end


def _header(content: bytes, position: int) -> tuple[int, int, int]:
    """Of the element there its tag, and where its content begins and ends (X.690, section 8.1)."""
    tag, length, start = content[position], content[position + 1], position + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(content[position + 2 : start], "big")
    return tag, start, start + length
