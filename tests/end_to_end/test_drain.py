"""`gatepass serve` at SIGTERM: it takes nothing new, finishes what has begun, and ends; and where it listens."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from harness import DEADLINE, GATEPASS, Client, background, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn
    from harness import Reply, Running, Shell

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

BEGUN = "ends, and lets finish what has begun"


@contextmanager
def serving(shell: Shell, *options: str) -> Iterator[tuple[Running, Client]]:
    """`gatepass serve` with a folder for temporary files of its own, empty at the end; and a client of it."""
    place = shell.home / "tmp"
    place.mkdir(exist_ok=True)
    command: list[str | Path] = [GATEPASS, "serve", "--rules", shell.rules, "--no-password", *options]
    if "--listen" not in options:
        command.append("--listen=127.0.0.1:0")
    with background(command, {**shell.env, "TMPDIR": str(place)}, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))
        yield running, Client(shell.home, variables)
    assert "Traceback" not in running.output
    assert list(place.iterdir()) == []


def port(client: Client) -> int:
    """Where the proxy listens."""
    found = urlsplit(client.variables["HTTPS_PROXY"]).port
    assert found
    return found


def tunnel(client: Client, github: StandIn) -> socket.socket:
    """A tunnel to the API, which no rule decrypts."""
    connection = socket.create_connection(("127.0.0.1", port(client)), DEADLINE)
    host = urlsplit(github.api).netloc
    connection.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.sendall(b"\x16")  # the begin of a TLS record, so that there is a connection to the server
    time.sleep(0.3)
    return connection


class Fetching(threading.Thread):
    """A slow download that has begun."""

    def __init__(self, client: Client, url: str, rate: str) -> None:
        super().__init__(daemon=True)
        self.client, self.url, self.rate = client, url, rate
        self.replies: list[Reply] = []
        self.start()
        body = client.home / "curl.body"
        eventually(lambda: body.exists() and body.stat().st_size > 0)

    def run(self) -> None:
        self.replies.append(self.client.fetch(self.url, "-L", "--limit-rate", self.rate))


def test_a_download_is_finished(shell: Shell, publish: Publish, github: StandIn) -> None:
    """At SIGTERM no connection is taken any more, a download that has begun is finished, and then it ends with 0."""
    url = publish(b"x" * 6_000_000)
    github.stream_assets = True
    with serving(shell) as (running, client):
        slow = Fetching(client, url, "2M")
        running.process.send_signal(signal.SIGTERM)
        running.wait_for(BEGUN)
        eventually(lambda: refused(port(client)))
        assert running.process.poll() is None
        assert not slow.replies
        slow.join(DEADLINE)
        assert (slow.replies[0].status, len(slow.replies[0].body)) == (200, 6_000_000)
        assert running.process.wait(5) == 0


def refused(number: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", number), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_lasts_too_long_is_cut(shell: Shell, github: StandIn) -> None:
    """What has not ended after `--drain` is cut: a tunnel, say; it ends with 0 all the same."""
    with serving(shell, "--drain", "1.5") as (running, client), tunnel(client, github):
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        assert 1.4 < time.monotonic() - begun < 6
    assert "connections cut after 1.5 s: 1" in running.output


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once(shell: Shell, github: StandIn, name: str) -> None:
    """A second signal waits for nothing."""
    with serving(shell) as (running, client), tunnel(client, github):
        running.process.send_signal(signal.SIGTERM)
        running.wait_for(BEGUN)
        time.sleep(0.5)
        assert running.process.poll() is None
        begun = time.monotonic()
        running.process.send_signal(signal.Signals[name])
        assert running.process.wait(DEADLINE) == 0
        assert time.monotonic() - begun < 5


def test_a_tunnel_is_finished(shell: Shell, github: StandIn) -> None:
    """A tunnel goes on, and when its client closes it the proxy ends."""
    with serving(shell) as (running, client):
        connection = tunnel(client, github)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for(BEGUN)
        time.sleep(0.5)
        assert running.process.poll() is None
        connection.close()
        assert running.process.wait(5) == 0


def test_idle_connections_are_closed_at_once(shell: Shell) -> None:
    """A connection kept alive on which nothing goes on is closed, and keeps nobody waiting."""
    with serving(shell) as (running, client), socket.create_connection(("127.0.0.1", port(client)), 10) as kept:
        kept.sendall(b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
        assert b"502" in kept.recv(10_000)
        time.sleep(0.2)
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        while kept.recv(10_000):
            pass
        assert time.monotonic() - begun < 1.5
        assert running.process.wait(5) == 0
        assert time.monotonic() - begun < 3


def test_idle_decrypted_connections(shell: Shell, wheel_url: str) -> None:
    """So is one that is decrypted, once it has had an answer."""
    with serving(shell) as (running, client):
        trust = ssl.create_default_context(cafile=client.variables["SSL_CERT_FILE"])
        kept = HTTPSConnection("127.0.0.1", port(client), timeout=10, context=trust)
        url = urlsplit(wheel_url)
        assert url.hostname
        kept.set_tunnel(url.hostname, url.port)
        for _ in range(2):
            kept.request("GET", url.path)
            assert kept.getresponse().read() is not None
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(5) == 0
        assert time.monotonic() - begun < 2
        kept.close()


def test_a_delay_for_load_balancers(shell: Shell, wheel_url: str) -> None:
    """With `--drain-delay` connections are taken on for so long, and answers say that there will be no more."""
    with serving(shell, "--drain-delay", "2") as (running, client):
        assert "connection" not in client.fetch(wheel_url).headers
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.wait_for(BEGUN)
        reply = client.fetch(wheel_url)
        assert (reply.status, reply.headers["connection"]) == (302, "close")
        assert running.process.wait(DEADLINE) == 0
        assert time.monotonic() - begun > 1.9


def drain_under_load(shell: Shell, url: str, *, clients: int, seconds: float) -> None:
    """End while so many clients ask without a pause: each that was let in gets its answer."""
    replies: list[tuple[int, str]] = []
    over = threading.Event()
    with serving(shell) as (running, client):

        def ask(home: Path) -> None:
            home.mkdir()
            one = Client(home, client.variables)
            while not over.is_set():
                result = one.curl("-o", "body", "-w", "%{http_code}", url)
                replies.append((result.code, result.output))

        threads = [threading.Thread(target=ask, args=(shell.home / f"c{n}",), daemon=True) for n in range(clients)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(replies) > clients)
        time.sleep(seconds)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        over.set()
        for thread in threads:
            thread.join(DEADLINE)
    served = [reply for reply in replies if reply == (0, "302")]
    # 7: curl could not connect, for nobody listens any more
    others = [reply for reply in replies if reply != (0, "302") and reply[0] != 7]
    assert others == [], running.output[-6000:]
    assert len(served) > clients


def test_under_load(shell: Shell, wheel_url: str) -> None:
    """SIGTERM under load loses no request that had begun."""
    drain_under_load(shell, wheel_url, clients=6, seconds=0.5)


@pytest.mark.slow
def test_under_load_again_and_again(shell: Shell, wheel_url: str) -> None:
    """Nor with more clients, whenever it comes."""
    for number in range(10):
        one = replace(shell, home=shell.home / f"shell{number}")
        one.home.mkdir()
        drain_under_load(one, wheel_url, clients=16, seconds=number / 20)


# -------------------------------------------------------------------- listeners


def test_several_listeners(shell: Shell, wheel_url: str) -> None:
    """`--listen` may be given several times: each address is the same proxy, and the first is what clients are told."""
    numbers = [free_port(), free_port()]
    options = [option for number in numbers for option in ("--listen", f"127.0.0.1:{number}")]
    with serving(shell, *options) as (_, client):
        assert port(client) == numbers[0]
        for number in numbers:
            assert client.fetch(wheel_url, "-x", f"http://127.0.0.1:{number}").status == 302


def test_one_address_twice(shell: Shell) -> None:
    """The same address twice is a mistake, and told before anything starts."""
    number = free_port()
    done = shell.gatepass("serve", *(["--listen", f"127.0.0.1:{number}"] * 2))
    assert done.returncode == 1
    assert f"--listen: expected different addresses, got `127.0.0.1:{number}` twice" in done.stderr.decode()


@pytest.mark.parametrize(
    "options", [("--no-password",), ("--", "--set", "proxyauth="), ("--", "--set", "proxyauth=any")]
)
def test_beyond_loopback_without_a_password(shell: Shell, options: tuple[str, ...]) -> None:
    """Where other machines reach it, `serve` without a password does not start, and says what to write."""
    for listen in (("--listen=0.0.0.0:0",), ("--listen=127.0.0.1:0", "--listen=0.0.0.0:0")):
        done = shell.gatepass("serve", "--rules", shell.rules, *listen, *options)
        assert done.returncode == 1
        said = done.stderr.decode()
        assert "error: --listen: expected a password, or `clients` in the rules, where other machines reach" in said
        assert "got neither for `0.0.0.0`" in said
        assert "hint: " in said
        assert "Traceback" not in said


def test_beyond_loopback_with_a_password(shell: Shell, wheel_url: str) -> None:
    """With one, which each start makes, it does."""
    command: list[str | Path] = [GATEPASS, "serve", "--rules", shell.rules, "--listen=0.0.0.0:0"]
    with background(command, shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))
        assert Client(shell.home, variables).fetch(wheel_url).status == 302
