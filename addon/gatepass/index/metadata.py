"""The metadata of wheels, read where they are and kept by digest: the same bytes have the same, whoever asks.

Asks the API for a signed URL, and the asset host for a few ranges. Knows neither requests nor pages.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.cache import Cache, Flights
from gatepass.github.replies import AssetGoneError
from gatepass.index.wheel import Metadata, MisnamedError, UnreadableError, metadata
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.store.alone import ALONE, Made

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatepass.forge.hosts import Host
    from gatepass.github.client import GitHub
    from gatepass.index.contents import File
    from gatepass.index.wheel import Read
    from gatepass.secret import Secret
    from gatepass.store.alone import Store

_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_WHEELS: Final = 16_384
_DAY: Final = 86_400.0
# A digest stands for the same bytes for ever; what is in use stays, as long as there is room.
_KEPT_SECONDS: Final = 365 * _DAY


_SHARED_SECONDS: Final = 30 * _DAY


class GoneError(Exception):
    """The asset is there no more: it was replaced or deleted since its release was listed."""


class AllMetadata:
    """Reads metadata. Every method may raise `Unresolvable`; how long one takes is for its caller to bound."""

    def __init__(self, github: GitHub, clock: Callable[[], float], store: Store = ALONE) -> None:
        """`clock` gives seconds; `store` has what other replicas have read."""
        self._store = store
        self._github = github
        self._held: Cache[str, Metadata] = Cache(_MOST_BYTES, clock, lambda held: 512 + len(held.content))
        self._unreadable: Cache[str, str] = Cache(_MOST_WHEELS, clock)
        self._misnamed: Cache[str, str] = Cache(_MOST_WHEELS, clock)
        self._rangeless: Cache[Host, bool] = Cache(64, clock)
        self._flights: Flights[str] = Flights()
        self.faults = object()
        """Another one whenever something is promised no more."""

    async def close(self) -> None:
        """End what is being read."""
        await self._flights.close()

    def known(self, file: File) -> Metadata | None:
        """What was read of a wheel with these bytes."""
        return self._held.get(file.identity)

    def is_promised(self, file: File) -> bool:
        """Whether there is no reason yet to think that it cannot be read."""
        if file.kind != "wheel" or self._rangeless.get(file.place.forge.api_host):
            return False
        return self._unreadable.get(file.identity) is None

    def misnamed(self, file: File) -> str | None:
        """Why its name is not to be believed, where its metadata has told that: resolvers go by the name."""
        return self._misnamed.get(file.identity)

    def fault(self, file: File) -> str | None:
        """Why it could not be read."""
        return self._unreadable.get(file.identity)

    async def of(self, file: File, secret: Secret) -> Metadata:
        """The metadata of a wheel, read with that secret where it is not known.

        Raises:
            GoneError: there is no such asset any more.
        """
        if (known := self.known(file)) is not None:
            return known
        if (why := self.fault(file)) is not None:
            raise Unresolvable(catalogue.UNREADABLE_WHEEL(ref=file.ref, what=why))
        return await self._flights.share(file.identity, partial(self._asked, file, secret))

    async def _asked(self, file: File, secret: Secret) -> Metadata:
        async def read() -> Made[Metadata]:
            found = await self._read(file, secret)
            return Made(found, msgspec.msgpack.encode(found), _SHARED_SECONDS)

        found = await self._store.once(self._store.name("metadata", file.identity), _decoded, read)
        self._held.put(file.identity, found, _KEPT_SECONDS)
        return found

    async def _read(self, file: File, secret: Secret) -> Metadata:
        read = await self._reader(file, secret)
        try:
            return await metadata(read, file.size, file.project, file.version)
        except UnreadableError as error:
            self._unreadable.put(file.identity, str(error), _DAY)
            if isinstance(error, MisnamedError):
                self._misnamed.put(file.identity, str(error), _KEPT_SECONDS)
            self.faults = object()
            raise Unresolvable(catalogue.UNREADABLE_WHEEL(ref=file.ref, what=str(error))) from None

    async def _reader(self, file: File, secret: Secret) -> Read:
        forge = file.place.forge
        api_url = f"{forge.api}/repos/{file.place.repository}/releases/assets/{file.asset}"
        try:
            signed = await self._github.sign(forge, api_url, secret)
        except AssetGoneError:
            raise GoneError from None
        host = forge.api_host if signed is None else signed.host

        async def read(start: int, stop: int) -> bytes:
            headers = {"Range": f"bytes={start}-{stop - 1}"}
            if signed is None:
                part = await self._github.api_excerpt(forge, api_url, secret, headers, stop - start)
            else:
                part = await self._github.excerpt(signed, headers, stop - start)
            if part.status == 206 and len(part.content) != stop - start:
                # the wheel is none the worse for it
                error = f"its body has {len(part.content)} bytes, and {stop - start} were to come"
                raise Unresolvable(catalogue.BROKEN_ANSWER(host=host, error=error))
            if part.status == 206:
                return part.content
            if part.status == 200:
                self._rangeless.put(forge.api_host, True, _DAY)
                self.faults = object()
                raise Unresolvable(catalogue.UNREADABLE_WHEEL(ref=file.ref, what=f"{host} gives no parts of it"))
            raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=part.status))

        return read


def _decoded(value: bytes) -> Metadata | None:
    try:
        return msgspec.msgpack.decode(value, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
