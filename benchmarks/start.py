"""Time until a command runs, and what it costs a command to run under Gatepass."""

from __future__ import annotations

import compileall
import shutil
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks import programs, servers
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.report import Row

_MOST_MORE: Final = 0.25
"""Seconds that each command may take more: every one pays them."""
_PACKAGES: Final = [f"acme-{number}" for number in range(12)]
_PADDING: Final = 1_000_000


def run_true(bench: Bench) -> Iterator[Row]:
    """`gatepass run -- true` from start to end; `mitmdump` until it listens, with a CA that it has; `true` alone."""
    command = _run(bench.rules(), "true")

    def run() -> float:
        return _seconds(command, {programs.TOKEN: bench.github.token}, bench.folder)

    def mitmdump() -> float:
        with bench.mitmdump() as proxy:
            return proxy.started

    def alone() -> float:
        return _seconds(["true"], {}, bench.folder)

    ours, theirs, bare = bench.in_turn(run, mitmdump, alone, rounds=2 * bench.scale.rounds - 1)
    compared = f"{ours:.2f} s; {theirs:.2f} s"
    yield Figure("start: `gatepass run -- true`", ours / theirs, "× mitmdump", 1.2, compared)
    yield Figure("run: more than the command alone", ours - bare, "s", _MOST_MORE, f"{ours:.2f} s; {bare:.2f} s")


def run_sync(bench: Bench) -> Iterator[Row]:
    """`uv sync` of a lockfile, cold, whose every package comes through the proxy: without it they are public."""
    github, home = bench.github, bench.fresh("sync")
    wheels = [
        (
            name,
            github.ask(servers.publish_wheel, f"acme/{name}", name.replace("-", "_"), padding=_PADDING, private=False),
        )
        for name in _PACKAGES
    ]
    named = [f'"{name} @ {github.url(f"acme/{name}", wheel)}"' for name, wheel in wheels]
    (home / "pyproject.toml").write_text(
        f'[project]\nname = "sync"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = [{", ".join(named)}]\n',
        encoding="utf-8",
    )
    variables = {
        "HOME": str(home),
        "SSL_CERT_FILE": str(bench.bundle),
        "UV_CACHE_DIR": str(home / "cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON": sys.executable,
    }
    uv: list[str | Path] = [programs.UV, "--no-progress"]
    programs.run([*uv, "lock"], variables, home)

    def sync(command: list[str | Path]) -> float:
        for name in ("cache", ".venv"):
            shutil.rmtree(home / name, ignore_errors=True)
        return _seconds(command, variables, home)

    command = [*uv, "sync", "--frozen"]
    under = _run(programs.ROOT / "rules.yaml", *command)
    ours, bare = bench.in_turn(lambda: sync(under), lambda: sync(command), rounds=2 * bench.scale.rounds - 1)
    yield Figure(
        f"run: more than `uv sync` alone, of {len(_PACKAGES)} packages",
        ours - bare,
        "s",
        _MOST_MORE,
        f"{ours:.2f} s; {bare:.2f} s",
        note="its first connection waits until mitmproxy is imported, which begins when the command does",
    )


def _run(rules: Path, *command: str | Path) -> list[str | Path]:
    # as an installer does, to what is compared as well
    compileall.compile_dir(programs.ROOT / "addon" / "gatepass", quiet=2)
    return [programs.BIN / "gatepass", "run", "--rules", rules, "--", *command]


def _seconds(command: list[str | Path], variables: dict[str, str], folder: Path) -> float:
    start = time.perf_counter()
    programs.run(command, variables, folder)
    return time.perf_counter() - start
