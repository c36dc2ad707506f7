"""What to do with a request, and how: pure functions from frozen values to frozen values.

No I/O, no clock, no environment, no flow. A decision names a credential; it never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from . import problems, urls
from .rules import InjectHeaders, ResolveRelease

if TYPE_CHECKING:
    from collections.abc import Container

    from .forges import Forge, Host
    from .github import Located, SignedUrl
    from .rules import Credential, Rule, Rules


@dataclass(frozen=True, slots=True)
class Request:
    """The facts of a request that a decision rests on.

    `host` is the real destination of the connection, never what the Host header says. `path` is raw, with its query.
    `verified` tells whether upstream certificates are checked.
    """

    scheme: str
    host: Host
    method: str
    path: str
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """Not ours: the request goes on as it came, without a credential."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Ours, but to serve it would not be safe."""

    problem: problems.Problem


@dataclass(frozen=True, slots=True)
class Resolve:
    """A release asset, to be found through the API of its forge."""

    rule: Rule
    forge: Forge
    credential: Credential
    ref: urls.AssetRef


@dataclass(frozen=True, slots=True)
class Inject:
    """Headers to be set on the request, which goes where it was going."""

    rule: Rule
    action: InjectHeaders
    credential: Credential


type Decision = Pass | Refuse | Resolve | Inject

PASS: Final = Pass()


def decide(request: Request, rules: Rules) -> Decision:
    """What the rules make of a request."""
    if request.scheme != "https" or request.method not in ("GET", "HEAD"):
        return PASS
    path = request.path.partition("?")[0]
    rule = rules.match(request.host, path)
    if rule is None:
        return PASS
    decision: Resolve | Inject
    match rule.action:
        case ResolveRelease(forge):
            ref = urls.parse(path)
            if ref is None:
                return PASS
            decision = Resolve(rule, forge, rule.credential, ref)
        case InjectHeaders() as action:
            decision = Inject(rule, action, rule.credential)
    if not request.verified:
        return Refuse(problems.unverified_upstream(request.host))
    return decision


class Want(Enum):
    """What a client wants of an asset."""

    ALL = auto()
    PART = auto()
    """A range, or all of it unless it is what the client has: the answer must come from the asset's own host."""
    HEADERS = auto()


CONDITIONS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
PARTIAL: Final = ("range", "if-range", *CONDITIONS)
"""The request headers that an asset host is sent on (RFC 9110, sections 13 and 14)."""


def want(method: str, headers: Container[str]) -> Want:
    """`headers` must find names whatever their case."""
    if method == "HEAD":
        return Want.HEADERS
    return Want.PART if any(name in headers for name in PARTIAL) else Want.ALL


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The request goes to the asset endpoint of the API, with the credential."""

    api_url: str


@dataclass(frozen=True, slots=True)
class Serve:
    """The request goes to the asset host, without a credential, and is answered in place."""

    signed: SignedUrl


@dataclass(frozen=True, slots=True)
class Describe:
    """A HEAD: answered with what the first byte tells, asked for where `source` says."""

    source: Rewrite | Serve


type Plan = Rewrite | Serve | Describe


def plan(wanted: Want, located: Located, signed: SignedUrl | None) -> Plan:
    """How to give the client what it wants.

    `signed` is None for a full GET, whose redirect the client follows itself, and for a forge that streams.
    """
    source = Rewrite(located.api_url) if signed is None else Serve(signed)
    return Describe(source) if wanted is Want.HEADERS else source
