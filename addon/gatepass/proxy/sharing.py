"""The store that replicas share, for as long as rules in force have it: a reload that changes nothing of it keeps it.

Knows the rules' word of it, and tells how it is; not what is kept there.
"""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING, Final

from gatepass.proxy import upstream
from gatepass.store.alone import ALONE

if TYPE_CHECKING:
    from mitmproxy.options import Options

    from gatepass.rules.model import Rules
    from gatepass.store.alone import Store
    from gatepass.store.circuit import Health
    from gatepass.store.opening import Opening
    from gatepass.telemetry.counts import Counts

logger: Final = logging.getLogger("gatepass")


class Lease:
    """A store in use. Whoever has it lets go of it once."""

    def __init__(self, sharing: Sharing, store: Store) -> None:
        self.store = store
        self._sharing = sharing

    async def close(self) -> None:
        await self._sharing.leave(self.store)


class Sharing:
    """Opens stores, one at a time: of the one before only what is under way is brought to its end."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._opening: tuple[Opening, str] | None = None
        self._store: Store = ALONE
        self._uses: dict[int, int] = {}

    def of(self, rules: Rules, options: Options) -> Lease:
        """The store of these rules; that of nobody else where they name none.

        Raises:
            GatepassError: it cannot be opened.
        """
        if rules.shared is None:
            self._opening, self._store, self._counts.store = None, ALONE, None
            return Lease(self, ALONE)
        # what it takes, which most proxies start without
        from gatepass.credentials.sharing import opening
        from gatepass.store.opening import opened

        wanted = (opening(rules.shared), upstream.trust_name(options))
        if wanted != self._opening:
            place = wanted[0].place
            store = opened(wanted[0], upstream.trust(options), lambda health: self._told(store, health))
            self._opening, self._store = wanted, store
            self._counts.shares(str(place), store.health)
            store.start()
        self._uses[id(self._store)] = self._uses.get(id(self._store), 0) + 1
        return Lease(self, self._store)

    def key(self, own: bytes) -> bytes:
        """What replicas make the same placeholders by, of the first of their keys; its own where they share none."""
        return own if self._opening is None else hmac.digest(self._opening[0].keys[0], b"placeholders", "sha256")

    async def leave(self, store: Store) -> None:
        if store is ALONE:
            return
        self._uses[id(store)] -= 1
        if not self._uses[id(store)]:
            del self._uses[id(store)]
            if store is self._store:
                self._opening, self._store = None, ALONE
            await store.close()

    def _told(self, store: Store, health: Health) -> None:
        if store is not self._store or self._opening is None:
            return
        place = str(self._opening[0].place)
        self._counts.shares(place, health)
        if health.is_up:
            logger.info("gatepass: the shared cache at %s is back", place)
        else:
            logger.warning(
                "gatepass: the shared cache at %s is not used: %s; this replica goes on with what it knows itself",
                place,
                health.why,
            )
