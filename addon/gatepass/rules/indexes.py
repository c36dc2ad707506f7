"""What package indexes in rules.yaml are made of, as values, each read from its text.

Pure: which repositories a `*` stands for is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gatepass.forge import urls
from gatepass.forge.urls import Repository
from gatepass.rules.values import UnfitError, read_host

if TYPE_CHECKING:
    from gatepass.forge.hosts import Host

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repositories:
    """HOST/OWNER/NAME, where NAME may end in `*`: then all that the credential may see, and that begin so."""

    host: Host
    owner: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Repositories:
        """Read it.

        Raises:
            UnfitError: it is something else.
        """
        if "://" in text:
            raise UnfitError("HOST/OWNER/REPO", "leave the scheme out, as in `github.com/acme/widget`")
        host, *names = text.removesuffix("/").split("/")
        if len(names) != 2:
            raise UnfitError("HOST/OWNER/REPO", "as in `github.com/acme/widget`, or `github.com/acme/*` for all")
        if "*" in f"{host}{names[0]}{names[1][:-1]}":
            hint = "as in `github.com/acme/py-*`; name each owner in an entry of its own"
            raise UnfitError("a `*` at the end of the repository's name alone", hint)
        if urls.repository(f"/{names[0]}/{names[1].replace('*', 'x')}") is None:
            raise UnfitError("HOST/OWNER/REPO", "owner and repository are as in their web page's address")
        return cls(read_host(host), names[0], names[1])

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for several."""
        return self.name.endswith("*")

    @property
    def repository(self) -> Repository:
        """The one that it names, when it names one."""
        return Repository(self.owner, self.name)

    def covers(self, repository: Repository) -> bool:
        """Whether the repository is among these; letter case makes no difference."""
        if repository.owner.casefold() != self.owner.casefold():
            return False
        name, own = repository.name.casefold(), self.name.casefold()
        return name.startswith(own[:-1]) if self.is_pattern else name == own

    def __str__(self) -> str:
        return f"{self.host}/{self.owner}/{self.name}"


def read_index_name(text: str) -> str:
    """Read the name of an index: a name with a dot would be a host's.

    Raises:
        UnfitError: it is none.
    """
    if not _NAME.fullmatch(text):
        hint = "a name with a dot is a host's, as in `/github.com/OWNER/REPO/simple/`" if "." in text else None
        raise UnfitError("a name of letters, digits, `_` and `-`", hint)
    return text
