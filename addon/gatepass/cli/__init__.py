"""The command line: one module a command, imported when it is asked for.

Launches, and never decides: what is said of rules, URLs and problems is made elsewhere.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from gatepass import home
from gatepass.cli import streams
from gatepass.errors import GatepassError, printable_lines, why
from gatepass.shell.seclusion import seclude

COMMANDS = ("run", "serve", "env", "ca", "explain", "check", "allow", "deny", "demo", "script")


class _Lazy(click.Group):
    """Imports a command's module when it runs: mitmproxy takes a second, and most commands do not need it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"gatepass.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="gatepass")
def gatepass() -> None:
    """Make private GitHub release assets downloadable by any tool, at their ordinary URL."""


def main() -> None:
    """The entry point: what is wrong becomes a text, never a traceback."""
    streams.prepare()
    # GitHub's runner ends what a job left by this variable in a process's first environment, which it has to read
    if "RUNNER_TRACKING_ID" not in os.environ:
        seclude()
    # Nothing that is imported is garbage: it is not searched for any while it comes. What lives long turns this on.
    gc.disable()
    try:
        gatepass(color=False if os.environ.get("NO_COLOR") else None)  # https://no-color.org
    except GatepassError as error:
        click.echo(f"error: {printable_lines(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"error: {_unforeseen(error)}", err=True)
        sys.exit(1)


def _unforeseen(error: OSError) -> GatepassError:
    """What the system refused, and nobody was ready for."""
    if error.filename is None:
        try:
            home.working()
        except GatepassError as gone:
            return gone
    return GatepassError(f"{error.filename or 'the system'}: expected it to do what was asked, got `{why(error)}`")
