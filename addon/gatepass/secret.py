"""The type that holds a secret, and whom a secret is for.

Does not know where secrets come from. A `Secret` is opened in three places alone: where the API client writes its
header, where the hooks fill an injected one, and where what leaves is cleared of it. A client's password is compared.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from gatepass import redaction

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gatepass.forge.hosts import Forge, Host
    from gatepass.forge.urls import Repository
    from gatepass.sources import Source

# The prefixes that GitHub gives tokens ("About authentication to GitHub", token formats).
_KINDS: Final = {
    "ghp_": "classic token",
    "github_pat_": "fine-grained token",
    "gho_": "OAuth token",
    "ghu_": "App user token",
    "ghs_": "App or Actions token",
}
UNKNOWN_KIND: Final = "token"

EVERYWHERE: Final = b"gatepass explain"
"""The salt of fingerprints that people compare: a secret's is the same on two machines, and in no other program."""

type Origin = tuple[Source, Hashable]
"""Under what a secret is kept: its source, and what of the audience made a difference to it."""


class Secret:
    """A secret that cannot be printed, formatted, compared or pickled by accident."""

    __slots__ = ("_group", "_identity", "_payer", "_value", "origin", "source")

    def __init__(
        self,
        value: str,
        source: str,
        origin: Origin | None = None,
        identity: Hashable | None = None,
        payer: Hashable | None = None,
        group: Hashable | None = None,
    ) -> None:
        """`identity` stands for the secret where its fingerprint would: tokens that follow each other share one.

        `payer` has the budget that it spends, when that is not its own alone. `group` stands for it in other processes,
        where other secrets see just what it sees.
        """
        redaction.learn(value)
        self._value = value
        self._identity = identity
        self._payer = payer
        self._group = group
        self.source = source
        """The source it came from, such as `env:GH_TOKEN`: this may be shown."""
        self.origin = origin
        """Under what it is kept, to be asked for anew when it is refused; None for what is read afresh each time."""

    def reveal(self) -> str:
        """The secret itself, for the header that it is meant for."""
        return self._value

    def cleared[T: (str, bytes)](self, text: T) -> T:
        """`text`, for others to see: without the secret, in whatever encoding."""
        return redaction.without(text, self._value)

    def is_same(self, other: Secret) -> bool:
        """Whether the other one is the same text; takes the same time wherever they differ."""
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def opens_to(self, text: str) -> bool:
        """Whether that is the secret; takes the same time whatever of it is right, its length too."""
        ours, theirs = (hashlib.blake2b(each.encode(errors="surrogatepass")).digest() for each in (self._value, text))
        return hmac.compare_digest(ours, theirs)

    def anew(self) -> Secret:
        """The same text as a secret with which nothing has been learnt yet."""
        return Secret(self._value, self.source, self.origin, secrets.token_hex(8), self._payer, self._group)

    @property
    def is_of_a_group(self) -> bool:
        """Whether other secrets in other processes see just what it sees, though each was made by itself."""
        return self._group is not None

    def group(self, salt: bytes) -> Hashable:
        """What stands for it, and for all that see the same, in every process that has this salt."""
        return self.fingerprint(salt) if self._group is None else self._group

    @property
    def kind(self) -> str:
        """What sort of token it is, as far as its prefix tells."""
        return next((kind for prefix, kind in _KINDS.items() if self._value.startswith(prefix)), UNKNOWN_KIND)

    @property
    def is_of_installation(self) -> bool:
        """Whether it is a token of an App's installation, or of a workflow's run, which has one, too."""
        return self.kind == _KINDS["ghs_"]

    @property
    def mark(self) -> str | None:
        """The fingerprint that people are shown, the same wherever and whenever; None of what may be a password.

        A password is no long random text: from a hash of it with a known key it could be guessed.
        """
        return None if self.kind == UNKNOWN_KIND else self.fingerprint(EVERYWHERE)[:8]

    def fingerprint(self, salt: bytes) -> str:
        """A short keyed hash (`salt` up to 64 bytes): tells secrets apart, and is of no use to guess one."""
        return hashlib.blake2b(self._value.encode(), key=salt, digest_size=6).hexdigest()

    def identity(self, salt: bytes) -> Hashable:
        """Under what is remembered what was learnt with it."""
        return self.fingerprint(salt) if self._identity is None else self._identity

    def payer(self, salt: bytes) -> Hashable:
        """Whose budget at its forge it spends."""
        return self.identity(salt) if self._payer is None else self._payer

    def __repr__(self) -> str:
        return f"<Secret from {self.source}>"

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a secret has no text form")

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a secret is for: the host that a rule names, its forge if it is one's, and what is wanted there.

    `permissions` are what an App's token is to have, as far as its installation has it; without any it reads contents.
    """

    host: Host
    forge: Forge | None = None
    repository: Repository | None = None
    permissions: tuple[tuple[str, str], ...] = ()

    @property
    def site(self) -> Host:
        """Where people sign in: what they, gh and git know a forge by, whichever of its hosts is meant."""
        return self.forge.web if self.forge else self.host
