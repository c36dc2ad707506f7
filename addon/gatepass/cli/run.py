"""`gatepass run`: a command under a proxy of its own.

The command starts as soon as there is all that it is told: a CA, and a socket that listens. mitmproxy is imported
beside it, which takes longer than all else; the command's first connections wait for it in the socket's queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import importlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from gatepass import files
from gatepass.cli.options import load_rules, rules_option, say, say_all
from gatepass.errors import GatepassError, printable
from gatepass.placeholder import Placeholders
from gatepass.proxy import late
from gatepass.shell import environment, inherited, overruling, tempdir, tools
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    from types import ModuleType

    from gatepass.cli.isolated import Sandbox
    from gatepass.github.statistics import Statistics
    from gatepass.rules.model import Rules

# What a supervisor sends to end, reload or poke a program; and what a terminal sends to the command as well.
_PASSED_ON = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT")
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")

_MARK = "GATEPASS_RUN"
"""In the environment of a command that runs under a proxy already: the folder of that one, gone when it has ended."""

_QUEUE: Final = 1024
"""How many connections may wait for the proxy; more come again a second later."""
_GRACE_SECONDS: Final = 5.0
"""For which a command may tidy up, when it has to end because there is no proxy."""


@click.command(context_settings={"allow_interspersed_args": False})
@rules_option
@click.option("--keep-token", is_flag=True, help="Leave the variables that the rules read to COMMAND.")
@click.option("--all-through-proxy", is_flag=True, help="Send the bytes through the proxy, too: nothing goes directly.")
@click.option("--isolate", is_flag=True, help="Leave COMMAND no other way out, and no secret (Linux, by bubblewrap).")
@click.option("--read-only", is_flag=True, help="With --isolate: only the working folder is writable.")
@click.option("--hide", multiple=True, metavar="PATH", help="With --isolate: PATH is empty.")
@click.option("--show", multiple=True, metavar="PATH", help="With --isolate: PATH is there, though it would be hidden.")
@click.option("--write", multiple=True, metavar="PATH", help="With --isolate: PATH is there, and writable.")
@click.option("--keep", multiple=True, metavar="NAME", help="With --isolate: COMMAND has the variable NAME.")
@click.option("--verbose", "-v", is_flag=True, help="Say what is done for each request, on stderr.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    rules: Path | None,
    keep_token: bool,
    all_through_proxy: bool,
    isolate: bool,
    verbose: bool,
    command: tuple[str, ...],
    **wishes: Any,
) -> None:
    """Run COMMAND with its HTTPS going through a proxy that lives as long as it does.

    Its exit code is COMMAND's. Example: `gatepass run -- uv sync`
    """
    sandbox = _sandbox(isolate, wishes)
    if _MARK in os.environ:
        if not Path(os.environ[_MARK]).is_dir():  # a daemon, such as tmux, has outlived it and kept its environment
            raise GatepassError(
                "this shell was started under a `gatepass run` that has ended",
                "nothing that it starts can reach that proxy any more: start a new shell",
            )
        if rules is None:
            if sandbox is not None:
                sandbox.expect_isolated(Path(os.environ[_MARK]))
            # it has a proxy; a second one before it would find no token
            _execute(command)
    loaded = load_rules(rules)
    upstream = inherited.upstream(os.environ)
    if loaded.access.files:
        from gatepass.egress import htpasswd  # which takes 10 ms, for who has none as well

        htpasswd.expect(loaded.access)
    tokens = () if keep_token else tuple(name for name in sorted(loaded.variables) if name in os.environ)
    environ = {name: value for name, value in os.environ.items() if name not in tokens}
    if sandbox is not None:
        loaded = sandbox.guarded(loaded)
        environ, tokens = sandbox.environment(tokens, loaded)
    for host in sorted(loaded.vouched):
        if entry := inherited.exempting(environ, host):
            say(f"NO_PROXY has `{entry}`: what the command asks of {host} will not come here")
    leaves = "--keep-token leaves" if sandbox is None else "--keep NAME leaves"
    kept = f"{', '.join(tokens)} kept from the command ({leaves} {'it' if len(tokens) == 1 else 'them'})"
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
        public = folder if sandbox is None else sandbox.public(folder)
        bundle = files.write(public / bundles.BUNDLE_FILE, bundles.combine(shell, ca))
        certificate = files.write(public / "ca.pem", bundles.combine(ca, bundles.shell_extras(os.environ)))
        # where there is a proxy on the way out already, or no other way, nothing goes directly
        is_only_way = all_through_proxy or upstream or sandbox
        direct = () if is_only_way else [str(host) for forge in loaded.forges for host in forge.assets]
        # other users of the machine reach the port, too: only who knows the password may use the token behind it
        password = secrets.token_urlsafe(24)
        settings |= {"proxyauth": f"gatepass:{password}"}
        with contextlib.ExitStack() as opened:
            if sandbox is None:
                door = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=_QUEUE))
                port = door.getsockname()[1]
                start: _Start = partial(_start, door)
            else:
                port, start = sandbox.port, sandbox.starter(folder, loaded)
            proxy = f"http://gatepass:{password}@127.0.0.1:{port}"
            env = environ | environment.for_client(proxy, bundle, certificate, environ, direct)
            env |= overruling.for_client(proxy, bundle, os.environ, found)
            key = secrets.token_bytes(32)
            env |= Placeholders(key, loaded.placeholders).values
            env[_MARK] = str(folder)
            code = asyncio.run(_run(start, command, env, _Proxy(loaded, key, folder, settings, verbose=verbose)))
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


def _sandbox(isolate: bool, wishes: dict[str, Any]) -> Sandbox | None:
    if isolate:
        from gatepass.cli import isolated  # for those alone who ask for it

        return isolated.Sandbox.asked(**wishes)
    for name, value in wishes.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} is for --isolate")
    return None


class _Proxy:
    """The proxy beside the command, from its import to its end."""

    def __init__(self, rules: Rules, key: bytes, confdir: Path, settings: dict[str, Any], *, verbose: bool) -> None:
        self._rules = rules
        self._key = key
        self._confdir = confdir
        self._settings = settings
        self.verbose = verbose
        self.statistics: Statistics | None = None
        """None until it is ready: what ends before has not been served."""
        self.causes: list[str] = []
        """What it has warned of, in the end."""

    async def serve(self, found: asyncio.Future[socket.socket], end: asyncio.Future[int]) -> None:
        """Serve whoever waits at the door, and all who come, until that end."""
        door = await found  # where the command cannot be isolated there is none, and no import to be waited for
        embedded = await _imported()
        gc.freeze()
        gc.enable()
        causes = embedded.Causes()
        async with embedded.proxy(self._rules, door, self._confdir, self._key, **self._settings) as ours:
            log = logging.getLogger("gatepass")
            log.addHandler(causes)
            if self.verbose:
                log.addHandler(_Live())
                log.setLevel(logging.DEBUG)
            self.statistics = ours.statistics
            await ours.door.start_serving()
            await asyncio.wait((end,))
        self.causes = causes.texts


class _Child(Protocol):
    """The command: a process of asyncio's, or what is like one."""

    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, signal: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...


type _Start = Callable[[Sequence[str], Mapping[str, str]], Awaitable[tuple[_Child, asyncio.Future[socket.socket]]]]
"""Starts a command with an environment, and tells where its proxy is to be."""


async def _start(
    door: socket.socket, command: Sequence[str], env: Mapping[str, str]
) -> tuple[_Child, asyncio.Future[socket.socket]]:
    found = asyncio.get_running_loop().create_future()
    found.set_result(door)
    return await asyncio.create_subprocess_exec(*command, env=env), found


async def _run(start: _Start, command: tuple[str, ...], env: dict[str, str], proxy: _Proxy) -> int:
    signals = _Signals()
    try:
        child, door = await start(command, env)
    except OSError as error:
        return _cannot_run(command, error)
    signals.pass_to(child)
    end = asyncio.create_task(child.wait())
    serving = asyncio.create_task(proxy.serve(door, end))
    await asyncio.wait((end, serving), return_when=asyncio.FIRST_COMPLETED)
    if not end.done():
        await _end(child, end)
        raise _failed(serving.exception())
    if proxy.statistics is None:
        return _code(command, end)  # nobody waits for what nobody needs any more
    await serving
    code = _code(command, end)
    if code != 0 and not proxy.verbose:
        for text in proxy.causes:
            click.echo(text, err=True)
    if sys.stderr.isatty() and (proxy.statistics.served or proxy.statistics.refused):
        click.echo(f"gatepass: {proxy.statistics}", err=True)
    return code


def _code(command: tuple[str, ...], end: asyncio.Future[int]) -> int:
    """Its exit code; it may have turned out late that there is no such command."""
    try:
        return end.result()
    except OSError as error:
        return _cannot_run(command, error)


async def _imported() -> ModuleType:
    """mitmproxy, and what is ours in it; a thread imports them, so that signals, and the command's end, are heard."""
    future: Future[ModuleType] = Future()
    future.set_running_or_notify_cancel()

    def bring() -> None:
        try:
            late.postpone()
            future.set_result(importlib.import_module("gatepass.proxy.embedded"))
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # such as a module's `sys.exit`, which would end the loop, and not the command
            future.set_exception(RuntimeError(repr(error)))

    # nobody waits for it when the command has ended before: `run` ends by `os._exit`. Where it ends in an error it is
    # waited for: the interpreter would fall over a thread that goes on importing while it takes itself apart
    Thread(target=bring).start()
    return await asyncio.wrap_future(future)


async def _end(child: _Child, end: asyncio.Future[int]) -> None:
    """End a command that would wait for its proxy for ever."""
    child.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(end), _GRACE_SECONDS)
    except TimeoutError:
        child.kill()
        await end


def _failed(error: BaseException | None) -> GatepassError:
    """Why there is no proxy."""
    if isinstance(error, GatepassError):
        reason = error.message.removeprefix("gatepass: ")
        return GatepassError(f"the command was ended, for its proxy did not start: {reason}", error.hint)
    return GatepassError(
        "the command was ended, for its proxy did not start: expected mitmproxy, got "
        f"`{type(error).__name__}: {printable(str(error))}`",
        "`gatepass serve` shows more of it; an installation that lacks a part is made anew",
    )


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
        self._child: _Child | None = None
        self._early: list[int] = []
        loop = asyncio.get_running_loop()
        for name in (*_PASSED_ON, *_FROM_TERMINAL):
            number = getattr(signal, name, None)
            # what is ignored, as SIGHUP under nohup, is for the command to inherit
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._pass_on, number, name in _FROM_TERMINAL)

    def pass_to(self, child: _Child) -> None:
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
