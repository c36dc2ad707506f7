"""What clients see while something is broken, and how long it takes, once it is mended, until all is well.

Each fault has two replicas of its own; then all come in turn before the same two. A refusal that says why is right, and
a client can tell that a download broke off: what is wrong is what passes for whole and is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet

from benchmarks import programs, servers
from benchmarks.load import traffic
from benchmarks.load.fleet import Fleet, Store, may_be_alone
from benchmarks.load.traffic import Tally
from benchmarks.report import Comparison, Figure
from gatepass.demo.standin import Fault, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.load.scale import Load
    from benchmarks.load.traffic import Traffic
    from benchmarks.report import Row
    from gatepass.demo.standin import StandIn

_CLIENTS: Final = 12
_REPLICAS: Final = 2
# So many answers in a row, of every client, and all is well.
_WELL: Final = 60
_OTHER_TOKEN: Final = "ghp_RotatedRotatedRotatedRotatedRotated00"
_ROUND_SECONDS: Final = 0.25
# Seconds of a signed URL: so short that the API has to be asked all the time.
_LIFETIME: Final = 3
_LOCKOUT: Final = 5


@dataclass
class _Scene:
    """A fleet with traffic, and what a fault needs to break it."""

    bench: Bench
    fleet: Fleet
    store: Store | None
    tokens: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Breakage:
    """`breaks` begins it, `again` is called several times a second while it lasts, `mends` ends it."""

    breaks: Callable[[_Scene], None]
    mends: Callable[[_Scene], None]
    again: Callable[[_Scene], None] = lambda _: None
    is_possible: Callable[[_Scene], bool] = lambda _: True
    """Where it is not, it is left out, and told."""
    least: float = 0
    """Seconds that it takes until it can be noticed."""


# ---------------------------------------------------------------- the forge


def _fail(standin: StandIn, faults: list[Fault]) -> None:
    """The API is to fail so from now on, and forgets nothing of it; with none it works."""
    standin.faults[:] = faults


def _sign(standin: StandIn, lifetime: int) -> None:
    """Let the URLs to come live for so long; and end those that were given out."""
    standin.signed_lifetime = lifetime
    standin.expire_signed_urls()


def _token(standin: StandIn, value: str) -> None:
    """The one token that there is. Who brings others is locked out, as by GitHub, but for seconds."""
    standin.tokens[:] = [Token(value, limit=10**9)]
    standin.lockout, standin.bad_logins = _LOCKOUT, 0


def _end_urls(scene: _Scene) -> None:
    scene.bench.github.ask(_sign, _LIFETIME)


def _api(*faults: Fault) -> _Breakage:
    def breaks(scene: _Scene) -> None:
        scene.bench.github.ask(_fail, list(faults))

    return _Breakage(breaks, lambda scene: scene.bench.github.ask(_fail, []))


_MANY: Final = 10**9


# -------------------------------------------------------------- the replicas


def _rotate(scene: _Scene) -> None:
    """The forge knows another token; the file is written anew when it is mended, as a person is slower than GitHub."""
    scene.tokens[:] = [_OTHER_TOKEN if scene.fleet.token.read_text() != _OTHER_TOKEN else "ghp_Again" + "0" * 31]
    scene.bench.github.ask(_token, scene.tokens[0])


def _kill(scene: _Scene) -> None:
    scene.fleet.replicas[0].kill()


def _revive(scene: _Scene) -> None:
    scene.fleet.replicas[0].start()


def _spoil_rules(scene: _Scene) -> None:
    scene.fleet.rules.write_text("rules: [", encoding="utf-8")


def _mend_rules(scene: _Scene) -> None:
    scene.fleet.rules.write_text(scene.fleet.text, encoding="utf-8")


def _ballast(scene: _Scene) -> list[Path]:
    return [replica.disk / "ballast" for replica in scene.fleet.replicas]


def _fill(scene: _Scene) -> None:
    for path in _ballast(scene):
        for block in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(block))


def _empty(scene: _Scene) -> None:
    for path in _ballast(scene):
        path.unlink(missing_ok=True)
        (path.parent / "audit.jsonl").open("wb").close()


def _forget_names(scene: _Scene) -> None:
    for replica in scene.fleet.replicas:
        replica.names.write_text("# nobody\n", encoding="ascii")


def _know_names(scene: _Scene) -> None:
    for replica in scene.fleet.replicas:
        replica.names.write_text("127.0.0.1 localhost\n::1 ip6-localhost\n", encoding="ascii")


def _write_token(scene: _Scene) -> None:
    scene.fleet.write_token(scene.tokens[0])


def _is_alone(scene: _Scene) -> bool:
    return scene.fleet.alone


_FAULTS: Final[dict[str, _Breakage]] = {
    "API 500": _api(Fault("api", status=500, times=_MANY)),
    "API 429": _api(Fault.secondary_limit(seconds=2, status=429, times=_MANY)),
    # what hung is never answered: else it would be, with the token that it came with, long after that was replaced
    "API hangs": _api(Fault("api", hang=60, close=True, times=_MANY)),
    "API resets": _api(Fault("api", close=True, times=_MANY)),
    "signed URLs end": _Breakage(_end_urls, lambda _: None, _end_urls),
    "token rotated": _Breakage(_rotate, _write_token),
    "store killed": _Breakage(
        lambda scene: scene.store.kill() if scene.store else None,
        lambda scene: scene.store.start() if scene.store else None,
        is_possible=lambda scene: scene.store is not None,
    ),
    "replica killed": _Breakage(_kill, _revive),
    "rules broken": _Breakage(_spoil_rules, _mend_rules, least=6),
    "disk full for the audit": _Breakage(_fill, _empty, _fill, _is_alone, least=7),
    "DNS away": _Breakage(_forget_names, _know_names, is_possible=_is_alone, least=3),
}


# ----------------------------------------------------------------- measuring


def faults(bench: Bench, load: Load) -> Iterator[Row]:
    """Each alone, then all in turn."""
    until_well: list[tuple[str, float]] = []
    for name, breakage in _FAULTS.items() if load.each_alone else ():
        bench.say(name)
        with _scene(bench) as scene:
            yield from _rows(name, _live_through(scene, {name: breakage}, load), load, until_well)
    bench.say("all in turn")
    with _scene(bench) as scene:
        yield from _rows("all in turn", _live_through(scene, _FAULTS, load), load, until_well)
    told = f"after {load.fault_seconds:g} s of each; well is when {_WELL} answers in a row were right"
    yield Comparison("faults: until well, after the end", "s", tuple(until_well), told)


def _rows(name: str, lived: _Lived, load: Load, until_well: list[tuple[str, float]]) -> Iterator[Row]:
    if not lived.well:
        yield Figure(f"faults: {name}: left out", 0, "", 0, note="not possible here: mounts need rights, or no store")
        return
    wrong = sum(tally.wrong() for tally in lived.seen.values())
    told = [f"{each}: {_told(tally)}" if len(lived.seen) > 1 else _told(tally) for each, tally in lived.seen.items()]
    examples = [each for tally in lived.seen.values() for each in tally.examples.values()]
    note = "; ".join([*(f"left out: {each}" for each in lived.left_out), *(told if len(told) > 1 else []), *examples])
    compared = f"clients saw {told[0]}" if len(told) == 1 else f"of {sum(t.total for t in lived.seen.values()):,}"
    yield Figure(f"faults: {name}: wrong or half", wrong, "", 0, compared, note=note)
    yield Figure(f"faults: {name}: tracebacks", lived.logs.count("Traceback"), "", 0)
    never = [each for each, seconds in lived.well.items() if seconds is None]
    compared = f"in {load.well_seconds:g} s"
    yield Figure(f"faults: {name}: never well again", len(never), "", 0, compared, note=", ".join(never))
    until_well += [
        (each if each == name else f"{name}: {each}", seconds)
        for each, seconds in lived.well.items()
        if seconds is not None
    ]


def _told(tally: Tally) -> str:
    return ", ".join(f"{what} {times:,}" for what, times in tally.seen().items())


@contextlib.contextmanager
def _scene(bench: Bench) -> Iterator[_Scene]:
    store = None
    more = ""
    with contextlib.ExitStack() as stack:
        if _knows_store() and Store.program():
            store = Store(bench.fresh("store"))
            stack.callback(store.kill)
            store.start()
            more = _shared(bench, store)
        bench.github.ask(_token, bench.github.token)
        bench.github.ask(_fail, [])
        bench.github.ask(_sign, _LIFETIME)
        fleet = stack.enter_context(Fleet(bench, _REPLICAS, alone=may_be_alone(), more=more))
        try:
            yield _Scene(bench, fleet, store)
        finally:
            bench.github.ask(_fail, [])
            bench.github.ask(_token, bench.github.token)
            bench.github.ask(_sign, 300)


def _knows_store() -> bool:
    """Whether these rules know a store that replicas share."""
    schema = programs.ROOT / "addon" / "gatepass" / "rules.schema.json"
    return '"shared"' in schema.read_text(encoding="utf-8")


def _shared(bench: Bench, store: Store) -> str:
    key = bench.fresh("key") / "key"
    key.write_bytes(Fernet.generate_key())
    key.chmod(0o600)
    return f"cache: {{shared: {{url: 'redis://127.0.0.1:{store.port}/0', key: 'file:{key}'}}}}\n"


@dataclass
class _Lived:
    """Of each fault what clients saw until all was well, and how long that took from its end; and what was logged."""

    seen: dict[str, Tally] = field(default_factory=dict)
    well: dict[str, float | None] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    logs: str = ""


def _live_through(scene: _Scene, breakages: dict[str, _Breakage], load: Load) -> _Lived:
    asked = traffic.furnish(scene.bench, scene.fleet)
    lived = _Lived()

    async def one(name: str, breakage: _Breakage) -> None:
        asked.tally = lived.seen[name] = Tally()
        await asyncio.to_thread(breakage.breaks, scene)
        end = time.monotonic() + max(breakage.least, load.fault_seconds)
        while time.monotonic() < end:
            await asyncio.sleep(_ROUND_SECONDS)
            await asyncio.to_thread(breakage.again, scene)
        begin = time.monotonic()
        await asyncio.to_thread(breakage.mends, scene)
        reached = await _until_well(asked, load.well_seconds)
        lived.well[name] = None if reached is None else max(0.0, reached - begin)
        scene.bench.github.ask(servers.tally, ())
        scene.bench.say(f"{name}: {_told(asked.tally)}")

    async def watch() -> None:
        never = time.monotonic() + 1e6
        clients = [asyncio.create_task(asked.client(number, never)) for number in range(_CLIENTS)]
        try:
            if await _until_well(asked, load.well_seconds) is None:
                raise RuntimeError(f"nothing is broken yet, and clients see {_told(asked.tally)}")
            for name, breakage in breakages.items():
                if breakage.is_possible(scene):
                    await one(name, breakage)
                else:
                    lived.left_out.append(name)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    asyncio.run(watch())
    lived.logs = "".join(replica.told() for replica in scene.fleet.replicas)
    return lived


async def _until_well(asked: Traffic, most: float) -> float | None:
    """When the first of so many right answers in a row came; None if that did not happen in time."""
    end = time.monotonic() + most
    asked.tally.row = 0
    while time.monotonic() < end:
        await asyncio.sleep(0.02)
        if asked.tally.row >= _WELL:
            return asked.tally.row_since
    return None
