"""What rules do, in words.

Pure. Holds no value of a header, which might be a secret that somebody wrote there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from gatepass.rules import InjectHeaders, ResolveRelease

if TYPE_CHECKING:
    from gatepass.rules import Rule, Rules


def describe(rules: Rules) -> str:
    """All of a rules file, a block a rule."""
    count = f"{len(rules.rules)} rule{'s' if len(rules.rules) > 1 else ''}"
    hosts = ", ".join(sorted(map(str, rules.hosts)))
    head = f"{rules.source}: {count}; the first that matches is applied\nintercepted: {hosts}"
    return "\n\n".join([head, *map(_describe_rule, rules.rules)])


def _describe_rule(rule: Rule) -> str:
    match rule.action:
        case ResolveRelease(forge):
            action = "finds the release asset through the API, and fetches it"
            receiver = forge.api_host
        case InjectHeaders(headers):
            action = f"sets {', '.join(name for name, _ in headers)}"
            receiver = rule.match.host
        case _:
            assert_never(rule.action)
    lines = {
        "match": str(rule.match),
        "action": action,
        "credential": f"{rule.credential.name}: {', then '.join(rule.credential.sources)}",
        "sent to": f"{receiver}, and nowhere else",
        "bound to": ", ".join(sorted(map(str, rule.credential.hosts))),
    }
    return "\n".join([rule.name, *(f"  {label:<12}{text}" for label, text in lines.items())])
