"""The values that are written in rules.yaml, each read from its text: patterns, templates, hosts, addresses.

Knows nothing about the file around a value; what reads one says what it expected, and its caller says where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gatepass.forges import Host

_PLACEHOLDER: Final = "{credential}"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, section 5.6.2
_VARIABLE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,15}://", re.ASCII | re.IGNORECASE)
_API_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)*/?", re.ASCII)
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_FIELD_VALUE: Final = re.compile(r"[!-~]+(?: +[!-~]+)*", re.ASCII)

# They frame the message, steer the connection, or speak to a proxy: RFC 9110, sections 7.6.1 and 11.7; RFC 9113, 8.2.2.
_RESERVED_HEADERS: Final = frozenset({
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


class UnfitError(ValueError):
    """A text that is not what it should be: what was expected, and what to do."""

    def __init__(self, expected: str, hint: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Pattern:
    """HOST/PATH, where `*` in the path stands for any run of characters, slashes included, or for none."""

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
        return cls(read_host(host), f"/{path}")

    def matches(self, host: Host, path: str) -> bool:
        """Whether a request matches; `path` is raw, as it was sent, without its query. Case counts."""
        return host == self.host and _glob(self.path, path)

    def __str__(self) -> str:
        return f"{self.host}{self.path}"


@dataclass(frozen=True, slots=True)
class Template:
    """The text of a header, in which `{credential}` stands for the secret."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            UnfitError: it is not a header's value, or holds another placeholder or a lone brace.
        """
        if not _FIELD_VALUE.fullmatch(text):
            raise UnfitError("a header's value in printable ASCII, without spaces around it")
        if re.search(r"[{}]", text.replace(_PLACEHOLDER, "")):
            raise UnfitError(f"`{_PLACEHOLDER}` as the one placeholder, and no other brace")
        return cls(text)

    def render(self, secret: str) -> str:
        """Put the secret in; what it holds itself is not read as a placeholder again."""
        return self.text.replace(_PLACEHOLDER, secret)


def read_host(text: str) -> Host:
    """Read HOST or HOST:PORT.

    Raises:
        UnfitError: it is something else.
    """
    if "*" in text:
        raise UnfitError("a host without `*`", "a credential is bound to hosts by name: write one rule for each host")
    if "/" in text:
        raise UnfitError("a host name", "leave scheme and path out, as in `github.com` or `ghe.example.com:8443`")
    try:
        return Host.parse(text)
    except ValueError as error:
        raise UnfitError(str(error).removeprefix("expected ")) from None


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


def read_credential_name(text: str) -> str:
    """Read the name of a credential.

    Raises:
        UnfitError: it is something else.
    """
    if not _CREDENTIAL_NAME.fullmatch(text):
        raise UnfitError("a name of letters, digits, `_`, `.` and `-`")
    return text


def read_source(text: str) -> str:
    """Read where a secret comes from.

    Raises:
        UnfitError: no such kind of source, or not what that kind needs.
    """
    if not _VARIABLE.fullmatch(text):
        raise UnfitError("a source of the kind `env:NAME`", "`env:NAME` reads the environment variable NAME")
    return text


def read_header_name(text: str) -> str:
    """Read the name of a header that a rule may set.

    Raises:
        UnfitError: it is not a name, or a header that belongs to the connection or to proxies.
    """
    if not _TOKEN.fullmatch(text):
        raise UnfitError("a header's name", "letters, digits and `-`, as in `PRIVATE-TOKEN`")
    if text.lower() in _RESERVED_HEADERS:
        raise UnfitError("a header that a rule may set", f"`{text}` belongs to the connection or to proxies")
    return text


def _glob(pattern: str, path: str) -> bool:
    """Match `*` without backtracking: what lies between two stars may be taken at its first find."""
    first, *rest = pattern.split("*")
    if not rest:
        return path == first
    *middle, last = rest
    at, end = len(first), len(path) - len(last)
    if at > end or not path.startswith(first) or not path.endswith(last):
        return False
    for part in middle:
        found = path.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
