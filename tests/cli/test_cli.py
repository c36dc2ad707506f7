"""`gatepass run` and `serve`, when they do not start: each mistake is told before there is a proxy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gatepass.cli import COMMANDS

if TYPE_CHECKING:
    from harness import Shell


@pytest.mark.parametrize(
    "command", [("run", "--rules", "wrong.yaml", "--", "true"), ("serve", "--rules", "wrong.yaml")]
)
def test_wrong_rules(shell: Shell, command: tuple[str, ...]) -> None:
    """Wrong rules are told before anything starts: where, what was expected, what was got; no traceback."""
    (shell.home / "wrong.yaml").write_text(shell.rules.read_text().replace("/acme/*/releases/download/*", "", 1))
    done = shell.gatepass(*command)
    assert done.returncode == 1
    assert re.search(rb"wrong\.yaml:10:\d+: rules\[0\]\.match: expected HOST/PATH, got `localhost:", done.stderr)
    assert b"hint: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("run", "--rules", "none.yaml", "--", "true"), ("serve", "--rules", "none.yaml")])
def test_missing_rules(shell: Shell, command: tuple[str, ...]) -> None:
    """A rules file that is named and not there is an error."""
    done = shell.gatepass(*command)
    assert done.returncode == 1
    assert b"none.yaml: expected a rules file" in done.stderr


@pytest.mark.parametrize("address", ["8080", "localhost:http", "127.0.0.1:99999", "127.0.0.1:", "[::1:8080"])
def test_serve_on_a_wrong_address(shell: Shell, address: str) -> None:
    """An address that is none is an error with an example."""
    done = shell.gatepass("serve", "--rules", shell.rules, "--listen", address)
    assert done.returncode == 1
    assert f"--listen: expected HOST:PORT, got `{address}`" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("options", [("--mode", "transparent"), ("-m", "local:curl"), ("--set", "mode=wireguard")])
def test_serve_in_a_mode_of_addresses(shell: Shell, options: tuple[str, ...]) -> None:
    """Where certificates would name addresses, for which its CA may not vouch, `serve` says so before it starts."""
    done = shell.gatepass("serve", "--listen", "127.0.0.1:0", "--", *options)
    assert done.returncode == 1
    assert b"error: --mode: expected one in which clients tell the server by its name" in done.stderr
    assert b"hint: " in done.stderr


# ------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--no-such", "--", "touch", "ran"),
        ("run", "--verbos", "touch", "ran"),
        ("run", "-x", "touch", "ran"),
        ("run", "--rule=x", "touch", "ran"),
        ("serve", "--no-such"),
        ("serve", "--set", "confdir=x"),
        ("serve", "-w", "flows"),
    ],
)
def test_an_option_that_is_none(shell: Shell, arguments: tuple[str, ...]) -> None:
    """An option that is none of the command's is wrong usage: neither a command to run, nor mitmdump's."""
    done = shell.gatepass(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"No such option" in done.stderr
    assert not (shell.home / "ran").exists()


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("ca", "show"), ("ca", "trust")])
def test_short_help(shell: Shell, command: tuple[str, ...]) -> None:
    """`-h` is `--help`, of each command; and `-V` is `--version`."""
    short, long = (shell.gatepass(*command, option) for option in ("-h", "--help"))
    assert short.returncode == 0
    assert short.stdout == long.stdout != b""
    if not command:
        assert shell.gatepass("-V").stdout == shell.gatepass("--version").stdout == b"gatepass, version 0.1.0\n"
