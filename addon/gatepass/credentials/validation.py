"""What a source gives: a secret, which is one line of what a header may hold; or none, and why.

None is an exception of its own, so that the next source is asked. A source that gives something which cannot be used is
another matter, and ends the search (`Unresolvable`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.sources import Env, File, Systemd

if TYPE_CHECKING:
    from gatepass.secret import Secret
    from gatepass.sources import Source

# RFC 9110, section 5.5: what a field value may hold; anything else could end the header and begin another.
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*", re.ASCII)

# What people paste with a token.
_MISTAKES: Final = (
    (re.compile(r"^[\"'`]|[\"'`]$"), "it has quotes around it"),
    (re.compile(r"^(?:bearer|token|basic) ", re.IGNORECASE), "it begins with a word of the header"),
    (re.compile(r"^(?:export )?[A-Za-z_][A-Za-z0-9_]*=(?=.)"), "it begins with the name of a variable"),
    (re.compile(r" "), "it has spaces in it"),
)


class AbsentError(Exception):
    """The source has none; `reason` follows its name in a sentence, as in "`env:GH_TOKEN` is not set".

    `failed` tells that it should have one, which is worth a word even where another source helps.
    """

    def __init__(self, reason: str, *, failed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.failed = failed


class BusyError(AbsentError):
    """The source could not be asked: too many ask it for other things."""


def fit(source: Source, text: str) -> str:
    """The secret in what a source gave, without the space around it.

    Raises:
        AbsentError: it is empty.
        Unresolvable: it holds what a header may not.
    """
    value = text.strip()
    if not value:
        raise AbsentError("is empty" if isinstance(source, Env | File | Systemd) else "gave nothing")
    if "\n" in value:
        raise Unresolvable(catalogue.UNUSABLE_SECRET(source=source, what="it has several lines"))
    if not _HEADER_SAFE.fullmatch(value):
        raise Unresolvable(catalogue.UNUSABLE_SECRET(source=source, what="it has characters that no header may hold"))
    return value


def expect_token(source: Source, secret: Secret) -> None:
    """Go on when it can be a token of a forge, which a password of another host need not resemble.

    Raises:
        Unresolvable: it is a token with something around it, as pasted by mistake.
    """
    text = secret.reveal()
    if mistake := next((what for pattern, what in _MISTAKES if pattern.search(text)), None):
        raise Unresolvable(catalogue.UNUSABLE_SECRET(source=source, what=mistake))
