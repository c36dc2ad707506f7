"""A project that has a package of a private index, and what is between the two."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gatepass.shell import environment
from harness import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import Repository
    from harness import Proxy, Result

RULES = """\
version: 1
forges: [{web: "%(web)s", api: "%(api)s"}]
credentials: {mine: {from: [env:STANDIN_TOKEN], hosts: ["%(web)s"]}}
rules: [{match: "%(web)s/acme/*/releases/download/*", resolve: github-release, credential: mine}]
indexes:
  acme: {repositories: ["%(web)s/acme/*"], credential: mine}
"""
CLIENTS = """\
clients:
  ci: {password: [env:CI_PROXY_PASSWORD]}
  dev: {password: [env:DEV_PROXY_PASSWORD]}
"""
ROOT = "https://gatepass.internal"
ACME = f"{ROOT}/acme/simple/"


def through(proxy: Proxy, home: Path, known: str = "") -> Client:
    """Clients that go through that proxy, `known` by USER:PASSWORD."""
    url = proxy.url.replace("//", f"//{known}@") if known else proxy.url
    home.mkdir(exist_ok=True)
    return Client(home, environment.for_client(url, proxy.bundle, proxy.bundle, {}))


def project(client: Client, dependencies: str = "", url: str = ACME) -> None:
    (client.home / "pyproject.toml").write_text(
        f"""\
[project]
name = "app"
version = "0"
requires-python = ">=3.12"
dependencies = [{dependencies}]

[[tool.uv.index]]
name = "acme"
url = "{url}"
explicit = true

[tool.uv.sources]
acme-tool = {{ index = "acme" }}
"""
    )


def locked(client: Client) -> str:
    return (client.home / "uv.lock").read_text()


def good(result: Result) -> Result:
    assert result.code == 0, result.output
    return result


def adds(client: Client, tool: Repository, url: str = ACME) -> str:
    """`uv add` takes the newest, and its hash into the lock, which it returns."""
    project(client, url=url)
    good(client.uv("add", "acme-tool"))
    lock = locked(client)
    assert (tool.releases[-1].assets[0].digest or "") in lock
    return lock


@contextmanager
def recording(seen: list[bytes]) -> Iterator[int]:
    """Another proxy, which keeps what it is asked, and tunnels it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=tunnel, args=(connection,), daemon=True).start()

        def tunnel(connection: socket.socket) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            seen.append(head)
            host, _, port = head.split(b" ")[1].decode().rpartition(":")
            with connection, socket.create_connection((host, int(port))) as other:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                threading.Thread(target=pump, args=(other, connection), daemon=True).start()
                pump(connection, other)

        def pump(one: socket.socket, other: socket.socket) -> None:
            with suppress(OSError):
                while data := one.recv(65536):
                    other.sendall(data)
                other.shutdown(socket.SHUT_WR)

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
