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
    from gatepass.trust.authority import Authority, Succession


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
    succession, loaded, now = _present(), load_rules(rules), datetime.datetime.now(datetime.UTC)
    found = succession.current
    if as_json:
        print_json(_document(succession, loaded, now))
        return
    begin, end = found.certificate.not_valid_before_utc, found.certificate.not_valid_after_utc
    days = found.left(now).days
    remaining = f"{days} days left" if days >= 0 else "expired"
    uncovered = found.uncovered(loaded.hosts | {OWN})
    missing = f"{', '.join(uncovered)} not permitted; `gatepass ca renew` makes a CA for them"
    beside = {"next": succession.next, "previous": succession.previous}
    for label, text in {
        "subject": found.name,
        "permits": "any host: it has no name constraints" if found.permitted is None else ", ".join(found.permitted),
        "valid": f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}, {remaining}",
        "SHA-256": found.fingerprint,
        "folder": f"{found.folder}, which is yours alone",
        "rules": f"{loaded.source}: {missing if uncovered else 'each of their hosts is permitted'}",
        **{label: _told(each) for label, each in beside.items() if each is not None},
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
    _rewrite(folder, made.pem)
    click.echo("clients must trust the new one: let `gatepass serve` read it (SIGHUP), and do again what you did with")
    click.echo("`gatepass ca bundle --output`, `gatepass ca export` and `gatepass ca trust`")


@ca.command("next")
@rules_option
def next_(rules: Path | None) -> None:
    """Make the next CA beside the one in use, for the hosts that the rules name now: clients are to trust both."""
    folder, now = authority.default_folder(), datetime.datetime.now(datetime.UTC)
    made = authority.prepare(folder, sorted(load_rules(rules).hosts))
    click.echo(f"made {made.folder / authority.NEXT_FILE}: {made.name}")
    click.echo(f"SHA-256 {made.fingerprint}")
    _rewrite(folder, _present().pem(now))
    click.echo("let each `gatepass serve` tell of it (SIGHUP), and clients take their bundle again; when all have it,")
    click.echo("`gatepass ca switch` puts it to use")


@ca.command()
@rules_option
@click.option("--back", is_flag=True, help="Put the one of before to use again.")
def switch(rules: Path | None, back: bool) -> None:
    """Put the next CA to use; the one before is trusted until it ends, or until the next switch."""
    folder, now = authority.default_folder(), datetime.datetime.now(datetime.UTC)
    found = authority.switch(folder, sorted(load_rules(rules).vouched), now, back=back)
    click.echo(f"in use: {found.current.name}")
    click.echo(f"SHA-256 {found.current.fingerprint}")
    _rewrite(folder, found.pem(now))
    click.echo("let each `gatepass serve` take it (SIGHUP), one after the other if you like: clients trust both")


@ca.command()
@click.option("--der", is_flag=True, help="Binary (DER) in place of PEM.")
@click.option("--next", "is_next", is_flag=True, help="That of the next one.")
@click.option("--output", default="-", metavar="FILE", help="Where to write it; else to standard output.")
def export(der: bool, is_next: bool, output: str) -> None:
    """Write the CA's certificate, which is no secret; its key is never exported."""
    present = _present()
    found = present.next if is_next else present.current
    if found is None:
        raise GatepassError(f"{present.current.folder}: expected a next CA, got none", "`gatepass ca next` makes it")
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
    if authority.load(folder) is None:
        authority.obtain(folder, sorted(load_rules(rules).hosts))
    pem = _present().pem(datetime.datetime.now(datetime.UTC))
    path = (output or folder / bundles.BUNDLE_FILE).absolute()
    _save(path, bundles.client_bundle(os.environ, pem, *tools.trusted(os.environ)).encode("ascii"))
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
    found = _present().current
    if change == "install":
        click.echo(f"installed {stores.install(platform, found.pem)}; `gatepass ca trust --uninstall` undoes it")
        return
    certificate = found.folder / authority.CERTIFICATE_FILE
    commands, undo = platform.commands(certificate, found.name, found.certificate.serial_number)
    click.echo("\n".join([f"# {platform.title}", "# trust", *commands, "# remove", *undo]))


def _present() -> Succession:
    folder = authority.default_folder()
    found = authority.succession(folder)
    if found is None:
        raise GatepassError(f"{folder}: expected a CA, got none yet", "`gatepass ca create` makes it")
    return found


def _rewrite(folder: Path, pem: str) -> None:
    """Let what clients on this machine trust, where it was written, be these CAs."""
    bundle, alone = folder / bundles.BUNDLE_FILE, folder / authority.TRUSTED_FILE
    if alone.exists():
        files.update(alone, pem)
    if bundle.exists():
        # the shell's own part may have come from another shell, and is kept
        own = {"SSL_CERT_FILE": str(bundle)}
        files.update(bundle, bundles.client_bundle(own, pem))
        click.echo(f"rewrote {bundle}, which clients read when they start")


def _told(found: Authority) -> str:
    """What is shown of a CA beside the one in use."""
    return f"{found.name}, until {found.certificate.not_valid_after_utc:%Y-%m-%d}, SHA-256 {found.fingerprint}"


def _document(succession: Succession, rules: Rules, now: datetime.datetime) -> dict[str, object]:
    """The same for programs."""
    found, beside = succession.current, {"next": succession.next, "previous": succession.previous}
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
        **{name: None if each is None else each.fingerprint for name, each in beside.items()},
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
