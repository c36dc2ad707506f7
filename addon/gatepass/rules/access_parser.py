"""rules.yaml's `clients`, `trusted_proxies`, `egress` and `limits` to `Access`.

Pure, as `parser` is; opens none of the files that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from gatepass.rules import values
from gatepass.rules.access import Access, Client, Egress, Htpasswd, Limits, Networks, Oidc, Password
from gatepass.rules.reader import value_of, values_of
from gatepass.rules.shape import ClientEntry, EgressEntry, LimitsEntry
from gatepass.sources import Command, Env, File, Keyring, Systemd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path as PathOfFile

    from gatepass.rules.access import Proof
    from gatepass.rules.reader import Reader
    from gatepass.rules.shape import SourceEntry
    from gatepass.rules.yaml_source import Data, Path
    from gatepass.sources import Source

    type ReadSource = Callable[[Path, str | SourceEntry], Source | None]

_KINDS = ("password", "htpasswd", "oidc", "networks")


def access(reader: Reader, folder: PathOfFile, read_source: ReadSource) -> Access:
    """What the file says of it; what is wrong is noted by the reader. `folder` is where relative paths begin."""
    clients = [_client(reader, folder, read_source, path, value) for path, value in reader.entries("clients")]
    limits = reader.decode(LimitsEntry, ("limits",), reader.data.get("limits", {})) or LimitsEntry()
    return Access(
        clients=tuple(client for client in clients if client),
        trusted_proxies=tuple(
            network
            for _, text in reader.entries("trusted_proxies")
            if isinstance(text, str) and (network := value_of(values.read_network, text))
        ),
        egress=_egress(reader) if "egress" in reader.data else None,
        limits=Limits(
            None if limits.connections is UNSET else limits.connections,
            None if limits.requests is UNSET else limits.requests,
            limits.misses,
        ),
    )


def _client(reader: Reader, folder: PathOfFile, read_source: ReadSource, path: Path, value: Data) -> Client | None:
    if (entry := reader.decode(ClientEntry, path, value)) is None:
        return None
    given = [kind for kind in _KINDS if getattr(entry, kind) is not UNSET]
    if len(given) != 1:
        expected = "one of `password`, `htpasswd`, `oidc` and `networks`"
        hint = "write an entry for each, with a name of its own" if given else None
        reader.report(path, expected, " and ".join(f"`{kind}`" for kind in given) or "none", hint)
        return None
    name = value_of(values.read_client_name, str(path[-1]))
    proof = _proof(reader, folder, read_source, path, entry)
    return Client(name, proof) if name and proof else None


def _proof(reader: Reader, folder: PathOfFile, read_source: ReadSource, path: Path, entry: ClientEntry) -> Proof | None:
    if entry.password is not UNSET:
        return _password(reader, read_source, (*path, "password"), entry.password)
    if entry.htpasswd is not UNSET:
        return Htpasswd(folder / entry.htpasswd, reader.place((*path, "htpasswd")))
    if entry.oidc is not UNSET:
        issuer = value_of(values.read_issuer, entry.oidc.issuer)
        audience = value_of(values.read_audience, entry.oidc.audience)
        return Oidc(issuer, audience, tuple(entry.oidc.claims.items())) if issuer and audience else None
    networks = values_of(values.read_network, [] if entry.networks is UNSET else entry.networks)
    return None if networks is None else Networks(tuple(networks))


def _password(reader: Reader, read_source: ReadSource, path: Path, entries: list[str | SourceEntry]) -> Password | None:
    found = [read_source((*path, index), source) for index, source in enumerate(entries)]
    for index, source in enumerate(found):
        if source is not None and not isinstance(source, Env | File | Systemd | Keyring | Command):
            hint = (
                "a forge's tokens are nobody's password here: `env:NAME`, `file:PATH`, `systemd:NAME`, `keyring:…` or "
                "a `command`"
            )
            reader.report((*path, index), "the source of a password", f"`{source}`", hint)
    sources = tuple(source for source in found if source)
    return Password(sources) if len(sources) == len(found) else None


def _egress(reader: Reader) -> Egress | None:
    if (entry := reader.decode(EgressEntry, ("egress",), reader.data["egress"])) is None:
        return None
    allow = None if entry.allow is UNSET else tuple(values_of(values.read_destination, entry.allow) or ())
    deny, private = (
        values_of(values.read_destination, entry.deny),
        values_of(values.read_network, entry.private),
    )
    return Egress(allow, tuple(deny or ()), tuple(private or ()), entry.report_only)
