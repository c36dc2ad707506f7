"""The audit file, end to end: a line for each request and each tunnel, and no credential where none can be written."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from auditing import awaited, of, parsed, read
from gatepass.cli.check import check
from gatepass.demo.standin import DEFAULT_TOKEN, Fault, StandIn
from gatepass.errors import printable
from gatepass.telemetry import lines
from harness import DEADLINE, GATEPASS, Client, background, eventually, mitmdump, need, strays
from origin import Answer, Trust, origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditing import Told
    from conftest import Publish
    from harness import Proxy, Shell

pytestmark = pytest.mark.slow  # each starts a server of its own

BIG = 300_000


@contextmanager
def audited(github: StandIn, rules: Path, folder: Path, file: Path | str, *options: str) -> Iterator[Proxy]:
    """A proxy that writes that audit file; what it writes holds neither a secret nor a signature."""
    named = f"--set=gatepass_audit={file}"
    with mitmdump(folder, rules, github.ca_file, named, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert strays(github, DEFAULT_TOKEN) == []
    assert "Traceback" not in proxy.log, proxy.log
    if file != "/dev/full":
        text = (folder / file).read_text()
        assert DEFAULT_TOKEN not in text
        assert "X-Amz" not in text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def audit(github: StandIn, rules: Path, file: Path, tmp_path: Path) -> Iterator[Proxy]:
    with audited(github, rules, tmp_path, file) as proxy:
        yield proxy


@pytest.fixture
def through(audit: Proxy, tmp_path: Path) -> Client:
    """Clients that go through it."""
    return Client(tmp_path, audit.variables())


def facts(told: Told) -> tuple[str, str, int]:
    return told["event"]["action"], told["event"]["outcome"], told["http"]["response"]["status_code"]


def _several(file: Path, number: int) -> list[Told]:
    """All lines, once there are so many."""
    found = read(file)
    return found if len(found) == number else []


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3].partition("?")[0]


def test_what_is_resolved(through: Client, file: Path, wheel_url: str, github: StandIn) -> None:
    """A download has one line: what was decided, by which rule, with which credential, and what that cost."""
    assert through.fetch(f"{wheel_url}?secret=in-the-query").status == 302
    told = awaited(file, of(path_of(wheel_url)))
    assert facts(told) == ("resolve", "success", 302)
    assert told["url"]["domain"] == "localhost"
    assert told["url"]["port"] == int(github.web.partition(":")[2])
    assert told["http"]["request"]["method"] == "GET"
    assert told["source"]["ip"] == "127.0.0.1"
    assert told["rule"]["name"]
    assert told["gatepass"] == {"schema": 1, "credential": "standin", "api_calls": len(github.calls("api"))}
    assert 0 < told["event"]["duration"] < 20e9
    assert "user" not in told
    # the CONNECT that led there was decrypted, and has none of its own
    assert len(read(file)) == 1

    assert through.fetch(wheel_url, "-I").status == 200
    assert through.fetch(wheel_url, "-r", "0-9").status == 206
    whole = eventually(lambda: _several(file, 3))
    assert [facts(each) for each in whole] == [
        ("resolve", "success", 302),
        ("resolve", "success", 200),
        ("resolve", "success", 206),
    ]
    assert [each["http"]["response"]["body"]["bytes"] for each in whole] == [0, 0, 10]
    assert len({each["event"]["id"] for each in whole}) == 3


def test_what_is_streamed(through: Client, file: Path, publish: Publish, github: StandIn) -> None:
    """The bytes of an answer that passes through are counted: from the asset host, and from a forge that streams."""
    url = publish(bytes(2 * BIG))
    assert len(through.fetch(url, "-r", "0-", "-H", 'If-Match: "x"', "-L").body) >= 0
    told = awaited(file, of(path_of(url)))
    assert told["event"]["action"] == "resolve"
    github.stream_assets = True
    other = publish(bytes(2 * BIG), name="other.bin")
    assert len(through.fetch(other).body) == 2 * BIG
    told = awaited(file, of(path_of(other)))
    assert facts(told) == ("resolve", "success", 200)
    assert told["http"]["response"]["body"]["bytes"] == told["destination"]["bytes"] == 2 * BIG
    assert told["gatepass"]["api_calls"] == 3  # release, asset endpoint, and the one that the bytes came by


def test_what_is_injected_and_what_passes(through: Client, file: Path, github: StandIn) -> None:
    """Injection names rule and credential; what no rule is for passes; neither tells of headers."""
    assert through.fetch(f"https://{github.web}/injected/x?token=in-the-query").status == 404
    told = awaited(file, of("/injected/x"))
    assert facts(told) == ("inject", "success", 404)
    assert told["gatepass"]["credential"] == "standin"
    assert through.fetch(f"https://{github.web}/robots.txt", "-d", "x" * 100).status == 200
    told = awaited(file, of("/robots.txt"))
    assert told["event"]["action"] == "pass"
    assert told["source"]["bytes"] == 100
    assert "rule" not in told
    assert "credential" not in told["gatepass"]


def test_what_is_refused(through: Client, file: Path, wheel_url: str, github: StandIn) -> None:
    """A refusal tells the problem, and why; also where it is found when the upstream has answered."""
    absent = wheel_url.replace("acme_tool-1.0", "acme_tool-9.9")
    assert through.fetch(absent).status == 404
    told = awaited(file, of(path_of(absent)))
    assert facts(told) == ("refuse", "failure", 404)
    assert told["gatepass"]["problem"] == "urn:gatepass:problem:asset-not-found"
    assert told["gatepass"]["credential"] == "standin"
    assert told["rule"]["name"]
    assert "acme_tool-9.9-py3-none-any.whl" in told["event"]["reason"]

    foreign = wheel_url.replace("/acme/", "/other/")
    assert through.fetch(foreign).status == 404
    assert awaited(file, of(path_of(foreign)))["gatepass"]["problem"] == "urn:gatepass:problem:not-in-rules"

    github.faults.append(Fault("web", status=0, close=True, times=1))
    broken = f"https://{github.web}/injected/y"
    assert through.fetch(broken).status == 502
    told = awaited(file, of("/injected/y"))
    assert told["event"]["outcome"] == "failure"
    assert told["event"]["reason"]


def test_tunnels(through: Client, file: Path, tmp_path: Path) -> None:
    """A tunnel has one line at its end, with all bytes both ways; one that leads nowhere says why."""
    with origin(Trust(tmp_path, "tunnelled")) as server:
        server.answers["/big"] = lambda _: Answer(body=bytes(BIG))
        port = int(server.host.partition(":")[2])
        upload = tmp_path / "upload"
        upload.write_bytes(bytes(BIG))
        got = through.fetch(
            server.url("/big?secret=in-the-query"), "--cacert", str(server.trust.ca), "--data-binary", f"@{upload}"
        )
        assert len(got.body) == BIG
        told = awaited(file, lambda told: told["url"]["port"] == port)
    assert told["event"]["action"] == "tunnel"
    assert told["event"]["outcome"] == "success"
    assert told["url"] == {"domain": "localhost", "port": port}
    for side in ("source", "destination"):
        assert BIG < told[side]["bytes"] < BIG + 20_000
    reply = through.curl("-v", "-k", f"https://localhost:{port}/")
    assert reply.code
    found = eventually(lambda: [each for each in read(file) if each["event"]["outcome"] == "failure"])
    assert "Connect call failed" in found[0]["event"]["reason"]


def test_a_tunnel_that_its_client_leaves(audit: Proxy, file: Path) -> None:
    """A client that is gone amid a tunnel has its line all the same, and so has who is there when the proxy ends."""
    address = ("127.0.0.1", int(audit.url.rsplit(":", 1)[1]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for leaves in (True, False):
            client = socket.create_connection(address)
            client.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            client.sendall(b"hello, this is no TLS")
            there, _ = server.accept()
            assert there.recv(100).startswith(b"hello")
            there.sendall(b"hi")
            assert client.recv(100)
            if leaves:
                client.close()
                there.close()
                eventually(lambda: read(file))
        audit.running.process.send_signal(signal.SIGTERM)
        audit.running.process.wait(DEADLINE)
        client.close()
        there.close()
    told = read(file)
    assert [(each["source"]["bytes"], each["destination"]["bytes"]) for each in told] == [(21, 2), (21, 2)]
    assert {each["event"]["action"] for each in told} == {"tunnel"}


def test_a_tunnel_in_which_nobody_speaks(github: StandIn, rules: Path, file: Path, tmp_path: Path) -> None:
    """A tunnel that was opened at CONNECT has its line, though nothing ever went through it."""
    guarded = tmp_path / "guarded.yaml"
    guarded.write_text(f"{rules.read_text()}egress: {{private: [127.0.0.0/8]}}\n")
    with audited(github, guarded, tmp_path, file) as proxy, socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(("127.0.0.1", int(proxy.url.rsplit(":", 1)[1])), DEADLINE) as client:
            client.sendall(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        told = awaited(file, lambda told: told["event"]["action"] == "tunnel")
        assert told["url"] == {"domain": "127.0.0.1", "port": server.getsockname()[1]}
        assert (told["source"]["bytes"], told["destination"]["bytes"]) == (0, 0)


def test_tunnels_that_tls_tells(github: StandIn, rules: Path, file: Path, tmp_path: Path) -> None:
    """Where a connection is known by what its client says in TLS alone, as when it names another host there."""
    with audited(github, rules, tmp_path, file) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), DEADLINE) as raw:
            raw.sendall(f"CONNECT {github.web} HTTP/1.1\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
            context = ssl.create_default_context(cafile=github.ca_file)
            with context.wrap_socket(raw, server_hostname="github.com") as wrapped:
                wrapped.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert wrapped.recv(65536).startswith(b"HTTP/1.1 ")
        told = awaited(file, lambda told: told["event"]["action"] == "tunnel")
    # the hello alone has some hundred bytes, and the certificate a thousand
    assert told["source"]["bytes"] > 300
    assert told["destination"]["bytes"] > 800


def test_who_asks(shell: Shell, wheel_url: str) -> None:
    """The user of the proxy's own password is told; who has a wrong one is refused, and that CONNECT has a line.

    No password is in any.
    """
    path = shell.home / "audit"
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen=127.0.0.1:0", f"--audit={path}")
    with background(command, shell.env, shell.home) as serving:
        proxy = serving.wait_for(r"export HTTPS_PROXY=(\S+)")[1]
        password = proxy.split(":")[2].partition("@")[0]
        serving.wait_for(r"export SSL_CERT_FILE=\S+\n")
        client = Client(shell.home, {"SSL_CERT_FILE": "", "HTTPS_PROXY": proxy})
        assert client.fetch(wheel_url, "-k").status == 302
        told = awaited(path, of(path_of(wheel_url)))
        assert told["user"] == {"name": "gatepass"}
        assert client.curl("-v", "-k", "-x", proxy.replace("gatepass:", "gatepass:not"), wheel_url).code
        told = awaited(path, lambda told: told["event"]["action"] == "refuse")
        assert (told["http"]["request"]["method"], told["http"]["response"]["status_code"]) == ("CONNECT", 407)
        assert told["destination"]["bytes"] > 0, "the client is told why"
        assert "user" not in told
        assert "path" not in told["url"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert password not in path.read_text()


def test_stdout(shell: Shell, wheel_url: str) -> None:
    """With `--audit -` stdout is lines of JSON and nothing else; what `serve` tells people is on stderr."""
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen=127.0.0.1:0", "--no-password", "--audit=-")
    with (
        (shell.home / "err").open("wb") as err,
        (shell.home / "out").open("wb") as out,
        subprocess.Popen([str(part) for part in command], env=shell.env, cwd=shell.home, stdout=out, stderr=err) as run,
    ):
        told = eventually(lambda: re.findall(r"export HTTPS_PROXY=(\S+)", (shell.home / "err").read_text()))
        client = Client(shell.home, {"HTTPS_PROXY": told[0]})
        assert client.fetch(wheel_url, "-k").status == 302
        run.send_signal(signal.SIGTERM)
        run.wait(DEADLINE)
    assert [facts(each) for each in parsed((shell.home / "out").read_text())] == [("resolve", "success", 302)]


def test_a_disk_that_is_full(github: StandIn, rules: Path, wheel_url: str, tmp_path: Path) -> None:
    """Where no line can be written no credential is used, and its source is not asked; what needs none passes."""
    with audited(github, rules, tmp_path, "/dev/full") as proxy:
        client = Client(tmp_path, proxy.variables())
        plain = f"https://{github.web}/robots.txt"
        assert client.fetch(plain).status == 404
        github.forget()
        eventually(lambda: client.fetch(wheel_url).status == 503)
        reply = client.fetch(wheel_url)
        problem = json.loads(reply.body)
        assert problem["type"] == "urn:gatepass:problem:audit-unavailable"
        assert "no space left on device" in problem["detail"]
        assert reply.headers["retry-after"] == "10"
        github.forget()
        assert client.fetch(f"https://{github.web}/injected/x").status == 503
        assert client.fetch(wheel_url).status == 503
        assert github.calls() == []
        assert client.fetch(plain).status == 404


@pytest.mark.slow
def test_a_disk_that_has_room_again(github: StandIn, rules: Path, wheel_url: str, tmp_path: Path) -> None:
    """Within ten seconds of there being room credentials are used again, and no line was lost."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [need("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here: not root")
    try:
        (disk / "filler").write_bytes(bytes(1020 * 1024))
        with audited(github, rules, tmp_path, disk / "audit") as proxy:
            client = Client(tmp_path, proxy.variables())
            asked = 0
            while (status := client.fetch(wheel_url).status) != 503:
                assert status == 302
                asked += 1
            (disk / "filler").unlink()
            freed = time.monotonic()
            while client.fetch(wheel_url).status != 302:
                time.sleep(0.2)
            assert time.monotonic() - freed < 10
            eventually(lambda: facts(read(disk / "audit")[-1])[2] == 302)
            told = read(disk / "audit")
        statuses = [facts(each)[2] for each in told]
        assert statuses[:asked] == [302] * asked
        assert set(statuses[asked:-1]) == {503}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_hostile_requests(audit: Proxy, file: Path) -> None:
    """Whatever a client writes into its request, the file holds whole lines that the schema takes."""
    address = ("127.0.0.1", int(audit.url.rsplit(":", 1)[1]))
    targets = [b"/\xff\xfe\x1b[31m?x=1", b"/%0a%0d", b"/\xe2\x80\xae", b"/" + b"a" * 5000, b'/\\u0000"}{']
    requests = [b'GET http://127.0.0.1:1%b HTTP/1.1\r\nHost: "}\r\n\r\n' % target for target in targets]
    requests += [b'CONNECT \x1b[31m"}:443 HTTP/1.1\r\n\r\n', b'G"}T http://127.0.0.1:1/last HTTP/1.1\r\n\r\n']
    for request in requests:
        with socket.create_connection(address, DEADLINE) as client:
            client.sendall(request)
            assert client.recv(1000)
    awaited(file, of("/last"))
    told = read(file)
    assert {"/%0a%0d", '/\\u0000"}{'} <= {each["url"].get("path") for each in told}
    assert printable(file.read_text().replace("\n", "")) == file.read_text().replace("\n", "")


def test_options_that_are_wrong(shell: Shell) -> None:
    """A file that cannot be written, and an admin address that is none or taken, end the start, and say what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = f"--admin=127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--audit=absent/audit", "--admin=9090", used, "--admin=192.0.2.1:9090"):
            done = shell.gatepass("serve", "--rules", shell.rules, "--listen", "127.0.0.1:0", option)
            said = (done.stdout + done.stderr).decode()
            assert done.returncode != 0
            assert f"{option[2:7]}: expected" in said
            assert "hint:" in said
            assert "Traceback" not in said
            assert "export" not in said


def test_the_schema_is_printed() -> None:
    """`check --schema audit` prints what lines are held against."""
    result = CliRunner().invoke(check, ["--schema", "audit"])
    assert result.exit_code == 0
    assert json.loads(result.output) == lines.schema()
