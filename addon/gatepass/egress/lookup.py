"""Names to addresses: by the system's resolver, in threads of their own, with a deadline.

Judges none of what it finds. Knows which addresses can be reached from here, and which failed of late.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from functools import partial
from ipaddress import IPv4Address, ip_address
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache, Flights
from gatepass.egress.addresses import plain
from gatepass.forge.hosts import Host
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gatepass.egress.addresses import Address

RESOLVE_SECONDS: Final = 5.0
_MOST_THREADS: Final = 64
"""A resolver that hangs keeps its thread for as long as it likes: so many names may do so."""
_MOST_ASKED: Final = 1024
_MOST_FAILED: Final = 4096
_FAILED_SECONDS: Final = 30.0


class _Threads:
    """Threads that are made when they are needed, and kept.

    They are nobody else's, so that a name that hangs holds up no file and no password check, nor the process's end.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], Callable[[], None]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._made = self._busy = 0

    def run(self, job: Callable[[], Callable[[], None]]) -> None:
        """Let a thread do it, when one is free, and then, free again, what it returns; neither may raise."""
        with self._lock:
            self._busy += 1
            if self._busy > self._made < _MOST_THREADS:
                self._made += 1
                threading.Thread(target=self._work, name="gatepass-lookup", daemon=True).start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            report = self._jobs.get()()
            with self._lock:
                self._busy -= 1
            report()


class Lookup:
    """Asks for names. Who asks for one that is being asked for gets the same answer; none is kept."""

    def __init__(self) -> None:
        self._flights: Flights[tuple[str, int]] = Flights()
        self._threads = _Threads()
        self._asking = 0
        self._failed: Cache[str, bool] = Cache(_MOST_FAILED, time.monotonic)

    async def addresses(self, name: str, port: int) -> tuple[Address, ...]:
        """All addresses of a host, those that are the likelier to answer first.

        Raises:
            Unresolvable: it has none, or none is told in time.
        """
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                return self._ordered(await self._flights.share((name, port), lambda: self._ask(name, port)))
        except TimeoutError:
            error = f"the resolver gave no answer within {RESOLVE_SECONDS:g} s"
        except socket.gaierror as refused:
            error = (refused.strerror or "unknown name").lower()
        except (OSError, ValueError) as unfit:  # a name that cannot be put into a question
            error = str(unfit)
        raise Unresolvable(catalogue.NAME_NOT_RESOLVED(host=Host(name, port), error=error))

    def failed(self, address: str) -> None:
        """Note that nothing was reached there: for a while another is tried first."""
        self._failed.put(address, True, _FAILED_SECONDS)

    def best(self, addresses: Sequence[str]) -> str:
        """The first that has not failed of late, or the first of all."""
        return next((each for each in addresses if self._failed.get(each) is None), addresses[0])

    async def _ask(self, name: str, port: int) -> tuple[Address, ...]:
        if self._asking >= _MOST_ASKED:
            raise OSError("too many names are being asked for")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[Address, ...]] = loop.create_future()
        until = time.monotonic() + RESOLVE_SECONDS

        def done(found: tuple[Address, ...] | Exception) -> None:
            self._asking -= 1
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def ask() -> Callable[[], None]:
            found: tuple[Address, ...] | Exception
            try:
                # who wanted it has gone when its turn comes late
                found = _resolved(name, port) if time.monotonic() < until else TimeoutError()
            except Exception as error:
                found = error
            return partial(report, found)

        def report(found: tuple[Address, ...] | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done, found)

        self._asking += 1
        self._threads.run(ask)
        return await answer

    def _ordered(self, found: Iterable[Address]) -> tuple[Address, ...]:
        """The resolver's order (RFC 6724), less what has no route; what failed of late comes last, but comes."""
        found = tuple(found)
        if len(found) == 1:
            return found
        return tuple(sorted(found, key=lambda each: (not has_route(each), self._failed.get(str(each)) is not None)))


def _resolved(name: str, port: int) -> tuple[Address, ...]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(plain(_address(*each[4])) for each in found))


def _address(address: str | int, _port: int | bytes, _flow: int = 0, scope: int = 0) -> Address:
    text = str(address)
    return ip_address(f"{text}%{scope}" if scope and "%" not in text else text)


def has_route(address: Address) -> bool:
    """Whether the system knows a way there: an IPv6 address is of no use to a machine that has IPv4 alone.

    Nothing is sent: a datagram socket that connects only looks at the routes.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
    except OSError:
        return False
    return True
