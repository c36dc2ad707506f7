"""Why no rule matches: which came closest, and where it differs.

Pure: knows rules and the parts of a URL.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from gatepass.forge.hosts import Host
from gatepass.rules.values import Pattern

if TYPE_CHECKING:
    from gatepass.rules.model import Rule, Rules

_ANY: Final = Host("any.invalid")


def nearest_miss(rules: Rules, host: Host, path: str) -> str:
    """The rule that came closest, and what of the URL it does not allow; for a URL that no rule matches."""
    rule = max(rules.rules, key=lambda rule: _closeness(rule.match, host, path))
    pattern = f" (`{rule.match}`)" if rule.name != str(rule.match) else ""
    return f"`{rule.name}` comes closest{pattern}, but {_difference(rule, host, path)}"


def _closeness(pattern: Pattern, host: Host, path: str) -> tuple[float, bool, bool, bool, float]:
    (wanted, below), (owner, rest) = _split(pattern.path), _split(path)
    return (
        2.0 if pattern.host.covers(host) else _likeness(str(pattern.host), str(host)),
        _fits(pattern.path.lower(), path.lower()),
        _fits(wanted, owner),
        _fits(below, rest),
        _likeness(pattern.path, path),
    )


def _difference(rule: Rule, host: Host, path: str) -> str:
    pattern = rule.match
    if not pattern.host.covers(host):
        return f"its host is `{pattern.host}`, not `{host}`"
    if _fits(pattern.path, path):
        return "the path holds dot segments, which fall under no rule"
    if _fits(pattern.path.lower(), path.lower()):
        return "capital and small letters differ"
    (wanted, _), (owner, _) = _split(pattern.path), _split(path)
    if not _fits(wanted, owner):
        return f"its owner is `{wanted}`, not `{owner}`"
    return f"its path does not allow `{path[:200]}`"


def _fits(pattern: str, path: str) -> bool:
    return Pattern(_ANY, pattern).matches(_ANY, path)


def _split(path: str) -> tuple[str, str]:
    """The first segment, which names the owner, and what follows it."""
    owner, _, rest = path.removeprefix("/").partition("/")
    return owner, rest


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other[:500], autojunk=False).ratio()
