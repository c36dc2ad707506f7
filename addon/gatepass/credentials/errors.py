"""Why a source has no secret to give: an exception of its own, so that the next source is asked.

A source that gives something which cannot be used is another matter, and ends the search (`Unresolvable`).
"""

from __future__ import annotations


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

    def __init__(self) -> None:
        super().__init__("is busy with other questions", failed=True)
