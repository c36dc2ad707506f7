"""The one error that is meant for a person: what is wrong, and what to do about it; and the words of others in it."""


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
    """What came from a server or a file must not steer the terminal."""
    return "".join(character if character.isprintable() else instead for character in text)
