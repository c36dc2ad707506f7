"""A real redis-server, or valkey-server: on a port and in a folder of its own; killed, frozen, started again."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import DEADLINE, free_port, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def new_key() -> str:
    """A key, as `openssl rand -base64 32` makes one."""
    return b64encode(os.urandom(32)).decode()


@dataclass
class RedisServer:
    """A server, and how it is spoken to without the library under test."""

    folder: Path
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        program = shutil.which("valkey-server") or need("redis-server")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--requirepass", self.password, *self.options, *options]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                if self.ask("PING") == b"PONG":
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(DEADLINE)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def talking(self) -> Iterator[Talk]:
        """A connection that has shown the password."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            talk = Talk(connection)
            talk("AUTH", self.password)
            try:
                yield talk
            finally:
                talk.close()

    def ask(self, *words: str | bytes) -> object:
        """What it answers to one command."""
        with self.talking() as talk:
            return talk(*words)

    def names(self) -> list[bytes]:
        found = self.ask("KEYS", "*")
        assert isinstance(found, list)
        return sorted(found)

    def everything(self) -> bytes:
        """All that it holds, names and values, as one text."""
        with self.talking() as talk:
            parts: list[object] = []
            found = talk("KEYS", "*")
            assert isinstance(found, list)
            for key in found:
                is_hash = talk("TYPE", key) == b"hash"
                parts += [key, talk("HGETALL", key) if is_hash else talk("GET", key)]
        return repr(parts).encode()


class Talk:
    """Redis's protocol (RESP2), as far as tests need it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def __call__(self, *words: str | bytes) -> object:
        data = [word.encode() if isinstance(word, str) else word for word in words]
        self._connection.sendall(
            b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in data)
        )
        return self.read()

    def read(self) -> object:
        """The next answer; an error is one that begins with `-`."""
        line = self._file.readline().rstrip(b"\r\n")
        if not line:
            raise ConnectionError("the server has gone")
        match line[:1]:
            case b"$":
                size = int(line[1:])
                return None if size < 0 else self._file.read(size + 2)[:-2]
            case b"*":
                return [self.read() for _ in range(int(line[1:]))]
            case b":":
                return int(line[1:])
            case b"+":
                return line[1:]
        return line


@contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server for as long as the block."""
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
