"""Many bytes: how fast they come, what they cost in memory, and which protocol should carry them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from benchmarks import programs, servers
from benchmarks.bench import MB
from benchmarks.latency import LAZY
from benchmarks.report import Comparison, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.programs import Proxy
    from benchmarks.report import Row

_TUNNEL: Final = ("--ignore-hosts", ".*")
_STREAMING: Final = ("--set", "stream_large_bodies=1m")
_HTTP1: Final = (*_STREAMING, "--set", "http2=false")
# lazy: so that the client's protocol is chosen before it is known that the servers here speak HTTP/1.1 alone
_HTTP2: Final = (*_STREAMING, *LAZY)


def throughput(bench: Bench) -> Iterator[Row]:
    """A big asset from its browser URL: found by the addon and tunnelled, tunnelled by mitmdump, without a proxy."""
    github, size = bench.github, bench.scale.asset
    for repository, private in (("acme/private", True), ("acme/public", False)):
        github.ask(servers.publish_zeros, repository, ["data.bin"], size, private=private)
    github.ask(servers.behave)

    def speed(repository: str, proxy: Proxy | None) -> float:
        download = programs.curl(github.url(repository, "data.bin"), bench.bundle, proxy.url if proxy else None)
        if download.size != size:
            raise RuntimeError(f"expected {size} bytes, got {download.size}")
        return download.speed

    tunnel = bench.plain(*_TUNNEL)
    with bench.gatepass() as ours:
        through, plain, direct = bench.in_turn(
            lambda: speed("acme/private", ours),
            lambda: speed("acme/public", tunnel),
            lambda: speed("acme/public", None),
            rounds=2 * bench.scale.rounds - 1,
        )
    compared = f"{through / MB:,.0f} MB/s; plain tunnel {plain / MB:,.0f}, direct {direct / MB:,.0f}"
    yield Figure(f"throughput: asset of {size // MB} MB", through / plain, "× tunnel", 0.95, compared, at_least=True)


def memory(bench: Bench) -> Iterator[Row]:
    """The most memory that the proxy takes above what it had before its first request."""
    github, size = bench.github, bench.scale.asset
    at_once = 20
    names = [f"data-{number}.bin" for number in range(at_once)]
    github.ask(servers.publish_zeros, "acme/big", names[:1], size)
    github.ask(servers.publish_zeros, "acme/many", names, size // at_once * 13 // 10)
    one = [github.url("acme/big", names[0])]
    many = [github.url("acme/many", name) for name in names]
    open_range = ("-r", "0-")
    total = f"{size // MB} MB"
    for name, stream, urls, options in (
        (f"{total} by redirect, tunnelled", False, one, ()),
        (f"{total} streamed by the API", True, one, ()),
        (f"{total} in place, a range", False, one, open_range),
        (f"{at_once} at once in place", False, many, open_range),
        (f"{at_once} at once, tunnelled", False, many, ()),
    ):
        bench.say(name)
        github.ask(servers.behave, stream_assets=stream)
        with bench.gatepass() as proxy:
            idle = proxy.reset()
            downloads = programs.curls(urls, bench.bundle, proxy.url, *options)
            grown = proxy.resident() - idle
        moved = sum(download.size for download in downloads)
        if moved < size:
            raise RuntimeError(f"expected {size} bytes, got {moved}")
        compared = f"{moved / MB:,.0f} MB moved; idle: {idle / MB:.0f} MB"
        yield Figure(f"memory above idle: {name}", grown / MB, "MB", 30, compared)
    github.ask(servers.behave)


def protocols(bench: Bench) -> Iterator[Row]:
    """A body that passes through the intercepted web host."""
    size = bench.scale.body
    web = bench.github.web

    def speed(proxy: Proxy | None, version: str, host: str = web) -> float:
        download = programs.curl(f"https://{host}/big/{size}", bench.bundle, proxy.url if proxy else None)
        if (download.size, download.version) != (size, version):
            raise RuntimeError(f"expected {size} bytes over HTTP/{version}, got {download}")
        return download.speed / MB

    http1, http2, both = bench.plain(*_HTTP1), bench.plain(*_HTTP2), bench.plain(*_STREAMING)
    with bench.gatepass() as ours, servers.http2(bench.certificate) as port:
        far = f"localhost:{port}"
        sides: dict[str, Callable[[], float]] = {
            "mitmdump, HTTP/1.1": lambda: speed(http1, "1.1"),
            "mitmdump, HTTP/2 with the client": lambda: speed(http2, "2"),
            "mitmdump, HTTP/2 with both": lambda: speed(both, "2", far),
            "no proxy, HTTP/2": lambda: speed(None, "2", far),
            "gatepass": lambda: speed(ours, "1.1"),
        }
        values = bench.in_turn(*sides.values())
    yield Comparison(
        f"{size // MB} MB through an intercepted connection",
        "MB/s",
        tuple(zip(sides, values, strict=True)),
        "gatepass speaks HTTP/1.1 on intercepted connections, whatever client and server offer",
    )


def clone(bench: Bench) -> Iterator[Row]:
    """git clone of a big repository, through the intercepted web host."""
    served = bench.fresh("git")
    _make_repository(bench, served / "acme" / "big.git")
    target = bench.folder / "clone"

    with servers.git(bench.certificate, served) as port:
        host = f"localhost:{port}"

        def seconds(proxy: Proxy | None) -> float:
            bench.fresh(target.name)
            variables = {"GIT_SSL_CAINFO": str(bench.bundle), "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(target)}
            if proxy is not None:
                variables["https_proxy"] = proxy.url
            start = time.perf_counter()
            command: list[str | Path] = ["git", "clone", "--quiet", "--bare", f"https://{host}/acme/big.git"]
            programs.run([*command, target / "big.git"], variables, bench.folder)
            return time.perf_counter() - start

        http2, tunnel = bench.plain(*_HTTP2), bench.plain(*_TUNNEL)
        with bench.gatepass(forges={host: f"https://{host}/api/v3"}) as ours:
            sides: dict[str, Callable[[], float]] = {
                "direct": lambda: seconds(None),
                "gatepass": lambda: seconds(ours),
                "mitmdump, HTTP/2": lambda: seconds(http2),
                "mitmdump, tunnel": lambda: seconds(tunnel),
            }
            values = bench.in_turn(*sides.values())
    name = f"git clone of {bench.scale.repository // MB} MB"
    yield Comparison(name, "s", tuple(zip(sides, values, strict=True)))


def _make_repository(bench: Bench, path: Path) -> None:
    """A bare repository of blobs that cannot be compressed, in one pack that goes out as it lies there."""
    work = bench.fresh("work")
    for number in range(bench.scale.repository // MB):
        (work / f"{number}.bin").write_bytes(os.urandom(MB))
    who = ("-c", "user.name=b", "-c", "user.email=b@localhost", "-c", "core.compression=0", "-c", "core.autocrlf=false")
    isolated = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(work)}
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        ("commit", "--quiet", "-m", "blobs"),
        ("clone", "--quiet", "--bare", "--no-local", ".", str(path)),
    ):
        programs.run(["git", *who, *command], isolated, work)
