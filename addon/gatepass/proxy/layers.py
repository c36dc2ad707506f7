"""What mitmproxy's HTTP layer is made to do besides: answer before a body's end, keep the Host, open tunnels at once.

Knows mitmproxy's layers, and neither rules nor why a request is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.events import CommandCompleted
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import RequestData, RequestEndOfMessage, RequestHeaders, RequestTrailers

if TYPE_CHECKING:
    from mitmproxy.http import Request
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import CommandGenerator, Layer

    from gatepass.proxy.tunnels import Tunnels

type Hosts = WeakKeyDictionary[Request, str]
"""The Host of requests as their clients sent it: a reverse proxy puts another in its place before any hook."""


class _Layer(HttpLayer):
    """Ends a request, for its stream, once a hook has answered it; what still comes of its body is dropped.

    mitmproxy would hold all of a body before it looks at the answer.
    """

    ended: WeakSet[HttpStream]
    hosts: Hosts
    tunnels: Tunnels

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        stream = self.streams[stream_id] = _Stream(self.context.fork(), stream_id, self.tunnels)
        return self.event_to_child(stream, events.Start())

    def event_to_child(self, child: Layer | HttpStream, event: Event) -> CommandGenerator[None]:
        # no generator itself: most events, and they are many, go on without another one around theirs
        if isinstance(event, RequestHeaders):
            self.hosts[event.request] = event.request.host_header or ""
        elif isinstance(event, CommandCompleted):
            return self._completed(child, event)
        elif isinstance(event, RequestData | RequestTrailers | RequestEndOfMessage) and child in self.ended:
            return _nothing()
        return super().event_to_child(child, event)

    def _completed(self, child: Layer | HttpStream, event: CommandCompleted) -> CommandGenerator[None]:
        yield from super().event_to_child(child, event)
        if isinstance(child, HttpStream) and _is_waiting(child):
            self.ended.add(child)
            yield from super().event_to_child(child, RequestEndOfMessage(child.stream_id))


class _Stream(HttpStream):
    """A request; where it asks for a tunnel that no rule is for, the server is connected to before it is answered.

    mitmproxy does so for all connections or for none (`connection_strategy`).
    """

    def __init__(self, context: Context, stream_id: int, tunnels: Tunnels) -> None:
        super().__init__(context, stream_id)
        self._tunnels = tunnels

    def handle_connect_regular(self) -> CommandGenerator[None]:
        if self.flow.response is not None or not self._tunnels.opens(self.flow):
            yield from super().handle_connect_regular()  # type: ignore[no-untyped-call]  # mitmproxy's has no types
            return
        for server in self._tunnels.attempts(self.flow):
            self.context.server = self.flow.server_conn = server
            if not (yield commands.OpenConnection(server)):
                break
        else:
            self.flow.response = self._tunnels.refusal(self.flow)
        self.child_layer = NextLayer(self.context)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]  # the same


def _nothing() -> CommandGenerator[None]:
    yield from ()


def _is_waiting(stream: HttpStream) -> bool:
    """Whether a stream that is answered waits for the rest of its request."""
    return stream.client_state == stream.state_consume_request_body and stream.flow.response is not None


def extend(nextlayer: NextLayer, hosts: Hosts, tunnels: Tunnels) -> None:
    """Have the layers that were chosen do so, as far as they are HTTP's."""
    for layer in nextlayer.context.layers:
        if type(layer) is HttpLayer:
            # made anew it would stand beside this one in the connection's list
            layer.__class__ = _Layer
            layer.ended, layer.hosts, layer.tunnels = WeakSet(), hosts, tunnels  # type: ignore[attr-defined]  # of its new class
