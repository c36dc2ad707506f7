"""A private repository as a package index: what one `uv lock` of it costs, beside a public index and find-links.

All sides have the same wheels: ten packages of twenty versions, which are a hundred releases of two files each.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import calls, programs, servers
from benchmarks.report import Comparison, Figure
from gatepass.forge.hosts import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.programs import Proxy
    from benchmarks.report import Row
    from gatepass.demo.package import File

_REPOSITORY: Final = "acme/index"
_PACKAGES: Final = [f"p{number}" for number in range(10)]
_VERSIONS: Final = [f"1.{number}" for number in range(20)]
_PROJECT: Final = f"""\
[project]
name = "app"
version = "0"
requires-python = ">=3.12"
dependencies = {_PACKAGES}
"""
_RULES: Final = """\
version: 1
forges: [{{web: '{web}', api: '{api}'}}]
credentials:
  benchmark: {{from: [env:BENCHMARK_TOKEN], hosts: ['{web}']}}
rules:
  - {{match: '{web}/acme/*/releases/download/*', resolve: github-release, credential: benchmark}}
  - {{match: '{web}/acme/*/releases/expanded_assets/*', resolve: github-release, credential: benchmark}}
"""


@dataclass(frozen=True)
class _Side:
    """Where the packages are taken from, and the meter that everything of it passes."""

    place: str
    meter: servers.Meter
    flat: tuple[str, ...] = ()
    """Pages of links; else `place` is an index."""
    proxy: Proxy | None = None


@dataclass
class _Measured:
    """What each side took, round for round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    moved: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, list[float]] = field(default_factory=dict)

    def take(self, name: str, seconds: float, moved: int, asked: int) -> None:
        for kept, value in ((self.seconds, seconds), (self.moved, moved / 1000), (self.calls, asked)):
            kept.setdefault(name, []).append(value)


_COLD: Final = "gatepass, which knows nothing yet"
_KNOWN: Final = "gatepass, after another client"
_AGAIN: Final = "gatepass, the same client again"
_PUBLIC: Final = "a public index with metadata files (`python -m http.server`)"
_PYPISERVER: Final = "pypiserver"
_PAGES: Final = "find-links through gatepass: the page of each release"
_FOLDER: Final = "find-links: one page of a folder (`python -m http.server`)"


def locks(bench: Bench) -> Iterator[Row]:
    """`uv lock` of ten packages, whose newest versions it takes.

    Bytes are counted between uv and what it is connected to, both ways, with TLS where there is TLS: which is
    Gatepass's side alone. The proxy of each cold lock is a new one; its start is not counted.
    """
    github = bench.github
    files = github.ask(servers.publish_index, _REPOSITORY, _PACKAGES, _VERSIONS, bench.scale.wheel)
    folder = bench.fresh("simple")
    _lay_out(folder, files)
    tags = github.ask(servers.tags, _REPOSITORY)
    github.ask(servers.behave)
    measured = _Measured()
    with ExitStack() as stack:
        static = stack.enter_context(servers.meter(stack.enter_context(programs.http_server(folder))))
        served = stack.enter_context(servers.meter(stack.enter_context(programs.pypiserver(folder / "wheels"))))
        others = {
            _PUBLIC: _Side(f"http://127.0.0.1:{static.port}/simple/", static),
            _PYPISERVER: _Side(f"http://127.0.0.1:{served.port}/simple/", served),
            _FOLDER: _Side("", static, (f"http://127.0.0.1:{static.port}/files/index.html",)),
        }
        for number in range(bench.scale.rounds):
            bench.say(f"round {number + 1} of {bench.scale.rounds}")
            with _gatepass(bench) as (proxy, meter, answers):
                ours = _Side(f"https://gatepass.internal/{github.web}/{_REPOSITORY}/simple/", meter, proxy=proxy)
                home = _lock(bench, _COLD, ours, measured)
                answers()
                (home / "uv.lock").unlink()
                _lock(bench, _AGAIN, ours, measured, home)
                again = answers()
                _lock(bench, _KNOWN, ours, measured)
            for name, side in others.items():
                _lock(bench, name, side, measured)
            with _gatepass(bench) as (proxy, meter, _):
                pages = tuple(f"https://{github.web}/{_REPOSITORY}/releases/expanded_assets/{tag}" for tag in tags)
                _lock(bench, _PAGES, _Side("", meter, pages, proxy), measured)
    yield from _rows(measured, again, len(tags))


def _rows(measured: _Measured, again: list[int], releases: int) -> Iterator[Row]:
    what = f"`uv lock`, {len(_PACKAGES)} packages × {len(_VERSIONS)} versions"
    asked = {name: int(median(values)) for name, values in measured.calls.items()}
    compared = f"{releases} releases; find-links to the page of each: {asked[_PAGES]}"
    yield Figure(f"index, API calls: cold {what}", asked[_COLD], "", 1 + len(_PACKAGES), compared)
    yield Figure("index, API calls: the same lock again", asked[_AGAIN], "", 0, f"another client: {asked[_KNOWN]}")
    other = sum(status != 304 for status in again)
    yield Figure("index: answers to it that are no 304", other, "", 0, f"of {len(again)}")
    order = (_PUBLIC, _PYPISERVER, _COLD, _KNOWN, _AGAIN, _PAGES, _FOLDER)
    fair = (
        "the API answers at once, and Gatepass speaks TLS; the servers of folders are plain HTTP, and take more "
        "connections at once than they do by themselves"
    )
    counted = (
        "between uv and what it connects to, both ways; with TLS where there is TLS, which is Gatepass's side alone"
    )
    for name, unit, values, note in (
        ("wall clock", "s", measured.seconds, fair),
        ("bytes", "kB", measured.moved, counted),
    ):
        yield Comparison(f"{what}: {name}", unit, tuple((side, median(values[side])) for side in order), note)


@contextmanager
def _gatepass(bench: Bench) -> Iterator[tuple[Proxy, servers.Meter, _Answers]]:
    """A proxy that knows nothing, a meter before it, and what it has answered since it was asked that last."""
    place = bench.fresh("index")
    rules, audit = place / "rules.yaml", place / "audit.jsonl"
    rules.write_text(_RULES.format(web=bench.github.web, api=bench.github.api), encoding="utf-8")
    options = ("--set", f"gatepass_rules={rules}", "--set", f"gatepass_audit={audit}")
    with bench.mitmdump("-s", str(programs.SCRIPT), *options) as proxy, servers.meter(proxy.port) as meter:
        yield proxy, meter, _Answers(audit)


class _Answers:
    """What a proxy's audit tells: the statuses of the index's answers, since they were asked for last."""

    def __init__(self, audit: Path) -> None:
        self._audit = audit
        self._read = 0

    def __call__(self) -> list[int]:
        # of each package at least its page; lines are written a moment later
        end = time.monotonic() + 5
        while len(found := self._statuses()) < len(_PACKAGES) and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        found = self._statuses()
        if len(found) < len(_PACKAGES):
            raise RuntimeError(f"expected an answer for each of {len(_PACKAGES)} packages in the audit, got {found}")
        self._read = len(self._lines())
        return found

    def _lines(self) -> list[str]:
        return self._audit.read_text(encoding="utf-8").splitlines()

    def _statuses(self) -> list[int]:
        events = [json.loads(line) for line in self._lines()[self._read :]]
        ours = [event for event in events if event["url"]["domain"] == OWN.name and "response" in event.get("http", {})]
        return [event["http"]["response"]["status_code"] for event in ours]


def _lock(bench: Bench, name: str, side: _Side, measured: _Measured, home: Path | None = None) -> Path:
    """One `uv lock`, in a new home if there is none, and what it took."""
    github = bench.github
    again = home is not None
    if home is None:
        home = bench.fresh("lock")
        (home / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    github.ask(servers.calls, "api")
    side.meter.moved()
    start = time.perf_counter()
    through = replace(side.proxy, port=side.meter.port) if side.proxy else None
    calls.uv(bench, home, through, "lock", *_options(side))
    seconds = time.perf_counter() - start
    measured.take(name, seconds, side.meter.moved(), github.ask(servers.calls, "api"))
    locked = (home / "uv.lock").read_text(encoding="utf-8")
    newest = [each for each in re.findall(r'^version = "(.+)"$', locked, re.MULTILINE) if each == _VERSIONS[-1]]
    if len(newest) != len(_PACKAGES) or "sha256:" not in locked:
        raise RuntimeError(f"{name}{', again' if again else ''}: expected {len(_PACKAGES)} locked, got {locked[:500]}")
    return home


def _options(side: _Side) -> list[str]:
    if side.flat:
        return ["--no-index", *(f"--find-links={page}" for page in side.flat)]
    return [f"--default-index={side.place}"]


def _lay_out(folder: Path, found: list[File]) -> None:
    """The same files as a static index with metadata files (PEP 503, 658), and as one page of links."""
    held, alone = folder / "files", folder / "wheels"
    held.mkdir()
    alone.mkdir()
    pages: dict[str, list[str]] = {}
    for name, content in found:
        (held / name).write_bytes(content)
        (alone / name).hardlink_to(held / name)
        metadata = _metadata(content)
        (held / f"{name}.metadata").write_bytes(metadata)
        digests = [hashlib.sha256(each).hexdigest() for each in (content, metadata)]
        link = f'<a href="/files/{name}#sha256={digests[0]}" data-core-metadata="sha256={digests[1]}">{name}</a><br>'
        pages.setdefault(name.partition("-")[0], []).append(link)
    for project, links in pages.items():
        page = folder / "simple" / project
        page.mkdir(parents=True)
        (page / "index.html").write_text("<!DOCTYPE html>\n" + "\n".join(links), encoding="utf-8")
    every = [re.sub(' data-core-metadata="[^"]*"', "", link) for links in pages.values() for link in links]
    (held / "index.html").write_text("<!DOCTYPE html>\n" + "\n".join(every), encoding="utf-8")


def _metadata(wheel: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as opened:
        return opened.read(next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA")))
