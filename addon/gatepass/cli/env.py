"""`gatepass env`: what a shell needs to use a running `gatepass serve`, here or elsewhere."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from gatepass import files, home
from gatepass.cli.options import json_option, print_json
from gatepass.errors import GatepassError, printable, why
from gatepass.shell import elsewhere, environment, overruling, running, syntax, tools, undo
from gatepass.shell.elsewhere import ProxyUrl
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gatepass.trust.authority import Authority

_PASSWORD = "GATEPASS_PROXY_PASSWORD"  # noqa: S105 — a variable's name


@click.command()
@click.option("--shell", type=click.Choice(syntax.NAMES), help="In whose syntax; else that of $SHELL.")
@click.option("--github-actions", is_flag=True, help="Set them for the job's next steps, through $GITHUB_ENV.")
@json_option
@click.option("--unset", is_flag=True, help="Print what undoes it.")
@click.option(
    "--proxy", metavar="HOST:PORT|URL", help="Which `gatepass serve`, if several run; or one elsewhere, by its URL."
)
@click.option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    metavar="SHA256",
    help="That of the CA of the proxy elsewhere, which is then trusted; also of its next one, given again.",
)
def env(
    shell: str | None,
    github_actions: bool,
    as_json: bool,
    unset: bool,
    proxy: str | None,
    fingerprints: tuple[str, ...],
) -> None:
    """Print what a shell evaluates to use the `gatepass serve` that runs.

    One on another machine is named as `https://USER@proxy.example.com:3128`; its CA is trusted once its fingerprint was
    given, or confirmed. The user's password is asked for, unless $GATEPASS_PROXY_PASSWORD has it.

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
    is_elsewhere = proxy is not None and "://" in proxy
    if fingerprints and not is_elsewhere:
        raise click.UsageError("--fingerprint goes with the URL of a proxy elsewhere, as --proxy")
    name = shell or syntax.detect(os.environ)
    if unset:
        _print(syntax.render(name, undo.undo(os.environ)))
        return
    before = undo.before(os.environ)
    server = _elsewhere(proxy, fingerprints, before) if proxy is not None and is_elsewhere else _here(proxy)
    variables = environment.for_client(server.proxy, server.bundle, server.ca, before)
    variables |= overruling.for_client(server.proxy, server.bundle, before, tools.read(before))
    variables |= server.placeholders
    if github_actions:
        _export(variables)
    elif as_json:
        print_json(variables)
    elif name == "dotenv":  # a file remembers nothing of a shell
        _print(syntax.render(name, variables))
    else:
        _print(syntax.render(name, undo.remember(variables, os.environ)))


class _Server(NamedTuple):
    """What a client of it needs: its URL, with a password; what to trust, and its CA alone; placeholders of secrets."""

    proxy: str
    bundle: Path
    ca: Path
    placeholders: Mapping[str, str] = {}


def _here(address: str | None) -> _Server:
    server = running.choose(running.find(os.environ), address)
    for file in (server.bundle, server.ca):
        if not file.is_file():  # with it set, clients would trust nobody
            raise GatepassError(f"{file}: expected what `gatepass serve` wrote, got no such file", "restart it")
    return _Server(server.proxy, server.bundle, server.ca, server.placeholders)


def _elsewhere(text: str, fingerprints: Sequence[str], environ: dict[str, str]) -> _Server:
    """The proxy at that URL, its CA written where this user's shells find it.

    Raises:
        GatepassError: it does not answer, its CA is not the one that was named, or nobody says that it is trusted.
    """
    proxy = ProxyUrl.parse(text, "--proxy")
    wanted = [authority.fingerprint(each) for each in fingerprints]
    others = tools.trusted(environ)
    trust = ssl.create_default_context(cadata=bundles.shell_bundle(environ, *others))
    folder = home.expected_config() / "proxies" / proxy.folder
    ca, bundle = folder / "ca.pem", folder / bundles.BUNDLE_FILE
    pem = _trusted(proxy, authority.shown(elsewhere.fetch_ca(proxy, trust), folder), wanted, ca)
    password = _password(proxy)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.update(ca, pem)
        files.update(bundle, bundles.client_bundle(environ, pem, *others))
    except OSError as error:
        raise GatepassError(f"{folder}: expected a folder to write to, got `{why(error)}`") from None
    return _Server(proxy.url(password), bundle, ca)


def _trusted(proxy: ProxyUrl, shown: list[Authority], wanted: Sequence[str], known: Path) -> str:
    """Those of the CAs that a proxy shows which are trusted, PEM; the first is the one that it uses.

    Whoever stands between could have added one: of each somebody has to say that it is trusted.

    Raises:
        GatepassError: the one that it uses is another than was named, or nobody says that it is trusted.
    """
    current = shown[0]
    if wanted:
        if current.fingerprint not in wanted:
            raise GatepassError(
                f"--fingerprint: expected the CA {', '.join(wanted)}, got {current.fingerprint} from {proxy}",
                "somebody may stand between, or the proxy has a new CA: ask whoever runs it",
            )
        trusted = [each for each in shown if each.fingerprint in wanted]
    else:
        was = bundles.certificates(known.read_text("ascii", "replace")) if known.is_file() else []
        trusted = [each for each in shown if each.pem.strip() in was]  # said so before
        if len(trusted) < len(shown) and (current not in trusted or _asks()):
            _expect_confirmed(proxy, [each for each in shown if each not in trusted], is_known=bool(was))
            trusted = shown
    for each in shown:
        if each not in trusted:
            click.echo(
                f"gatepass: {proxy} has another CA beside, which is not trusted yet: {printable(each.name)}, "
                f"--fingerprint {each.fingerprint}",
                err=True,
            )
    return "".join(each.pem for each in trusted)


def _asks() -> bool:
    """Whether there is somebody to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _expect_confirmed(proxy: ProxyUrl, shown: list[Authority], *, is_known: bool) -> None:
    """
    Raises:
        GatepassError: nobody says that these are trusted.
    """
    hint = "compare it with what whoever runs the proxy tells you, and give it as `--fingerprint SHA256`"
    if not _asks():
        raise GatepassError(
            f"--proxy: expected a fingerprint for the CA of {proxy}, got none; it shows {shown[0].fingerprint}", hint
        )
    for each in shown:
        permitted = "any host" if each.permitted is None else ", ".join(each.permitted)
        end = f"{each.certificate.not_valid_after_utc:%Y-%m-%d}"
        click.echo(
            f"{proxy} shows {'another CA than before' if is_known else 'a CA'}: {printable(each.name)}", err=True
        )
        click.echo(f"it may vouch for {printable(permitted)}, until {end}", err=True)
        click.echo(f"SHA-256 {each.fingerprint}", err=True)
    if not click.confirm("Is that what whoever runs the proxy tells you?", err=True):
        raise GatepassError("--proxy: the CA is not trusted, and nothing was changed", hint)


def _password(proxy: ProxyUrl) -> str | None:
    """The user's password, which is in no argument: those can be read by everybody on the machine."""
    if proxy.user is None:
        return None
    known = os.environ.get(_PASSWORD) or proxy.known_password(os.environ)
    if known is None and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise GatepassError(
            f"--proxy: expected a password for `{printable(proxy.user)}`, got none", f"set ${_PASSWORD}"
        )
    return known if known is not None else str(click.prompt("Password", hide_input=True, err=True))


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
