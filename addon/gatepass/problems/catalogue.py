"""All that can go wrong: each entry has a name, a status, a title, a detail (what is wrong) and a hint (what to do).

Knows nothing but words. How to read the places for facts, and the alternatives, stands in `kind`. docs/problems.md is
made from this file, with a heading for each name, where the `type` of a problem leads.
"""

from __future__ import annotations

from typing import Final

from gatepass.problems.kind import Kind

# A table, an entry a paragraph: what it is; then detail and hint, from a line of their own; a text goes on further in.
# fmt: off

# ----------------------------------------------------------------- the addon

INTERNAL: Final = Kind("internal", 500, "gatepass failed",
    "the addon met something that it does not expect; mitmproxy's log holds the details",
    "report it, with the log")
MISCONFIGURED: Final = Kind("misconfigured", 500, "gatepass is set up wrong",
    "{message}",
    ("{hint}", "see the proxy's log"))
UNVERIFIED_UPSTREAM: Final = Kind("unverified-upstream", 502, "upstream certificates are not verified",
    "mitmproxy runs with `ssl_insecure`, so no credential is sent for {host}",
    "start it without `ssl_insecure`, and name a private CA with `ssl_verify_upstream_trusted_ca`")
LED_ELSEWHERE: Final = Kind("led-elsewhere", 502, "the request was led elsewhere",
    "it was settled for {host}; another addon, an edit or a replay leads it to another place, where no secret goes",
    "see what changes requests: `map_remote`, other scripts, edits")
AUDIT_UNAVAILABLE: Final = Kind("audit-unavailable", 503, "no audit line can be written",
    "credentials are not used while the proxy cannot write down what is done with them: {error}; "
      "it is tried again within {retry_after:span}",
    "where the proxy runs: make room for the audit file, or let the proxy's user write it; `/readyz` tells why not")
PROXY_ITSELF: Final = Kind("proxy-itself", 403, "that is the proxy itself",
    "{name} is where this proxy listens: a request to it would come back for ever",
    "ask for another server, or ask this one past the proxy (NO_PROXY)")
OWN_NAME: Final = Kind("own-name", 501, "that name is the proxy's own",
    "{name} leads nowhere: the proxy itself answers to that name, in plain http, and by https on port 443",
    "ask for http://gatepass.internal/ through the proxy, or for a package index below https://gatepass.internal/")
NOT_VOUCHED_FOR: Final = Kind("not-vouched-for", 501, "the proxy's CA may not vouch for its own name",
    "package indexes are at {name}, and the CA was made for {names} alone: clients would refuse its certificate",
    "`gatepass ca renew` where the proxy runs, start it anew, and have its clients trust the new CA")
MALFORMED_REQUEST: Final = Kind("malformed-request", 400, "malformed request",
    "[{what}|it cannot be read]",
    "send a request as RFC 9112 has it, with other characters percent-encoded")
MISDIRECTED: Final = Kind("misdirected", 421, "misdirected request",
    "the request is for `{name}`, and this {what} is for {host} alone",
    "{remedy}",
    {"connection": "ask for {host}, or open a connection for the other",
     "index": "ask for it by its address, or as localhost; behind another server let `trusted_proxies` name that, or "
       "clients show a password (`clients`)",
     "": "ask for {host}, or for the proxy by its address"})
UNEXPECTED_BODY: Final = Kind("unexpected-body", 400, "a download has no body",
    "the request for an asset came with a body",
    "ask without one")
TOO_MANY_RANGES: Final = Kind("too-many-ranges", 416, "too many ranges at once",
    "the request names {more} parts of the asset, and 20 are the most that one may",
    "ask for fewer parts at once, or for the whole")
HEAD_TOO_LARGE: Final = Kind("head-too-large", 431, "the request's head is too large",
    "the request has more than 256 KiB of headers, or they have no end",
    "send fewer or shorter ones")
CHUNK_TOO_LARGE: Final = Kind("chunk-too-large", 400, "malformed chunked body",
    "the request's body has a chunk extension or a trailer of more than 256 KiB",
    "send it without")
HEADER_PRESENT: Final = Kind("header-present", 403, "the request brings a header of its own",
    "rule `{rule}` sets {names}, and refuses requests that have it already",
    "send it without, or let the rule say `on_existing: replace`")
NOT_IN_RULES: Final = Kind("not-in-rules", 404, "not found, and no rule covers it",
    "no credential was used for {ref.repository}: the rules name {names}",
    "if it is private, add a rule whose `match` covers the owner `{ref.repository.owner}`")

# -------------------------------------------------------- placeholders, the API

MISPLACED_PLACEHOLDER: Final = Kind("misplaced-placeholder", 403, "a placeholder where none belongs",
    "the placeholder of {name} was sent {place}, where no rule puts a secret in its place; it is worth nothing there",
    "send it in the header of the rule that has it (`placeholder`), to the hosts of that rule; if nobody meant to send "
      "it, look at what did")
STALE_PLACEHOLDER: Final = Kind("stale-placeholder", 403, "a placeholder of another start",
    "the placeholder that was sent is none of this proxy's: each start makes new ones",
    "start the command anew under `gatepass run`; in a shell: `eval \"$(gatepass env)\"`")
API_NOT_ALLOWED: Final = Kind("api-not-allowed", 403, "the rule does not allow that at the API",
    "{name} is not among what rule `{rule}` allows: {what}",
    ("{hint}", "if it is to be allowed, have it written into the rule's `access` as METHOD /path"))
API_OUTSIDE_RULES: Final = Kind("api-outside-rules", 403, "no rule covers that at the API",
    "{name} is below no repository that the rules name, {names}, nor among the paths that they allow besides",
    "if it is to be allowed, have the repository covered by a `match`, or the path added to the rule's `also`")
GRAPHQL_NOT_ALLOWED: Final = Kind("graphql-not-allowed", 403, "the rule does not allow that by GraphQL",
    "rule `{rule}` allows [{names}|no GraphQL at all], and {what}",
    "if it is to be allowed, have the rule say so: `graphql: query`, or a list of mutations; or ask by REST, as "
      "`gh api` does")
UNREADABLE_GRAPHQL: Final = Kind("unreadable-graphql", 400, "the GraphQL request cannot be read",
    "{what}, so what it would do cannot be told",
    "send one document by POST, as JSON with `query`, `variables` and `operationName`")

# ------------------------------------------------------------------- clients

PROXY_AUTHENTICATION_REQUIRED: Final = Kind("proxy-authentication-required", 407, "the proxy wants to know who asks",
    ("{what}", "the request brings no user and no password"),
    "put both into the proxy's URL, as in `http://USER:PASSWORD@proxy.example.com:3128`; "
      "a CI job's token is a password for any user")
AUTHENTICATION_REQUIRED: Final = Kind("authentication-required", 401, "the proxy wants to know who asks",
    ("{what}", "the request brings no user and no password"),
    "put both into the URL, or into what the tool keeps for this host; a CI job's token is a password for any user")
CLIENT_GONE: Final = Kind("client-gone", 403, "the proxy does not know this client any more",
    "the rules changed since the connection was opened, and do not name who opened it",
    "connect anew, as a user whom the rules name; who keeps the rules knows")
CLIENT_UNCHECKED: Final = Kind("client-unchecked", 503, "who asks cannot be checked now",
    "{message}",
    "try again; the proxy's log says more")
TOO_MANY_WRONG_PASSWORDS: Final = Kind("too-many-wrong-passwords", 429, "too many wrong passwords",
    "from {client} came ten within a minute; no password from there is looked at for {retry_after:span}",
    "stop what sends the wrong one, then ask again")
ISSUER_UNREACHABLE: Final = Kind("issuer-unreachable", 503, "the token's issuer cannot be asked",
    "{url} verifies the token, and gives no keys: {message}; it is asked again in {retry_after:span}",
    "see that the proxy reaches it, and that `issuer` in the rules is the URL that tokens have as `iss`")
CLIENT_NOT_ALLOWED: Final = Kind("client-not-allowed", 403, "the rule is not for this client",
    "rule `{rule}` is for {names}, [not for `{client}`|and who asks has no name]; no credential was asked for",
    "ask as one of these, or have the client added to the `clients` of the rule")
TOO_MANY_CONNECTIONS: Final = Kind("too-many-connections", 429, "too many connections at once",
    "{client} has {more} open, which is the limit (`limits.connections`)",
    "close some, or let the tool open fewer at once; it may ask again in {retry_after:span}")
TOO_MANY_REQUESTS: Final = Kind("too-many-requests", 429, "too many requests",
    "{client} sent {more} within a minute, which is the limit (`limits.requests`); "
      "it is heard again in {retry_after:span}",
    "wait, and ask for less at once")

# -------------------------------------------------------------------- egress

HOST_NOT_ALLOWED: Final = Kind("host-not-allowed", 403, "[egress.deny has {rule}|not in egress.allow]: {host.name}",
    ("`egress.deny` of the proxy's rules has `{rule}`, which covers {host.name}:{host.port}",
     "`egress.allow` of the proxy's rules names no host that covers {host.name}:{host.port}"),
    ("if it is to be reached, have `{rule}` taken out of `egress.deny`",
     "if it is to be reached, have it added to `egress.allow`, with its port unless that is 443 or 80"))
ADDRESS_NOT_PUBLIC: Final = Kind("address-not-public", 403, "{place} is not public, nor in egress.private",
    "{host.name} leads to {place}, which is {what}: this proxy takes its clients to public addresses alone",
    "if they are to get there, have the address added to `egress.private`, or the host named by a rule")

# ---------------------------------------------------------------- credential

NO_CREDENTIAL: Final = Kind("no-credential", 401, "no credential found",
    "credential `{name}` has no value: {tried}",
    "where the proxy runs: {remedies}",
    {"env": "set the variable, and start it again",
     "file": "write the file, with the mode 0600",
     "systemd": "give the unit `LoadCredential=NAME:PATH`",
     "command": "run the command by hand, and see what it says",
     "gh": "`gh auth login`",
     "git": "ask by hand, with `git credential fill`",
     "netrc": "add the machine to the netrc",
     "keyring": "`keyring set {source.service} {source.user}`",
     "github-app": "see to the App's private key",
     "default": "`gh auth login`, or set a variable"})
UNUSABLE_SECRET: Final = Kind("unusable-secret", 401, "unusable credential",
    "what `{source}` gives is no token: {what}",
    "let it be the token alone, without line breaks, quotes or non-ASCII characters")
EXPOSED_SECRET: Final = Kind("exposed-secret", 401, "the credential's file is open to others",
    "`{source}` has the mode {mode:04o}: other users of the machine may read it",
    "`chmod 600 {path}`, and make a new token if others may have read this one")

# --------------------------------------------------------------- GitHub Apps

UNUSABLE_KEY: Final = Kind("unusable-key", 401, "unusable private key",
    "what `{app.key}` holds for `{app}` is no RSA private key in PEM, without a passphrase",
    "set the whole file that the App's settings gave out, or generate another key there")
APP_WITHOUT_INSTALLATION: Final = Kind("app-without-installation", 401, "which installation of the App is not said",
    "`{app}` is wanted for no repository, so its installation cannot be found",
    "name it under `github-app:` as `installation: NUMBER`, or its account as `owner: NAME`")
APP_NOT_ACCEPTED: Final = Kind("app-not-accepted", 401, "the GitHub App is not accepted",
    "{forge.api_host} does not accept `{app}` with the key from `{app.key}`: [{message}|it gives no reason]",
    "see that id and private key are of the same App, and that the clock of the proxy's machine is right")
APP_SUSPENDED: Final = Kind("app-suspended", 403, "the GitHub App is suspended",
    "the installation of `{app}` on {forge.web} is suspended",
    "let an owner of the account unsuspend it, in its settings under GitHub Apps")
APP_NOT_INSTALLED: Final = Kind("app-not-installed", 404, "the GitHub App is not installed there",
    "`{app}` has no installation [for {repository}|for {app.owner}|{app.installation}] on {forge.web}, "
      "or the repository does not exist",
    "check the spelling; if it exists, install the App there, or select the repository in its installation")
APP_LACKS_PERMISSION: Final = Kind("app-lacks-permission", 403, "the GitHub App lacks a permission",
    "{forge.api_host} gives `{app}` no token that may read contents: [{message}|it gives no reason]",
    "give the App the permission `Contents: read`, and let the account's owner accept it")

# -------------------------------------------------------------------- tokens

BAD_CREDENTIAL: Final = Kind("bad-credential", 401, "bad credential",
    "{forge.api_host} does not accept the {secret.kind} from `{secret.source}`: mistyped, revoked or expired",
    "make a new token, and set the whole of it")
EXPIRED_CREDENTIAL: Final = Kind("expired-credential", 401, "credential expired",
    "{forge.api_host} does not accept the {secret.kind} from `{secret.source}`: it expired on {expired:%Y-%m-%d}",
    "make a new token, or renew this one, and set it")
LOCKED_OUT: Final = Kind("locked-out", 403, "locked out for a while",
    "{forge.api_host} saw too many bad credentials from here, and refuses the good ones too, "
      "that from `{secret.source}` among them",
    "stop what sends a bad token, and wait some minutes")
SSO_REQUIRED: Final = Kind("sso-required", 403, "SSO authorisation missing",
    "the organisation demands single sign-on, and the {secret.kind} from `{secret.source}` is not authorised",
    ("authorise it at {url}", "authorise it in the token settings of {forge.web}"))
ADDRESS_NOT_ALLOWED: Final = Kind("address-not-allowed", 403, "not on the IP allow list",
    "the organisation on {forge.web} admits listed addresses alone, and that of this proxy is not one of them; "
      "the credential from `{secret.source}` is good",
    "have the proxy's outgoing address added to the organisation's IP allow list")
TOKEN_FORBIDDEN: Final = Kind("token-forbidden", 403, "this sort of token is forbidden",
    "the organisation on {forge.web} admits no such token as the {secret.kind} from `{secret.source}`: {message}",
    "{remedy}",
    {"classic token": "use a fine-grained token of the organisation with `Contents: read`, or a GitHub App",
     "lifetime": "let it end sooner, in the token's settings, or use a GitHub App",
     "": "use a GitHub App, or have an owner of the organisation admit such tokens"})
FORBIDDEN: Final = Kind("forbidden", 403, "access refused",
    "{forge.api_host} refuses the {secret.kind} from `{secret.source}`: [{message}|it gives no reason]",
    "see that it has the permission `Contents: read` for the repository")
RATE_LIMITED: Final = Kind("rate-limited", 429, "API rate limit exceeded",
    "the budget of the {secret.kind} from `{secret.source}` at {forge.api_host} is used up; "
      "it is full again in {retry_after:span}",
    "wait, or use a credential with a larger budget, such as a GitHub App's")
SECONDARY_RATE_LIMITED: Final = Kind("secondary-rate-limited", 429, "secondary rate limit exceeded",
    "{forge.api_host} had too many requests at once with the {secret.kind} from `{secret.source}`; "
      "it answers again in {retry_after:span}",
    "wait, and ask for less at once")

TOO_MANY_MISSES: Final = Kind("too-many-misses", 429, "asked too often for what is not there",
    "{client} asked {more} times within a minute for what is not there; what is known is served on, "
      "and something new is asked for again in {retry_after:span}",
    "see in the proxy's log which of its downloads were not found, and mend their URLs")
MISSES_COST_TOO_MUCH: Final = Kind("misses-cost-too-much", 429, "too much of the API budget went in vain",
    "a tenth of the hourly budget of the {secret.kind} from `{secret.source}` at {forge.api_host} was spent on what is "
      "not there; what is known is served on, and something new is asked for again in {retry_after:span}",
    "see in the proxy's log who asks for what is not there")

# --------------------------------------------------------------------- asset

TAKEN_DOWN: Final = Kind("taken-down", 451, "the repository is blocked",
    "{forge.web} does not give it out any more[, for the reason `{what}`]: [{message}|it says no more]",
    ("what it was blocked for is told at {url}", "ask the repository's owner; no token and no retry helps"))
RELEASE_NOT_FOUND: Final = Kind("release-not-found", 404, "release not found",
    "[release `{ref.tag}`|a latest release] of {ref.repository} does not exist, "
      "or the {secret.kind} from `{secret.source}` may not see it",
    "check owner, repository and tag, and that it has the permission `Contents: read` there")
REPOSITORY_NOT_VISIBLE: Final = Kind("repository-not-visible", 404, "repository not visible",
    "{ref.repository} does not exist on {forge.web}, or the {secret.kind} from `{secret.source}` may not see it: "
      "GitHub does not tell which",
    "check the spelling; if it exists, {remedy}",
    {"fine-grained token": "select the repository and grant `Contents: read` in the token's settings",
     "classic token": "give it the scope `repo`, and its owner access to the repository",
     "App or Actions token": "install the App on the repository with `Contents: read`; "
       "a workflow's own token sees its own repository alone",
     "": "grant its owner `Contents: read` on the repository"})
TAG_NOT_FOUND: Final = Kind("tag-not-found", 404, "release not found",
    "{ref.repository}[ (now {renamed})] has no [release with the tag `{ref.tag}`|published release]",
    ("did you mean {candidates}?",
     "its newest releases are {known}",
     "publish a release, or check the repository's name"))
DRAFT_URL: Final = Kind("draft-url", 404, "the release is a draft",
    "`{ref.tag}` is how GitHub calls a draft of {ref.repository}[ (now {renamed})] as long as it is one: "
      "nothing can be downloaded by that name",
    "publish the release, and ask for the tag that it has then")
ONLY_A_DRAFT: Final = Kind("only-a-draft", 404, "the release is a draft",
    "{ref.repository}[ (now {renamed})] has the tag `{ref.tag}` on a draft alone, "
      "whose assets have no download URL yet",
    "publish the release")
ASSET_NOT_FOUND: Final = Kind("asset-not-found", 404, "asset not found",
    "release `{tag}` of {ref.repository}[ (now {renamed})] has no asset `{ref.name}`",
    ("GitHub renames uploads: there it is `{uploaded}`",
     "did you mean {candidates}?",
     "it holds {known}[ and {more} more]",
     "it holds no assets: upload them"))
ASSET_NOT_UPLOADED: Final = Kind("asset-not-uploaded", 404, "asset not fully uploaded",
    "asset `{ref.name}` of {ref.repository} is in the state `{state}`",
    "wait for the upload, or delete the asset and upload it again")

# -------------------------------------------------------------------- source

SOURCE_NOT_FOUND: Final = Kind("source-not-found", 404, "source not found",
    "{repository} has no {what}, or the {secret.kind} from `{secret.source}` may not see it",
    "check branch, tag and path, letter case included, and that it has the permission `Contents: read` there")
NOT_A_FILE: Final = Kind("not-a-file", 404, "that is no file",
    "{name} of {repository} is a folder, or another repository: it has no content of its own",
    "ask for a file in it, or for an archive of the whole")
FILE_TOO_LARGE: Final = Kind("file-too-large", 403, "the file is too large for the API",
    "{forge.api_host} gives files of up to 100 MB: [{message}|it says no more]",
    "fetch it by git, or publish it as a release asset")
PUSH_REFUSED: Final = Kind("push-refused", 403, "nothing may be pushed",
    "rule `{rule}` lets git fetch from {repository}, and lets nothing be pushed or uploaded",
    "have the rule say `push: true`, or `on_existing: keep` if git brings a credential of its own")
UNREADABLE_BATCH: Final = Kind("unreadable-batch", 400, "the LFS request cannot be read",
    "{what}, so whether it uploads cannot be told",
    "ask with git-lfs, for fewer objects at once: `git config lfs.batchSize`")

# ----------------------------------------------------------------- the index

NOT_AN_INDEX: Final = Kind("not-an-index", 403, "no index at that address",
    "an index is at /github.com/OWNER/REPO/simple/, or at /NAME/simple/ where the rules name it; {place} is neither",
    "mend the index's URL, down to `/simple/`")
UNKNOWN_INDEX: Final = Kind("unknown-index", 403, "no such index",
    "the rules name no index `{name}`",
    ("did you mean {candidates}?",
     "name it under `indexes:` in rules.yaml, or ask for /github.com/OWNER/REPO/simple/"))
INDEX_NOT_FOR_CLIENT: Final = Kind("index-not-for-client", 403, "the index is not for this client",
    "index `{name}` is for {names}[, and the client is `{client}`]",
    "add the client to the index's `clients:`, or sign in as one of these")
INDEX_NOT_COVERED: Final = Kind("index-not-covered", 403, "no rule covers the repository",
    "{place} has no index here: no rule for release assets matches its downloads[; the rules name {names}]",
    "add a rule whose `match` covers /OWNER/REPO/releases/download/*")
INDEX_NOT_VISIBLE: Final = Kind("index-not-visible", 403, "repository not visible",
    "[{repository}|the repository] does not exist on {forge.web}, or the {secret.kind} from `{secret.source}` may not "
      "see it: GitHub does not tell which",
    "check the spelling; if it exists, {remedy}",
    REPOSITORY_NOT_VISIBLE.remedies)
INDEX_WITHOUT_REPOSITORIES: Final = Kind("index-without-repositories", 403, "no repositories in the index",
    "{place} stands for no repository: there is none of that name, or credential `{name}` may see none",
    "check the spelling; if there are some, let the credential see them")
INDEX_TOO_LARGE: Final = Kind("index-too-large", 503, "the index has too many repositories",
    "{place} stands for more than {more} repositories",
    "name those that hold packages, or a longer beginning before the `*`")
INDEX_NOT_READ: Final = Kind("index-not-read", 503, "the index is still being read",
    "the releases of {place} were not listed within {seconds:g} s; ask again in {retry_after:span}",
    "try again: what was read is kept")
INDEX_INCOMPLETE: Final = Kind("index-incomplete", 503, "the index is not read to its end",
    "GitHub lists a thousand releases; {more} older ones of {place} have not been read yet, so whether it has a "
      "project `{name}` is not known; more is known in {retry_after:span}",
    "try again; a credential with a larger budget reads them sooner")
PROJECT_NOT_FOUND: Final = Kind("project-not-found", 404, "project not found",
    "{place} has no project `{name}`",
    ("did you mean {candidates}?",
     "it has {known}[ and {more} more]",
     "it has no distributions: `gatepass index` tells what was left out, and why"))
NOT_IN_INDEX: Final = Kind("not-in-index", 404, "the file is not in the index",
    "{place} has no file `{name}`[ in release `{tag}`]",
    "`gatepass index` tells what it has, and what was left out, and why")
UNREADABLE_WHEEL: Final = Kind("unreadable-wheel", 502, "the wheel's metadata cannot be read",
    "`{ref.name}` of {ref.repository}: {what}",
    "try again: from now on the index does not promise the metadata of that wheel, and clients read it themselves")
NOT_ACCEPTABLE: Final = Kind("not-acceptable", 406, "the page has no such form",
    "the client takes none of {names}",
    "let it send one of these in `Accept`")
METHOD_NOT_ALLOWED: Final = Kind("method-not-allowed", 405, "an index is for reading",
    "the method was `{name}`",
    "use GET or HEAD; a release is made on GitHub")

# ---------------------------------------------------------------- what is required

WITHOUT_DIGEST: Final = Kind("without-digest", 403, "the asset has no digest",
    "rule `{rule}` requires one, and GitHub has none of `{ref.name}` of {ref.repository}, "
      "as of uploads before June 2025",
    "upload it again, and GitHub makes one")
MUTABLE_RELEASE: Final = Kind("mutable-release", 403, "the release can still be changed",
    "rule `{rule}` requires an immutable release, and that of `{ref.name}` of {ref.repository} is none",
    "switch on immutable releases in the repository's settings, and publish it anew")

# ------------------------------------------------------------------- network

NAME_NOT_RESOLVED: Final = Kind("name-not-resolved", 502, "cannot resolve {host.name}",
    "DNS has no address for {host.name}: {error}",
    "check the name, the network, and the resolver of the machine that the proxy runs on")
UNREACHABLE: Final = Kind("unreachable", 502, "cannot reach {host.name}",
    "{host}: {error}",
    "check the network, and whether a proxy is needed to get there: HTTPS_PROXY for `gatepass run`, "
      "`--mode upstream:…` for mitmproxy")
PROXY_REFUSED: Final = Kind("proxy-refused", 502, "a proxy refuses the way to {host.name}",
    "the proxy at {proxy} answered {status} when it was asked for {host}",
    "{remedy}",
    {"407": "see that it gets the right user and password: in HTTPS_PROXY for `gatepass run`, "
       "as `upstream_auth` for mitmproxy",
     "": "have it let {host.name} through"})
FOREIGN_ANSWER: Final = Kind("foreign-answer", 502, "something else answers for {host.name}",
    "what answered {status} for {host} is not GitHub[: it sends to {place}|: a page with the title `{page}`]",
    "a filter, a login page or a proxy of the network stands between: have it let {host.name} through")
CERTIFICATE_NOT_TRUSTED: Final = Kind("certificate-not-trusted", 502, "certificate of {host.name} not trusted",
    "the certificate of {host}[, issued by `{issuer}`,] was checked against {trust}: {error}",
    "if a company's CA stands between, name it with `ssl_verify_upstream_trusted_ca`, or in SSL_CERT_FILE for "
      "`gatepass run` and `gatepass serve`")
TIMED_OUT: Final = Kind("timed-out", 504, "no answer from {host.name}",
    "{host} did not answer within {seconds:g} s",
    "try again; see the forge's status page")
UPSTREAM_FAILED: Final = Kind("upstream-failed", 502, "{host.name} failed",
    "{host} answered {status}",
    "try again; see the forge's status page")
BROKEN_ANSWER: Final = Kind("broken-answer", 502, "no whole answer from {host.name}",
    "{host}: {error}",
    "try again; where it goes on, see the server's log, and what stands between")
MALFORMED_ANSWER: Final = Kind("malformed-answer", 502, "unexpected answer from {host.name}",
    "{host}: {what}",
    "check that `api:` in the rules is the base URL of a GitHub API")
UNKNOWN_ASSET_HOST: Final = Kind("unknown-asset-host", 502, "unknown asset host",
    "{forge.web} leads to {host}, which is not known to serve its assets",
    "if it does, name it in the rules: under `forges`, among the `assets` of {forge.web}")
SIGNED_URL_REFUSED: Final = Kind("signed-url-refused", 502, "the asset host refused the signed URL",
    "{host} answered {status} to a URL that the API has just signed",
    "try again; check the clock of the machine that the proxy runs on")
