"""Networks of a test's own: a thread whose sockets and programs see a loopback device alone, with its own names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from functools import wraps
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy import dns
from mitmproxy.net.dns import response_codes, types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def in_a_network_of_its_own[T: Callable[..., None]](test: T) -> T:
    """Run a test in such a thread, with mounts that are its own, too; skip it where none can be made."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        for program in ("ip", "nft"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        outcome: list[BaseException | str] = []

        def inside() -> None:
            try:
                os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
            except OSError as error:
                outcome.append(f"no network namespace can be made: {error.strerror}")
                return
            try:
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                test(**fixtures)
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        for said in outcome:
            if isinstance(said, str):
                pytest.skip(said)
            raise said

    return run  # type: ignore[return-value]


def add_address(address: str) -> None:
    """Let this network have that address: who listens there is anybody in the world."""
    subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


class Names:
    """A DNS server: `answers` are the addresses of each name, those of the first question, of the second, and so on.

    The last stays. A name without any answer, not even a denial, is `silent`.
    """

    def __init__(self, answers: dict[str, list[list[str]]], silent: set[str]) -> None:
        self.answers = answers
        self.silent = silent
        self.asked: list[str] = []

    def reply(self, packet: bytes) -> bytes | None:
        question = dns.DNSMessage.unpack(packet)
        (asked,) = question.questions
        if asked.name in self.silent:
            return None
        if asked.name not in self.answers:
            return question.fail(response_codes.NXDOMAIN).packed
        if asked.type != types.A:
            return question.succeed([]).packed
        self.asked.append(asked.name)
        rounds = self.answers[asked.name]
        addresses = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        records = [dns.ResourceRecord.A(asked.name, IPv4Address(address), ttl=0) for address in addresses]
        return question.succeed(records).packed


@contextmanager
def names(folder: Path, answers: dict[str, list[list[str]]], *silent: str) -> Iterator[Names]:
    """Let this network's names be these, for as long as the block; to be called in a network of its own."""
    server = Names(answers, set(silent))
    conf = folder / "resolv.conf"
    conf.write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:1\n")
    subprocess.run(["mount", "--bind", str(conf), "/etc/resolv.conf"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.53", 53))
        listener.settimeout(0.1)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    packet, client = listener.recvfrom(4096)
                except TimeoutError:
                    continue
                if reply := server.reply(packet):
                    listener.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stopped.set()
            thread.join()
            subprocess.run(["umount", "/etc/resolv.conf"], check=True)
