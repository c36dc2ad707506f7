"""Where a URL leads that is to be explained, whatever wrote it: a person, a lock file, a requirement.

Pure text: knows the rules' names, and asks nobody.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from gatepass.forge import urls
from gatepass.forge.hosts import HTTPS_PORT, OWN, Host
from gatepass.forge.sources import asked_by_git

if TYPE_CHECKING:
    from gatepass.rules.model import Rules

type Kind = Literal["asset", "source", "git", "index"]

_GIT: Final = "git+"
# What the address of a repository ends in when it is git's, and no page's.
_OF_GIT: Final = (".git", "/info/refs", "/git-upload-pack", "/git-receive-pack")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: `path` is raw, without its query.

    `is_git` tells that git asks there, whatever else has that address. `hashes` are the SHA-256s of which the file has
    to have one, if it has to; `files` are those of a project's page that are locked, each with its hashes. `served` is
    the URL where an index is a web server of its own: host and path are then those of the same index behind the proxy.
    """

    host: Host
    path: str
    is_git: bool = False
    hashes: frozenset[str] = frozenset()
    files: tuple[tuple[str, frozenset[str]], ...] = ()
    served: str | None = None

    @property
    def url(self) -> str:
        """The URL without user, query and fragment, any of which may hold a secret."""
        return self.served or f"https://{self.host}{self.path}"

    @property
    def kind(self) -> Kind:
        """What it is of."""
        if self.is_index:
            return "index"
        return "git" if self.is_git else "asset" if urls.parse(self.path) else "source"

    @property
    def is_index(self) -> bool:
        """Whether it leads to the package indexes."""
        return self.host == OWN


def read_url(text: str) -> Target | None:
    """Read any https URL, also as requirements have one of git; None for anything else."""
    is_git = text.startswith(_GIT)
    if is_git:
        start, _, path = text.removeprefix(_GIT).partition("://")
        place, slash, path = path.partition("/")
        text = f"{start}://{place}{slash}{path.partition('#')[0].partition('@')[0]}"
    try:
        parts = urlsplit(text)
        host = Host.parse(f"{(parts.hostname or '').removesuffix('.')}:{parts.port or HTTPS_PORT}")
    except ValueError:
        return None
    if parts.scheme.lower() != "https":
        return None
    path = parts.path or "/"
    is_gits = path.rstrip("/").endswith(_OF_GIT) or "/info/lfs" in path
    return Target(host, path, is_git or (is_gits and asked_by_git(path) is not None))


def at_index(text: str, rules: Rules | None) -> Target | None:
    """Where a URL leads in the indexes of the rules, behind the proxy or at a server that is one; None for any other.

    A server of indexes has any name, and stands behind any prefix: it is known by an index that the rules name, or by a
    repository of a forge of theirs.
    """
    try:
        parts = urlsplit(text)
        name, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not name:
        return None
    if name == OWN.name:
        return Target(OWN, parts.path or "/") if scheme == "https" and port in (None, HTTPS_PORT) else None
    with suppress(ValueError):  # an address with colons is no host of a rule
        if rules is not None and rules.names(Host.parse(f"{name}:{port or HTTPS_PORT}")):
            return None
    found = None if rules is None else _below_prefix(parts.path, rules)
    if found is None:
        return None
    place = f"[{name}]" if ":" in name else name
    return replace(Target(OWN, found), served=f"{scheme}://{place}{f':{port}' if port else ''}{parts.path}")


def _below_prefix(path: str, rules: Rules) -> str | None:
    """The path of an index's page, or of one of its files, without what stands before it."""
    segments = path.split("/")
    names = {index.name for index in rules.indexes}
    webs = {str(forge.web) for forge in rules.forges}
    for at, word in enumerate(segments):
        if word in ("simple", "files"):
            for start, known in ((at - 1, names), (at - 3, webs)):
                if start > 0 and segments[start] in known:
                    return "/" + "/".join(segments[start:])
    return None
