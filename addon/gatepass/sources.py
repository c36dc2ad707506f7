"""Where a secret may come from: the sources that rules.yaml names, as values.

Pure: what a source is called, and what it needs to be asked. How it is asked is for `gatepass.credentials`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.forge.hosts import Forge

DEFAULT_TTL: Final = 300
"""Seconds for which what a program printed is kept, where nothing else is said."""

# go-gh, `pkg/auth/auth.go`: a GitHub Enterprise Server has variables of its own.
_CLOUD: Final = ("GH_TOKEN", "GITHUB_TOKEN")
_ENTERPRISE: Final = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")


@dataclass(frozen=True, slots=True)
class Env:
    """The environment variable of that name."""

    name: str

    def __str__(self) -> str:
        return f"env:{self.name}"


@dataclass(frozen=True, slots=True)
class File:
    """What a file holds; `path` is absolute, or begins with `~`."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class Systemd:
    """The credential of that name which systemd hands to the proxy's unit (`LoadCredential=`)."""

    name: str

    def __str__(self) -> str:
        return f"systemd:{self.name}"


@dataclass(frozen=True, slots=True)
class Command:
    """The one line that a program prints, started without a shell, and kept for `ttl` seconds."""

    argv: tuple[str, ...]
    ttl: int = DEFAULT_TTL

    def __str__(self) -> str:
        return f"command:{self.argv[0]}"


@dataclass(frozen=True, slots=True)
class Gh:
    """What `gh auth token` prints for the forge."""

    def __str__(self) -> str:
        return "gh"


@dataclass(frozen=True, slots=True)
class Git:
    """The password that git's credential helpers have for the host."""

    def __str__(self) -> str:
        return "git"


@dataclass(frozen=True, slots=True)
class Netrc:
    """The password that the user's netrc has for the host."""

    def __str__(self) -> str:
        return "netrc"


@dataclass(frozen=True, slots=True)
class Keyring:
    """An entry of the system's keyring."""

    service: str
    user: str

    def __str__(self) -> str:
        return f"keyring:{self.service}/{self.user}"


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """A token of a GitHub App's installation, made from the App's private key.

    `id` is the App's client id or its number. The installation is `installation`, else that of `owner`, else that of
    the repository which is asked for.
    """

    id: str
    key: Key
    installation: int | None = None
    owner: str | None = None

    def __str__(self) -> str:
        return f"github-app:{self.id}"


@dataclass(frozen=True, slots=True)
class Default:
    """What gh itself would use for the forge: its variables, then what `gh auth token` prints."""

    def __str__(self) -> str:
        return "default"


type Key = Env | File | Systemd
"""Where a secret of several lines may come from."""

type Source = Env | File | Systemd | Command | Gh | Git | Netrc | Keyring | GitHubApp | Default


def expanded(sources: Iterable[Source], forge: Forge | None) -> tuple[Source, ...]:
    """The sources in which `default` is what it stands for at that forge."""
    return tuple(each for source in sources for each in (_default(forge) if isinstance(source, Default) else (source,)))


def _default(forge: Forge | None) -> tuple[Source, ...]:
    names = _CLOUD if forge is None or forge.is_cloud else _ENTERPRISE
    return (*map(Env, names), Gh())


def is_local(source: Source) -> bool:
    """Whether it can be asked without a network; of a command, and of git's helpers, nobody knows."""
    return not isinstance(source, Command | Git | GitHubApp)


def variables(sources: Iterable[Source], forge: Forge | None) -> tuple[str, ...]:
    """The environment variables that hold a secret for these sources; gh reads those of `default`, too."""
    asked = (Default() if isinstance(source, Gh) else source for source in sources)
    keys = (source.key if isinstance(source, GitHubApp) else source for source in expanded(asked, forge))
    return tuple(key.name for key in keys if isinstance(key, Env))
