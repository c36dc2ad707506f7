"""Header fields of a request, as they have to be read by who sends it on (RFC 9110, RFC 9112).

Pure; knows neither flows nor rules.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

type Field = tuple[bytes, bytes]

# To some servers the line, or the header, ends here: whatever stands behind it would be a header of its own.
# RFC 9112, section 5.2, has a space in its place, or no request.
_BREAK: Final = re.compile(rb"[\r\n\0]+[ \t]*")

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# RFC 9110, section 11.7.1; the other one is no standard's (RFC 9110, section 7.6.1)
_FOR_PROXIES: Final = frozenset({"proxy-authorization", "proxy-connection", "x-forwarded-for"})
# Most fields are of these, and need no closer look.
_ORDINARY_NAME: Final = re.compile(rb"(?!proxy|x[-_]forwarded)" + _TOKEN.pattern, re.IGNORECASE)
_ORDINARY_VALUE: Final = re.compile(rb"(?![\t ])[\t -~\x80-\xff]*+(?<![\t ])")


def folded(name: str) -> str:
    """A header's name as servers compare it: whatever its case, and `_` as `-`, for CGI makes one name of both."""
    # RFC 3875, section 4.1.18; WSGI and PHP do as CGI does
    return name.lower().replace("_", "-")


def harmless(value: bytes) -> bytes:
    """A field's value in which nothing ends the line: RFC 9110, section 5.5, has a space in its place."""
    return _BREAK.sub(b" ", value).strip()


def is_harmless(value: bytes) -> bool:
    """Whether that is the value as it is."""
    return _ORDINARY_VALUE.fullmatch(value) is not None or harmless(value) == value


def date(value: str) -> datetime | None:
    """The moment that a field's value names (RFC 9110, section 5.6.7); None when it names none that a calendar has."""
    try:
        named = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return named if named.tzinfo else None


def onward(fields: Iterable[Field]) -> Iterator[Field]:
    """What goes on of a request's fields to its server: not what is for the proxy, nor what no field may be.

    X-Forwarded-For is the word of the proxy before this one, or nobody's, and tells who is behind it.
    """
    for field in fields:
        name, value = field
        if _ORDINARY_NAME.fullmatch(name) and _ORDINARY_VALUE.fullmatch(value):
            yield field
        elif _TOKEN.fullmatch(name) and folded(name.decode()) not in _FOR_PROXIES:
            yield name, harmless(value)


def forwarded(fields: Iterable[Field], ours: Iterable[str]) -> Iterator[Field]:
    """What goes on of a request's fields when `ours` are to be set on it, and Host.

    A header of such a name is left out. No other may add one, have one taken away by the next proxy, or lead to a
    connection on which no response is looked at.
    """
    fields, replaced = list(onward(fields)), {folded(name) for name in ours}
    websocket = any(b"websocket" in _listed(value) for name, value in fields if name.lower() == b"upgrade")
    for name, value in fields:
        match folded(name.decode()):
            case key if key in replaced:
                continue
            case "connection":
                # the next proxy takes away each header that is named here (RFC 9110, section 7.6.1)
                protected = replaced | {"host"} | (set() if websocket else {"upgrade"})
                kept = [option for option in _listed(value) if folded(option.decode("latin-1")) not in protected]
            case "upgrade":
                # any other protocol makes a tunnel (RFC 9110, section 7.8), and HTTP/2 in it has responses again
                kept = [b"websocket"] if websocket else []
            case _:
                yield name, value
                continue
        if kept:
            yield name, b", ".join(kept)


def _listed(value: bytes) -> list[bytes]:
    return [item for part in value.lower().split(b",") if (item := part.strip())]
