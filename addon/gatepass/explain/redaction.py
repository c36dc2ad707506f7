"""Taking secrets out of a text that is to be handed on.

Pure, and the last of several walls: what holds a secret should not write it in the first place.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REMOVED: Final = "[removed]"

# GitHub's own prefixes (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/)
# and JSON web tokens, wherever they stand.
_TOKEN: Final = re.compile(
    r"(?:gh[a-z]_[A-Za-z0-9_]{4,}|github_pat_[A-Za-z0-9_]{4,}|eyJ[\w=-]{4,}\.[\w=-]{4,}(?:\.[\w=-]*)?)", re.ASCII
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
_QUERY: Final = re.compile(r"(?<=[?&;])(?P<name>[^=&#\s\"'<>`]+)=(?P<value>[^&#\s\"'<>`]*)")
_HARMLESS: Final = frozenset({"page", "per_page"})
_PARAMETER: Final = re.compile(
    r"""(?ix)(?:(?<![\w-])|(?<=%[0-9a-f]{2}))(?P<name>x-amz-[a-z-]+|x-goog-[a-z-]+|sig|signature|jwt|[\w-]*token|[\w-]*secret|[\w-]*password
    |passwd|api_?key|authorization_request)(?P<between>["']?\s*(?:=|%3d|:\s*["'])\s*)(?!["']?\[removed\])
    (?P<value>[^&\s"'<>`]+)""",
    re.ASCII,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with everything replaced that is one of `secrets`, in whatever encoding, or has the shape of a secret."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for pattern in _forms(secret):
            text = re.sub(pattern, REMOVED, text)
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


def _forms(secret: str) -> Iterator[str]:
    """Patterns of a secret: as it is or percent-encoded in part, in base64 at any offset, in hexadecimal digits."""
    yield "".join(map(_character, secret))
    raw = secret.encode()
    for altchars in (b"+/", b"-_"):
        for offset in range(3):
            encoded = base64.b64encode(bytes(offset) + raw, altchars).decode()
            # the characters that no neighbour of the secret has a bit of: 6 bits each, of 8 bits a byte
            core = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
            if len(core) >= 4:
                yield rf"[A-Za-z0-9+/_-]{{0,{min(offset, 1)}}}{re.escape(core)}[A-Za-z0-9+/_=-]{{0,3}}"
    if len(raw) > 2:
        yield rf"(?i:{raw.hex()})"


def _character(character: str) -> str:
    """One character, its percent-encoded bytes, what a form makes of a space, or JSON of a quote."""
    encoded = "".join(f"%{byte:02x}" for byte in character.encode())
    others = {" ": [r"\+"], '"': [r'\\"'], "\\": [r"\\\\"]}
    return f"(?:{'|'.join([*others.get(character, []), re.escape(character), f'(?i:{encoded})'])})"
