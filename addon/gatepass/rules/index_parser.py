"""rules.yaml's `indexes` to `Index`.

Pure, as `parser` is: asks no forge what a `*` stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from gatepass.rules.indexes import Repositories, read_index_name
from gatepass.rules.model import Index
from gatepass.rules.reader import value_of
from gatepass.rules.shape import IndexEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gatepass.forge.hosts import Forge, Host
    from gatepass.rules.model import Credential
    from gatepass.rules.reader import Reader
    from gatepass.rules.yaml_source import Data, Path

    type ForgeAt = Callable[[Path, Host, str], Forge | None]
    type Named = Callable[[Path, str, Host | None], Credential | None]
    type Clients = Callable[[Path, Iterable[str]], tuple[str, ...]]


def indexes(reader: Reader, forge_at: ForgeAt, named: Named, clients: Clients) -> tuple[Index, ...]:
    """What the file says of them; what is wrong is noted by the reader.

    `forge_at` gives the forge of a host, `named` the credential of a name for a host, `clients` the clients of these
    names: each notes what is wrong with them at the path.
    """
    found = [_index(reader, forge_at, named, clients, path, value) for path, value in reader.entries("indexes")]
    return tuple(index for index in found if index)


def _index(reader: Reader, forge_at: ForgeAt, named: Named, clients: Clients, path: Path, value: Data) -> Index | None:
    if (entry := reader.decode(IndexEntry, path, value)) is None:
        return None
    repositories: list[tuple[Forge, Repositories]] = []
    seen: set[str] = set()
    for number, text in enumerate(entry.repositories):
        place = (*path, "repositories", number)
        if (each := value_of(Repositories.parse, text)) is None:
            continue
        if str(each).casefold() in seen:
            reader.wrong(place, "each repository once", text)
        seen.add(str(each).casefold())
        if (forge := forge_at(place, each.host, text)) is not None:
            repositories.append((forge, each))
    webs = dict.fromkeys(forge.web for forge, _ in repositories)
    found = [named((*path, "credential"), entry.credential, web) for web in webs or (None,)]
    whose = () if entry.clients is UNSET else clients((*path, "clients"), entry.clients)
    name = value_of(read_index_name, str(path[-1]))
    if name is None or found[0] is None or len(repositories) < len(entry.repositories):
        return None
    return Index(name, tuple(repositories), found[0], entry.prereleases, whose)
