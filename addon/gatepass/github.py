"""The one client of a forge's API and of its asset hosts.

Does all network I/O of the addon, and keeps the one law about it: a secret is put on a request to its forge's API
origin and on no other, redirects included. Knows nothing of flows, rules or caches.

Sources: GitHub's REST documentation (releases, release assets, best practices, rate limits); FACTS.md for the rest.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urljoin, urlsplit

import httpx2
import msgspec

from . import problems
from .forges import Host
from .problems import Unresolvable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from .credentials import Secret
    from .forges import Forge
    from .urls import AssetRef, Repository

USER_AGENT: Final = "gatepass (+https://github.com/astral-sh/uv/issues/15731)"
API_VERSION: Final = "2022-11-28"
OCTET_STREAM: Final = "application/octet-stream"

CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 20.0
"""All that one client request may cause must be over by then: uv gives up after 30 s (FACTS.md)."""

_MAX_REDIRECTS: Final = 3
_MAX_REPLY: Final = 32 * 1024 * 1024
_MAX_ASSET_PAGES: Final = 50
_PER_PAGE: Final = 100


class Asset(msgspec.Struct, frozen=True):
    """A release asset as the API tells it; `size` in bytes."""

    id: int
    name: str
    size: int
    state: str = "uploaded"
    content_type: str = OCTET_STREAM


class _Release(msgspec.Struct, frozen=True):
    id: int
    tag_name: str
    assets: tuple[Asset, ...] = ()


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """An asset and the API URL that it is fetched from, on the forge's API origin."""

    asset: Asset
    api_url: str


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that needs no credential for a few minutes: itself a short-lived secret."""

    url: str

    @property
    def host(self) -> Host:
        parts = urlsplit(self.url)
        return Host(parts.hostname or "", parts.port or 443)

    @property
    def target(self) -> str:
        """Path and query, as they stand in the URL: the signature covers every byte."""
        path = urlsplit(self.url)
        return f"{path.path or '/'}?{path.query}" if path.query else path.path or "/"

    def __repr__(self) -> str:
        return f"<SignedUrl on {self.host}>"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of the API, small enough to hold; `url` is where it came from in the end."""

    status: int
    headers: httpx2.Headers
    content: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What the first byte of an asset tells: status and headers of a GET of `bytes=0-0`."""

    status: int
    headers: httpx2.Headers


def signed_url(location: str, base: str, forge: Forge) -> SignedUrl | None:
    """The signed URL that a redirect from the asset endpoint names; None when it is not one.

    One leads away from the API and the web host, over https, and carries no user information.
    """
    url = _join(base, location)
    try:
        parts = urlsplit(url)
        host = Host.parse(parts.netloc)  # user information is none, and a name that cannot be would hang mitmproxy
    except ValueError:
        return None
    if parts.scheme != "https" or host in (forge.api_host, forge.web):
        return None
    return SignedUrl(url)


def describe_refusal(
    forge: Forge, source: str, status: int, headers: Mapping[str, str], content: bytes
) -> Unresolvable:
    """The problem behind an API answer that is no success and no 404."""
    if status == 401:
        return Unresolvable(problems.bad_credential(forge, source))
    retry_after = _retry_after(headers)
    if status == 429 or (status == 403 and retry_after is not None):
        return Unresolvable(problems.rate_limited(forge, source, 60 if retry_after is None else retry_after))
    if status == 403:
        return Unresolvable(problems.forbidden(forge, source, _message(content)))
    return Unresolvable(problems.upstream_failed(forge.api_host, status))


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Seconds until the API answers again, when it says that it does not now (REST docs, rate limits)."""
    after = headers.get("retry-after", "")
    if after.isascii() and after.isdigit():
        return int(after)
    if headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        return max(1, int(reset) - int(time.time())) if reset.isascii() and reset.isdigit() else 60
    return None


def _message(content: bytes) -> str:
    """GitHub's own words in an error answer, for people: one printable line, cut short."""
    try:
        message = msgspec.json.decode(content, type=_Message).message
    except msgspec.DecodeError:
        message = ""
    return "".join(c if c.isprintable() else " " for c in message)[:200] or "it gives no reason"


class GitHub:
    """A pooled client for API and asset hosts.

    Every method may raise `Unresolvable`, whose problem is meant for the client, and `asyncio.TimeoutError` never:
    the caller sets the deadline for the whole, the client one for each connection.
    """

    def __init__(self, trust: ssl.SSLContext, proxy: httpx2.Proxy | None = None) -> None:
        """`trust` verifies API and asset hosts; `proxy` is the upstream proxy. The environment is not asked."""
        self._http = httpx2.AsyncClient(
            verify=trust,
            proxy=proxy,
            http2=True,
            trust_env=False,
            timeout=httpx2.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=60),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def locate(self, forge: Forge, ref: AssetRef, secret: Secret) -> Located:
        """Find the asset's id: by the release's embedded list, then page by page."""
        which = "latest" if ref.tag is None else f"tags/{quote(ref.tag, safe='')}"
        reply = await self._api(forge, f"{_repo_url(forge, ref.repository)}/releases/{which}", secret)
        if reply.status == 404:
            raise Unresolvable(problems.release_not_found(ref, secret.source))
        self._expect_ok(forge, secret, reply)
        release = _decode(reply, _Release, forge)
        # a renamed repository answers from `/repositories/ID`: what follows goes there at once
        releases = reply.url.partition("/releases/")[0] + "/releases"
        asset = _named(release.assets, ref.name) or await self._page(forge, releases, release.id, ref.name, secret)
        if asset is None:
            raise Unresolvable(problems.asset_not_found(ref, release.tag_name))
        if asset.state != "uploaded":
            raise Unresolvable(problems.asset_not_uploaded(ref, asset.state))
        return Located(asset, f"{releases}/assets/{asset.id}")

    async def _page(self, forge: Forge, releases: str, release_id: int, name: str, secret: Secret) -> Asset | None:
        """The embedded list is capped at an undocumented number (FACTS.md): ask for the whole one."""
        for page in range(1, _MAX_ASSET_PAGES + 1):
            url = f"{releases}/{release_id}/assets?per_page={_PER_PAGE}&page={page}"
            reply = await self._api(forge, url, secret)
            self._expect_ok(forge, secret, reply)
            assets = _decode(reply, tuple[Asset, ...], forge)
            if found := _named(assets, name):
                return found
            if len(assets) < _PER_PAGE:
                return None
        return None

    async def sign(self, forge: Forge, api_url: str, secret: Secret) -> SignedUrl | None:
        """Ask the asset endpoint for a signed URL; None when it streams the bytes itself, as some GHES do.

        The body of a streamed answer is not read.
        """
        headers = self._api_headers(forge, api_url, secret) | {"Accept": OCTET_STREAM}
        for _ in range(_MAX_REDIRECTS):
            async with self._get(api_url, headers, forge.api_host) as response:
                if response.status_code in (200, 206):
                    return None
                if not response.has_redirect_location:
                    raise describe_refusal(
                        forge, secret.source, response.status_code, response.headers, await _bounded(response)
                    )
                location = response.headers["location"]
            if signed := signed_url(location, api_url, forge):
                return signed
            api_url = self._same_origin(forge, _join(api_url, location))
        raise Unresolvable(problems.malformed(forge.api_host, "too many redirects"))

    async def probe_signed(self, signed: SignedUrl, headers: Mapping[str, str]) -> Probe:
        """GET the first byte of a signed URL, with these headers and no credential.

        A HEAD would be refused: the signature covers the method (FACTS.md, the HEAD trap).
        """
        return await self._probe(signed.url, dict(headers), signed.host)

    async def probe_api(self, forge: Forge, api_url: str, secret: Secret, headers: Mapping[str, str]) -> Probe:
        """The same of an asset endpoint that streams."""
        authorised = self._api_headers(forge, api_url, secret) | {"Accept": OCTET_STREAM}
        return await self._probe(api_url, {**headers, **authorised}, forge.api_host)

    async def _probe(self, url: str, headers: dict[str, str], host: Host) -> Probe:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"} | headers | {"Range": "bytes=0-0"}
        async with self._get(url, headers, host) as response:
            if response.status_code == 206:
                await _bounded(response)  # one byte: read, so that the connection can serve again
            return Probe(response.status_code, response.headers)

    async def _api(self, forge: Forge, url: str, secret: Secret) -> Reply:
        headers = self._api_headers(forge, url, secret) | {"Accept": "application/vnd.github+json"}
        for _ in range(_MAX_REDIRECTS):
            async with self._get(url, headers, forge.api_host) as response:
                if not response.has_redirect_location:
                    return Reply(response.status_code, response.headers, await _bounded(response), url)
                location = response.headers["location"]
            url = self._same_origin(forge, _join(url, location))
        raise Unresolvable(problems.malformed(forge.api_host, "too many redirects"))

    def _api_headers(self, forge: Forge, url: str, secret: Secret) -> dict[str, str]:
        """The headers of an authorised call. The secret is opened here, for its forge's API origin alone."""
        self._same_origin(forge, url)
        return {
            "User-Agent": USER_AGENT,
            "Authorization": f"Bearer {secret.reveal()}",
            "X-GitHub-Api-Version": API_VERSION,
        }

    @staticmethod
    def _same_origin(forge: Forge, url: str) -> str:
        """`url`, when it is on the forge's API origin: a redirect may not carry a credential elsewhere."""
        if not url.startswith(f"{forge.api}/"):
            raise Unresolvable(problems.malformed(forge.api_host, "a redirect leads away from the API"))
        return url

    @staticmethod
    def _expect_ok(forge: Forge, secret: Secret, reply: Reply) -> None:
        if reply.status != 200:
            raise describe_refusal(forge, secret.source, reply.status, reply.headers, reply.content)

    @asynccontextmanager
    async def _get(self, url: str, headers: dict[str, str], host: Host) -> AsyncIterator[httpx2.Response]:
        try:
            async with self._http.stream("GET", url, headers=headers, follow_redirects=False) as response:
                yield response
        except httpx2.TimeoutException as error:
            seconds = CONNECT_SECONDS if isinstance(error, httpx2.ConnectTimeout) else TOTAL_SECONDS
            raise Unresolvable(problems.timed_out(host, seconds)) from None
        except httpx2.TransportError as error:
            raise Unresolvable(problems.unreachable(host, _cause(error))) from None


def _join(base: str, location: str) -> str:
    """Where a redirect leads; the empty string when it is no URL, which every check refuses."""
    try:
        return urljoin(base, location)
    except ValueError:
        return ""


def _cause(error: httpx2.TransportError) -> str:
    """The reason in the words of the deepest layer, without any URL: httpx2 keeps them in the chain of causes."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        if isinstance(deeper, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {deeper.verify_message}"
        if isinstance(deeper, asyncio.CancelledError | KeyError):
            break
        cause = deeper
    text = str(error) or str(cause) or type(error).__name__
    return text if "://" not in text else type(error).__name__


async def _bounded(response: httpx2.Response) -> bytes:
    """The body of an API answer, which must fit in memory."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_REPLY:
            host = Host(response.url.host, response.url.port or 443)
            raise Unresolvable(problems.malformed(host, f"more than {_MAX_REPLY} bytes"))
    return bytes(content)


def _decode[T](reply: Reply, into: type[T], forge: Forge) -> T:
    try:
        return msgspec.json.decode(reply.content, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec names the place and the types, never the content
        raise Unresolvable(problems.malformed(forge.api_host, str(error))) from None


def _named(assets: tuple[Asset, ...], name: str) -> Asset | None:
    return next((asset for asset in assets if asset.name == name), None)


def _repo_url(forge: Forge, repository: Repository) -> str:
    return f"{forge.api}/repos/{repository}"
