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
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class _Form(NamedTuple):
    """One way to write a secret, and what of the text around it goes with it."""

    text: bytes
    before: bytes = b""
    after: bytes = b""


type _Forms = dict[bytes, _Form]
"""By what is left of each without its escapes."""

REMOVED: Final = "[removed]"
"""What stands in a secret's place; in a URL it can stand nowhere (RFC 3986, section 3.2.2 and 3.3)."""

# Of those that were made, the newest: a token that its last holder has dropped may still come back in an answer.
_MOST: Final = 256
# What is shorter stands in any text: a word, in whatever leaves; a syllable, in what a server says that was sent it.
_SHORTEST_IN_USE: Final = 8
_SHORTEST: Final = 4
# A longer text that holds one is dropped whole, for each place in it would have to be looked at.
_MOST_SEARCHED: Final = 64 * 1024
# Escapes may be nested in each other.
_ROUNDS: Final = 4

_MARK: Final = re.compile(rb"[\\%&\r\n]")
# A text with more escapes than these is dropped whole: it would take too long to read.
_MOST_ESCAPES: Final = 100_000

# The oldest first; and the forms of all.
_in_use: dict[str, None] = {}
_known: _Forms = {}
# What is shorter, and was not cut short, holds none of them: most names and methods.
_least = 0

# Of a printable character: no secret has others.
_ESCAPE: Final = re.compile(  # begins with a set, and heeds case: else each place would be tried
    rb"""
    [\\%&] (?:
        (?: (?<=\\)(?:[uU](?:00){1,3}|[xX]) | (?<=%)(?:25){0,4} ) (?P<byte>[2-7][0-9a-fA-F])
        | (?<=\\)u\{0{0,8}(?P<braced>[2-7][0-9a-fA-F])\}
        | (?<=&)\#[xX]0{0,8}(?P<point>[2-7][0-9a-fA-F]);?
        | (?<=&)\#0{0,8}(?P<decimal>[0-9]{2,3});?
        | (?<=&)(?P<name>amp|lt|gt|quot|apos);
    )
    """,
    re.VERBOSE,
)
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_ELLIPSIS: Final = "…".encode()
_SHORTEST_STUMP: Final = 6


def learn(secret: str) -> None:
    """Note a secret that is in use: from now on it is taken out of all that leaves."""
    global _known, _least  # what is in use is one thing for the whole process, as its log is
    if len(secret) < _SHORTEST_IN_USE:
        return
    is_new = secret not in _in_use
    _in_use.pop(secret, None)
    _in_use[secret] = None
    if is_new:
        if len(_in_use) > _MOST:
            del _in_use[next(iter(_in_use))]
        _known = {plain: form for each in _in_use for plain, form in _forms(each).items()}
        _least = min(len(shortest) for plain, form in _known.items() for shortest in (plain, form.text))


def cleared[T: (str, bytes)](text: T) -> T:
    """`text` without the secrets in use, in whatever encoding."""
    is_short = len(text) < _least and not text.endswith("…" if isinstance(text, str) else _ELLIPSIS)
    return text if is_short else _without(text, _known)


def without[T: (str, bytes)](text: T, secret: str) -> T:
    """`text` without that one secret, in whatever encoding."""
    return _without(text, _forms(secret))


def _without[T: (str, bytes)](text: T, forms: _Forms) -> T:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if (shown := _cleared(data, forms)) is data:
        return text
    return shown if isinstance(text, bytes) else shown.decode("utf-8", "surrogatepass")


def _cleared(data: bytes, forms: _Forms) -> bytes:
    if not (found := _found(data, forms)):
        return data
    removed = REMOVED.encode()
    if len(data) > _MOST_SEARCHED:
        return removed
    found.sort(key=lambda form: len(form.text), reverse=True)
    data = re.sub(b"|".join(map(_pattern, found)), removed, data)
    for form in found:
        data = _without_stump(data, form.text)
    # it may be written in a way that no pattern knows
    return removed if _found(data, forms) else data


def _found(data: bytes, forms: _Forms) -> list[_Form]:
    """Those of the forms that stand in the data."""
    plain = _plain(data)
    if plain is None:
        return list(forms.values())
    is_whole = not data.endswith(_ELLIPSIS)
    if plain is data and is_whole and not any(map(data.__contains__, forms)):
        return []  # as nearly all that is looked at
    return [
        form
        for key, form in forms.items()
        if key in plain or form.text in data or not (is_whole or _without_stump(data, form.text) is data)
    ]


def _without_stump(data: bytes, form: bytes) -> bytes:
    """What was cut short, as mitmproxy does with long lines, without the beginning of a secret at its end."""
    if data.endswith(_ELLIPSIS):
        rest = data.removesuffix(_ELLIPSIS)
        for length in range(len(form) - 1, _SHORTEST_STUMP - 1, -1):
            if rest.endswith(form[:length]):
                return rest[:-length] + REMOVED.encode() + _ELLIPSIS
    return data


def _plain(data: bytes) -> bytes | None:
    """The data without escapes, nested ones too, and without the ends of lines, which break base64."""
    if not _MARK.search(data):
        return data
    for _ in range(_ROUNDS):
        # JSON in JSON: what the escape of an escape begins with must not be taken for that of a line's end
        for _ in range(3):
            data = data.replace(b"\\\\", b"\\")
        data, count = _ESCAPE.subn(_unescaped, data, _MOST_ESCAPES)
        if count == _MOST_ESCAPES:
            return None
        if count == 0:
            break
    return data.replace(b"\\n", b"").replace(b"\\r", b"").translate(None, b"\\\r\n")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    if byte := escape["byte"] or escape["braced"] or escape["point"]:
        return bytes.fromhex(byte.decode())
    if decimal := escape["decimal"]:
        return chr(int(decimal)).encode()
    return _NAMED[escape["name"]]


@lru_cache(_MOST)
def _forms(secret: str) -> _Forms:
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) < _SHORTEST:
        return {}
    # the first of those that are the same but for escapes: the pattern of each finds the others
    return {_plain(form.text) or form.text: form for form in reversed(list(_written(raw)))}


def _written(raw: bytes) -> Iterator[_Form]:
    """As it is, and as forms and hexadecimal digits have it; in base64 at any offset, be its alphabet that of URLs."""
    quoted = quote_from_bytes(raw, safe="").encode()
    for text in (raw, raw.replace(b" ", b"+"), quoted, quoted.lower()):
        yield _Form(text)
    for digits in (raw.hex().encode(), raw.hex().upper().encode()):
        yield _Form(digits)
    for altchars in (b"+/", b"-_"):
        for offset in range(3):
            encoded = base64.b64encode(bytes(offset) + raw, altchars)
            # the characters that no neighbour of the secret has a bit of: 6 bits each, of 8 bits a byte
            core = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
            yield _Form(core, b"[A-Za-z0-9+/_-]{0,%d}" % min(offset, 1), b"[A-Za-z0-9+/_=-]{0,3}")


def _pattern(form: _Form) -> bytes:
    """What finds a form, each of its bytes as it is or escaped."""
    inner = b"".join(
        rb"(?:\\{0,8}%b|(?:\\{1,8}(?:[uU](?:00){1,3}|[xX]|u\{0{0,8})|%%(?:25){0,4}|&\#[xX]0{0,8})(?i:%02x)[;}]?"
        rb"|&\#0{0,8}%d;?)" % (re.escape(bytes((byte,))), byte, byte)
        for byte in form.text
    )
    return form.before + inner + form.after


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
    text = cleared(text)
    for secret in secrets:
        text = without(text, secret)
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
