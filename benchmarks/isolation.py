"""What `gatepass run --isolate` takes more than `gatepass run`: at its start, and of the bytes."""

from __future__ import annotations

import compileall
import os
import time
from typing import TYPE_CHECKING, Final

from benchmarks import programs, servers
from benchmarks.bench import MB
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.report import Row

_MOST_MORE: Final = 0.05
"""Seconds until the command's end."""
_LEAST: Final = 0.9
"""Of the bytes a second."""
_HERE: Final = "egress: {private: [127.0.0.0/8, '::1']}\n"
"""The stand-in is on this machine, to which the proxy of an isolated command takes nobody."""
# The first request waits for mitmproxy's import, whatever it is for.
_DOWNLOAD: Final = """\
curl -sSf -o /dev/null http://gatepass.internal/ca.pem &&
exec curl -sSfL -o /dev/null -w '%{size_download} %{time_total}' "$0"
"""


def isolated(bench: Bench) -> Iterator[Row]:
    """`true`, and a big asset whose bytes all come through the proxy, with and without isolation."""
    compileall.compile_dir(programs.ROOT / "addon" / "gatepass", quiet=2)  # as an installer does
    rules, github, size = bench.folder / "isolated.yaml", bench.github, bench.scale.asset
    rules.write_text(bench.rules().read_text(encoding="utf-8") + _HERE, encoding="utf-8")
    github.ask(servers.publish_zeros, "acme/isolated", ["data.bin"], size)
    github.ask(servers.behave)
    variables = {programs.TOKEN: github.token, "SSL_CERT_FILE": str(bench.bundle), "HOME": str(bench.fresh("home"))}
    variables["PATH"] = os.environ["PATH"]

    def run(*arguments: str) -> tuple[str, float]:
        start = time.perf_counter()
        said = programs.run([programs.BIN / "gatepass", "run", "--rules", rules, *arguments], variables, bench.folder)
        return said, time.perf_counter() - start

    def speed(option: str) -> float:
        said, _ = run(option, "--", "sh", "-c", _DOWNLOAD, github.url("acme/isolated", "data.bin"))
        moved, seconds = said.split()
        if int(moved) != size:
            raise RuntimeError(f"expected {size} bytes, got {moved}")
        return size / float(seconds)

    rounds = 2 * bench.scale.rounds - 1
    # a difference of two that are alike wants many
    sides = (lambda: run("--isolate", "--", "true")[1], lambda: run("--", "true")[1])
    ours, bare = bench.in_turn(*sides, rounds=3 * rounds)
    yield Figure("isolate: more than `gatepass run`", ours - bare, "s", _MOST_MORE, f"{ours:.2f} s; {bare:.2f} s")
    inside, outside = bench.in_turn(lambda: speed("--isolate"), lambda: speed("--all-through-proxy"), rounds=rounds)
    compared = f"{inside / MB:,.0f} MB/s; {outside / MB:,.0f} MB/s"
    name = f"isolate: asset of {size // MB} MB"
    yield Figure(name, inside / outside, "× not isolated", _LEAST, compared, at_least=True)
