"""mitmproxy's events, brought to those addons alone that have a hook for them.

mitmproxy asks each of its thirty addons, and each of those within them, at each of a request's eight events: that took
a third of the request's time (`docs/performance.md`). Knows mitmproxy's hooks, and nothing of what they are for.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from mitmproxy import exceptions
from mitmproxy.addonmanager import AddonManager, safecall
from mitmproxy.hooks import all_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitmproxy.hooks import Hook

    type Called = Callable[..., Any]


def hooks(addons: Sequence[object]) -> dict[str, Called]:
    """What one addon has to do at each event, to be all of these: by the event's name, theirs in this order.

    As in mitmproxy, none after it is called when one raises.
    """
    wanted = {name: [getattr(addon, name) for addon in addons if hasattr(addon, name)] for name in all_hooks}
    return {name: _in_turn(called) for name, called in wanted.items() if called}


def _in_turn(called: Sequence[Called]) -> Called:
    if len(called) == 1:
        return called[0]
    in_turn = [(each, iscoroutinefunction(each)) for each in called]

    def at_once(*args: Any) -> None:
        for each in called:
            each(*args)

    async def awaited(*args: Any) -> None:
        for each, is_awaited in in_turn:
            if is_awaited:
                await each(*args)
            else:
                each(*args)

    return awaited if any(is_awaited for _, is_awaited in in_turn) else at_once


def quicken(manager: AddonManager) -> None:
    """Have it ask mitmproxy's own addons for the hooks alone that they have; all others as before."""
    if type(manager) is AddonManager:
        # made anew it would not be the one that the master, and each script, holds
        manager.__class__ = _Quick
        manager.known, manager.asked = [], {}  # type: ignore[attr-defined]  # of its new class


def slow(manager: AddonManager) -> None:
    """Have it ask all again."""
    if type(manager) is _Quick:
        manager.__class__ = AddonManager  # type: ignore[assignment]  # it was one before


class _Quick(AddonManager):
    known: list[object]
    """The chain by which `asked` was made."""
    asked: dict[str, list[object]]
    """Those at the top of the chain that are asked at an event, by its name."""

    async def trigger_event(self, event: Hook) -> None:
        if self.chain != self.known:
            self.known, self.asked = list(self.chain), {}
        asked = self.asked.get(event.name)
        if asked is None:
            asked = self.asked[event.name] = [each for each in self.chain if _may_have(each, event.name)]
        for each in asked:  # as mitmproxy's own (12.3)
            try:
                with safecall():
                    await self.invoke_addon(each, event)
            except exceptions.AddonHalt:
                return


def _may_have(addon: object, hook: str) -> bool:
    """Whether an addon may have a hook some time: scripts, and what holds other addons, come by theirs as they like."""
    is_own = type(addon).__module__.startswith("mitmproxy.") and not hasattr(addon, "addons")
    return hasattr(addon, hook) or not is_own
