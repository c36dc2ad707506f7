"""What several commands take alike: the rules file. No command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepass.rules import locate

if TYPE_CHECKING:
    from gatepass.rules.model import Rules

rules_option = click.option(
    "--rules", type=click.Path(path_type=Path), help="The rules file; else as `gatepass check` finds it."
)


def load_rules(rules: Path | None) -> Rules:
    """The rules in the file that the option names, else those that are found."""
    return locate.load(str(rules) if rules else None, os.environ, Path.cwd(), say)


def say(text: str) -> None:
    """Tell in one line what is no error."""
    click.echo(f"gatepass: {text}", err=True)
