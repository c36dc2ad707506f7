"""Taking secrets out of whatever leaves: answers to clients, problems, lines of the log, reports.

Knows the secrets in use, each from the moment that it is made, and how servers and logs write one: as it is, escaped as
in JSON, percent-encoded, in base64 at any offset, in hexadecimal digits. The last of several walls: what holds a secret
should not write it in the first place. Does not know where a secret is from, nor where a text goes.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REMOVED: Final = "[removed]"
"""What stands in a secret's place; in a URL it can stand nowhere (RFC 3986, section 3.2.2 and 3.3)."""

# Of those that were made, the newest: a token that its last holder has dropped may still come back in an answer.
_MOST: Final = 1024
# What is shorter stands in any text.
_SHORTEST: Final = 4
# A longer text that holds one is dropped whole, for each place in it would have to be looked at.
_MOST_SEARCHED: Final = 64 * 1024
# Escapes may be nested in each other.
_ROUNDS: Final = 4

_in_use: dict[str, None] = {}

_MARK: Final = re.compile(rb"[\\%&\r\n]")
_ESCAPE: Final = re.compile(
    rb"""
    (?:\\{1,8}u | &\#x0{0,4}) (?P<point>[0-9a-f]{2,4});? | &\#0{0,4}(?P<decimal>[0-9]{2,4});
    | (?:\\{1,8}x | %(?:25){0,4}) (?P<byte>[0-9a-f]{2})
    | &(?P<name>amp|lt|gt|quot|apos);
    | \\{1,8}[nr]? | [\r\n]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


class _Form(NamedTuple):
    """One way to write a secret; `plain` is what is left of it without escapes, `pattern` finds it with any."""

    text: bytes
    plain: bytes
    pattern: bytes


def learn(secret: str) -> None:
    """Note a secret that is in use: from now on it is taken out of all that leaves."""
    _in_use.pop(secret, None)
    _in_use[secret] = None
    if len(_in_use) > _MOST:
        del _in_use[next(iter(_in_use))]


def cleared[T: (str, bytes)](text: T, secrets: Iterable[str] | None = None) -> T:
    """`text` without `secrets`, in whatever encoding; without all that are in use, when none are named."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    secrets = tuple(_in_use if secrets is None else filter(None, secrets))
    if not (forms := _found(data, secrets)):
        return text
    removed = REMOVED.encode()
    if len(data) > _MOST_SEARCHED:
        data = removed
    else:
        longest_first = sorted(forms, key=lambda form: len(form.text), reverse=True)
        data = re.sub(b"|".join(form.pattern for form in longest_first), removed, data)
        for form in longest_first:
            data = _without_stump(data, form.text)
        if _found(data, secrets):  # written in a way that no pattern knows
            data = removed
    return data if isinstance(text, bytes) else data.decode("utf-8", "surrogatepass")


def _found(data: bytes, secrets: Iterable[str]) -> list[_Form]:
    """How those of the secrets are written that stand in the data."""
    plain = _plain(data)
    is_cut = data.endswith(_ELLIPSIS)
    return [
        form
        for secret in secrets
        for form in _forms(secret)
        if form.plain in plain or form.text in data or (is_cut and _without_stump(data, form.text) is not data)
    ]


_ELLIPSIS: Final = "…".encode()
_SHORTEST_STUMP: Final = 6


def _without_stump(data: bytes, form: bytes) -> bytes:
    """What was cut short, as mitmproxy does with long lines, without the beginning of a secret at its end."""
    if data.endswith(_ELLIPSIS):
        rest = data.removesuffix(_ELLIPSIS)
        for length in range(len(form) - 1, _SHORTEST_STUMP - 1, -1):
            if rest.endswith(form[:length]):
                return rest[:-length] + REMOVED.encode() + _ELLIPSIS
    return data


def _plain(data: bytes) -> bytes:
    """The data without escapes, nested ones too, and without the ends of lines, which break base64."""
    for _ in range(_ROUNDS):
        if not _MARK.search(data):
            break
        data = _ESCAPE.sub(_unescaped, data)
    return data


def _unescaped(escape: re.Match[bytes]) -> bytes:
    if byte := escape["byte"]:
        return bytes.fromhex(byte.decode())
    if point := escape["point"]:
        return chr(int(point, 16)).encode("utf-8", "surrogatepass")
    if decimal := escape["decimal"]:
        return chr(int(decimal)).encode("utf-8", "surrogatepass")
    return _NAMED[name.lower()] if (name := escape["name"]) else b""


@lru_cache(_MOST)
def _forms(secret: str) -> tuple[_Form, ...]:
    raw = secret.encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys(_written(raw))) if len(raw) >= _SHORTEST else ()


def _written(raw: bytes) -> Iterator[_Form]:
    """As it is, and as forms and hexadecimal digits have it; in base64 at any offset, be its alphabet that of URLs."""
    for text in (raw, raw.replace(b" ", b"+")):
        yield _Form(text, _plain(text), _escaped(text))
    for digits in (raw.hex().encode(), raw.hex().upper().encode()):
        yield _Form(digits, digits, _escaped(digits))
    for altchars in (b"+/", b"-_"):
        for offset in range(3):
            encoded = base64.b64encode(bytes(offset) + raw, altchars)
            # the characters that no neighbour of the secret has a bit of: 6 bits each, of 8 bits a byte
            core = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
            before, after = b"[A-Za-z0-9+/_-]{0,%d}" % min(offset, 1), b"[A-Za-z0-9+/_=-]{0,3}"
            yield _Form(core, core, before + _escaped(core) + after)


def _escaped(text: bytes) -> bytes:
    """A pattern of the text, each byte as it is or escaped."""
    return b"".join(
        rb"(?:\\{0,8}%b|(?:\\{1,8}(?:u00|x)|%%(?:25){0,4}|&\#x0{0,4})(?i:%02x);?|&\#0{0,4}%d;)"
        % (re.escape(bytes((byte,))), byte, byte)
        for byte in text
    )


# --------------------------------------------------------------------- shapes

# GitHub's own prefixes (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/)
# and JSON web tokens, wherever they stand.
_TOKEN: Final = re.compile(
    r"(?:gh[a-z]_[A-Za-z0-9_]{4,}|github_pat_[A-Za-z0-9_]{4,}|eyJ[\w=-]{4,1024}\.[\w=-]{4,}(?:\.[\w=-]*)?)", re.ASCII
)
# Lines of headers, and the same as members of JSON: the whole value goes.
_HEADER: Final = re.compile(
    r"""(?im)(?<![\w-])(?P<name>(?:proxy-)?authorization|(?:set-)?cookie2?|x-api-key|api-key|private-token|job-token
    |x-[\w-]*(?:token|secret|key|password))(?P<between>["'`]?\s*[:=]\s*)(?!\s*\[removed\])[^\r\n]+""",
    re.VERBOSE | re.ASCII,
)
_SCHEME: Final = re.compile(r"(?i)\b(basic|bearer|negotiate)\s+(?!\[removed\])[A-Za-z0-9._~+/=%-]{4,}", re.ASCII)
# `user:password@`, and a token alone before the `@` (RFC 3986, section 3.2.1); proxies are named without a scheme too
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s@\"'<>]+(?:@[^/?#\s@\"'<>]+)*(?=@)")
_BARE_USER_INFO: Final = re.compile(r"(?<![\w.%+-])[\w.%+-]+:[^\s/@:\"'`]+(?=@[\w.\[])")
# A URL's query: what is allowed to stay is named, for nobody knows all the names that signatures have.
_QUERY: Final = re.compile(r"(?<=[?&;])(?P<name>[^=&#?;\s\"'<>`]+)=(?P<value>[^&#\s\"'<>`]*)")
_HARMLESS: Final = frozenset({"page", "per_page"})
_PARAMETER: Final = re.compile(
    r"""(?ix)(?:(?<![\w-])|(?<=%[0-9a-f]{2}))(?P<name>x-amz-[a-z-]+|x-goog-[a-z-]+|sig|signature|jwt|[\w-]*token|[\w-]*secret|[\w-]*password
    |passwd|api_?key|authorization_request)(?P<between>["']?\s*(?:=|%3d|:\s*["'])\s*)(?!["']?\[removed\])
    (?P<value>[^&\s"'<>`]+)""",
    re.ASCII,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` cleared of all secrets in use, of these, and of whatever has the shape of one."""
    text = cleared(text, [*_in_use, *secrets])
    text = _HEADER.sub(rf"\g<name>\g<between>{REMOVED}", text)
    text = _USER_INFO.sub(REMOVED, text)
    text = _BARE_USER_INFO.sub(REMOVED, text)
    text = _QUERY.sub(_without_value, text)
    text = _PARAMETER.sub(rf"\g<name>\g<between>{REMOVED}", text)
    text = _SCHEME.sub(rf"\g<1> {REMOVED}", text)
    return _TOKEN.sub(REMOVED, text)


def _without_value(match: re.Match[str]) -> str:
    if match["name"].lower() in _HARMLESS and match["value"].isdigit():
        return match[0]
    return f"{match['name']}={REMOVED}"
