"""`gatepass allow`: says that a rules file in a working folder is trusted, as it is now."""

from __future__ import annotations

import os

import click

from gatepass import home
from gatepass.errors import GatepassError
from gatepass.rules import allowed, locate


@click.command()
@click.argument("file", default=locate.FILE)
def allow(file: str) -> None:
    """Trust the rules in FILE, else in ./rules.yaml, where they are found, for as long as they stay as they are.

    They may read secrets, run programs, and send what they read to the hosts that they name: `gatepass check` tells.
    """
    found = locate.find(file, os.environ, home.working())
    if found is None:
        raise GatepassError(f"{file}: expected a rules file, got no such file", "name it: `gatepass allow FILE`")
    found.rules()
    allowed.allow(found.path, found.content, os.environ)
    click.echo(f"{file} is allowed until it changes; `gatepass deny` takes that back")
