"""Placeholders: what programs hold in a secret's place, worth nothing by itself; and where a request brings one.

Pure: knows neither rules nor flows, and no secret. Each variable of the rules has one, which is made by a keyed hash of
its name, so that all replicas with one key make the same, and has the form that tools look for in a token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from gatepass.http.fields import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gatepass.http.fields import Field

# A classic token's form, by which gh, Copilot's CLI and others know one; and what tells a placeholder of another start.
_MARK: Final = b"ghp_gatepass"
_VALUE: Final = re.compile(_MARK + rb"[0-9A-Za-z]{28}")
_SIGNS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 28
# Several encodings in each other, as in a URL within a URL.
_ROUNDS: Final = 3


def _cores(text: bytes) -> Iterator[bytes]:
    """What base64 makes of a text at any offset, less the signs that its neighbours have a part in."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + text)
        yield encoded[-(-offset * 8 // 6) : (offset + len(text)) * 8 // 6]


# What a text without any of these holds no placeholder: most are looked at no further.
_HINT: Final = re.compile(b"|".join((_MARK, b"%", *_cores(_MARK))))
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a request brings placeholders: the variables of each header, by its folded name; `in_target` those of its
    path and query. `is_stale` tells whether there is one of another start.
    """

    headers: Mapping[str, frozenset[str]]
    in_target: frozenset[str] = frozenset()
    is_stale: bool = False

    @property
    def variables(self) -> frozenset[str]:
        """All that were sent, wherever."""
        return self.in_target.union(*self.headers.values())


class Placeholders:
    """Those of one start; `values` are by the variables that programs find them in."""

    def __init__(self, key: bytes, variables: Iterable[str]) -> None:
        self.values = {name: _made(key, name) for name in sorted(set(variables))}
        self._names = {value.encode(): name for name, value in self.values.items()}
        forms = [form for value in self._names for form in (value, *_cores(value))]
        self._pattern = re.compile(b"|".join(map(re.escape, forms)))
        self.reach = max(map(len, forms), default=1) - 1
        """Bytes at the end of one part of a body that may be the beginning of a placeholder."""

    def find(self, headers: Iterable[Field], target: str) -> Sent | None:
        """Where a request brings any; None where it brings none."""
        found: dict[str, frozenset[str]] = {}
        is_stale = False
        for name, value in headers:
            if _HINT.search(value) is None and _MARK not in name:
                continue
            names, stale = self._within(name + b" " + value)
            is_stale |= stale
            if names:
                key = folded(name.decode("latin-1"))
                found[key] = found.get(key, frozenset()) | names
        raw = target.encode("utf-8", "surrogateescape")
        in_target, stale = self._within(raw) if _HINT.search(raw) else (frozenset[str](), False)
        if found or in_target or stale or is_stale:
            return Sent(found, in_target, is_stale or stale)
        return None

    def first_in(self, body: bytes) -> str | None:
        """The variable of the first one that part of a body holds, as it is or in base64."""
        found = self._pattern.search(body)
        if found is None:
            return None
        return next((name for value, name in self._names.items() if found[0] in (value, *_cores(value))), None)

    def _within(self, text: bytes) -> tuple[frozenset[str], bool]:
        """The variables whose placeholders are in a text, and whether one of another start is."""
        values = {value for each in _readings(text) for value in _VALUE.findall(each)}
        known = frozenset(self._names[value] for value in values if value in self._names)
        return known, len(known) < len(values)


class Watch:
    """The body of a request as it goes by: which placeholder it holds, wherever its parts are cut."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._tail = b""
        self.found: str | None = None
        """The variable whose placeholder it holds."""

    def __call__(self, part: bytes) -> bytes:
        """What mitmproxy streams: the part as it is."""
        return part

    def finds(self, part: bytes) -> bool:
        """Whether there is one up to the end of this part."""
        text = self._tail + part
        self.found = self.found or self._placeholders.first_in(text)
        self._tail = text[-self._placeholders.reach :]
        return self.found is not None


def _made(key: bytes, variable: str) -> str:
    number = int.from_bytes(hmac.digest(key, b"gatepass placeholder " + variable.encode(), "sha256"))
    signs = []
    for _ in range(_LENGTH):
        number, at = divmod(number, len(_SIGNS))
        signs.append(_SIGNS[at])
    return _MARK.decode() + "".join(signs)


def _readings(text: bytes) -> Iterator[bytes]:
    """The text as it is, and as whoever decodes it would read it."""
    for _ in range(_ROUNDS):
        yield text
        for coded in _BASE64.findall(text):
            yield from _decoded(coded)
        if (plain := unquote_to_bytes(text)) == text:
            return
        text = plain
    yield text


def _decoded(coded: bytes) -> Iterator[bytes]:
    """What base64 stands for, wherever in a run of its signs it begins."""
    coded = coded.replace(b"-", b"+").replace(b"_", b"/")
    for start in range(4):
        part = coded[start:]
        part = part[: len(part) // 4 * 4] if len(part) % 4 == 1 else part + b"=" * (-len(part) % 4)
        try:
            yield base64.b64decode(part)
        except binascii.Error:
            continue
