"""The secrets of the rules' credentials: each source asked in its turn, and what it gave kept until its end.

Knows the sources, and how long what each gives holds; does not know what a secret is used for, nor any flow. However
many want the same secret, its source is asked once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from gatepass.cache import Cache, Flights
from gatepass.credentials import files, programs
from gatepass.credentials.app import Apps
from gatepass.credentials.validation import AbsentError, BusyError, expect_token, fit
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.secret import Secret
from gatepass.sources import (
    DEFAULT_TTL,
    Command,
    Default,
    Env,
    File,
    Gh,
    Git,
    GitHubApp,
    Keyring,
    Netrc,
    Systemd,
    expanded,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping

    from gatepass.github.client import GitHub
    from gatepass.rules.model import Credential
    from gatepass.secret import Audience, Origin
    from gatepass.sources import Source

SECONDS: Final = 10.0
"""All sources of a credential must have answered by then."""
_SOURCE_SECONDS: Final = 9.0

_SIZE: Final = 4096
# Of each source: a client chooses the repositories that git's helpers are asked for.
_MOST_PROGRAMS: Final = 4
_MOST_THREADS: Final = 4
# A file is read again after a second, so that a secret that is mounted anew is seen.
_FILE_SECONDS: Final = 1.0
_ABSENT_SECONDS: Final = 10.0
_FAILED_SECONDS: Final = 30.0
# What stays true for a while, however often it is asked; a fault of the network may pass at once.
_LASTING: Final = frozenset({401, 403, 404, 429})
# A secret that takes the place of a refused one, and is refused as well, is not replaced again at once.
_REJECTED_SECONDS: Final = 10.0
_SETTLING_SECONDS: Final = 4.0
# An App's tokens are made anew long before: what was learnt with one is its successors', too.
_KEPT_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class _Held:
    """What a source gave at `since`: a secret to be asked for again at `until`, and good till `expires`; or why there
    is none to be used.
    """

    given: Secret | AbsentError | Problem
    since: float
    until: float
    expires: float


class Credentials:
    """Finds secrets. `secret` may raise `Unresolvable`."""

    def __init__(
        self,
        environ: Mapping[str, str],
        github: GitHub,
        clock: Callable[[], float] = time.time,
        notice: Callable[[str], None] = lambda _: None,
        seen: Callable[[str, Secret], None] = lambda _name, _secret: None,
        withheld: Callable[[], Problem | None] = lambda: None,
    ) -> None:
        """`clock` gives epoch seconds; `notice` hears of sources that failed.

        `seen` hears of every secret that a credential, which it gets the name of, has not had before.
        `withheld` tells why nobody gets one at the moment.
        """
        self._environ = environ
        self._clock = clock
        self._notice = notice
        self._seen = seen
        self._withheld = withheld
        self._apps = Apps(github, clock)
        self._held: Cache[Origin, _Held] = Cache(_SIZE, clock)
        self._rejected: Cache[Origin, Secret] = Cache(_SIZE, clock)
        self._told: Cache[Hashable, str] = Cache(_SIZE, clock)
        self._flights: Flights[Hashable] = Flights()
        self._gates: dict[Source, asyncio.Semaphore] = {}
        self._executor = ThreadPoolExecutor(_MOST_THREADS, "gatepass-secrets")
        self._threads: dict[Hashable, Future[str]] = {}
        self._salt = secrets.token_bytes(32)

    async def secret(self, credential: Credential, audience: Audience) -> Secret:
        """The first secret that one of the credential's sources yields.

        Raises:
            Unresolvable: no source has one, or what one gives is not fit to be used.
        """
        if problem := self._withheld():
            raise Unresolvable(problem.about(credential=credential.name))
        absent: list[tuple[Source, AbsentError]] = []
        try:
            async with asyncio.timeout(SECONDS):
                for source in expanded(credential.sources, audience.forge):
                    try:
                        secret = await self._from(source, audience)
                    except AbsentError as error:
                        absent.append((source, error))
                    else:
                        if audience.forge is not None:
                            expect_token(source, secret)
                        self._tell(credential, absent, source, secret)
                        return secret
        except TimeoutError:
            absent.append((source, AbsentError("was not waited for: those before it took too long", failed=True)))
        except Unresolvable as unresolvable:
            raise Unresolvable(unresolvable.problem.about(credential=credential.name)) from None
        raise Unresolvable(choice.no_credential(credential.name, [(each, error.reason) for each, error in absent]))

    def _tell(
        self, credential: Credential, absent: Iterable[tuple[Source, AbsentError]], used: Source, secret: Secret
    ) -> None:
        key, fingerprint = (credential.name, secret.source, secret.origin), secret.fingerprint(self._salt)
        if self._told.get(key) != fingerprint:
            self._told.put(key, fingerprint, _KEPT_SECONDS)
            self._seen(credential.name, secret)
        for source, error in absent:
            if error.failed:
                self._notice(f"credential `{credential.name}`: `{source}` {error.reason}; `{used}` was used")

    def reject(self, secret: Secret) -> bool:
        """Take note that a secret was refused. Whether asking again may bring another that is worth a try."""
        key = secret.origin
        if key is None:
            return False
        held = self._held.get(key)
        if held is not None and isinstance(held.given, Secret) and not held.given.is_same(secret):
            return True  # it has been replaced meanwhile
        if (before := self._rejected.get(key)) is not None:
            return before is secret  # another one has been tried since, or the same text was got again
        self._held.drop(key)
        self._rejected.put(key, secret, _REJECTED_SECONDS)
        return True

    async def replacement(self, refused: Secret, credential: Credential, audience: Audience) -> Secret | None:
        """Another secret for one that was refused with 401; None when there is none that is worth a try.

        Raises:
            Unresolvable: as `secret` does.
        """
        key = refused.origin
        if key is None:
            return None
        ask = partial(self._replaced, key, refused, credential, audience)
        # what takes its place depends on the credential's other sources, and on whom it is for
        return await self._flights.share(("replacement", key, credential, audience), ask)

    async def _replaced(
        self, key: Origin, refused: Secret, credential: Credential, audience: Audience
    ) -> Secret | None:
        held = self._held.get(key)
        if not self.reject(refused):
            return None
        if held is not None and held.given is refused and self._is_settling(key[0], held):
            await asyncio.sleep(_SETTLING_SECONDS / 4)
            again = refused.anew()
            self._held.put(key, replace(held, given=again), _KEPT_SECONDS)
            return again
        given = await self.secret(credential, audience)
        return None if given.is_same(refused) else given

    def _is_settling(self, source: Source, held: _Held) -> bool:
        """GitHub takes seconds to know a new token everywhere (octokit/auth-app.js, `src/hook.ts`)."""
        return isinstance(source, GitHubApp) and self._clock() - held.since < _SETTLING_SECONDS

    # --------------------------------------------------------------- sources

    async def _from(self, source: Source, audience: Audience) -> Secret:
        if isinstance(source, Env):  # as cheap to ask as to remember
            return Secret(fit(source, self._variable(source)), str(source))
        key = (source, _scope(source, audience))
        held = self._held.get(key)
        if held is None or held.until <= self._clock():
            held = await self._flights.share(key, partial(self._obtained, key, source, audience, held))
        match held.given:
            case AbsentError(reason=reason, failed=failed):
                raise AbsentError(reason, failed=failed)
            case Problem():
                raise Unresolvable(held.given)
        return held.given

    def _variable(self, source: Env) -> str:
        if source.name not in self._environ:
            raise AbsentError("is not set")
        return self._environ[source.name]

    async def _obtained(self, key: Origin, source: Source, audience: Audience, held: _Held | None) -> _Held:
        """What the source gives now, remembered; a token that is still good where no other is to be had."""
        old = held.given if held and isinstance(held.given, Secret) else None
        try:
            new = await self._asked(key, source, audience, old)
        except (AbsentError, TimeoutError, Unresolvable) as error:
            if held and old and self._clock() < held.expires:
                self._notice(f"`{source}` could not be renewed, and is used till its end: {error}")
                new = replace(held, until=min(self._clock() + _FAILED_SECONDS, held.expires))
            elif isinstance(error, Unresolvable) and error.problem.status not in _LASTING:
                raise
            else:
                new = self._none(source, error)
        kept = _KEPT_SECONDS if isinstance(source, GitHubApp) else new.expires - self._clock()
        self._held.put(key, new, kept)
        return new

    def _none(self, source: Source, error: AbsentError | TimeoutError | Unresolvable) -> _Held:
        """Why it has none, to be remembered for a while: to ask again would cost the same, and give as little."""
        seconds, given = _ABSENT_SECONDS, error.problem if isinstance(error, Unresolvable) else error
        if isinstance(given, AbsentError) and given.failed:
            seconds = _FAILED_SECONDS
        if isinstance(source, File | Systemd | Netrc):
            seconds = _FILE_SECONDS
        if isinstance(given, TimeoutError):
            given, seconds = AbsentError(f"gave no answer in {_SOURCE_SECONDS:g} s", failed=True), _FAILED_SECONDS
        if isinstance(given, BusyError):
            seconds = 0.0  # it was not asked
        now = self._clock()
        return _Held(given, now, now + seconds, now + seconds)

    async def _asked(self, key: Origin, source: Source, audience: Audience, old: Secret | None) -> _Held:
        if isinstance(source, GitHubApp):
            async with asyncio.timeout(_SOURCE_SECONDS):
                private_key = await self._private_key(source)
            try:
                async with asyncio.timeout(_SOURCE_SECONDS):
                    secret, until, expires = await self._apps.token(source, private_key, audience, key, old)
            except TimeoutError:
                # it is the forge that is silent, and no credential that is missing
                raise Unresolvable(catalogue.TIMED_OUT(host=audience.host, seconds=_SOURCE_SECONDS)) from None
        else:
            text, seconds = await self._text(source, audience)
            secret = Secret(fit(source, text), str(source), key)
            until = expires = self._clock() + seconds
        return _Held(secret, self._clock(), until, expires)

    async def _private_key(self, app: GitHubApp) -> str:
        try:
            match app.key:
                case Env():
                    # `\\n` is what becomes of a line's end in a variable that can have but one line
                    return self._variable(app.key).replace("\\n", "\n")
                case File(path):
                    return await self._in_thread(app.key, partial(files.secret, app.key, path))
                case Systemd():
                    return await self._in_thread(app.key, partial(files.systemd, app.key, self._environ))
        except AbsentError as absent:
            raise AbsentError(f"has no private key: `{app.key}` {absent.reason}", failed=absent.failed) from None

    async def app_jwt(self, app: GitHubApp) -> Secret:
        """What an App says who it is with.

        Raises:
            Unresolvable: its private key is not to be had, or is none.
        """
        try:
            return await self._apps.jwt(app, await self._private_key(app))
        except AbsentError as absent:
            raise Unresolvable(choice.no_credential(str(app), [(app, absent.reason)])) from None

    async def _text(self, source: Source, audience: Audience) -> tuple[str, float]:
        """What a source says, and for how many seconds it is to be believed."""
        match source:
            case File(path):
                async with asyncio.timeout(_SOURCE_SECONDS):
                    return await self._in_thread(source, partial(files.secret, source, path)), _FILE_SECONDS
            case Systemd():
                async with asyncio.timeout(_SOURCE_SECONDS):
                    return await self._in_thread(source, partial(files.systemd, source, self._environ)), _FILE_SECONDS
            case Netrc():
                names = _names(audience)
                read = partial(files.netrc, source, names, self._environ)
                async with asyncio.timeout(_SOURCE_SECONDS):
                    return await self._in_thread((source, names), read), _FILE_SECONDS
            case Env() | GitHubApp() | Default():
                raise AssertionError("asked elsewhere")
        async with self._turn(source):
            match source:
                case Command(argv, ttl):
                    return await programs.command(argv, self._environ), ttl
                case Gh():
                    return await programs.gh(audience, self._environ), DEFAULT_TTL
                case Git():
                    return await programs.git(audience, self._environ), DEFAULT_TTL
                case Keyring():
                    return await programs.keyring(source, self._environ), DEFAULT_TTL
        assert_never(source)

    @asynccontextmanager
    async def _turn(self, source: Source) -> AsyncIterator[None]:
        """A few programs of a source may run at once, whatever clients ask for; none waits for another source's."""
        gate = self._gates.setdefault(source, asyncio.Semaphore(_MOST_PROGRAMS))
        try:
            async with asyncio.timeout(_SOURCE_SECONDS):
                await gate.acquire()
        except TimeoutError:
            raise BusyError("is busy with other questions", failed=True) from None
        try:
            yield
        finally:
            gate.release()

    async def _in_thread(self, key: Hashable, read: Callable[[], str]) -> str:
        """What blocks, in a thread of our own, for those of the loop look up names; one for all who want the same."""
        thread = self._threads.get(key)
        if thread is None or thread.done():
            thread = self._threads[key] = self._executor.submit(read)
        waiting = asyncio.wrap_future(thread)
        # looked at, lest asyncio warn when all who asked have gone
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(waiting)
        finally:
            if thread.done():
                self._threads.pop(key, None)

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _scope(source: Source, audience: Audience) -> Hashable:
    """What of the audience makes a difference to what the source gives."""
    match source:
        case Gh():
            return audience.forge or audience.host
        case Git():
            return (audience.forge or audience.host, audience.repository)
        case Netrc():
            return _names(audience)
        case GitHubApp():
            return (audience.forge, audience.repository, audience.permissions)
    return None


def _names(audience: Audience) -> tuple[str, ...]:
    """The names under which people write down a host in a netrc: who gets the secret, and the site that it is of."""
    forge = audience.forge
    hosts = (audience.host, *((forge.web, forge.api_host) if forge else ()))
    return tuple(dict.fromkeys(host.name for host in hosts))
