"""Tunnels counted: the layer through which their bytes pass untouched tells how many they are, and when it is over.

Knows mitmproxy's layers, and neither rules nor who is told. It must cost nothing: all that is not decrypted comes here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers import ClientTLSLayer, TCPLayer

if TYPE_CHECKING:
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import CommandGenerator, Layer, NextLayer


class Watcher(Protocol):
    """Hears of tunnels."""

    def opened(self, tunnel: Tunnel) -> None: ...

    def ended(self, tunnel: Tunnel) -> None:
        """May hear of the same one twice."""


class Tunnel(TCPLayer):
    """The layer of a connection that is none of ours; `sent` are the client's bytes, `received` the server's."""

    watcher: Watcher
    began: float
    sent: int
    received: int

    def start(self, event: Event) -> CommandGenerator[None]:
        self.began, self.sent, self.received = time.time(), 0, 0
        self.watcher.opened(self)
        yield from super().start(event)
        if self._handle_event == self.done:
            self.watcher.ended(self)

    _handle_event = start

    def relay_messages(self, event: Event) -> CommandGenerator[None]:
        # what mitmproxy's own does, without what only a tunnel that is shown needs
        if type(event) is DataReceived:
            if event.connection is self.context.server:
                self.received += len(event.data)
                yield SendData(self.context.client, event.data)
                return
            if event.connection is self.context.client:
                self.sent += len(event.data)
                yield SendData(self.context.server, event.data)
                return
        yield from super().relay_messages(event)
        if self._handle_event == self.done:
            self.watcher.ended(self)


class _ClientTLS(ClientTLSLayer):
    """Has what it tunnels counted: where it decrypts nothing it makes a layer of its own, and asks nobody about it."""

    watcher: Watcher

    def event_to_child(self, event: Event) -> CommandGenerator[None]:
        if count(self.child_layer, self.watcher):
            self.__class__ = ClientTLSLayer  # type: ignore[assignment]  # its work is done
        return ClientTLSLayer.event_to_child(self, event)


def count(layer: Layer | None, watcher: Watcher) -> bool:
    """Have a layer that has not begun count, if it is a tunnel's; whether it is."""
    if type(layer) is not TCPLayer or layer.flow is not None:
        return False
    # made anew it would stand beside this one in the connection's list
    layer.__class__ = Tunnel
    layer.watcher = watcher  # type: ignore[attr-defined]  # of its new class
    return True


def extend(nextlayer: NextLayer, watcher: Watcher) -> None:
    """Have the layers that were chosen tell of tunnels."""
    count(nextlayer.layer, watcher)
    for layer in nextlayer.context.layers:
        if type(layer) is ClientTLSLayer:
            layer.__class__ = _ClientTLS
            layer.watcher = watcher  # type: ignore[attr-defined]  # of its new class
