"""Bundles of CAs: what clients and the proxy trust.

Reads and combines certificates; does not know who uses them, nor how a CA is made.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi

from gatepass.errors import GatepassError
from gatepass.trust import encodings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BUNDLE_FILE: Final = "gatepass-bundle.pem"
"""What clients of the proxy trust."""
UPSTREAM_FILE: Final = "gatepass-upstream.pem"
"""What the proxy itself trusts."""

# Where a shell says which CAs it trusts besides, or instead of, the public ones: each a file, or a folder of them.
_SHELL_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_SHELL_FOLDERS: Final = "SSL_CERT_DIR"
# Where it says what some clients trust besides their own.
_SHELL_EXTRAS: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
# Where it says so for one tool: what cannot be read stops that tool, and need not stop others.
_ONE_TOOLS: Final = (
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "BUNDLE_SSL_CA_CERT",
    "COMPOSER_CAFILE",
    "COMPOSER_CAPATH",
    "NPM_CONFIG_CAFILE",
    "npm_config_cafile",
    "PERL_LWP_SSL_CA_FILE",
    "PERL_LWP_SSL_CA_PATH",
    "HTTPS_CA_FILE",
    "HTTPS_CA_DIR",
)
# Where systems have their store as one file: OpenSSL's own place may be another's, as in a Python that was built
# elsewhere. The first that is there counts, as in Go (`crypto/x509/root_linux.go`), with the folder.
_SYSTEM_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7
    "/etc/ssl/cert.pem",  # Alpine, the BSDs, macOS
)
_SYSTEM_FOLDER: Final = "/etc/ssl/certs"
# How OpenSSL finds a CA in a folder: by the hash of its name.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")

# The parts of a bundle for clients begin with these lines (text between certificates means nothing to their readers).
_PUBLIC: Final = "# gatepass bundle: the public CAs, and the system's\n"
_SHELL: Final = "# gatepass bundle: what the shell trusted besides\n"
_PROXY: Final = "# gatepass bundle: the proxy's own CA\n"


def public_bundle() -> str:
    """The CAs that everybody trusts here, each once."""
    return combine(_public())


def shell_bundle(environ: Mapping[str, str], *others: str) -> str:
    """The CAs that a shell trusts: the public ones, the system's, what its variables name, and `others`; each once.

    Raises:
        GatepassError: a variable names nothing that can be read.
    """
    return combine(_public(), *_named(environ), *others)


def client_bundle(environ: Mapping[str, str], ca: str, *others: str) -> str:
    """What a client of the proxy trusts: what the shell trusts, `others`, and the proxy's `ca`.

    A shell that is set up for a proxy names such a bundle itself. Of that one the shell's own part is taken: so a
    bundle that is made again neither grows, nor keeps a CA that was renewed or that the public or the system has given
    up, nor loses the company's.

    Raises:
        GatepassError: a variable names nothing that can be read.
    """
    public = certificates(_public())
    shells = certificates(*map(_shells_own, _named(environ)), *others)
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
    return list(dict.fromkeys(found for text in texts for found in encodings.certificates(text)))


def read(path: Path) -> str:
    """The text of a file of CAs, or of all those in a folder, whatever form they have.

    Raises:
        OSError: it cannot be read.
    """
    return _read_folder(path) if path.is_dir() else encodings.text(path.read_bytes())


def _public() -> str:
    """The CAs that everybody trusts here: certifi's, and those of the system's store."""
    return "\n".join((Path(certifi.where()).read_text(encoding="ascii"), *_system()))


def _system() -> Iterator[str]:
    """What is in the system's store; as OpenSSL and Go do, the file and the folder both count.

    A Mac's keychains are not looked into: no certificate in them says by itself that it is trusted.
    """
    if sys.platform == "win32":
        yield from (ssl.DER_cert_to_PEM_cert(der) for der in _windows())
        return
    paths = ssl.get_default_verify_paths()  # `openssl_…`: what was built in, whatever the variables say
    for name in (paths.openssl_cafile, *_SYSTEM_FILES):
        if name and os.access(name, os.R_OK):
            yield read(Path(name))
            break
    for name in dict.fromkeys((os.path.realpath(paths.openssl_capath), _SYSTEM_FOLDER)):
        if os.access(name, os.R_OK | os.X_OK):
            yield _read_all(name, _HASHED)


def _windows() -> Iterator[bytes]:
    for store in ("ROOT", "CA"):
        for content, encoding, trust in ssl.enum_certificates(store):  # type: ignore[attr-defined]  # Windows' alone
            if encoding == "x509_asn" and (trust is True or ssl.Purpose.SERVER_AUTH.oid in trust):
                yield content


def _named(environ: Mapping[str, str]) -> Iterator[str]:
    """The texts that the shell's variables name."""
    yield from _files_named(environ, (*_SHELL_FILES, *_SHELL_EXTRAS, *_ONE_TOOLS))
    if folders := environ.get(_SHELL_FOLDERS):
        yield from _read_folders(folders)


def _files_named(environ: Mapping[str, str], variables: Iterable[str]) -> Iterator[str]:
    named: dict[str, str] = {}
    for variable in variables:
        if path := environ.get(variable):
            named.setdefault(path, variable)  # in a shell that is set up for a proxy they all name the same
    for path, variable in named.items():
        try:
            yield read(Path(path))
        except OSError as error:
            if variable not in _ONE_TOOLS:
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
    return [_read_folder(folder) for folder in readable]


def _read_folder(folder: Path) -> str:
    """The CAs in a folder: in the files with hashed names, for OpenSSL trusts no other; else in all."""
    return _read_all(folder, _HASHED) or _read_all(folder)


def _read_all(folder: str | Path, name: re.Pattern[str] | None = None) -> str:
    """What the folder's files of such names hold, in their order; as OpenSSL does, what is not readable is left out."""
    # no Path for each: a system's folder has some 150 files, and a Path takes as long as the reading
    entries = (entry for entry in os.scandir(folder) if name is None or name.fullmatch(entry.name))
    texts = []
    for path in sorted(entry.path for entry in entries if entry.is_file()):
        with contextlib.suppress(OSError), open(path, "rb", 0) as file:  # noqa: PTH123 — see above
            texts.append(encodings.text(file.read()))
    return "\n".join(texts)
