"""What rules do, in words.

Pure. Holds no value of a header, which might be a secret that somebody wrote there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from gatepass.forge.urls import Repository
from gatepass.rules.access import Htpasswd, Limits, Networks, Oidc, Password
from gatepass.rules.coverage import covering
from gatepass.rules.model import (
    DOWNLOADS,
    GIT_METHODS,
    CallApi,
    InjectHeaders,
    Placeholder,
    ResolveRelease,
    ResolveSource,
    ServeGit,
)
from gatepass.sources import GitHubApp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.forge.hosts import Host
    from gatepass.rules.access import Destination, Egress, Network, Proof
    from gatepass.rules.model import Header, Index, Rule, Rules, SharedCache

RESOLVED_UPSTREAM: Final = (
    "names are the upstream proxy's to resolve: only the addresses that clients write out themselves are judged"
)
"""What `egress` cannot do where an upstream proxy is between."""

_EXISTING: Final = {
    "replace": "",
    "keep": ", unless the client did",
    "refuse": ", and refuses a request that brings one",
    "placeholder": ", where the client sent the placeholder",
}

_API: Final = {
    "read": "reads",
    "issues": "reads, and writes issues and pull requests",
    "write": "reads and writes, but administration, hooks and secrets",
}

_REQUIRED: Final = {
    "digest": "GitHub has a digest of it",
    "immutable": "its release can not be changed any more",
}


def describe(rules: Rules) -> str:
    """All of a rules file, a block a rule."""
    count = f"{len(rules.rules)} rule{'s' if len(rules.rules) > 1 else ''}"
    hosts = ", ".join(sorted(map(str, rules.hosts)))
    head = f"{rules.source}: {count}; the first that matches is applied\nintercepted: {hosts}"
    indexes = map(_describe_index, rules.indexes)
    return "\n\n".join(
        [head, *map(_describe_rule, rules.rules), *indexes, *_describe_access(rules), *_describe_shared(rules.shared)]
    )


def _describe_rule(rule: Rule) -> str:
    lines = [("match", str(rule.match))]
    if rule.clients:
        lines.append(("clients", ", ".join(rule.clients)))
    if not isinstance(rule.action, CallApi) and rule.methods != (
        GIT_METHODS if isinstance(rule.action, ServeGit) else DOWNLOADS
    ):
        lines.append(("methods", ", ".join(sorted(rule.methods))))
    match rule.action:
        case ResolveRelease(forge):
            lines.append(("action", "finds the release asset through the API, and fetches it"))
            lines += [("only if", _REQUIRED[each]) for each in sorted(rule.action.require)]
            receiver = forge.api_host
        case ResolveSource(forge):
            lines.append(("action", "finds the archive or the raw file through the API, and fetches it"))
            receiver = forge.api_host
        case ServeGit(forge, may_push=may_push, on_existing=word):
            may = "fetch and push" if may_push else "fetch, and push nothing"
            lines.append(("action", f"lets git {may}{_EXISTING[word]}"))
            receiver = forge.web
        case CallApi(forge):
            lines += _of_api(rule.action)
            if any(isinstance(source, GitHubApp) for each in rule.credentials for source in each.sources):
                told = _listed(f"{name}: {level}" for name, level in rule.action.granted)
                lines.append(("tokens may", f"{told}; of these what the App's installation has"))
            receiver = forge.api_host
        case InjectHeaders(headers, dropped):
            lines += [("action", f"sets {names}{_EXISTING[word]}") for word, names in _by_word(headers).items()]
            if dropped:
                lines.append(("drops", f"{', '.join(sorted(dropped))} of the response"))
            receiver = rule.match.host
        case _:
            assert_never(rule.action)
    if rule.variables:
        lines.append(("where sent", f"the placeholder of {_listed(rule.variables)}"))
    for number, credential in enumerate(rule.credentials):
        sources = ", then ".join(map(str, credential.sources))
        lines.append(("then" if number else "credential", f"{credential.name}: {sources}"))
    if rule.credentials:
        lines.append(("sent to", f"{receiver}, and nowhere else"))
    lines += [("bound to", ", ".join(sorted(map(str, credential.hosts)))) for credential in rule.credentials]
    return _block(rule.name, lines)


def _of_api(action: CallApi) -> list[tuple[str, str]]:
    """What may be asked of an API."""
    where = f"{action.owner}/{action.name}"
    may = _API[action.access] if isinstance(action.access, str) else _listed(action.access)
    lines = [("action", f"lets the API be asked below {where}: {may}")]
    match action.graphql:
        case "none":
            lines.append(("GraphQL", "nothing"))
        case "any":
            lines.append(("GraphQL", "anything"))
        case mutations:
            lines.append(("GraphQL", f"queries{f', and {_listed(sorted(mutations))}' if mutations else ''}"))
    if action.also:
        lines.append(("also reads", _listed(sorted(action.also))))
    return lines


def _describe_index(index: Index) -> str:
    lines = [("at", f"https://gatepass.internal/{index.name}/simple/")]
    if index.clients:
        lines.append(("clients", ", ".join(index.clients)))
    lines.append(("holds", f"what the releases of {_listed(each for _, each in index.repositories)} hold"))
    if not index.prereleases:
        lines.append(("but not", "releases that are marked as pre-releases"))
    lines.append(("credential", f"{index.credential.name}: {', then '.join(map(str, index.credential.sources))}"))
    receivers = dict.fromkeys(forge.api_host for forge, _ in index.repositories)
    lines.append(("sent to", f"{_listed(receivers)}, and nowhere else"))
    return _block(f"index {index.name}", lines)


def _describe_access(rules: Rules) -> Iterable[str]:
    """What each client may do, and where all of them may go."""
    access = rules.access
    for client in access.clients:
        own = [rule.name for rule in rules.rules if not rule.clients or client.name in rule.clients]
        yield _block(f"client {client.name}", [("known by", _proof(client.proof)), ("rules", ", ".join(own) or "none")])
    if access.trusted_proxies:
        yield _block("trusted proxies", [("tell", f"clients' addresses: {_listed(access.trusted_proxies)}")])
    if (egress := access.egress) is not None:
        allowed = "every host" if egress.allow is None else _listed(egress.allow) or "no host"
        lines = [("reaches", allowed)]
        if egress.deny:
            lines.append(("but not", _listed(egress.deny)))
        if egress.report_only:
            lines.append(("only told", "what would be refused passes, without a credential"))
        yield _block("egress", lines)
    if access.is_guarded:
        private = () if access.egress is None else access.egress.private
        yield _block(
            "addresses", [("reached", ", and ".join(["public ones", "hosts that the rules name", *map(str, private)]))]
        )
    limits = [
        ("at once", access.limits.connections, "connections"),
        ("a minute", access.limits.requests, "requests"),
        ("a minute", access.limits.misses, "misses"),
    ]
    if access.is_guarded or access.limits != Limits():
        yield _block("limits of each", [(label, f"{most} {what}") for label, most, what in limits if most is not None])


def _describe_shared(shared: SharedCache | None) -> Iterable[str]:
    if shared is not None:
        first, *others = (str(key.source) for key in shared.keys)
        opens = f"; {_listed(others)} open{'' if len(others) > 1 else 's'} it, too" if others else ""
        yield _block("replicas", [("share", f"what they learn, at {shared.store}"), ("sealed by", f"{first}{opens}")])


def _proof(proof: Proof) -> str:
    match proof:
        case Password(sources):
            return f"its password: {', then '.join(map(str, sources))}"
        case Htpasswd(path):
            return f"the users of {path}"
        case Oidc(issuer, audience, claims):
            told = "".join(f", with `{name}` {pattern}" for name, pattern in claims)
            return f"tokens of {issuer} for `{audience}`{told}"
        case Networks(networks):
            return f"its address: {_listed(networks)}"
    assert_never(proof)


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _block(head: str, lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join([head, *(f"  {label:<12}{text}" for label, text in lines)])


def warnings(rules: Rules) -> Iterable[str]:
    """What cannot work, though nothing of it is wrong by itself: a sentence each."""
    access = rules.access
    before: list[tuple[str, Network]] = []
    for client in access.clients:
        networks = client.proof.networks if isinstance(client.proof, Networks) else ()
        for network in networks:
            for name, other in before:
                if name != client.name and network.version == other.version and network.overlaps(other):
                    both = max(network, other, key=_length)
                    yield f"clients `{name}` and `{client.name}` both have {both}: the first wins"
        before += [(client.name, network) for network in networks]
    for rule in rules.rules:
        if (why := unreachable(access.egress, rule.match.host)) is not None:
            yield f"rule `{rule.name}` is reached by no client: {why}"
    for index in rules.indexes:
        for forge, each in index.repositories:
            example = Repository(each.owner, each.name.replace("*", "x"))
            if not any(covering(rules, forge.web, example, client) for client in index.clients or (None,)):
                what = "they are downloaded where the index is a web server of its own alone"
                yield f"index `{index.name}`: no rule serves the files of {each} through the proxy: {what}"


def unreachable(egress: Egress | None, host: Host) -> str | None:
    """Why no client gets to that host, which may stand for several; None where one may."""
    if egress is None or egress.report_only:
        return None
    # a pattern is no name of a host: what covers it covers all that it stands for
    if denied := next((each for each in egress.deny if each.covers(host.name, host.port)), None):
        return f"`egress.deny` has `{denied}`"
    if egress.allow is not None and not any(_meet(each, host) for each in egress.allow):
        return f"`egress.allow` has no `{host}`"
    return None


def _meet(entry: Destination, host: Host) -> bool:
    """Whether some server falls under both."""
    below = host.is_pattern and host.port in entry.ports and entry.name.endswith(host.name.removeprefix("*"))
    return below or entry.covers(host.name, host.port)


def _length(network: Network) -> int:
    return network.prefixlen


def _by_word(headers: Iterable[Header]) -> dict[str, str]:
    """The names of headers, by what becomes of those that the client sent."""
    names: dict[str, list[str]] = {}
    for header in headers:
        word = "placeholder" if isinstance(header.on_existing, Placeholder) else header.on_existing
        names.setdefault(word, []).append(header.name)
    return {word: ", ".join(them) for word, them in names.items()}
