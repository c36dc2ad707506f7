"""What a request's first lines may say, whatever it asks for: written to the real proxy byte by byte."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import Proxy, eventually, listening, mitmdump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import StandIn


def said(port: int, text: bytes, seconds: float = 20) -> bytes:
    """What is answered to these bytes, until the connection ends or no more comes."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(text)
        answer = b""
        while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
            answer += part
        return answer


def port_of(proxy: Proxy) -> int:
    port = urlsplit(proxy.url).port
    assert port
    return port


OWN_NAMES = [
    "0.0.0.0",
    "0",
    "127.1",
    "127.0.0.1",
    "127.0.0.2",
    "2130706433",
    "0x7f.1",
    "[::ffff:127.0.0.1]",
    "localhost",
]


@pytest.mark.parametrize("name", [*OWN_NAMES, socket.gethostname()])
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_the_proxy_itself(proxy: Proxy, name: str, method: str) -> None:
    """A request for the proxy's own listener is refused, by whatever name; it would come back for ever."""
    port = port_of(proxy)
    authority = f"{name}:{port}"
    target = authority if method == "CONNECT" else f"http://{authority}/"
    answer = said(port, f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 gatepass: that is the proxy itself\r\n"), answer


def test_another_port_of_this_machine(proxy: Proxy) -> None:
    """Other servers of the machine are no listener of the proxy's."""
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, _):
        answer = said(port_of(proxy), f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("body", ["Content-Length: 999", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("host", ["{web}", "tunnelled.example:443"])
def test_a_connect_with_a_body(proxy: Proxy, github: StandIn, body: str, host: str) -> None:
    """Where a body may begin a tunnel there is none: what comes first would be taken for the one or for the other."""
    authority = host.format(web=github.web)
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{body}\r\n\r\n".encode()
    answer = said(port_of(proxy), head + b"\x16\x03\x01\x00\x05hello")
    assert answer.startswith(b"HTTP/1.1 400 gatepass: malformed request\r\n"), answer
    assert "Traceback" not in proxy.log


@pytest.mark.parametrize("name", ["a..b", "github.com..", ".", f"{'a' * 64}.example", "b\u00fc" * 600])
def test_a_name_that_is_none(proxy: Proxy, name: str) -> None:
    """What no resolver could look up, and TLS not name, is refused before anybody tries."""
    answer = said(port_of(proxy), f"GET https://{name}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert "Traceback" not in proxy.log


def test_what_is_for_the_proxy_stays_here(proxy: Proxy) -> None:
    """On plain http the client's password for the proxy, and what it says of whom it asks for, go to no server."""
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        fields = "Proxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 1.2.3.4\r\nProxy-Connection: close\r\n"
        fields += "X-A: b\rX-B: c\r\n"
        said(port_of(proxy), f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    text = b"".join(heard)
    assert b"X-A: b X-B: c\r\n" in text
    for kept in (b"Proxy-", b"Forwarded", b"eDp5"):
        assert kept not in text


@pytest.mark.parametrize("line", ["GET http://{host}/a\rX: y HTTP/1.1", "GET http://{host}/a\0b HTTP/1.1"])
def test_a_control_character_in_the_first_line(proxy: Proxy, line: str) -> None:
    """It is refused, and nothing goes on."""
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        answer = said(port_of(proxy), f"{line.format(host=f'127.0.0.1:{port}')}\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert heard == []


@pytest.mark.parametrize("byte", [b"\x9b", b"\xff", b"\x85"])
def test_a_method_that_is_no_word(proxy: Proxy, byte: bytes) -> None:
    """A method with bytes that are no ASCII goes nowhere, and no such byte is shown: some steer terminals."""
    before = len(proxy.running.lines)
    answer = said(port_of(proxy), b"G%sT http://127.0.0.1:1/method HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n" % byte)
    assert answer.startswith(b"HTTP/1.1 400 gatepass: malformed request")
    # of a byte that is no UTF-8 the harness would end
    eventually(lambda: "/method" in "".join(proxy.running.lines[before:]))
    assert "G T http://127.0.0.1:1/method" in "".join(proxy.running.lines[before:])


@pytest.mark.parametrize("host", ["0", "256.256.256.256", "a" * 300, "-", "xn--", "\u00e9"])
def test_a_server_that_cannot_be(proxy: Proxy, host: str) -> None:
    """A request for a host that no server has is answered, and no traceback comes of it."""
    answer = said(port_of(proxy), f"GET https://{host}/x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert "Traceback" not in proxy.log


@pytest.fixture(scope="module")
def reverse(_standin: StandIn, rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a reverse proxy to the stand-in's web host, that serves plain http."""
    mode = f"--mode=reverse:https://{_standin.web}"
    folder = tmp_path_factory.mktemp("reverse")
    with mitmdump(folder, rules, _standin.ca_file, mode, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield port_of(proxy)


@pytest.mark.parametrize(
    "host", ["evil.example.com", "evil.example.com:80", "127.0.0.1.evil.example.com", "localhost.evil"]
)
def test_a_rebound_name(reverse: int, github: StandIn, host: str) -> None:
    """A reverse proxy serves no page of another name: its scripts would be served with a credential."""
    answer = said(reverse, f"GET /injected/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421 "), answer
    assert github.calls() == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1", "127.0.0.1"])
def test_a_name_of_its_own(reverse: int, github: StandIn, host: str) -> None:
    """By its address, and by its upstream's name, it serves."""
    said(reverse, f"GET /injected/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    (call,) = github.calls("web")
    assert DEFAULT_TOKEN in str(call.headers)
