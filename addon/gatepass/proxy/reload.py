"""Rules read again, when their file has changed or when it is told, and with them the proxy's CA: all or nothing.

What it can read and the proxy can keep is put in force; else those of before stay. Sees no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx

from gatepass import files, home
from gatepass.errors import GatepassError
from gatepass.rules import locate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitmproxy.addonmanager import Loader

    from gatepass.proxy.authorities import Authorities
    from gatepass.proxy.life import Life
    from gatepass.rules.model import Rules

logger: Final = logging.getLogger("gatepass")

type Look = dict[Path, bytes]
"""What files hold, as digests; and of one that cannot be read, why not."""

_LOOK_SECONDS: Final = 1.0
"""A change counts when two looks have seen the same: who writes a file in two halves is let finish."""
_MOST: Final = 16 * 1024 * 1024
"""Bytes; a longer file is looked at no further."""


class Reload:
    """An addon that has the rules read again. It comes before the one that reads them at first."""

    def __init__(self, life: Life, authorities: Authorities) -> None:
        self._life = life
        self._authorities = authorities
        self._named: str | None = None
        self._cwd = Path()
        self._seen: Look = {}
        self._files: tuple[Path, ...] = ()
        self._lock = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    def load(self, loader: Loader) -> None:
        loader.add_option("gatepass_watch", bool, True, "Read the rules file again when it changes.")

    def configure(self, updated: set[str]) -> None:
        if "gatepass_rules" in updated:
            with contextlib.suppress(GatepassError):  # which whoever reads it first will tell
                self._named, self._cwd = ctx.options.gatepass_rules or None, home.working()
                # before it is read: what changes meanwhile is a change
                self._seen = look(locate.places(self._named, os.environ, self._cwd))

    def running(self) -> None:
        if self._life.state is not None:
            self._files = self._life.state.rules.files
            self._seen |= look(self._files)
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def again(self) -> None:
        """Read the rules again, whether or not their file has changed: secrets are read anew, too, and so is the CA."""
        async with self._lock:
            state = self._life.state
            if state is None:
                return
            where = (self._named, os.environ, self._cwd)
            # others' disks may be slow, and a long file takes its time: not on the loop
            self._seen = await asyncio.to_thread(look, (*locate.places(*where), *self._files))
            try:
                rules = await asyncio.to_thread(locate.load_again, *where, state.rules.source)
                self._files = rules.files
                self._seen |= await asyncio.to_thread(look, self._files)
                found = await asyncio.to_thread(self._authorities.read)
                self._authorities.expect_fit(found, rules)
                _expect_closed(state.rules, rules)
                self._life.accept(rules)
                if self._authorities.take(found):
                    logger.info("gatepass: vouches with another CA: %s", self._authorities.in_use.fingerprint)
            except GatepassError as error:
                self._life.refuse(error)

    async def _watch(self) -> None:
        last: Look = {}
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._life.state is None or not ctx.options.gatepass_watch:
                continue
            source = self._life.state.rules.source
            places = locate.places(self._named, os.environ, self._cwd, source)
            now = await asyncio.to_thread(look, (*places, *self._files))
            if now == last and any(self._seen.setdefault(path, there) != there for path, there in now.items()):
                await self.again()
            last = now


def look(paths: Iterable[Path]) -> Look:
    """What the files hold now, wherever links lead; none keeps us waiting."""
    return {path: _content(path) for path in paths}


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(files.read(path, _MOST)).digest()
    except (OSError, ValueError) as error:
        return errno.errorcode.get(getattr(error, "errno", None) or 0, "").encode()


def _expect_closed(old: Rules, new: Rules) -> None:
    """
    Raises:
        GatepassError: nothing else asks clients who they are, and these rules do not any more.
    """
    if old.access.clients and not new.access.clients and not ctx.options.proxyauth:
        raise GatepassError(
            f"{new.source}: expected `clients`, as before, got none: whoever reaches the proxy could use all",
            "say who may use the proxy, or start it anew, with a password",
        )
