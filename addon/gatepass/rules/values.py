"""The values that are written in rules.yaml, each read from its text: patterns, templates, hosts, addresses.

Knows nothing about the file around a value; what reads one says what it expected, and its caller says where.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gatepass.forge import api
from gatepass.forge.api import Allowed
from gatepass.forge.hosts import HTTPS_PORT, Host
from gatepass.rules.access import Destination
from gatepass.rules.settings import setting
from gatepass.rules.yaml_source import nearest
from gatepass.sources import Default, Env, File, Gh, Git, Key, Keyring, Netrc, Source, Systemd
from gatepass.store.place import PlaceError, read_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatepass.rules.access import Network
    from gatepass.store.place import Place

# the secret, or Basic of a user and the secret: a user has no colon (RFC 7617, section 2)
_PLACEHOLDER: Final = re.compile(r"\{(?:credential|basic:(?P<user>[^{}:]*))\}")
_FIELD_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, section 5.6.2
_KIND: Final = re.compile(r"[A-Za-z]{1,12}", re.ASCII)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,15}://", re.ASCII | re.IGNORECASE)
_API_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)*/?", re.ASCII)
# All that `inet_aton` reads as an address is of this form.
_NUMBERS: Final = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]*|[0-9]+)){0,3}", re.ASCII)
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_FIELD_VALUE: Final = re.compile(r"[!-~]+(?: +[!-~]+)*", re.ASCII)

# They frame the message, steer the connection, or speak to a proxy: RFC 9110, sections 7.6.1 and 11.7; RFC 9113, 8.2.2.
_RESERVED_HEADERS: Final = frozenset({
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# Without it a body could not be read.
_NEEDED_OF_RESPONSES: Final = _RESERVED_HEADERS | {"content-encoding"}
# The one makes a tunnel; the others send back what they were sent, the secret with it (RFC 9110, section 9.3.8; TRACK
# is what IIS calls it, https://www.kb.cert.org/vuls/id/867593).
_REFUSED_METHODS: Final = {
    "connect": "is none: it opens a tunnel",
    "trace": "is none: its answer repeats the request, and the secret",
    "track": "is none: its answer repeats the request, and the secret",
}

_PLAIN_SOURCES: Final[dict[str, Source]] = {"gh": Gh(), "git": Git(), "netrc": Netrc(), "default": Default()}
SOURCES: Final = (
    "`default`, `gh`, `git`, `netrc`, `env:NAME`, `file:PATH`, `systemd:NAME`, `keyring:SERVICE/USER`, "
    "or a mapping with `command` or `github-app`"
)
"""All kinds, for errors."""


class UnfitError(ValueError):
    """A text that is not what it should be: what was expected, and what to do.

    `is_secret` tells that the text may be a secret that was put in the wrong place.
    """

    def __init__(self, expected: str, hint: str | None = None, *, is_secret: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.is_secret = is_secret


@dataclass(frozen=True, slots=True)
class Pattern:
    """HOST/PATH, where `*` in the path stands for any run of characters, slashes included, or for none.

    `*.` before the host stands for any names before its own.
    """

    host: Host
    path: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read HOST/PATH.

        Raises:
            UnfitError: it is something else.
        """
        if scheme := _SCHEME.match(text):
            raise UnfitError("HOST/PATH", f"leave `{scheme[0]}` out: only https is served")
        host, slash, path = text.partition("/")
        if not slash:
            raise UnfitError("HOST/PATH", "`/*` after the host stands for every path")
        if not _VISIBLE.fullmatch(text):
            raise UnfitError("HOST/PATH in visible ASCII", "write other characters of the path percent-encoded")
        if "?" in path or "#" in path:
            raise UnfitError("HOST/PATH without query and fragment", "only the path is compared")
        return cls(read_hosts(host), f"/{path}")

    def matches(self, host: Host, path: str, caseless: int = 0) -> bool:
        """Whether a request matches; `path` is raw, as it was sent, without its query.

        Letter case counts, but in the first `caseless` characters of the path.
        """
        return self.host.covers(host) and glob(self.path, path, caseless)

    def __str__(self) -> str:
        return f"{self.host}{self.path}"


@dataclass(frozen=True, slots=True)
class Template:
    """The text of a header: `{credential}` in it stands for the secret, `{basic:USER}` for Basic of USER and it."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            UnfitError: it is not a header's value, or holds another placeholder or a lone brace.
        """
        if not _FIELD_VALUE.fullmatch(text):
            raise UnfitError("a header's value in printable ASCII, without spaces around it")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", text)) or "${" in text:
            hint = "there is no `$` before it" if "${" in text else None
            if "{basic" in text:
                hint = "USER has neither colon nor brace, and may be empty: `{basic:}`"
            raise UnfitError("`{credential}` or `{basic:USER}` as the placeholder, and no other brace", hint)
        if "{basic:" in text and not _PLACEHOLDER.fullmatch(text):
            raise UnfitError("`{basic:USER}` alone", "it is the whole value, the word `Basic` included")
        return cls(text)

    @property
    def needs_secret(self) -> bool:
        """Whether there is a placeholder in it."""
        return _PLACEHOLDER.search(self.text) is not None

    def render(self, secret: str) -> str:
        """Put the secret in, which is ASCII; what it holds itself is not read as a placeholder again."""

        def opened(placeholder: re.Match[str]) -> str:
            user = placeholder["user"]
            # RFC 7617, section 2
            return secret if user is None else f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"

        return _PLACEHOLDER.sub(opened, self.text)


def read_host(text: str) -> Host:
    """Read HOST or HOST:PORT.

    Raises:
        UnfitError: it is something else.
    """
    if "*" in text:
        raise UnfitError("a host without `*`", "`*.example.com` in `match` and `hosts` stands for all hosts below")
    if "/" in text:
        raise UnfitError("a host name", "leave scheme and path out, as in `github.com` or `ghe.example.com:8443`")
    try:
        return Host.parse(text)
    except ValueError as error:
        raise UnfitError(str(error).removeprefix("expected ")) from None


def read_hosts(text: str) -> Host:
    """Read HOST or HOST:PORT, or `*.` before it for all hosts below.

    Raises:
        UnfitError: it is something else.
    """
    below = text.removeprefix("*.")
    host = read_host(below)
    if below == text:
        return host
    if "." not in host.name:
        raise UnfitError("`*.` before a domain", "name a domain of your own, as in `*.example.com`")
    return Host(f"*.{host.name}", host.port)


def read_destination(text: str) -> Destination:
    """Read HOST or HOST:PORT, where HOST may be an address, or begin with `*.`; a domain at the top may be denied, too.

    Raises:
        UnfitError: it is something else.
    """
    address = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", text, re.ASCII)
    if address is not None:
        try:
            found = ipaddress.IPv6Address(address[1])
        except ValueError:
            raise UnfitError("an IPv6 address in the brackets") from None
        name = str(found.ipv4_mapped or found)
        port = None if address[2] is None else int(address[2])
        if port is not None and not 1 <= port <= 65535:
            raise UnfitError("a port from 1 to 65535 after the colon")
    elif text == "*":
        raise UnfitError("a host", "without `allow` every host is allowed")
    else:
        named = re.sub(r"\.(?=(?::[0-9]+)?\Z)", "", text)
        below = named.removeprefix("*.")
        host = read_host(below)
        if _NUMBERS.fullmatch(host.name) and not _is_address(host.name):
            # resolvers read it as an address, and it is judged by that: as it stands here it would be nobody's
            raise UnfitError("an address in its usual form", "as in `10.1.2.3`")
        name = host.name if below == named else f"*.{host.name}"
        port = host.port if ":" in text else None
    return Destination(name, frozenset({80, HTTPS_PORT} if port is None else {port}), text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def read_network(text: str) -> Network:
    """Read an address, or a network in CIDR notation. IPv4 addresses within IPv6 are IPv4 ones, as everywhere.

    Raises:
        UnfitError: it is neither, or has bits set behind its prefix.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
        if mapped is None or network.prefixlen < 96:
            return network
        return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UnfitError("a network, as in `10.20.0.0/16` or `fd00:20::/32`") from None
    raise UnfitError("a network without bits behind its prefix", f"did you mean `{network}`?")


def read_issuer(text: str) -> str:
    """Read an issuer's URL (OpenID Connect Discovery 1.0, section 3: https, without query and fragment).

    Raises:
        UnfitError: it is something else.
    """
    unfit = UnfitError("an https URL without query and fragment", "it is what the tokens have as `iss`, to the letter")
    try:
        parts = urlsplit(text)
        Host.parse(parts.netloc)
    except ValueError:
        raise unfit from None
    if parts.scheme != "https" or not _VISIBLE.fullmatch(text) or "?" in text or "#" in text:
        raise unfit
    return text


def read_api(text: str) -> str:
    """Read the base URL of a forge's API; a slash at its end goes away.

    Raises:
        UnfitError: it is something else.
    """
    unfit = UnfitError(
        "an https URL of host and path alone",
        "a GitHub Enterprise Server has its API at `https://HOST/api/v3`",
    )
    try:
        parts = urlsplit(text)
        host = Host.parse(parts.netloc)
    except ValueError:
        raise unfit from None
    if parts.scheme != "https" or "?" in text or "#" in text or not _API_PATH.fullmatch(parts.path):
        raise unfit
    return f"https://{host}{parts.path.rstrip('/')}"


def read_source(text: str) -> Source:
    """Read where a secret comes from.

    Raises:
        UnfitError: no such kind of source, or not what that kind needs.
    """
    if text in _PLAIN_SOURCES:
        return _PLAIN_SOURCES[text]
    kind, colon, argument = text.partition(":")
    match kind if colon else "":
        case "env":
            return Env(_read_variable(argument))
        case "file":
            return _read_file(argument)
        case "systemd":
            return _read_systemd(argument)
        case "keyring":
            service, slash, user = argument.rpartition("/")
            if not (service and slash and user):
                raise UnfitError("`keyring:SERVICE/USER`", "SERVICE and USER are what `keyring set SERVICE USER` got")
            return Keyring(service, user)
    if variable := re.fullmatch(r"\$\{?([A-Z_][A-Z_0-9]{0,40})\}?|([A-Z_]{1,40})", text, re.ASCII):
        raise UnfitError(f"a source: {SOURCES}", f"`env:{variable[1] or variable[2]}` reads the environment variable")
    kinds = ["env:", "file:", "systemd:", "keyring:"] if colon else list(_PLAIN_SOURCES)
    is_secret = not (_KIND.fullmatch(kind) if colon else re.fullmatch(r"[a-z-]{1,12}", text, re.ASCII))
    raise UnfitError(f"a source: {SOURCES}", nearest(kind.lower() + colon, kinds), is_secret=is_secret)


def read_key_source(text: str) -> Key:
    """Read where an App's private key comes from.

    Raises:
        UnfitError: it is neither a variable nor a file, nor a credential of systemd's.
    """
    return _key_source(text, "the App's settings page gives out its private key, a PEM file")


def read_kept_source(text: str) -> Key:
    """Read where a password or a key comes from that the proxy itself needs.

    Raises:
        UnfitError: as above.
    """
    return _key_source(text, "name the variable or the file that holds it: `env:NAME`, `file:/run/secrets/NAME`")


def _key_source(text: str, hint: str) -> Key:
    kind, _, argument = text.partition(":")
    match kind:
        case "env":
            return Env(_read_variable(argument))
        case "file":
            return _read_file(argument)
        case "systemd":
            return _read_systemd(argument)
    raise UnfitError("`file:PATH`, `systemd:NAME` or `env:NAME`", hint, is_secret=not text.startswith(("/", "~", ".")))


def read_store(text: str) -> Place:
    """Read where replicas share what they learn.

    Raises:
        UnfitError: it is no address of a Redis or a Valkey.
    """
    try:
        return read_place(text)
    except PlaceError as error:
        raise UnfitError(str(error), error.hint, is_secret=error.is_secret) from None


def _read_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        hint = "`env:NAME` reads the environment variable NAME: letters, digits and `_`"
        raise UnfitError("`env:NAME`", hint)
    if reason := setting(name):
        raise UnfitError(
            "a variable that holds a secret, and nothing else", f"`{name}` {reason}: give the secret one of its own"
        )
    return name


def _read_file(path: str) -> File:
    if path.startswith("//"):
        raise UnfitError("`file:PATH` with an absolute path", "it is no URL: PATH begins with one `/`")
    # the working folder is another one for each who starts the proxy
    if not (path.startswith("~") or PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()):
        raise UnfitError("`file:PATH` with an absolute path", "begin PATH with `/`, or with `~/` for your home")
    return File(path)


def _read_systemd(name: str) -> Systemd:
    # systemd, `credential_name_valid`: what a file may be called, in ASCII and without `:`
    if not re.fullmatch(r"(?!\.{1,2}\Z)[!-.0-9;-~]{1,255}", name, re.ASCII):
        raise UnfitError("`systemd:NAME`", "NAME is what `LoadCredential=NAME:PATH` of the unit has")
    return Systemd(name)


def _reader(
    pattern: str, expected: str, hint: str | None = None, refused: Mapping[str, str] | None = None, fit: str = ""
) -> Callable[[str], str]:
    """What reads a text that is as the pattern says, and raises `UnfitError` at any other.

    `refused` says of some, in lower case, why they are not `fit`.
    """

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise UnfitError(expected, hint)
        if reason := (refused or {}).get(text.lower()):
            raise UnfitError(fit, f"`{text}` {reason}")
        return text

    return read


read_client_name = _reader(r"[A-Za-z0-9_.-]{1,64}", "a name of letters, digits, `_`, `.` and `-`")
read_htpasswd = _reader(r".{1,1024}", "the path of a file that `htpasswd` made")
read_store_user = _reader(r"[!-~]{1,64}", "a name in visible ASCII", "as `ACL SETUSER` has it")
read_audience = _reader(r"[!-~]{1,256}", "a text in visible ASCII", "it is what the tokens have as `aud`")
read_claim = _reader(r"[!-~]{1,128}", "the name of a claim", "as in `repository_owner`")
read_credential_name = _reader(r"[A-Za-z0-9_.-]{1,64}", "a name of letters, digits, `_`, `.` and `-`")
read_app_id = _reader(
    r"(?!-)[A-Za-z0-9_.-]{1,64}",
    "the client id of a GitHub App, or its number",
    "the App's settings page shows both",
)
read_owner = _reader(
    r"(?!\.+\Z)[A-Za-z0-9_.-]{1,100}", "the name of a user or an organisation", "as in `github.com/OWNER/REPO`"
)
read_method = _reader(
    r"[A-Z]{1,20}",
    "a method in capital letters",
    "as in `GET`",
    _REFUSED_METHODS,
    "a method that a credential may go with",
)
read_placeholder = _reader(r"[!-~]{1,128}", "a text in visible ASCII, without spaces", "clients send it for the secret")
read_header_name = _reader(
    _FIELD_NAME,
    "a header's name",
    "letters, digits and `-`, as in `PRIVATE-TOKEN`",
    dict.fromkeys(_RESERVED_HEADERS, "belongs to the connection or to proxies"),
    "a header that a rule may set",
)
read_dropped_header = _reader(
    _FIELD_NAME,
    "a header's name",
    "letters, digits and `-`, as in `Set-Cookie`",
    dict.fromkeys(_NEEDED_OF_RESPONSES, "says how the response is to be read"),
    "a header that a client can do without",
)


_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_METHOD_AND_PATH: Final = re.compile(r"(?P<method>GET|HEAD|POST|PUT|PATCH|DELETE) (?P<path>/[!-~]*)", re.ASCII)
_GRAPHQL_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,127}", re.ASCII)
_WORDS: Final = ("none", "query", "any")
# Repository permissions of Apps (REST docs, "Permissions required for GitHub Apps"), but those that let who holds the
# token change who may do what, or read what is secret.
_PERMISSIONS: Final = frozenset({
    "actions", "artifact_metadata", "attestations", "checks", "code_quality", "contents", "deployments", "discussions",
    "issues", "merge_queues", "metadata", "packages", "pages", "pull_requests", "repository_projects",
    "security_events", "statuses", "vulnerability_alerts",
})  # fmt: skip


def read_variable(text: str) -> str:
    """Read the name of an environment variable that programs find a token in.

    Raises:
        UnfitError: it is none, or a tool's setting.
    """
    if not _VARIABLE.fullmatch(text):
        raise UnfitError("the name of an environment variable", "as in `GH_TOKEN`")
    if said := setting(text):
        raise UnfitError("a variable that holds a token", f"`{text}` {said}")
    return text


def read_allowed(text: str) -> Allowed:
    """Read METHOD /path, the path below a repository.

    Raises:
        UnfitError: it is something else.
    """
    found = _METHOD_AND_PATH.fullmatch(text)
    if found is None:
        raise UnfitError("METHOD /path", "below the repository, as in `POST /issues/*/comments`")
    path = found["path"].strip("/")
    if "%" in path or "?" in path or "#" in path or api.parse(f"/{path.replace('*', 'x')}") is None:
        raise UnfitError("a path below the repository, as it is when decoded", "`*` and `**` stand for what varies")
    return Allowed(found["method"], path)


def read_mutation(text: str) -> str:
    """Read the name of a mutation.

    Raises:
        UnfitError: it is none.
    """
    if not _GRAPHQL_NAME.fullmatch(text) or text in _WORDS:
        hint = f"write `graphql: {text}`, without the brackets" if text in _WORDS else "as in `createIssue`"
        raise UnfitError("the name of a mutation", hint)
    return text


def read_api_path(text: str) -> str:
    """Read a path of the API that is outside of every repository.

    Raises:
        UnfitError: it is something else.
    """
    call = None if "?" in text or "*" in text else api.parse(text)
    if call is None or not call.is_outside or call.rest != text:
        raise UnfitError("a path of the API outside of repositories", "as in `/user` or `/rate_limit`")
    return text


def read_permission(text: str) -> str:
    """Read a repository permission of Apps.

    Raises:
        UnfitError: it is none, or one of those that no rule gives.
    """
    if text not in _PERMISSIONS:
        hint = nearest(text, _PERMISSIONS) or "administration, hooks and secrets are given by no rule"
        raise UnfitError("a repository permission", hint)
    return text


def glob(pattern: str, path: str, caseless: int = 0) -> bool:
    """Match `*` without backtracking: what lies between two stars may be taken at its first find."""

    def stands(part: str, at: int) -> bool:
        there, inside = path[at : at + len(part)], max(0, caseless - at)
        return there[:inside].lower() == part[:inside].lower() and there[inside:] == part[inside:]

    first, *rest = pattern.split("*")
    if not rest:
        return len(path) == len(first) and stands(first, 0)
    *middle, last = rest
    at, end = len(first), len(path) - len(last)
    if at > end or not stands(first, 0) or not stands(last, end):
        return False
    for part in middle:
        within = range(at, min(caseless, end - len(part) + 1))
        found = next((start for start in within if stands(part, start)), None)
        if found is None:
            found = path.find(part, max(at, caseless), end)
        if found < 0:
            return False
        at = found + len(part)
    return True
