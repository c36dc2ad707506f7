"""What is asked of GitHub: API calls, and bytes."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import programs, servers
from benchmarks.client import Request, at_once
from benchmarks.report import Figure
from gatepass.shell import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.programs import Proxy
    from benchmarks.report import Row

_CLIENTS: Final = 100
_NAMES: Final = [f"file-{number}.bin" for number in range(_CLIENTS)]


def api_calls(bench: Bench) -> Iterator[Row]:
    """A wheel, a crowd, a whole release: how many units of the API's budget they cost."""
    github = bench.github
    wheel = github.ask(servers.publish_wheel, "acme/wheel", "acme_tool")
    github.ask(servers.publish_zeros, "acme/one", ["one.bin"], 1000)
    github.ask(servers.publish_zeros, "acme/complete", _NAMES, 1000)
    github.ask(servers.publish_zeros, "acme/truncated", _NAMES, 1000)
    script = programs.ROOT / "benchmarks" / "naive.py"
    with bench.gatepass() as ours, bench.mitmdump("-s", str(script)) as naive:

        def install(proxy: Proxy) -> int:
            home = bench.fresh("install")
            uv(
                bench,
                home,
                proxy,
                "pip",
                "install",
                "--target",
                home / "site",
                f"acme-tool @ {github.url('acme/wheel', wheel)}",
            )
            return github.ask(servers.calls, "api")

        def ask(proxy: Proxy, repository: str, names: list[str]) -> int:
            connections = [bench.connect(github.web, proxy) for _ in names]
            paths = (f"/{repository}/releases/download/v1.0/{name}" for name in names)
            at_once(connections, [Request.make("GET", github.web, path, 302) for path in paths])
            for connection in connections:
                connection.close()
            return github.ask(servers.calls, "api")

        def behave(embedded: int = _CLIENTS) -> None:
            # as slow as a real API, so that a crowd does meet
            github.ask(servers.behave, latency=0.02, embedded_assets=embedded)

        behave()
        bench.say("cold install of a wheel by uv")
        cold, unaided = install(ours), install(naive)
        yield Figure("API calls: cold `uv pip install`", cold, "", 2, f"without caches: {unaided}")
        yield Figure("API calls: the same again", install(ours), "", 0, f"without caches: {install(naive)}")
        bench.say(f"{_CLIENTS} clients at once")
        one = ["one.bin"] * _CLIENTS
        crowd, unaided = ask(ours, "acme/one", one), ask(naive, "acme/one", one)
        yield Figure(f"API calls: {_CLIENTS} clients, one asset", crowd, "", 2, f"without caches: {unaided}")
        bench.say(f"{_CLIENTS} assets of a release")
        many, unaided = ask(ours, "acme/complete", _NAMES), ask(naive, "acme/complete", _NAMES)
        name = f"API calls: {_CLIENTS} assets"
        gh, why = _gh(bench, "acme/complete")
        compared = f"without caches: {unaided}; `gh release download`: {gh if gh is not None else why}"
        yield Figure(name, many, "", 1 + len(_NAMES), compared)
        behave(54)
        yield Figure(
            f"{name}, 54 embedded",
            ask(ours, "acme/truncated", _NAMES),
            "",
            1 + len(_NAMES),
            note="the release as GitHub gives it ends after 54 of its 100 assets, so one page of the whole list is "
            "read, too: 102 is the least there can be",
        )
        again = ask(ours, "acme/complete", _NAMES) + ask(ours, "acme/truncated", _NAMES)
        yield Figure(f"{name}, again", again, "", 0)
    github.ask(servers.behave)


def bytes_moved(bench: Bench) -> Iterator[Row]:
    """`uv pip compile` of a big wheel: private through the proxy, and public without one."""
    github = bench.github
    padding = 60_000_000
    names = {
        repository: github.ask(servers.publish_wheel, repository, "acme_big", padding=padding, private=private)
        for repository, private in (("acme/big", True), ("acme/public", False))
    }
    github.ask(servers.behave)

    def compile_(repository: str, proxy: Proxy | None) -> int:
        home = bench.fresh("compile")
        url = github.url(repository, names[repository])
        (home / "requirements.in").write_text(f"acme-big @ {url}\n", encoding="utf-8")
        uv(bench, home, proxy, "pip", "compile", "--quiet", "requirements.in")
        return github.ask(servers.moved)

    with bench.gatepass() as proxy:
        through, without = compile_("acme/big", proxy), compile_("acme/public", None)
    compared = f"{through:,} bytes of the private wheel; {without:,} of the same one public, without a proxy"
    yield Figure("bytes moved: `uv pip compile`, 60 MB wheel", through / without, "×", 1 / 1000, compared)


def uv(bench: Bench, home: Path, proxy: Proxy | None, *arguments: str | Path) -> None:
    """uv with a cold cache, in a home of its own."""
    variables = {
        "HOME": str(home),
        "UV_CACHE_DIR": str(home / "cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON": sys.executable,
    }
    if proxy is not None:
        variables |= environment.for_client(proxy.url, bench.bundle, bench.bundle, {})
    else:
        variables["SSL_CERT_FILE"] = str(bench.bundle)
    programs.run([programs.UV, "--no-progress", *arguments], variables, home)


def _gh(bench: Bench, repository: str) -> tuple[int | None, str]:
    """What `gh release download` costs for a whole release, without a proxy; or why that is not known."""
    program = shutil.which("gh")
    if program is None:
        return None, "not installed"
    home, github = bench.fresh("gh"), bench.github
    # in a file: the token of GH_ENTERPRISE_TOKEN goes to the asset host, too, which refuses it
    (home / "hosts.yml").write_text(
        f"{github.web}:\n  oauth_token: {github.token}\n  user: monalisa\n", encoding="utf-8"
    )
    variables = {"HOME": str(home), "GH_CONFIG_DIR": str(home), "SSL_CERT_FILE": str(bench.bundle)}
    where = f"{github.web}/{repository}"
    github.ask(servers.suit_gh)
    programs.run([program, "release", "download", "v1.0", "--repo", where], variables, home)
    return github.ask(servers.calls, "api"), ""
