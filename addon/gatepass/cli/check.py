"""`gatepass check`: says what the rules do, and whether their credentials work; or all that is wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from gatepass.cli.printer import Printer
from gatepass.credentials.store import Credentials
from gatepass.errors import GatepassError, printable, printable_lines
from gatepass.explain.introspection import Introspection, of_credential
from gatepass.explain.shell import as_proxy, upstream_trust
from gatepass.github.client import GitHub, silence_libraries
from gatepass.rules import locate
from gatepass.rules.describe import describe
from gatepass.rules.model import InjectHeaders, ResolveRelease
from gatepass.rules.shape import schema
from gatepass.secret import Audience
from gatepass.shell import inherited
from gatepass.sources import GitHubApp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatepass.rules.model import Credential, Rule, Rules


@click.command("check")
@click.argument("file", required=False)
@click.option("--offline", is_flag=True, help="Leave the network alone: ask no forge, and no source that may need one.")
@click.option("--schema", "wants_schema", is_flag=True, help="Print the JSON Schema of rules files, and nothing else.")
def check(file: str | None, offline: bool, wants_schema: bool) -> None:
    """Validate rules, say what each of them does, and whether its credentials work.

    Without FILE, the rules are those that every other command would use, or ./rules.yaml if it is not allowed yet: of
    that no source is asked. No secret is shown. The exit code is 1 when something is wrong with the file, or a rule has
    no credential that works.
    """
    if wants_schema:
        click.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=2))
        return
    try:
        rules, is_trusted = locate.examine(file, os.environ, Path.cwd())
    except GatepassError as error:
        click.echo(printable_lines(str(error)), err=True)
        sys.exit(1)
    click.echo(printable_lines(describe(rules)))
    if not is_trusted:
        click.echo("\nit is not allowed yet, so no credential was looked for; `gatepass allow` lets it be used")
        return
    silence_libraries()
    working = asyncio.run(_working(rules, offline=offline))
    failing = [rule for rule in rules.rules if rule.credentials and working.isdisjoint(_uses(rule))]
    if failing:
        names = ", ".join(f"`{rule.name}`" for rule in failing)
        click.echo(f"\nno credential works for {names}", err=True)
        sys.exit(1)
    click.echo(f"\nevery rule has a credential that {'may work' if offline else 'works'}")


class _Use(NamedTuple):
    """A credential, and whom it is for: each is looked at once, however many rules have it."""

    credential: Credential
    audience: Audience


async def _working(rules: Rules, *, offline: bool) -> set[_Use]:
    """Look at every credential, and say what is found. Those that work, or may, as far as was looked."""
    printer, working = Printer(quiet=False), set()
    upstream = inherited.upstream(os.environ)
    async with contextlib.AsyncExitStack() as stack:
        github = GitHub(
            upstream_trust(os.environ),
            None if upstream is None else as_proxy(upstream),
            "what this shell trusts",
            inherited.exempted(os.environ),
        )
        stack.push_async_callback(github.close)
        credentials = Credentials(os.environ, github, notice=_note)
        stack.callback(credentials.close)
        introspection = Introspection(github)
        for use in _all_uses(rules):
            printer.title(f"\ncredential `{use.credential.name}` at {use.audience.site}")
            steps = of_credential(introspection, credentials, use.credential, use.audience, offline=offline)
            states = [printer.step(step).state async for step in steps]
            if "fail" not in states:
                working.add(use)
    return working


def _note(text: str) -> None:
    click.echo(f"note: {printable(text)}", err=True)


def _all_uses(rules: Rules) -> Iterable[_Use]:
    """By the rules, in their order; then what no rule names."""
    uses = [use for rule in rules.rules for use in _uses(rule)]
    used = {use.credential.name for use in uses}
    for credential in rules.credentials:
        if credential.name not in used:
            uses += [_Use(credential, Audience(host, rules.forge_of(host))) for host in sorted(credential.hosts)]
    return dict.fromkeys(uses)


def _uses(rule: Rule) -> list[_Use]:
    match rule.action:
        case ResolveRelease(forge):
            audience = Audience(forge.api_host, forge)
        case InjectHeaders(forge=forge):
            audience = Audience(rule.match.host, forge)
    return [_Use(_with_owner(credential, rule), audience) for credential in rule.credentials]


def _with_owner(credential: Credential, rule: Rule) -> Credential:
    """The credential, with an App's installation of the account that the rule's pattern names."""
    owner = rule.match.path.split("/")[1]
    if not isinstance(rule.action, ResolveRelease) or "*" in owner:
        return credential
    sources = (
        replace(source, owner=owner)
        if isinstance(source, GitHubApp) and source.installation is None and source.owner is None
        else source
        for source in credential.sources
    )
    return replace(credential, sources=tuple(sources))
