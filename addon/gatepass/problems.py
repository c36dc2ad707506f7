"""What went wrong, in words: for the client as problem details (RFC 9457), for the log as one line.

Pure: makes texts from facts and looks for none. No text here may hold a secret or a signed URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, assert_never

import msgspec

from gatepass.sources import Command, Default, Env, File, Gh, Git, GitHubApp, Keyring, Netrc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.urls import AssetRef, Repository
    from gatepass.secret import Secret
    from gatepass.sources import Source

CONTENT_TYPE: Final = "application/problem+json"
"""Without a charset: uv reads the details of exactly this type (FACTS.md, measured)."""

_MOST_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure. `kind` is stable and for machines; title, detail and hint are for people.

    `status` is what a GET is answered with. `retry_after` is in seconds. `members` are the extension members of
    RFC 9457, section 3.2: owner, repo, tag, asset, credential, credential-source, request-id, candidates, and what else
    is known.
    """

    kind: str
    status: int
    title: str
    detail: str
    hint: str
    retry_after: int | None = None
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The `type` URI of RFC 9457."""
        return f"urn:gatepass:problem:{self.kind}"

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}; hint: {self.hint}"

    def about(self, **members: object) -> Problem:
        """The same with these members (an underscore stands for a hyphen), less those that are None."""
        known = {name.replace("_", "-"): value for name, value in members.items() if value is not None}
        return replace(self, members={**known, **self.members})

    def body(self) -> bytes:
        """The JSON document that a GET is answered with."""
        document = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            # uv shows title and detail and nothing else, so the way out stands in the detail too
            "detail": f"{self.detail}; hint: {self.hint}",
            "hint": self.hint,
            **self.members,
        }
        if self.retry_after is not None:
            document["retry-after"] = self.retry_after
        return msgspec.json.encode(document)

    @property
    def reason(self) -> str:
        """The reason phrase, which pip, wget and `curl -i` show: ASCII, short."""
        return f"gatepass: {self.title}".encode("ascii", "replace").decode()[:80]


class Unresolvable(Exception):
    """Raised on the way to an asset when there is no going on; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


# ----------------------------------------------------------------- the addon


def internal() -> Problem:
    return Problem(
        "internal",
        500,
        "gatepass failed",
        "the addon met something that it does not expect; mitmproxy's log holds the details",
        "report it, with the log",
    )


def misconfigured(message: str, hint: str | None) -> Problem:
    return Problem("misconfigured", 500, "gatepass is set up wrong", message, hint or "see the proxy's log")


def unverified_upstream(host: Host) -> Problem:
    return Problem(
        "unverified-upstream",
        502,
        "upstream certificates are not verified",
        f"mitmproxy runs with `ssl_insecure`, so no credential is sent for {host}",
        "start it without `ssl_insecure`, and name a private CA with `ssl_verify_upstream_trusted_ca`",
    )


def unexpected_body() -> Problem:
    return Problem(
        "unexpected-body",
        400,
        "a download has no body",
        "the request for an asset came with a body",
        "ask without one",
    )


def header_present(rule: str, names: Iterable[str]) -> Problem:
    return Problem(
        "header-present",
        403,
        "the request brings a header of its own",
        f"rule `{rule}` sets {_listed(names)}, and refuses requests that have it already",
        "send it without, or let the rule say `on_existing: replace`",
    )


def not_in_rules(ref: AssetRef, patterns: Iterable[str]) -> Problem:
    named = ", ".join(f"`{pattern}`" for pattern in patterns)
    return Problem(
        "not-in-rules",
        404,
        "not found, and no rule covers it",
        f"no credential was used for {ref.repository}: the rules name {named}",
        f"if it is private, add a rule whose `match` covers the owner `{ref.repository.owner}`",
    ).about(owner=ref.repository.owner, repo=ref.repository.name, tag=ref.tag, asset=ref.name)


# ---------------------------------------------------------------- credential


def no_credential(name: str, tried: Iterable[tuple[Source, str]]) -> Problem:
    """`tried` are the sources, each with the reason why it has none."""
    asked = list(tried)
    reasons = ", ".join(f"`{source}` {reason}" for source, reason in asked)
    remedies = list(dict.fromkeys(_remedy(source) for source, _ in asked))
    return Problem(
        "no-credential",
        401,
        "no credential found",
        f"credential `{name}` has no value: {reasons}",
        f"where the proxy runs: {', or '.join(remedies[:3])}",
    )


def _remedy(source: Source) -> str:
    match source:
        case Env():
            return "set the variable, and start it again"
        case Gh():
            return "`gh auth login`"
        case File():
            return "write the file, with the mode 0600"
        case Command():
            return "run the command by hand, and see what it says"
        case Git():
            return "ask by hand, with `git credential fill`"
        case Netrc():
            return "add the machine to the netrc"
        case Keyring(service, user):
            return f"`keyring set {service} {user}`"
        case GitHubApp():
            return "see to the App's private key"
        case Default():
            return "`gh auth login`, or set a variable"
    assert_never(source)


def unusable_secret(source: Source, what: str) -> Problem:
    return Problem(
        "unusable-secret",
        401,
        "unusable credential",
        f"what `{source}` gives is no token: {what}",
        "let it be the token alone, without line breaks, quotes or non-ASCII characters",
    )


def exposed_secret(source: Source, path: Path, mode: int) -> Problem:
    return Problem(
        "exposed-secret",
        401,
        "the credential's file is open to others",
        f"`{source}` has the mode {mode:04o}: other users of the machine may read it",
        f"`chmod 600 {path}`, and make a new token if others may have read this one",
    )


# ---------------------------------------------------------------- GitHub Apps


def unusable_key(app: GitHubApp) -> Problem:
    return Problem(
        "unusable-key",
        401,
        "unusable private key",
        f"what `{app.key}` holds for `{app}` is no RSA private key in PEM, without a passphrase",
        "set the whole file that the App's settings gave out, or generate another key there",
    )


def app_without_installation(app: GitHubApp) -> Problem:
    return Problem(
        "app-without-installation",
        401,
        "which installation of the App is not said",
        f"`{app}` is wanted for no repository, so its installation cannot be found",
        "name it under `github-app:` as `installation: NUMBER`, or its account as `owner: NAME`",
    )


def app_not_accepted(app: GitHubApp, forge: Forge, message: str) -> Problem:
    return Problem(
        "app-not-accepted",
        401,
        "the GitHub App is not accepted",
        f"{forge.api_host} does not accept `{app}` with the key from `{app.key}`: {message or 'it gives no reason'}",
        "see that id and private key are of the same App, and that the clock of the proxy's machine is right",
    )


def app_suspended(app: GitHubApp, forge: Forge) -> Problem:
    return Problem(
        "app-suspended",
        403,
        "the GitHub App is suspended",
        f"the installation of `{app}` on {forge.web} is suspended",
        "let an owner of the account unsuspend it, in its settings under GitHub Apps",
    )


def app_not_installed(app: GitHubApp, forge: Forge, repository: Repository | None) -> Problem:
    where = str(repository) if repository else app.owner
    what = f"`{app}` has no installation for {where}" if where else f"`{app}` has no installation {app.installation}"
    return Problem(
        "app-not-installed",
        404,
        "the GitHub App is not installed there",
        f"{what} on {forge.web}, or the repository does not exist",
        "check the spelling; if it exists, install the App there, or select the repository in its installation",
    )


def app_lacks_permission(app: GitHubApp, forge: Forge, message: str) -> Problem:
    return Problem(
        "app-lacks-permission",
        403,
        "the GitHub App lacks a permission",
        f"{forge.api_host} gives `{app}` no token that may read contents: {message or 'it gives no reason'}",
        "give the App the permission `Contents: read`, and let the account's owner accept it",
    )


# --------------------------------------------------------------------- tokens


def bad_credential(forge: Forge, secret: Secret) -> Problem:
    return Problem(
        "bad-credential",
        401,
        "bad credential",
        f"{forge.api_host} does not accept the {secret.kind} from `{secret.source}`: mistyped, revoked or expired",
        "make a new token, and set the whole of it",
    )


def expired_credential(forge: Forge, secret: Secret, expired: datetime) -> Problem:
    return Problem(
        "expired-credential",
        401,
        "credential expired",
        f"{forge.api_host} does not accept the {secret.kind} from `{secret.source}`: it expired on {expired:%Y-%m-%d}",
        "make a new token, or renew this one, and set it",
    )


def locked_out(forge: Forge, secret: Secret) -> Problem:
    return Problem(
        "locked-out",
        403,
        "locked out for a while",
        f"{forge.api_host} saw too many bad credentials from here, and refuses the good ones too, "
        f"that from `{secret.source}` among them",
        "stop what sends a bad token, and wait some minutes",
    )


def sso_required(forge: Forge, secret: Secret, url: str | None) -> Problem:
    return Problem(
        "sso-required",
        403,
        "SSO authorisation missing",
        f"the organisation demands single sign-on, and the {secret.kind} from `{secret.source}` is not authorised",
        f"authorise it at {url}" if url else f"authorise it in the token settings of {forge.web}",
    ).about(authorise_at=url)


def address_not_allowed(forge: Forge, secret: Secret) -> Problem:
    return Problem(
        "address-not-allowed",
        403,
        "not on the IP allow list",
        f"the organisation on {forge.web} admits listed addresses alone, and that of this proxy is not one of them; "
        f"the credential from `{secret.source}` is good",
        "have the proxy's outgoing address added to the organisation's IP allow list",
    )


def forbidden(forge: Forge, secret: Secret, message: str) -> Problem:
    return Problem(
        "forbidden",
        403,
        "access refused",
        f"{forge.api_host} refuses the {secret.kind} from `{secret.source}`: {message}",
        "see that it has the permission `Contents: read` for the repository",
    )


def rate_limited(forge: Forge, secret: Secret, retry_after: int) -> Problem:
    return Problem(
        "rate-limited",
        429,
        "API rate limit exceeded",
        f"the budget of the {secret.kind} from `{secret.source}` at {forge.api_host} is used up; "
        f"it is full again in {_span(retry_after)}",
        "wait, or use a credential with a larger budget, such as a GitHub App's",
        retry_after,
    )


def slowed_down(forge: Forge, secret: Secret, retry_after: int) -> Problem:
    return Problem(
        "secondary-rate-limited",
        429,
        "secondary rate limit exceeded",
        f"{forge.api_host} had too many requests at once with the {secret.kind} from `{secret.source}`; "
        f"it answers again in {_span(retry_after)}",
        "wait, and ask for less at once",
        retry_after,
    )


_LEAST_TELLING: Final = ("app-not-installed", "repository-not-visible", "release-not-found", "no-credential")
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


# --------------------------------------------------------------------- asset


def release_not_found(ref: AssetRef, secret: Secret) -> Problem:
    release = "a latest release" if ref.tag is None else f"release `{ref.tag}`"
    return Problem(
        "release-not-found",
        404,
        "release not found",
        f"{release} of {ref.repository} does not exist, or the {secret.kind} from `{secret.source}` may not see it",
        "check owner, repository and tag, and that it has the permission `Contents: read` there",
    )


def repository_not_visible(forge: Forge, ref: AssetRef, secret: Secret) -> Problem:
    remedy = {
        "fine-grained token": "select the repository and grant `Contents: read` in the token's settings",
        "classic token": "give it the scope `repo`, and its owner access to the repository",
        "App or Actions token": "install the App on the repository with `Contents: read`; "
        "a workflow's own token sees its own repository alone",
    }.get(secret.kind, "grant its owner `Contents: read` on the repository")
    return Problem(
        "repository-not-visible",
        404,
        "repository not visible",
        f"{ref.repository} does not exist on {forge.web}, or the {secret.kind} from `{secret.source}` may not see it: "
        "GitHub does not tell which",
        f"check the spelling; if it exists, {remedy}",
    )


def tag_not_found(ref: AssetRef, tags: Iterable[str], renamed: Repository | None) -> Problem:
    known = list(tags)
    candidates = nearest(ref.tag or "", known)
    if not known:
        hint = "publish a release, or check the repository's name"
    elif candidates:
        hint = f"did you mean {_listed(candidates)}?"
    else:
        hint = f"its newest releases are {_listed(known[:_MOST_LISTED])}"
    what = "has no published release" if ref.tag is None else f"has no release with the tag `{ref.tag}`"
    return Problem("tag-not-found", 404, "release not found", f"{_named(ref, renamed)} {what}", hint).about(
        candidates=candidates or known[:_MOST_LISTED], renamed_to=renamed and str(renamed)
    )


def only_a_draft(ref: AssetRef, renamed: Repository | None) -> Problem:
    return Problem(
        "only-a-draft",
        404,
        "the release is a draft",
        f"{_named(ref, renamed)} has the tag `{ref.tag}` on a draft alone, whose assets have no download URL yet",
        "publish the release",
    )


def asset_not_found(ref: AssetRef, tag: str, names: Iterable[str], renamed: Repository | None) -> Problem:
    known = sorted(names)
    uploaded = upload_name(ref.name)
    if uploaded != ref.name and uploaded in known:
        candidates = [uploaded]
        hint = f"GitHub renames uploads: there it is `{uploaded}`"
    elif candidates := nearest(ref.name, known):
        hint = f"did you mean {_listed(candidates)}?"
    elif known:
        more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
        hint = f"it holds {_listed(known[:_MOST_LISTED])}{more}"
    else:
        hint = "it holds no assets: upload them"
    return Problem(
        "asset-not-found",
        404,
        "asset not found",
        f"release `{tag}` of {_named(ref, renamed)} has no asset `{ref.name}`",
        hint,
    ).about(candidates=candidates or known[:_MOST_LISTED], renamed_to=renamed and str(renamed))


def asset_not_uploaded(ref: AssetRef, state: str) -> Problem:
    return Problem(
        "asset-not-uploaded",
        404,
        "asset not fully uploaded",
        f"asset `{ref.name}` of {ref.repository} is in the state `{state}`",
        "wait for the upload, or delete the asset and upload it again",
    )


# ------------------------------------------------------------------- network


def name_not_resolved(host: Host, error: str) -> Problem:
    return Problem(
        "name-not-resolved",
        502,
        f"cannot resolve {host.name}",
        f"DNS has no address for {host.name}: {error}",
        "check the name, the network, and the resolver of the machine that the proxy runs on",
    )


def unreachable(host: Host, error: str) -> Problem:
    return Problem(
        "unreachable",
        502,
        f"cannot reach {host.name}",
        f"{host}: {error}",
        "check the network, and whether an upstream proxy is needed (`--mode upstream:…`)",
    )


def certificate_not_trusted(host: Host, error: str, issuer: str | None, trust: str) -> Problem:
    by = f", issued by `{issuer}`," if issuer else ""
    return Problem(
        "certificate-not-trusted",
        502,
        f"certificate of {host.name} not trusted",
        f"the certificate of {host}{by} was checked against {trust}: {error}",
        "if a company's CA stands between, name it with `ssl_verify_upstream_trusted_ca`, or in SSL_CERT_FILE for "
        "`gatepass run` and `gatepass serve`",
    )


def timed_out(host: Host, seconds: float) -> Problem:
    return Problem(
        "timed-out",
        504,
        f"no answer from {host.name}",
        f"{host} did not answer within {seconds:g} s",
        "try again; see the forge's status page",
    )


def upstream_failed(host: Host, status: int) -> Problem:
    return Problem(
        "upstream-failed",
        502,
        f"{host.name} failed",
        f"{host} answered {status}",
        "try again; see the forge's status page",
    )


def malformed(host: Host, what: str) -> Problem:
    return Problem(
        "malformed-answer",
        502,
        f"unexpected answer from {host.name}",
        f"{host}: {what}",
        "check that `api:` in the rules is the base URL of a GitHub API",
    )


def signed_url_refused(host: Host, status: int) -> Problem:
    return Problem(
        "signed-url-refused",
        502,
        "the asset host refused the signed URL",
        f"{host} answered {status} to a URL that the API has just signed",
        "try again; check the clock of the machine that the proxy runs on",
    )


# --------------------------------------------------------------------- words


def upload_name(name: str) -> str:
    """The name that GitHub gives a file on upload: special characters become dots (upload docs, FACTS.md)."""
    return re.sub(r"[^A-Za-z0-9._@+~-]+", ".", name).strip(".")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """What may have been meant, best first."""
    by_folded = {text.casefold(): text for text in known}
    found = get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    return [by_folded[text] for text in found]


def _named(ref: AssetRef, renamed: Repository | None) -> str:
    return f"{ref.repository} (now {renamed})" if renamed else str(ref.repository)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names if name.isprintable())


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} min"
