"""The CA that the proxy vouches with, and those that its clients are to trust beside it for a time.

Knows where they lie, reads them at the start and when it is told, and tells when the one in use ends. Makes none, and
sees no request.
"""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING

from mitmproxy import ctx, exceptions
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.proxy.mode_specs import ProxyMode

from gatepass import home
from gatepass.errors import GatepassError
from gatepass.proxy import modes
from gatepass.trust import authority
from gatepass.trust.authority import Authority, Succession

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.proxy.record import Record
    from gatepass.rules.model import Rules


class Authorities:
    """An addon that has a folder of Gatepass's own read again; one of the user's is mitmproxy's alone."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._is_read = False
        self._beside: Succession | None = None

    def running(self) -> None:
        self._tell()

    @property
    def in_use(self) -> Authority:
        """The CA that certificates are signed with now."""
        return Authority(_folder(), _tls().certstore.default_ca.to_cryptography())

    def trusted(self) -> list[Authority]:
        """Those that clients are to trust, the one in use first."""
        if not self._is_read:  # who serves asks before the proxy runs
            with contextlib.suppress(GatepassError):  # which has been told by then
                self._beside = self.read()
            self._is_read = True
        current, found = self.in_use, self._beside
        now = datetime.datetime.now(datetime.UTC)
        if found is None or found.current.certificate != current.certificate:
            return [current]
        return found.trusted(now)

    def pem(self) -> str:
        """The certificates of these."""
        return "".join(each.pem for each in self.trusted())

    def read(self) -> Succession | None:
        """What lies in the folder now; None where that is not Gatepass's own. It blocks.

        Raises:
            GatepassError: it cannot be read, or is not this user's alone.
        """
        return authority.succession(_folder()) if self.is_own else None

    @property
    def is_own(self) -> bool:
        """Whether the folder is Gatepass's own, in which `gatepass ca` makes CAs."""
        try:
            return _folder() == authority.default_folder()
        except GatepassError:  # nothing tells this user's home
            return False

    def expect_fit(self, found: Succession | None, rules: Rules) -> None:
        """
        Raises:
            GatepassError: the CA that was found, or where there was none the one in use, may not vouch for a host that
                the rules name, or has ended: clients would refuse it.
        """
        if not _vouches() or _tls_if_any() is None:
            return
        current = self.in_use
        if found is None or found.current.certificate == current.certificate:
            current.expect_covering(rules.vouched)
        else:
            found.current.judge(rules.vouched, datetime.datetime.now(datetime.UTC))

    def take(self, found: Succession | None) -> bool:
        """Vouch with what was found from now on; whether that is another CA than before.

        Raises:
            GatepassError: mitmproxy cannot use it, and goes on with the one before.
        """
        if _tls_if_any() is None:
            return False
        before = self.in_use.certificate
        if found is not None and found.current.certificate != before:
            try:
                _tls().configure({"confdir"})  # which reads it from there, and forgets what it has signed
            except (exceptions.OptionsError, OSError, ValueError) as error:
                raise GatepassError(f"{_folder()}: expected a CA that can be used, got `{error}`") from None
        self._is_read, self._beside = True, found
        self._tell()
        return self.in_use.certificate != before

    def _tell(self) -> None:
        if _tls_if_any() is not None:
            end = self.in_use.certificate.not_valid_after_utc.timestamp()
            self._record.ledger.counts.ca_ends = end if _vouches() else None


def _folder() -> Path:
    return home.opened(ctx.options.confdir)


def _tls() -> TlsConfig:
    tls = _tls_if_any()
    assert tls is not None
    return tls


def _tls_if_any() -> TlsConfig | None:
    """What has the CA; none in a mitmproxy that decrypts nothing."""
    tls = ctx.master.addons.get("tlsconfig")
    return tls if isinstance(tls, TlsConfig) else None


def _vouches() -> bool:
    """Whether clients meet what the CA signs; a package index alone is a web server that vouches for no host."""
    return not all(modes.is_index(ProxyMode.parse(spec)) for spec in ctx.options.mode)
