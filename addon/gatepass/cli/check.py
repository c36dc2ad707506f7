"""`gatepass check`: says what the rules do, or all that is wrong with them. Presentation only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gatepass import config
from gatepass.errors import GatepassError
from gatepass.rules_text import describe


@click.command("check")
@click.argument("file", required=False)
def check(file: str | None) -> None:
    """Validate rules, and say what each of them does.

    Without FILE, the rules are those that every other command would use.
    """
    try:
        rules = config.load(file, os.environ, Path.cwd())
    except GatepassError as error:
        click.echo(error, err=True)
        sys.exit(1)
    click.echo(describe(rules))
