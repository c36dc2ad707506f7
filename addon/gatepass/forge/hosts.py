"""Forges and hosts: where a forge's web pages and its API live.

Knows names only: nothing here looks at a rule, a credential or the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

HTTPS_PORT: Final = 443

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
# one label before the domain; `auth.ghe.com` signs people in, and belongs to no tenant
_TENANT: Final = re.compile(rf"(?!(?:api|auth)\.){_LABEL}\.ghe\.com", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A TLS server: its DNS name in lower case, without a trailing dot, and its port.

    In rules a name may begin with `*.`, and then stands for all below it.
    """

    name: str
    port: int = HTTPS_PORT

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for several."""
        return self.name.startswith("*.")

    def covers(self, other: Host) -> bool:
        """Whether it is the other, or stands for it."""
        is_below = self.is_pattern and other.name.endswith(self.name[1:])
        return self.port == other.port and (is_below or self.name == other.name)

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read `name` or `name:port`.

        Raises:
            ValueError: it is neither; the message says what was expected.
        """
        name, colon, port = text.partition(":")
        name = name.lower()
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise ValueError("expected a host name, such as `github.com` or `ghe.example.com:8443`")
        if not colon:
            return cls(name)
        if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
            raise ValueError("expected a port from 1 to 65535 after the colon")
        return cls(name, int(port))

    @property
    def is_address(self) -> bool:
        """Whether it is no name but an IPv4 address, in any of the spellings that resolvers read, as `2130706433`."""
        # no top-level domain is a number, and whatever ends in one is read as an address (WHATWG, URL, 3.5)
        return _NUMBER.fullmatch(self.name.rpartition(".")[2]) is not None

    def __str__(self) -> str:
        return self.name if self.port == HTTPS_PORT else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Forge:
    """A GitHub: the host of its web pages, and the base URL of its API (https, no trailing slash).

    `assets` are the hosts that its signed URLs lead to, as far as they are known; no credential is sent there. `raw` is
    the one for single files, where they have a host of their own.
    """

    web: Host
    api: str
    assets: tuple[Host, ...] = ()
    raw: Host | None = None

    @property
    def api_host(self) -> Host:
        """The one host that this forge's credentials are sent to."""
        parts = urlsplit(self.api)
        return Host.parse(parts.netloc)

    @property
    def uploads(self) -> tuple[Host, str]:
        """Where files are sent to for releases: a host, and the path before the API's own (REST docs, releases)."""
        if self.web == GITHUB.web:
            return Host("uploads.github.com"), ""
        if self.is_cloud:
            return Host(f"uploads.{self.web.name}"), ""
        return self.web, "/api/uploads"

    @property
    def api_prefix(self) -> str:
        """The path before each of the API's: none at github.com."""
        return urlsplit(self.api).path

    @property
    def graphql_path(self) -> str:
        """Where GraphQL is, at the API's host (GraphQL docs, endpoint)."""
        return f"{self.api_prefix.removesuffix('/v3')}/graphql"

    @property
    def is_cloud(self) -> bool:
        """Whether it is github.com or a tenant of ghe.com, and no GitHub Enterprise Server."""
        return known(self.web) is not None

    def may_archive(self, host: Host, path: str) -> bool:
        """Whether archives may be at that path of a host, where the API sends to: codeload, by whatever address."""
        if host.name.startswith("codeload.") and host.port == self.web.port:
            return host.name.endswith(f".{self.web.name}") or (self.is_cloud and self.may_serve(host))
        return host == self.web and path.startswith("/_codeload/")

    def may_serve(self, host: Host) -> bool:
        """Whether assets may be at that host: one that is known, where any is; else any that has a name."""
        if host in self.assets:
            return True
        if self.is_cloud:
            below = (f".{self.web.name}", ".githubusercontent.com")
            return host.port == HTTPS_PORT and host.name.endswith(below)
        return not self.assets and not host.is_address


OWN: Final = Host("gatepass.internal")
"""The proxy itself, which has package indexes there: a name that never leaves it, and that no forge has."""

GITHUB: Final = Forge(
    Host("github.com"),
    "https://api.github.com",
    # with credentials, and without (FACTS.md)
    (Host("objects.githubusercontent.com"), Host("release-assets.githubusercontent.com")),
    Host("raw.githubusercontent.com"),
)


def known(web: Host) -> Forge | None:
    """The forge of that web host, when its name alone tells that it is one: github.com, or a tenant of ghe.com.

    A tenant's API is at `api.SUBDOMAIN.ghe.com` (gh, `internal/ghinstance`). Of its other hosts GitHub's documentation
    ("Network details for GHE.com") says that they are below its own name, or github.com's; not which serve assets.
    """
    if web == GITHUB.web:
        return GITHUB
    if web.port != HTTPS_PORT or not _TENANT.fullmatch(web.name):
        return None
    assets = tuple(Host(f"{asset.name.partition('.')[0]}.{web.name}") for asset in GITHUB.assets)
    return Forge(web, f"https://api.{web.name}", (*assets, *GITHUB.assets))


def web_of_api(api: Host) -> Host:
    """The web host of the forge whose API would be there: its own, or that of github.com or of a tenant of ghe.com."""
    name = api.name.removeprefix("api.")
    return Host(name, api.port) if known(Host(name, api.port)) is not None else api


def is_githubs_own(host: Host) -> bool:
    """Whether the name is one of GitHub's: gh takes what is below github.com for github.com, whose token it gives."""
    return host.name in ("github.com", "ghe.com") or host.name.endswith((".github.com", ".ghe.com"))


def enterprise_server(web: Host) -> Forge:
    """A GitHub Enterprise Server at that host, with its API where GitHub puts it (REST docs, "Getting started")."""
    return Forge(web, f"https://{web}/api/v3")
