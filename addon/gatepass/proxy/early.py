"""Answers that wait for no body: mitmproxy would hold all of a request's before it looks at the answer.

Knows mitmproxy's layers, and neither rules nor why a request is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from mitmproxy.proxy.events import CommandCompleted
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import RequestData, RequestEndOfMessage, RequestTrailers

if TYPE_CHECKING:
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import CommandGenerator, Layer, NextLayer


class _AnsweringLayer(HttpLayer):
    """Ends a request, for its stream, once a hook has answered it; what still comes of its body is dropped."""

    ended: WeakSet[HttpStream]

    def event_to_child(self, child: Layer | HttpStream, event: Event) -> CommandGenerator[None]:
        if child in self.ended and isinstance(event, RequestData | RequestTrailers | RequestEndOfMessage):
            return
        yield from super().event_to_child(child, event)
        if isinstance(event, CommandCompleted) and isinstance(child, HttpStream) and _is_waiting(child):
            self.ended.add(child)
            yield from super().event_to_child(child, RequestEndOfMessage(child.stream_id))


def _is_waiting(stream: HttpStream) -> bool:
    """Whether a stream that is answered waits for the rest of its request."""
    return stream.client_state == stream.state_consume_request_body and stream.flow.response is not None


def answer_early(nextlayer: NextLayer) -> None:
    """Have the layer that was chosen answer early, if it is one of HTTP."""
    layer = nextlayer.layer
    if type(layer) is HttpLayer:
        # made anew it would stand beside this one in the connection's list of layers
        layer.__class__ = _AnsweringLayer
        layer.ended = WeakSet()  # type: ignore[attr-defined]  # of its new class
