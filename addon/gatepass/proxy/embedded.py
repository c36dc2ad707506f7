"""A mitmproxy in this process, with the addon loaded as `mitmdump -s` would load it.

Loading it as a script gives it its place among mitmproxy's own addons: before those that save, show and log flows.
It may come late: to a socket at which clients wait already, and with rules that were read before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from gatepass import shipped
from gatepass.errors import GatepassError
from gatepass.problems.problem import Problem
from gatepass.proxy import modes
from gatepass.proxy.addon import Gatepass
from gatepass.proxy.handover import take_over
from gatepass.proxy.life import Given
from gatepass.proxy.plain import Plain

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mitmproxy.http import HTTPFlow

    from gatepass.github.statistics import Statistics
    from gatepass.rules.model import Rules


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is ready, and what it has done so far. `door` is where clients wait until it serves them."""

    statistics: Statistics
    door: asyncio.Server


class _Ready:
    """Tells when all addons are at work: before, nobody must be served."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def running(self) -> None:
        self.told.set()


def listening_port() -> int:
    """The port that mitmproxy's first server listens on; to be called from a hook."""
    server = ctx.master.addons.get("proxyserver")
    assert isinstance(server, Proxyserver)
    return int(server.listen_addrs()[0][1])


def index_port() -> int:
    """The port of the package indexes that are a web server of their own; to be called from a hook."""
    server = ctx.master.addons.get("proxyserver")
    assert isinstance(server, Proxyserver)
    return next(int(each.listen_addrs[0][1]) for each in server.servers if modes.is_index(each.mode))


class Forgetful:
    """Takes the proxy's password from what is kept of a request: a flow file would hold it. The user's name stays."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        if known := flow.metadata.get("proxyauth"):
            flow.metadata["proxyauth"] = (known[0], "")


class Causes(logging.Handler):
    """Keeps what the proxy warned of, each cause once: a child's output should not be interrupted by it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: dict[object, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._texts[_cause(record)] = record.getMessage()

    @property
    def texts(self) -> list[str]:
        """In the order of their beginning, each as it was told last."""
        return list(self._texts.values())


def _cause(record: logging.LogRecord) -> object:
    """What of a warning makes it another: a client asks for a URL by HEAD, for parts, whole, and then again."""
    match record.args:
        case (str() as asked, Problem(kind=kind)):
            return asked.partition(" ")[2], kind
    return record.getMessage()


@asynccontextmanager
async def proxy(
    rules: Rules, door: socket.socket, confdir: Path, key: bytes = b"", **settings: Any
) -> AsyncIterator[Proxy]:
    """Run the proxy under these rules, at a socket that listens, with the CA in `confdir` and these options of
    mitmproxy. Placeholders are made by `key`.

    Raises:
        GatepassError: it does not start.
    """
    options = Options()
    master = DumpMaster(options, with_termlog=False, with_dumper=False)
    ready = _Ready()
    master.addons.add(ready, Plain(os.environ), Given(rules, key))
    # a start that fails is told as an error here; mitmproxy would end the process
    master.addons.remove(master.addons.get("errorcheck"))
    causes = Causes()
    logging.getLogger().addHandler(causes)
    host, port = door.getsockname()[:2]
    options.update(confdir=str(confdir), listen_host=host, listen_port=port, **settings)
    options.set("gatepass_watch=false", defer=True)
    options.update(scripts=[str(shipped.script())])
    server = await take_over(door)
    task = asyncio.create_task(master.run())
    told = asyncio.create_task(ready.told.wait())
    try:
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
        addon = master.addons.get("gatepass")
        if not ready.told.is_set() or not isinstance(addon, Gatepass) or not addon.has_rules:
            raise GatepassError("\n".join(causes.texts) or "the proxy did not start")
        logging.getLogger().removeHandler(causes)
        yield Proxy(addon.record.statistics, server)
    finally:
        told.cancel()
        logging.getLogger().removeHandler(causes)
        master.shutdown()
        await task
