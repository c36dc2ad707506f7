"""Where secrets come from, and the type that holds one.

Knows the sources; does not know what a secret is used for, nor any flow. A `Secret` is opened in two places alone:
where the API client writes its header, and where `sealed` writes an injected one.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NoReturn

from gatepass import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.rules import Credential

# RFC 9110, section 5.5: what a field value may hold; anything else could end the header and begin another.
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*", re.ASCII)


# The prefixes that GitHub gives tokens ("About authentication to GitHub", token formats).
_KINDS: Final = {
    "ghp_": "classic token",
    "github_pat_": "fine-grained token",
    "gho_": "OAuth token",
    "ghu_": "App user token",
    "ghs_": "App or Actions token",
}


class Secret:
    """A secret that cannot be printed, formatted, compared or pickled by accident."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source
        """The source it came from, such as `env:GH_TOKEN`: this may be shown."""

    def reveal(self) -> str:
        """The secret itself, for the header that it is meant for."""
        return self._value

    @property
    def kind(self) -> str:
        """What sort of token it is, as far as its prefix tells."""
        return next((kind for prefix, kind in _KINDS.items() if self._value.startswith(prefix)), "token")

    def fingerprint(self, salt: bytes) -> str:
        """A short keyed hash (`salt` up to 64 bytes): tells secrets apart, and is of no use to guess one."""
        return hashlib.blake2b(self._value.encode(), key=salt, digest_size=6).hexdigest()

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


class Credentials:
    """The secrets that the rules name, read afresh for each use: the environment is cheap to ask."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def secret(self, credential: Credential) -> Secret:
        """The first secret that one of the credential's sources yields.

        Raises:
            Unresolvable: no source has one, or what it has cannot stand in a header.
        """
        for source in credential.sources:
            _, _, name = source.partition(":")
            value = self._environ.get(name, "").strip()
            if not value:
                continue
            if not _HEADER_SAFE.fullmatch(value):
                raise problems.Unresolvable(problems.unusable_secret(credential.name, source))
            return Secret(value, source)
        raise problems.Unresolvable(problems.no_credential(credential.name, credential.sources))
