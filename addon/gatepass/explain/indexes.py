"""The indexes that a project's settings of uv name: those that lead here must be asked for what is named alone.

Reads files, which somebody else may have made. Knows the proxy's own name, and no index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gatepass.errors import GatepassError
from gatepass.explain.explanation import Step
from gatepass.explain.lockfiles import toml
from gatepass.forge.hosts import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HINT: Final = "write `explicit = true`, and name what comes from it under [tool.uv.sources]"


def loose(folder: Path) -> Iterator[Step]:
    """A warning for each index of a package index here that uv would ask for everything.

    Whoever has a project's name elsewhere would be asked first, or second: only `explicit = true` keeps them apart.
    """
    for name, keys in (("pyproject.toml", ("tool", "uv")), ("uv.toml", ())):
        path = folder / name
        if not path.is_file():
            continue
        try:
            settings: Any = toml(path)
        except GatepassError:
            continue  # whoever needs it tells what is wrong with it
        for key in keys:
            settings = settings.get(key) if isinstance(settings, dict) else None
        entries = settings.get("index") if isinstance(settings, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("explicit") is not True and _leads_here(entry.get("url")):
                finding = (
                    f"{name}: index `{entry.get('name', entry['url'])}` is not explicit: uv looks in it for any project"
                )
                yield Step("index", "warn", finding, _HINT)


def _leads_here(url: object) -> bool:
    try:
        return isinstance(url, str) and urlsplit(url).hostname == OWN.name
    except ValueError:
        return False
