"""Where it is told what the proxy does: the options for the audit file and for the admin listener, opened and closed.

Knows the ledger; neither what is written there, nor who asks for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx, exceptions

from gatepass.errors import GatepassError
from gatepass.telemetry.audit import Audit

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader

    from gatepass.telemetry.admin import Admin
    from gatepass.telemetry.ledger import Ledger

logger: Final = logging.getLogger("gatepass")


class Reporting:
    """An addon that opens what its options name, and closes it at the end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._admin: Admin | None = None
        self._running = False

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gatepass_audit",
            str,
            "",
            "Add a line of JSON to this file for each request and each tunnel; `-` is stdout.",
        )
        loader.add_option(
            "gatepass_admin",
            str,
            "",
            "Answer on HOST:PORT how the proxy is: /healthz, /readyz, /metrics, /status.json, and a page at /.",
        )

    def configure(self, updated: set[str]) -> None:
        try:
            if "gatepass_audit" in updated:
                self._write_to(ctx.options.gatepass_audit)
            if "gatepass_admin" in updated:
                self._answer_on(ctx.options.gatepass_admin)
        except GatepassError as error:
            if self._running:
                raise exceptions.OptionsError(str(error)) from None
            # an error in the log ends mitmproxy's start as an exception does, but without a traceback
            logger.error("gatepass: %s", error)  # noqa: TRY400

    def running(self) -> None:
        self._running = True
        self._start()

    def done(self) -> None:
        self._answer_on("")
        self._write_to("")

    def _write_to(self, path: str) -> None:
        if self._ledger.audit is not None:
            self._ledger.audit.close()
            self._ledger.audit = None
        if path:
            self._ledger.audit = Audit(path)

    def _answer_on(self, address: str) -> None:
        if self._admin is not None:
            self._admin.close()
            self._ledger.own_ports.discard(self._admin.port)
            self._admin, self._ledger.is_watched = None, False
        if address:
            # a web server, which most proxies start without
            from gatepass.telemetry.admin import Admin

            self._admin = Admin(address, self._ledger)
            self._ledger.is_watched = True
            self._ledger.own_ports.add(self._admin.port)
            if self._running:
                self._start()

    def _start(self) -> None:
        if self._admin is None:
            return
        self._admin.start()
        logger.info("gatepass: the admin listener is %s", self._admin.url)
        if not self._admin.is_loopback:
            logger.warning(
                "gatepass: the admin listener has no password: whoever reaches %s sees who asks for what; "
                "hint: let only those reach it who run the proxy",
                self._admin.url,
            )
