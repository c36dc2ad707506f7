"""Which of several credentials sees a repository, as it was found out: by this replica, or by another.

Knows credentials by what the rules say of them; has no secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import Repository
    from gatepass.rules.model import Credential
    from gatepass.store.alone import Store


# Another replica may find out meanwhile; and may find out that it is another one.
_ASKED_SECONDS: Final = 10.0
_FOUND_SECONDS: Final = 3600.0


class Chosen:
    """Credentials by repository, and by what there was to choose from."""

    def __init__(self, size: int, clock: Callable[[], float], store: Store) -> None:
        """`clock` gives seconds."""
        self._known: Cache[Hashable, Credential] = Cache(size, clock)
        self._store = store
        self._asked: Cache[Hashable, bool] = Cache(size, clock)

    async def get(self, forge: Forge, repository: Repository, among: Sequence[Credential]) -> Credential | None:
        """The one that could see it the last time; None where nobody knows, or there is nothing to choose."""
        key = (forge.web, repository, tuple(among))
        known = self._known.get(key)
        if known is not None or len(among) < 2 or self._asked.get(key):
            return known
        self._asked.put(key, True, _ASKED_SECONDS)
        name = (await self._store.get(self._name(forge, repository, among)) or b"").decode(errors="replace")
        found = next((credential for credential in among if credential.name == name), None)
        if found is not None:
            self._known.put(key, found, _FOUND_SECONDS)
        return found

    def put(
        self, forge: Forge, repository: Repository, among: Sequence[Credential], chosen: Credential, seconds: float
    ) -> None:
        """Let it be the first to be tried for so long."""
        self._known.put((forge.web, repository, tuple(among)), chosen, seconds)
        if len(among) > 1:
            self._store.put(self._name(forge, repository, among), chosen.name.encode(), seconds)

    def _name(self, forge: Forge, repository: Repository, among: Sequence[Credential]) -> str:
        told = [repr((each.name, each.sources, sorted(map(str, each.hosts)))) for each in among]
        return self._store.name("chosen", forge.api, str(repository).casefold(), *told)
