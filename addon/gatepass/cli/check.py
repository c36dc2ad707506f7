"""`gatepass check`: says what the rules do, and whether their credentials work; or all that is wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from gatepass import home
from gatepass.cli.options import json_option, print_json
from gatepass.cli.printer import Printer
from gatepass.credentials.store import Credentials
from gatepass.egress import htpasswd
from gatepass.errors import GatepassError, printable, printable_lines
from gatepass.explain.introspection import Introspection, of_credential
from gatepass.explain.shell import as_proxy, upstream_trust
from gatepass.github.client import GitHub, silence_libraries
from gatepass.rules import locate, shape
from gatepass.rules.describe import RESOLVED_UPSTREAM, describe, warnings
from gatepass.rules.model import CallApi, InjectHeaders, ResolveRelease, ResolveSource, ServeGit
from gatepass.secret import Audience
from gatepass.shell import inherited
from gatepass.telemetry import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gatepass.explain.explanation import Step
    from gatepass.rules.model import Credential, Rule, Rules


_SCHEMAS = {"rules": shape.schema, "audit": lines.schema}


@click.command("check")
@click.argument("file", required=False)
@click.option("--rules", "rules_file", metavar="FILE", help="The same as FILE, as other commands have it.")
@click.option("--offline", is_flag=True, help="Leave the network alone: ask no forge, and no source that may need one.")
@json_option
@click.option(
    "--schema",
    "which_schema",
    is_flag=False,
    flag_value="rules",
    type=click.Choice(list(_SCHEMAS)),
    help="Print the JSON Schema of rules files, or of audit lines, and nothing else.",
)
def check(file: str | None, rules_file: str | None, offline: bool, as_json: bool, which_schema: str | None) -> None:
    """Validate rules, say what each of them does, and whether its credentials work.

    Without FILE, the rules are those that every other command would use, or ./rules.yaml if it is not allowed yet: of
    that no source is asked. No secret is shown. The exit code is 1 when something is wrong with the file, or a rule has
    no credential that works.
    """
    if which_schema is not None:
        click.echo(msgspec.json.format(msgspec.json.encode(_SCHEMAS[which_schema]()), indent=2))
        return
    if file is not None and rules_file is not None:
        raise click.UsageError("expected either FILE or `--rules`, got both")
    cwd = home.working()
    try:
        rules, is_trusted = locate.examine(file or rules_file, os.environ, cwd)
        of_users = list(htpasswd.warnings(rules.access))
        if is_trusted and rules.shared is not None:
            from gatepass.credentials.sharing import opening  # what few rules need

            opening(rules.shared)
    except GatepassError as error:
        if as_json:
            print_json({"ok": False, "error": {"message": error.message, "hint": error.hint}})
        else:
            click.echo(printable_lines(str(error)), err=True)
        sys.exit(1)
    printer = Printer(quiet=as_json)
    printer.text(describe(rules))
    for warning in (*warnings(rules), *of_users):
        click.echo(f"warning: {warning}", err=True)
    if rules.access.is_guarded and (upstream := inherited.upstream(os.environ)) is not None:
        _note(f"${upstream.variable} is set: {RESOLVED_UPSTREAM}")
    if not is_trusted:
        printer.text("\nit is not allowed yet, so no credential was looked for; `gatepass allow` lets it be used")
        if as_json:
            print_json(_document(rules, {}, [], is_allowed=False))
        return
    silence_libraries()
    found = asyncio.run(_look(rules, printer, offline=offline))
    working = {use for use, steps in found.items() if all(step.state != "fail" for step in steps)}
    failing = [rule.name for rule in rules.rules if rule.credentials and working.isdisjoint(_uses(rule))]
    if as_json:
        print_json(_document(rules, found, failing, is_allowed=True))
    elif failing:
        names = ", ".join(f"`{name}`" for name in failing)
        click.echo(f"\nno credential works for {names}", err=True)
    else:
        printer.text(f"\nevery rule has a credential that {'may work' if offline else 'works'}")
    sys.exit(1 if failing else 0)


def _document(
    rules: Rules, found: Mapping[_Use, list[Step]], failing: list[str], *, is_allowed: bool
) -> dict[str, Any]:
    """What is shown, for programs."""
    credentials = [
        {
            "name": use.credential.name,
            "site": str(use.audience.site),
            "ok": all(step.state != "fail" for step in steps),
            "steps": msgspec.to_builtins(steps),
        }
        for use, steps in found.items()
    ]
    return {
        "ok": not failing,
        "rules": rules.source,
        "allowed": is_allowed,
        "hosts": sorted(map(str, rules.hosts)),
        "credentials": credentials,
        "without_credential": failing,
    }


class _Use(NamedTuple):
    """A credential, and whom it is for: each is looked at once, however many rules have it."""

    credential: Credential
    audience: Audience


async def _look(rules: Rules, printer: Printer, *, offline: bool) -> dict[_Use, list[Step]]:
    """Look at every credential, and say what is found."""
    found = {}
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
            found[use] = [printer.step(step) async for step in steps]
    return found


def _note(text: str) -> None:
    click.echo(f"note: {printable(text)}", err=True)


def _all_uses(rules: Rules) -> Iterable[_Use]:
    """By the rules, in their order; then what no rule names."""
    uses = [use for rule in rules.rules for use in _uses(rule)]
    for index in rules.indexes:
        uses += [
            _Use(index.credential.owned_by(repositories.owner), Audience(forge.api_host, forge))
            for forge, repositories in index.repositories
        ]
    used = {use.credential.name for use in uses}
    for credential in rules.credentials:
        if credential.name not in used:
            uses += [_Use(credential, Audience(host, rules.forge_of(host))) for host in sorted(credential.hosts)]
    return dict.fromkeys(uses)


def _uses(rule: Rule) -> list[_Use]:
    match rule.action:
        case ResolveRelease(forge) | ResolveSource(forge):
            audience = Audience(forge.api_host, forge)
        case ServeGit(forge):
            audience = Audience(forge.web, forge)
        case InjectHeaders(forge=forge):
            audience = Audience(rule.match.host, forge)
        case CallApi(forge):
            audience = Audience(forge.api_host, forge, permissions=rule.action.granted)
    return [_Use(_with_owner(credential, rule), audience) for credential in rule.credentials]


def _with_owner(credential: Credential, rule: Rule) -> Credential:
    """The credential, with an App's installation of the account that the rule's pattern names."""
    owner = rule.action.owner if isinstance(rule.action, CallApi) else rule.match.path.split("/")[1]
    if isinstance(rule.action, InjectHeaders) or "*" in owner:
        return credential
    return credential.owned_by(owner)
