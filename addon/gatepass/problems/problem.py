"""One failure: for the client as problem details (RFC 9457), for the log as one line.

Knows no words: they are in `catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.errors import printable_json
from gatepass.redaction import cleared

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "application/problem+json"
"""Without a charset: uv reads the details of exactly this type (FACTS.md, measured)."""


def span(seconds: int) -> str:
    """So many seconds, as texts say it."""
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} min"


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure. `kind` is stable and for machines; title, detail and hint are for people.

    `status` is what a GET is answered with. `retry_after` is in seconds. `members` are the extension members of
    RFC 9457, section 3.2: owner, repo, tag, asset, credential, credential-source, request-id, candidates, and what else
    is known.
    """

    kind: str
    status: int
    title: str
    detail: str
    hint: str
    retry_after: int | None = None
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The `type` URI of RFC 9457; its last part is the anchor in docs/problems.md."""
        return f"urn:gatepass:problem:{self.kind}"

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}; hint: {self.hint}"

    def after(self, seconds: int) -> Problem:
        """The same, when so many seconds are left of its wait."""
        assert self.retry_after is not None
        detail = self.detail.replace(f"in {span(self.retry_after)}", f"in {span(seconds)}")
        return replace(self, retry_after=seconds, detail=detail)

    def about(self, **members: object) -> Problem:
        """The same with these members (an underscore stands for a hyphen), less those that are None."""
        known = {name.replace("_", "-"): value for name, value in members.items() if value is not None}
        return replace(self, members={**known, **self.members})

    def body(self, *, for_api: bool = False) -> bytes:
        """The JSON document that a GET is answered with; `for_api` is for the clients of a forge's API."""
        document = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            # uv shows title and detail and nothing else, so the way out stands in the detail too
            "detail": f"{self.detail}; hint: {self.hint}",
            "hint": self.hint,
            **self.members,
        }
        if for_api:
            # what gh, octokit and others show of an answer
            document["message"] = str(self)
        if self.retry_after is not None:
            document["retry-after"] = self.retry_after
        # members are facts as they are: what is foreign in them must be harmless, too
        return printable_json(cleared(msgspec.json.encode(document)))

    @property
    def reason(self) -> str:
        """The reason phrase, which pip, wget and `curl -i` show: ASCII, short."""
        return f"gatepass: {self.title}".encode("ascii", "replace").decode()[:80]


class Unresolvable(Exception):
    """Raised on the way to an asset when there is no going on; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem
