"""What became of each request and each tunnel, told at its end: an event is made of what was noted of it.

Decides nothing, and changes nothing but how bodies that pass through are counted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mitmproxy.proxy.mode_specs import RegularMode, UpstreamMode

from gatepass.assets.check import Check
from gatepass.proxy import facts, modes
from gatepass.telemetry import event
from gatepass.telemetry.event import Event

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow, Message
    from mitmproxy.tcp import TCPFlow

    from gatepass.egress.identity import Identity
    from gatepass.proxy.layers import Answers
    from gatepass.proxy.record import Note, Record
    from gatepass.proxy.tunnels import Tunnel
    from gatepass.telemetry.event import Action

# Most are one of these, of which nothing need be looked at.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_RULE = "no rule names the host"


class _Counter:
    """Lets a body pass, and counts it."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        return chunk


class _Bodies:
    """The bodies of a request and of its answer, as far as they pass through without being held."""

    __slots__ = ("request", "response")

    def __init__(self) -> None:
        self.request = _Counter()
        self.response = _Counter()


class Journal:
    """An addon that tells the ledger; the last of all that settle, so that it sees what was settled."""

    def __init__(self, record: Record, answers: Answers) -> None:
        self._record = record
        self._answers = answers
        self._ledger = record.ledger
        self._requests: WeakKeyDictionary[HTTPFlow, _Bodies] = WeakKeyDictionary()
        self._streams: WeakKeyDictionary[TCPFlow, _Bodies] = WeakKeyDictionary()
        self.tunnels: dict[Client, set[Tunnel]] = {}
        """Those that are open, by the client's connection."""

    # ------------------------------------------------------------ connections

    def client_connected(self, client: Client) -> None:  # noqa: ARG002  # as mitmproxy calls it
        self._ledger.counts.connections += 1

    def client_disconnected(self, client: Client) -> None:
        self._ledger.counts.connections -= 1
        for tunnel in tuple(self.tunnels.get(client, ())):
            self.ended(tunnel)

    # --------------------------------------------------------------- requests

    def requestheaders(self, flow: HTTPFlow) -> None:
        if self._ledger.is_kept:
            bodies = self._requests[flow] = _Bodies()
            _count(flow.request, bodies.request)

    def responseheaders(self, flow: HTTPFlow) -> None:
        bodies = self._requests.get(flow)
        if bodies is not None and flow.response is not None:
            _count(flow.response, bodies.response)

    def response(self, flow: HTTPFlow) -> None:
        if flow.websocket is None:
            self._tell(flow)

    def websocket_message(self, flow: HTTPFlow) -> None:
        bodies = self._requests.get(flow)
        if bodies is not None and flow.websocket is not None:
            message = flow.websocket.messages[-1]
            (bodies.request if message.from_client else bodies.response)(message.content)

    def websocket_end(self, flow: HTTPFlow) -> None:
        self._tell(flow)

    def error(self, flow: HTTPFlow) -> None:
        self._tell(flow)

    def _tell(self, flow: HTTPFlow, ended: str | None = None) -> None:
        bodies = self._requests.pop(flow, None)
        if bodies is None:
            return
        note = self._record.note_of(flow)
        error = ended if flow.error is None else flow.error.msg
        server = facts.server(flow)
        # where the upstream failed the flow has no answer, and yet its client gets one
        response = flow.response or self._answers.get(flow)
        self._add(
            flow.client_conn,
            self._who(flow, flow.client_conn),
            note,
            note.action or _by_status(flow) or "pass",
            flow.request.timestamp_start,
            error=error,
            method=flow.request.method if flow.request.method in _METHODS else event.text(flow.request.method),
            status=None if response is None else response.status_code,
            host=event.text(server.name),
            port=server.port,
            path=event.path(flow.request.path),
            sent=bodies.request.size or len(flow.request.raw_content or b""),
            received=bodies.response.size or len((response and response.raw_content) or b""),
        )

    # ---------------------------------------------------------------- CONNECT

    def http_connected(self, flow: HTTPFlow) -> None:
        """What is settled of a CONNECT is so for the tunnel, too."""
        note = self._record.notes.get(flow)
        if note is not None:
            self._record.notes[flow.client_conn] = note
        if (who := self._who(flow, flow.client_conn)) is not None:
            self._record.who.setdefault(flow.client_conn, who)

    def http_connect_error(self, flow: HTTPFlow) -> None:
        """It was refused, or led nowhere: then there is no tunnel to tell it."""
        if not self._ledger.is_kept or flow.response is None:
            return
        note = self._record.note_of(flow)
        status = flow.response.status_code
        action: Action = note.action or ("refuse" if status < 500 else "tunnel")
        self._add(
            flow.client_conn,
            self._who(flow, flow.client_conn),
            note,
            action,
            flow.request.timestamp_start,
            error=None if note.problem else flow.response.reason,
            method="CONNECT",
            status=status,
            host=event.text(flow.request.host),
            port=flow.request.port,
            received=len(flow.response.raw_content or b""),
        )

    # ---------------------------------------------------------------- tunnels

    def opened(self, tunnel: Tunnel) -> None:
        self.tunnels.setdefault(tunnel.context.client, set()).add(tunnel)
        self._ledger.counts.tunnels += 1

    def ended(self, tunnel: Tunnel) -> None:
        client = tunnel.context.client
        open_ones = self.tunnels.get(client, set())
        if tunnel not in open_ones:
            return
        open_ones.discard(tunnel)
        if not open_ones:
            del self.tunnels[client]
        self._ledger.counts.tunnels -= 1
        server = tunnel.context.server
        self._tell_tunnel(client, server.address, tunnel.began, tunnel.sent, tunnel.received, server.error)

    def tcp_message(self, flow: TCPFlow) -> None:
        bodies = self._streams.setdefault(flow, _Bodies())
        message = flow.messages[-1]
        (bodies.request if message.from_client else bodies.response)(message.content)

    def tcp_end(self, flow: TCPFlow) -> None:
        """What mitmproxy shows as it passes is a tunnel, too."""
        self._tell_flow(flow)

    def tcp_error(self, flow: TCPFlow) -> None:
        self._tell_flow(flow)

    def _tell_flow(self, flow: TCPFlow) -> None:
        bodies = self._streams.pop(flow, None) or _Bodies()
        sent, received = bodies.request.size, bodies.response.size
        error = None if flow.error is None else flow.error.msg
        server = flow.server_conn.address
        self._tell_tunnel(flow.client_conn, server, flow.timestamp_created, sent, received, error)

    def _tell_tunnel(
        self, client: Client, server: tuple[str, int] | None, began: float, sent: int, received: int, error: str | None
    ) -> None:
        if not self._ledger.is_kept:
            return
        note = self._record.note_of(client)
        host, port = (None, None) if server is None else (facts.destination(client, server).name, server[1])
        by_connect = isinstance(client.proxy_mode, RegularMode | UpstreamMode)
        self._add(
            client,
            self._record.who.get(client),
            note,
            note.action or "tunnel",
            began,
            error=error,
            method="CONNECT" if by_connect else None,
            status=200 if by_connect else None,
            host=event.text(host) if host else None,
            port=port,
            sent=sent,
            received=received,
            reason=note.reason or _NO_RULE,
        )

    def done(self) -> None:
        """What is under way when the proxy ends is told as far as it got."""
        for tunnel in [each for open_ones in self.tunnels.values() for each in open_ones]:
            self.ended(tunnel)
        for flow in list(self._requests):
            self._tell(flow, "the proxy ended")

    # ------------------------------------------------------------------- both

    def _who(self, flow: HTTPFlow, client: Client) -> Identity | None:
        return self._record.who.get(flow) or self._record.who.get(client)

    def _add(
        self,
        client: Client,
        who: Identity | None,
        note: Note,
        action: Action,
        began: float,
        *,
        error: str | None,
        method: str | None,
        status: int | None,
        host: str | None,
        port: int | None,
        path: str | None = None,
        sent: int = 0,
        received: int = 0,
        reason: str | None = None,
    ) -> None:
        told = note.reason or error or reason
        user, subject = (None, None) if who is None else (who.user or who.client, who.subject)
        self._ledger.add(
            Event(
                action=action,
                failed=action == "refuse" or error is not None or (note.problem is not None and note.is_answered),
                began=began,
                seconds=max(0.0, time.time() - began),
                source=event.address(str(client.peername[0]) if who is None else who.address),
                client=None if who is None else who.client,
                user=event.text(user) if user else None,
                subject=event.text(subject) if subject else None,
                method=method,
                status=status,
                host=host,
                port=port,
                path=path,
                sent=sent,
                received=received,
                reason=event.text(told) if told else None,
                rule=note.rule,
                credential=note.credential,
                problem=note.problem,
                api_calls=note.asked.calls if note.asked else 0,
            )
        )


def _count(message: Message, counter: _Counter) -> None:
    if message.stream is True:
        message.stream = counter
    elif isinstance(message.stream, Check):
        message.stream.counted(counter)


def _by_status(flow: HTTPFlow) -> Action | None:
    """Who has no password is refused by mitmproxy, which notes nothing here."""
    status = None if flow.response is None else flow.response.status_code
    is_asked = status == 407 or (status == 401 and modes.is_index(flow.client_conn.proxy_mode))
    return "refuse" if is_asked else None
