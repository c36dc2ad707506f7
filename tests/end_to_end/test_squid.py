"""deploy/squid: a company's Squid, with its own users and ACLs, before real replicas; what goes where, and who asks."""

from __future__ import annotations

import base64
import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import (
    ROOT,
    Client,
    background,
    clean_environment,
    eventually,
    free_port,
    htpasswd,
    listening,
    need,
    strays,
)
from replicas import URL, WHEEL, answers, connect, crowd, fleet, private_github, way_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from replicas import Fleet
    from road import Road

pytestmark = pytest.mark.slow  # each starts several servers

DEPLOY = ROOT / "deploy" / "squid"
PASSWORD = "anna's-password"
ANNA = {"Proxy_Authorization": f"Basic {base64.b64encode(f'anna:{PASSWORD}'.encode()).decode()}"}
RULES = """\
version: 1
clients:
  staff: {htpasswd: users}
  jobs:
    oidc: {issuer: ISSUER, audience: gatepass, claims: {repository_owner: acme}}
trusted_proxies: [127.0.0.1/32]
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
rules:
  - match: github.com/*/releases/download/*
    resolve: github-release
    credential: github
"""
COMPANY = """\
# what a company has: users, a proxy of its own behind this one, and hosts where they may go
http_port 127.0.0.1:PORT
auth_param basic program NCSA users
acl SSL_ports port 443
http_access deny CONNECT !SSL_ports
include gatepass.conf
acl staff proxy_auth REQUIRED
acl allowed dstdomain gatepass.internal github.com .githubusercontent.com codeload.github.com elsewhere.example
http_access allow staff allowed
http_access deny all
cache_peer 127.0.0.1 parent PARENT 0 no-query no-digest default name=company
cache_peer_access company deny gatepass
never_direct allow all
access_log stdio:access.log squid
cache_log cache.log
cache_store_log none
netdb_filename none
pinger_enable off
pid_filename squid.pid
hosts_file hosts
coredump_dir none
shutdown_lifetime 0 seconds
visible_hostname company
"""
"""Where Squid's own configuration is said as a company would have it; paths are in the folder of the test."""


@dataclass(frozen=True)
class Squid:
    """Squid as it runs: where users and jobs come to, and the folder with its logs."""

    port: int
    jobs: int
    folder: Path

    def log(self) -> str:
        """What became of each request: Squid's own word, and where it went."""
        return (self.folder / "access.log").read_text()


@pytest.fixture
def world() -> Iterator[StandIn]:
    with private_github() as standin:
        yield standin


@pytest.fixture
def way(world: StandIn) -> Iterator[Road]:
    with way_to(world) as way:
        way.ports[world.web] = int(world.web.rpartition(":")[2])  # the issuer of tokens
        yield way


@contextmanager
def gatepasses(world: StandIn, way: Road, home: Path, *options: str, count: int = 2) -> Iterator[Fleet]:
    """Replicas whose rules know the users of Squid, and jobs."""
    htpasswd("-cbB", home / "users", "anna", PASSWORD)
    htpasswd("-bB", home / "users", "bert", "bert's-password")
    rules = RULES.replace("ISSUER", world.issuer.url())
    with fleet(home, count, rules, *options, HTTPS_PROXY=way.url, SSL_CERT_FILE=str(world.ca_file)) as found:
        yield found


@contextmanager
def squid(found: Fleet, parent: str, company: str = COMPANY) -> Iterator[Squid]:
    """Squid as deploy/ has it, before these replicas, in the configuration of a company, on free ports."""
    program, ncsa = need("squid"), Path("/usr/lib/squid/basic_ncsa_auth")
    if not ncsa.exists():
        pytest.skip(f"{ncsa} is not installed")
    # who is root becomes another user, to whom the folder of a test is closed
    folder = Path(tempfile.mkdtemp(prefix="gatepass-squid-"))
    folder.chmod(0o777)
    try:
        shutil.copy(found.home / "users", folder)
        (folder / "users").chmod(0o644)
        shutil.copy(DEPLOY / "gatepass.hosts", folder)
        port, jobs = free_port(), free_port()
        text = (DEPLOY / "gatepass.conf").read_text()
        text = text.replace("/etc/squid/", f"{folder}/").replace("http_port 3129", f"http_port 127.0.0.1:{jobs}")
        for number, placeholder in enumerate(("8081", "8082", "8083")):
            there = found.members[number].port if number < len(found.members) else free_port()
            text = text.replace(f"parent {placeholder} ", f"parent {there} ")
        (folder / "gatepass.conf").write_text(text)
        company = company.replace("PORT", str(port)).replace("PARENT", parent.rpartition(":")[2])
        company = company.replace("NCSA users", f"{ncsa} {folder}/users").replace("include ", f"include {folder}/")
        company = re.sub(r"(stdio:|cache_log |pid_filename |hosts_file )", rf"\g<1>{folder}/", company)
        (folder / "squid.conf").write_text(company)
        (folder / "hosts").write_text("127.0.0.1 github.com gatepass.internal elsewhere.example\n")
        name = f"gatepass{secrets.token_hex(6)}"  # of its shared memory: a Squid beside it has another
        command: list[str | Path] = [program, "-N", "-n", name, "-f", folder / "squid.conf"]
        with background(command, clean_environment(), folder) as running:
            eventually(lambda: (answers(port) and answers(jobs)) or running.process.poll() is not None)
            assert running.process.poll() is None, running.output + (folder / "cache.log").read_text()
            yield Squid(port, jobs, folder)
    finally:
        shutil.rmtree(folder)


def user(found: Fleet, port: int, name: str = "anna", password: str = PASSWORD) -> Client:
    """A user of the company, who comes to that port."""
    return found.client(port, f"{name}:{password}@".replace("'", "%27"))


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """Squid finds no fault in it, and warns of nothing, where the paths are those that it has."""
    text = (DEPLOY / "gatepass.conf").read_text().replace("/etc/squid/", f"{DEPLOY}/")
    (tmp_path / "squid.conf").write_text(f"http_port 127.0.0.1:3128\nvisible_hostname company\n{text}")
    done = Client(tmp_path, {}).run(need("squid"), "-k", "parse", "-f", tmp_path / "squid.conf")
    assert (done.code, re.findall(r".*(?:WARNING|ERROR|FATAL).*", done.output)) == (0, []), done.output


def test_what_goes_where(world: StandIn, way: Road, tmp_path: Path) -> None:
    """A private asset by Gatepass, its bytes by the company's own way, other hosts as before; no user, nothing."""
    with gatepasses(world, way, tmp_path) as found, squid(found, way.url) as front:
        client = user(found, front.port)
        assert client.fetch(URL).status == 302
        assert client.fetch(URL, "-L").body == WHEEL.content
        assert client.uv("pip", "install", "--target", "there", f"acme-tool @ {URL}").code == 0
        assert client.pip("download", "--no-deps", "-d", "got", URL).code == 0
        # every spelling of a name is the same name
        for name in ("github.com:443", "GitHub.com:443", "github.com.:443"):
            assert connect(front.port, name, **ANNA) == 200
        assert connect(front.port, "codeload.github.com:443", **ANNA) == 200
        # Squid's own ACLs hold, and what they let pass goes its own way
        assert connect(front.port, "notgithub.com:443", **ANNA) == 403
        assert connect(front.port, "github.com:22", **ANNA) == 403
        assert connect(front.port, "elsewhere.example:443", **ANNA) >= 500, "the company's proxy knows no such place"
        # who is nobody gets nothing, but for the page that tells of the CA
        nobody = found.client(front.port, "")
        for name in ("github.com:443", "elsewhere.example:443", "gatepass.internal:443"):
            assert connect(front.port, name) == 407
        page = nobody.fetch("http://gatepass.internal/ca.pem", "-x", f"http://127.0.0.1:{front.port}")
        assert b"BEGIN CERTIFICATE" in page.body
        eventually(lambda: "gatepass.internal/ca.pem" in front.log() and "codeload" in str(found.audited()))
        log = front.log()
        told = {(line["source"]["ip"], line.get("user", {}).get("name")) for line in found.audited()}
        hosts = {line["url"]["domain"] for line in found.audited()}
    assert told == {("127.0.0.1", "anna")}, "the very user, by the address that Squid saw"
    assert hosts == {"github.com", "codeload.github.com"}, "bytes and other hosts never met Gatepass"
    assert set(re.findall(r"CONNECT (?:github|codeload)\S+ \S+ (\w+)/\S+", log)) == {"ROUNDROBIN_PARENT", "HIER_NONE"}
    assert set(re.findall(r"CONNECT objects\S+ anna (\w+)", log)) == {"FIRSTUP_PARENT"}
    assert set(re.findall(r"CONNECT elsewhere\S+ anna (\w+)", log)) == {"FIRSTUP_PARENT"}
    assert strays(world, world.token) == []
    assert not [call for call in world.calls() if "proxy-authorization" in call.headers]


def test_who_asks(world: StandIn, way: Road, tmp_path: Path) -> None:
    """Users are told apart in Gatepass, also where Squid keeps a connection to it; a wrong password ends at Squid."""
    with gatepasses(world, way, tmp_path, count=1) as found, squid(found, way.url) as front:
        assert connect(front.port, "github.com:443", Proxy_Authorization="Basic YW5uYTp3cm9uZw==") == 407
        for name, password in (("anna", PASSWORD), ("bert", "bert's-password"), ("anna", PASSWORD)):
            client = user(found, front.port, name, password)
            claimed = ("--proxy-header", "X-Forwarded-For: 10.9.8.7")
            assert client.curl("-o", "got", *claimed, "--interface", "127.0.0.2", URL).code == 0
            plain = f"http://{name}:{password}@127.0.0.1:{front.port}".replace("'", "%27")
            # nobody there knows the name, who asks is known by then
            assert client.fetch("http://github.com/acme", "-x", plain, "-H", "X-Forwarded-For: 10.9.8.7").status == 502
        eventually(lambda: len(found.audited()) >= 6)
        log, told = front.log(), found.audited()
    whose = [(line["source"]["ip"], line["user"]["name"]) for line in told]
    assert whose == [(ip, name) for name in ("anna", "bert", "anna") for ip in ("127.0.0.2", "127.0.0.1")]
    assert re.findall(r"(\S+) \d+ CONNECT github.com:443 anna \S+", log)[0] == "TCP_DENIED/407"


def test_a_jobs_token(world: StandIn, way: Road, tmp_path: Path) -> None:
    """A job's token goes to Gatepass as it is, which judges it; at the jobs' port is no way to any other host."""
    with gatepasses(world, way, tmp_path) as found, squid(found, way.url) as front:
        token = world.issuer.token(padding="x" * 1600)
        job = found.client(front.jobs, f"job:{token}@")
        assert job.fetch(URL, "-L").body == WHEEL.content
        assert job.uv("pip", "install", "--target", "there", f"acme-tool @ {URL}").code == 0
        assert connect(front.jobs, "elsewhere.example:443") == 403
        # nor to the signed URLs' hosts without a token: it is Gatepass that leads there
        refused = found.client(front.jobs, f"job:{world.issuer.token(repository_owner='evil')}@")
        for name in ("github.com", "objects.githubusercontent.com"):
            assert connect(front.jobs, f"{name}:443") == 407
            assert "407" in refused.curl(f"https://{name}/").output
        # however many are refused, Squid does not take Gatepass for dead
        assert {connect(front.jobs, "github.com:443") for _ in range(20)} == {407}
        assert job.fetch(URL).status == 302
        # whoever shows one where users come to is none of them
        assert "407" in found.client(front.port, f"job:{token}@").curl(URL).output
        eventually(lambda: front.log().count("\n") >= 12)
        log, told = front.log(), found.audited()
    served = [line for line in told if line["event"]["action"] in ("resolve", "tunnel")]
    assert {line["user"]["id"] for line in served} == {"repo:acme/tool:ref:refs/heads/main"}
    assert {line["gatepass"]["client"] for line in served} == {"jobs"}
    assert {line["url"]["domain"] for line in served} == {"github.com", "objects.githubusercontent.com"}
    assert "eyJ" not in log


def test_nothing_goes_past(world: StandIn, way: Road, tmp_path: Path) -> None:
    """While Gatepass is down its hosts are answered 503, and nothing is dialled, by a Squid that else goes directly."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndirect"
    with listening(answer) as (port, heard), gatepasses(world, way, tmp_path, count=1) as found:
        directly = re.sub(r"(?m)^(?:cache_peer|never_direct|cache_peer_access).*\n", "", COMPANY)
        with squid(found, way.url, directly.replace("port 443", f"port 443 {port}")) as front:
            # names are this machine's, where the answer waits for who is let out
            url = f"http://elsewhere.example:{port}/"
            proxy = f"http://anna:{PASSWORD}@127.0.0.1:{front.port}".replace("'", "%27")
            client = user(found, front.port)
            assert client.fetch(url, "-x", proxy).body == b"direct"
            assert connect(front.port, f"elsewhere.example:{port}", **ANNA) == 200
            assert client.fetch(URL).status == 302
            (only,) = found.members
            only.kill()
            was = len(heard)
            for _ in range(3):
                assert connect(front.port, f"github.com:{port}", **ANNA) == 503
                assert connect(front.port, "github.com:443", **ANNA) == 503
                assert connect(front.jobs, "objects.githubusercontent.com:443") == 503
                assert client.fetch(f"http://github.com:{port}/", "-x", proxy).status == 503
                assert client.fetch(f"http://gatepass.internal:{port}/", "-x", proxy).status == 503
            assert len(heard) == was
            only.start()
            only.wait()
            eventually(lambda: connect(front.port, "github.com:443", **ANNA) == 200)
            eventually(lambda: front.log().count("/503 ") >= 15)
            log = front.log()
    assert set(re.findall(r"(?:github|gatepass)\S+ \S+ (\w+)/\S+", log)) == {"ROUNDROBIN_PARENT"}
    assert "HIER_DIRECT" in log


def test_a_restart_under_load(world: StandIn, way: Road, tmp_path: Path) -> None:
    """Each replica in its turn is ended and started again while clients ask: no request of any of them fails."""
    headers = {name.replace("_", "-"): value for name, value in ANNA.items()}
    with (
        gatepasses(world, way, tmp_path) as found,
        squid(found, way.url) as front,
        crowd(front.port, found, headers) as seen,
    ):
        for each in found.members:
            before = len(seen)
            assert each.stop() == 0
            each.start()
            each.wait()
            assert len(seen) > before + 20
            time.sleep(1)
        log = front.log()
    wrong = [result for result in seen if result is not True]
    assert wrong == [], (len(seen), log[-2000:])
