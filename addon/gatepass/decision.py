"""What to do with a request, and how: pure functions from frozen values to frozen values.

No I/O, no clock, no environment, no flow. A decision names a credential; it never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from gatepass.forge import urls
from gatepass.forge.sources import parse_git
from gatepass.http.conditions import CONDITIONS, span
from gatepass.http.fields import folded
from gatepass.problems import catalogue
from gatepass.rules.model import (
    DOWNLOADS,
    InjectHeaders,
    Placeholder,
    ResolveRelease,
    ResolveSource,
    ServeGit,
    source_at,
)
from gatepass.rules.values import Template

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef, GitRef
    from gatepass.http.fields import Field
    from gatepass.problems.problem import Problem
    from gatepass.rules.model import Credential, Header, Rule, Rules


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

    `ref` is the asset or source that it asks for, where a rule resolves others of that host; `would_refuse` is why it
    would not go on if the rules did not only report.
    """

    ref: DownloadRef | None = None
    would_refuse: Refuse | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Ours, but to serve it would not be safe; or another's, by the rule of that name."""

    problem: Problem
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """An asset or source of a forge, to be found: by asking as anybody may, or through the API, on that `account`."""

    rule: Rule
    forge: Forge
    anonymous_first: bool
    credentials: tuple[Credential, ...]
    ref: DownloadRef
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Inject:
    """Headers to be set on the request, which goes to `host`, as it was going, and others to be taken off the response.

    `credential` is None when no header needs one. `git` is what git asks for, where it is git that asks; whether
    anybody may have it is to be asked first when it is `anonymous_first`.
    """

    rule: Rule
    host: Host
    headers: tuple[tuple[str, Template], ...]
    dropped: frozenset[str]
    credential: Credential | None
    forge: Forge | None
    git: GitRef | None = None
    anonymous_first: bool = False

    @property
    def is_unread(self) -> bool:
        """Whether its body has to be read: it alone tells whether something is to be uploaded, which may not be."""
        may_push = isinstance(self.rule.action, ServeGit) and self.rule.action.may_push
        return self.git is not None and self.git.use == "batch" and not may_push


type Decision = Pass | Refuse | Resolve | Inject


MOST_READ: Final = 1024 * 1024
"""Bytes of a body that has to be read; a thousand objects of LFS are some 100 KiB."""

_PASS: Final = Pass()
# Any user will do (FACTS.md); this one is what GitHub's documentation has for the tokens of Apps.
_BASIC: Final = Template("{basic:x-access-token}")


def decide(request: Request, rules: Rules) -> Decision:
    """What the rules make of a request."""
    if request.scheme != "https":
        return _PASS
    path = request.path.partition("?")[0]
    matching = list(rules.matching(request.host, request.path, request.method))
    rule = next((rule for rule in matching if rule.is_for(request.client)), None)
    if rule is None and (other := next(iter(matching), None)):
        problem = catalogue.CLIENT_NOT_ALLOWED(rule=other.name, names=other.clients, client=request.client)
        refusal = Refuse(problem, other.name)
        return Pass(would_refuse=refusal) if rules.access.is_reporting else refusal
    if rule is None:
        ref = _unnamed(request.host, path, rules) if request.method in DOWNLOADS else None
        return _PASS if ref is None else Pass(ref)
    decision: Resolve | Inject | Refuse
    match rule.action:
        case ResolveRelease(forge, anonymous_first):
            ref = urls.parse(path)
            assert ref is not None, "a rule takes the URLs of its own kind alone"
            decision = Resolve(rule, forge, anonymous_first, rule.credentials, ref, request.account)
        case ResolveSource(forge, anonymous_first):
            source = source_at(forge, request.host, path)
            assert source is not None, "as above"
            decision = Resolve(rule, forge, anonymous_first, rule.credentials, source, request.account)
        case ServeGit() as action:
            if isinstance(served := _git(rule, action, request), Pass):
                return served
            decision = served
        case InjectHeaders() as action:
            decision = _inject(rule, action, request)
    if not request.verified:
        return Refuse(catalogue.UNVERIFIED_UPSTREAM(host=request.host))
    if request.has_body and isinstance(decision, Resolve):
        return Refuse(catalogue.UNEXPECTED_BODY())
    return decision


def _unnamed(host: Host, path: str, rules: Rules) -> DownloadRef | None:
    """What a path asks for that no rule matches, where a rule is for others of that host."""
    for other in rules.rules:
        ref: DownloadRef | None = None
        match other.action:
            case ResolveRelease() if other.match.host == host:
                asset = urls.parse(path)
                ref = None if asset is None or asset.is_list else asset  # a page is the web host's
            case ResolveSource(forge) if other.match.host == host:
                ref = source_at(forge, host, path)
        if ref is not None:
            return ref
    return None


def _git(rule: Rule, action: ServeGit, request: Request) -> Inject | Refuse | Pass:
    """What becomes of a request of git, whose own servers take nothing but Basic."""
    git = parse_git(request.method, request.path)
    assert git is not None, "a rule takes the URLs of its own kind alone"
    is_sent = any(_sent(request, "Authorization"))
    if is_sent and action.on_existing == "refuse":
        return Refuse(catalogue.HEADER_PRESENT(rule=rule.name, names=["Authorization"]), rule.name)
    if is_sent and action.on_existing == "keep":
        return _PASS
    if git.use == "push" and not action.may_push:
        return Refuse(catalogue.PUSH_REFUSED(repository=git.repository, rule=rule.name), rule.name)
    if git.use == "batch" and not action.may_push and (what := _unreadable(request)):
        return Refuse(catalogue.UNREADABLE_BATCH(what=what), rule.name)
    # nobody may push without a credential
    may_pass = git.use == "fetch" or (git.use == "batch" and not action.may_push)
    return Inject(
        rule,
        request.host,
        (("Authorization", _BASIC),),
        frozenset(),
        rule.credentials[0],
        action.forge,
        git,
        action.anonymous_first and may_pass,
    )


def _inject(rule: Rule, action: InjectHeaders, request: Request) -> Inject | Refuse:
    sent = {header.name: list(_sent(request, header.name)) for header in action.headers}
    refused = [header.name for header in action.headers if header.on_existing == "refuse" and sent[header.name]]
    if refused:
        return Refuse(catalogue.HEADER_PRESENT(rule=rule.name, names=refused))
    headers = tuple((header.name, header.template) for header in action.headers if _is_due(header, sent[header.name]))
    needed = any(template.needs_secret for _, template in headers)
    return Inject(rule, request.host, headers, action.dropped, rule.credentials[0] if needed else None, action.forge)


def _unreadable(request: Request) -> str | None:
    """Why the body of a request cannot be held and read, before it is there; None when it can."""
    length = next(_sent(request, "Content-Length"), "")
    if any(_sent(request, "Transfer-Encoding")) or not (length.isascii() and length.isdigit()):
        return "its length is not told"
    if int(length[:20]) > MOST_READ:
        return f"it has {length} bytes, and {MOST_READ} are read"
    return "its content is encoded" if any(_sent(request, "Content-Encoding")) else None


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
        case Placeholder(None):
            return False
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
