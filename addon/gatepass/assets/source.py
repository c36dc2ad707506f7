"""What is asked for, and what was found: a question to a forge, and where the bytes are to be had.

Values alone; knows neither who asks a forge nor what is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gatepass.forge.sources import SourceRef
from gatepass.forge.urls import AssetRef
from gatepass.github.client import OCTET_STREAM, RAW
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from gatepass.assets.budget import Account
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.signed import SignedUrl
    from gatepass.forge.sources import DownloadRef
    from gatepass.github.client import Asset
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential
    from gatepass.secret import Secret

REFUSED: Final = frozenset({401, 403, 404})
"""What an asset host answers to a URL that has ended, was revoked, or whose asset has been replaced since."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request's question: with which secret it is asked, whose knowledge the answer is, and on which account."""

    forge: Forge
    ref: DownloadRef
    credential: Credential
    secret: Secret
    holder: Hashable
    account: Account

    @property
    def repository_key(self) -> Hashable:
        return (self.holder, self.forge.web, self.ref.repository)

    @property
    def asset(self) -> AssetRef:
        """What it asks for, where that is of a release."""
        assert isinstance(self.ref, AssetRef)
        return self.ref

    @property
    def release_key(self) -> Hashable:
        return (self.holder, self.forge.web, self.ref.repository, self.asset.tag)

    @property
    def asset_key(self) -> Hashable:
        if isinstance(self.ref, SourceRef):
            return (self.holder, self.forge.web, self.ref)
        return (self.release_key, self.ref.name)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of an asset, or of an archive or a file, are to be had, and under which key it is remembered.

    `signed` is None for a forge that streams: then they are at `api_url`, with `secret`, in the media type `accept`. A
    public asset has neither of these, nor an `asset`, which archives and files have not, either. `reused` tells that
    `signed` was handed out before, and so may have been revoked since.
    """

    key: Hashable
    forge: Forge
    ref: DownloadRef
    signed: SignedUrl | None
    reused: bool = False
    asset: Asset | None = None
    api_url: str = ""
    accept: str = OCTET_STREAM
    secret: Secret | None = None
    credential: str = ""
    notices: tuple[str, ...] = ()
    """What its user should know, though it works."""
    immutable: bool = False
    """Whether its release can not be changed any more."""
    page: str = ""
    """The URL of the release's own page, where that is what was asked for; there is no asset then."""
    listed: tuple[Asset, ...] | None = None
    """The assets of the release, where the list of them is what was asked for; the same."""
    etag: str | None = None
    """Of a file, which may be another one at the same address."""
    outage: Problem | None = None
    """Why it is not known whether this still holds, and why there is no `signed` that works."""
    query: Query | None = field(default=None, compare=False, repr=False)
    """The question that it answers, to be asked again."""

    @property
    def version(self) -> Hashable:
        """Changes when the asset does: GitHub gives a file that was uploaded again a new id.

        Of what a branch holds nothing tells in time: that is known for as long as its address.
        """
        if isinstance(self.ref, SourceRef):
            return (self.key, self.signed, self.etag)
        return (self.key, self.asset.id if self.asset else self.signed and self.signed.path)

    @property
    def content_type(self) -> str | None:
        """What its bytes are, where the host names what was asked for instead; None where it says that itself."""
        return OCTET_STREAM if self.accept == RAW else None

    def expect_file(self, headers: Mapping[str, str]) -> None:
        """Go on when these headers are of a file: a folder is told in JSON, whatever was asked for.

        Raises:
            Unresolvable: they are not.
        """
        if self.accept == RAW and is_json(headers):
            assert isinstance(self.ref, SourceRef)
            raise Unresolvable(catalogue.NOT_A_FILE(repository=self.ref.repository, name=self.ref.named))

    @property
    def host(self) -> Host:
        """The host that the bytes come from."""
        return self.forge.api_host if self.signed is None else self.signed.host


def is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
