"""What a client gets of an answer, judged: a download, or the reason why not.

Pure: the same judgement whether the answer was made here or came through a running proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gatepass.explain.explanation import Step
from gatepass.problems.problem import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.forge.hosts import Host
    from gatepass.problems.problem import Problem


class _Details(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457), as far as a person reads them."""

    title: str = ""
    detail: str = ""
    hint: str | None = None


def head(status: int, reason: str, headers: Mapping[str, str]) -> Step:
    """`headers` must find names whatever their case, here and below."""
    if status != 200:
        return Step("head", "fail", _said(status, reason))
    length = headers.get("content-length")
    return Step("head", "ok", "200" if length is None else f"200, {length} bytes")


def part(status: int, reason: str, headers: Mapping[str, str], content: bytes) -> Step:
    """The answer for the first 16 bytes."""
    match status:
        case 206 if content:
            return Step("range", "ok", f"206, {len(content)} bytes")
        case 416 if headers.get("content-range", "").endswith("/0"):
            return Step("range", "ok", "416: the asset is empty")
        case 200:
            return whole_for_part()
    return refused("range", status, reason, headers, content)


def part_elsewhere(status: int) -> Step:
    return Step("range", "warn", f"redirected ({status}): uv does not follow, and loads a wheel twice")


def whole_for_part() -> Step:
    return Step("range", "warn", "the whole is answered: this host knows no ranges, so uv loads a wheel twice")


def whole(status: int, via: Host | None) -> Step:
    """A GET that ended well, `via` the host that it was redirected to."""
    return Step("get", "ok", str(status) if via is None else f"redirected to {via}, which answers {status}")


def refused(name: str, status: int, reason: str, headers: Mapping[str, str], content: bytes) -> Step:
    """An answer that is no download, in the words of its problem details where it has some."""
    if headers.get("content-type") != CONTENT_TYPE:
        return Step(name, "fail", _said(status, reason))
    try:
        details = msgspec.json.decode(content, type=_Details)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Step(name, "fail", _said(status, reason))
    # the hint stands in the detail too, for clients that show nothing else
    detail = details.detail.removesuffix(f"; hint: {details.hint}")
    return Step(name, "fail", f"{status} {details.title}: {detail}", details.hint)


def failed(name: str, found: Problem) -> Step:
    """The step that met a problem."""
    return Step(name, "fail", f"{found.title}: {found.detail}", found.hint)


def problem(found: Problem) -> Step:
    """What the addon would answer."""
    return Step("client", "fail", f"a HEAD gets 404, a GET {found.status}, both with `{found.reason}`")


def _said(status: int, reason: str) -> str:
    return f"{status} {reason}".strip()
