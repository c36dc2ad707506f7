"""A company's proxy that knows the way to few names, and to no other place: where github.com is the stand-in."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Road:
    """Answers CONNECT; `ports` tells on which port of loopback each name is found, and may be changed at any time."""

    ports: dict[str, int] = field(default_factory=dict)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, *_ = head.split(" ", 2)
            port = self.ports.get(target.removesuffix(":443"))
            if method == "CONNECT" and port is not None:
                there, back = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HTTP/1.1 200 here you go\r\n\r\n")
                await asyncio.gather(_carry(reader, back), _carry(there, writer))
            else:
                writer.write(b"HTTP/1.1 502 no such place\r\ncontent-length: 0\r\n\r\n")
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:  # also where the road is closed while somebody is on it
        writer.close()


@contextmanager
def road() -> Iterator[Road]:
    """A road that is open for as long as the block."""
    way, opened, closing = Road(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(way.answer, "127.0.0.1", 0)
        way.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        opened.set()
        await closing.wait()
        server.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=asyncio.run, args=(serve(),), kwargs={"loop_factory": lambda: loop}, daemon=True)
    thread.start()
    opened.wait()
    try:
        yield way
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()
