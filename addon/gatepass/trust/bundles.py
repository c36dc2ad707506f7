"""Bundles of CAs: what clients and the proxy trust.

Reads and combines certificates; does not know who uses them, nor how a CA is made.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BUNDLE_FILE: Final = "gatepass-bundle.pem"
"""What clients of the proxy trust."""
UPSTREAM_FILE: Final = "gatepass-upstream.pem"
"""What the proxy itself trusts."""

# whatever else stands between the two lines is no certificate (RFC 7468, section 3)
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII)
# Where a shell says which CAs it trusts besides, or instead of, the public ones.
_SHELL_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_SHELL_FOLDERS: Final = "SSL_CERT_DIR"
# Where it says what some clients trust besides their own.
_SHELL_EXTRAS: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
# How OpenSSL finds a CA in a folder: by the hash of its name.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")

# The parts of a bundle for clients begin with these lines (text between certificates means nothing to their readers).
_PUBLIC: Final = "# gatepass bundle: the public CAs\n"
_SHELL: Final = "# gatepass bundle: what the shell trusted besides\n"
_PROXY: Final = "# gatepass bundle: the proxy's own CA\n"


def shell_bundle(environ: Mapping[str, str]) -> str:
    """The CAs that a shell trusts: the public ones, and those that its variables name; PEM, each once.

    Raises:
        GatepassError: a variable names nothing that can be read.
    """
    return combine(_public(), *_named(environ))


def client_bundle(environ: Mapping[str, str], ca: str) -> str:
    """What a client of the proxy trusts: the public CAs, what the shell trusted besides, and the proxy's `ca`.

    A shell that is set up for a proxy names such a bundle itself. Of that one the shell's own part is taken: so a
    bundle that is made again neither grows, nor keeps a CA that was renewed or that the public has given up, nor
    loses the company's.

    Raises:
        GatepassError: a variable names nothing that can be read.
    """
    public = certificates(_public())
    shells = certificates(*map(_shells_own, _named(environ)))
    proxys = certificates(ca)
    parts = {
        _PUBLIC: public,
        _SHELL: [pem for pem in shells if pem not in {*public, *proxys}],
        _PROXY: [pem for pem in proxys if pem not in public],
    }
    return "".join(title + "".join(f"{pem}\n" for pem in pems) for title, pems in parts.items())


def _shells_own(text: str) -> str:
    return text.partition(_SHELL)[2].partition(_PROXY)[0] if text.startswith(_PUBLIC) else text


def shell_extras(environ: Mapping[str, str]) -> str:
    """The CAs that a shell has some clients trust besides their own; PEM, each once.

    Raises:
        GatepassError: a variable names a file that cannot be read.
    """
    return combine(*_files_named(environ, _SHELL_EXTRAS))


def combine(*texts: str) -> str:
    """One PEM bundle with each certificate of the texts once, and nothing else: no private key comes along."""
    return "".join(f"{certificate}\n" for certificate in certificates(*texts))


def certificates(*texts: str) -> list[str]:
    """The certificates in the texts, PEM, each once."""
    return list(dict.fromkeys(found for text in texts for found in _CERTIFICATE.findall(text)))


def _public() -> str:
    return Path(certifi.where()).read_text(encoding="ascii")


def _named(environ: Mapping[str, str]) -> Iterator[str]:
    """The texts that the shell's variables name."""
    yield from _files_named(environ, _SHELL_FILES)
    if folders := environ.get(_SHELL_FOLDERS):
        yield from _read_folders(folders)


def _files_named(environ: Mapping[str, str], variables: Iterable[str]) -> Iterator[str]:
    return (_read(variable, Path(path)) for variable in variables if (path := environ.get(variable)))


def _read(variable: str, path: Path) -> str:
    if path.is_dir():  # requests takes a folder there
        return "".join(_read(variable, file) for file in _files(path))
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GatepassError(
            f"${variable}: expected a PEM file of trusted CAs, got `{path}`: {error.strerror}",
            f"unset {variable}, or let it name an existing file",
        ) from None


def _read_folders(text: str) -> list[str]:
    """The files in the folders of `text`; as OpenSSL does, what is not there or not readable is passed over."""
    folders = [Path(part) for part in text.split(os.pathsep) if part]
    readable = [folder for folder in folders if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)]
    if not readable:
        raise GatepassError(
            f"${_SHELL_FOLDERS}: expected folders of trusted CAs, got `{text}`: none that can be read",
            f"unset {_SHELL_FOLDERS}, or let it name an existing folder",
        )
    files = [file for folder in readable for file in _files(folder)]
    return [file.read_text(encoding="utf-8", errors="replace") for file in files if os.access(file, os.R_OK)]


def _files(folder: Path) -> list[Path]:
    """The files that hold a folder's CAs: those with hashed names, for OpenSSL trusts no other; else all."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    return [file for file in files if _HASHED.fullmatch(file.name)] or files
