"""What several commands take alike: the rules file, and what is for programs. No command."""

from __future__ import annotations

import json
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


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def print_json(document: object) -> None:
    """A document for programs, as people can read it; a path that is no UTF-8 is escaped (PEP 383)."""
    click.echo(json.dumps(document, indent=2))


def load_rules(rules: Path | None) -> Rules:
    """The rules in the file that the option names, else those that are found."""
    return locate.load(str(rules) if rules else None, os.environ, Path.cwd())
