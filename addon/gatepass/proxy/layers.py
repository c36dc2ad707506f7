"""What mitmproxy's HTTP layer is made to do besides: answer before a body's end, keep the Host that was asked for, and
say why a way upstream failed.

Knows mitmproxy's layers, and neither rules nor why a request is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy.proxy.events import CommandCompleted
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow, Request, Response
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import CommandGenerator, Layer, NextLayer

type Hosts = WeakKeyDictionary[Request, str]
"""The Host of requests as their clients sent it: a reverse proxy puts another in its place before any hook."""


type Answers = WeakKeyDictionary[HTTPFlow, Response]
"""What flows that failed are answered with, in place of a page of mitmproxy's own."""


class _Layer(HttpLayer):
    """Ends a request, for its stream, once a hook has answered it; what still comes of its body is dropped.

    mitmproxy would hold all of a body before it looks at the answer; and once an upstream has failed it looks at none.
    """

    ended: WeakSet[HttpStream]
    hosts: Hosts
    answers: Answers

    def event_to_child(self, child: Layer | HttpStream, event: Event) -> CommandGenerator[None]:
        # no generator itself: most events, and they are many, go on without another one around theirs
        if isinstance(event, RequestHeaders):
            self.hosts[event.request] = event.request.host_header or ""
        elif isinstance(event, CommandCompleted):
            return self._completed(child, event)
        elif isinstance(event, RequestData | RequestTrailers | RequestEndOfMessage) and child in self.ended:
            return _nothing()
        elif isinstance(event, ResponseProtocolError) and isinstance(child, Http1Server) and child.response is None:
            stream = self.streams.get(event.stream_id)
            if stream is not None and (answer := self.answers.pop(stream.flow, None)) is not None:
                return self._answered(child, event.stream_id, answer)
        return super().event_to_child(child, event)

    def _completed(self, child: Layer | HttpStream, event: CommandCompleted) -> CommandGenerator[None]:
        yield from super().event_to_child(child, event)
        if isinstance(child, HttpStream) and _is_waiting(child):
            self.ended.add(child)
            yield from super().event_to_child(child, RequestEndOfMessage(child.stream_id))

    def _answered(self, client: Http1Server, stream_id: int, answer: Response) -> CommandGenerator[None]:
        content = answer.raw_content or b""
        yield from super().event_to_child(client, ResponseHeaders(stream_id, answer, end_stream=not content))
        if content:
            yield from super().event_to_child(client, ResponseData(stream_id, content))
        yield from super().event_to_child(client, ResponseEndOfMessage(stream_id))


def _nothing() -> CommandGenerator[None]:
    yield from ()


def _is_waiting(stream: HttpStream) -> bool:
    """Whether a stream that is answered waits for the rest of its request."""
    return stream.client_state == stream.state_consume_request_body and stream.flow.response is not None


def extend(nextlayer: NextLayer, hosts: Hosts, answers: Answers) -> None:
    """Have the layers that were chosen do so, as far as they are HTTP's."""
    for layer in nextlayer.context.layers:
        if type(layer) is HttpLayer:
            # made anew it would stand beside this one in the connection's list
            layer.__class__ = _Layer
            layer.ended, layer.hosts, layer.answers = WeakSet(), hosts, answers  # type: ignore[attr-defined]  # of its new class
