"""`gatepass run`: a command under a proxy of its own."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepass import files
from gatepass.cli.options import load_rules, rules_option, say, say_all
from gatepass.errors import GatepassError, printable
from gatepass.shell import environment, inherited, overruling, tempdir, tools
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What a supervisor sends to end, reload or poke a program; and what a terminal sends to the command as well.
_PASSED_ON = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT")
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")

_MARK = "GATEPASS_RUN"
"""In the environment of a command that runs under a proxy already: the folder of that one, gone when it has ended."""


@click.command(context_settings={"allow_interspersed_args": False})
@rules_option
@click.option("--keep-token", is_flag=True, help="Leave the variables that the rules read to COMMAND.")
@click.option("--all-through-proxy", is_flag=True, help="Send the bytes through the proxy, too: nothing goes directly.")
@click.option("--verbose", "-v", is_flag=True, help="Say what is done for each request, on stderr.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(rules: Path | None, keep_token: bool, all_through_proxy: bool, verbose: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND with its HTTPS going through a proxy that lives as long as it does.

    Its exit code is COMMAND's. Example: `gatepass run -- uv sync`
    """
    if _MARK in os.environ:
        if not Path(os.environ[_MARK]).is_dir():  # a daemon, such as tmux, has outlived it and kept its environment
            raise GatepassError(
                "this shell was started under a `gatepass run` that has ended",
                "nothing that it starts can reach that proxy any more: start a new shell",
            )
        if rules is None:
            # it has a proxy; a second one before it would find no token
            _execute(command)
    loaded = load_rules(rules)
    upstream = inherited.upstream(os.environ)
    tokens = () if keep_token else tuple(name for name in sorted(loaded.variables) if name in os.environ)
    for host in sorted(loaded.vouched):
        if entry := inherited.exempting(os.environ, host):
            say(f"NO_PROXY has `{entry}`: what the command asks of {host} will not come here")
    kept = f"{', '.join(tokens)} kept from the command (--keep-token leaves {'it' if len(tokens) == 1 else 'them'})"
    on_terminal = sys.stderr.isatty()
    if tokens and on_terminal:
        say(kept)

    with tempdir.private() as folder:
        ca = authority.make(sorted(loaded.hosts), datetime.timedelta(days=1))
        files.write(folder / authority.CA_FILE, ca, 0o600)
        found = tools.read(os.environ)
        named, notices = tools.authorities(found, os.environ)
        notices += overruling.notices(found, has_upstream=upstream is not None)
        say_all([*notices, *overruling.exemptions(found, sorted(loaded.hosts))])
        shell = bundles.shell_bundle(os.environ, *named)
        settings: dict[str, Any] = {
            "ssl_verify_upstream_trusted_ca": str(files.write(folder / bundles.UPSTREAM_FILE, shell)),
            # else names of the upstream certificate, which this CA may not vouch for, would come along
            "upstream_cert": False,
        }
        if upstream is not None:
            settings |= {"mode": [f"upstream:{upstream.url}"], "upstream_auth": upstream.auth}
        bundle = files.write(folder / bundles.BUNDLE_FILE, bundles.combine(shell, ca))
        certificate = files.write(folder / "ca.pem", bundles.combine(ca, bundles.shell_extras(os.environ)))
        # where there is a proxy on the way out already, nothing goes directly
        direct = (
            () if all_through_proxy or upstream else [str(host) for forge in loaded.forges for host in forge.assets]
        )

        def variables(proxy: str, placeholders: Mapping[str, str]) -> dict[str, str]:
            left = {name: value for name, value in os.environ.items() if name not in tokens}
            given = environment.for_client(proxy, bundle, certificate, os.environ, direct)
            given |= overruling.for_client(proxy, bundle, os.environ, found)
            return {**left, **given, **placeholders, _MARK: str(folder)}

        code = asyncio.run(_run(rules, folder, settings, command, variables, verbose))
    if code > 0 and tokens and not on_terminal:
        say(kept)  # the command may have wanted one
    if code < 0:
        # die as the command died, so that the shell sees the same
        if -code != signal.SIGKILL:  # which has no handler to set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    # all is tidied up, and the interpreter would take 0.2 s to take itself apart
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run(
    rules: Path | None,
    confdir: Path,
    settings: dict[str, Any],
    command: tuple[str, ...],
    variables: Callable[[str, Mapping[str, str]], dict[str, str]],
    verbose: bool,
) -> int:
    # imported here, for it takes a second: wrong usage and wrong rules are told before
    from gatepass.proxy.embedded import Causes, proxy

    gc.freeze()
    gc.enable()

    # other users of the machine reach the port, too: only who knows the password may use the token behind it
    password = secrets.token_urlsafe(24)
    causes = Causes()
    async with proxy(rules, confdir, proxyauth=f"gatepass:{password}", **settings) as ours:
        log = logging.getLogger("gatepass")
        log.addHandler(causes)
        if verbose:
            log.addHandler(_Live())
            log.setLevel(logging.DEBUG)
        env = variables(f"http://gatepass:{password}@127.0.0.1:{ours.port}", ours.placeholders)
        signals = _Signals()
        try:
            child = await asyncio.create_subprocess_exec(*command, env=env)
        except OSError as error:
            return _cannot_run(command, error)
        signals.pass_to(child)
        code = await child.wait()
    if code != 0 and not verbose:
        for text in causes.texts:
            click.echo(text, err=True)
    if sys.stderr.isatty() and (ours.statistics.served or ours.statistics.refused):
        click.echo(f"gatepass: {ours.statistics}", err=True)
    return code


class _Live(logging.Handler):
    """Says each thing as it happens."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def _execute(command: tuple[str, ...]) -> None:
    """Become the command."""
    try:
        os.execvp(command[0], command)  # noqa: S606 — no shell is wanted
    except OSError as error:
        sys.exit(_cannot_run(command, error))


def _cannot_run(command: tuple[str, ...], error: OSError) -> int:
    """Say why, and give the code that shells give."""
    click.echo(f"error: cannot run `{printable(command[0])}`: {error.strerror}", err=True)
    return 127 if isinstance(error, FileNotFoundError) else 126


class _Signals:
    """What is sent to this process goes to its child, be it sent before there is one."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._early: list[int] = []
        loop = asyncio.get_running_loop()
        for name in (*_PASSED_ON, *_FROM_TERMINAL):
            number = getattr(signal, name, None)
            # what is ignored, as SIGHUP under nohup, is for the command to inherit
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._pass_on, number, name in _FROM_TERMINAL)

    def pass_to(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def _pass_on(self, number: int, from_terminal: bool) -> None:
        if self._child is None:
            self._early.append(number)
        # a terminal's keys have reached the command as well: passed on, they would count twice
        elif self._child.returncode is None and not (from_terminal and _in_foreground()):
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal's keys reach this process and its child."""
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
