"""`gatepass run`: a command under a proxy of its own."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

import click

from gatepass import authority, config, environment, trust

# What a terminal or a supervisor sends to end, reload or poke a program.
_PASSED_ON = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--rules", type=click.Path(path_type=Path), help="The rules file; else as `gatepass check` finds it.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(rules: Path | None, command: tuple[str, ...]) -> None:
    """Run COMMAND with its HTTPS going through a proxy that lives as long as it does.

    Its exit code is COMMAND's. Example: `gatepass run -- uv sync`
    """
    loaded = config.load(str(rules) if rules else None, os.environ, Path.cwd())
    with tempfile.TemporaryDirectory(prefix="gatepass-") as folder:
        confdir = Path(folder)
        ca = authority.make(sorted(loaded.hosts), datetime.timedelta(days=1))
        trust.write(confdir / authority.CA_FILE, ca, 0o600)
        shell = trust.shell_bundle(os.environ)
        upstream_ca = trust.write(confdir / trust.UPSTREAM_FILE, shell)
        bundle = trust.write(confdir / trust.BUNDLE_FILE, trust.combine(shell, ca))
        code = asyncio.run(_run(rules, command, confdir, upstream_ca, bundle))
    if code < 0:
        # die as the command died, so that the shell sees the same
        if -code != signal.SIGKILL:  # which has no handler to set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    # all is tidied up, and the interpreter would take 0.2 s to take itself apart
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run(rules: Path | None, command: tuple[str, ...], confdir: Path, upstream_ca: Path, bundle: Path) -> int:
    # Imported here, for it takes a second: wrong usage and wrong rules are told before. Nothing that is imported is
    # garbage, so it is not searched for any, neither now nor later.
    gc.disable()
    from gatepass.proxy import Causes, proxy

    gc.freeze()
    gc.enable()

    causes = Causes()
    async with proxy(rules, confdir, upstream_ca) as port:
        logging.getLogger("gatepass").addHandler(causes)
        variables = environment.for_client(f"http://127.0.0.1:{port}", bundle, bundle, os.environ)
        try:
            child = await asyncio.create_subprocess_exec(*command, env=os.environ | variables)
        except OSError as error:
            click.echo(f"error: cannot run `{command[0]}`: {error.strerror}", err=True)
            return 127 if isinstance(error, FileNotFoundError) else 126
        _pass_signals_on(child)
        code = await child.wait()
    if code != 0:
        for text in causes.texts:
            click.echo(text, err=True)
    return code


def _pass_signals_on(child: asyncio.subprocess.Process) -> None:
    loop = asyncio.get_running_loop()
    for name in _PASSED_ON:
        number = getattr(signal, name, None)
        if number is not None:
            loop.add_signal_handler(number, _send, child, number)
    # a terminal sends Ctrl-C to the child as well: passed on, it would count twice
    loop.add_signal_handler(signal.SIGINT, lambda: None if _in_foreground() else _send(child, signal.SIGINT))


def _send(child: asyncio.subprocess.Process, number: int) -> None:
    if child.returncode is None:
        child.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal's keys reach this process and its child."""
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
