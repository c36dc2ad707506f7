"""The one error that is meant for a person: what is wrong, and what to do about it; and the words of others in it."""

import re
from typing import Final

# What no terminal shows, though Python counts it as printable (Unicode, `Default_Ignorable_Code_Point`), and a blank.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


class GatepassError(Exception):
    """Something that the user can mend.

    `message` says where, what was expected and what was got; `hint` says what to do. Neither ever holds a secret.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


def why(error: OSError) -> str:
    """What the system says is wrong, as part of a sentence; without the file's name, which has been said."""
    return (error.strerror or "an error").lower()


def printable(text: str, instead: str = " ") -> str:
    """What came from a server, a client or a file must not steer the terminal, nor look like something else.

    No control characters, no ends of lines, nothing that turns the direction of writing, nothing that has no width.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(instead, "".join(character if character.isprintable() else instead for character in text))


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(document: bytes) -> bytes:
    """A JSON document of the same meaning, in which such characters are escaped."""
    return _UNPRINTED.sub(_escaped, document.decode()).encode()


_UNPRINTED: Final = re.compile(r"[^\n -~]")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if printable(character, "") == character:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
