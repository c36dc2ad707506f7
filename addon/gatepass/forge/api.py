"""The REST paths of a forge's API: which repository a path is below, and what may be done there.

Pure text: knows neither hosts nor rules. What cannot be told for sure is told as nothing, and refused by whoever asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_to_bytes

from gatepass.forge import urls

if TYPE_CHECKING:
    from gatepass.forge.urls import Repository

type Word = Literal["read", "issues", "write"]
"""What a rule lets be done in a repository, in one word."""

READING: Final = frozenset({"GET", "HEAD"})

_MOST: Final = 4096
# Several decodings of what a server may decode once more: none of them may lead elsewhere.
_ROUNDS: Final = 3
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
# What is written there with the permission for issues, or for pull requests, alone (REST docs, "Permissions required
# for GitHub Apps").
_OF_ISSUES: Final = frozenset({"issues", "labels", "milestones", "pulls"})
# A merge changes contents.
_MERGE: Final = re.compile(r"pulls/[0-9]+/(?:merge|update-branch)", re.ASCII)
# Who may do what, what runs with which secret, and who is told: no word of a rule stands for these (REST docs).
_ADMINISTRATION: Final = re.compile(
    r"""
    $
    | (?: hooks | keys | collaborators | invitations | transfer | rulesets | environments | autolinks | teams
        | interaction-limits | vulnerability-alerts | automated-security-fixes | private-vulnerability-reporting
        | immutable-releases | properties | import | pages | topics | replicas | lfs | attestations | secret-scanning
        | code-scanning | security-advisories | bypass-requests ) (?: / | $ )
    | (?: actions | dependabot | codespaces | agents ) / (?: secrets | variables | organization-secrets
        | organization-variables | permissions | runners | oidc ) (?: / | $ )
    | branches/ .+ /protection | tags/protection
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Call:
    """A path of the API: below a repository, or below one of which the number alone is told, or outside of any.

    `rest` is what follows the repository, decoded, without a slash before it; else the whole path.
    """

    rest: str
    repository: Repository | None = None
    number: int | None = None

    @property
    def is_outside(self) -> bool:
        """Whether it is of no repository."""
        return self.repository is None and self.number is None


@dataclass(frozen=True, slots=True)
class Allowed:
    """A method, and a path below a repository in which `*` is any run of characters without a slash, `**` any run."""

    method: str
    path: str

    def covers(self, method: str, rest: str) -> bool:
        """Whether that is it; of the API's paths letter case makes no difference to some servers, and does here."""
        return method == self.method and _glob(self.path).fullmatch(rest) is not None

    def __str__(self) -> str:
        return f"{self.method} /{self.path}"


type ApiAccess = Word | tuple[Allowed, ...]


def may_be(host: str, path: str) -> bool:
    """Whether a request may be for a forge's API, by the place that APIs have: who asks one looks for a `message`."""
    return host.startswith(("api.", "uploads.")) or path.startswith(("/api/v3/", "/api/graphql", "/api/uploads/"))


def parse(path: str) -> Call | None:
    """Read a raw path below the API's root, without its query; None when a server might read another.

    That is one with dot segments, empty ones, backslashes or control characters, however often they are encoded.
    """
    if not path.startswith("/") or len(path) > _MOST or not path.isascii():
        return None
    decoded = _decoded(path)
    if decoded is None:
        return None
    segments = decoded[1:].split("/")
    raw = path[1:].split("/")
    match segments:
        case ["repos", owner, name, *_]:
            repository = urls.named(owner, name)
            # they are names of few signs: what is encoded there is read otherwise somewhere
            if repository is None or raw[:3] != segments[:3]:
                return None
            return Call("/".join(segments[3:]), repository)
        case ["repositories", number, *_]:
            if not _NUMBER.fullmatch(number) or raw[:2] != segments[:2]:
                return None
            return Call("/".join(segments[2:]), number=int(number))
    # `/Repos/…`, to a server that heeds no case, is a repository's
    if segments[0].lower() in ("repos", "repositories") or raw[0] != segments[0]:
        return None
    return Call(decoded)


def _decoded(path: str) -> str | None:
    """The path decoded once, if no reading of it leads anywhere else."""
    found = text = path
    for turn in range(_ROUNDS):
        try:
            text = unquote_to_bytes(text).decode()
        except UnicodeError:
            return None
        if turn == 0:
            found = text
        # a slash at the end is no segment that leads anywhere
        segments = text.removesuffix("/").split("/")[1:] if text != "/" else []
        if not all(segment and urls.is_name(segment) and not {"\\", ";"} & set(segment) for segment in segments):
            return None
    return found.removesuffix("/") if found != "/" else found


def may(access: ApiAccess, method: str, rest: str) -> bool:
    """Whether a rule with that access lets that be done at a path below a repository."""
    if not isinstance(access, str):
        return any(each.covers(method, rest) for each in access)
    if method in READING:
        # the repository itself may be looked at
        return not rest or _ADMINISTRATION.match(rest) is None
    if _ADMINISTRATION.match(rest) is not None or access == "read":
        return False
    return access == "write" or (rest.split("/", 1)[0].lower() in _OF_ISSUES and _MERGE.match(rest) is None)


def least(access: tuple[Allowed, ...]) -> Word:
    """The word that lets all of that be done, with the fewest rights."""
    for word in ("read", "issues"):
        if all(each.method in READING or may(word, each.method, each.path) for each in access):
            return word
    return "write"


@lru_cache(256)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*?)", pattern)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts), re.DOTALL)
