"""The rules in force, and what asks and remembers under them: one value, swapped whole, so that a reload is one too.

Knows neither flows nor hooks.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from gatepass.assets.numbers import Numbers
from gatepass.assets.resolver import Resolver
from gatepass.credentials.store import Credentials
from gatepass.egress.clients import Clients
from gatepass.egress.destinations import Reach
from gatepass.egress.guard import Way
from gatepass.forge import graphql
from gatepass.forge.hosts import OWN
from gatepass.github.client import GitHub
from gatepass.github.shared import SharedAnswers
from gatepass.placeholder import Placeholders
from gatepass.proxy import modes, upstream
from gatepass.rules.model import Credential
from gatepass.secret import Audience
from gatepass.shell import inherited

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.options import Options

    from gatepass.egress.lookup import Lookup
    from gatepass.index.answers import PackageIndex
    from gatepass.proxy.record import Record
    from gatepass.proxy.sharing import Sharing
    from gatepass.rules.access import Password
    from gatepass.rules.model import Rules
    from gatepass.secret import Secret

# Of no use to a source whose secret is a client's password: it is for nobody but this proxy.
_HERE: Final = Audience(OWN)


class State:
    """What a request is decided by, and asked with. Clients of the network are made when they are first needed.

    Whoever asks something of it does so in a `with` block of it: it is let go only when all have left theirs.

    `options` are mitmproxy's; `record` is told what is done, and what users should know; `lookup` asks for names;
    `sharing` has what replicas share by, `key` tells what placeholders are made by.

    Raises:
        GatepassError: a file of users cannot be read; and from what is made late, when a file of CAs has gone since.
    """

    def __init__(
        self,
        rules: Rules,
        options: Options,
        record: Record,
        lookup: Lookup,
        sharing: Sharing,
        key: Callable[[Sharing], bytes],
    ) -> None:
        self.rules = rules
        if rules.of_api:
            graphql.load()
        self.reach = Reach.of(rules)
        self._options = options
        self._record = record
        self._lookup = lookup
        self._users = 0
        self.heed(options)
        self._unused = asyncio.Event()
        self._unused.set()
        self.clients = Clients(rules.access, self._password, self._document, time.monotonic)
        # last, for it is to be let go
        self._lease = sharing.of(rules, options)
        variables = rules.placeholders
        self.placeholders = Placeholders(key(sharing), variables) if variables else None
        """Those that clients may have for secrets; None where the rules know of none, and none is looked for."""
        self.store = self._lease.store

    async def _password(self, name: str, proof: Password) -> Secret:
        return await self.credentials.secret(Credential(f"client {name}", proof.sources, frozenset()), _HERE)

    async def _document(self, url: str, most: int) -> bytes:
        return await self._github.document(url, most)

    def __enter__(self) -> Self:
        self._users += 1
        self._unused.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            self._unused.set()

    def heed(self, options: Options) -> None:
        """Go by these, when any has changed."""
        self.is_guarded = self.rules.access.is_guarded or modes.is_open(options)
        """Whether clients may get to public addresses alone, and where the rules say."""

    @cached_property
    def _github(self) -> GitHub:
        return GitHub(
            upstream.trust(self._options),
            upstream.proxy(self._options),
            upstream.trust_name(self._options),
            # as any client of the upstream proxy would, the addon's own calls heed NO_PROXY
            lambda host: inherited.exempting(os.environ, host) is not None,
            self._record.statistics,
            way=Way(self.reach, self._lookup, lambda: self.is_guarded),
            shared=SharedAnswers(self.store, self.rules.cache.missing),
        )

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(
            os.environ,
            self._github,
            notice=self._record.notice,
            seen=self._record.secret,
            withheld=self._record.withheld,
        )

    @cached_property
    def numbers(self) -> Numbers:
        return Numbers(self._github, time.monotonic)

    @cached_property
    def resolver(self) -> Resolver:
        counts = self._record.ledger.counts
        return Resolver(self.credentials, self._github, self.rules, uses=counts.uses, store=self.store)

    @cached_property
    def index(self) -> PackageIndex:
        from gatepass.index.answers import PackageIndex  # when it is wanted: its libraries are many

        return PackageIndex(self.credentials, self._github, self.rules, store=self.store)

    async def close(self) -> None:
        """Let go of what was learnt, and of the connections that it was learnt over, once nobody asks any more."""
        try:
            await self._unused.wait()
        finally:
            if "index" in vars(self):
                await self.index.close()
            if "credentials" in vars(self):
                self.credentials.close()
            if "_github" in vars(self):
                await self._github.close()
            await self._lease.close()
