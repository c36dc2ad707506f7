"""Clients that look at every byte they get: a mixture of ranges, downloads, tunnels, refusals and real installs.

Each answer is one outcome: `ok`, `wrong` (it passes for whole and right, and is neither), or what an honest client sees
of a failure: a problem's name, a status, `cut`, `closed`, `timeout`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from benchmarks import programs, servers
from gatepass.demo import package
from gatepass.shell import environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.load.fleet import Fleet

type Kind = Literal["range", "head", "download", "tunnel", "absent", "forbidden", "nobody", "install"]

REPOSITORY: Final = "acme/load"
_WHEEL: Final = "acme_load"
_SHARES: Final[dict[Kind, int]] = {
    "range": 40, "head": 8, "download": 20, "tunnel": 16, "absent": 6, "forbidden": 4, "nobody": 6,
}  # fmt: skip
REFUSED: Final[dict[Kind, str]] = {"absent": "asset-not-found", "forbidden": "403", "nobody": "407"}
"""What is right for a client that is to be refused."""
_PATIENCE: Final = 35.0
_INSTALL_PATIENCE: Final = 120.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RANGE: Final = re.compile(rb"\r\ncontent-range: *bytes (\d+)-(\d+)/(\d+)", re.IGNORECASE)
_LOCATION: Final = re.compile(rb"\r\nlocation: *https://([^/\s]+)(\S+)", re.IGNORECASE)


def content(name: str, size: int) -> bytes:
    """What an asset of that name holds."""
    return Random(name).randbytes(size)  # noqa: S311 — no secret


@dataclass
class Tally:
    """What became of the requests of a time."""

    outcomes: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    seconds: dict[Kind, list[float]] = field(default_factory=dict)
    bodies: int = 0
    """Bodies that were compared, byte for byte."""
    examples: dict[str, str] = field(default_factory=dict)
    row: int = 0
    """How many of the last were right, one after the other."""
    row_since: float = 0

    def take(self, kind: Kind, outcome: str, seconds: float) -> None:
        self.row = self.row + 1 if outcome == "ok" else 0
        if self.row == 1:
            self.row_since = time.monotonic()
        self.outcomes[kind, outcome] += 1
        self.seconds.setdefault(kind, []).append(seconds)

    @property
    def total(self) -> int:
        return self.outcomes.total()

    def wrong(self) -> int:
        return sum(times for (_, outcome), times in self.outcomes.items() if outcome == "wrong")

    def failed(self) -> dict[str, int]:
        """What was neither right nor wrong, by kind and outcome."""
        return {
            f"{kind}: {outcome}": times
            for (kind, outcome), times in self.outcomes.most_common()
            if outcome not in ("ok", "wrong")
        }

    def seen(self) -> dict[str, int]:
        """Outcomes of all kinds together."""
        found: Counter[str] = Counter()
        for (_, outcome), times in self.outcomes.items():
            found[outcome] += times
        return dict(found.most_common())


class RefusedError(Exception):
    """The proxy would not open a tunnel: `said` is the status."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed before an answer") from error


def _expect_tunnel(head: bytes) -> None:
    if int(head[9:12]) != 200:
        raise RefusedError(head[9:12].decode())


@dataclass
class _Line:
    """One connection inside a tunnel."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, host: str, path: str, **headers: str) -> tuple[int, bytes, bytes]:
        """Status, head and body.

        Raises:
            IncompleteReadError: the body broke off.
        """
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
        head = await _head(self.reader)
        status = int(head[9:12])
        if method == "HEAD" or status in (204, 304):
            return status, head, b""
        length = _LENGTH.search(head)
        if length is not None:
            return status, head, await self.reader.readexactly(int(length[1]))
        if b"chunked" in head.lower():
            return status, head, await self._chunks()
        # its end is the connection's: nobody could tell whether it is whole
        return status, head, await self.reader.read(-1)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")
        return body

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Traffic:
    """What is asked, of whom; `assets` are names and sizes of what `furnish` has published."""

    fleet: Fleet
    github: str
    fast_assets: str
    assets: Mapping[str, int]
    wheel: str
    known: str
    home: Path
    tally: Tally = field(default_factory=Tally)
    trust: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.trust = self.fleet.trust
        self._contents = {name: content(name, size) for name, size in self.assets.items()}
        self._names = list(self.assets)

    # ---------------------------------------------------------- connections

    async def _tunnel(self, host: str, *, known: bool = True) -> _Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.fleet.port, limit=1 << 20)
        line = _Line(reader, writer)
        try:
            field = f"Proxy-Authorization: Basic {self.known}\r\n" if known else ""
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n".encode())
            _expect_tunnel(await _head(reader))
            await writer.start_tls(self.trust, server_hostname="localhost")
        except BaseException:
            line.close()
            raise
        return line

    # --------------------------------------------------------------- clients

    async def client(self, number: int, until: float) -> None:
        """One client, which asks one thing after the other."""
        chance = Random(number)  # noqa: S311 — no secret
        kinds, shares = list(_SHARES), list(_SHARES.values())
        line: _Line | None = None
        while time.monotonic() < until:
            kind = chance.choices(kinds, shares)[0]
            begin = time.monotonic()
            if line is not None and chance.random() < 0.05:
                line.close()
                line = None
            try:
                async with asyncio.timeout(_PATIENCE):
                    if kind in ("range", "head", "download", "absent") and line is None:
                        line = await self._tunnel(self.github)
                    outcome = await self._ask(kind, chance, line)
            except TimeoutError:
                outcome = "timeout"
            except RefusedError as refused:
                outcome = f"CONNECT {refused.said}"
            except asyncio.IncompleteReadError:
                outcome = "cut"
            except ssl.SSLError:
                outcome = "TLS broken"
            except (OSError, ValueError):
                outcome = "closed"
            if outcome != "ok" and line is not None:
                line.close()
                line = None
            self.tally.take(kind, outcome, time.monotonic() - begin)
            if outcome in ("closed", "timeout") or outcome.startswith("CONNECT"):
                await asyncio.sleep(0.05)  # as a client does that tries again
        if line is not None:
            line.close()

    async def _ask(self, kind: Kind, chance: Random, line: _Line | None) -> str:
        name = chance.choice(self._names)
        path = f"/{REPOSITORY}/releases/download/v1.0/{name}"
        match kind:
            case "range":
                assert line is not None
                return await self._range(line, path, name, chance)
            case "head":
                assert line is not None
                status, head, body = await line.ask("HEAD", self.github, path)
                length = _LENGTH.search(head)
                right = length is not None and int(length[1]) == self.assets[name]
                # a HEAD that failed is 404, with the reason in its phrase
                return self._judged("head", status == 200, right, status, body)
            case "download":
                assert line is not None
                return await self._download(line, path, name)
            case "absent":
                assert line is not None
                status, _, body = await line.ask("GET", self.github, f"{path}.absent")
                said = _problem(status, body)
                return "ok" if said == REFUSED["absent"] else said
            case "tunnel":
                inner = await self._tunnel(self.fast_assets)
                try:
                    status, _, body = await inner.ask("GET", self.fast_assets, servers.SIGNED, Range="bytes=0-999")
                    return self._judged("tunnel", status == 206, body == bytes(1000), status, body)
                finally:
                    inner.close()
            case _:
                try:
                    inner = await self._tunnel(
                        "localhost:1" if kind == "forbidden" else self.github, known=kind != "nobody"
                    )
                except RefusedError as refused:
                    return "ok" if refused.said == REFUSED[kind] else f"CONNECT {refused.said}"
                inner.close()
                return "wrong"

    async def _range(self, line: _Line, path: str, name: str, chance: Random) -> str:
        size = self.assets[name]
        first = chance.randrange(size)
        last = min(size, first + chance.choice((1, 1000, 16_384))) - 1
        status, head, body = await line.ask("GET", self.github, path, Range=f"bytes={first}-{last}")
        told = _RANGE.search(head)
        right = told is not None and [int(each) for each in told.groups()] == [first, last, size]
        return self._judged(
            "range", status == 206, right and body == self._contents[name][first : last + 1], status, body
        )

    async def _download(self, line: _Line, path: str, name: str) -> str:
        status, head, body = await line.ask("GET", self.github, path)
        where = _LOCATION.search(head)
        if status == 302 and where is not None:
            inner = await self._tunnel(where[1].decode())
            try:
                status, _, body = await inner.ask("GET", where[1].decode(), where[2].decode())
            finally:
                inner.close()
            if status != 200:
                return f"asset host {status}"
        return self._judged("download", status == 200, body == self._contents[name], status, body)

    def _judged(self, kind: Kind, answered: bool, right: bool, status: int, body: bytes) -> str:
        if not answered:
            return _problem(status, body)
        self.tally.bodies += kind != "head"
        if not right:
            self.tally.examples.setdefault("wrong", f"{kind}: {status}, {len(body)} bytes: {body[:200]!r}")
        return "ok" if right else "wrong"

    # ------------------------------------------------------------------ uv

    async def installer(self, number: int, until: float) -> None:
        """Real uv, one install after the other, each with a cold cache; what is there afterwards is compared."""
        count = 0
        while time.monotonic() < until:
            count += 1
            begin = time.monotonic()
            place = self.home / f"{number}-{count}"
            place.mkdir(parents=True)
            url = f"https://{self.github}/{REPOSITORY}/releases/download/v1.0/{self.wheel}"
            proxy = self.fleet.proxy
            variables = {
                "HOME": str(place),
                "UV_CACHE_DIR": str(place / "cache"),
                "UV_NO_CONFIG": "1",
                "UV_PYTHON": sys.executable,
                **environment.for_client(proxy.url, proxy.bundle, proxy.bundle, {}),
            }
            command = ["--no-progress", "pip", "install", "--target", str(place / "site"), f"acme-load @ {url}"]
            process = await asyncio.create_subprocess_exec(
                programs.UV,
                *command,
                env=programs.environment(**variables),
                cwd=place,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                output, _ = await asyncio.wait_for(process.communicate(), _INSTALL_PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()
                self.tally.take("install", "timeout", time.monotonic() - begin)
                continue
            outcome = "uv failed"
            if process.returncode == 0:
                installed = place / "site" / f"{_WHEEL}.bin"
                right = installed.exists() and installed.read_bytes() == bytes(_WHEEL_PADDING)
                self.tally.bodies += 1
                outcome = "ok" if right else "wrong"
            if outcome != "ok":
                self.tally.examples.setdefault(f"install {outcome}", output.decode(errors="replace")[-600:])
            self.tally.take("install", outcome, time.monotonic() - begin)
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def run(self, clients: int, installers: int, seconds: float) -> None:
        """All of them, for so long; what is under way then is let end."""
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(self.client(number, until) for number in range(clients)),
            *(self.installer(number, until) for number in range(installers)),
        )


_WHEEL_PADDING: Final = 200_000


def _problem(status: int, body: bytes) -> str:
    """The name of the problem that a body tells, or the status."""
    try:
        told = json.loads(body)["type"]
    except (ValueError, KeyError, TypeError):
        return str(status)
    return str(told).rpartition(":")[2]


def furnish(bench: Bench, fleet: Fleet, count: int = 40) -> Traffic:
    """Publish what is asked for, and say how; the stand-in's budget has no end."""
    chance = Random(count)  # noqa: S311 — no secret
    assets = {f"file-{number}.bin": chance.choice((1_000, 20_000, 100_000, 300_000)) for number in range(count)}
    wheel = package.wheel(_WHEEL, "1.0", _WHEEL_PADDING)
    bench.github.ask(servers.behave)
    bench.github.ask(servers.publish_contents, REPOSITORY, {name: (name, size) for name, size in assets.items()}, wheel)
    known = base64.b64encode((fleet.proxy.credentials or "").encode()).decode()
    return Traffic(
        fleet, bench.github.web, bench.upstream.asset_host, assets, wheel.name, known, bench.fresh("installs")
    )
