"""What to do with a request, and how: pure functions from frozen values to frozen values.

No I/O, no clock, no environment, no flow. A decision names a credential; it never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Final

from gatepass.forge import urls
from gatepass.http.conditions import CONDITIONS, span
from gatepass.http.fields import folded
from gatepass.problems import catalogue
from gatepass.rules.model import DOWNLOADS, InjectHeaders, Placeholder, ResolveRelease

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gatepass.forge.hosts import Forge, Host
    from gatepass.http.fields import Field
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Header, Rule, Rules
    from gatepass.rules.values import Template


@dataclass(frozen=True, slots=True)
class Request:
    """The facts of a request that a decision rests on.

    `host` is the real destination of the connection, never what the Host header says. `path` is raw, with its query.
    `verified` tells whether upstream certificates are checked. `headers` are the client's, which may hold its secrets;
    `has_body` tells whether it announces a body. `client` is the name of who asks, None for who has none; `account` is
    whom it counts for, None for who is not counted.
    """

    scheme: str
    host: Host
    method: str
    path: str
    verified: bool = True
    headers: Collection[Field] = field(default=(), repr=False)
    has_body: bool = False
    client: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """Not ours: the request goes on as it came, without a credential.

    `ref` is the asset that it asks for, where a rule resolves others of that host; `would_refuse` is why it would not
    go on if the rules did not only report.
    """

    ref: urls.AssetRef | None = None
    would_refuse: Refuse | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Ours, but to serve it would not be safe; or another's, by the rule of that name."""

    problem: Problem
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """A release asset of a forge, to be found: by asking as anybody may, or through the API, on that `account`."""

    rule: Rule
    forge: Forge
    anonymous_first: bool
    credentials: tuple[Credential, ...]
    ref: urls.AssetRef
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Inject:
    """Headers to be set on the request, which goes to `host`, as it was going, and others to be taken off the response.

    `credential` is None when no header needs one.
    """

    rule: Rule
    host: Host
    headers: tuple[tuple[str, Template], ...]
    dropped: frozenset[str]
    credential: Credential | None
    forge: Forge | None


type Decision = Pass | Refuse | Resolve | Inject


_PASS: Final = Pass()


def decide(request: Request, rules: Rules) -> Decision:
    """What the rules make of a request."""
    if request.scheme != "https":
        return _PASS
    path = request.path.partition("?")[0]
    matching = list(rules.matching(request.host, path, request.method))
    rule = next((rule for rule in matching if rule.is_for(request.client)), None)
    if rule is None and (other := next(filter(partial(_acts_on, path), matching), None)):
        problem = catalogue.CLIENT_NOT_ALLOWED(rule=other.name, names=other.clients, client=request.client)
        refusal = Refuse(problem, other.name)
        return Pass(would_refuse=refusal) if rules.access.is_reporting else refusal
    if rule is None:
        is_forge = request.method in DOWNLOADS and any(
            isinstance(other.action, ResolveRelease) for other in rules.rules if other.match.host == request.host
        )
        return Pass(urls.parse(path)) if is_forge else _PASS
    decision: Resolve | Inject | Refuse
    match rule.action:
        case ResolveRelease(forge, anonymous_first):
            ref = urls.parse(path)
            if ref is None:
                return _PASS
            decision = Resolve(rule, forge, anonymous_first, rule.credentials, ref, request.account)
        case InjectHeaders() as action:
            decision = _inject(rule, action, request)
    if not request.verified:
        return Refuse(catalogue.UNVERIFIED_UPSTREAM(host=request.host))
    if request.has_body and isinstance(decision, Resolve):
        return Refuse(catalogue.UNEXPECTED_BODY())
    return decision


def _acts_on(path: str, rule: Rule) -> bool:
    """Whether the rule would do something about that path."""
    return not isinstance(rule.action, ResolveRelease) or urls.parse(path) is not None


def _inject(rule: Rule, action: InjectHeaders, request: Request) -> Inject | Refuse:
    sent = {header.name: list(_sent(request, header.name)) for header in action.headers}
    refused = [header.name for header in action.headers if header.on_existing == "refuse" and sent[header.name]]
    if refused:
        return Refuse(catalogue.HEADER_PRESENT(rule=rule.name, names=refused))
    headers = tuple((header.name, header.template) for header in action.headers if _is_due(header, sent[header.name]))
    needed = any(template.needs_secret for _, template in headers)
    return Inject(rule, request.host, headers, action.dropped, rule.credentials[0] if needed else None, action.forge)


def _sent(request: Request, name: str) -> Iterator[str]:
    """The values that the client sent under a header's name."""
    return (
        value.decode("latin-1").strip()
        for key, value in request.headers
        if folded(key.decode("latin-1")) == folded(name)
    )


def _is_due(header: Header, sent: list[str]) -> bool:
    """Whether a header is to be set on a request on which the client sent these of its name."""
    match header.on_existing:
        case "keep":
            return not sent
        case Placeholder(text):
            return header.template.render(text) in sent
    return True


MOST_IN_MEMORY: Final = 1024 * 1024
"""Bytes. A part up to this size is fetched over a connection that is there already; uv asks for 16 KiB."""


class Want(Enum):
    """What a client wants of an asset, which decides where it is answered."""

    WHOLE = auto()
    """A redirect to a signed URL, so that the bytes travel past the proxy; through it where the forge streams."""
    NEWER = auto()
    """The whole, unless it is what the client has: told by the validators that the first byte brings."""
    HEADERS = auto()
    """What the first byte tells: a HEAD of a signed URL is refused (FACTS.md, the HEAD trap)."""
    EXCERPT = auto()
    """A small part, answered in place: uv does not follow the redirect of a range request (FACTS.md)."""
    PART = auto()
    """A part of any size, or under conditions that its own host must judge: streamed from there."""


def want(method: str, headers: Mapping[str, str]) -> Want:
    """`headers` must find names whatever their case."""
    if method == "HEAD":
        return Want.HEADERS
    if "range" in headers:
        size = span(headers["range"])
        return Want.EXCERPT if size is not None and size <= MOST_IN_MEMORY else Want.PART
    if "if-match" in headers or "if-unmodified-since" in headers:
        return Want.PART
    return Want.NEWER if any(name in headers for name in CONDITIONS) else Want.WHOLE
