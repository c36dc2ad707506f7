"""Events reach the addons that have a hook for them, in their order, as mitmproxy itself would bring them."""

from __future__ import annotations

import inspect

import pytest
from mitmproxy import exceptions
from mitmproxy.addonmanager import AddonManager
from mitmproxy.hooks import all_hooks
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook, HttpResponseHook
from mitmproxy.test import tflow

from gatepass.proxy import dispatch
from gatepass.proxy.addon import Gatepass


class Told:
    """An addon that writes down that it was asked."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told

    def request(self, _: object) -> None:
        self.told.append(self.name)


class Awaited(Told):
    """The same, awaited."""

    async def request(self, _: object) -> None:  # type: ignore[override]
        self.told.append(self.name)


class Halting(Told):
    """Lets none after it be asked."""

    def request(self, _: object) -> None:
        raise exceptions.AddonHalt


class Broken(Told):
    """Fails."""

    def request(self, _: object) -> None:
        raise RuntimeError("broken")


class Own:
    """As mitmproxy's own: without a hook for requests."""

    name = "own"

    def response(self, _: object) -> None: ...


Own.__module__ = "mitmproxy.addons.own"


class Theirs(AddonManager):
    """Another tool's."""


async def manager(*addons: object) -> AddonManager:
    """mitmproxy's, quickened, with these."""
    made = Master(Options()).addons
    made.add(*addons)
    dispatch.quicken(made)
    return made


async def test_all_are_asked_in_order_whatever_they_are() -> None:
    """Addons, those within addons, and awaited ones are asked, and what is mitmproxy's own and has no hook is not."""
    told: list[str] = []
    outer = Told("outer", told)
    outer.addons = [Awaited("inner", told)]  # type: ignore[attr-defined]
    made = await manager(Own(), outer, Told("last", told))
    await made.trigger_event(HttpRequestHook(tflow.tflow()))
    assert told == ["outer", "inner", "last"]
    assert [type(each) for each in made.asked["request"]] == [Told, Told]  # type: ignore[attr-defined]
    await made.trigger_event(HttpResponseHook(tflow.tflow()))
    assert made.get("own") in made.asked["response"]  # type: ignore[attr-defined]


async def test_what_comes_and_goes_is_seen() -> None:
    """An addon that is added, or removed, or that gets its hook or its addons later, counts at the next event."""
    told: list[str] = []
    late = Own()
    type(late).__module__ = "elsewhere"
    made = await manager(late, first := Told("first", told))
    await made.trigger_event(HttpRequestHook(tflow.tflow()))
    late.request = lambda _: told.append("late")  # type: ignore[attr-defined]
    made.add(Told("second", told))
    await made.trigger_event(HttpRequestHook(tflow.tflow()))
    made.remove(first)
    await made.trigger_event(HttpRequestHook(tflow.tflow()))
    type(late).__module__ = "mitmproxy.addons.own"
    assert told == ["first", "late", "first", "second", "late", "second"]


async def test_halting_and_failing_are_as_before(caplog: pytest.LogCaptureFixture) -> None:
    """One that fails is logged, and the next is asked; one that halts is the last."""
    told: list[str] = []
    made = await manager(Broken("broken", told), Told("next", told), Halting("halting", told), Told("never", told))
    await made.trigger_event(HttpRequestHook(tflow.tflow()))
    assert told == ["next"]
    assert "broken" in caplog.text


async def test_a_manager_of_another_kind_is_left_alone() -> None:
    """Another tool may have one of its own."""
    made = Theirs(Master(Options()))  # type: ignore[no-untyped-call]  # mitmproxy's has no types
    dispatch.quicken(made)
    assert type(made) is Theirs


async def test_it_ends_with_the_addon() -> None:
    """Once the addon is gone mitmproxy does as it did."""
    made = await manager()
    dispatch.slow(made)
    assert type(made) is AddonManager


def test_one_addon_for_several_stops_where_one_raises() -> None:
    """As in mitmproxy the others are not asked; and what is awaited by one is awaited by all."""
    told: list[str] = []
    made = dispatch.hooks((Told("first", told), Broken("broken", told), Told("never", told)))
    with pytest.raises(RuntimeError, match="broken"):
        made["request"](None)
    assert told == ["first"]
    assert inspect.iscoroutinefunction(dispatch.hooks((Told("a", told), Awaited("b", told)))["request"])


async def test_each_hook_of_ours_is_called() -> None:
    """No method with the name of an event is left out, whatever mitmproxy has loaded by then."""
    addon = Gatepass()
    called = set(vars(addon)) & set(all_hooks)
    assert {"requestheaders", "responseheaders", "request", "response", "error", "http_connect", "socks5_auth"} < called
    assert {"load", "configure", "running", "done", "next_layer", "server_connect", "dns_request"} < called
