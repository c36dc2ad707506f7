"""The one client of a forge: of its API with a credential, of its web pages and asset hosts without.

Does all network I/O of the addon, and keeps the one law about it: a secret is put on a request to its forge's API
and on no other, redirects included. Knows nothing of flows, rules or caches.

Sources: GitHub's REST documentation (releases, release assets, best practices, rate limits); FACTS.md for the rest.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote, urljoin, urlsplit
from weakref import WeakValueDictionary

import msgspec
from cryptography import x509

from gatepass.cache import Cache
from gatepass.forge import urls
from gatepass.forge.hosts import HTTPS_PORT, Host
from gatepass.forge.signed import SignedUrl
from gatepass.github import refusals
from gatepass.github.replies import AssetGoneError, Pointed, Reply
from gatepass.github.shared import SharedAnswers
from gatepass.github.statistics import Statistics, number
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.redaction import REMOVED
from gatepass.store.alone import ALONE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
    from datetime import datetime

    import httpx2

    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import AssetRef, Repository
    from gatepass.github.dialling import Way
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret
else:
    from gatepass.github import httpx as httpx2

USER_AGENT: Final = "gatepass (+https://github.com/astral-sh/uv/issues/15731)"
API_VERSION: Final = "2022-11-28"
OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/vnd.github+json"
RAW: Final = "application/vnd.github.raw+json"
"""What gives a file's bytes, of up to 100 MB (REST docs, "Get repository content")."""
ARCHIVE_SECONDS: Final = 300
"""So long an archive's address can be used; its text does not say (REST docs, "Download a repository archive")."""

CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 20.0
"""All that one client request may cause must be over by then: uv gives up after 30 s (FACTS.md)."""

type Hooks = dict[str, list[Callable[..., Any]]]
"""Event hooks of an HTTP client: what sees its requests and its answers."""

PER_PAGE: Final = 100
_ISSUER_SECONDS: Final = 3.0
_MAX_REDIRECTS: Final = 3
_MAX_ATTEMPTS: Final = 3
_PROXY_PORTS: Final = {"http": 80, "https": HTTPS_PORT, "socks5": 1080, "socks5h": 1080}
_MAX_REPLY: Final = 32 * 1024 * 1024
# What a URL is made of (RFC 3986, section 2); what some servers leave unescaped is sent on as it is, and is no harm.
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_MAX_LOCATION: Final = 16 * 1024
_MOST_BUDGETS: Final = 1024
_BUDGET_SECONDS: Final = 86_400.0

_JSON: Final = {"Accept": "application/json"}
# Calls at once for the same repository, or the same asset.
_MOST_ALIKE: Final = 20

type _Purpose = Literal["api", "web", "asset", "issuer"]


class UnclearError(Exception):
    """The web host gave neither an asset nor a 404, which says nothing about the asset.

    `fault` is what kept it from answering at all; None when it answered.
    """

    def __init__(self, fault: Problem | None = None) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Asset(msgspec.Struct, frozen=True):
    """A release asset as the API tells it; `size` in bytes."""

    id: int
    name: str
    size: int
    state: str = "uploaded"
    content_type: str = OCTET_STREAM
    digest: str | None = None


class Release(msgspec.Struct, frozen=True):
    """A release as the API tells it, with the first of its assets: the list is capped at an undocumented number."""

    id: int
    tag_name: str
    assets: tuple[Asset, ...] = ()
    html_url: str = ""
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A release, the API URL below which its assets are, and the validator for asking again.

    `renamed` is the repository's name now, when it was asked for by an old one; `expires` the end of the token.
    `age` is how many seconds ago another replica was told of it.
    """

    release: Release
    releases_url: str
    etag: str | None
    renamed: Repository | None
    expires: datetime | None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of an asset, or what its host said instead; `content` is empty unless it is a part."""

    status: int
    headers: httpx2.Headers
    content: bytes


class _DroppedError(Unresolvable):
    """A connection ended under a question for reasons that lie before it: on a fresh one it may be answered."""


def _asked_again[**P, R](ask: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Let a question be asked once more when it met a connection that the other side was done with.

    Such a connection fails all questions that are on it, so one that is repeated may meet another's end: that is
    borne, too. A fresh connection that fails has given its answer.
    """

    @wraps(ask)
    async def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(_MAX_ATTEMPTS - 1):
            try:
                return await ask(*args, **kwargs)
            except _DroppedError:
                pass
        return await ask(*args, **kwargs)

    return asked


def silence_libraries() -> None:
    """Let the libraries only warn: they write URLs with their signatures at INFO, and headers at DEBUG."""
    for library in ("httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)


def signed_url(location: str, base: str, forge: Forge) -> SignedUrl | None:
    """The signed URL that a redirect names; None when it names none.

    Raises:
        Unresolvable: it leads to a host that is none of the forge's.
    """
    signed = SignedUrl.parse(_joined(base, location))
    if signed is None or signed.host in (forge.api_host, forge.web):
        return None
    if not forge.may_serve(signed.host):
        raise Unresolvable(catalogue.UNKNOWN_ASSET_HOST(forge=forge, host=signed.host))
    return signed


def archive_url(location: str, base: str, forge: Forge) -> SignedUrl | None:
    """The address of an archive that a redirect of the API names; None when it names another place of the API.

    Raises:
        Unresolvable: it leads to a host that makes none of the forge's archives.
    """
    signed = SignedUrl.parse(_joined(base, location))
    if signed is None or signed.host == forge.api_host != forge.web:
        return None
    if forge.may_archive(signed.host, signed.path):
        return replace(signed, expires=time.time() + ARCHIVE_SECONDS)
    if signed.host in (forge.api_host, forge.web):
        return None
    raise Unresolvable(catalogue.UNKNOWN_ASSET_HOST(forge=forge, host=signed.host))


class NoCookies(CookieJar):
    """Keeps none and sends none: what a host sets for one credential is no business of the next."""

    def extract_cookies(self, response: object, request: object) -> None: ...

    def add_cookie_header(self, request: object) -> None: ...


class _Lanes:
    """Turns: only so many calls at once have the same key, so that a place that hangs leaves connections to others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lanes: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    def __getitem__(self, key: Hashable) -> asyncio.Semaphore:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = asyncio.Semaphore(self._most)
        return lane


class GitHub:
    """A pooled client for API, web and asset hosts.

    Every method may raise `Unresolvable`, whose problem is meant for the client. Each connection has a deadline; that
    of the whole is the caller's.
    """

    def __init__(
        self,
        trust: ssl.SSLContext,
        proxy: httpx2.Proxy | None = None,
        trust_name: str = "the public CAs",
        direct: Callable[[Host], bool] = lambda _: False,
        statistics: Statistics | None = None,
        hooks: Hooks | None = None,
        way: Way | None = None,
        shared: SharedAnswers | None = None,
    ) -> None:
        """`trust`, in errors called `trust_name`, verifies all hosts; `proxy` is the upstream proxy.

        `direct` tells which hosts it is not for; `hooks` see every exchange, secrets included. `way` says which
        addresses are dialled; without one any is. `shared` has what other replicas
        were answered. The environment is not asked.
        """
        from gatepass.github import dialling  # what httpx2 is, which takes 30 ms to import, is asked of it here first

        self._guarded_way = way
        self._shared = shared or SharedAnswers(ALONE, 0)
        self._statistics = statistics or Statistics()
        self._trust = trust_name
        self._proxy = None if proxy is None else Host(proxy.url.host, proxy.url.port or _PROXY_PORTS[proxy.url.scheme])
        self._direct = direct
        self._budgets: Cache[Hashable, int] = Cache(_MOST_BUDGETS, time.monotonic)
        # so that the fingerprint of a secret is worth nothing outside this process
        self._salt = secrets.token_bytes(32)
        self._lanes = _Lanes(_MOST_ALIKE)
        # a pool for each purpose: what hangs takes no connection from what does not
        self._pools: dict[_Purpose, httpx2.AsyncClient] = {
            purpose: httpx2.AsyncClient(
                verify=trust,
                transport=dialling.transport(trust, proxy, direct, way),
                http2=True,
                trust_env=False,
                event_hooks=hooks,
                timeout=httpx2.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
                limits=dialling.LIMITS,
                cookies=NoCookies(),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            )
            for purpose in ("api", "web", "asset", "issuer")
        }

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def budget(self, forge: Forge, secret: Secret) -> int | None:
        """How many calls an hour the secret has at the forge, as it was last told; None where it was not."""
        return self._budgets.get((forge.api, secret.payer(self._salt)))

    # ------------------------------------------------------- with a credential

    async def release(
        self, forge: Forge, ref: AssetRef, secret: Secret, etag: str | None = None, recent: float = 0
    ) -> Found | None:
        """The release that `ref` names, as any replica was told at most `recent` seconds ago; None when it still is the
        one of this `etag`, which costs no budget.
        """
        which = "latest" if ref.tag is None else f"tags/{quote(ref.tag, safe='')}"
        url = f"{forge.api}/repos/{ref.repository}/releases/{which}"
        reply = await self.ask(forge, url, secret, etag, recent)
        if reply.status == 304 and etag is not None:
            return None
        if reply.status == 404:
            raise Unresolvable(catalogue.RELEASE_NOT_FOUND(ref=ref, secret=secret))
        self.expect_ok(forge, secret, reply)
        release = decode(reply, Release, forge)
        # a renamed repository answers from `/repositories/ID`: what follows goes there at once
        releases_url = reply.url.removesuffix(f"/{which}")
        renamed = None if reply.url == url else _repository(expect_clean(release.html_url, secret, forge))
        expires = refusals.token_expiry(reply.headers)
        return Found(release, releases_url, reply.headers.get("etag"), renamed, expires, reply.age)

    async def assets(
        self, forge: Forge, found: Found, page: int, secret: Secret, recent: float = 0
    ) -> tuple[tuple[Asset, ...], float]:
        """One page of all assets of a release, and its age; fewer than `PER_PAGE` are the last."""
        url = f"{found.releases_url}/{found.release.id}/assets?per_page={PER_PAGE}&page={page}"
        reply = await self.ask(forge, url, secret, recent=recent)
        self.expect_ok(forge, secret, reply)
        return decode(reply, tuple[Asset, ...], forge), reply.age

    async def sign(self, forge: Forge, api_url: str, secret: Secret) -> SignedUrl | None:
        """Ask the asset endpoint for a signed URL; None when it streams the bytes itself, as some GHES do.

        Raises:
            AssetGoneError: there is no such asset any more.
        """
        return (await self.asset(forge, api_url, secret)).signed

    async def asset(
        self, forge: Forge, api_url: str, secret: Secret, recent: float = 0, streamed: float = 0
    ) -> Pointed:
        """The same, with all else that the endpoint tells, as any replica was told at most `recent` seconds ago.

        That it streams is believed for `streamed` seconds.

        Raises:
            AssetGoneError: there is no such asset any more.
        """
        return await self._pointed(forge, api_url, secret, OCTET_STREAM, signed_url, recent, streamed)

    async def archive(
        self, forge: Forge, api_url: str, secret: Secret, recent: float = 0, streamed: float = 0
    ) -> Pointed:
        """Ask for the address of an archive.

        Raises:
            AssetGoneError: there is no such ref, or no such repository.
        """
        return await self._pointed(forge, api_url, secret, JSON, archive_url, recent, streamed)

    async def content(
        self, forge: Forge, api_url: str, secret: Secret, recent: float = 0, streamed: float = 0
    ) -> Pointed:
        """Ask what a file's endpoint would give.

        Raises:
            AssetGoneError: there is no such file, ref or repository.
        """
        return await self._pointed(forge, api_url, secret, RAW, signed_url, recent, streamed)

    async def _pointed(
        self,
        forge: Forge,
        api_url: str,
        secret: Secret,
        accept: str,
        read: Callable[[str, str, Forge], SignedUrl | None],
        recent: float,
        streamed: float,
    ) -> Pointed:
        ask = partial(self._asked_where, forge, api_url, secret, accept, read)
        if not self._shared.is_shared:
            return await ask()
        name = self._shared.name("pointed", secret, forge.api, api_url, accept)
        return await self._shared.pointed(name, recent, streamed, ask)

    @_asked_again
    async def _asked_where(
        self,
        forge: Forge,
        api_url: str,
        secret: Secret,
        accept: str,
        read: Callable[[str, str, Forge], SignedUrl | None],
    ) -> Pointed:
        """Where an endpoint sends to, as `read` reads it, or its headers; the body of a streamed answer is not read."""
        headers = self._api_headers(forge, api_url, secret) | {"Accept": accept}
        for _ in range(_MAX_REDIRECTS):
            async with self._open("api", "GET", api_url, headers, forge.api_host, forge=forge) as response:
                if response.status_code in (200, 206) and self._is_own(forge, response):
                    return Pointed(api_url, None, _cleared(response.headers, secret))
                if response.status_code == 404 and self._is_own(forge, response):
                    raise AssetGoneError
                if not response.has_redirect_location:
                    reply = self._own(forge, await _reply(response, api_url, secret))
                    raise Unresolvable(refusals.refusal(forge, secret, reply.status, reply.headers, reply.content))
                location = expect_clean(response.headers["location"], secret, forge)
            signed = read(location, api_url, forge)
            # a login's redirect looks much like it
            if signed is None or (signed.expires is None and signed.host not in forge.assets):
                self._own(forge, Reply(response.status_code, response.headers, b"", api_url))
            if signed is not None:
                return Pointed(api_url, signed, _cleared(response.headers, secret))
            api_url = self._same_origin(forge, _joined(api_url, location))
        raise Unresolvable(catalogue.MALFORMED_ANSWER(host=forge.api_host, what="too many redirects"))

    async def api_excerpt(
        self,
        forge: Forge,
        api_url: str,
        secret: Secret,
        headers: Mapping[str, str],
        most: int,
        accept: str = OCTET_STREAM,
    ) -> Excerpt:
        """`excerpt` of an endpoint that streams."""
        authorised = self._api_headers(forge, api_url, secret) | {"Accept": accept}
        excerpt = await self._excerpt("api", api_url, {**headers, **authorised}, forge.api_host, most, forge)
        return replace(excerpt, headers=_cleared(excerpt.headers, secret))

    async def ask(
        self, forge: Forge, url: str, secret: Secret, etag: str | None = None, recent: float | None = None
    ) -> Reply:
        """GET a URL of the API, redirects within it included, with the credential; what is known of it has this `etag`.

        What any replica was answered at most `recent` seconds ago will do; None shares nothing.
        """
        if recent is None or not self._shared.is_shared:
            return await self._asked(forge, url, secret, etag)
        name = self._shared.name("reply", secret, forge.api, url)
        ask, is_settled = partial(self._asked, forge, url, secret), not secret.is_of_a_group
        reply = await self._shared.reply(name, recent, etag, ask, is_settled=is_settled)
        self._learn_budget(forge, secret, reply.headers)
        return reply

    def _learn_budget(self, forge: Forge, secret: Secret, headers: httpx2.Headers) -> None:
        limit = number(headers, "x-ratelimit-limit")
        if limit is not None:
            self._budgets.put((forge.api, secret.payer(self._salt)), limit, _BUDGET_SECONDS)

    @_asked_again
    async def _asked(self, forge: Forge, url: str, secret: Secret, etag: str | None) -> Reply:
        sent = self._api_headers(forge, url, secret) | {"Accept": JSON}
        sent |= {} if etag is None else {"If-None-Match": etag}
        for _ in range(_MAX_REDIRECTS):
            async with self._open("api", "GET", url, sent, forge.api_host, forge=forge) as response:
                # who is refused is told the budget of those without a credential, even of a good one that is locked out
                if response.status_code not in (401, 403):
                    self._learn_budget(forge, secret, response.headers)
                if not response.has_redirect_location:
                    return self._own(forge, await _reply(response, url, secret))
                location = expect_clean(response.headers["location"], secret, forge)
            self._own(forge, Reply(response.status_code, response.headers, b"", url))
            url = self._same_origin(forge, _joined(url, location))
        raise Unresolvable(catalogue.MALFORMED_ANSWER(host=forge.api_host, what="too many redirects"))

    @_asked_again
    async def post(self, forge: Forge, url: str, secret: Secret, body: object) -> Reply:
        """POST a JSON document to a URL of the API, with the credential; a redirect is not followed.

        It may be asked twice, as what makes another token may be.
        """
        sent = self._api_headers(forge, url, secret)
        sent |= {"Accept": JSON, "Content-Type": "application/json"}
        content = msgspec.json.encode(body)
        async with self._open("api", "POST", url, sent, forge.api_host, content, forge) as response:
            return self._own(forge, await _reply(response, url, secret))

    @staticmethod
    def _is_own(forge: Forge, response: httpx2.Response) -> bool:
        return refusals.foreign(forge.api_host, response.status_code, response.headers) is None

    @staticmethod
    def _own(forge: Forge, reply: Reply) -> Reply:
        """The answer, which is the forge's own as far as can be told.

        Raises:
            Unresolvable: something else stands between, and answered.
        """
        if problem := refusals.foreign(forge.api_host, reply.status, reply.headers, reply.content):
            raise Unresolvable(problem)
        return reply

    def _api_headers(self, forge: Forge, url: str, secret: Secret) -> dict[str, str]:
        """The headers of an authorised call. The secret is opened here, for its forge's API alone."""
        self._same_origin(forge, url)
        return {
            "Authorization": f"Bearer {secret.reveal()}",
            "X-GitHub-Api-Version": API_VERSION,
        }

    @staticmethod
    def _same_origin(forge: Forge, url: str) -> str:
        """`url`, when it is of the forge's API: a redirect may not carry a credential elsewhere."""
        segments = unquote(url.partition("?")[0]).split("/")
        if not url.startswith(f"{forge.api}/") or not {".", ".."}.isdisjoint(segments):
            raise Unresolvable(
                catalogue.MALFORMED_ANSWER(host=forge.api_host, what="a redirect leads away from the API")
            )
        return url

    @staticmethod
    def expect_ok(forge: Forge, secret: Secret, reply: Reply) -> None:
        """Go on when the API answered 200.

        Raises:
            Unresolvable: it did not.
        """
        if reply.status != 200:
            raise Unresolvable(refusals.refusal(forge, secret, reply.status, reply.headers, reply.content))

    # ---------------------------------------------------- without a credential

    async def public(self, forge: Forge, ref: AssetRef) -> SignedUrl | None:
        """Ask the web host for an asset as anybody may; None when it has no such public asset.

        Raises:
            UnclearError: it says neither.
        """
        try:
            return await self._public(forge, ref)
        except Unresolvable as unresolvable:
            raise UnclearError(unresolvable.problem) from unresolvable

    async def public_page(self, forge: Forge, ref: AssetRef) -> str | None:
        """Where the web host sends anybody who asks for a page of its own; None when nobody sees it without a session.

        Raises:
            UnclearError: it says neither.
        """
        url = f"https://{forge.web}{urls.download_path(ref)}"
        try:
            status, location = await self._answered(forge.web, url)
        except Unresolvable as unresolvable:
            raise UnclearError(unresolvable.problem) from unresolvable
        page = _joined(url, location) if location and 300 <= status < 400 else ""
        if status == 404 or urlsplit(page).path == "/login":
            return None
        if not page.startswith(f"https://{forge.web}/"):
            raise UnclearError
        return page

    async def is_public(self, host: Host, target: str) -> bool:
        """Whether a host gives anybody what is at that path, or sends them on to it.

        Raises:
            UnclearError: it says neither.
        """
        url = f"https://{host}{target}"
        try:
            status, location = await self._answered(host, url)
        except Unresolvable as unresolvable:
            raise UnclearError(unresolvable.problem) from unresolvable
        if status in (401, 404) or urlsplit(_joined(url, location or "")).path == "/login":
            return False
        if 200 <= status < 400:
            return True
        raise UnclearError

    @_asked_again
    async def _answered(self, host: Host, url: str) -> tuple[int, str | None]:
        """The status and the Location of a page of the web host, or of that for raw files."""
        async with self._open("web", "GET", url, {}, host) as response:
            return response.status_code, response.headers.get("location")

    async def _public(self, forge: Forge, ref: AssetRef) -> SignedUrl | None:
        url = f"https://{forge.web}{urls.download_path(ref)}"
        for _ in range(_MAX_REDIRECTS):
            status, location = await self._answered(forge.web, url)
            if status == 404:
                return None
            if location is None or not 300 <= status < 400:
                raise UnclearError
            try:
                signed = signed_url(location, url, forge)
            except Unresolvable as unknown:
                raise UnclearError from unknown
            if signed is not None:
                return signed
            # `latest` and a renamed repository lead to another page of the web host
            url = _joined(url, location)
            if not url.startswith(f"https://{forge.web}/"):
                raise UnclearError
            if urlsplit(url).path == "/login":
                return None  # a GHES in private mode sends everybody to its sign-in page
        raise UnclearError

    @_asked_again
    async def document(self, url: str, most: int) -> bytes:
        """What anybody may read at a URL, of at most so many bytes; no redirect is followed, and no forge is meant."""
        parts = urlsplit(url)
        host = Host(parts.hostname or "", parts.port or HTTPS_PORT)
        async with asyncio.timeout(CONNECT_SECONDS), self._open("issuer", "GET", url, _JSON, host) as response:
            if response.status_code != 200:
                raise Unresolvable(catalogue.UPSTREAM_FAILED(host=host, status=response.status_code))
            return await _bounded(response.aiter_bytes(), most, host, f"more than {most} bytes")

    async def excerpt(self, signed: SignedUrl, headers: Mapping[str, str], most: int) -> Excerpt:
        """GET a signed URL with these headers, which ask for a part of at most `most` bytes.

        A HEAD would be refused: the signature covers the method (FACTS.md, the HEAD trap).
        """
        return await self._excerpt("asset", signed.url, headers, signed.host, most)

    @_asked_again
    async def _excerpt(
        self,
        purpose: _Purpose,
        url: str,
        headers: Mapping[str, str],
        host: Host,
        most: int,
        forge: Forge | None = None,
    ) -> Excerpt:
        async with self._open(purpose, "GET", url, headers, host, forge=forge) as response:
            if refusals.foreign_asset(host, response.status_code, response.headers):
                start = await anext(response.aiter_raw(64 * 1024), b"")
                problem = refusals.foreign_asset(host, response.status_code, response.headers, start)
                assert problem is not None
                raise Unresolvable(problem)
            # anything but a part may be of any size: it is left where it is
            is_part = response.status_code == 206
            too_much = "more bytes than were asked for"
            content = await _bounded(response.aiter_raw(), most, host, too_much) if is_part else b""
            return Excerpt(response.status_code, response.headers, content)

    # ------------------------------------------------------------------- both

    @asynccontextmanager
    async def _open(
        self,
        purpose: _Purpose,
        method: str,
        url: str,
        headers: Mapping[str, str],
        host: Host,
        content: bytes | None = None,
        forge: Forge | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        is_fresh = False

        async def trace(event: str, _: object) -> None:
            nonlocal is_fresh
            is_fresh |= event == "connection.connect_tcp.started"

        try:
            async with (
                self._lanes[purpose, _place(purpose, url)],
                self._pools[purpose].stream(
                    method, url, headers=headers, content=content, follow_redirects=False, extensions={"trace": trace}
                ) as response,
            ):
                if forge is not None:
                    self._statistics.called(response.headers, str(forge.web), response.status_code)
                yield response
                if not response.is_stream_consumed and _is_short(response):
                    # so that the connection can serve again; as it came, for what it decodes to is not bounded
                    async for _ in response.aiter_raw():
                        pass
        except (httpx2.InvalidURL, httpx2.DecodingError) as error:
            raise Unresolvable(catalogue.MALFORMED_ANSWER(host=host, what=_unreadable(error))) from None
        except httpx2.TimeoutException as error:
            seconds = CONNECT_SECONDS if isinstance(error, httpx2.ConnectTimeout) else TOTAL_SECONDS
            raise Unresolvable(catalogue.TIMED_OUT(host=host, seconds=seconds)) from None
        except httpx2.TransportError as error:
            issuer = await self._issuer(host) if refusals.is_untrusted(error) else None
            raised = _DroppedError if refusals.is_dropped(error, is_fresh=is_fresh) else Unresolvable
            raise raised(refusals.fault(host, error, self._trust, issuer, self._way(host))) from None

    def _way(self, host: Host) -> Host | None:
        """The proxy by which a host is asked; None when it is asked directly."""
        return None if self._direct(host) else self._proxy

    async def _issuer(self, host: Host) -> str | None:
        """Who issued the certificate that a host presents: asked without a request, so that nothing is given away."""
        if self._way(host) is not None:
            return None
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(_ISSUER_SECONDS):
                way = self._guarded_way
                address = host.name if way is None else (await way.dial(host.name, host.port))[0]
                _, writer = await asyncio.open_connection(address, host.port, ssl=unverified, server_hostname=host.name)
        except (OSError, TimeoutError, Unresolvable):
            return None
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        try:
            return x509.load_der_x509_certificate(certificate).issuer.rfc4514_string()
        except (ValueError, TypeError):
            return None


def _is_short(response: httpx2.Response) -> bool:
    """Whether the body is less to read than a new connection costs."""
    length = response.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and int(length) <= 64 * 1024


def _place(purpose: _Purpose, url: str) -> str:
    """What of a URL is one place, of which another may still answer: a repository, or an asset."""
    path = url.partition("?")[0]
    if purpose == "asset":
        return path
    # github.com/O/R, api.github.com/repos/O/R, ghe.example.com/api/v3/repos/O/R: what is below is of the same
    start, _, _ = path.partition("/releases")
    return start


def _unreadable(error: httpx2.InvalidURL | httpx2.DecodingError) -> str:
    return "an encoding that cannot be read" if isinstance(error, httpx2.DecodingError) else "an address that is none"


def _repository(html_url: str) -> Repository | None:
    """The repository whose web page that is; None when it is none's."""
    try:
        return urls.repository(urlsplit(html_url).path)
    except ValueError:
        return None


def _joined(base: str, location: str) -> str:
    """Where a redirect leads; nowhere when it is no URL, which every check refuses."""
    try:
        return urljoin(base, location) if len(location) <= _MAX_LOCATION and _VISIBLE.fullmatch(location) else ""
    except ValueError:
        return ""


async def _reply(response: httpx2.Response, url: str, secret: Secret) -> Reply:
    """The answer, in which the secret that asked does not stand: some servers say what they were sent."""
    host = Host(response.url.host, response.url.port or HTTPS_PORT)
    content = await _bounded(response.aiter_bytes(), _MAX_REPLY, host, f"more than {_MAX_REPLY} bytes")
    # before it is decoded: no member is forgotten
    return Reply(response.status_code, _cleared(response.headers, secret), secret.cleared(content), url)


def _cleared(headers: httpx2.Headers, secret: Secret) -> httpx2.Headers:
    told = "\n".join(headers.values())
    if secret.cleared(told) is told:
        return headers
    return httpx2.Headers([(name, secret.cleared(value)) for name, value in headers.multi_items()])


def expect_clean(url: str, secret: Secret, forge: Forge) -> str:
    """`url`, when it does not hold the secret that asked for it: then it is none to follow or to show.

    Raises:
        Unresolvable: it does.
    """
    if secret.cleared(url) != url or REMOVED in url:
        raise Unresolvable(catalogue.MALFORMED_ANSWER(host=forge.api_host, what="a URL that holds the credential"))
    return url


async def _bounded(chunks: AsyncIterator[bytes], most: int, host: Host, too_much: str) -> bytes:
    """A body of at most `most` bytes, which must fit in memory."""
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > most:
            raise Unresolvable(catalogue.MALFORMED_ANSWER(host=host, what=too_much))
    return bytes(content)


def decode[T](reply: Reply, into: type[T], forge: Forge) -> T:
    """The JSON of an answer in its type.

    Raises:
        Unresolvable: it is something else.
    """
    try:
        return msgspec.json.decode(reply.content, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the place and the types, never the content
        raise Unresolvable(catalogue.MALFORMED_ANSWER(host=forge.api_host, what=str(error))) from None
