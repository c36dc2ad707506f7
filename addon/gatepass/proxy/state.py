"""The rules in force, and what asks and remembers under them: one value, swapped whole, so that a reload is one too.

Knows neither flows nor hooks.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from gatepass.assets.resolver import Resolver
from gatepass.credentials.store import Credentials
from gatepass.github.client import GitHub
from gatepass.proxy import upstream
from gatepass.shell import inherited

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.options import Options

    from gatepass.github.statistics import Statistics
    from gatepass.rules.model import Rules
    from gatepass.secret import Secret


class State:
    """What a request is decided by, and asked with. Clients of the network are made when they are first needed.

    `options` are mitmproxy's; `notice` is told what its users should know, `seen` each secret that a credential has.

    Raises:
        GatepassError: from what is made late, when a file of CAs has gone since the start.
    """

    def __init__(
        self,
        rules: Rules,
        options: Options,
        statistics: Statistics,
        notice: Callable[[str], None],
        seen: Callable[[str, Secret], None],
    ) -> None:
        self.rules = rules
        self._options = options
        self._statistics = statistics
        self._notice = notice
        self._seen = seen

    @cached_property
    def _github(self) -> GitHub:
        return GitHub(
            upstream.trust(self._options),
            upstream.proxy(self._options),
            upstream.trust_name(self._options),
            # as any client of the upstream proxy would, the addon's own calls heed NO_PROXY
            lambda host: inherited.exempting(os.environ, host) is not None,
            self._statistics,
        )

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(os.environ, self._github, notice=self._notice, seen=self._seen)

    @cached_property
    def resolver(self) -> Resolver:
        return Resolver(self.credentials, self._github, self.rules)

    async def close(self) -> None:
        """Let go of what was learnt, and of the connections that it was learnt over."""
        if "credentials" in vars(self):
            self.credentials.close()
        if "_github" in vars(self):
            await self._github.close()
