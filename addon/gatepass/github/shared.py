"""Answers of a forge that replicas share: what one has asked, with a secret, no other asks with the same one.

Knows how an answer is kept, and how old it may be; neither what it means nor where it is kept.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gatepass.forge.signed import MARGIN, SignedUrl
from gatepass.github.replies import AssetGoneError, Pointed, Reply
from gatepass.store.alone import Made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2

    from gatepass.secret import Secret
    from gatepass.store.alone import Store
else:
    from gatepass.github import httpx as httpx2

FOREVER: Final = float("inf")
"""However old an answer is, it will do, so long as it has not ended by itself."""

# A release is kept past its lifetime, for asking whether it changed is free.
_KEPT_SECONDS: Final = 86_400.0
# What says the same for whoever asks, and for a moment.
_LASTING: Final = frozenset({401, 403, 404, 429, 451})
# The end of a list (FACTS.md) stays where it is.
_WHOLE: Final = frozenset({200, 422})
_MOST_HEADERS: Final = 32 * 1024


class _Reply(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="reply"):
    asked: float
    status: int
    headers: list[tuple[str, str]]
    content: bytes
    url: str


class _Pointed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="pointed"):
    """`signed` is a URL and its end; `is_there` is false where there is nothing."""

    asked: float
    url: str
    headers: list[tuple[str, str]]
    is_there: bool = True
    signed: tuple[str, float | None] | None = None


class _Answer(NamedTuple):
    """What an endpoint told; None where there is nothing."""

    pointed: Pointed | None


class SharedAnswers:
    """Asks for what no replica has asked for lately."""

    def __init__(self, store: Store, missing: float, clock: Callable[[], float] = time.time) -> None:
        """`missing` is for how many seconds what could not be had is not asked for again."""
        self._store = store
        self._missing = missing
        self._clock = clock
        self.is_shared = store.is_shared

    def name(self, kind: str, secret: Secret, *parts: str) -> str:
        """Under what an answer is kept that was asked for with that secret."""
        return self._store.name(kind, repr(secret.group(self._store.salt)), *parts)

    async def reply(
        self,
        name: str,
        recent: float,
        etag: str | None,
        ask: Callable[[str | None], Awaitable[Reply]],
        *,
        is_settled: bool = True,
    ) -> Reply:
        """The answer, at most `recent` seconds old; else `ask` gets one, on the condition of a validator.

        `etag` is that of what the caller knows, who may be told that it is still so. Of an answer that `is_settled`
        no other is to be had a moment later.
        """
        known: _Reply | None = None

        def take(value: bytes) -> Reply | None:
            nonlocal known
            found = _decoded(value, _Reply)
            if found is None:
                return None
            known = found if found.status in _WHOLE else None
            age = self._age(found.asked)
            if age > (recent if found.status in _WHOLE else min(recent, self._missing)):
                return None
            return Reply(found.status, _aged(found.headers, age), found.content, found.url, age)

        async def made() -> Made[Reply]:
            validator = etag
            if validator is None and known is not None:
                validator = httpx2.Headers(known.headers).get("etag")
            now = self._clock()
            reply = await ask(validator)
            if reply.status == 304 and known is not None and httpx2.Headers(known.headers).get("etag") == validator:
                # what another replica had was still so
                kept = msgspec.structs.replace(known, asked=now)
                whole = Reply(known.status, httpx2.Headers(known.headers), known.content, known.url)
                return Made(reply if etag is not None else whole, msgspec.msgpack.encode(kept), _KEPT_SECONDS)
            seconds = _KEPT_SECONDS if reply.status in _WHOLE else self._missing
            if reply.status not in _WHOLE | _LASTING or (not is_settled and reply.status in (401, 404)):
                return Made(reply)
            headers = _kept(reply.headers)
            if headers is None:
                return Made(reply)
            kept = _Reply(now, reply.status, headers, reply.content, reply.url)
            return Made(reply, msgspec.msgpack.encode(kept), seconds)

        return await self._store.once(name, take, made)

    async def pointed(
        self, name: str, recent: float, streamed: float, ask: Callable[[], Awaitable[Pointed]]
    ) -> Pointed:
        """Where an endpoint sends to, as it was told at most `recent` seconds ago, and still works; else `ask` asks.

        What a forge streams is known for `streamed` seconds.

        Raises:
            AssetGoneError: there is nothing.
        """

        def take(value: bytes) -> _Answer | None:
            found = _decoded(value, _Pointed)
            if found is None or (age := self._age(found.asked)) > recent:
                return None
            if not found.is_there:
                return _Answer(None) if age <= self._missing else None
            headers = httpx2.Headers(found.headers)
            if found.signed is None:
                return _Answer(Pointed(found.url, None, headers)) if age <= streamed else None
            url, expires = found.signed
            signed = SignedUrl.parse(url)
            if signed is None or expires is None or expires - MARGIN <= self._clock():
                return None
            return _Answer(Pointed(found.url, SignedUrl(url, signed.host, expires), headers, reused=True))

        async def made() -> Made[_Answer]:
            now = self._clock()
            try:
                pointed = await ask()
            except AssetGoneError:
                gone = _Pointed(now, "", [], is_there=False)
                return Made(_Answer(None), msgspec.msgpack.encode(gone), self._missing)
            headers = _kept(pointed.headers)
            if headers is None:
                return Made(_Answer(pointed))
            signed, seconds = None, streamed
            if pointed.signed is not None:
                signed, seconds = (pointed.signed.url, pointed.signed.expires), pointed.signed.seconds(now)
            kept = _Pointed(now, pointed.url, headers, signed=signed)
            return Made(_Answer(pointed), msgspec.msgpack.encode(kept), seconds)

        found = (await self._store.once(name, take, made)).pointed
        if found is None:
            raise AssetGoneError
        return found

    def _age(self, asked: float) -> float:
        return max(0.0, self._clock() - asked)


def _decoded[T](value: bytes, into: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(value, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _kept(headers: httpx2.Headers) -> list[tuple[str, str]] | None:
    """Those of an answer; None of too many."""
    found = [(name, value) for name, value in headers.multi_items() if name.lower() != "set-cookie"]
    return found if sum(len(name) + len(value) for name, value in found) <= _MOST_HEADERS else None


def _aged(headers: list[tuple[str, str]], age: float) -> httpx2.Headers:
    """The same some seconds later: a wait has become shorter."""
    found = httpx2.Headers(headers)
    wait = found.get("retry-after", "")
    if wait.isascii() and wait.isdigit() and len(wait) < 9:
        found["retry-after"] = str(max(1, int(int(wait) - age)))
    return found
