"""`gatepass deny`: takes back what `gatepass allow` said."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gatepass.rules import allowed, locate


@click.command()
@click.argument("file", default=locate.FILE)
def deny(file: str) -> None:
    """Trust the rules in FILE, else in ./rules.yaml, no longer where they are found."""
    was_allowed = allowed.deny(Path(os.path.realpath(file)), os.environ)
    click.echo(f"{file} is not allowed{' any more' if was_allowed else ': it was not before'}")
