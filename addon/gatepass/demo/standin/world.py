"""The state that web, API and asset host share: what exists, who may see it, and how it is addressed.

It may not know sockets; each origin reads it and answers with values.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote
from uuid import UUID

from .exchange import ENTERPRISE_API, Fault, Names, Recorded
from .issuer import PATH, Issuer
from .model import App, Asset, Installation, Repository, Token
from .signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

# The form of a classic token, so that scanners for secrets in logs would know it.
DEFAULT_TOKEN = "ghp_StandInStandInStandInStandInStandIn0000"  # noqa: S105 — no secret: it opens the stand-in alone


@dataclass
class World:
    """The stand-in's contents and settings; all may be changed while it serves.

    `names`: the real names that `download_url` tells; `None` for `localhost:PORT`. An answer is in the request's own.
    `embedded_assets`: how many assets a release's JSON holds (54 were seen in issue threads).
    `most_listed`: the list of a repository's releases ends after so many (concourse/github-release-resource #122).
    `login`: of the user whose tokens these are.
    `stream_assets`: the API answers an asset with 200 and the bytes, as GHES has been seen to; `stream_ranges`: and
    then honours Range. `most_raw`: bytes of a file that the API gives at the most (REST docs, "Repository contents").
    `signed_lifetime`: of signed URLs, in seconds. `over_limit_status`: 403 or 429.
    `max_bad_logins`: after so many bad tokens every login is refused for `lockout` seconds.
    `private_mode`: the web host sends everybody to its sign-in page, as a GHES in private mode does.
    `latency`: seconds added to every answer. `clock`: epoch seconds, for expiry and budgets.
    """

    repositories: list[Repository] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=lambda: [Token(DEFAULT_TOKEN)])
    anonymous: Token = field(default_factory=lambda: Token("", kind="anonymous", scopes=(), limit=60))
    names: Names | None = None
    embedded_assets: int = 54
    most_listed: int = 1000
    login: str = "monalisa"
    stream_assets: bool = False
    stream_ranges: bool = False
    most_raw: int = 100 * 1024 * 1024
    signed_lifetime: int = 300
    over_limit_status: Literal[403, 429] = 403
    max_bad_logins: int = 5
    lockout: float = 300
    private_mode: bool = False
    latency: float = 0
    clock: Callable[[], float] = time.time
    apps: list[App] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)

    web: str = field(init=False, default="")
    asset_host: str = field(init=False, default="")
    bad_logins: int = field(init=False, default=0)
    locked_until: float = field(init=False, default=0)
    lock: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False)
    signer: Signer = field(init=False, repr=False)
    issuer: Issuer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Not `self.clock` itself, which a test may replace.
        self.signer = Signer(lambda: self.clock())
        self.issuer = Issuer(lambda: f"https://{self.web}{PATH}")

    @property
    def api(self) -> str:
        """The API's base URL under the listener's own name."""
        return f"https://{self.web}{ENTERPRISE_API}"

    @property
    def token(self) -> str:
        """The first token's value."""
        return self.tokens[0].value

    def download_url(self, repository: str, tag: str, asset: str) -> str:
        """The browser URL of an asset of `owner/name`."""
        return f"https://{self.names.web if self.names else self.web}{download_path(repository, tag, asset)}"

    def expire_signed_urls(self) -> None:
        """Every signed URL given out so far is expired from now on."""
        self.signer.generation += 1

    def web_base(self, request: Recorded) -> str:
        """The web host's URL, under the family of names that the request used."""
        return f"https://{request.names.web if request.names else self.web}"

    def api_base(self, request: Recorded) -> str:
        return f"https://{request.names.api}" if request.names else self.api

    def uploads_base(self, request: Recorded) -> str:
        """Where files for releases go."""
        return f"https://{request.names.uploads}" if request.names else f"https://{self.web}/api/uploads"

    def find(self, full_name: str) -> tuple[Repository | None, bool]:
        """The repository of that name, and whether the name is an old one. Names ignore case, as GitHub's do."""
        wanted = full_name.casefold()
        known = tuple(self.repositories)
        if repository := next((each for each in known if each.full_name.casefold() == wanted), None):
            return repository, False
        moved = next((each for each in known if wanted in map(str.casefold, each.renamed_from)), None)
        return moved, moved is not None

    def is_installed(self, installation: Installation) -> bool:
        """Whether an App still has it: uninstalling takes it away."""
        return any(installation is known for app in tuple(self.apps) for known in tuple(app.installations))

    def find_asset(self, asset_id: int) -> Asset | None:
        releases = (release for repository in tuple(self.repositories) for release in tuple(repository.releases))
        assets = (asset for release in releases for asset in tuple(release.assets))
        return next((asset for asset in assets if asset.id == asset_id), None)

    def signed_url(self, request: Recorded, repository: Repository, asset: Asset, *, credentialed: bool) -> str:
        """SigV4-like at `objects.…` with credentials, else SAS-like at `release-assets.…` (dependabot/proxy #27)."""
        # The last part is the asset's id in the form of a UUID, which is what GitHub's paths hold.
        path = f"/github-production-release-asset/{repository.id}/{UUID(int=asset.id)}"
        sign = self.signer.sigv4 if credentialed else self.signer.sas
        host = self.asset_host
        if request.names:
            host = request.names.signed if credentialed else request.names.public
        return sign(host, path, asset.content_type, asset.disposition, self.signed_lifetime)


def download_path(repository: str, tag: str, asset: str) -> str:
    """The path of a browser URL; a tag's slashes stay slashes."""
    return f"/{repository}/releases/download/{quote(tag)}/{quote(asset, safe='')}"
