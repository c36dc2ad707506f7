"""`gatepass env`: what a shell needs to use a running `gatepass serve`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gatepass.cli.options import json_option, print_json
from gatepass.errors import GatepassError
from gatepass.shell import environment, overruling, running, syntax, tools, undo


@click.command()
@click.option("--shell", type=click.Choice(syntax.NAMES), help="In whose syntax; else that of $SHELL.")
@click.option("--github-actions", is_flag=True, help="Set them for the job's next steps, through $GITHUB_ENV.")
@json_option
@click.option("--unset", is_flag=True, help="Print what undoes it.")
@click.option("--proxy", metavar="HOST:PORT", help="Which `gatepass serve`, if several run.")
def env(shell: str | None, github_actions: bool, as_json: bool, unset: bool, proxy: str | None) -> None:
    """Print what a shell evaluates to use the `gatepass serve` that runs.

    \b
    bash, zsh:   eval "$(gatepass env)"                        and back: eval "$(gatepass env --unset)"
    fish:        gatepass env | source
    PowerShell:  gatepass env --shell powershell | Out-String | Invoke-Expression
    nushell:     gatepass env --shell nushell | from json | load-env
    """
    if github_actions and (shell or unset):
        raise click.UsageError("--github-actions goes with neither --shell nor --unset: a later step cannot unset")
    if as_json and (shell or unset or github_actions):
        raise click.UsageError("--json goes with neither --shell, --unset nor --github-actions: it is for programs")
    if unset and proxy:
        raise click.UsageError("--unset goes without --proxy: what was set is undone, whichever server it was for")
    name = shell or syntax.detect(os.environ)
    if unset:
        _print(syntax.render(name, undo.undo(os.environ)))
        return
    server = running.choose(running.find(os.environ), proxy)
    for file in (server.bundle, server.ca):
        if not file.is_file():  # with it set, clients would trust nobody
            raise GatepassError(f"{file}: expected what `gatepass serve` wrote, got no such file", "restart it")
    before = undo.before(os.environ)
    variables = environment.for_client(server.proxy, server.bundle, server.ca, before)
    variables |= overruling.for_client(server.proxy, server.bundle, before, tools.read(before))
    if github_actions:
        _export(variables)
    elif as_json:
        print_json(variables)
    elif name == "dotenv":  # a file remembers nothing of a shell
        _print(syntax.render(name, variables))
    else:
        _print(syntax.render(name, undo.remember(variables, os.environ)))


def _export(variables: dict[str, str]) -> None:
    file = os.environ.get("GITHUB_ENV")
    if not file:
        raise GatepassError(
            "GITHUB_ENV: expected the file that GitHub Actions gives each step, got nothing",
            "elsewhere use `--shell`",
        )
    _print(syntax.masks(variables.values()))
    try:
        with Path(file).open("ab") as stream:
            stream.write(os.fsencode(syntax.environment_file(variables)))
    except OSError as error:
        raise GatepassError(f"GITHUB_ENV: expected a file to append to, got `{file}`: {error.strerror}") from None


def _print(text: str) -> None:
    """Values are bytes that may be no UTF-8; they leave as they came."""
    click.echo(os.fsencode(text), nl=False)
