"""`gatepass ca`: the proxy's own CA. Shows, makes, exports it, and tells how to trust it. Presentation only."""

from __future__ import annotations

import datetime
import os
import platform as machine
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepass import files
from gatepass.cli.options import json_option, load_rules, print_json, rules_option
from gatepass.errors import GatepassError, printable, why
from gatepass.forge.hosts import OWN
from gatepass.shell import tools
from gatepass.trust import authority, bundles, stores

if TYPE_CHECKING:
    from gatepass.rules.model import Rules
    from gatepass.trust.authority import Authority


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def ca(context: click.Context, as_json: bool) -> None:
    """Show, make, export or trust the CA of `gatepass serve`; alone, it shows it."""
    if context.invoked_subcommand is None:
        context.invoke(show, as_json=as_json)
    elif as_json:
        raise click.UsageError("`--json` is for what is shown: `gatepass ca show --json`")


@ca.command()
@rules_option
@json_option
def show(rules: Path | None = None, as_json: bool = False) -> None:
    """Show the CA: what it may vouch for, until when, and where it lies."""
    found, loaded, now = _present(), load_rules(rules), datetime.datetime.now(datetime.UTC)
    if as_json:
        print_json(_document(found, loaded, now))
        return
    begin, end = found.certificate.not_valid_before_utc, found.certificate.not_valid_after_utc
    days = found.left(now).days
    remaining = f"{days} days left" if days >= 0 else "expired"
    uncovered = found.uncovered(loaded.hosts | {OWN})
    missing = f"{', '.join(uncovered)} not permitted; `gatepass ca renew` makes a CA for them"
    for label, text in {
        "subject": found.name,
        "permits": "any host: it has no name constraints" if found.permitted is None else ", ".join(found.permitted),
        "valid": f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}, {remaining}",
        "SHA-256": found.fingerprint,
        "folder": f"{found.folder}, which is yours alone",
        "rules": f"{loaded.source}: {missing if uncovered else 'each of their hosts is permitted'}",
    }.items():
        click.echo(f"{label:<12}{printable(text)}")


@ca.command()
@rules_option
def create(rules: Path | None) -> None:
    """Make the CA, for the hosts that the rules name; `gatepass serve` does so at its first start."""
    made = authority.create(authority.default_folder(), sorted(load_rules(rules).hosts))
    click.echo(f"made {made.folder / authority.CERTIFICATE_FILE}: {made.name}")
    click.echo("clients trust it with the bundle that `gatepass ca bundle` writes")


@ca.command()
@rules_option
def renew(rules: Path | None) -> None:
    """Make a new CA, with a new key, for the hosts that the rules name now."""
    folder = authority.default_folder()
    made = authority.renew(folder, sorted(load_rules(rules).hosts))
    click.echo(f"made {made.folder / authority.CERTIFICATE_FILE}: {made.name}")
    bundle = folder / bundles.BUNDLE_FILE
    if bundle.exists():
        # the shell's own part may have come from another shell, and is kept
        own = {"SSL_CERT_FILE": str(bundle)}
        files.update(bundle, bundles.client_bundle(own, made.pem))
        click.echo(f"rewrote {bundle}, which clients read when they start")
    click.echo("clients must trust the new one: restart `gatepass serve`, and do again what you did with")
    click.echo("`gatepass ca bundle --output`, `gatepass ca export` and `gatepass ca trust`")


@ca.command()
@click.option("--der", is_flag=True, help="Binary (DER) in place of PEM.")
@click.option("--output", default="-", metavar="FILE", help="Where to write it; else to standard output.")
def export(der: bool, output: str) -> None:
    """Write the CA's certificate, which is no secret; its key is never exported."""
    found = _present()
    content = found.der if der else found.pem.encode()
    if output == "-":
        click.echo(content, nl=False)
    else:
        _save(Path(output), content)


@ca.command()
@rules_option
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write it.")
def bundle(rules: Path | None, output: Path | None) -> None:
    """Write the CAs for SSL_CERT_FILE, and print where: the public ones, those of this shell, and the proxy's.

    The shell's are what SSL_CERT_FILE and its kin hold, and what settings files of pip, curl and others name. The file
    is left alone when nothing has changed.
    """
    folder = authority.default_folder()
    found = authority.load(folder) or authority.obtain(folder, sorted(load_rules(rules).hosts))
    path = (output or folder / bundles.BUNDLE_FILE).absolute()
    _save(path, bundles.client_bundle(os.environ, found.pem, *tools.trusted(os.environ)).encode("ascii"))
    click.echo(path)


@ca.command("trust")
@click.option("--platform", "name", type=click.Choice(list(stores.PLATFORMS)), help="Else the one of this machine.")
@click.option("--install", "change", flag_value="install", help="Do it: on Debian and Fedora, as root.")
@click.option("--uninstall", "change", flag_value="uninstall", help="Undo what --install did.")
def trust_(name: str | None, change: str | None) -> None:
    """Print how to let this machine trust the CA, and how to undo that; change nothing unless told to."""
    platform = stores.PLATFORMS[name] if name else stores.detect(sys.platform, _release())
    if change == "uninstall":
        removed = stores.uninstall(platform)
        click.echo(f"removed {removed}" if removed else "there was nothing to remove")
        return
    found = _present()
    if change == "install":
        click.echo(f"installed {stores.install(platform, found.pem)}; `gatepass ca trust --uninstall` undoes it")
        return
    certificate = found.folder / authority.CERTIFICATE_FILE
    commands, undo = platform.commands(certificate, found.name, found.certificate.serial_number)
    click.echo("\n".join([f"# {platform.title}", "# trust", *commands, "# remove", *undo]))


def _present() -> Authority:
    folder = authority.default_folder()
    found = authority.load(folder)
    if found is None:
        raise GatepassError(f"{folder}: expected a CA, got none yet", "`gatepass ca create` makes it")
    return found


def _document(found: Authority, rules: Rules, now: datetime.datetime) -> dict[str, object]:
    """The same for programs."""
    return {
        "subject": found.name,
        "permits": found.permitted,
        "begins": found.certificate.not_valid_before_utc.isoformat(),
        "ends": found.certificate.not_valid_after_utc.isoformat(),
        "days_left": found.left(now).days,
        "sha256": found.fingerprint,
        "certificate": str(found.folder / authority.CERTIFICATE_FILE),
        "rules": rules.source,
        "not_permitted": found.uncovered(rules.hosts | {OWN}),
    }


def _release() -> list[str]:
    """This machine's names in os-release, the nearest first."""
    try:
        release = machine.freedesktop_os_release()
    except OSError:
        return []
    return [release.get("ID", ""), *release.get("ID_LIKE", "").split()]


def _save(path: Path, content: bytes) -> None:
    """Write what the user named; a device or a pipe is no file to be replaced."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise GatepassError(f"--output: expected a file, got `{path}`", "name a file")
        files.update(target, content)
    except OSError as error:
        raise GatepassError(f"--output: expected a file to write, got `{path}`: {why(error)}") from None
