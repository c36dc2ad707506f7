"""Who asks: real clients with passwords, tokens and addresses before a real proxy, and what everybody else gets."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import auditing
from conftest import RULES
from gatepass.demo.standin import DEFAULT_TOKEN, Fault
from gatepass.demo.standin.issuer import Issuer
from gatepass.shell import environment
from harness import GATEPASS, Client, background, eventually, htpasswd, listening, mitmdump, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gatepass.demo.standin import StandIn
    from harness import Proxy, Reply, Shell

    type Doors = Callable[..., Door]

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CI = "ci-sesame-opens-42"
CLIENTS = """\
clients:
  ci: {password: [env:CI_PROXY_PASSWORD]}
  developers: {htpasswd: users}
  actions:
    oidc:
      issuer: {issuer}
      audience: gatepass
      claims: {repository_owner: acme, ref: "refs/heads/*"}
"""
# the servers of a test are no public ones
PRIVATE = "egress: {private: [127.0.0.0/8]}\n"
OFFICE = "  office: {networks: [127.0.0.0/8]}\n"


@dataclass(frozen=True)
class Door:
    """A proxy, and clients that come to it."""

    proxy: Proxy
    home: Path

    @property
    def port(self) -> int:
        return int(self.proxy.url.rpartition(":")[2])

    def client(self, user: str | None = None, password: str = "", scheme: str = "http") -> Client:
        """Clients that have these in the proxy's URL."""
        known = "" if user is None else f"{quote(user, safe='')}:{quote(password, safe='')}@"
        url = f"{scheme}://{known}127.0.0.1:{self.port}"
        return Client(self.home, environment.for_client(url, self.proxy.bundle, self.proxy.bundle, {}))

    def connect(self, authority: str, **headers: str) -> tuple[int, str, str]:
        """What a CONNECT with these headers gets: status, reason phrase, and all of it."""
        return self.say(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n", **headers)

    def say(self, head: str, **headers: str) -> tuple[int, str, str]:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(f"{head}{lines}\r\n".encode())
            heard = answer(connection)
        line = heard.split(b"\r\n", 1)[0].decode()
        _, status, reason = f"{line} ".split(" ", 2)
        return int(status), reason.strip(), heard.decode()


def answer(connection: socket.socket) -> bytes:
    """A whole answer, or what there is of it when the connection ends."""
    heard = b""
    while b"\r\n\r\n" not in heard or not _is_whole(heard):
        if not (data := connection.recv(65536)):
            break
        heard += data
    return heard


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is None or len(body) >= int(length[1])


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@contextmanager
def door(
    github: StandIn, folder: Path, more: str, *options: str, rules: str = RULES, is_sound: bool = True
) -> Iterator[Door]:
    """A proxy whose rules say `more`; at its end its log must hold no password and no token."""
    folder.mkdir(exist_ok=True)
    users = folder / "users"
    users.touch()
    htpasswd("-bB", users, "anna", "anna's-password")
    htpasswd("-bs", users, "bert", "bert's-password")
    path = folder / "rules.yaml"
    path.write_text(rules.format(web=github.web, api=github.api) + more.replace("{issuer}", github.issuer.url()))
    if "egress:" not in more:
        path.write_text(path.read_text() + PRIVATE)
    with mitmdump(folder, path, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN, CI_PROXY_PASSWORD=CI) as proxy:
        yield Door(proxy, folder)
    for secret in (CI, "s-password", DEFAULT_TOKEN, "eyJ"):
        assert secret not in proxy.log, secret
    assert ("Traceback" not in proxy.log) == is_sound


@pytest.fixture
def doors(github: StandIn, tmp_path: Path) -> Iterator[Doors]:
    """Proxies of the test's own."""
    with ExitStack() as stack:
        yield lambda more, *options, **named: stack.enter_context(door(github, tmp_path, more, *options, **named))


@pytest.fixture
def own(doors: Doors) -> Door:
    """One whose rules name clients of each kind that has a password."""
    return doors(CLIENTS)


def problem(reply: Reply) -> str:
    return str(json.loads(reply.body)["type"]).rpartition(":")[2]


def big_token(issuer: Issuer) -> str:
    """A token of 3 kB, which is what CI systems give out at the most."""
    token = issuer.token(padding="x" * 1600)
    assert 2800 < len(token) < 3400
    return token


# -------------------------------------------------------------------- real clients


@pytest.mark.parametrize("who", ["ci", "anna", "bert", "job"])
def test_real_clients(own: Door, github: StandIn, wheel_url: str, who: str) -> None:
    """curl, wget, pip, uv and git get through with a password, and with a token of 3 kB, and no server sees either."""
    passwords = {"ci": CI, "anna": "anna's-password", "bert": "bert's-password", "job": ""}
    password = passwords[who] or big_token(github.issuer)
    client = own.client(who, password)
    assert client.fetch(wheel_url, "-L").status == 200
    # it reads its CAs from no variable
    wget = (need("wget"), "-q", "-O", "w.whl", f"--ca-certificate={own.proxy.bundle}", wheel_url)
    assert client.run(*wget, WGETRC="").code == 0
    assert client.pip("download", "--no-deps", "-d", "got", wheel_url).code == 0
    assert client.uv("pip", "install", "--target", "there", wheel_url).code == 0
    client.run(need("git"), "ls-remote", f"https://{github.web}/acme/x.git")  # no repository lies there
    assert [call.status for call in github.calls() if call.path == "/acme/x.git/info/refs"] == [200]
    for call in github.calls():
        assert "proxy-authorization" not in call.headers
        assert password not in str(call.headers)


def test_a_plain_request(own: Door) -> None:
    """Each is asked, and goes on without what it said of who asks."""
    with listening(OK) as (port, heard):
        url = f"http://127.0.0.1:{port}/x"
        assert own.client().fetch(url, "--noproxy", "", "-x", own.proxy.url).status == 407
        assert heard == []
        proxied = f"http://ci:{CI}@127.0.0.1:{own.port}"
        assert own.client().fetch(url, "--noproxy", "", "-x", proxied, "-H", "X-Forwarded-For: 1.2.3.4").status == 200
    text = b"".join(heard)
    assert b"GET /x" in text
    assert b"Proxy-" not in text
    assert b"Forwarded" not in text


def test_each_request_of_a_connection(doors: Doors) -> None:
    """Plain requests, and CONNECTs that led to nothing, are asked each for itself: another proxy may share one."""
    own = doors(CLIENTS)
    with listening(OK) as (port, _), socket.create_connection(("127.0.0.1", own.port), 20) as connection:
        for what, known, status in (
            (f"GET http://127.0.0.1:{port}/", True, 200),
            (f"GET http://127.0.0.1:{port}/", False, 407),
            (f"CONNECT 127.0.0.1:{own.port}", True, 403),
            (f"GET http://127.0.0.1:{port}/", False, 407),
        ):
            header = f"Proxy-Authorization: {basic('ci', CI)}\r\n" if known else ""
            connection.sendall(f"{what} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
            assert answer(connection).startswith(f"HTTP/1.1 {status} ".encode()), (what, known)


def test_what_a_decrypted_request_says_of_others(own: Door, github: StandIn) -> None:
    """Inside the connection, too, X-Forwarded-For and Proxy-Authorization go to no server."""
    headers = ("-H", "X-Forwarded-For: 1.2.3.4", "-H", "Proxy-Authorization: Basic eDp5")
    for path in ("injected/x", "other/x"):
        own.client("ci", CI).fetch(f"https://{github.web}/{path}", *headers)
    calls = github.calls("web")
    assert len(calls) == 2
    for call in calls:
        assert not {"x-forwarded-for", "proxy-authorization"} & set(call.headers)


# ----------------------------------------------------------------------- nobody


def test_nobody_known(own: Door, github: StandIn) -> None:
    """407 with a challenge, a reason phrase and a problem document; nothing is connected to, and no source asked."""
    status, reason, whole = own.connect(github.web)
    assert (status, reason) == (407, "gatepass: the proxy wants to know who asks")
    assert 'Proxy-Authenticate: Basic realm="gatepass", charset="UTF-8"\r\n' in whole
    assert "Content-Type: application/problem+json\r\n" in whole
    document = json.loads(whole.partition("\r\n\r\n")[2])
    assert document["type"] == "urn:gatepass:problem:proxy-authentication-required"
    assert "USER:PASSWORD@" in document["hint"]
    for user, password in (("ci", "wrong"), ("anna", "bert's-password"), ("nobody", "x"), ("developers", "x")):
        assert own.connect(github.web, Proxy_Authorization=basic(user, password))[0] == 407
    assert github.calls() == []
    assert "server connect" not in own.proxy.log


def test_a_name_that_nobody_may_ask_for_is_not_resolved(own: Door) -> None:
    """Who is not known learns nothing of names, not by the time that it takes either."""
    for head in ("CONNECT no.such.host.invalid:443", "GET http://no.such.host.invalid/"):
        assert own.say(f"{head} HTTP/1.1\r\nHost: no.such.host.invalid\r\n")[0] == 407


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_each_plain_method(own: Door, method: str) -> None:
    """Whoever has to say who they are is told so, whatever they ask; a HEAD is no exception."""
    status, _, whole = own.say(f"{method} http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n", Content_Length="0")
    assert status == 407
    assert "Proxy-Authenticate: " in whole


@pytest.mark.parametrize("extra", [{}, {"Expect": "100-continue"}])
def test_a_body_is_not_waited_for(own: Door, extra: dict[str, str]) -> None:
    """The answer comes before the body does, and the connection is closed: what would come is not read for long."""
    began = time.monotonic()
    head = "POST http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n"
    with socket.create_connection(("127.0.0.1", own.port), 20) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        connection.sendall(f"{head}{lines}\r\nabc".encode())
        heard = b""
        while data := connection.recv(65536):
            heard += data
    assert heard.startswith(b"HTTP/1.1 407 ")
    assert b"Connection: close\r\n" in heard
    assert time.monotonic() - began < 15


def test_ten_wrong_passwords(doors: Doors, github: StandIn) -> None:
    """429 for the address that they came from, with the time to wait; the right one from elsewhere is not touched."""
    own = doors(CLIENTS + "trusted_proxies: [127.0.0.1/32]\n")

    def ask(password: str, address: str) -> tuple[int, str, str]:
        return own.connect(github.web, Proxy_Authorization=basic("ci", password), X_Forwarded_For=address)

    assert [own.connect(github.web, X_Forwarded_For="192.0.2.1")[0] for _ in range(12)] == [407] * 12
    assert [ask("wrong", "192.0.2.1")[0] for _ in range(10)] == [407] * 10
    status, reason, whole = ask(CI, "192.0.2.1")
    assert (status, reason) == (429, "gatepass: too many wrong passwords")
    assert re.search(r"Retry-After: (5\d|60)\r\n", whole)
    assert ask(CI, "192.0.2.2")[0] == 200


# ------------------------------------------------------------------------ tokens


def test_wrong_tokens(doors: Doors, github: StandIn) -> None:
    """Each kind is refused with 407 that says why, and is in no log; the right one is known by entry and `sub`."""
    own = doors(CLIENTS + "trusted_proxies: [127.0.0.1/32]\n")
    issuer = github.issuer
    other = Issuer(issuer.url)
    wrong = {
        "it has expired": issuer.token(exp=int(time.time()) - 100),
        "it is not valid yet": issuer.token(nbf=int(time.time()) + 1000),
        "it is for another audience": issuer.token("other"),
        "its issuer is none that the rules name": issuer.token(iss="https://evil.example.com"),
        "it lacks `exp`": issuer.token(exp=None),
        "its claim `repository_owner` is not": issuer.token(repository_owner="evil"),
        "its signature is not its issuer's": other.token(),
    }
    for number, (why, token) in enumerate(wrong.items()):
        given = {"Proxy_Authorization": basic("job", token), "X_Forwarded_For": f"192.0.2.{number}"}
        status, _, whole = own.connect(github.web, **given)
        assert status == 407, why
        assert why in json.loads(whole.partition("\r\n\r\n")[2])["detail"]
    assert own.connect(github.web, Proxy_Authorization=basic("job", issuer.token()))[0] == 200


def test_a_rotation(own: Door, github: StandIn) -> None:
    """A new key is seen at its first token; the documents are fetched by the proxy's own trust, and no more often."""
    issuer = github.issuer
    assert own.connect(github.web, Proxy_Authorization=basic("x", issuer.token()))[0] == 200
    issuer.rotate(keep=True)
    for _ in range(3):
        assert own.connect(github.web, Proxy_Authorization=basic("x", issuer.token()))[0] == 200
    assert len([call for call in github.calls("web") if call.path == "/oidc/keys"]) == 2


def test_an_issuer_that_cannot_be_asked(own: Door, github: StandIn) -> None:
    """503 says which, and why; a password is asked of nobody."""
    github.faults.append(Fault(match="/oidc", status=500, times=9))
    status, _, whole = own.connect(github.web, Proxy_Authorization=basic("x", github.issuer.token()))
    assert status == 503
    document = json.loads(whole.partition("\r\n\r\n")[2])
    assert document["type"].endswith(":issuer-unreachable")
    assert "answered 500" in document["detail"]
    assert "Proxy-Authenticate" not in whole
    assert own.connect(github.web, Proxy_Authorization=basic("ci", CI))[0] == 200


# --------------------------------------------------------------------- addresses


def test_a_network(doors: Doors, wheel_url: str) -> None:
    """Who comes from there needs no password; but one that is shown is looked at."""
    own = doors(CLIENTS + OFFICE)
    assert own.client().fetch(wheel_url, "-L").status == 200
    assert own.client("ci", "wrong").curl(wheel_url).code != 0


@pytest.mark.parametrize("is_plain", [False, True])
def test_behind_a_trusted_proxy(doors: Doors, github: StandIn, *, is_plain: bool) -> None:
    """The rightmost address that is none of theirs is the client's, on CONNECT and on plain requests."""
    own = doors("clients: {office: {networks: [10.20.0.0/16]}}\ntrusted_proxies: [127.0.0.1/32, 10.9.0.0/16]\n")
    head = "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n" if is_plain else f"CONNECT {github.web} HTTP/1.1\r\n"
    for told, is_in in (
        ("10.20.0.1", True),
        ("192.0.2.1, 10.20.0.1", True),
        ("10.20.0.1, 10.9.1.1", True),
        ("10.20.0.1, 192.0.2.1", False),
        ("10.20.0.1, 192.0.2.1, 10.9.1.1", False),
        ("192.0.2.1", False),
        ("10.9.0.1", False),
    ):
        assert (own.say(head, X_Forwarded_For=told)[0] != 407) == is_in, told
    assert own.say(head)[0] == 407
    assert own.say(head, X_Forwarded_For="10.20.0.1, unknown")[0] == 400


def test_nobody_else_tells_an_address(doors: Doors, github: StandIn) -> None:
    """Without `trusted_proxies` X-Forwarded-For is not read."""
    own = doors("clients: {office: {networks: [10.20.0.0/16]}}\n")
    assert own.connect(github.web, X_Forwarded_For="10.20.0.1")[0] == 407


# ------------------------------------------------------------------------- modes


def test_socks(doors: Doors, github: StandIn, wheel_url: str) -> None:
    """SOCKS asks for user and password; nobody gets in without, nor with a wrong one."""
    own = doors(CLIENTS, "--mode=socks5")
    assert own.client("anna", "anna's-password", "socks5h").fetch(wheel_url, "-L").status == 200
    before = len(github.calls())
    assert own.client("anna", "wrong", "socks5h").curl(wheel_url).code != 0
    assert own.client(None, "", "socks5h").curl(wheel_url).code != 0
    assert len(github.calls()) == before


def test_socks_by_address(doors: Doors, wheel_url: str) -> None:
    """Who comes from a network needs none there either; a wrong one is wrong."""
    own = doors(CLIENTS + OFFICE, "--mode=socks5")
    assert own.client(None, "", "socks5h").fetch(wheel_url, "-L").status == 200
    assert own.client("ci", CI, "socks5h").fetch(wheel_url, "-L").status == 200
    assert own.client("ci", "wrong", "socks5h").curl(wheel_url).code != 0


def test_a_reverse_proxy(doors: Doors, github: StandIn) -> None:
    """Its clients are asked as a server asks, and what they say goes no further."""
    own = doors(CLIENTS, f"--mode=reverse:https://{github.web}")
    status, _, whole = own.say("GET /x HTTP/1.1\r\nHost: localhost\r\n")
    assert status == 401
    assert "WWW-Authenticate: Basic " in whole
    assert own.say("GET /x HTTP/1.1\r\nHost: localhost\r\n", Authorization=basic("ci", "wrong"))[0] == 401
    assert github.calls() == []
    assert own.say("GET /x HTTP/1.1\r\nHost: localhost\r\n", Authorization=basic("ci", CI))[0] == 404
    (call,) = github.calls()
    assert "authorization" not in call.headers


def test_where_a_client_can_say_nothing(doors: Doors, github: StandIn) -> None:
    """A mode that carries no HTTP of the client's own lets in by address alone."""
    for more, is_in in ((CLIENTS, False), (CLIENTS + OFFICE, True)):
        own = doors(more, f"--mode=reverse:tcp://{github.web}")
        with (
            contextlib.suppress(ConnectionResetError),
            socket.create_connection(("127.0.0.1", own.port), 20) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            # the stand-in speaks TLS, and closes on what is none
            assert connection.recv(100) == b""
        own.proxy.running.wait_for("client disconnect" if is_in else "client kill connection")
        assert ("server connect" in own.proxy.log) == is_in


# ------------------------------------------------------------------------ faults

BROKEN = """\
from gatepass.egress.clients import Clients
from gatepass.egress.limits import Usage


def broken(*_, **__):
    raise RuntimeError("broken")


{what} = broken
"""


@contextmanager
def broken(github: StandIn, folder: Path, what: str, *options: str) -> Iterator[Door]:
    """A door of which one check raises what nobody foresaw; it has to be met, and no server may be."""
    script = folder / "broken.py"
    script.write_text(BROKEN.format(what=what))
    more = CLIENTS + OFFICE + "limits: {connections: 5, requests: 5}\n"
    with door(github, folder, more, *options, "-s", str(script), is_sound=False) as own:
        yield own
        eventually(lambda: "RuntimeError: broken" in own.proxy.log)
        assert "server connect" not in own.proxy.log
    assert github.calls() == []


@pytest.mark.parametrize("what", ["Clients.identify", "Usage.request", "Usage.connect"])
def test_a_check_that_fails_refuses(github: StandIn, tmp_path: Path, what: str) -> None:
    """500, and no way through: on CONNECT, and on a plain request."""
    with broken(github, tmp_path, what) as own:
        known = {"Proxy_Authorization": basic("ci", CI)}
        assert own.connect(github.web, **known)[:2] == (500, "gatepass: gatepass failed")
        assert own.say("GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n", **known)[0] == 500


@pytest.mark.parametrize(
    ("what", "password"),
    [
        ("Clients.by_password", CI),
        ("Clients.by_address", CI),
        ("Clients.by_address", ""),
        ("Usage.connect", CI),
        ("Usage.connect", ""),
    ],
)
def test_a_check_of_socks_that_fails_refuses(github: StandIn, tmp_path: Path, what: str, password: str) -> None:
    """Neither with a password nor without does anybody get in by it."""
    with broken(github, tmp_path, what, "--mode=socks5") as own:
        client = own.client("ci" if password else None, password, "socks5h")
        assert client.curl(f"https://{github.web}/x").code != 0


@pytest.mark.parametrize("what", ["Clients.by_address", "Usage.connect"])
def test_a_check_of_a_connection_that_fails_refuses(github: StandIn, tmp_path: Path, what: str) -> None:
    """Where nobody can be answered the connection is closed."""
    with (
        broken(github, tmp_path, what, f"--mode=reverse:tcp://{github.web}") as own,
        contextlib.suppress(ConnectionResetError),
        socket.create_connection(("127.0.0.1", own.port), 20) as raw,
    ):
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert raw.recv(100) == b""


# ------------------------------------------------------------------------- rules


DOWNLOADS = "  - match: {web}/acme/*/releases/download/*\n"
FOR = RULES.replace(DOWNLOADS, f"{DOWNLOADS}    name: ours\n    clients: [ci, actions]\n", 1)


def test_a_rule_for_others(doors: Doors, github: StandIn, wheel_url: str) -> None:
    """403 names it and whom it is for; the source of its credential is not asked, nor anything else."""
    own = doors(CLIENTS, rules=FOR)
    reply = own.client("anna", "anna's-password").fetch(wheel_url)
    assert (reply.status, problem(reply)) == (403, "client-not-allowed")
    detail = json.loads(reply.body)["detail"]
    assert "rule `ours` is for `ci`, `actions`, not for `developers`" in detail
    assert github.calls() == []
    assert "credential `standin` from" not in own.proxy.log.partition("client connect")[2]
    assert own.client("ci", CI).fetch(wheel_url, "-L").status == 200
    assert own.client("x", github.issuer.token()).fetch(wheel_url, "-L").status == 200


def test_a_rule_for_others_that_only_reports(doors: Doors, github: StandIn, wheel_url: str) -> None:
    """It is told, and the request passes without a credential; who asks has to be known all the same."""
    own = doors(CLIENTS + "egress: {report_only: true, private: [127.0.0.0/8]}\n", rules=FOR)
    assert own.client("anna", "anna's-password").fetch(wheel_url).status == 404
    (call,) = github.calls()
    assert "authorization" not in call.headers
    assert re.search(r"GET \S+: would be refused: the rule is not for this client", own.proxy.log)
    assert own.connect(github.web)[0] == 407


def test_a_client_that_is_gone(doors: Doors, github: StandIn) -> None:
    """A decrypted connection is refused at its next request once the rules do not name its client any more."""
    own = doors(CLIENTS, "-s", str(Path(__file__).parents[1] / "reread.py"))
    host, _, port = github.web.partition(":")
    ask = f"GET /x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    known = basic("anna", "anna's-password")
    context = ssl.create_default_context(cafile=str(own.proxy.bundle))
    with socket.create_connection(("127.0.0.1", own.port), 20) as raw:
        raw.sendall(f"CONNECT {github.web} HTTP/1.1\r\nProxy-Authorization: {known}\r\n\r\n".encode())
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
        with context.wrap_socket(raw, server_hostname=host) as connection:
            connection.sendall(ask)
            assert answer(connection).startswith(b"HTTP/1.1 404")
            htpasswd("-D", own.home / "users", "anna")
            assert own.say("GET http://reread.internal/ HTTP/1.1\r\nHost: x\r\n")[0] == 204
            connection.sendall(ask)
            assert answer(connection).startswith(b"HTTP/1.1 403 gatepass: the proxy does not know this client")
    assert len(github.calls("web")) == 1


def test_who_asks_stands_in_the_audit(doors: Doors, github: StandIn, tmp_path: Path, wheel_url: str) -> None:
    """By the entry's name, a user's own, and a token's `sub`; of whom nobody knows the address, as a proxy tells it."""
    file = tmp_path / "audit.jsonl"
    own = doors(CLIENTS + "trusted_proxies: [127.0.0.1/32]\n", f"--set=gatepass_audit={file}", rules=FOR)
    own.connect(github.web, X_Forwarded_For="192.0.2.7")
    for user, password in (("anna", "anna's-password"), ("job", github.issuer.token())):
        own.client(user, password).fetch(wheel_url)
    eventually(lambda: file.read_text().count("\n") == 3)
    nobody, anna, job = auditing.read(file)
    assert (nobody["source"]["ip"], nobody["event"]["action"]) == ("192.0.2.7", "refuse")
    assert "user" not in nobody
    assert (anna["user"], anna["rule"]) == ({"name": "anna"}, {"name": "ours"})
    assert anna["gatepass"]["problem"].endswith("client-not-allowed")
    assert job["user"] == {"name": "actions", "id": "repo:acme/tool:ref:refs/heads/main"}
    assert "eyJ" not in file.read_text()


# ------------------------------------------------------------------------- limits


def test_connections_at_once(doors: Doors, github: StandIn) -> None:
    """The one too many gets 429 on its CONNECT, with Retry-After; each client has its own, and an end makes room."""
    own = doors(CLIENTS + "limits: {connections: 2}\n")
    head = f"CONNECT {github.web} HTTP/1.1\r\nProxy-Authorization: {basic('ci', CI)}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", own.port), 20))
            connection.sendall(head)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        status, reason, whole = own.connect(github.web, Proxy_Authorization=basic("ci", CI))
        assert (status, reason) == (429, "gatepass: too many connections at once")
        assert "limits.connections" in whole
        assert "Retry-After: " in whole
        for user in ("anna", "bert"):
            assert own.connect(github.web, Proxy_Authorization=basic(user, f"{user}'s-password"))[0] == 200
    eventually(lambda: own.connect(github.web, Proxy_Authorization=basic("ci", CI))[0] == 200)


def test_requests_a_minute(doors: Doors, github: StandIn) -> None:
    """CONNECTs and decrypted requests count together; 429 says which limit, and when to come again."""
    own = doors(CLIENTS + "limits: {requests: 4}\n")
    client = own.client("ci", CI)
    urls = [f"https://{github.web}/x{number}" for number in range(3)]
    assert client.fetch(urls[0], *urls[1:], "-o", "/dev/null", "-o", "/dev/null").status == 404
    status, reason, whole = own.connect(github.web, Proxy_Authorization=basic("ci", CI))
    assert (status, reason) == (429, "gatepass: too many requests")
    assert re.search(r"Retry-After: \d+\r\n", whole)
    assert "limits.requests" in whole
    assert own.connect(github.web, Proxy_Authorization=basic("anna", "anna's-password"))[0] == 200


def test_a_decrypted_request_too_many(doors: Doors, github: StandIn) -> None:
    """It is answered where it is asked, and goes nowhere."""
    own = doors("limits: {requests: 3}\n")
    client = own.client()
    urls = [f"https://{github.web}/x{number}" for number in range(3)]
    reply = client.fetch(urls[2], urls[0], urls[1], "-o", "/dev/null", "-o", "/dev/null")
    assert {call.path for call in github.calls()} < {"/x0", "/x1", "/x2"}
    assert len(github.calls()) == 2
    assert reply.status in (404, 429)


def test_what_is_known_is_served_though_misses_are_spent(doors: Doors, wheel_url: str) -> None:
    """Who asks too often for what is not there gets what is known on; each user of a file has their own misses."""
    own = doors(CLIENTS + "limits: {misses: 2}\n")
    anna = own.client("anna", "anna's-password")
    assert anna.fetch(wheel_url, "-L").status == 200
    missing = wheel_url.replace("/v1.0/", "/v{}/")
    replies = [anna.fetch(missing.format(number)) for number in range(2, 6)]
    assert [reply.status for reply in replies][-1] == 429
    assert problem(replies[-1]) == "too-many-misses"
    assert "asked 2 times" in json.loads(replies[-1].body)["detail"]
    assert anna.fetch(wheel_url, "-L").status == 200
    assert own.client("bert", "bert's-password").fetch(missing.format(9)).status == 404


# ------------------------------------------------------------------- the commands


def test_serve_makes_no_password_of_its_own(shell: Shell, wheel_url: str) -> None:
    """Where the rules name clients `serve` prints what they have to show, and lets in nobody else."""
    rules = shell.home / "clients.yaml"
    rules.write_text(shell.rules.read_text() + "clients: {ci: {password: [env:CI_PROXY_PASSWORD]}}\n" + PRIVATE)
    env = dict(shell.env) | {"CI_PROXY_PASSWORD": CI, "XDG_RUNTIME_DIR": str(shell.home / "runtime")}
    command: list[str | Path] = [GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0"]
    with background(command, env, shell.home) as serving:
        port = int(serving.wait_for(r"export HTTPS_PROXY=http://USER:PASSWORD@127\.0\.0\.1:(\d+)")[1])
        bundle = serving.wait_for(r"export SSL_CERT_FILE=(\S+)")[1]
        assert "user ci with its password" in serving.output
        assert "no password is asked" not in serving.output
        assert "whoever reaches" not in serving.output
        for password, code in (("wrong", False), (CI, True)):
            variables = dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE"), bundle)
            variables["https_proxy"] = f"http://ci:{password}@127.0.0.1:{port}"
            client = Client(shell.home, variables)
            assert (client.curl("-fL", "-o", "out", wheel_url).code == 0) == code
    assert CI not in serving.output


@pytest.mark.parametrize(("office", "status"), [(False, "403"), (True, "302")])
def test_run_obeys_the_rules(shell: Shell, wheel_url: str, *, office: bool, status: str) -> None:
    """Its command has no name unless its address has one; a rule for others is none of its, nor is their password."""
    text = shell.rules.read_text().replace("    resolve:", "    clients: [ci, office]\n    resolve:")
    text += "clients:\n  ci: {password: [env:CI_PROXY_PASSWORD]}\n"
    text += f"  office: {{networks: [{'127.0.0.0/8' if office else '192.0.2.0/24'}]}}\n"
    rules = shell.home / "run.yaml"
    rules.write_text(text)
    mine = replace(shell, rules=rules, env=dict(shell.env) | {"CI_PROXY_PASSWORD": CI})
    script = 'echo "$CI_PROXY_PASSWORD-"; curl -s -o /dev/null -w "%{http_code}" "$0"'
    done = mine.run("sh", "-c", script, wheel_url)
    assert done.stdout.decode() == f"-\n{status}", done.stderr


@pytest.mark.parametrize("command", ["check", "run", "serve"])
def test_a_file_of_users_that_is_not_there(shell: Shell, command: str) -> None:
    """It is an error at `check` and at the start, which says where the rules name it."""
    rules = shell.home / "clients.yaml"
    rules.write_text(shell.rules.read_text() + "clients: {developers: {htpasswd: nowhere}}\n")
    more = {"check": ["--offline"], "run": ["--", "true"], "serve": ["--listen", "127.0.0.1:0"]}
    done = shell.gatepass(command, "--rules", rules, *more[command])
    assert done.returncode != 0
    told = (done.stdout + done.stderr).decode()
    assert re.search(
        r"clients\.yaml:\d+:\d+: clients\.developers\.htpasswd: expected a file of Apache's htpasswd", told
    )
    assert "hint: `htpasswd -B -c " in told


def test_check_warns_of_users_who_are_described_twice(shell: Shell) -> None:
    """A user of a file who is called as an entry is the first's: `check` says so, and that is no error."""
    htpasswd("-cbB", shell.home / "users", "ci", "x")
    rules = shell.home / "clients.yaml"
    clients = "clients:\n  ci: {password: [env:CI_PROXY_PASSWORD]}\n  developers: {htpasswd: users}\n"
    rules.write_text(shell.rules.read_text() + clients)
    done = shell.gatepass("check", "--rules", rules, "--offline")
    assert done.returncode == 0
    assert "is never known as `developers`: client `ci` comes first" in done.stderr.decode()
