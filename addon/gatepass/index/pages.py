"""The pages of an index, in HTML (PEP 503) and in JSON (PEP 691), and the validator of each.

Pure: from what is to be told to bytes. Version 1.1 of the API (PEP 629, PEP 700), metadata by PEP 658 and PEP 714.
"""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gatepass.index.negotiation import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

VERSION: Final = "1.1"


@dataclass(frozen=True, slots=True)
class Link:
    """A file as a page tells it. `has_metadata` promises `URL.metadata`, of which `metadata_sha256` is known at times,
    as is `requires_python`.
    """

    name: str
    url: str
    version: str
    size: int
    sha256: str | None
    uploaded: datetime
    has_metadata: bool = False
    metadata_sha256: str | None = None
    requires_python: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its validator, a strong one: uv asks with no other (measured, 0.13.9)."""

    content: bytes

    @property
    def etag(self) -> str:
        return f'"{hashlib.blake2b(self.content, digest_size=16).hexdigest()}"'


def root(projects: Iterable[str], form: str) -> Page:
    """The page of all projects."""
    names = sorted(projects)
    if form == JSON:
        return Page(_json({"meta": {"api-version": VERSION}, "projects": [{"name": name} for name in names]}))
    return Page(_html("Simple index", [f'<a href="{name}/">{name}</a><br>' for name in names]))


def project(name: str, links: Sequence[Link], form: str) -> Page:
    """The page of a project."""
    if form == JSON:
        document = {
            "meta": {"api-version": VERSION},
            "name": name,
            "versions": list(dict.fromkeys(link.version for link in links)),
            "files": [_file(link) for link in links],
        }
        return Page(_json(document))
    return Page(_html(f"Links for {name}", map(_anchor, links)))


def version(links: Iterable[Link]) -> bytes:
    """Stands for what a page tells of its files, whatever is known of their metadata."""
    digest = hashlib.blake2b(digest_size=16)
    for link in links:
        lasting = (link.name, link.url, link.size, link.sha256, _time(link), link.has_metadata)
        digest.update(repr(lasting).encode("utf-8", "surrogatepass"))
    return digest.digest()


def _file(link: Link) -> dict[str, Any]:
    told: dict[str, Any] = {
        "filename": link.name,
        "url": link.url,
        "hashes": {"sha256": link.sha256} if link.sha256 else {},
        "size": link.size,
        "upload-time": _time(link),
    }
    if link.requires_python is not None:
        told["requires-python"] = link.requires_python
    if link.has_metadata:
        told["core-metadata"] = {"sha256": link.metadata_sha256} if link.metadata_sha256 else True
    return told


def _anchor(link: Link) -> str:
    target = f"{link.url}#sha256={link.sha256}" if link.sha256 else link.url
    attributes = {"href": target}
    if link.requires_python is not None:
        attributes["data-requires-python"] = link.requires_python
    if link.has_metadata:
        attributes["data-core-metadata"] = f"sha256={link.metadata_sha256}" if link.metadata_sha256 else "true"
    told = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {told}>{html.escape(link.name)}</a><br>"


def _time(link: Link) -> str:
    return f"{link.uploaded.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _json(document: object) -> bytes:
    return msgspec.json.encode(document)


def _html(title: str, lines: Iterable[str]) -> bytes:
    head = (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        '<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{VERSION}">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
    )
    return f"{head}{''.join(f'{line}\n' for line in lines)}</body>\n</html>\n".encode()
