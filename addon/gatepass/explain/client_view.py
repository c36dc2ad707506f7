"""What a client gets of an answer, judged: a download, or the reason why not.

Pure: the same judgement whether the answer was made here or came through a running proxy.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from gatepass.explain.explanation import BlockedError, Step
from gatepass.problems.problem import CONTENT_TYPE, Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.assets.answers import Answer
    from gatepass.forge.hosts import Host
    from gatepass.problems.problem import Problem


class _Details(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457), as far as a person reads them."""

    title: str = ""
    detail: str = ""
    hint: str | None = None


def head(answer: Answer) -> Step:
    """Its headers must find names whatever their case, here and below."""
    if answer.status != 200:
        return Step("head", "fail", said(answer))
    length = answer.headers.get("content-length")
    return Step("head", "ok", "200" if length is None else f"200, {length} bytes")


def part(answer: Answer) -> Step:
    """The answer for the first 16 bytes."""
    match answer.status:
        case 206 if answer.content:
            return Step("range", "ok", f"206, {len(answer.content)} bytes")
        case 416 if answer.headers.get("content-range", "").endswith("/0"):
            return Step("range", "ok", "416: the asset is empty")
        case 200:
            return whole_for_part()
        case 301 | 302 | 303 | 307 | 308 as status:
            return Step("range", "warn", f"redirected ({status}): uv does not follow, and loads a wheel twice")
    return refused("range", answer)


def whole_for_part() -> Step:
    return Step("range", "warn", "the whole is answered: this host knows no ranges, so uv loads a wheel twice")


def whole(host: Host, asked: Host) -> Step:
    """A GET that ended well, at the host that it was redirected to, if not at the one that was asked."""
    return Step("get", "ok", "200" if host == asked else f"redirected to {host}, which answers 200")


def refused(name: str, answer: Answer) -> Step:
    """An answer that is no download, in the words of its problem details where it has some."""
    if answer.headers.get("content-type") != CONTENT_TYPE:
        return Step(name, "fail", said(answer))
    try:
        details = msgspec.json.decode(answer.content, type=_Details)
    except msgspec.DecodeError:
        return Step(name, "fail", said(answer))
    # the hint stands in the detail too, for clients that show nothing else
    detail = details.detail.removesuffix(f"; hint: {details.hint}")
    return Step(name, "fail", f"{answer.status} {details.title}: {detail}", details.hint)


def said(answer: Answer) -> str:
    return f"{answer.status} {answer.reason}".strip()


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
