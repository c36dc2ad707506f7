"""One run: how much is measured, the servers that are shared, the proxies that stand before them."""

from __future__ import annotations

import datetime
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Final, Self

from benchmarks import client, programs, servers
from gatepass import files
from gatepass.demo.standin.exchange import REAL_HOSTS
from gatepass.forge.hosts import HTTPS_PORT, Host
from gatepass.trust import authority, bundles, certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.programs import Proxy

MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. Sizes are in bytes."""

    rounds: int
    requests: int
    """Of each kind, for a latency."""
    seconds: float
    """For one rate."""
    clients: tuple[int, ...]
    asset: int
    """The big one."""
    body: int
    """What passes through an intercepted stream."""
    repository: int
    colds: int
    """Assets that are asked for first."""
    wheel: int
    """One file of an index."""
    shared: bool
    """Whether measurements may share a proxy: starting one takes longer than to see that it works."""


FULL: Final = Scale(3, 1000, 0.8, (1, 10, 100), 1000 * MB, 200 * MB, 100 * MB, 20, MB // 5, shared=False)
QUICK: Final = Scale(1, 100, 0.2, (1, 10), 50 * MB, 10 * MB, 5 * MB, 4, MB // 20, shared=True)

_RULES: Final = """\
version: 1
forges:
{forges}
credentials:
  benchmark:
    from: [env:BENCHMARK_TOKEN]
    hosts: [{hosts}]
rules:
{rules}
"""
_EGRESS: Final = """\
clients:
  ci: {{password: [env:BENCHMARK_PASSWORD]}}
egress:
  allow: {hosts}
  deny: ["*.paste.example"]
  private: [127.0.0.0/8, "::1"]
limits: {{connections: 10000, requests: 1000000}}
"""
CREDENTIALS: Final = "ci:benchmark"
"""Of a proxy that asks for them."""
_FORGE: Final = "  - {{web: '{web}', api: '{api}'}}"
_RULE: Final = "  - {{match: '{web}/acme/*/releases/download/*', resolve: github-release, credential: benchmark}}"


class Bench:
    """What the measurements share; between `with` and the end of the block."""

    def __init__(self, folder: Path, scale: Scale, say: Callable[[str], None]) -> None:
        """`say` is given what is being done, for who waits."""
        self.folder = folder
        self.scale = scale
        self.say = say
        self.confdir = folder / "mitmproxy"
        self.certificate = folder / "server.pem"
        self._stack = ExitStack()
        self._plain: dict[tuple[str, ...], Proxy] = {}

    def __enter__(self) -> Self:
        self.confdir.mkdir()
        issued = certificates.issue(["localhost"])
        files.write(self.certificate, issued.server, 0o600)
        self._ca = issued.ca
        # as `gatepass run` makes it, but for all names of the stand-in: an eager mitmproxy copies them from upstream
        names = ("localhost", "127.0.0.1", *REAL_HOSTS)
        ca = authority.make([Host(name, HTTPS_PORT) for name in names], datetime.timedelta(days=1))
        files.write(self.confdir / authority.CA_FILE, ca, 0o600)
        self.upstream_ca = files.write(self.folder / "upstream.pem", bundles.combine(issued.ca, self.github.ca))
        self.bundle = self.trusting(ca)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def trusting(self, ca: str) -> Path:
        """What a client trusts that meets the servers, and a proxy with this CA."""
        texts = (ca, self._ca, self.github.ca)
        return files.write(self.folder / f"client-{len(list(self.folder.iterdir()))}.pem", bundles.combine(*texts))

    @cached_property
    def github(self) -> servers.GitHub:
        return self._stack.enter_context(servers.github())

    @cached_property
    def upstream(self) -> servers.Upstream:
        return self._stack.enter_context(servers.upstream(self.certificate))

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return client.context(self.bundle)

    @contextmanager
    def gatepass(self, *options: str, forges: dict[str, str] | None = None) -> Iterator[Proxy]:
        """mitmdump with the addon, which knows the stand-in, the fast upstream, and these: web host to API.

        A new one each time, which has learnt nothing; unless the scale shares it.
        """
        rules = self.rules(forges or {})
        command = ("-s", str(programs.SCRIPT), "--set", f"gatepass_rules={rules}", *options)
        if self.scale.shared and not forges:
            yield self.plain(*command)
            return
        with self.mitmdump(*command) as proxy:
            yield proxy

    @contextmanager
    def egress(self) -> Iterator[Proxy]:
        """The same with all that a company's proxy has: clients, hosts, limits, audit, metrics."""
        host = self.upstream.web.partition(":")[0]
        ports = [self.upstream.web, self.upstream.asset_host, self.github.web, self.github.ask(servers.asset_host)]
        rules = self.fresh("egress") / "rules.yaml"
        rules.write_text(
            self.rules().read_text(encoding="utf-8") + _EGRESS.format(hosts=[host, *ports]), encoding="utf-8"
        )
        audit, admin = rules.parent / "audit.jsonl", "127.0.0.1:0"
        options = ("--set", f"gatepass_audit={audit}", "--set", f"gatepass_admin={admin}")
        with self.mitmdump("-s", str(programs.SCRIPT), "--set", f"gatepass_rules={rules}", *options) as proxy:
            yield replace(proxy, credentials=CREDENTIALS)

    def plain(self, *options: str) -> Proxy:
        """mitmdump, without the addon unless the options name it; the same one for the same options."""
        if options not in self._plain:
            self._plain[options] = self._stack.enter_context(self.mitmdump(*options))
        return self._plain[options]

    @contextmanager
    def mitmdump(self, *options: str, confdir: Path | None = None) -> Iterator[Proxy]:
        """A new mitmdump."""
        variables = {programs.TOKEN: self.github.token, "BENCHMARK_PASSWORD": CREDENTIALS.partition(":")[2]}
        with self.logged(*options, confdir=confdir, variables=variables) as (proxy, _):
            yield proxy

    @contextmanager
    def logged(
        self,
        *options: str,
        variables: Mapping[str, str],
        confdir: Path | None = None,
        upstream_ca: Path | None = None,
    ) -> Iterator[tuple[Proxy, Path]]:
        """A new mitmdump, and its log."""
        with programs.mitmdump(
            self.folder,
            confdir or self.confdir,
            self.bundle,
            upstream_ca or self.upstream_ca,
            *options,
            variables=variables,
        ) as started:
            yield started

    def rules(self, more: dict[str, str] | None = None) -> Path:
        forges = {self.github.web: self.github.api, self.upstream.web: self.upstream.api, **(more or {})}
        text = _RULES.format(
            forges="\n".join(_FORGE.format(web=web, api=api) for web, api in forges.items()),
            hosts=", ".join(f"'{web}'" for web in forges),
            rules="\n".join(_RULE.format(web=web) for web in forges),
        )
        path = self.folder / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def connect(self, host: str, proxy: Proxy | None) -> client.Connection:
        if proxy is None:
            return client.Connection(host, self.trust)
        return client.Connection(host, self.trust, proxy.port, proxy.credentials)

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def in_turn(self, *sides: Callable[[], float], rounds: int | None = None) -> list[float]:
        """The median of each side, measured in turn, so that a busy moment of the machine hits all alike.

        Every other round goes backwards, so that none always comes after the same one.
        """
        taken: list[list[float]] = [[] for _ in sides]
        for at in range(rounds or self.scale.rounds):
            for values, side in list(zip(taken, sides, strict=True))[:: -1 if at % 2 else 1]:
                values.append(side())
        return [median(values) for values in taken]
