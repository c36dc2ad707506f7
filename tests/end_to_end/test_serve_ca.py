"""The CA of `gatepass serve`, as its clients meet it."""

from __future__ import annotations

import dataclasses
import datetime
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from gatepass import files
from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.trust import authority, bundles
from harness import GATEPASS, Client, Running, background, call, clean_environment
from issuing import Shell, hosts, shell_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn

pytestmark = pytest.mark.slow  # each starts a server of its own

DAY = datetime.timedelta(days=1)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return shell_at(tmp_path)


@pytest.fixture
def serving(shell: Shell, github: StandIn, rules: Path) -> Shell:
    """A shell with the stand-in's rules, CA and token."""
    shutil.copy(rules, shell.home / "rules.yaml")
    env = {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN, "GATEPASS_RULES": "rules.yaml"}
    return dataclasses.replace(shell, env={**shell.env, **env})


@contextmanager
def serve(shell: Shell, *options: str | Path) -> Iterator[tuple[Running, dict[str, str]]]:
    """`gatepass serve`, and the variables that it prints for clients."""
    with background([GATEPASS, "serve", "--listen", "127.0.0.1:0", *options], shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        yield running, dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))


def test_serve_with_its_own_ca(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """The first `serve` makes the CA, the next uses it: a client that was set up once gets a wheel from both."""
    told = set()
    for turn in ("first", "second"):
        with serve(serving) as (running, variables):
            client = Client(tmp_path, variables)
            result = client.uv("pip", "install", "--target", turn, f"acme-tool @ {wheel_url}")
            assert result.code == 0, result.output
            assert (tmp_path / turn / "acme_tool.py").exists()
            told.add((variables["SSL_CERT_FILE"], Path(variables["SSL_CERT_FILE"]).read_text()))
        assert "PRIVATE" not in running.output
        assert DEFAULT_TOKEN not in running.output
    ((path, _),) = told
    assert path == str(serving.folder / bundles.BUNDLE_FILE)
    assert not (serving.home / ".mitmproxy").exists()
    assert re.search(r"permits +localhost, gatepass\.internal\n", serving.ca().output)


def test_serve_lets_no_foreign_names_along(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """The stand-in's certificate names 127.0.0.1 too, and so may an upstream's: clients are shown their host alone."""
    with serve(serving, "--no-password", "--", "--set", "connection_strategy=eager") as (_, variables):
        reply = Client(tmp_path, variables).fetch(wheel_url)
        assert reply.status == 302
        address = variables["HTTPS_PROXY"].removeprefix("http://")
        host = wheel_url.split("/")[2]
        command = ["openssl", "s_client", "-proxy", address, "-connect", host, "-servername", "localhost", "-showcerts"]
        shown = call(command, clean_environment()).output
    leaf = x509.load_pem_x509_certificate(bundles.certificates(shown)[0].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["localhost"]


def test_serve_with_a_ca_of_the_users(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """A `confdir` of the user's keeps its CA: none is made, nothing is checked, and the bundle is written there."""
    own = tmp_path / "own"
    for option in (["--set", f"confdir={own}"], [f"--set=confdir={own}"]):
        with serve(serving, "--", *option) as (_, variables):
            assert variables["SSL_CERT_FILE"] == str(own / bundles.BUNDLE_FILE)
            assert Client(tmp_path, variables).fetch(wheel_url).status == 302
    assert not serving.folder.exists()


def test_serve_warns_of_the_end(shell: Shell) -> None:
    """A CA that ends soon is said at the start, with the command that renews it, and serves on."""
    shell.ca("create")
    files.write(shell.folder / authority.CA_FILE, authority.make(hosts("localhost"), 12 * DAY), 0o600)
    with serve(shell) as (running, _):
        assert re.search(r"^warning: .*: the CA expires in 11 days, on ", running.output, re.MULTILINE)
        assert "hint: `gatepass ca renew`" in running.output
