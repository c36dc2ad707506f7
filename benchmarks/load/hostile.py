"""Very many requests that no honest client sends: no secret may leave but to the API, and nothing may be a traceback.

Names are the real ones, and lead to loopback (`names`). Two proxies take turns: one with clients, guard and audit, and
one as a developer has it. What is found is looked for again alone, and made small.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import ssl
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks import programs, servers
from benchmarks.load import cases
from benchmarks.load.sink import sink
from benchmarks.load.traces import Traces
from benchmarks.report import Figure
from gatepass import files
from gatepass.demo.standin import Asset, Fault, Release, Repository, StandIn, Token
from gatepass.trust import bundles, certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.load.cases import Case
    from benchmarks.load.scale import Load
    from benchmarks.load.sink import Sink
    from benchmarks.programs import Proxy
    from benchmarks.report import Row
    from gatepass.demo.standin import Role

_ENDED: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT
_BATCH: Final = 500
_AT_ONCE: Final = 48
_PATIENCE: Final = 6.0
"""Seconds without a byte: what waits for more of a request is none of the proxy's faults."""
_LONGEST: Final = 60.0
_MOST_FOUND: Final = 20
_SCRIPT: Final = programs.ROOT / "benchmarks" / "load" / "names.py"
_TROUBLE: Final = re.compile(rb"Traceback \(most recent call last\)|Addon error|mitmproxy has crashed|Unhandled error")
_ERROR: Final = re.compile(rb"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit|Warning)\b.*$", re.MULTILINE)
_GIT: Final = re.compile(r"/[^/]+/[^/]+/(?:info/refs|git-upload-pack|git-receive-pack|info/lfs/objects/batch)")
_RULES: Final = """\
version: 1
credentials:
  acme: {from: [env:BENCHMARK_TOKEN], hosts: [github.com]}
  artifacts: {from: [env:ARTIFACTS_TOKEN], hosts: [artifacts.test]}
rules:
  - {match: "github.com/*/releases/download/*", resolve: github-release, credential: acme}
  - {match: "github.com/*/releases/latest*", resolve: github-release, credential: acme}
  - {match: "github.com/*/releases/expanded_assets/*", resolve: github-release, credential: acme}
  - {match: "github.com/*", resolve: github-source, credential: acme}
  - {match: "raw.githubusercontent.com/*", resolve: github-source, credential: acme}
  - {match: "github.com/acme/*", resolve: github-git, credential: acme}
  - {match: "artifacts.test/private/*", headers: {PRIVATE-TOKEN: "{credential}"}, credential: artifacts}
indexes:
  acme: {repositories: ["github.com/acme/*"], credential: acme}
limits: {misses: 600}
"""
_COMPANY: Final = """\
clients:
  ci: {password: [env:BENCHMARK_PASSWORD]}
egress: {private: [127.0.0.0/8], deny: [evil.github.com]}
"""
_CREDENTIALS: Final = "ci:benchmark"


@dataclass
class _Found:
    """What should not have been, what was told of it, and the smallest case that shows it."""

    kind: str
    told: bytes
    case: Case | None

    def __str__(self) -> str:
        shown = self.case.shown() if self.case else "not seen again alone"
        return f"{self.kind}: {self.told[-700:].decode(errors='replace')!r}: {shown}"


@dataclass
class _World:
    """All servers and proxies of a run, and what was found there."""

    bench: Bench
    seed: int
    proxies: list[Proxy]
    logs: list[Path]
    audits: list[Path]
    evil: Sink
    artifacts: Sink
    secrets: tuple[str, str]
    traces: Traces
    api_port: int
    read: dict[Path, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    sent: int = 0
    deadline: float = math.inf
    """Until then what was found may be looked for again."""

    # ------------------------------------------------------------- oracles

    def trouble(self) -> list[tuple[str, bytes]]:
        """What has happened since last asked that should not: its kind, and what tells of it."""
        found: list[tuple[str, bytes]] = []
        for what, place, secrets in (
            ("the stranger", self.evil, self.secrets),
            ("the header rule's host", self.artifacts, self.secrets[:1]),
        ):
            held = [each for each in place.seen()[1] if Traces(secrets).search(each)]
            found += [(f"a secret at {what}", each) for each in held[:1]]
        strays = self.bench.github.ask(strayed, self.secrets, self.api_port)
        found += [("a secret at the forge, outside its API", each) for each in strays[:1]]
        for path in self.logs:
            text = self._new(path)
            found += [("traceback", each) for each in _troubles(text)]
            if trace := self.traces.search(text):
                found.append(("a secret in the log", trace))
        for path in self.audits:
            text = self._new(path)
            self.requests += text.count(b"\n")
            if trace := self.traces.search(text):
                found.append(("a secret in the audit", trace))
        found += [("a proxy has ended", b"") for proxy in self.proxies if os.waitid(os.P_PID, proxy.pid, _ENDED)]
        return found

    def _new(self, path: Path) -> bytes:
        with path.open("rb") as file:
            file.seek(self.read.get(path, 0))
            text = file.read()
        self.read[path] = self.read.get(path, 0) + len(text)
        return text

    # -------------------------------------------------------------- client

    def play(self, played: Sequence[Case]) -> list[tuple[str, bytes]]:
        """Send them, some at once; the trouble that came of it."""
        found = asyncio.run(self._play(played))
        time.sleep(0.1)  # a line of the log or the audit comes a moment later
        return [*found, *self.trouble()]

    async def _play(self, played: Sequence[Case]) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        waiting = iter(played)

        async def client() -> None:
            for case in waiting:
                got = await self._send(case)
                if trace := self.traces.search(got):
                    found.append(("a secret to the client", trace))

        await asyncio.gather(*(client() for _ in range(_AT_ONCE)))
        return found

    async def _send(self, case: Case) -> bytes:
        """All that the proxy answers to one case."""
        proxy = self.proxies[case.number % len(self.proxies)]
        got = bytearray()
        self.sent += len(case.requests) + bool(case.opening)
        try:
            async with asyncio.timeout(_LONGEST):
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                try:
                    await self._talk(case, reader, writer, got)
                finally:
                    writer.transport.abort()
            self.outcomes["closed"] += 1
        except TimeoutError:
            self.outcomes["silent"] += 1
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.outcomes["cut"] += 1
        return bytes(got)

    async def _talk(
        self, case: Case, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
    ) -> None:
        if case.opening:
            writer.write(case.opening)
            head = await reader.readuntil(b"\r\n\r\n")
            got += head
            if b" 200" not in head[:16]:
                got += await reader.read(65_536)
                return
            if case.sni is not None:
                context = _careless()
                try:
                    await writer.start_tls(context, server_hostname=case.sni)
                except (ValueError, UnicodeError):
                    await writer.start_tls(context, server_hostname="github.com")
        writer.write(b"".join(case.requests))
        while data := await asyncio.wait_for(reader.read(262_144), _PATIENCE):
            got += data
            if len(got) > 8_000_000:
                return


def _troubles(log: bytes) -> list[bytes]:
    """Each traceback of a log, with the line before it, up to the error that it ends with."""
    found: list[bytes] = []
    at = 0
    while match := _TROUBLE.search(log, at):
        error = _ERROR.search(log, match.end())
        at = error.end() if error else len(log)
        found.append(log[max(0, match.start() - 300) : at])
    return found


def _careless() -> ssl.SSLContext:
    """A client that takes any certificate: who attacks the proxy cares for none."""
    return _CARELESS


_CARELESS: Final = ssl.create_default_context()
_CARELESS.check_hostname = False
_CARELESS.verify_mode = ssl.CERT_NONE


# ------------------------------------------------------------------ stand-in


def furnish(standin: StandIn, token: str, seed: int) -> None:
    """What there is to be asked for, with a token of this run's own that has a budget without end."""
    standin.tokens[:] = [Token(token, limit=10**9)]
    standin.anonymous.limit = 10**9
    chance = Random(seed)  # noqa: S311 — no secret is made of it
    assets = [Asset(name, chance.randbytes(size)) for name, size in (("data.bin", 20_000), ("small.bin", 200))]
    releases = [Release(tag, list(assets)) for tag in ("v1.0", "release/2.0+build")]
    standin.repositories[:] = [
        Repository("acme", "tool", releases=releases),
        Repository("acme", "open", private=False, releases=[Release("v1.0", list(assets))]),
    ]


def strayed(standin: StandIn, secrets: Sequence[str], api_port: int) -> list[bytes]:
    """The requests since last asked that hold a secret and should not; `api_port` is where the API's name leads."""
    traces, held = Traces(secrets), list[bytes]()
    for request in standin.calls():
        text = f"{request.method} {request.target} {request.headers}".encode("utf-8", "replace") + request.body
        if traces.search(text):
            is_api = request.port == api_port and request.role == "api" and request.host == "api.github.com"
            is_git = request.host in ("github.com", "github.com:443") and _GIT.fullmatch(
                re.sub("/+", "/", request.path)
            )
            if not is_api and not is_git:
                held.append(f"{request.host} {request.port} {request.role} ".encode() + text)
    standin.forget()
    return held


def mislead(standin: StandIn, number: int) -> None:
    """Let the forge itself lead astray, a few times."""
    chance = Random(number)  # noqa: S311 — no secret is made of it
    where = chance.choice((
        "https://evil.test/x", "http://github.com/x", "https://api.github.com.evil.test/user", "//evil.test/x",
        "https://api.github.com@evil.test/x", "https://evil.githubusercontent.com/x?X-Amz-Signature=0", "https://[::1]/",
        "https://169.254.169.254/latest", "javascript:x", "https://api.github.com:8443/x", "https://evil.test\\@github.com/",
        "https://objects.githubusercontent.com/\r\nX: y", "", "https://127.1/x", "https://github.com.evil.test/a" * 300,
    ))  # fmt: skip
    roles: tuple[Role, ...] = ("api", "api", "web", "asset")
    role = chance.choice(roles)
    status = chance.choice((301, 302, 302, 307, 308, 401, 403, 404, 418, 500, 204, 200))
    body = chance.choice(
        (b"", b'{"message": "x"}', b"[" * 10_000, b'{"id": 1e999, "tag_name": null}', b"\xff\xfe", b"<html>")
    )
    headers = {"location": where} if "\r" not in where else {}
    headers |= chance.choice((
        {}, {"content-type": "application/json"}, {"content-encoding": "gzip"}, {"set-cookie": "a=b"},
        {"link": '<https://evil.test/x?page=2>; rel="next"'}, {"retry-after": "1"}, {"www-authenticate": "Basic"},
    ))  # fmt: skip
    standin.faults[:] = [
        Fault(
            role, status=status, headers=headers, body=body, close=chance.random() < 0.1, times=chance.randrange(1, 6)
        )
    ]


# ----------------------------------------------------------------- measuring


def requests(bench: Bench, load: Load) -> Iterator[Row]:
    """As many as the scale says, or as its time allows."""
    chance = Random(load.seed)  # noqa: S311 — secrets of this run, that open nothing
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    token, other = (f"ghp_{''.join(chance.choices(letters, k=36))}" for _ in range(2))
    with ExitStack() as stack:
        world = _start(bench, load.seed, (token, other), stack)
        world.trouble()
        found: list[_Found] = []
        kinds: Counter[str] = Counter()
        begin = time.monotonic()
        world.deadline = begin + load.hostile_seconds
        said = begin
        for first in count(load.first_case, _BATCH):
            batch = [cases.make(load.seed, number, _CREDENTIALS) for number in range(first, first + _BATCH)]
            bench.github.ask(mislead, first)
            for kind, told in world.play(batch):
                label = _label(kind, told)
                kinds[label] += 1
                if kinds[label] == 1 and len(found) < _MOST_FOUND:
                    found.append(_smallest(world, batch, label, told, first))
                    bench.say(str(found[-1]))
            passed = time.monotonic() - begin
            if time.monotonic() > said + 30:
                said = time.monotonic()
                bench.say(f"{world.sent:,} requests, {passed:,.0f} s; up to case {first + _BATCH}")
            if "a proxy has ended" in kinds or world.sent >= load.requests or passed > load.hostile_seconds:
                break
        last = first + _BATCH
    seconds = time.monotonic() - begin
    compared = (
        f"{world.sent:,} requests sent, of which the audits tell {world.requests:,} and tunnels have others, on "
        f"{last - load.first_case:,} connections in {seconds:,.0f} s; seed {load.seed}, cases {load.first_case} to "
        f"{last - 1}"
    )
    for name, of in (
        ("secrets outside the API host", lambda kind: "secret" in kind),
        ("tracebacks", lambda kind: kind.startswith("traceback")),
        ("proxies that ended", lambda kind: "ended" in kind),
    ):
        number = sum(times for kind, times in kinds.items() if of(kind))
        note = "; ".join(str(each) for each in found if of(each.kind))
        yield Figure(f"adversarial: {name}", number, "", 0, compared if "secrets" in name else "", note=note)
    silent, cut = world.outcomes["silent"], world.outcomes["cut"]
    yield Figure(
        "adversarial: connections left without an end",
        silent / max(1, last - load.first_case),
        "of all",
        0.05,
        f"{silent:,} had none in {_PATIENCE:.0f} s; {cut:,} were cut",
    )


def _label(kind: str, told: bytes) -> str:
    if kind != "traceback":
        return kind
    errors = _ERROR.findall(told)
    # numbers and addresses differ from time to time
    return f"traceback, {re.sub('[0-9]+', 'N', errors[-1][:120].decode(errors='replace'))}" if errors else kind


def _start(bench: Bench, seed: int, secrets: tuple[str, str], stack: ExitStack) -> _World:
    place = bench.fresh("hostile")
    github = bench.github
    github.ask(furnish, secrets[0], seed)
    stranger, artifacts = certificates.issue(cases.STRANGERS), certificates.issue(["artifacts.test"])
    pems = [files.write(place / name, pem.server, 0o600) for name, pem in (("e", stranger), ("a", artifacts))]
    evil = stack.enter_context(sink(pems[0], secrets, echoes=True))
    held = stack.enter_context(sink(pems[1], secrets, echoes=False))  # it is told its own secret, and might tell it on
    trusted = files.write(place / "trusted.pem", bundles.combine(github.ca, stranger.ca, artifacts.ca))
    ports = [int(each.partition(":")[2]) for each in (github.web, github.ask(servers.asset_host))]
    names = {name: "127.0.0.2" for name in cases.KNOWN if name.startswith(("github", "raw", "code", "obj", "rel"))}
    names |= {"api.github.com": "127.0.0.3", "artifacts.test": "127.0.0.4", "localhost": "127.0.0.1", "*": "127.6.6.6"}
    known = {"127.0.0.2": ports[0], "127.0.0.3": ports[1], "127.0.0.4": held.port, "127.6.6.6": evil.port}
    proxies, logs, audits = [], [], []
    for kind, more in (("company", _COMPANY), ("developer", "")):
        rules, audit = place / f"{kind}.yaml", place / f"{kind}.jsonl"
        rules.write_text(_RULES + more, encoding="utf-8")
        options = ["-s", str(_SCRIPT), "-s", str(programs.SCRIPT)]
        options += ["--set", f"load_names={json.dumps(names)}", "--set", f"load_ports={json.dumps(known)}"]
        options += ["--set", f"gatepass_rules={rules}", "--set", f"gatepass_audit={audit}"]
        proxy, log = stack.enter_context(
            bench.logged(
                *options,
                upstream_ca=trusted,
                variables={
                    programs.TOKEN: secrets[0],
                    "ARTIFACTS_TOKEN": secrets[1],
                    "BENCHMARK_PASSWORD": "benchmark",
                },
            )
        )
        proxies.append(proxy)
        logs.append(log)
        audits.append(audit)
    return _World(bench, seed, proxies, logs, audits, evil, held, secrets, Traces(secrets), ports[1])


def _smallest(world: _World, batch: Sequence[Case], label: str, told: bytes, first: int) -> _Found:
    """The case alone, with as few requests as still show it, as time allows; a state may be needed as well."""

    def shows(played: Sequence[Case]) -> bool:
        if time.monotonic() > world.deadline:
            return False
        world.bench.github.ask(mislead, first)
        return label in {_label(*trouble) for trouble in world.play(played)}

    left = list(batch)
    if not shows(left):
        return _Found(label, told, None)
    while len(left) > 1:
        half = len(left) // 2
        if shows(left[:half]):
            left = left[:half]
        elif shows(left[half:]):
            left = left[half:]
        else:
            break
    case = left[0]
    if len(left) > 1:
        return _Found(label, told, None)
    for request in case.requests[:-1]:
        smaller = case.only([each for each in case.requests if each is not request])
        if shows([smaller]):
            case = smaller
    with suppress(IndexError):
        if shows([alone := case.only(case.requests[:1])]):
            case = alone
    return _Found(label, told, case)
