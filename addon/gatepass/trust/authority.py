"""The proxy's CA: made for the hosts of the rules, kept in a folder that is its owner's alone, and judged.

Does not know who trusts it. The private key leaves no function here but `make`.
"""

from __future__ import annotations

import datetime
import os
import re
import shlex
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from gatepass import files, home
from gatepass.errors import GatepassError, printable, why
from gatepass.forge.hosts import OWN
from gatepass.trust import certificates

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gatepass.forge.hosts import Host

# The names under which mitmproxy looks for its CA in the folder `confdir`.
CA_FILE: Final = "mitmproxy-ca.pem"
"""Private key and certificate."""
CERTIFICATE_FILE: Final = "mitmproxy-ca-cert.pem"
"""The certificate alone."""

# What lies beside it while another takes its place.
NEXT_FILE: Final = "gatepass-next-ca.pem"
"""Private key and certificate of the CA that is to come."""
PREVIOUS_FILE: Final = "gatepass-previous-ca.pem"
"""Private key and certificate of the CA that was in use before."""
TRUSTED_FILE: Final = "gatepass-cas.pem"
"""The certificates of all that clients are to trust, the one in use first."""

LIFETIME: Final = datetime.timedelta(days=365)
SOON: Final = datetime.timedelta(days=30)
"""How long before its end a CA's owner is told."""

_RENEW: Final = "`gatepass ca renew` makes a new one, which clients must then trust"
_NEXT: Final = "`gatepass ca next` makes one beside it, so that both are trusted for a time"


# ---------------------------------------------------------------------- make


def make(hosts: Iterable[Host], lifetime: datetime.timedelta) -> str:
    """A CA that can vouch for these hosts, for the proxy's own name, and for nothing else: private key and certificate,
    PEM.
    """
    now = datetime.datetime.now(datetime.UTC)
    name = f"Gatepass on {socket.gethostname()[:20]}, {now:%Y-%m-%d %H:%M:%S}Z"
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gatepass"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    # a name stands for those below it, too
    hosts = list(hosts)
    names = [host.name.removeprefix("*.") for host in hosts]
    if not all(host.is_address for host in hosts):
        # beside addresses alone a name would have OpenSSL refuse these: see `certificates`
        names.append(OWN.name)
    return certificates.authority(x509.Name(subject), lifetime, names)


# --------------------------------------------------------------------- judge


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA without its key: its certificate, and the folder where it lies."""

    folder: Path
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def name(self) -> str:
        """What people are shown of the subject: its common name."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else self.certificate.subject.rfc4514_string()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def permitted(self) -> tuple[str, ...] | None:
        """The names and addresses that it may vouch for; None if it may vouch for any."""
        found = certificates.permitted(self.certificate)
        return None if found is None else tuple(dict.fromkeys(certificates.shown(name) for name in found))

    def uncovered(self, hosts: Iterable[Host]) -> list[str]:
        """Those of the hosts' names that it may not vouch for."""
        found = certificates.permitted(self.certificate)
        if found is None:
            return []
        return sorted({host.name for host in hosts if not any(certificates.covers(name, host.name) for name in found)})

    @property
    def vouches_for_indexes(self) -> bool:
        """Whether it may vouch for the proxy's own name: one that was made by an older Gatepass may not."""
        return not self.uncovered([OWN])

    def left(self, now: datetime.datetime) -> datetime.timedelta:
        """How long it is still valid; negative when it has expired."""
        return self.certificate.not_valid_after_utc - now

    def judge(self, hosts: Iterable[Host], now: datetime.datetime) -> str | None:
        """What its owner should know before clients meet it.

        Raises:
            GatepassError: clients would refuse what it vouches for.
        """
        end = f"{self.certificate.not_valid_after_utc:%Y-%m-%d}"
        self.expect_covering(hosts)
        if self.left(now) <= datetime.timedelta(0):
            raise GatepassError(f"{self.folder}: expected a valid CA, got one that expired on {end}", _RENEW)
        if self.left(now) <= SOON:
            return f"{self.folder}: the CA expires in {self.left(now).days} days, on {end}\nhint: {_RENEW}; {_NEXT}"
        return None

    def expect_covering(self, hosts: Iterable[Host]) -> None:
        """
        Raises:
            GatepassError: it may not vouch for one of the hosts.
        """
        if uncovered := self.uncovered(hosts):
            names = ", ".join(f"`{name}`" for name in uncovered)
            permitted = ", ".join(f"`{name}`" for name in self.permitted or ())
            raise GatepassError(
                f"{self.folder}: expected a CA for every host that a rule names, got one for {permitted}, not {names}",
                _RENEW,
            )


def fingerprint(text: str) -> str:
    """A SHA-256 as people write it, with or without colons and `SHA256:`, in the form of `Authority.fingerprint`.

    Raises:
        GatepassError: it is none.
    """
    digits = re.sub(r"^sha-?256[ :=]", "", text.strip(), flags=re.IGNORECASE)
    digits = re.sub(r"^fingerprint=", "", digits, flags=re.IGNORECASE).replace(":", "").replace(" ", "")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits, re.ASCII):
        raise GatepassError(
            f"--fingerprint: expected a SHA-256, 64 hexadecimal digits, got `{printable(text)}`",
            "`gatepass ca`, where the proxy runs, shows it",
        )
    return bytes.fromhex(digits).hex(":").upper()


def shown(content: bytes, folder: Path) -> list[Authority]:
    """The CAs that a proxy shows, PEM, the one in use first; `folder` is where they are to lie.

    Raises:
        GatepassError: there is none, or one is no CA's certificate.
    """
    try:
        found = x509.load_pem_x509_certificates(content)
        are_cas = [each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for each in found]
    except (ValueError, x509.ExtensionNotFound):
        are_cas = []
    if not are_cas or not all(are_cas):
        raise GatepassError("--proxy: expected the certificate of a CA, in PEM, got something else")
    return [Authority(folder, certificate) for certificate in found]


@dataclass(frozen=True, slots=True)
class Succession:
    """The CA in use, and those beside it, which clients trust for a time: the one to come, and the one before."""

    current: Authority
    next: Authority | None = None
    previous: Authority | None = None

    def trusted(self, now: datetime.datetime) -> list[Authority]:
        """Those that clients are to trust: the one in use first, of the others those that are valid."""
        others = [each for each in (self.next, self.previous) if each and each.left(now) > datetime.timedelta(0)]
        return list({each.certificate: each for each in (self.current, *others)}.values())

    def pem(self, now: datetime.datetime) -> str:
        """Their certificates, PEM."""
        return "".join(each.pem for each in self.trusted(now))


# -------------------------------------------------------------------- folder


def default_folder() -> Path:
    """Where the CA of this user's `gatepass serve` lies.

    Raises:
        GatepassError: the user has no home.
    """
    return home.expected_config() / "ca"


def load(folder: Path) -> Authority | None:
    """The CA in a folder; None if there is none. Its certificate file is written anew if it is another's.

    Raises:
        GatepassError: others may read or change it, or it cannot be read.
    """
    try:
        while (authority := _read(folder)) is not None:
            if _content(folder / CERTIFICATE_FILE) == authority.pem.encode():
                break
            # and look again: another process may have renewed the CA meanwhile
            files.write(folder / CERTIFICATE_FILE, authority.pem)
    except OSError as error:
        raise _unusable(folder, error) from None
    return authority


def obtain(folder: Path, hosts: Iterable[Host]) -> Authority:
    """The CA in a folder, which is made for these hosts if there is none; whoever asks at the same time gets the same.

    Raises:
        GatepassError: as `load` and `create`.
    """
    try:
        return load(folder) or create(folder, hosts)
    except GatepassError:
        # another process may have been first; what else is wrong is wrong still
        if (authority := load(folder)) is None:
            raise
        return authority


def renew(folder: Path, hosts: Iterable[Host]) -> Authority:
    """Make a CA for these hosts, with a key of its own, in place of the one that is there, and of those beside it.

    Raises:
        GatepassError: it cannot be written, or others could read it.
    """
    made = create(folder, hosts, new=False)
    for name in (NEXT_FILE, PREVIOUS_FILE):
        (folder / name).unlink(missing_ok=True)
    return made


def create(folder: Path, hosts: Iterable[Host], *, new: bool = True) -> Authority:
    """Make a CA for these hosts in a folder, which has none if it is to be new.

    Raises:
        GatepassError: there is one, or it cannot be written, or others could read it.
    """
    _write(folder, CA_FILE, hosts, new, "`gatepass ca` shows it, `gatepass ca renew` replaces it")
    authority = load(folder)
    if authority is None:
        raise GatepassError(f"{folder}: expected the CA that was just written, got none")
    return authority


def succession(folder: Path) -> Succession | None:
    """The CA in a folder with those beside it; None if there is none.

    Raises:
        GatepassError: as `load`.
    """
    try:
        # in this order: the next one may become the one in use meanwhile
        coming = _read(folder, NEXT_FILE)
        current = load(folder)
        return None if current is None else Succession(current, coming, _read(folder, PREVIOUS_FILE))
    except OSError as error:
        raise _unusable(folder, error) from None


def prepare(folder: Path, hosts: Iterable[Host]) -> Authority:
    """Make the CA that is to come, for these hosts, beside the one in use.

    Raises:
        GatepassError: none is in use, there is a next one already, or it cannot be written.
    """
    if load(folder) is None:
        raise GatepassError(f"{folder}: expected a CA, got none yet", "`gatepass ca create` makes it")
    _write(folder, NEXT_FILE, hosts, True, "`gatepass ca switch` puts it to use")
    found = succession(folder)
    if found is None or found.next is None:
        raise GatepassError(f"{folder}: expected the CA that was just written, got none")
    return found.next


def switch(folder: Path, hosts: Iterable[Host], now: datetime.datetime, *, back: bool = False) -> Succession:
    """Put the next CA to use, if it is fit for these hosts, and keep the one before; or, `back`, that one again.

    Raises:
        GatepassError: there is none, or clients would refuse what it vouches for.
    """
    found = succession(folder)
    wanted = None if found is None else found.previous if back else found.next
    if found is None or wanted is None:
        if back:
            raise GatepassError(f"{folder}: expected a CA that was in use before, got none")
        raise GatepassError(f"{folder}: expected a next CA, got none", "`gatepass ca next` makes it")
    wanted.judge(hosts, now)
    taken, kept = (PREVIOUS_FILE, NEXT_FILE) if back else (NEXT_FILE, PREVIOUS_FILE)
    try:
        # first a copy, so that at no time there is none, and no key is lost
        files.write(folder / kept, (folder / CA_FILE).read_bytes(), 0o600)
        (folder / taken).replace(folder / CA_FILE)
    except OSError as error:
        raise _unusable(folder, error) from None
    return succession(folder) or found


def _write(folder: Path, name: str, hosts: Iterable[Host], new: bool, hint: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder, folder.stat(), 0o700)
        files.write(folder / name, make(hosts, LIFETIME), 0o600, new=new)
    except OSError as error:
        if new and isinstance(error, FileExistsError):
            which = "CA" if name == CA_FILE else "next CA"
            raise GatepassError(f"{folder}: expected no {which} yet, got one", hint) from None
        raise _unusable(folder, error) from None


def _read(folder: Path, name: str = CA_FILE) -> Authority | None:
    path = folder / name
    try:
        # the folder first: in one that others may change, nothing is what it was when it is opened
        _refuse_shared(folder, folder.stat(), 0o700)
        with path.open("rb") as file:
            _refuse_shared(path, os.fstat(file.fileno()), 0o600)
            content = file.read()
    except FileNotFoundError:
        return None
    got = "the certificate of another key"
    try:
        key = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
        if key.public_key() == certificate.public_key():
            return Authority(folder, certificate)
    except (ValueError, TypeError):
        got = "something else"
    expected = "a private key and its certificate"
    raise GatepassError(f"{path}: expected {expected}, got {got}", "`gatepass ca renew` replaces it")


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _refuse_shared(path: Path, status: os.stat_result, mode: int) -> None:
    """What others may read or change is no secret; as OpenSSH does with a key."""
    if sys.platform == "win32":  # where the owner is no number, and st_mode does not tell who may read
        return
    if status.st_uid != os.geteuid():
        raise GatepassError(
            f"{path}: expected the CA to be your own, got one of user {status.st_uid}",
            f"take it away, and let Gatepass make its own: `mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}`",
        )
    if status.st_mode & 0o077:
        raise GatepassError(
            f"{path}: expected permissions {mode:04o}, got {status.st_mode & 0o777:04o}",
            f"`chmod {mode:o} {shlex.quote(str(path))}`, and if others may have read the key, `gatepass ca renew`",
        )


def _unusable(folder: Path, error: OSError) -> GatepassError:
    return GatepassError(
        f"{folder}: expected a folder for the CA, got `{why(error)}`",
        "let $HOME be a folder that you may write to, or serve with a CA of your own: `-- --set confdir=FOLDER`",
    )
