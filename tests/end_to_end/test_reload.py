"""Rules read again while the proxy runs: all or nothing, and nothing that has begun is lost."""

from __future__ import annotations

import base64
import re
import signal
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Token
from harness import DEADLINE, GATEPASS, Client, background, eventually, mitmdump
from terminal import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn
    from harness import Running, Shell

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

AGAIN = "rules read again"
REFUSED = "rules not replaced"


@pytest.fixture
def file(shell: Shell) -> Path:
    """A rules file of the test's own."""
    path = shell.home / "mine.yaml"
    path.write_text(shell.rules.read_text())
    return path


@contextmanager
def serving(shell: Shell, file: Path, *options: str) -> Iterator[tuple[Running, Client]]:
    """`gatepass serve` with that file, and a client of it."""
    command: list[str | Path] = [GATEPASS, "serve", "--rules", file, *options]
    if not any(option.startswith("--listen") for option in options):
        command.append("--listen=127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))
        yield running, Client(shell.home, variables)
    assert "Traceback" not in running.output
    assert DEFAULT_TOKEN not in running.output


def without_releases(text: str) -> str:
    """The same rules, which serve nobody's release: no request falls under them."""
    return text.replace("/acme/*/releases", "/nobody/*/releases")


def count(running: Running, text: str, wanted: int) -> None:
    """Wait until that has been said so often; it is not said once more within the time that a look takes."""
    eventually(lambda: running.output.count(text) >= wanted)
    assert running.output.count(text) == wanted, running.output


# --------------------------------------------------------------------- the file


def test_a_changed_file(shell: Shell, file: Path, wheel_url: str) -> None:
    """Within five seconds a changed file is in force, and what it names no longer is not served."""
    whole = file.read_text()
    with serving(shell, file) as (running, client):
        assert client.fetch(wheel_url).status == 302
        for number, (text, status) in enumerate([(without_releases(whole), 404), (whole, 302)], 1):
            file.write_text(text)
            changed = time.monotonic()
            while client.fetch(wheel_url).status != status:
                assert time.monotonic() - changed < 5
            count(running, AGAIN, number)


def test_an_untouched_file(shell: Shell, file: Path) -> None:
    """A file that holds what it held is not read again, whatever its times say; nothing is said."""
    with serving(shell, file) as (running, _):
        said = running.output
        time.sleep(1.5)
        file.write_bytes(file.read_bytes())
        file.touch()
        time.sleep(3)
        assert running.output == said


def test_a_broken_file(shell: Shell, file: Path, wheel_url: str) -> None:
    """A broken file is told once, where it is wrong, and the last good rules stay at work; mended, it is in force."""
    whole = file.read_text()
    with serving(shell, file) as (running, client):
        file.write_text(whole.replace("/acme/*/releases/download/*", "", 1))
        running.wait_for(REFUSED + r", those of before are at work: \S*mine\.yaml:10:\d+: rules\[0\]\.match: expected")
        assert client.fetch(wheel_url).status == 302
        time.sleep(3)
        count(running, REFUSED, 1)
        file.write_text(without_releases(whole))
        running.wait_for(AGAIN)
        assert client.fetch(wheel_url).status == 404
    assert running.process.returncode == 0


def test_a_file_that_vanishes(shell: Shell, file: Path, wheel_url: str) -> None:
    """A file that has gone leaves its rules at work; another one renamed to its place is read."""
    whole = file.read_text()
    with serving(shell, file) as (running, client):
        file.unlink()
        running.wait_for(REFUSED + r".*mine\.yaml: expected a rules file, got no such file")
        assert client.fetch(wheel_url).status == 302
        other = file.with_suffix(".new")
        other.write_text(without_releases(whole))
        other.rename(file)
        running.wait_for(AGAIN)
        assert client.fetch(wheel_url).status == 404


def test_a_link_that_is_swapped(shell: Shell, file: Path, wheel_url: str) -> None:
    """As Kubernetes changes a ConfigMap: the folder behind the file's link is another one, at once."""
    whole = file.read_text()
    file.unlink()
    for name, text in (("..1", whole), ("..2", without_releases(whole))):
        (shell.home / name).mkdir()
        (shell.home / name / file.name).write_text(text)
    (shell.home / "..data").symlink_to("..1")
    file.symlink_to(f"..data/{file.name}")
    with serving(shell, file) as (running, client):
        assert client.fetch(wheel_url).status == 302
        (shell.home / "..data_tmp").symlink_to("..2")
        (shell.home / "..data_tmp").rename(shell.home / "..data")
        running.wait_for(AGAIN)
        assert client.fetch(wheel_url).status == 404
        assert REFUSED not in running.output


def test_a_file_that_is_written_in_two_halves(shell: Shell, file: Path, wheel_url: str) -> None:
    """Half a file, be it good rules by itself, is not in force while its other half is being written."""
    whole = file.read_text()
    half = whole.rindex("  - match")
    with serving(shell, file) as (running, client):
        for _ in range(3):
            file.write_text(whole[:half])
            time.sleep(0.4)
            with file.open("a") as stream:
                stream.write(f"{whole[half:]}# changed\n")
            time.sleep(1.2)
        running.wait_for(AGAIN)
        time.sleep(2.5)
        assert running.output.count(AGAIN) == len(re.findall(AGAIN + ": 3 rules", running.output)) >= 1
        assert client.fetch(wheel_url).status == 302


def test_a_host_that_the_ca_may_not_vouch_for(shell: Shell, file: Path, wheel_url: str) -> None:
    """Rules for a host that clients would refuse are not put in force; it is told as `serve` tells it at its start."""
    whole = file.read_text()
    with serving(shell, file) as (running, client):
        file.write_text(f"{whole}  - match: example.com/*\n    headers: {{X-A: b}}\n")
        running.wait_for(
            REFUSED + r".*expected a CA for every host that a rule names, got one for .*not `example\.com`"
        )
        assert "hint: `gatepass ca renew` makes a new one" in running.output
        assert client.fetch(wheel_url).status == 302
    done = shell.gatepass("serve", "--rules", file, "--listen=127.0.0.1:0")
    assert done.returncode == 1
    assert b"expected a CA for every host that a rule names, got one for " in done.stderr


CLIENTS = """\
clients:
  office: {networks: [127.0.0.0/8]}
  developers: {htpasswd: users}
"""


def test_a_file_that_the_rules_name(shell: Shell, file: Path) -> None:
    """With a file of users the rules have changed, though their own file has not."""
    (shell.home / "users").write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    file.write_text(file.read_text() + CLIENTS)
    with serving(shell, file) as (running, _):
        for number in (1, 2):
            (shell.home / "users").write_text(f"user{number}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
            count(running, AGAIN, number)


def test_tunnels_of_a_client_that_is_gone(shell: Shell, file: Path, github: StandIn) -> None:
    """Within ten seconds the tunnels of a user end who is in the file no more; those of another go on."""
    users = shell.home / "users"
    users.write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nyou:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")  # `password`
    file.write_text(file.read_text() + "clients:\n  developers: {htpasswd: users}\n")
    with serving(shell, file, "--no-password") as (running, client):
        port = urlsplit(client.variables["HTTPS_PROXY"]).port
        api = urlsplit(github.api).netloc
        tunnels = {}
        for user in ("me", "you"):
            login = base64.b64encode(f"{user}:password".encode()).decode()
            tunnels[user] = socket.create_connection(("127.0.0.1", port), 10)
            tunnels[user].sendall(f"CONNECT {api} HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
            assert tunnels[user].recv(1000).startswith(b"HTTP/1.1 200")
            tunnels[user].sendall(b"\x16\x03\x01\x01\x00")  # the begin of a TLS record, whose rest is waited for
        users.write_text(users.read_text().splitlines()[1] + "\n")
        running.wait_for(AGAIN)
        assert tunnels["me"].recv(1000) == b""
        tunnels["you"].settimeout(3)
        with pytest.raises(TimeoutError):
            tunnels["you"].recv(1000)
        for tunnel in tunnels.values():
            tunnel.close()


def test_silent_tunnels_of_a_client_that_is_gone(shell: Shell, file: Path, github: StandIn) -> None:
    """Those end, too, in which nobody has said anything yet, and what becomes a tunnel only later."""
    users = shell.home / "users"
    users.write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nyou:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")  # `password`
    file.write_text(file.read_text() + "clients: {developers: {htpasswd: users}}\negress: {private: [127.0.0.0/8]}\n")
    login = base64.b64encode(b"me:password").decode()
    with serving(shell, file, "--no-password") as (running, client):
        port = urlsplit(client.variables["HTTPS_PROXY"]).port
        tunnels = {}
        for host in (github.asset_host, github.web):
            tunnels[host] = socket.create_connection(("127.0.0.1", port), 10)
            tunnels[host].sendall(f"CONNECT {host} HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
            assert tunnels[host].recv(1000).startswith(b"HTTP/1.1 200")
        users.write_text(users.read_text().splitlines()[1] + "\n")
        # no rule names its host any more: nothing of it is decrypted
        file.write_text(file.read_text().replace(github.web, "localhost:1"))
        assert tunnels[github.asset_host].recv(1000) == b""
        running.wait_for(f"(?s){AGAIN}.*for localhost:1,")
        time.sleep(5)  # more than the tunnels of a reload take to end
        tunnels[github.web].sendall(b"\x16\x03\x01\x01\x00")
        assert tunnels[github.web].recv(1000) == b""
        for tunnel in tunnels.values():
            tunnel.close()


def test_rules_that_ask_nobody_any_more(shell: Shell, file: Path, wheel_url: str) -> None:
    """Rules without `clients` do not take the place of rules that have them: nobody would be asked for a password."""
    whole = file.read_text()
    (shell.home / "users").write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    file.write_text(whole + CLIENTS)
    with serving(shell, file, "--no-password", "--listen=0.0.0.0:0") as (running, client):
        file.write_text(whole)
        running.wait_for(REFUSED + r".*expected `clients`, as before, got none: whoever reaches the proxy could use")
        port = urlsplit(client.variables["HTTPS_PROXY"]).port
        assert client.fetch(wheel_url, "-x", f"http://127.0.0.1:{port}").status == 302


# ------------------------------------------------------------- files nobody named


def test_a_file_that_has_to_be_allowed(shell: Shell, wheel_url: str) -> None:
    """./rules.yaml as it was allowed is at work until it is allowed as it is now; no other file takes its place."""
    file = shell.home / "rules.yaml"
    file.write_text(shell.rules.read_text())
    assert shell.gatepass("allow").returncode == 0
    with background([GATEPASS, "serve", "--listen=127.0.0.1:0"], shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        client = Client(shell.home, dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE)))
        file.write_text(without_releases(file.read_text()))
        running.wait_for(REFUSED + r".*rules\.yaml: expected what was allowed, got something else")
        assert client.fetch(wheel_url).status == 302
        assert shell.gatepass("allow").returncode == 0
        running.wait_for(AGAIN)
        assert client.fetch(wheel_url).status == 404


def test_the_users_file(shell: Shell, wheel_url: str) -> None:
    """When the user's rules have gone, the built-in ones do not take their place: a proxy opens nothing by itself."""
    file = shell.home / ".config" / "gatepass" / "rules.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(shell.rules.read_text())
    with background([GATEPASS, "serve", "--listen=127.0.0.1:0"], shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        client = Client(shell.home, dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE)))
        file.rename(file.with_suffix(".bak"))
        running.wait_for(REFUSED + r".*rules\.yaml: expected a rules file, got no such file")
        running.process.send_signal(signal.SIGHUP)
        count(running, REFUSED, 2)
        assert client.fetch(wheel_url).status == 302


# -------------------------------------------------------------------- the signal


def test_hangup_reads_secrets_anew(shell: Shell, file: Path, wheel_url: str, github: StandIn) -> None:
    """SIGHUP reads rules and secrets again, though no file of rules has changed; and it ends nothing."""
    secret = shell.home / "token"
    secret.write_text(DEFAULT_TOKEN)
    secret.chmod(0o600)
    file.write_text(file.read_text().replace("env:STANDIN_TOKEN", f"file:{secret}"))
    with serving(shell, file) as (running, client):
        assert client.fetch(wheel_url).status == 302
        github.tokens[:] = [Token("ghp_TheOtherTokenTheOtherTokenTheOther99")]
        secret.write_text(github.tokens[0].value)
        github.forget()
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(AGAIN)
        assert client.fetch(wheel_url).status == 302
        assert not any(DEFAULT_TOKEN in str(request.headers) for request in github.calls())
        assert any(github.tokens[0].value in str(request.headers) for request in github.calls())


def test_a_terminal_that_goes_away(shell: Shell, file: Path) -> None:
    """A hangup that somebody sends reads the rules again, in a terminal as well; the terminal's own ends `serve`."""
    place = shell.home / "tmp"
    place.mkdir()
    env = {**shell.env, "TMPDIR": str(place)}
    command = (GATEPASS, "serve", "--rules", file, "--listen", "127.0.0.1:0")
    with terminal(command, env, shell.home) as shown:
        shown.wait_for(r"export SSL_CERT_FILE=\S+\n")
        shown.process.send_signal(signal.SIGHUP)
        shown.wait_for(AGAIN)
        time.sleep(4)
        assert shown.process.poll() is None
        shown.hang_up()
        assert shown.process.wait(DEADLINE) == 0
    assert list(place.iterdir()) == []


# ---------------------------------------------------------------- what has begun


def test_a_transfer_goes_on(shell: Shell, file: Path, publish: Publish, github: StandIn) -> None:
    """What is under way when other rules come is finished as it was begun."""
    url = publish(b"x" * 3_000_000)
    github.stream_assets = True
    whole = file.read_text()
    with serving(shell, file) as (running, client):
        results = []
        slow = threading.Thread(
            target=lambda: results.append(client.fetch(url, "-L", "--limit-rate", "1M")), daemon=True
        )
        slow.start()
        eventually(lambda: any(call.role == "api" for call in github.calls()))
        file.write_text(without_releases(whole))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(AGAIN)
        assert not results
        slow.join(DEADLINE)
        assert (results[0].status, len(results[0].body)) == (200, 3_000_000)


def reload_under_load(shell: Shell, file: Path, url: str, times: int) -> None:
    """So many reloads while four clients ask one time after the other: each is answered as it should."""
    statuses: list[int] = []
    over = threading.Event()
    with serving(shell, file) as (running, client):

        def ask(home: Path) -> None:
            home.mkdir()
            one = Client(home, client.variables)
            while not over.is_set():
                statuses.append(one.fetch(url).status)

        clients = [threading.Thread(target=ask, args=(shell.home / f"client{n}",), daemon=True) for n in range(4)]
        for thread in clients:
            thread.start()
        eventually(lambda: len(statuses) > 4)
        for number in range(1, times + 1):
            running.process.send_signal(signal.SIGHUP)
            count(running, AGAIN, number)
        over.set()
        for thread in clients:
            thread.join(DEADLINE)
        assert running.output.count(AGAIN) == times
    assert set(statuses) == {302}
    assert len(statuses) > 20


def test_a_hundred_reloads(shell: Shell, file: Path, wheel_url: str) -> None:
    """A hundred reloads under load lose no request."""
    reload_under_load(shell, file, wheel_url, 100)


@pytest.mark.slow
def test_two_thousand_reloads(shell: Shell, file: Path, wheel_url: str) -> None:
    """Nor do many more."""
    reload_under_load(shell, file, wheel_url, 2000)


# ----------------------------------------------------------------- who does not


def test_mitmdump_watches_too(shell: Shell, file: Path, wheel_url: str, github: StandIn) -> None:
    """`mitmdump -s` minds a changed file as `serve` does, unless `gatepass_watch` is off."""
    whole = file.read_text()
    for options, said in (((), True), (("--set", "gatepass_watch=false"), False)):
        file.write_text(whole)
        with mitmdump(shell.home, file, github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
            file.write_text(without_releases(whole))
            if said:
                proxy.running.wait_for(AGAIN)
            else:
                time.sleep(4)
            client = Client(shell.home, proxy.variables())
            assert client.fetch(wheel_url).status == (404 if said else 302)
            assert (AGAIN in proxy.log) is said


def test_run_does_not_watch(shell: Shell, file: Path, wheel_url: str) -> None:
    """A command has the rules that it was started under."""
    mine = replace(shell, rules=file)
    file.write_text(file.read_text())
    script = f"printf x >> {file}; sleep 4; curl -sS -o out -w '%{{http_code}}' {wheel_url}"
    done = mine.run("sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"302", b"")
