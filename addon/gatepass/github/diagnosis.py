"""Why a release was not found: a few questions to the API, which are asked on failure alone.

GitHub answers 404 to a wrong name, a missing right and a draft alike; the repository and its list of releases tell them
apart. Knows the API client; knows neither flows nor caches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.forge import urls
from gatepass.github.client import PER_PAGE, decode
from gatepass.problems import catalogue, choice

if TYPE_CHECKING:
    from gatepass.forge.hosts import Forge
    from gatepass.forge.urls import AssetRef, Repository
    from gatepass.github.client import GitHub
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret

SECONDS: Final = 5.0
"""The answer to a client does not wait longer for its explanation."""


# What the web page of a draft has in the place of a tag.
_DRAFT: Final = re.compile(r"untagged-[0-9a-f]{8,40}")


class _Repository(msgspec.Struct, frozen=True):
    full_name: str


class _Release(msgspec.Struct, frozen=True):
    tag_name: str
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What a repository shows to a token: its newest releases, None when it is not to be seen; and its name now."""

    releases: tuple[_Release, ...] | None
    renamed: Repository | None = None

    def why(self, forge: Forge, ref: AssetRef, secret: Secret) -> Problem:
        """Why the release that `ref` names was not found there."""
        if self.releases is None:
            return choice.repository_not_visible(forge, ref, secret)
        if ref.tag is not None and _DRAFT.fullmatch(ref.tag):
            return catalogue.DRAFT_URL(ref=ref, renamed=self.renamed)
        # drafts are listed to people with push access alone (REST docs)
        if any(release.draft and release.tag_name == ref.tag for release in self.releases):
            return catalogue.ONLY_A_DRAFT(ref=ref, renamed=self.renamed)
        tags = (release.tag_name for release in self.releases if not release.draft)
        return choice.tag_not_found(ref, tags, self.renamed)


MOST_CALLS: Final = 2
"""What `look` costs at the most."""


async def look(github: GitHub, forge: Forge, repository: Repository, secret: Secret, recent: float = 0) -> Look:
    """What the repository shows: of use for every release of it that is not found. So many seconds ago will do.

    Raises:
        Unresolvable: the API does not say.
    """
    url = f"{forge.api}/repos/{repository}"
    reply = await github.ask(forge, url, secret, recent=recent)
    if reply.status == 404:
        return Look(None)
    github.expect_ok(forge, secret, reply)
    renamed = renamed_to(decode(reply, _Repository, forge).full_name, repository)
    reply = await github.ask(forge, f"{url}/releases?per_page={PER_PAGE}", secret, recent=recent)
    github.expect_ok(forge, secret, reply)
    return Look(decode(reply, tuple[_Release, ...], forge), renamed)


def renamed_to(full_name: str, asked: Repository) -> Repository | None:
    """The repository's name now, when it is another than was asked for."""
    known = urls.repository(full_name)
    return None if known is None or known == asked else known
