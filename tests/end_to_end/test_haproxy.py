"""deploy/haproxy: HAProxy as it stands there, before real replicas; what goes where, and what a restart costs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from harness import ROOT, background, clean_environment, eventually, free_port, listening, need, strays
from replicas import (
    AUTHORIZATION,
    RULES,
    URL,
    WHEEL,
    answers,
    ask,
    connect,
    crowd,
    fleet,
    private_github,
    way_to,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Running
    from replicas import Fleet
    from road import Road

pytestmark = pytest.mark.slow  # each starts several servers

DEPLOY = ROOT / "deploy" / "haproxy"


@pytest.fixture
def world() -> Iterator[StandIn]:
    with private_github() as standin:
        yield standin


@pytest.fixture
def way(world: StandIn) -> Iterator[Road]:
    with way_to(world) as way:
        yield way


@contextmanager
def gatepasses(world: StandIn, way: Road, home: Path, *options: str, count: int = 2) -> Iterator[Fleet]:
    with fleet(home, count, RULES, *options, HTTPS_PROXY=way.url, SSL_CERT_FILE=str(world.ca_file)) as found:
        yield found


@contextmanager
def haproxy(folder: Path, found: Fleet, **variables: str) -> Iterator[tuple[int, Running]]:
    """HAProxy as deploy/ has it, before these replicas, on a free port."""
    text = (DEPLOY / "haproxy.cfg").read_text()
    if os.geteuid() != 0:  # who is nobody else already cannot become so
        text = re.sub(r"^    (user|group|chroot) .*\n", "", text, flags=re.MULTILINE)
    (folder / "haproxy.cfg").write_text(text)
    port = free_port()
    env = clean_environment(GATEPASS_BIND=f"127.0.0.1:{port}", **variables)
    env |= {"GATEPASS_HOSTS": str(DEPLOY / "gatepass.hosts"), "GATEPASS_SUFFIXES": str(DEPLOY / "gatepass.suffixes")}
    env |= {f"GATEPASS_{n}": f"127.0.0.1:{free_port()}" for n in (1, 2, 3)}
    env |= {f"GATEPASS_{n}_ADMIN": f"127.0.0.1:{free_port()}" for n in (1, 2, 3)}
    for number, each in enumerate(found.members, 1):
        env[f"GATEPASS_{number}"] = f"127.0.0.1:{each.port}"
        env[f"GATEPASS_{number}_ADMIN"] = f"127.0.0.1:{each.admin}"
    env |= variables
    with background([need("haproxy"), "-W", "-db", "-f", folder / "haproxy.cfg"], env, folder) as running:
        eventually(lambda: answers(port) or running.process.poll() is not None)
        # at first every server counts as ready; those that are not there are found out
        missing = 3 - len(found.members)
        eventually(lambda: len(re.findall(r"gatepass-\d is DOWN", running.output)) >= missing)
        yield port, running


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """HAProxy finds no fault in it, and warns of nothing."""
    env = clean_environment(GATEPASS_HOSTS=str(DEPLOY / "gatepass.hosts"))
    env["GATEPASS_SUFFIXES"] = str(DEPLOY / "gatepass.suffixes")
    command = [need("haproxy"), "-c", "-f", str(DEPLOY / "haproxy.cfg")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, re.findall(r"\[(?:WARNING|ALERT).*", done.stderr + done.stdout)) == (0, [])


def test_what_goes_where(world: StandIn, way: Road, tmp_path: Path) -> None:
    """A private asset and its signed URL, a plain request, each user; every other host is refused by HAProxy itself."""
    with gatepasses(world, way, tmp_path) as found, haproxy(tmp_path, found) as (port, _):
        client = found.client(port)
        reply = client.fetch(URL)
        assert reply.status == 302
        assert urlsplit(reply.headers["location"]).hostname == "objects.githubusercontent.com"
        assert client.fetch(URL, "-L").body == WHEEL.content
        assert client.uv("pip", "install", "--target", "there", f"acme-tool @ {URL}").code == 0
        proxy = ("-x", client.variables["HTTPS_PROXY"])
        assert b"BEGIN CERTIFICATE" in client.fetch("http://gatepass.internal/ca.pem", *proxy).body
        # who asks is asked by Gatepass
        assert found.client(port, "").curl("-p", URL).output.count("407")
        for host in ("elsewhere.example", "github.com.elsewhere.example", "notgithub.com", "agithubusercontent.com"):
            assert connect(port, f"{host}:443") == 403, host
            assert ask(port, f"GET http://{host}/ HTTP/1.1\r\nHost: {host}") == 403, host
        # other spellings of a name are the same name
        assert [connect(port, each) for each in ("github.com:443", "GitHub.com:443", "github.com.:443")] == [407] * 3
        # the Host header chooses nothing
        assert ask(port, "GET http://elsewhere.example/ HTTP/1.1\r\nHost: github.com") in (400, 403)
        assert ask(port, "CONNECT elsewhere.example:443 HTTP/1.0\r\nHost: github.com") in (400, 403)
        assert ask(port, "CONNECT github.com:443 HTTP/1.0") == 407
        assert ask(port, "GET / HTTP/1.1\r\nHost: proxy") == 400
    assert strays(world, world.token) == []


def test_the_clients_address(world: StandIn, way: Road, tmp_path: Path) -> None:
    """Gatepass knows a client by the address that HAProxy saw, whatever the client says of it."""
    with gatepasses(world, way, tmp_path) as found, haproxy(tmp_path, found) as (port, _):
        nobody = found.client(port, "")
        assert nobody.fetch(URL, "--interface", "127.0.0.2").status == 302
        claimed = ("--proxy-header", "X-Forwarded-For: 127.0.0.2")
        assert "407" in nobody.curl(*claimed, URL).output
        assert "407" in nobody.curl(*claimed, "--interface", "127.0.0.3", URL).output
        eventually(lambda: len(found.audited()) >= 3)
        told = {(line["source"]["ip"], line["event"]["action"]) for line in found.audited()}
    assert told == {("127.0.0.2", "resolve"), ("127.0.0.1", "refuse"), ("127.0.0.3", "refuse")}


def test_everything_else_to_the_companys_proxy(world: StandIn, way: Road, tmp_path: Path) -> None:
    """With `company` other hosts go to the company's proxy, untouched by Gatepass; and so may signed URLs' hosts."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncompany"
    few = tmp_path / "few"
    few.write_text("# none\n")
    with listening(answer) as (company, heard), gatepasses(world, way, tmp_path) as found:
        options = {"OTHER_HOSTS": "company", "COMPANY_PROXY": f"127.0.0.1:{company}"}
        with haproxy(tmp_path, found, **options) as (port, _):
            client = found.client(port)
            proxy = ("-x", client.variables["HTTPS_PROXY"])
            assert client.fetch("http://elsewhere.example/a", *proxy).body == b"company"
            assert client.fetch(URL, "-L").body == WHEEL.content
            head = next(each for each in heard if each.startswith(b"GET"))
            assert head.startswith(b"GET http://elsewhere.example/a HTTP/1.1\r\n")
            assert b"proxy-authorization: Basic" in head
        options = {"OTHER_HOSTS": "company", "COMPANY_PROXY": way.url.removeprefix("http://")}
        with haproxy(tmp_path, found, **options, GATEPASS_SUFFIXES=str(few)) as (port, _):
            client = found.client(port)
            assert client.fetch(URL, "-L").body == WHEEL.content
        eventually(lambda: len(found.audited()) >= 3)
        hosts = [line["url"]["domain"] for line in found.audited() if line["event"]["action"] == "tunnel"]
    assert hosts == ["objects.githubusercontent.com"], "once, when HAProxy did not send them elsewhere"


def test_nothing_goes_past(world: StandIn, way: Road, tmp_path: Path) -> None:
    """While no Gatepass is ready the rules' hosts are answered 503: the company's proxy does not get them."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with listening(answer) as (company, heard), gatepasses(world, way, tmp_path, count=1) as found:
        options = {"OTHER_HOSTS": "company", "COMPANY_PROXY": f"127.0.0.1:{company}"}
        with haproxy(tmp_path, found, **options) as (port, running):
            assert found.client(port).fetch(URL).status == 302
            (only,) = found.members
            only.kill()
            for _ in range(3):
                assert connect(port, "github.com:443") == 503
            running.wait_for("gatepass-1 is DOWN")
            assert ask(port, "GET http://gatepass.internal/ HTTP/1.1\r\nHost: gatepass.internal") == 503
            only.start()
            only.wait()
            running.wait_for("gatepass-1 is UP")
            assert found.client(port).fetch(URL).status == 302
    assert not [head for head in heard if b"github" in head or b"gatepass.internal" in head]


def test_work_is_shared(world: StandIn, way: Road, tmp_path: Path) -> None:
    """Connections go to the replica that has the fewest: of many that stay open each has about as many."""
    with gatepasses(world, way, tmp_path, count=3) as found, haproxy(tmp_path, found) as (port, _):
        fields = "".join(f"{name}: {value}\r\n" for name, value in AUTHORIZATION.items())
        head = f"CONNECT codeload.github.com:443 HTTP/1.1\r\nHost: codeload.github.com:443\r\n{fields}\r\n"
        opened = []
        for _ in range(12):
            connection = socket.create_connection(("127.0.0.1", port), 20)
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            opened.append(connection)
        assert [each.state()["connections"] for each in found.members] == [4, 4, 4]
        for connection in opened:
            connection.close()


# How often HAProxy had to try again, as a line of its log tells it: with a `+`, elsewhere.
_RETRIES = re.compile(r" \d+/\d+/\d+/\d+/(\+?\d+) \d+/\d+ ")


@pytest.mark.parametrize("delay", ["5", "0"])
def test_a_restart_under_load(world: StandIn, way: Road, tmp_path: Path, delay: str) -> None:
    """Each replica in its turn is ended and started again while clients ask: no request of any of them fails.

    With the delay none is even tried twice; without it, some find nobody and are tried with another.
    """
    with (
        gatepasses(world, way, tmp_path, "--drain-delay", delay) as found,
        haproxy(tmp_path, found) as (port, running),
        crowd(port, found, AUTHORIZATION) as seen,
    ):
        for number, each in enumerate(found.members, 1):
            before = len(seen)
            assert each.stop() == 0
            each.start()
            each.wait()
            running.wait_for(rf"gatepass-{number} is UP")
            assert len(seen) > before + 20
        time.sleep(1)
    wrong = [result for result in seen if result is not True]
    retries = [each for each in _RETRIES.findall(running.output) if each != "0"]
    assert wrong == [], (len(seen), running.output[-3000:])
    assert bool(retries) is (delay == "0"), retries
