"""The indexes that a project's settings, its files and this shell name: those that lead here are told, and how far.

Who asks an index for what was not named to come from it may get somebody else's package of the same name, from here or
from elsewhere. Reads files, which somebody else may have made. Knows the rules' indexes, and asks none.
"""

from __future__ import annotations

import configparser
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gatepass import files
from gatepass.errors import GatepassError
from gatepass.explain.explanation import Step
from gatepass.explain.lockfiles import requirements, toml
from gatepass.explain.target import at_index
from gatepass.shell import tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gatepass.rules.model import Rules

_HINT: Final = "write `explicit = true`, and name what comes from it under [tool.uv.sources]"
_HINT_ELSEWHERE: Final = (
    "name it in pyproject.toml under [[tool.uv.index]] with `explicit = true`, and what comes from it under "
    "[tool.uv.sources], and take it out here"
)
_HINT_POETRY: Final = 'write `priority = "explicit"`, and `source = "NAME"` at what comes from it'
_HINT_PDM: Final = "name what comes from it under `include_packages`, and exclude that from the other sources"
_HINT_PIP: Final = "give pip this index alone, by `--index-url`, in a call of its own with `--no-deps`"
_MOST_BYTES: Final = 1 << 18
# pip's own words for these, in a requirements file: `-i`, `--index-url` and `--extra-index-url`.
_OPTION: Final = re.compile(r"(-i|--index-url|--extra-index-url)[\s=]+(\S+)")


class _Pip(NamedTuple):
    """An index that pip is given; `is_extra` when it is one beside another."""

    place: str
    is_extra: bool
    url: str


def loose(
    folder: Path, rules: Rules | None = None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> Iterator[Step]:
    """A warning for each way in which a client would ask an index here for everything; `file` is what is checked.

    Whoever has a project's name elsewhere would be asked first, or second: only what is explicit keeps them apart.
    """
    environ = environ or {}
    for name, keys in (("pyproject.toml", ("tool", "uv")), ("uv.toml", ())):
        yield from _of_uv(name, _table(folder / name, *keys), rules)
    yield from _of_sources(_table(folder / "pyproject.toml", "tool"), rules)
    for variable, is_default in _UV:
        for text in environ.get(variable, "").split():
            if here := _leads_here(text.partition("=")[2] if re.match(r"[\w.-]+=", text) else text, rules):
                yield Step("index", "warn", f"{variable} names {here}: {_uv_takes(is_default)}", _HINT_ELSEWHERE)
    yield from _of_pip([*_pip_variables(environ), *_pip_files(environ), *_pip_lines(file)], rules)


_UV: Final = (
    ("UV_INDEX", False),
    ("UV_EXTRA_INDEX_URL", False),
    ("UV_DEFAULT_INDEX", True),
    ("UV_INDEX_URL", True),
)


def _uv_takes(is_default: bool) -> str:
    if is_default:
        return "it takes the place of the public index, so uv looks in it for any project"
    return "uv looks in it for any project, before all others"


def _of_uv(name: str, settings: dict[str, Any], rules: Rules | None) -> Iterator[Step]:
    """What uv's settings say."""
    entries = settings.get("index")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("explicit") is not True and _leads_here(entry.get("url"), rules):
            # without user and password, which an index that is a server of its own may have in its URL
            called = entry.get("name") or _leads_here(entry["url"], rules)
            why = (
                _uv_takes(entry.get("default") is True)
                if entry.get("default") is True
                else "uv looks in it for any project"
            )
            yield Step("index", "warn", f"{name}: index `{called}` is not explicit: {why}", _HINT)
    for key, is_default in (("index-url", True), ("extra-index-url", False)):
        value = settings.get(key)
        for url in value if isinstance(value, list) else [value]:
            if here := _leads_here(url, rules):
                yield Step("index", "warn", f"{name}: `{key}` is {here}: {_uv_takes(is_default)}", _HINT_ELSEWHERE)


def _of_sources(settings: dict[str, Any], rules: Rules | None) -> Iterator[Step]:
    """What Poetry's and PDM's settings say."""
    for tool, hint in (("poetry", _HINT_POETRY), ("pdm", _HINT_PDM)):
        own = settings.get(tool)
        entries = own.get("source") if isinstance(own, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or not (here := _leads_here(entry.get("url"), rules)):
                continue
            if entry.get("priority") != "explicit" and "include_packages" not in entry:
                called = entry.get("name") or here
                found = f"pyproject.toml: source `{called}` is not explicit: {tool} looks in it for any project"
                yield Step("index", "warn", found, hint)


def _of_pip(given: list[_Pip], rules: Rules | None) -> Iterator[Step]:
    """What pip makes of the indexes that it is given: it mixes them, and knows nothing that comes from one alone."""
    is_mixed = any(each.is_extra for each in given)
    for each in given:
        if not (here := _leads_here(each.url, rules)):
            continue
        if is_mixed:
            found = f"{each.place} names {here}: pip takes any project from whichever of its indexes has the newest"
            yield Step("index", "warn", found, _HINT_PIP)
        else:
            yield Step("index", "ok", f"{each.place} names {here}, which is all that pip has")


def _pip_variables(environ: Mapping[str, str]) -> Iterator[_Pip]:
    for variable, is_extra in (("PIP_INDEX_URL", False), ("PIP_EXTRA_INDEX_URL", True)):
        for url in environ.get(variable, "").split():
            yield _Pip(variable, is_extra, url)


def _pip_files(environ: Mapping[str, str]) -> Iterator[_Pip]:
    for path in tools.pip_files(environ) if environ else ():
        settings = configparser.RawConfigParser(strict=False)
        try:
            settings.read_string(files.read(path, _MOST_BYTES).decode("utf-8", "replace").removeprefix("\ufeff"))
        except (OSError, ValueError, configparser.Error):
            continue  # pip is the one to tell
        for section in settings.sections():
            for name, value in settings.items(section):
                if name.replace("_", "-") in ("index-url", "extra-index-url"):
                    for url in value.split():
                        yield _Pip(str(path), name.startswith("extra"), url)


def _pip_lines(file: Path | None) -> Iterator[_Pip]:
    if file is None or file.suffix in (".toml", ".lock"):
        return
    for line in requirements(file):
        for option, url in _OPTION.findall(line):
            yield _Pip(f"{file.name}: `{option}`", option.startswith("--extra"), url)


def _table(path: Path, *keys: str) -> dict[str, Any]:
    """The table of a file at these keys; an empty one where there is none."""
    if not path.is_file():
        return {}
    try:
        settings: Any = toml(path)
    except GatepassError:
        return {}  # whoever needs it tells what is wrong with it
    for key in keys:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings if isinstance(settings, dict) else {}


def _leads_here(url: object, rules: Rules | None) -> str | None:
    """The URL of an index here, without user and password; None for any other."""
    found = at_index(url, rules) if isinstance(url, str) else None
    return None if found is None else found.url
