"""One server that may be down, slow, full or out of its mind, asked so that nobody has to wait for it.

An answer that is late, or none, opens the circuit: nothing more is asked on anybody's way until, in the background, it
answers as it should. Knows how to ask, and nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    type Ask[T] = Callable[[Any], Awaitable[T]]
    """A question to the client library's client."""

SECONDS: Final = 0.25
"""The longest that one request waits for the server, all in all."""
SLOW: Final = 0.05
"""Seconds; an answer that takes longer is a slow one."""
MOST_AT_ONCE: Final = 16
"""Questions, and so connections."""

# One slow answer is a moment's; a server that is slow is so again and again.
_MOST_SLOW: Final = 3
_AGAIN: Final = (0.5, 1.0, 2.0, 4.0)
_STEP: Final = 0.005
# By the clock: of a process that is so late nobody is quick.
_MOST_SECONDS: Final = 1.0
_PROBE: Final = "gatepass:probe"
_LARGE: Final = 64 * 1024
_WORD: Final = re.compile(r"[A-Z]{2,20}", re.ASCII)


class DownError(Exception):
    """The server has not answered, or is not asked at the moment."""


@dataclass(slots=True)
class _Patience:
    left: float = SECONDS


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patience() -> Iterator[None]:
    """Let all questions within, and those of the tasks that are begun there, take no longer than one may."""
    if _patience.get() is not None:
        yield
        return
    token = _patience.set(_Patience())
    try:
        yield
    finally:
        _patience.reset(token)


@dataclass(frozen=True, slots=True)
class Health:
    """How the server is, since when (epoch seconds), and why it is not asked."""

    is_up: bool
    since: float
    why: str = ""


class Circuit:
    """Asks the server; `told` hears of each change."""

    def __init__(self, client: Any, reasons: Callable[[BaseException], str], told: Callable[[Health], None]) -> None:
        """`client` is the client library's; `reasons` says in words why a question failed."""
        self._client = client
        self._reasons = reasons
        self._told = told
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._slow = 0
        self._probing: asyncio.Task[None] | None = None
        self.health = Health(is_up=True, since=time.time())

    def start(self) -> None:
        """See how it is: to be called on the loop that runs."""
        if self._probing is None:
            self._probing = asyncio.get_running_loop().create_task(self._probe(0.0))

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        with suppress(Exception):  # what cannot be closed is gone
            await self._client.aclose()

    async def ask[T](self, question: Ask[T], *, is_large: bool = False, is_patient: bool = False) -> T:
        """The answer. One to something large, or a large one, may take longer; who is patient is on nobody's way.

        Raises:
            DownError: there is none in time.
        """
        if not self.health.is_up:
            raise DownError
        patience = None if is_patient else _patience.get()
        seconds = SECONDS if patience is None else min(SECONDS, patience.left)
        if seconds <= 0:
            raise DownError
        watch = _Watch()
        try:
            async with self._turn(seconds):
                answer = await watch.over(question(self._client), seconds)
        except Exception as error:
            self._failed(error, watch)
            raise DownError from None
        finally:
            if patience is not None:
                patience.left -= watch.whole
        self._timed(watch.whole, is_slow=watch.whole > SLOW and not is_large and _size(answer) < _LARGE)
        return answer

    def _timed(self, seconds: float, *, is_slow: bool) -> None:
        self._slow = self._slow + 1 if is_slow else 0
        if self._slow >= _MOST_SLOW:
            self._down(_slow(seconds))

    @asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncIterator[None]:
        """Only so many questions at once: the others wait, though no longer than they may."""
        async with asyncio.timeout(seconds):
            await self._gate.acquire()
        try:
            if not self.health.is_up:
                raise DownError
            yield
        finally:
            self._gate.release()

    def _failed(self, error: Exception, watch: _Watch) -> None:
        """Take note of it, unless it is about a value of somebody else's, or nothing was asked at all."""
        if isinstance(error, DownError) or _is_of_another_type(error) or not watch.whole:
            return
        if not _is_timeout(error):
            self._down(self._reasons(error))
        elif watch.whole > SECONDS / 2:
            self._down(_SILENT)
        elif watch.whole > SLOW:
            self._timed(watch.whole, is_slow=True)

    def _down(self, why: str) -> None:
        if self.health.is_up:
            self._tell(Health(is_up=False, since=time.time(), why=why))
            if self._probing is None or self._probing.done():
                self._probing = asyncio.get_running_loop().create_task(self._probe(_AGAIN[0]))

    def _tell(self, health: Health) -> None:
        self._slow = 0
        self.health = health
        self._told(health)

    async def _probe(self, wait: float) -> None:
        """Ask it in the background until it answers as it should, twice after an outage."""
        good, tries = 0, 0
        while True:
            await asyncio.sleep(wait)
            why = await self._look()
            if why is None:
                good, wait = good + 1, SLOW
                if self.health.is_up or good > 1:
                    break
            else:
                good, wait = 0, _AGAIN[min(tries, len(_AGAIN) - 1)]
                tries += 1
                if self.health.is_up:
                    self._tell(Health(is_up=False, since=time.time(), why=why))
        if not self.health.is_up:
            self._tell(Health(is_up=True, since=time.time()))

    async def _look(self) -> str | None:
        """What is wrong with it: it must take and give back in time."""
        watch = _Watch()
        try:
            kept = await watch.over(self._kept(), SECONDS)
        except Exception as error:
            return _SILENT if _is_timeout(error) else self._reasons(error)
        if not kept:
            return "it does not keep what it is given"
        return _slow(watch.whole / 3) if watch.whole > 3 * SLOW else None

    async def _kept(self) -> bool:
        if not self.health.is_up:
            await self._client.connection_pool.disconnect()  # those of before may hang
        await self._client.ping()
        await self._client.set(_PROBE, b"1", px=1000)
        return bool(await self._client.get(_PROBE) == b"1")


class _Watch:
    """Tells how long a server takes, whatever this process is busy with meanwhile.

    It looks every few milliseconds whether there is an answer: what such a look takes longer than it should is not the
    server's time, for an answer that has come may lie there unread.
    """

    def __init__(self) -> None:
        self.whole = 0.0

    async def over[T](self, doing: Awaitable[T], seconds: float) -> T:
        """What it gives.

        Raises:
            TimeoutError: it takes longer than so many seconds, or much longer by the clock.
        """
        loop = asyncio.get_running_loop()
        task, begun = asyncio.ensure_future(doing), loop.time()
        try:
            while not task.done():
                now = loop.time()
                if self.whole >= seconds or now - begun >= _MOST_SECONDS:
                    raise TimeoutError
                await asyncio.wait((task,), timeout=_STEP)
                self.whole += min(loop.time() - now, _STEP)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_looked_at)


def _looked_at(task: asyncio.Future[Any]) -> None:
    """Lest asyncio warn."""
    if not task.cancelled():
        task.exception()


def _slow(seconds: float) -> str:
    return f"it is slow: {seconds * 1000:.0f} ms"


def said(error: BaseException) -> str:
    """The word that the server said; of a question that was one of several the library tells more."""
    found = _WORD.search(str(error).rpartition(" caused error: ")[2])
    return found[0] if found else "nothing that is known"


def _size(answer: object) -> int:
    if isinstance(answer, list | tuple):
        return sum(map(_size, answer))
    return len(answer) if isinstance(answer, bytes) else 0


_SILENT: Final = f"it gives no answer within {SECONDS * 1000:.0f} ms"


def _is_timeout(error: BaseException) -> bool:
    from redis.exceptions import TimeoutError as RedisTimeoutError

    return isinstance(error, TimeoutError | RedisTimeoutError)


def _is_of_another_type(error: BaseException) -> bool:
    """Whether the server is well, and what stands there under our name is of another type than ours."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError) and said(error) == "WRONGTYPE"
