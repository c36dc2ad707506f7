"""Archives and files of a repository, as the API has them: at the first of the places that a URL may mean.

Asks with the secret of a question; knows no rule, and nothing of releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepass.assets.memory import KEPT_SECONDS
from gatepass.assets.source import Source, is_json
from gatepass.cache import Cache
from gatepass.forge.sources import Content, api_path
from gatepass.github.client import OCTET_STREAM, RAW
from gatepass.github.replies import AssetGoneError
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gatepass.assets.ends import Ends
    from gatepass.assets.memory import Memory
    from gatepass.assets.source import Query
    from gatepass.forge.sources import SourceRef
    from gatepass.github.client import GitHub


class Contents:
    """Which refs are known to be some, and how the bytes at them are found."""

    def __init__(self, github: GitHub, memory: Memory, ends: Ends) -> None:
        self._github = github
        self._memory = memory
        self._ends = ends
        self._refs: Cache[Hashable, bool] = Cache(memory.lifetimes.entries, memory.clock)

    async def source(self, query: Query, ref: SourceRef) -> Source:
        """An archive or a file, at the first of the places that its URL may mean; a ref that is known goes first."""
        ask = self._github.content if ref.kind is Content.FILE else self._github.archive
        known = {place: self._refs.get((query.repository_key, place.ref)) is not None for place in ref.places}
        recent, streamed = self._memory.recent(query.asset_key), self._memory.lifetimes.tags
        is_folder = False
        for place in sorted(ref.places, key=lambda place: not known[place]):
            api_url = f"{query.forge.api}/repos/{ref.repository}{api_path(ref, place)}"
            query.account.use()
            try:
                pointed = await ask(query.forge, api_url, query.secret, recent, streamed)
            except AssetGoneError:
                continue
            except Unresolvable as unresolvable:
                raise Unresolvable(self._ends.dated(query, unresolvable.problem)) from None
            # a folder is told in JSON whatever is asked for
            if pointed.signed is None and is_json(pointed.headers):
                is_folder = True
                continue
            if len(ref.places) > 1:
                self._refs.put((query.repository_key, place.ref), True, KEPT_SECONDS)
            return Source(
                query.asset_key,
                query.forge,
                ref,
                pointed.signed,
                api_url=pointed.url,
                accept=RAW if ref.kind is Content.FILE else OCTET_STREAM,
                secret=query.secret,
                credential=query.credential.name,
                etag=pointed.headers.get("etag"),
                query=query,
                reused=pointed.reused,
            )
        if is_folder:
            raise Unresolvable(catalogue.NOT_A_FILE(repository=ref.repository, name=ref.named))
        what = f"file `{ref.named}`" if ref.kind is Content.FILE else f"ref `{ref.places[0].ref}`"
        raise Unresolvable(catalogue.SOURCE_NOT_FOUND(repository=ref.repository, what=what, secret=query.secret))
