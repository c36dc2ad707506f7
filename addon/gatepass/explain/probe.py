"""Asking as a client of a proxy would: through it, with a client's trust and without a credential.

Also what a client gets of an answer, judged: a download, or the reason why not; the same whether the answer came
through a running proxy or was made here. Knows neither rules nor what the addon does: it sees what any client sees.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx2
import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from gatepass.assets.answers import Answer
from gatepass.errors import GatepassError
from gatepass.explain import tunnel
from gatepass.explain.explanation import BlockedError, Step
from gatepass.forge.hosts import HTTPS_PORT, OWN, Host
from gatepass.forge.sources import clone_target
from gatepass.github.client import USER_AGENT, NoCookies
from gatepass.github.refusals import causes
from gatepass.problems.problem import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gatepass.github.client import Hooks

CONNECT_SECONDS: Final = 5.0
STEP_SECONDS: Final = 20.0
"""No single answer is waited for longer."""
FIRST_BYTES: Final = {"Range": "bytes=0-15"}
_MOST: Final = 64 * 1024
_MAX_REDIRECTS: Final = 5
# The names that mitmproxy's CA and `authority.make` give themselves.
_OURS: Final = frozenset({"mitmproxy", "Gatepass"})
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Answer):
    """An answer as a client sees it; `issuer` of the certificate that `host` presented, `content` its first bytes."""

    host: Host
    issuer: str

    @property
    def is_problem(self) -> bool:
        """Whether it is Gatepass that refuses: it says so in the reason phrase, a HEAD's too."""
        return self.reason.startswith("gatepass: ") or self.headers.get("content-type") == CONTENT_TYPE


class _Details(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457), as far as a person reads them."""

    title: str = ""
    detail: str = ""
    hint: str | None = None


def read_proxy(text: str) -> httpx2.Proxy:
    """Read the URL of an HTTP proxy; `http://` may be left out.

    Raises:
        GatepassError: it is something else; its text does not repeat the URL, which may hold a password.
    """
    try:
        proxy = httpx2.Proxy(text if "://" in text else f"http://{text}")
        is_place = re.fullmatch(r"[\w.:-]+", proxy.url.host) and 0 < (proxy.url.port or HTTPS_PORT) < 65536
        if proxy.url.scheme in _SCHEMES and is_place:
            return proxy
    except (ValueError, httpx2.InvalidURL):
        pass
    scheme = text.partition("://")[0] if "://" in text else "something else"
    got = f"one of `{scheme[:16]}`" if scheme.isalnum() else "something else"
    raise GatepassError(f"expected the URL of an HTTP proxy, got {got}", "for example `http://127.0.0.1:8080`")


def shown(proxy: httpx2.Proxy) -> str:
    """The proxy without its user and password."""
    host = f"[{proxy.url.host}]" if ":" in proxy.url.host else proxy.url.host
    return f"{proxy.url.scheme}://{host}{f':{proxy.url.port}' if proxy.url.port else ''}"


class Probe:
    """A client of `proxy`, that trusts `trust`."""

    def __init__(self, proxy: httpx2.Proxy | None, trust: ssl.SSLContext, hooks: Hooks | None = None) -> None:
        """Without a proxy it asks the server itself."""
        self._proxy = proxy
        self._trust = trust
        self._http = httpx2.AsyncClient(
            verify=trust,
            proxy=proxy,
            trust_env=False,
            timeout=httpx2.Timeout(STEP_SECONDS, connect=CONNECT_SECONDS),
            event_hooks=hooks,
            cookies=NoCookies(),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, method: str, url: str, headers: dict[str, str] | None = None) -> Seen:
        """The answer, after redirects where a GET asks for the whole, as clients follow them.

        Raises:
            BlockedError: there is none, at the proxy itself (`proxy`) or at its certificate (`certificate`).
        """
        place = shown(self._proxy) if self._proxy else httpx2.URL(url).netloc.decode()
        try:
            async with asyncio.timeout(STEP_SECONDS):
                return await self._ask(method, url, headers or {})
        except (httpx2.RequestError, TimeoutError) as error:
            for cause in causes(error):
                if isinstance(cause, ssl.SSLCertVerificationError):
                    finding = f"the certificate that {place} presents is not trusted here: {cause.verify_message}"
                    raise BlockedError(Step("certificate", "fail", finding, _TRUST_HINT)) from None
            if self._proxy is None:
                finding = f"no answer from {place}: {_reason(error)}"
                raise BlockedError(
                    Step("server", "fail", finding, "see that it runs, and that its address is right")
                ) from None
            if isinstance(error, httpx2.ProxyError) and (answer := await self._refusal(url)) is not None:
                raise BlockedError(answer) from None
            finding = f"no answer through {place}: {_reason(error)}"
            raise BlockedError(Step("proxy", "fail", finding, _PROXY_HINT)) from None

    async def _refusal(self, url: str) -> Step | None:
        """Why the proxy opens no tunnel, in its own words."""
        assert self._proxy is not None, "it opens tunnels"
        host = Host.parse(httpx2.URL(url).netloc.decode())
        answer = await tunnel.refusal(self._proxy, self._trust, host)
        if answer is None:
            return None
        step = refused("proxy", answer)
        finding = f"{shown(self._proxy)} opens no way to {host}: {step.finding}"
        return Step("proxy", "fail", finding, step.hint or _REFUSED_HINTS.get(answer.status, _PROXY_HINT))

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> Seen:
        for _ in range(_MAX_REDIRECTS):
            sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
            async with self._http.stream(method, url, headers=sent) as response:
                if response.has_redirect_location and not headers:
                    url = str(response.url.join(response.headers["location"]))
                    continue
                content = bytearray()
                most = 16 if response.status_code in (200, 206) else _MOST
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) >= most:
                        break
                return Seen(
                    response.status_code,
                    response.headers,
                    bytes(content[:most]),
                    response.reason_phrase,
                    host=Host(response.url.host, response.url.port or HTTPS_PORT),
                    issuer=_issuer(response),
                )
        raise httpx2.TooManyRedirects("too many redirects")


_PROXY_HINT: Final = "see that the proxy runs, and that its address, user and password are right"
_REFUSED_HINTS: Final = {
    407: "put the user and the password that it asks for into its URL: `http://USER:PASSWORD@HOST:PORT`"
}
_TRUST_HINT: Final = (
    "let SSL_CERT_FILE name a bundle that holds the proxy's CA: `gatepass serve` prints one, `gatepass run` sets it"
)


def reached(proxy: httpx2.Proxy, host: Host, seen: Seen) -> Iterator[Step]:
    """What the first answer tells of the proxy itself."""
    yield Step("proxy", "ok", f"{shown(proxy)} answers")
    if seen.issuer in _OURS:
        yield Step("certificate", "ok", f"it decrypts {host}, with a trusted certificate of `{seen.issuer}`")
    else:
        finding = f"the certificate of {host} is of `{seen.issuer}`: it is not decrypted, or with a CA of one's own"
        yield Step("certificate", "warn", finding, f"see that the proxy is Gatepass, and that a rule names {host}")


async def listens(proxy: httpx2.Proxy) -> bool:
    """Whether anything is there to be asked."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(proxy.url.host, proxy.url.port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def is_ours(proxy: httpx2.Proxy, host: Host) -> bool:
    """Whether it is a Gatepass: it presents a certificate of its own for `host`, trusted here or not."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    async with aclosing(Probe(proxy, unverified)) as probe:
        try:
            return (await probe.ask("HEAD", f"https://{host}/")).issuer in _OURS
        except BlockedError:
            return False


async def through(proxy: httpx2.Proxy, trust: ssl.SSLContext, url: str, hooks: Hooks | None) -> AsyncIterator[Step]:
    """What a client gets through a proxy: HEAD, 16 bytes, and the beginning of a GET; of a repository what git gets."""
    first = Host.parse(httpx2.URL(url).netloc.decode())
    async with aclosing(Probe(proxy, trust, hooks)) as probe:
        try:
            if (asked := clone_target(httpx2.URL(url).path)) is not None:
                seen = await probe.ask("GET", str(httpx2.URL(url).join(asked)))
                for step in reached(proxy, first, seen):
                    yield step
                yield Step("git", "ok", "200: git may fetch") if seen.status == 200 else refused("git", seen)
                return
            if first == OWN:  # a page of an index, which has no parts
                seen = await probe.ask("GET", url)
                for step in reached(proxy, first, seen):
                    yield step
                yield whole(seen.host, first) if seen.status == 200 else refused("get", seen)
                return
            seen = await probe.ask("HEAD", url)
            for step in reached(proxy, first, seen):
                yield step
            yield head(seen)
            seen = await probe.ask("GET", url, FIRST_BYTES)
            yield part(seen)
            seen = await probe.ask("GET", url)
            yield whole(seen.host, first) if seen.status == 200 else refused("get", seen)
        except BlockedError as blocked:
            yield blocked.steps[0]


async def server(url: str, trust: ssl.SSLContext, hooks: Hooks | None) -> AsyncIterator[Step]:
    """Whether an index that is a server of its own is there: it is asked without the password that it may want."""
    async with aclosing(Probe(None, trust, hooks)) as probe:
        try:
            seen = await probe.ask("HEAD", url)
        except BlockedError as blocked:
            yield blocked.steps[0]
            return
    if seen.status == 401:
        yield Step("server", "ok", f"{httpx2.URL(url).netloc.decode()} answers, and asks who you are (401)")
    elif seen.status < 400:
        yield Step("server", "ok", f"{httpx2.URL(url).netloc.decode()} answers, and asks for no password: {said(seen)}")
    else:
        yield Step("server", "fail", f"{httpx2.URL(url).netloc.decode()} answers {said(seen)}")


def head(answer: Answer) -> Step:
    """Its headers must find names whatever their case, here and below."""
    if answer.status != 200:
        return Step("head", "fail", said(answer))
    length = answer.headers.get("content-length")
    return Step("head", "ok", "200" if length is None else f"200, {length} bytes")


def part(answer: Answer) -> Step:
    """The answer for the first 16 bytes."""
    match answer.status:
        case 206 if answer.content:
            return Step("range", "ok", f"206, {len(answer.content)} bytes")
        case 416 if answer.headers.get("content-range", "").endswith("/0"):
            return Step("range", "ok", "416: the asset is empty")
        case 200:
            return whole_for_part()
        case 301 | 302 | 303 | 307 | 308 as status:
            return part_elsewhere(status)
    return refused("range", answer)


def part_elsewhere(status: int) -> Step:
    return Step("range", "warn", f"redirected ({status}): uv does not follow, and loads a wheel twice")


def whole_for_part() -> Step:
    return Step("range", "warn", "the whole is answered: this host knows no ranges, so uv loads a wheel twice")


def whole_of_source() -> Step:
    return Step("range", "ok", "the whole is answered: archives and raw files have no ranges")


def whole(host: Host, asked: Host) -> Step:
    """A GET that ended well, at the host that it was redirected to, if not at the one that was asked."""
    return Step("get", "ok", "200" if host == asked else f"redirected to {host}, which answers 200")


def refused(name: str, answer: Answer) -> Step:
    """An answer that is no download, in the words of its problem details where it has some."""
    if answer.headers.get("content-type") != CONTENT_TYPE:
        return Step(name, "fail", said(answer))
    try:
        details = msgspec.json.decode(answer.content, type=_Details)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Step(name, "fail", said(answer))
    # the hint stands in the detail too, for clients that show nothing else
    detail = details.detail.removesuffix(f"; hint: {details.hint}")
    return Step(name, "fail", f"{answer.status} {details.title}: {detail}", details.hint)


def said(answer: Answer) -> str:
    return f"{answer.status} {answer.reason}".strip()


def _issuer(response: httpx2.Response) -> str:
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("ssl_object") if stream is not None else None
    if connection is None:
        return "nobody"
    # as it came, for what is not verified is told in no other form
    issuer = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).issuer
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        if found := issuer.get_attributes_for_oid(oid):
            return str(found[0].value)
    return "nobody"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return f"nothing came in {CONNECT_SECONDS if isinstance(error, httpx2.ConnectTimeout) else STEP_SECONDS:g} s"
    if isinstance(error, httpx2.ProxyError):
        return f"it refuses: {error}"
    faults = [cause for cause in causes(error) if isinstance(cause, OSError)]
    # asyncio puts the address into `strerror` of a connection that is refused
    texts = [os.strerror(f.errno) if isinstance(f, ConnectionError) and f.errno else f.strerror for f in faults]
    texts = [text for text in texts if text]
    text = texts[-1] if texts else str(error)
    return text.lower() if text and "://" not in text else type(error).__name__
