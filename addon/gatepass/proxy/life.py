"""The addon's life: its options, the rules in force, and what is said of them.

Holds the one value that the other addons decide by, and swaps it whole; sees no request, and does not know why it is
given others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx, exceptions
from mitmproxy.proxy import mode_specs

from gatepass import home
from gatepass.egress.lookup import Lookup
from gatepass.errors import GatepassError
from gatepass.github.client import silence_libraries
from gatepass.proxy import modes, upstream
from gatepass.proxy.log import ClearedLog
from gatepass.proxy.record import Record
from gatepass.proxy.sharing import Sharing
from gatepass.proxy.state import State
from gatepass.rules import locate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.addonmanager import Loader

    from gatepass.rules.model import Rules

logger: Final = logging.getLogger("gatepass")

# What the user did not set is set here, and said once: no connection to a web host that is not going to be asked.
_DEFAULTS: Final = {"connection_strategy": "lazy"}


class Given:
    """An addon that has the rules, read before: what becomes of their file since then is not asked.

    `key` is what placeholders are made by.
    """

    name = "gatepass_given"

    def __init__(self, rules: Rules, key: bytes) -> None:
        self.rules = rules
        self.key = key


class Life:
    """An addon that reads options and rules."""

    def __init__(self) -> None:
        self.record = Record()
        self.lookup = Lookup()
        self._sharing = Sharing(self.record.ledger.counts)
        self.state: State | None = None
        """None until rules were read."""
        self.replaced: Callable[[], None] = lambda: None
        """Called when other rules are at work than before."""
        self._closing: set[asyncio.Task[None]] = set()
        self._running = False
        # placeholders outlive a reload, and no start
        self._key = secrets.token_bytes(32)
        self._log = ClearedLog()
        self.record.ledger.checks["rules"] = lambda: None if self.state else "no rules are at work"

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gatepass_rules",
            str,
            "",
            "The rules file; else $GATEPASS_RULES, an allowed ./rules.yaml, the user's folder, and the built-in rules.",
        )
        loader.add_option(
            "gatepass_upstream",
            str,
            "",
            "The upstream proxy of package indexes that are a web server of their own; else that of the mode.",
        )
        silence_libraries()
        self._log.install()

    def configure(self, updated: set[str]) -> None:
        try:
            if "gatepass_rules" in updated:
                self._put_in_force(_rules())
            if self.state is not None:
                self.state.heed(ctx.options)
            if updated & upstream.OPTIONS:
                upstream.trust(ctx.options)  # says now what is wrong with them, not at the first request
                upstream.way(ctx.options)
                if self.state is not None:
                    self._swap(self._made(self.state.rules))
        except GatepassError as error:
            if self._running:
                self.record.ledger.counts.failed(str(error))
                raise exceptions.OptionsError(str(error)) from None
            # an error in the log ends mitmproxy's start as an exception does, but without a traceback
            logger.error("gatepass: %s", error)  # noqa: TRY400

    def accept(self, rules: Rules) -> None:
        """Put these in force, in place of those that are.

        Raises:
            GatepassError: what they need cannot be had; all is as it was.
        """
        state = self._put_in_force(rules)
        logger.info("gatepass: rules read again: %s", _summary(rules, {}))
        self.replaced()
        self._warn_of_limits(state)

    def refuse(self, error: GatepassError) -> None:
        """Go on with the rules that are in force."""
        self.record.ledger.counts.failed(str(error))
        logger.error("gatepass: rules not replaced, those of before are at work: %s", error)

    def _put_in_force(self, rules: Rules) -> State:
        state = self._made(rules)
        self._swap(state)
        self.record.ledger.counts.loaded(rules.source)
        return state

    def _made(self, rules: Rules) -> State:
        return State(rules, ctx.options, self.record, self.lookup, self._sharing, self._placeholder_key)

    def _placeholder_key(self, sharing: Sharing) -> bytes:
        given = ctx.master.addons.get(Given.name)
        # a command has its placeholders before there is a proxy
        return given.key if isinstance(given, Given) else sharing.key(self._key)

    def _swap(self, state: State | None) -> None:
        """Let this be what is decided by, with nothing learnt yet; what goes on under the old one comes to its end."""
        old, self.state = self.state, state
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def running(self) -> None:
        self._running = True
        if self.state is None:
            return
        rules = self.state.rules
        defaults = {name: value for name, value in _DEFAULTS.items() if not ctx.options.has_changed(name)}
        ctx.options.update(**defaults)
        logger.info("gatepass: %s", _summary(rules, defaults))
        if not rules.access.clients and (exposed := modes.exposed(ctx.options)):
            logger.warning(
                "gatepass: listens on %s without `proxyauth`: whoever reaches the port uses the credentials; "
                "hint: `--listen-host 127.0.0.1`",
                ", ".join(exposed),
            )
        self._warn_of_limits(self.state)
        if ctx.options.ssl_insecure:
            logger.warning("gatepass: no credential is sent while `ssl_insecure` is set")

    def _warn_of_limits(self, state: State) -> None:
        for spec in ctx.options.mode:
            for limit in modes.limits(mode_specs.ProxyMode.parse(spec), state.rules, is_guarded=state.is_guarded):
                logger.warning("gatepass: %s", limit)

    def done(self) -> None:
        self._swap(None)
        self._log.remove()


def _rules() -> Rules:
    given = ctx.master.addons.get(Given.name)
    if isinstance(given, Given):
        return given.rules
    named = ctx.options.gatepass_rules or None
    return locate.load(named, os.environ, home.working(), partial(logger.warning, "gatepass: %s"))


def _summary(rules: Rules, defaults: dict[str, str]) -> str:
    """What the addon will do, in one line."""
    hosts = ", ".join(str(host) for host in sorted(rules.hosts))
    named = "1 rule" if len(rules.rules) == 1 else f"{len(rules.rules)} rules"
    credentials = "; ".join(
        f"credential `{credential.name}` from {', '.join(map(str, credential.sources))} serves "
        f"{', '.join(str(host) for host in sorted(credential.hosts))}"
        for credential in rules.credentials
    )
    line = f"{named} of {rules.source} for {hosts}, all else is tunnelled; {credentials}"
    if defaults:
        line += f"; set {', '.join(f'{name}={value}' for name, value in defaults.items())}"
    return line
