"""Which form of a page a client gets: content negotiation, as far as an index needs it (RFC 9110, section 12; PEP 691).

Pure: from the text of an Accept header to a media type.
"""

from __future__ import annotations

import re
from typing import Final

JSON: Final = "application/vnd.pypi.simple.v1+json"
HTML_V1: Final = "application/vnd.pypi.simple.v1+html"
HTML: Final = "text/html"

# What may be asked for, the best first where a client names several alike; PEP 691, "Version + Format Selection".
_FORMS: Final = {
    JSON: JSON,
    "application/vnd.pypi.simple.latest+json": JSON,
    HTML_V1: HTML_V1,
    "application/vnd.pypi.simple.latest+html": HTML_V1,
    HTML: HTML,
}
OFFERED: Final = (JSON, HTML_V1, HTML)
# A client that takes anything is none of these tools: it gets what every one has read since PEP 503.
_ANYTHING: Final = (HTML, JSON, HTML_V1)
_LONGEST: Final = 8192
_QUALITY: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def chosen(accept: str | None) -> str | None:
    """The form that the header's sender wants most; None when it takes none that there is.

    Of forms that are wanted alike, one that is named goes before one that a `*` stands for.
    """
    if accept is None or not accept.strip():
        return HTML
    if len(accept) > _LONGEST:
        return None
    ranges = [found for item in accept.lower().split(",") if (found := _range(item)) is not None]
    best: tuple[float, int, int] | None = None
    choice = None
    for name, form in _FORMS.items():
        quality, precision = _quality(name, ranges)
        # `latest` is another name of a form, for which a `*` stands already
        if quality <= 0 or (precision < 2 and name != form):
            continue
        # of what a `*` stands for, and of what is named, the best comes first in a list of its own
        order = list(_FORMS).index(name) if precision == 2 else _ANYTHING.index(form)
        rank = (-quality, -precision, order)
        if best is None or rank < best:
            best, choice = rank, form
    return choice


def _range(item: str) -> tuple[str, float] | None:
    """A media range, with how much it is wanted; None when it cannot be read.

    Parameters of the type itself are left aside: no form has any but its charset.
    """
    name, *parameters = (part.strip() for part in item.split(";"))
    if "/" not in name:
        return None
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if key.strip() == "q" and equals:
            value = value.strip()
            return (name, float(value)) if _QUALITY.fullmatch(value) else None
    return name, 1.0


def _quality(name: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """How much a form is wanted, by the most precise range that it falls under (RFC 9110, section 12.5.1)."""
    kind = name.partition("/")[0]
    for precision, pattern in ((2, name), (1, f"{kind}/*"), (0, "*/*")):
        found = [quality for each, quality in ranges if each == pattern]
        if found:
            return max(found), precision
    return 0.0, 0
