"""Problems that take some weighing: what may have been meant instead, which remedy fits, which of several tells most.

Pure. The words are in `catalogue`; here they are chosen, and strung together.
"""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from gatepass.problems import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gatepass.forge.hosts import Forge
    from gatepass.forge.sources import DownloadRef, GitRef
    from gatepass.forge.urls import AssetRef, Repository
    from gatepass.problems.problem import Problem
    from gatepass.secret import Secret
    from gatepass.sources import Source

_MOST_LISTED: Final = 5
_MOST_COMPARED: Final = 200

_LEAST_TELLING: Final = (
    catalogue.APP_NOT_INSTALLED.name,
    catalogue.REPOSITORY_NOT_VISIBLE.name,
    catalogue.RELEASE_NOT_FOUND.name,
    catalogue.SOURCE_NOT_FOUND.name,
    catalogue.NO_CREDENTIAL.name,
)
"""What a credential that is simply not for a repository gets, the more telling first."""


def most_telling(tried: Sequence[tuple[str, Problem]]) -> Problem:
    """Of the problems that a rule's credentials met, each under its name, the one to go by; the others are added."""

    def rank(named: tuple[str, Problem]) -> int:
        kind = named[1].kind
        return 1 + _LEAST_TELLING.index(kind) if kind in _LEAST_TELLING else 0

    name, problem = min(tried, key=rank)
    if len(tried) == 1:
        return problem
    others = ", ".join(f"`{other}`: {its.title}" for other, its in tried if other != name)
    detail = f"{problem.detail} (credential `{name}`; {others})"
    return replace(problem, detail=detail).about(credential=name, credentials=[other for other, _ in tried])


def passed_over(tried: Iterable[tuple[str, Problem]]) -> Iterator[str]:
    """What is amiss with credentials in whose place another was used; that one is not for a repository is nothing."""
    return (f"credential `{name}` was passed over: {its}" for name, its in tried if its.kind not in _LEAST_TELLING)


def neither(fault: Problem, found: Problem) -> Problem:
    """The web host cannot be asked, for that fault, and the API gave nothing either."""
    detail = f"{fault.detail} (the API was asked, too: {found.title}: {found.detail})"
    return replace(fault, detail=detail, members={**found.members, **fault.members})


def no_credential(name: str, tried: Iterable[tuple[Source, str]]) -> Problem:
    """`tried` are the sources, each with the reason why it has none."""
    asked = list(tried)
    # a source's text begins with what rules.yaml calls its sort
    sorts = [(str(source).partition(":")[0], source) for source, _ in asked]
    remedies = list(dict.fromkeys(catalogue.NO_CREDENTIAL.remedy(sort, source=source) for sort, source in sorts))
    reasons = ", ".join(f"`{source}` {reason}" for source, reason in asked)
    return catalogue.NO_CREDENTIAL(name=name, tried=reasons, remedies=", or ".join(remedies[:3]))


def repository_not_visible(forge: Forge, ref: DownloadRef | GitRef, secret: Secret) -> Problem:
    remedy = catalogue.REPOSITORY_NOT_VISIBLE.remedy(secret.kind)
    return catalogue.REPOSITORY_NOT_VISIBLE(forge=forge, ref=ref, secret=secret, remedy=remedy)


def tag_not_found(ref: AssetRef, tags: Iterable[str], renamed: Repository | None) -> Problem:
    tags = list(tags)
    candidates = nearest(ref.tag or "", tags)
    newest = tags[:_MOST_LISTED]
    problem = catalogue.TAG_NOT_FOUND(ref=ref, renamed=renamed, candidates=candidates, known=newest)
    return problem.about(candidates=candidates or newest, renamed_to=renamed and str(renamed))


def asset_not_found(ref: AssetRef, tag: str, names: Iterable[str], renamed: Repository | None) -> Problem:
    names = sorted(names)
    uploaded = upload_name(ref.name)
    is_there = uploaded != ref.name and uploaded in names
    candidates = [uploaded] if is_there else nearest(ref.name, names)
    first = names[:_MOST_LISTED]
    problem = catalogue.ASSET_NOT_FOUND(
        ref=ref,
        tag=tag,
        renamed=renamed,
        uploaded=uploaded if is_there else None,
        candidates=candidates,
        known=first,
        more=len(names) - len(first),
    )
    return problem.about(candidates=candidates or first, renamed_to=renamed and str(renamed))


def upload_name(name: str) -> str:
    """The name that GitHub gives a file on upload: special characters become dots, one where several would stand
    (upload docs, FACTS.md).
    """
    return re.sub(r"[^A-Za-z0-9_@+-]+", lambda run: run[0] if set(run[0]) == {"."} else ".", name).strip(".")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """What may have been meant, best first."""
    wanted = name.casefold()
    by_folded = {text.casefold(): text for text in known}
    likely: Iterable[str] = by_folded
    if len(by_folded) > _MOST_COMPARED:
        # to compare them all takes seconds, in which nobody else is answered

        def far(text: str) -> tuple[int, int]:
            alike = next((at for at, (one, other) in enumerate(zip(text, wanted, strict=False)) if one != other), 255)
            return -alike, abs(len(text) - len(wanted))

        likely = nsmallest(_MOST_COMPARED, by_folded, key=far)
    found = get_close_matches(wanted, likely, n=3, cutoff=0.6)
    return [by_folded[text] for text in found]
