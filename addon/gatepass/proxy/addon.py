"""The addon, made of several with one behaviour each; they share the rules in force, and what is under way.

A request comes by `admission` (who asks?), `guard` (may it go there?), `interception` (is its connection decrypted?),
`requests` (what becomes of it?) and `responses` (what does its client get?), all under the rules that `life` holds, and
within the `bounds` of a connection. `journal` tells what became of it, where `reporting` has it told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mitmproxy import ctx

from gatepass.proxy import dispatch
from gatepass.proxy.admission import Admission
from gatepass.proxy.authorities import Authorities
from gatepass.proxy.bounds import Bounds
from gatepass.proxy.eager import Eager
from gatepass.proxy.guard import Guard
from gatepass.proxy.interception import Interception
from gatepass.proxy.journal import Journal
from gatepass.proxy.last import Last
from gatepass.proxy.leaving import Leaving
from gatepass.proxy.life import Life
from gatepass.proxy.listeners import Listeners
from gatepass.proxy.reload import Reload
from gatepass.proxy.reporting import Reporting
from gatepass.proxy.requests import Requests
from gatepass.proxy.responses import Responses
from gatepass.proxy.seal import Verified
from gatepass.proxy.welcome import Welcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitmproxy.connection import Client

    from gatepass.proxy.admission import Identities
    from gatepass.proxy.detour import Detours
    from gatepass.proxy.layers import Answers, Hosts


class Gatepass:
    """What `addons = [Gatepass()]` loads."""

    name = "gatepass"

    def __init__(self) -> None:
        self.life = life = Life()
        self.authorities = Authorities(life.record)
        self.reload = Reload(life, self.authorities)
        self.record = life.record
        self._is_whole = asyncio.Event()
        detours: Detours = WeakKeyDictionary()
        hosts: Hosts = WeakKeyDictionary()
        verified = Verified()
        identities: Identities = WeakKeyDictionary()
        answers: Answers = WeakKeyDictionary()
        guard = Guard(life)
        journal = Journal(life.record, answers)
        self._last = Last(life.record, detours, hosts, answers, guard, Eager(life, guard), journal)
        addons = (
            self,
            self.authorities,
            self.reload,
            life,
            Welcome(life.record, self.authorities),
            Bounds(),
            Admission(life, identities),
            Interception(life),
            Leaving(life, identities),
            guard,
            Listeners(life.record, guard),
            verified,
            Requests(life, detours, hosts, verified, guard, identities),
            Responses(life.record, detours, answers, guard),
            journal,
            Reporting(life.record.ledger),
        )
        vars(self).update(dispatch.hooks(addons))

    @property
    def has_rules(self) -> bool:
        """Whether there are any in force: without them nothing is decided, and nobody asked who they are."""
        return self.life.state is not None

    @property
    def placeholders(self) -> Mapping[str, str]:
        """What programs find in the variables of the rules, in a secret's place."""
        state = self.life.state
        return {} if state is None or state.placeholders is None else state.placeholders.values

    async def client_connected(self, _: Client) -> None:
        """mitmproxy listens before its addons run: nobody is served until the last of ours is there."""
        await self._is_whole.wait()

    def running(self) -> None:
        ctx.master.addons.add(self._last)
        self._is_whole.set()
        dispatch.quicken(ctx.master.addons)

    def done(self) -> None:
        dispatch.slow(ctx.master.addons)
        if ctx.master.addons.get(self._last.name) is self._last:
            ctx.master.addons.remove(self._last)
