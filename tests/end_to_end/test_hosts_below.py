"""A header rule for `*.example.com`, end to end: its secret goes to the host that is asked, where that is below."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness import Client, Shell
from origin import Trust, echo, origin
from road import road

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from origin import Origin

SECRET = "s3cr3t"
BELOW = ("a.example.com", "b.a.example.com")
OTHERS = ("example.com", "notexample.com", "example.com.evil.test")

RULES = """\
version: 1
credentials: {below: {from: [env:BELOW], hosts: ["*.example.com"]}}
rules:
  - {match: "*.example.com/private/*", headers: {X-Token: "{credential}"}, credential: below}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """A server with all of these names."""
    with origin(Trust(tmp_path_factory.mktemp("trust"), *BELOW, *OTHERS)) as server:
        server.answers["/"] = echo
        yield server


@pytest.fixture
def shell(server: Origin, tmp_path: Path) -> Iterator[Shell]:
    """A shell from which a company's proxy is the only way to them."""
    rules = tmp_path / "below.yaml"
    rules.write_text(RULES)
    with road() as way:
        way.ports |= dict.fromkeys((*BELOW, *OTHERS), int(server.host.partition(":")[2]))
        variables = {"SSL_CERT_FILE": str(server.trust.ca), "HTTPS_PROXY": way.url, "BELOW": SECRET}
        yield Shell(tmp_path, rules, Client(tmp_path, variables).env)


def test_hosts_below(shell: Shell, server: Origin) -> None:
    """The secret goes to every host below, which hears its own name, and trusts what the proxy's CA may vouch for; to
    no other host, and to no other path.
    """
    server.asked.clear()
    urls = [f"https://{name}/private/x" for name in (*BELOW, *OTHERS)]
    done = shell.run("curl", "-sS", "--fail-early", "-f", *urls, f"https://{BELOW[0]}/public")
    assert done.returncode == 0, done.stderr.decode()
    expected = [(name, [SECRET] if name in BELOW else []) for name in (*BELOW, *OTHERS)]
    got = [(asked.values("Host")[0], asked.values("X-Token")) for asked in server.asked]
    assert got == [*expected, (BELOW[0], [])]


def test_what_is_said(shell: Shell) -> None:
    """`check` and `explain` say which hosts are meant, and which of them is asked."""
    told = shell.gatepass("check", "--offline", shell.rules).stdout.decode()
    assert "\nintercepted: *.example.com\n" in told
    assert re.search(r"sent to +\*\.example\.com, and nowhere else", told)
    told = shell.gatepass("explain", "--rules", shell.rules, f"https://{BELOW[0]}/private/x").stdout.decode()
    assert "sets X-Token on the request" in told
    told = shell.gatepass(
        "explain", "--rules", shell.rules, f"https://{OTHERS[0]}/o/r/releases/download/v1/x"
    ).stdout.decode()
    assert "its host is `*.example.com`, not `example.com`" in told
