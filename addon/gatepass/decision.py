"""What to do with a request, and how: pure functions from frozen values to frozen values.

No I/O, no clock, no environment, no flow. A decision names a credential; it never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from gatepass.forge import api, graphql, urls
from gatepass.forge.sources import parse_git
from gatepass.http.conditions import CONDITIONS, span
from gatepass.http.fields import folded
from gatepass.problems import catalogue
from gatepass.rules.model import (
    DOWNLOADS,
    CallApi,
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

    from gatepass.forge.api import Call
    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.sources import DownloadRef, GitRef
    from gatepass.forge.urls import Repository
    from gatepass.http.fields import Field
    from gatepass.placeholder import Placeholders, Sent
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
    call: Call | None = None
    """What is asked of an API; None for GraphQL, too, where the body tells it."""

    @property
    def repository(self) -> Repository | None:
        """The one that the credential is for, where it is for one alone."""
        if isinstance(self.rule.action, CallApi):
            asked = None if self.call is None else self.call.repository
            return asked or self.rule.action.repository
        return None if self.git is None else self.git.repository

    @property
    def permissions(self) -> tuple[tuple[str, str], ...]:
        """What an App's token is to have, where it is not the usual."""
        return self.rule.action.granted if isinstance(self.rule.action, CallApi) else ()

    @property
    def is_graphql(self) -> bool:
        """Whether its body is a question of GraphQL that has to be judged."""
        return self.call is None and isinstance(self.rule.action, CallApi) and self.rule.action.graphql != "any"

    @property
    def is_unread(self) -> bool:
        """Whether its body has to be read: it alone tells what is to be done, or uploaded, which may not be."""
        if self.is_graphql:
            return True
        may_push = isinstance(self.rule.action, ServeGit) and self.rule.action.may_push
        return self.git is not None and self.git.use == "batch" and not may_push


type Decision = Pass | Refuse | Resolve | Inject


MOST_READ: Final = 1024 * 1024
"""Bytes of a body that has to be read; a thousand objects of LFS are some 100 KiB."""

_PASS: Final = Pass()
# Any user will do (FACTS.md); this one is what GitHub's documentation has for the tokens of Apps.
_BASIC: Final = Template("{basic:x-access-token}")


# A method other than the one in the first line, which some servers heed.
_OVERRIDES: Final = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
_BEARER: Final = Template("Bearer {credential}")


def decide(request: Request, rules: Rules, placeholders: Placeholders | None = None) -> Decision:
    """What the rules make of a request; `placeholders` are those that its client may have for secrets."""
    sent = None if placeholders is None else placeholders.find(request.headers, request.path)
    if sent is not None and (strayed := _strayed(request, sent)):
        return Refuse(strayed)
    if request.scheme != "https":
        return _PASS
    path = request.path.partition("?")[0]
    matching = list(rules.matching(request.host, request.path, request.method))
    if sent is not None:
        matching = [rule for rule in matching if not sent.variables.isdisjoint(rule.variables)]
    rule = next((rule for rule in matching if rule.is_for(request.client)), None)
    if not matching and rules.of_api and (beyond := _beyond(request, path, rules, sent)):
        return beyond
    if sent is not None and (beside := _beside(request, rule, matching, sent)):
        return beside
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
            if rule.variables and sent is None:
                return _PASS
            if isinstance(served := _git(rule, action, request), Pass):
                return served
            decision = served
        case CallApi() as action:
            if isinstance(called := _call(rule, action, request, path, sent), Pass):
                return called
            decision = called
        case InjectHeaders() as action:
            decision = _inject(rule, action, request, sent)
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
    if git.use == "batch" and not action.may_push and (what := _unreadable(request, MOST_READ)):
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


def _strayed(request: Request, placeholders: Sent) -> Problem | None:
    """Why a request that brings placeholders is refused whatever it asks for."""
    if placeholders.is_stale:
        return catalogue.STALE_PLACEHOLDER()
    if placeholders.in_target:
        return _misplaced(placeholders.in_target, "in its path or query")
    return _misplaced(placeholders.variables, "over plain http") if request.scheme != "https" else None


def _misplaced(variables: Collection[str], place: str) -> Problem:
    return catalogue.MISPLACED_PLACEHOLDER(name=", ".join(sorted(variables)), place=place)


def _beside(request: Request, rule: Rule | None, matching: Collection[Rule], placeholders: Sent) -> Refuse | None:
    """Why a request may not bring its placeholders to that rule, or to none; `matching` have one of them."""
    if rule is None:
        place = f"to {request.host}, beside its rule"
        return None if matching else Refuse(_misplaced(placeholders.variables, place))
    for header, variables in placeholders.headers.items():
        if header not in rule.own_headers:
            return Refuse(_misplaced(variables, f"in the header `{header}`"), rule.name)
        if strange := variables.difference(rule.variables):
            return Refuse(_misplaced(strange, f"to {request.host}, beside its rule"), rule.name)
    return None


def _beyond(request: Request, path: str, rules: Rules, placeholders: Sent | None) -> Refuse | None:
    """Why a request that falls under no rule is refused at an API: it would be asked with what is another's.

    That is one that brings the placeholder of a rule for that API, or that nobody but such a rule would sign.
    """
    reached = [rule for rule in rules.of_api if rule.is_for(request.client) and _reaches(rule, request.host, path)]
    if placeholders is not None:
        mine = [rule for rule in reached if not placeholders.variables.isdisjoint(rule.variables)]
        if not placeholders.headers.keys() <= {"authorization"}:
            mine = []
    else:
        mine = [rule for rule in reached if not rule.variables and _is_outside(rule, request.host, path)]
        if any(_sent(request, "Authorization")):
            mine = []
    if not mine:
        return None
    names = [f"{rule.action.owner}/{rule.action.name}" for rule in mine if isinstance(rule.action, CallApi)]
    return Refuse(catalogue.API_OUTSIDE_RULES(name=f"{request.method} {path}", names=names), mine[0].name)


def _reaches(rule: Rule, host: Host, path: str) -> bool:
    return isinstance(rule.action, CallApi) and rule.action.reaches(host, path)


def _is_outside(rule: Rule, host: Host, path: str) -> bool:
    """Whether a path of an API is below no repository, or cannot be told."""
    assert isinstance(rule.action, CallApi)
    call = rule.action.call(host, path)
    return call is None or call.is_outside


def _call(
    rule: Rule, action: CallApi, request: Request, path: str, placeholders: Sent | None
) -> Inject | Refuse | Pass:
    """What becomes of a call of an API that is the rule's to judge."""
    if placeholders is None and (rule.variables or any(_sent(request, "Authorization"))):
        return _PASS  # nothing that is the rule's is asked for
    call = None if action.is_graphql(request.host, path) else action.call(request.host, path)
    headers, credential = (("Authorization", _BEARER),), rule.credentials[0]
    # a token that is for no one repository is for those of its owner's installation
    decision = Inject(
        rule, request.host, headers, frozenset(), credential.owned_by(action.owner), action.forge, call=call
    )
    name = f"{request.method} {path}"
    if any(value for each in _OVERRIDES for value in _sent(request, each)):
        told = "no header that may stand for another method"
        problem = catalogue.API_NOT_ALLOWED(name=name, rule=rule.name, what=told, hint="send it without")
        return Refuse(problem, rule.name)
    if call is None:
        is_read = action.graphql != "any" and request.method == "POST"
        if is_read and (flaw := _unreadable(request, graphql.MOST_BYTES)):
            return Refuse(catalogue.UNREADABLE_GRAPHQL(what=flaw), rule.name)
        # under `none` nothing of it goes out, and no secret is asked for
        return replace(decision, headers=(), credential=None) if action.graphql == "none" else decision
    if call.is_outside:
        if request.method in api.READING:
            return decision
        told = "what is outside of a repository may be read alone"
        problem = catalogue.API_NOT_ALLOWED(name=name, rule=rule.name, what=told, hint=None)
        return Refuse(problem, rule.name)
    if api.may(action.access, request.method, call.rest):
        return decision
    what, hint = _allowed(action, request.method, call.rest)
    return Refuse(catalogue.API_NOT_ALLOWED(name=name, rule=rule.name, what=what, hint=hint), rule.name)


_WORDS: Final = {
    "read": "reading",
    "issues": "reading, and writing issues and pull requests",
    "write": "reading and writing, but administration, hooks and secrets",
}


def _allowed(action: CallApi, method: str, rest: str) -> tuple[str, str | None]:
    """What a rule allows below its repositories, and which word would allow that."""
    what = _WORDS[action.access] if isinstance(action.access, str) else ", ".join(map(str, action.access))
    more: tuple[api.Word, ...] = ("read", "issues", "write")
    word = next((word for word in more if api.may(word, method, rest)), None)
    return what, None if word is None else f"if it is to be allowed, have the rule say `access: {word}`"


def _inject(rule: Rule, action: InjectHeaders, request: Request, placeholders: Sent | None) -> Inject | Refuse:
    sent = {header.name: list(_sent(request, header.name)) for header in action.headers}
    refused = [header.name for header in action.headers if header.on_existing == "refuse" and sent[header.name]]
    if refused:
        return Refuse(catalogue.HEADER_PRESENT(rule=rule.name, names=refused))
    headers = tuple(
        (header.name, header.template) for header in action.headers if _is_due(header, sent[header.name], placeholders)
    )
    needed = any(template.needs_secret for _, template in headers)
    return Inject(rule, request.host, headers, action.dropped, rule.credentials[0] if needed else None, action.forge)


def _unreadable(request: Request, most: int) -> str | None:
    """Why the body of a request cannot be held and read, before it is there; None when it can."""
    length = next(_sent(request, "Content-Length"), "")
    if any(_sent(request, "Transfer-Encoding")) or not (length.isascii() and length.isdigit()):
        return "its length is not told"
    if int(length[:20]) > most:
        return f"it has {length} bytes, and {most} are read"
    return "its content is encoded" if any(_sent(request, "Content-Encoding")) else None


def _sent(request: Request, name: str) -> Iterator[str]:
    """The values that the client sent under a header's name."""
    return (
        value.decode("latin-1").strip()
        for key, value in request.headers
        if folded(key.decode("latin-1")) == folded(name)
    )


def _is_due(header: Header, sent: list[str], placeholders: Sent | None) -> bool:
    """Whether a header is to be set on a request on which the client sent these of its name."""
    match header.on_existing:
        case "keep":
            return not sent
        case Placeholder(None):
            return placeholders is not None and folded(header.name) in placeholders.headers
        case Placeholder(str(text)):
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
