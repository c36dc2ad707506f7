"""What mitmproxy's HTTP is made to do besides: answer at once, keep the Host that was asked for, and hold no end of it.

Its layers keep whatever has no end yet: a body that is answered already, heads, chunk extensions, messages in
fragments; and they look at no answer once an upstream has failed. A tunnel may be opened before its client is told that
it is. Knows mitmproxy's layers (12.3), and neither rules nor why a request is answered.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import Layer, NextLayer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from mitmproxy.utils import human
from wsproto.events import CloseConnection

from gatepass.assets import answers
from gatepass.assets.check import Check
from gatepass.placeholder import Watch
from gatepass.problems import catalogue
from gatepass.proxy import eager, facts, wire

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow, Request, Response
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator
    from mitmproxy.proxy.layers.http._events import RequestHeaders

    from gatepass.proxy.eager import Eager

type Hosts = WeakKeyDictionary[Request, str]
"""The Host of requests as their clients sent it: a reverse proxy puts another in its place before any hook."""

type Answers = WeakKeyDictionary[HTTPFlow, Response]
"""What flows whose upstream failed are answered with."""

MOST_HEAD: Final = 256 * 1024
"""Bytes of a head, of what stands around a chunk, or of a trailer. Servers take 8 to 64 KiB."""
MOST_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of a WebSocket message: it is passed on as a whole."""
OVERHEAD: Final = 256
"""What is held costs it besides its bytes, so that many small ones count, too."""

_BROKEN: Final = ErrorCode.GENERIC_SERVER_ERROR
_TOO_BIG: Final = 1009  # RFC 6455, section 7.4.1


def extend(nextlayer: NextLayer, hosts: Hosts, answers: Answers, eager: Eager) -> None:
    """Have the layers that were chosen do so, as far as they are HTTP's."""
    for layer in nextlayer.context.layers:
        if type(layer) is HttpLayer:
            # made anew it would stand beside this one in the connection's list
            layer.__class__ = _Layer
            layer.hosts, layer.answers, layer.eager = hosts, answers, eager  # type: ignore[attr-defined]  # of its new class


class _Layer(HttpLayer):
    """HTTP in which no head, and nothing around a chunk, grows without end, and a failure is told in our words."""

    hosts: Hosts
    answers: Answers
    eager: Eager

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        stream = self.streams[stream_id] = _Stream(self.context.fork(), stream_id, self.hosts, self.eager)
        return self.event_to_child(stream, events.Start())

    def event_to_child(self, child: Layer | HttpStream, event: events.Event) -> CommandGenerator[None]:
        # no generator itself: most events, and they are many, go on without another one around theirs
        if isinstance(event, events.DataReceived):
            # of a server's stack of layers the last speaks HTTP, as in `HttpLayer._handle_event`
            speaker = child.context.layers[-1]
            if isinstance(speaker, Http1Connection) and len(speaker.buf) + len(event.data) > MOST_HEAD:
                return self._bounded(child, speaker, event)
        elif isinstance(event, ResponseProtocolError) and isinstance(child, Http1Server) and child.response is None:
            stream = self.streams.get(event.stream_id)
            if stream is not None and (answer := self.answers.pop(stream.flow, None)) is not None:
                return self._answered(child, event.stream_id, answer)
        return super().event_to_child(child, event)

    def _answered(self, client: Http1Server, stream_id: int, answer: Response) -> CommandGenerator[None]:
        content = answer.raw_content or b""
        yield from super().event_to_child(client, ResponseHeaders(stream_id, answer, end_stream=not content))
        if content:
            yield from super().event_to_child(client, ResponseData(stream_id, content))
        yield from super().event_to_child(client, ResponseEndOfMessage(stream_id))

    def _bounded(self, child: Layer, speaker: Http1Connection, event: events.Event) -> CommandGenerator[None]:
        """End a connection whose other side goes on without an end."""
        yield from super().event_to_child(child, event)
        is_head = speaker.state == speaker.read_headers
        # what waits for the answer to the request before is another matter: see `proxy/bounds.py`
        if len(speaker.buf) <= MOST_HEAD or not (is_head or speaker.state == speaker.read_body):
            return
        message = f"{'a head' if is_head else 'the extension or trailer of a chunk'} of more than {MOST_HEAD} bytes"
        yield commands.Log(f"gatepass: {human.format_address(speaker.conn.peername)}: {message}", logging.WARNING)
        speaker.buf.maybe_extract_at_most(len(speaker.buf))
        speaker.state = speaker.done
        code = ErrorCode.GENERIC_SERVER_ERROR
        if isinstance(speaker, Http1Server):
            code = ErrorCode.GENERIC_CLIENT_ERROR
            if speaker.response is None:
                problem = catalogue.HEAD_TOO_LARGE() if is_head else catalogue.CHUNK_TOO_LARGE()
                response = wire.written(answers.refusal(problem, "GET"))
                response.headers["Connection"] = "close"
                yield commands.SendData(speaker.conn, http1.assemble_response(response))
        yield commands.CloseConnection(speaker.conn)
        if speaker.stream_id in self.streams:
            error = speaker.ReceiveProtocolError(speaker.stream_id, message, code)
            yield from self.event_to_child(self.streams[speaker.stream_id], error)


class _Stream(HttpStream):
    """A request that ends once a hook has answered it; what still comes of its body is dropped.

    mitmproxy would hold all of a body before it looks at the answer.
    """

    def __init__(self, context: Context, stream_id: int, hosts: Hosts, eager: Eager) -> None:
        super().__init__(context, stream_id)
        self._hosts = hosts
        self._eager = eager

    def state_wait_for_request_headers(self, event: RequestHeaders) -> CommandGenerator[None]:
        self._hosts[event.request] = event.request.host_header or ""
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_consume_request_body and self.flow.response is not None:
            yield from self.state_consume_request_body(RequestEndOfMessage(self.stream_id))

    def state_stream_request_body(
        self, event: RequestData | RequestTrailers | RequestEndOfMessage
    ) -> CommandGenerator[None]:
        """Pass on what comes; what holds a placeholder comes to no end, so that no server takes it for whole."""
        # no generator itself, as above
        watch = self.flow.request.stream
        if isinstance(event, RequestData) and isinstance(watch, Watch) and watch.finds(event.data):
            return self._broken_off()
        goes_on: CommandGenerator[None] = super().state_stream_request_body(event)
        return goes_on

    def _broken_off(self) -> CommandGenerator[None]:
        message = "its body holds a placeholder"
        error = RequestProtocolError(self.stream_id, message, ErrorCode.GENERIC_CLIENT_ERROR)
        yield SendHttp(error, self.context.server)
        yield from self.handle_protocol_error(ResponseProtocolError(self.stream_id, message, _BROKEN))
        self.client_state = self.state_errored

    def state_stream_response_body(
        self, event: ResponseData | ResponseTrailers | ResponseEndOfMessage
    ) -> CommandGenerator[None]:
        """Pass on what comes; a body that is wrong at its end has none, so that nobody takes it for whole."""
        response = self.flow.response
        if isinstance(event, ResponseEndOfMessage) and response is not None and isinstance(response.stream, Check):
            fault = response.stream.fault()
            if fault is not None:
                message = f"{self.flow.request.host}: {fault}"
                yield from self.handle_protocol_error(ResponseProtocolError(self.stream_id, message, _BROKEN))
                return
        yield from super().state_stream_response_body(event)

    def handle_connect_regular(self) -> CommandGenerator[None]:
        """Connect to the server before the answer, where `eager` says so.

        mitmproxy does so for all connections or for none (`connection_strategy`).
        """
        if facts.is_own_name(self.flow.request.host):
            # answered here, and dialled with no strategy
            self.child_layer = NextLayer(self.context)
            yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]  # mitmproxy's has no types
            return
        if self.flow.response is not None or not self._eager.opens(self.flow):
            yield from super().handle_connect_regular()  # type: ignore[no-untyped-call]  # the same
            return
        error: str | None = None
        for server in self._eager.attempts(self.flow):
            self.context.server = self.flow.server_conn = server
            error = yield commands.OpenConnection(server)
            if not error:
                break
        else:
            self.flow.response = self._eager.refusal(self.flow, error)
        # asked at once: neither side may have anything to say for long, and it is a tunnel all the same
        self.child_layer = NextLayer(self.context, ask_on_start=True)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]  # the same

    def handle_connect_upstream(self) -> CommandGenerator[None]:
        """The same through an upstream proxy, which is asked for the way, and may refuse it."""
        if self.flow.response is not None or not self._eager.opens(self.flow):
            yield from super().handle_connect_upstream()  # type: ignore[no-untyped-call]  # the same
            return
        way = _Way(self.context)
        early: list[events.Event] = []
        self._handle_event = partial(self._opening, way, early)
        yield commands.RequestWakeup(eager.SECONDS)
        yield from self._opening(way, early, events.Start())

    def _opening(self, way: _Way, early: list[events.Event], event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, HttpEvent):  # its client does not wait for the answer
            early.append(event)
            return
        yield from way.handle_event(event)
        if not way.is_settled:
            return
        self.child_layer = way
        if not way.is_open:
            self._handle_event = self.state_errored
            self.flow.response = self._eager.refusal(self.flow, way.error)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]  # the same
        for waiting in early:
            if isinstance(waiting, RequestData | RequestEndOfMessage):
                yield from self._handle_event(waiting)

    def state_done(self, _: events.Event) -> CommandGenerator[None]:
        yield from ()

    def flow_done(self) -> CommandGenerator[None]:
        yield from super().flow_done()
        if isinstance(self.child_layer, WebsocketLayer):
            self.child_layer.__class__ = _Websocket


class _Way(Layer):
    """A way through an upstream proxy. Started it is opened, and once it is open, what goes through it is."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        stack = HttpUpstreamProxy.make(context, send_connect=True)
        last = stack[-1]
        assert isinstance(last, HttpUpstreamProxy)
        self._outer, self._last = stack[0], last
        self._opener = self._last.child_layer = _Opener(context)
        self.is_settled = self.is_open = False
        self.error: str | None = None
        """Why it is not open, in mitmproxy's words; None when time has run out."""

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Wakeup):
            if not self.is_settled:
                self.is_settled = True
                yield commands.CloseConnection(self._last.tunnel_connection)
        elif self.is_open and isinstance(event, events.Start):
            # asked at once: neither side may have anything to say for long, and it is a tunnel all the same
            within = self._last.child_layer = NextLayer(self.context, ask_on_start=True)
            for each in (event, *self._opener.early):
                yield from within.handle_event(each)
        else:
            yield from self._outer.handle_event(event)
            if self._opener.is_done and not self.is_settled:
                self.is_settled, self.error = True, self._opener.error
                self.is_open = self.error is None


class _Opener(Layer):
    """What stands at the end of a way until it is open."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.is_done = False
        self.error: str | None = None
        self.early: list[events.Event] = []
        """What came along with the answer of the upstream proxy: servers may speak first."""

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            self.error = yield commands.OpenConnection(self.context.server)
            self.is_done = True
        else:
            self.early.append(event)


class _Websocket(WebsocketLayer):
    """A WebSocket in which no message grows without end."""

    def relay_messages(self, event: events.Event) -> CommandGenerator[None]:
        yield from super().relay_messages(event)
        for sender in (self.client_ws, self.server_ws):
            if sum(OVERHEAD + len(part) for part in sender.frame_buf) > MOST_MESSAGE:
                sender.frame_buf = [b""]
                reason = f"a message of more than {MOST_MESSAGE} bytes"
                yield commands.Log(f"gatepass: {self.flow.request.host}: {reason}", logging.WARNING)
                # as if its sender had ended it: both sides are told
                sender._events.append(CloseConnection(_TOO_BIG, reason))
                yield from super().relay_messages(events.DataReceived(sender.conn, b""))
