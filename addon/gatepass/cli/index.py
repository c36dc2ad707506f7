"""`gatepass index`: shows what an index holds, and what was left out of it. Presentation only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from gatepass.cli.options import json_option, load_rules, print_json, rules_option
from gatepass.cli.printer import Printer
from gatepass.credentials.store import Credentials
from gatepass.errors import GatepassError, printable
from gatepass.explain import shell
from gatepass.github.client import GitHub, silence_libraries
from gatepass.index import telling
from gatepass.index.answers import PackageIndex
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.index.answers import Contents
    from gatepass.rules.model import Rules

_SECONDS = 300.0


@click.command("index")
@click.argument("name_or_url")
@rules_option
@json_option
def index(name_or_url: str, rules: Path | None, as_json: bool) -> None:
    """Show what a package index holds, and what was left out of it, and why.

    NAME_OR_URL is an index that the rules name, github.com/OWNER/REPO, or the URL of either. Nothing is downloaded: the
    releases are listed with the credential that a proxy would use. The exit code is 1 when that cannot be done.
    """
    silence_libraries()
    try:
        contents = asyncio.run(_contents(load_rules(rules), name_or_url))
    except (Unresolvable, GatepassError) as error:
        failed = _error(error)
        if not as_json:
            raise failed from None
        print_json({"ok": False, "error": {"message": failed.message, "hint": failed.hint}})
        sys.exit(1)
    if as_json:
        print_json(telling.document(contents))
    else:
        Printer(quiet=False).text("\n".join(telling.table(contents)))


def _error(error: Unresolvable | GatepassError) -> GatepassError:
    if isinstance(error, GatepassError):
        return error
    problem = error.problem
    return GatepassError(f"{problem.title}: {problem.detail}", problem.hint)


async def _contents(rules: Rules, name: str) -> Contents:
    way = await shell.way_out(os.environ, rules.forges[-1].api_host)
    async with contextlib.AsyncExitStack() as stack:
        github = GitHub(shell.upstream_trust(os.environ), way.proxy, "what this shell trusts", way.direct)
        stack.push_async_callback(github.close)
        credentials = Credentials(os.environ, github, notice=_note)
        stack.callback(credentials.close)
        package_index = PackageIndex(credentials, github, rules)
        stack.push_async_callback(package_index.close)
        try:
            async with asyncio.timeout(_SECONDS):
                return await package_index.contents(name)
        except TimeoutError:
            raise GatepassError(f"{name}: expected its releases in {_SECONDS:g} s, got no end of them") from None


def _note(text: str) -> None:
    click.echo(f"note: {printable(text)}", err=True)
