"""What an inquiry found: step by step, and the verdict over all of them.

Pure values, without a secret or a signed URL's query; how they are shown is for the command line and the report.
Also how a problem becomes a step, and the end of a way.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gatepass.problems.problem import Problem

type State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at. `name` is stable and for machines, `finding` and `hint` are for people."""

    name: str
    state: State
    finding: str
    hint: str | None = None


class BlockedError(Exception):
    """There is no going on: `steps` tell why, and what a client gets of it."""

    def __init__(self, *steps: Step) -> None:
        super().__init__(steps[0].finding)
        self.steps = steps


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that was found about one URL. `advice` is the one thing to do, None when there is nothing."""

    url: str
    steps: tuple[Step, ...]
    verdict: str
    advice: str | None

    @property
    def ok(self) -> bool:
        """Whether the asset can be fetched, as far as was looked."""
        return all(step.state != "fail" for step in self.steps)


def conclude(url: str, steps: Iterable[Step]) -> Explanation:
    """The verdict over these steps: the first that failed is the cause, unless only a later one knows what to do."""
    steps = tuple(steps)
    if fails := [step for step in steps if step.state == "fail"]:
        cause = next((step for step in fails if step.hint), fails[0])
        return Explanation(url, steps, f"it cannot be fetched: {cause.finding}", cause.hint)
    by_name = {step.name: step for step in steps}
    get, through, proxy = (by_name.get(name) for name in ("get", "through", "proxy"))
    if get is not None and get.state == "skip" and through is None:
        return Explanation(url, steps, "nothing is in its way so far, but nobody has asked for it", get.hint)
    if proxy is not None and proxy.state == "skip":
        if _is_public(by_name):
            return Explanation(url, steps, "it can be fetched by anybody, with Gatepass or without", None)
        return Explanation(url, steps, "it can be fetched through Gatepass", proxy.hint)
    return Explanation(url, steps, "it can be fetched", next((s.hint for s in steps if s.state == "warn"), None))


def _is_public(by_name: Mapping[str, Step]) -> bool:
    """Whether it was found, and no credential was needed for that."""
    return "public" in by_name and ("credential" not in by_name or by_name["credential"].state == "skip")


def failed(name: str, found: Problem) -> Step:
    """The step that met a problem."""
    return Step(name, "fail", f"{found.title}: {found.detail}", found.hint)


def problem(found: Problem) -> Step:
    """What the addon would answer."""
    return Step("client", "fail", f"a HEAD gets 404, a GET {found.status}, both with `{found.reason}`")


def blocked(name: str, found: Problem) -> BlockedError:
    """The end of a way: the step that met a problem, and what the addon would answer."""
    return BlockedError(failed(name, found), problem(found))


def blocked_by_api(name: str, found: Problem) -> BlockedError:
    """The same, where the budget may be all that is wrong."""
    return blocked("budget" if found.status == 429 else name, found)


@contextmanager
def met_at(name: str) -> Iterator[None]:
    """A problem that is met within is the end of the way, at the step of that name."""
    try:
        yield
    except Unresolvable as unresolvable:
        raise blocked(name, unresolvable.problem) from None


def hexadecimal(digest: str | None) -> str | None:
    """The SHA-256 of a digest as the API tells it; None when it tells none."""
    algorithm, _, value = (digest or "").partition(":")
    return value.lower() if algorithm == "sha256" else None


def locked(name: str, hashes: frozenset[str], sha256: str | None) -> Step:
    """Whether a file has one of the hashes that a lock has of it; `sha256` is what is known of it, in hexadecimal."""
    if not hashes:
        return Step("locked", "ok", f"`{name}` is there; the lock has no SHA-256 of it")
    if sha256 is None:
        return Step("locked", "warn", f"`{name}` is there; the forge has no digest of it to compare with the lock's")
    if sha256 not in hashes:
        found = f"`{name}` is locked with sha256 {', '.join(sorted(hashes))}, and is {sha256}: no client takes it"
        return Step("locked", "fail", found, "if it was uploaded anew on purpose, lock the project anew")
    return Step("locked", "ok", f"`{name}` has the hash that is locked")
