"""What rules do, in words.

Pure. Holds no value of a header, which might be a secret that somebody wrote there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from gatepass.rules.model import DOWNLOADS, InjectHeaders, Placeholder, ResolveRelease

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.rules.model import Header, Rule, Rules

_EXISTING: Final = {
    "replace": "",
    "keep": ", unless the client did",
    "refuse": ", and refuses a request that brings one",
    "placeholder": ", where the client sent the placeholder",
}


def describe(rules: Rules) -> str:
    """All of a rules file, a block a rule."""
    count = f"{len(rules.rules)} rule{'s' if len(rules.rules) > 1 else ''}"
    hosts = ", ".join(sorted(map(str, rules.hosts)))
    head = f"{rules.source}: {count}; the first that matches is applied\nintercepted: {hosts}"
    return "\n\n".join([head, *map(_describe_rule, rules.rules)])


def _describe_rule(rule: Rule) -> str:
    lines = [("match", str(rule.match))]
    if rule.methods != DOWNLOADS:
        lines.append(("methods", ", ".join(sorted(rule.methods))))
    match rule.action:
        case ResolveRelease(forge):
            lines.append(("action", "finds the release asset through the API, and fetches it"))
            receiver = forge.api_host
        case InjectHeaders(headers, dropped):
            lines += [("action", f"sets {names}{_EXISTING[word]}") for word, names in _by_word(headers).items()]
            if dropped:
                lines.append(("drops", f"{', '.join(sorted(dropped))} of the response"))
            receiver = rule.match.host
        case _:
            assert_never(rule.action)
    for number, credential in enumerate(rule.credentials):
        sources = ", then ".join(map(str, credential.sources))
        lines.append(("then" if number else "credential", f"{credential.name}: {sources}"))
    if rule.credentials:
        lines.append(("sent to", f"{receiver}, and nowhere else"))
    lines += [("bound to", ", ".join(sorted(map(str, credential.hosts)))) for credential in rule.credentials]
    return "\n".join([rule.name, *(f"  {label:<12}{text}" for label, text in lines)])


def _by_word(headers: Iterable[Header]) -> dict[str, str]:
    """The names of headers, by what becomes of those that the client sent."""
    names: dict[str, list[str]] = {}
    for header in headers:
        word = "placeholder" if isinstance(header.on_existing, Placeholder) else header.on_existing
        names.setdefault(word, []).append(header.name)
    return {word: ", ".join(them) for word, them in names.items()}
