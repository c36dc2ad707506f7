"""Which rule serves the downloads of a repository, and so lets an index show them.

Pure. A rule may be for some tags or files alone: whether it covers a repository is tried with names that it could mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gatepass.rules.model import ResolveRelease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.forge.hosts import Host
    from gatepass.forge.urls import Repository
    from gatepass.rules.model import Rule, Rules

_BELOW: Final = "/releases/download/"
_TRIED: Final = ("x/x", "x/x.whl", "x/x.tar.gz")


def serving(rules: Rules, web: Host, path: str, client: str | None) -> Rule | None:
    """The rule by which that client gets a release asset at a raw path; None when there is none."""
    rule = next((rule for rule in rules.matching(web, path, "GET") if rule.is_for(client)), None)
    return rule if rule is not None and isinstance(rule.action, ResolveRelease) else None


def covering(rules: Rules, web: Host, repository: Repository, client: str | None) -> Rule | None:
    """The first rule by which that client gets any release asset of a repository; None when there is none."""
    found = {id(rule): rule for path in _paths(rules, repository) if (rule := serving(rules, web, path, client))}
    return next((rule for rule in rules.rules if id(rule) in found), None)


def _paths(rules: Rules, repository: Repository) -> Iterator[str]:
    start = f"/{quote(repository.owner)}/{quote(repository.name)}{_BELOW}"
    yield from (start + tried for tried in _TRIED)
    for rule in rules.rules:
        _, below, rest = rule.match.path.rpartition(_BELOW)
        if below:
            yield from (start + rest.replace("*", name) for name in ("x/x", "x"))
