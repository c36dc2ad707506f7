"""A store of several replicas, in a server that speaks Redis's protocol: values, flights with one owner, tallies.

What stands there is believed only where it is sealed. Nothing here fails for whoever asks: what is not to be had in
time is not known.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from gatepass.store.alone import Store
from gatepass.store.circuit import DownError
from gatepass.store.sealing import MOST_SEALED, Seal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatepass.store.alone import Made, Take
    from gatepass.store.circuit import Circuit, Health

FLIGHT_SECONDS: Final = 4.0
"""An owner that is not heard of for so long has lost its flight."""
WAIT_SECONDS: Final = 5.0
"""Nobody waits longer for what another replica asks for."""

_RENEWALS: Final = 3
_POLLS: Final = (0.01, 0.02, 0.05, 0.1)
_MOST_REPLICAS: Final = 64
_MOST_PUTS: Final = 256
_LONGEST: Final = 40 * 86_400.0
_COUNT: Final = struct.Struct(">q")
# of so much the sealing may hold up the loop
_LARGE: Final = 128 * 1024
_FREE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_RENEW: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
)


class Shared(Store):
    """What this replica and others know."""

    is_shared = True

    def __init__(self, circuit: Circuit, seal: Seal, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds, in which all replicas agree but for a moment."""
        self._circuit = circuit
        self._seal = seal
        self._clock = clock
        self.salt = seal.salt
        self._replica = secrets.token_hex(16)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def health(self) -> Health:
        return self._circuit.health

    def start(self) -> None:
        """See how the server is: on the loop that runs."""
        self._circuit.start()

    def name(self, kind: str, *parts: str) -> str:
        return self._seal.name(kind, *parts)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._circuit.close()

    # ---------------------------------------------------------------- values

    async def get(self, name: str, /) -> bytes | None:
        try:
            sealed = await self._circuit.ask(lambda redis: redis.getrange(_key(name), 0, MOST_SEALED))
        except DownError:
            return None
        return await self._opened(name, sealed)

    def put(self, name: str, value: bytes, seconds: float, /) -> None:
        self._later(lambda: self._put(name, value, seconds))

    async def _put(self, name: str, value: bytes, seconds: float) -> None:
        seconds = min(seconds, _LONGEST)
        if (milliseconds := int(seconds * 1000)) <= 0:
            return
        end = self._clock() + seconds
        is_large = len(value) > _LARGE
        if is_large:
            sealed = await asyncio.to_thread(self._seal.seal, name, value, end)
        else:
            sealed = self._seal.seal(name, value, end)
        if sealed is not None:
            await self._circuit.ask(
                lambda redis: redis.set(_key(name), sealed, px=milliseconds), is_large=is_large, is_patient=True
            )

    async def _opened(self, name: str, sealed: object) -> bytes | None:
        if not isinstance(sealed, bytes) or not sealed:
            return None
        if len(sealed) > _LARGE:
            return await asyncio.to_thread(self._seal.open, name, sealed, self._clock())
        return self._seal.open(name, sealed, self._clock())

    # --------------------------------------------------------------- flights

    async def once[V](self, name: str, take: Take[V], ask: Callable[[], Awaitable[Made[V]]], /) -> V:
        token = secrets.token_hex(16)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                found = await self._found_or_own(name, token, take)
        except (DownError, TimeoutError):
            return (await self._asked(name, ask)).value
        if found is not None:
            return found
        renewing = asyncio.get_running_loop().create_task(self._renewed(name, token))
        put: Made[V] | None = None
        try:
            put = await ask()
        finally:
            renewing.cancel()
            self._later(lambda: self._land(name, token, put))
        return put.value

    async def _asked[V](self, name: str, ask: Callable[[], Awaitable[Made[V]]]) -> Made[V]:
        made = await ask()
        if made.shared is not None:
            self.put(name, made.shared, made.seconds)
        return made

    async def _found_or_own[V](self, name: str, token: str, take: Take[V]) -> V | None:
        """What is there; None as soon as the flight is ours.

        Raises:
            DownError: nobody knows.
        """
        value = await self.get(name)
        found = None if value is None else take(value)
        turn = 0
        while found is None:
            is_ours, sealed, left = await self._circuit.ask(
                lambda redis: _look(redis, name, token), is_patient=turn > 0
            )
            value = await self._opened(name, sealed)
            found = None if value is None else take(value)
            if is_ours:
                if found is not None:
                    self._later(lambda: self._land(name, token, None))
                return found
            if not 0 <= left <= FLIGHT_SECONDS * 1000:
                raise DownError  # no owner of ours has such a flight
            if found is None:
                await asyncio.sleep(_POLLS[min(turn, len(_POLLS) - 1)])
                turn += 1
        return found

    async def _renewed(self, name: str, token: str) -> None:
        milliseconds = int(FLIGHT_SECONDS * 1000)
        while True:
            await asyncio.sleep(FLIGHT_SECONDS / _RENEWALS)
            with suppress(DownError):
                await self._circuit.ask(
                    lambda redis: redis.eval(_RENEW, 1, _flight(name), token, milliseconds), is_patient=True
                )

    async def _land[V](self, name: str, token: str, made: Made[V] | None) -> None:
        """Share what was made, and only then let others ask."""
        try:
            if made is not None and made.shared is not None:
                await self._put(name, made.shared, made.seconds)
        finally:
            await self._circuit.ask(lambda redis: redis.eval(_FREE, 1, _flight(name), token), is_patient=True)

    # --------------------------------------------------------------- tallies

    async def tally(self, name: str, own: int, seconds: float, /) -> int:
        try:
            return await self._tallied(name, own, seconds, is_patient=False)
        except DownError:
            return 0

    def tell(self, name: str, own: int, seconds: float, /) -> None:
        self._later(lambda: self._told(name, own, seconds))

    async def _told(self, name: str, own: int, seconds: float) -> None:
        await self._tallied(name, own, seconds, is_patient=True)

    async def _tallied(self, name: str, own: int, seconds: float, *, is_patient: bool) -> int:
        milliseconds, end = max(1, int(seconds * 1000)), self._clock() + seconds
        mine = self._seal.seal(self._field(name, self._replica), _COUNT.pack(own), end)

        async def ask(redis: Any) -> list[Any]:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hset(_key(name), self._replica, mine)
            pipeline.pexpire(_key(name), milliseconds)
            pipeline.hrandfield(_key(name), _MOST_REPLICAS, withvalues=True)
            return cast("list[Any]", await pipeline.execute())

        fields = (await self._circuit.ask(ask, is_patient=is_patient))[-1]
        return sum(self._counted(name, *pair) for pair in zip(fields[::2], fields[1::2], strict=False))

    def _counted(self, name: str, field: bytes, sealed: bytes) -> int:
        """What another replica counts, as far as it is true."""
        replica = field.decode("ascii", "replace")
        if replica == self._replica:
            return 0
        value = self._seal.open(self._field(name, replica), sealed, self._clock())
        return max(0, _COUNT.unpack(value)[0]) if value is not None and len(value) == _COUNT.size else 0

    def _field(self, name: str, replica: str) -> str:
        return self._seal.name("field", name, replica)

    # ------------------------------------------------------------ background

    def _later(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do it on nobody's way; not at all where too much is to be done already."""
        if self._circuit.health.is_up and len(self._tasks) < _MOST_PUTS:
            task = asyncio.get_running_loop().create_task(_quietly(do))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _quietly(do: Callable[[], Awaitable[None]]) -> None:
    with suppress(DownError):
        await do()


async def _look(redis: Any, name: str, token: str) -> tuple[bool, object, int]:
    """Try to have the flight; whether it is ours, what is there, and for how many milliseconds it is somebody's."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.set(_flight(name), token, nx=True, px=int(FLIGHT_SECONDS * 1000))
    pipeline.getrange(_key(name), 0, MOST_SEALED)
    pipeline.pttl(_flight(name))
    is_ours, sealed, left = await pipeline.execute()
    return bool(is_ours), sealed, int(left)


def _key(name: str) -> str:
    return f"gatepass:{name}"


def _flight(name: str) -> str:
    return f"gatepass:{name}:flight"
