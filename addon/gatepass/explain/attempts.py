"""What clients get of an asset, tried for real with a few bytes, by the addon's own plan for each kind of request.

Knows the asset's source, and not how it was found.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from gatepass.assets import delivery
from gatepass.assets.answers import Answer
from gatepass.explain import probe
from gatepass.explain.explanation import Step, failed
from gatepass.explain.probe import FIRST_BYTES, STEP_SECONDS
from gatepass.forge.signed import SignedUrl
from gatepass.forge.sources import SourceRef
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from gatepass.assets.resolver import Resolver
    from gatepass.assets.source import Source
    from gatepass.forge.hosts import Host
    from gatepass.github.client import GitHub


async def within[T](call: Awaitable[T], host: Host) -> T:
    """The result of a call, in time.

    Raises:
        Unresolvable: it took too long, or failed by itself.
    """
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await call
    except TimeoutError:
        raise Unresolvable(catalogue.TIMED_OUT(host=host, seconds=STEP_SECONDS)) from None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Tries a HEAD, a range and a GET."""

    resolver: Resolver
    github: GitHub

    async def all(self, source: Source) -> AsyncIterator[Step]:
        """What clients get, tried for real: the addon's own plan for each kind of request, with a few bytes."""
        yield self._signed(source)
        for name, attempt in (("head", self._head), ("range", self._part), ("get", self._whole)):
            try:
                step = await within(attempt(source), source.host)
            except Unresolvable as unresolvable:
                step = failed(name, unresolvable.problem)
            yield step
            if step.state == "fail":
                return

    def _signed(self, source: Source) -> Step:
        signed = source.signed
        if signed is None:
            return Step("signed-url", "ok", f"none: {source.host} sends the bytes itself")
        if signed.expires is None:
            return Step("signed-url", "warn", f"on {signed.host}, its end cannot be read: it is used once")
        left = int(signed.expires - time.time())
        if left <= 0:
            hint = "set the clock of this machine"
            return Step("signed-url", "warn", f"on {signed.host}, over since {-left} s by the clock here", hint)
        return Step("signed-url", "ok", f"on {signed.host}, for {left} s")

    async def _head(self, source: Source) -> Step:
        plan = await delivery.plan(self.resolver, source, "HEAD", httpx2.Headers())
        assert isinstance(plan, Answer)  # a HEAD always is answered here
        return probe.head(plan)

    async def _part(self, source: Source) -> Step:
        plan = await delivery.plan(self.resolver, source, "GET", httpx2.Headers(FIRST_BYTES))
        if isinstance(plan, Answer):
            return probe.part(plan)
        return probe.whole_of_source() if isinstance(source.ref, SourceRef) else probe.whole_for_part()

    async def _whole(self, source: Source) -> Step:
        """The beginning of a GET: a body that is answered whole is left where it is."""
        plan = await delivery.plan(self.resolver, source, "GET", httpx2.Headers())
        if isinstance(plan, Answer):
            signed = SignedUrl.parse(plan.headers.get("Location", ""))
            assert signed is not None  # a whole is answered by nothing but a redirect
            begun = await self.github.excerpt(signed, {}, 0)
        else:
            assert source.secret is not None
            begun = await self.github.api_excerpt(source.forge, source.api_url, source.secret, {}, 0, source.accept)
        if begun.status != 200:
            return failed("get", catalogue.SIGNED_URL_REFUSED(host=source.host, status=begun.status))
        return probe.whole(source.host, source.forge.api_host)
