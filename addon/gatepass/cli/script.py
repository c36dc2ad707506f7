"""`gatepass script`: the file for `mitmdump -s`."""

from __future__ import annotations

import click

from gatepass import shipped


@click.command()
def script() -> None:
    """Print the path of the addon's script, for `mitmdump -s "$(gatepass script)"`."""
    click.echo(shipped.script())
