"""The addon as a whole: nobody is served by a part of it."""

from __future__ import annotations

import asyncio

from mitmproxy.connection import Client
from mitmproxy.master import Master
from mitmproxy.options import Options

from gatepass.proxy.addon import Gatepass


async def test_nobody_is_served_before_all_of_it_is_at_work() -> None:
    """mitmproxy listens before its addons run: who comes then waits until the last of ours is in the chain."""
    master, addon = Master(Options()), Gatepass()
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    waiting = asyncio.create_task(addon.client_connected(client))
    await asyncio.sleep(0)
    assert not waiting.done()
    type(addon).running(addon)
    await waiting
    assert master.addons.get("gatepass_last") is not None
    type(addon).done(addon)
    assert master.addons.get("gatepass_last") is None
