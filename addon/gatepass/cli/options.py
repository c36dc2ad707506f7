"""What several commands take alike: the rules file, and what is for programs. No command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gatepass import home
from gatepass.errors import printable
from gatepass.redaction import cleared
from gatepass.rules import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gatepass.rules.model import Rules

_MOST_SAID: Final = 20

rules_option = click.option(
    "--rules", type=click.Path(path_type=Path), help="The rules file; else as `gatepass check` finds it."
)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def print_json(document: object) -> None:
    """A document for programs, as people can read it, without the secrets in use; all that is no ASCII is escaped.

    So a path that is no UTF-8 (PEP 383) comes through, and nothing steers a terminal.
    """
    click.echo(cleared(json.dumps(document, indent=2)))


def say(text: str) -> None:
    """Tell in one line what is no error."""
    click.echo(f"gatepass: {printable(text)}", err=True)


def say_all(texts: Sequence[str]) -> None:
    """Tell the first of these, and how many there are besides: a project's file may cause thousands."""
    for text in texts[:_MOST_SAID]:
        say(text)
    if len(texts) > _MOST_SAID:
        say(f"and {len(texts) - _MOST_SAID} more like these")


def load_rules(rules: Path | None, notice: Callable[[str], None] = say) -> Rules:
    """The rules in the file that the option names, else those that are found."""
    return locate.load(str(rules) if rules else None, os.environ, home.working(), notice)
