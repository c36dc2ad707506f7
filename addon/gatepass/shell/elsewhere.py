"""A proxy that runs on another machine: its URL, and the CA that it shows on http://gatepass.internal/.

Asks the proxy and nobody else; does not know whom its user trusts.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from gatepass.errors import GatepassError, printable, why

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

HOST: Final = "gatepass.internal"
"""The proxy's own name, which never leaves it."""

_PORTS: Final = {"http": 80, "https": 443}
_NO_NAME: Final = re.compile(r"[^\w.:%-]", re.ASCII)
_SECONDS: Final = 10.0
_MOST: Final = 64 * 1024
"""Bytes of a certificate."""


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """Where a proxy is, and who uses it; it holds no password."""

    scheme: str
    host: str
    port: int
    user: str | None = None

    @classmethod
    def parse(cls, text: str, where: str) -> ProxyUrl:
        """Read `http://[USER@]HOST[:PORT]`, or https, where TLS leads to the proxy itself.

        Raises:
            GatepassError: it is none, or holds a password.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or _NO_NAME.search(host) or parts.scheme not in _PORTS or parts.path.strip("/") or parts.query:
            shown = re.sub(r"^([A-Za-z0-9+.-]+://)?.*@", r"\1", text, flags=re.DOTALL)  # it may be a password
            raise GatepassError(
                f"{where}: expected the URL of a proxy, got `{printable(shown)}`",
                "for example http://proxy.example.com:3128",
            )
        if parts.password is not None:
            raise GatepassError(
                f"{where}: expected a URL without a password, which others could read there, got one with it",
                "leave it out",
            )
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], unquote(parts.username or "") or None)

    def __str__(self) -> str:
        return self.url()

    def url(self, password: str | None = None) -> str:
        """As clients are told it: without a password without a user, too."""
        login = "" if password is None else f"{quote(self.user or '', safe='')}:{quote(password, safe='')}@"
        return f"{self.scheme}://{login}{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def folder(self) -> str:
        """The name of a folder for it, among the user's settings."""
        return re.sub(r"[^a-z0-9.-]+", "-", f"{self.host}-{self.port}").lstrip("-.")

    def known_password(self, environ: Mapping[str, str]) -> str | None:
        """What the shell's own variables have as the user's password for this proxy."""
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            try:
                parts = urlsplit(environ.get(name, ""))
                there = ProxyUrl(
                    parts.scheme,
                    parts.hostname or "",
                    parts.port or _PORTS.get(parts.scheme, 0),
                    unquote(parts.username or "") or None,
                )
            except ValueError:
                continue
            if there == self and parts.password is not None:
                return unquote(parts.password)
        return None


def fetch_ca(proxy: ProxyUrl, trust: ssl.SSLContext) -> bytes:
    """What the proxy gives as its CA: for whoever compares its fingerprint. `trust` is for TLS to the proxy itself.

    Raises:
        GatepassError: it gives none.
    """
    url = f"http://{HOST}/ca.pem"
    connection = (
        http.client.HTTPSConnection(proxy.host, proxy.port, timeout=_SECONDS, context=trust)
        if proxy.scheme == "https"
        else http.client.HTTPConnection(proxy.host, proxy.port, timeout=_SECONDS)
    )
    try:
        # no password: the page asks for none, and it would go there in clear
        connection.request("GET", url, headers={"Host": HOST, "Accept": "*/*"})
        answer = connection.getresponse()
        content = answer.read(_MOST + 1)
    except (OSError, http.client.HTTPException) as error:
        said = why(error) if isinstance(error, OSError) else str(error)
        raise GatepassError(
            f"--proxy: expected a proxy at {proxy}, got `{printable(said or type(error).__name__)}`",
            "check the URL, and that this machine reaches it",
        ) from None
    finally:
        connection.close()
    if answer.status != 200 or len(content) > _MOST:
        raise GatepassError(
            f"--proxy: expected the proxy's CA at {url}, got {answer.status} {printable(answer.reason)}",
            "that may be another proxy than Gatepass, or an older one",
        )
    return content
