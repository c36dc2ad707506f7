"""Requests that no honest client sends, made of a seed: the same seed and number always make the same case.

Pure: from numbers to bytes. Knows what the rules of `hostile` name, and no more of the proxy.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KNOWN: Final = (
    "github.com",
    "api.github.com",
    "raw.githubusercontent.com",
    "codeload.github.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
    "artifacts.test",
    "gatepass.internal",
)
"""Names that mean something to the proxy."""
EVIL: Final = (
    "evil.test",
    "github.com.evil.test",
    "api.github.com.evil.test",
    "notgithub.com",
    "github.community.test",
    "api-github.com",
    "githubusercontent.com.evil.test",
    "artifacts.test.evil.test",
    "sub.artifacts.test",
)
"""Names that look like those, and are somebody else's."""
STRANGERS: Final = (*EVIL, "evil.githubusercontent.com", "evil.github.com", "*.evil.test")
"""All names that the stranger has a certificate for: subdomains of the forge too, as if they had been taken over."""

_DOWNLOAD: Final = "/acme/tool/releases/download/v1.0/data.bin"
_PATHS: Final = (
    _DOWNLOAD,
    "/acme/tool/releases/download/v1.0/small.bin",
    "/acme/tool/releases/download/v1.0/absent.bin",
    "/acme/tool/releases/download/release%2F2.0%2Bbuild/data.bin",
    "/acme/tool/releases/latest/download/data.bin",
    "/acme/tool/releases/latest",
    "/acme/tool/releases/expanded_assets/v1.0",
    "/acme/tool/releases/tag/v1.0",
    "/acme/absent/releases/download/v1.0/data.bin",
    "/acme/open/releases/download/v1.0/data.bin",
    "/acme/tool/archive/refs/tags/v1.0.tar.gz",
    "/acme/tool/tarball/v1.0",
    "/acme/tool/zipball/main",
    "/acme/tool/raw/main/README.md",
    "/acme/tool/main/README.md",
    "/acme/tool/refs/heads/main/README.md",
    "/acme/tool.git/info/refs?service=git-upload-pack",
    "/acme/tool/info/refs?service=git-receive-pack",
    "/acme/tool.git/git-upload-pack",
    "/acme/tool.git/info/lfs/objects/batch",
    "/repos/acme/tool/releases/tags/v1.0",
    "/repos/acme/tool/releases/assets/1001",
    "/user",
    "/api/v3/user",
    "/private/thing",
    "/privately/thing",
    "/github.com/acme/tool/simple/",
    "/github.com/acme/tool/simple/acme-tool/",
    "/acme/simple/",
    "/acme/simple/acme-tool/",
    "/ca.pem",
    "/env?shell=bash",
    "/",
)
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "CONNECT")
_RANGES: Final = (
    "bytes=0-0", "bytes=-1", "bytes=-16384", "bytes=0-", "bytes=5-2", "bytes=99999999999999999999-", "bytes=0-0,2-3",
    "bytes=" + ",".join(f"{at}-{at}" for at in range(200)), "bytes=\xff-", "lines=1-2", "bytes", "bytes=--1",
    "bytes= 0-1",
)  # fmt: skip
_VALUES: Final = (
    "", "x", "{credential}", "[removed]", "%s%s%n", "\xff\xfe", "a" * 5000, "\t", "a\x0bb", "a\x00b", "1\rX: y", "null",
    "-1", "99999999999999999999", "Bearer {credential}", "\xe2\x82\xac", "\x7f", "a, b;c=d", '"',
)  # fmt: skip
_NAMES: Final = (
    "Authorization", "authorization", "AUTHORIZATION", "Authorization ", "Proxy-Authorization", "X-Forwarded-For",
    "X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Cookie", "Accept",
    "Accept-Encoding", "If-None-Match", "If-Modified-Since", "If-Range", "Range", "TE", "Trailer", "Expect", "Via",
    "Max-Forwards", "Private-Token", "PRIVATE-TOKEN", "Private_Token", "Content-Type", "Cache-Control", "Referer",
    "Origin", "X-GitHub-Api-Version", "Connection", "Keep-Alive", "Upgrade", "HTTP2-Settings", "Host",
    "Transfer-Encoding", "Content-Length", "Sec-WebSocket-Key", "Prefer", "X-Gatepass", "Date", "From",
)  # fmt: skip
_FRAMING: Final = ("transfer-encoding", "content-length", "connection", "upgrade", "host", "expect")
_CREDENTIALS: Final = ("eDp5", "Og==", "eA==", "eDp5OnoK", "!!!", "\xff", "Y2k6eA==", "")
_ADDRESSES: Final = (
    "127.0.0.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.6.6.6]", "2130706433", "0x7f000001", "127.6.6.6",
    "169.254.169.254", "10.0.0.1", "[fe80::1%25eth0]", "localhost", "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One connection to the proxy: what is sent first, then in TLS if that is so, all at once."""

    number: int
    opening: bytes
    """A CONNECT, or nothing."""
    sni: str | None
    """The name that the client says in TLS, once the CONNECT was granted; None for no TLS."""
    requests: tuple[bytes, ...]

    def only(self, kept: Sequence[bytes]) -> Case:
        """The same with these requests."""
        return replace(self, requests=tuple(kept))

    def shown(self) -> str:
        """For a report: each part as Python writes it, of bounded length."""
        parts = [repr(part if len(part) < 600 else part[:600] + b"...") for part in (self.opening, *self.requests)]
        return f"case {self.number}, TLS for {self.sni!r}: {'; '.join(parts)}"


def make(seed: int, number: int, credentials: str) -> Case:
    """`credentials` is USER:PASSWORD, which most cases tell the proxy."""
    chance = Random(f"{seed}:{number}")  # noqa: S311 — no secret is made of it
    return _Maker(chance, base64.b64encode(credentials.encode()).decode()).case(number)


class _Maker:
    def __init__(self, chance: Random, known: str) -> None:
        self._chance = chance
        self._known = known

    def _may(self, share: float) -> bool:
        return self._chance.random() < share

    def _one[T](self, of: Sequence[T]) -> T:
        return self._chance.choice(of)

    def case(self, number: int) -> Case:
        many = self._one((1, 4, 8, 16, 24))
        if self._may(0.2):  # plain requests to the proxy
            requests = [self._request(self._host(), plain=True) for _ in range(many)]
            return Case(number, b"", None, self._ended(requests, "evil.test", plain=True))
        target = self._host()
        # mostly names that are decrypted: elsewhere there is only a tunnel
        if self._may(0.7):
            target = self._one(
                ("github.com", "github.com", "github.com", "raw.githubusercontent.com", "artifacts.test")
            )
        opening = self._connect(target, self._one((*["443"] * 40, "80", "0443", "8080", "22", "0", "65536", "x", "")))
        sni: str | None = target
        if self._may(0.15):
            sni = self._one((*KNOWN, *EVIL, "", "a" * 300, "127.0.0.1"))
        if self._may(0.04):
            sni = None  # what follows is in clear
        named = target if self._may(0.85) else self._host()
        requests = [self._request(named, plain=False) for _ in range(many)]
        return Case(number, opening, sni, self._ended(requests, named, plain=False))

    def _ended(self, requests: list[bytes], host: str, *, plain: bool) -> tuple[bytes, ...]:
        """Perhaps with something that breaks the framing; then with what has the connection closed."""
        if self._may(0.25):
            requests.append(self._broken(host, plain=plain))
        target = f"http://{host}/end" if plain else "/end"
        known = f"Proxy-Authorization: Basic {self._known}\r\n" if plain else ""
        return (*requests, _bytes(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{known}Connection: close\r\n\r\n"))

    # -------------------------------------------------------------- parts

    def _connect(self, host: str, port: str) -> bytes:
        target = f"{host}:{port}" if port else host
        fields = [f"Host: {target if self._may(0.9) else self._host()}"]
        if self._may(0.97):
            fields.append(f"Proxy-Authorization: Basic {self._known}")
        elif self._may(0.5):
            scheme = self._one(("Basic", "Bearer", "Digest", ""))
            fields.append(f"Proxy-Authorization: {scheme} {self._one(_CREDENTIALS)}")
        if self._may(0.1):
            fields.append(self._field())
        return _bytes("\r\n".join([f"CONNECT {target} HTTP/1.{self._one('1110')}", *fields]) + "\r\n\r\n")

    def _host(self) -> str:
        known, evil = self._one(KNOWN), self._one(EVIL)
        if self._may(0.3):
            return self._one((known, evil))
        spell: Sequence[Callable[[], str]] = (
            known.upper,
            known.title,
            lambda: f"{known}.",
            lambda: f"{known}..",
            lambda: f".{known}",
            lambda: f"{known}@{evil}",
            lambda: f"{evil}@{known}",
            lambda: f"{known}:443@{evil}",
            lambda: f"{known}#@{evil}",
            lambda: f"{known}\\@{evil}",
            lambda: f"{known}%2e{evil}",
            lambda: f"{known}%00.{evil}",
            lambda: f"{known}\x00.{evil}",
            lambda: known.replace(".", "%2e"),
            lambda: known.replace(".", "\u3002").encode().decode("latin-1"),
            lambda: known.replace("g", "\uff47").encode().decode("latin-1"),
            lambda: f"xn--{known}",
            lambda: f"{known},{evil}",
            lambda: f"{known} {evil}",
            lambda: f"{known}\t",
            lambda: f"[{known}]",
            lambda: f"{'a' * 70}.{known}",
            lambda: f"{'a.' * 150}{known}",
            lambda: self._one(_ADDRESSES),
            lambda: self._one(_ADDRESSES),
            lambda: f"{self._chance.getrandbits(32):08x}.evil.test",
        )
        return self._one(spell)()

    def _path(self) -> str:
        path = self._one(_PATHS) if self._may(0.7) else _DOWNLOAD
        if self._may(0.45):
            return path
        if self._may(0.02):  # no path, which ends a connection
            return self._one((path.replace("/", "%2f", 2), path.replace("/", "\\"), "", "*", "*%25", "*#x"))
        at = self._chance.randrange(1, len(path) + 1)
        odd = ("%00", "%0d%0a", "%zz", "%", "%ff", "\x7f", "\xff", "%25", "%2500", "..")
        queries = ("", "a=b", "X-Amz-Signature=0", "sig=%zz", "token={credential}", "?" * 50)
        bend: Sequence[Callable[[], str]] = (
            lambda: f"/{path}",
            lambda: path.replace("/", "//"),
            lambda: path.replace("/", "/./"),
            lambda: f"/x/..{path}",
            lambda: f"/%2e%2e{path}",
            lambda: f"/{path[1:].replace('/', '%2f', 2)}",
            lambda: f"/{path[1:].replace('/', chr(92))}",
            path.upper,
            lambda: f"{path}/",
            lambda: f"{path}?{self._one(queries)}",
            lambda: f"{path}#x",
            lambda: f"{path};x=y",
            lambda: path[:at] + self._one(odd) + path[at:],
            lambda: path[:at],
            lambda: path + "/a" * self._one((10, 1000)),
            lambda: "/" + "%2e%2e/" * 20 + path,
            lambda: "/" + "".join(f"%{ord(each):02x}" for each in path[1:]),
            lambda: path.replace("tool", f"t{self._chance.randrange(50)}"),
            lambda: path.replace("v1.0", f"v{self._chance.randrange(50)}"),
            lambda: path.replace("acme", "evil"),
        )
        return self._one(bend)()

    def _field(self) -> str:
        name = self._one(_NAMES)
        match name.strip().lower():
            case "authorization" | "proxy-authorization":
                value = f"{self._one(('Basic', 'Bearer', 'token', ''))} {self._one((*_CREDENTIALS, *_VALUES))}"
            case "range":
                value = self._one(_RANGES)
            case "host":
                value = self._host()
            case "connection":
                value = self._one(("authorization", "host", "close, authorization", "upgrade", "private-token, x"))
            case "upgrade":
                value = self._one(("h2c", "websocket", "TLS/1.0", "HTTP/2.0"))
            case "transfer-encoding":
                value = self._one(("identity", "gzip", "chunked, identity", "chunked;x=y", "xchunked"))
            case "content-length":
                value = self._one(("0", "00", "+0", "0, 0", "-1", "0x0", "99999999999999999999"))
            case "accept-encoding":
                value = self._one(("gzip", "br", "identity;q=0", "*;q=0", "zstd, gzip, br"))
            case _:
                value = self._one(_VALUES)
        return f"{name}: {value}{self._one(_VALUES) if self._may(0.15) else ''}"

    def _request(self, host: str, *, plain: bool) -> bytes:
        method = "GET" if self._may(0.6) else self._one(_METHODS)
        target = self._path()
        if plain or self._may(0.03):
            scheme = self._one((*["http"] * 20, "https", "HTTP", "ftp", "ws"))
            target = f"{scheme}://{host}{target}"
        fields = [f"Host: {host if self._may(0.9) else self._host()}"]
        if plain:
            fields.append(f"Proxy-Authorization: Basic {self._known}")
        if method in ("POST", "PUT", "PATCH"):
            fields.append("Content-Length: 0")
        if self._may(0.2):
            fields.append(f"Range: {self._one(_RANGES)}")
        fields += [self._sound() for _ in range(self._one((0, 0, 1, 1, 2, 5)))]
        self._chance.shuffle(fields)
        return _bytes("\r\n".join([f"{method} {target} HTTP/1.1", *fields]) + "\r\n\r\n")

    def _sound(self) -> str:
        """A field that leaves the framing alone, mostly."""
        while True:
            field = self._field()
            name = field.partition(":")[0]
            disturbs = name.lower() in _FRAMING or name.endswith(" ") or "\r" in field or "\x00" in field
            if not disturbs or self._may(0.02):
                return field

    def _broken(self, host: str, *, plain: bool) -> bytes:
        """What parsers read in different ways."""
        start = f"GET {f'http://{host}' if plain else ''}{_DOWNLOAD} HTTP/1.1\r\nHost: {host}\r\n"
        inner = f"GET /private/thing HTTP/1.1\r\nHost: {self._one(KNOWN)}\r\n\r\n"
        junk = self._chance.randbytes(self._one((1, 20, 300)))
        version = self._one(("HTTP/0.9", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "http/1.1", ""))
        texts = (
            f"{start}Transfer-Encoding: chunked\r\nContent-Length: {len(inner)}\r\n\r\n0\r\n\r\n{inner}",
            f"{start}Content-Length: {len(inner)}\r\n\r\n{inner}",
            f"{start}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
            f"{start}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
            f"{start}Transfer-Encoding: chunked\r\n\r\n1;{'a' * 9000}\r\nx\r\n0\r\n\r\n",
            f"{start} folded: yes\r\n\r\n",
            f"{start}X: a\r\n b\r\n\r\n",
            f"{start}X\r\n\r\n",
            f"{start}: x\r\n\r\n",
            f"{start}{'X: y' * 20_000}\r\n\r\n",
            f"{start}\n\n",
            f"{start}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
            f"{start.replace('GET ', 'GET  ', 1)}\r\n",
            f"{start.replace('HTTP/1.1', version, 1)}\r\n",
        )
        return self._one((
            *map(_bytes, texts),
            _bytes(f"{start}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n") + junk,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + junk,
            _bytes(start) + junk + b"\r\n\r\n",
            junk,
        ))  # fmt: skip


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")
