"""What mitmproxy's HTTP layer is made to do besides: answer before a body's end, and keep the Host that was asked for.

Knows mitmproxy's layers, and neither rules nor why a request is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy.proxy.events import CommandCompleted
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import RequestData, RequestEndOfMessage, RequestHeaders, RequestTrailers

if TYPE_CHECKING:
    from mitmproxy.http import Request
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import CommandGenerator, Layer, NextLayer

type Hosts = WeakKeyDictionary[Request, str]
"""The Host of requests as their clients sent it: a reverse proxy puts another in its place before any hook."""


class _Layer(HttpLayer):
    """Ends a request, for its stream, once a hook has answered it; what still comes of its body is dropped.

    mitmproxy would hold all of a body before it looks at the answer.
    """

    ended: WeakSet[HttpStream]
    hosts: Hosts

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


def _nothing() -> CommandGenerator[None]:
    yield from ()


def _is_waiting(stream: HttpStream) -> bool:
    """Whether a stream that is answered waits for the rest of its request."""
    return stream.client_state == stream.state_consume_request_body and stream.flow.response is not None


def extend(nextlayer: NextLayer, hosts: Hosts) -> None:
    """Have the layers that were chosen do so, as far as they are HTTP's."""
    for layer in nextlayer.context.layers:
        if type(layer) is HttpLayer:
            # made anew it would stand beside this one in the connection's list
            layer.__class__ = _Layer
            layer.ended, layer.hosts = WeakSet(), hosts  # type: ignore[attr-defined]  # of its new class
