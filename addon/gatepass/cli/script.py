"""`gatepass script`: the file for `mitmdump -s`."""

from __future__ import annotations

import click

from gatepass.rules import locate


@click.command()
def script() -> None:
    """Print the path of the addon's script, for `mitmdump -s "$(gatepass script)"`."""
    click.echo(locate.script_path())
