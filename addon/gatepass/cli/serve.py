"""`gatepass serve`: the proxy in the foreground, for several clients."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import gc
import io
import logging
import os
import re
import secrets
import shlex
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from gatepass import files, home, shipped
from gatepass.cli import signals
from gatepass.cli.options import load_rules, rules_option, say, say_all
from gatepass.cli.supervisor import Supervisor
from gatepass.errors import GatepassError, printable, why
from gatepass.forge.hosts import OWN
from gatepass.rules.access import Htpasswd, Networks, Oidc, Password
from gatepass.rules.model import ResolveRelease
from gatepass.shell import elsewhere, environment, inherited, running, tempdir, tools, undo
from gatepass.telemetry.audit import STDOUT, claim_stdout
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitmproxy.options import Options

    from gatepass.rules.access import Client
    from gatepass.rules.model import Rules


_OFF = "off"
# The modes in which a connection's server is an address, and its name is in the client's SNI.
_BY_ADDRESS = ("transparent", "local", "wireguard", "tun")


@click.command(context_settings={"allow_interspersed_args": False})
@rules_option
@click.option(
    "--listen",
    "listen",
    default=("127.0.0.1:8080",),
    show_default=True,
    multiple=True,
    metavar="HOST:PORT",
    help="Where to listen; may be given several times; `off` leaves the index alone.",
)
@click.option(
    "--index", metavar="HOST:PORT", help="Serve the package indexes there, as a plain web server of their own."
)
@click.option("--no-password", is_flag=True, help="Ask no password: who reaches the port uses the credentials.")
@click.option(
    "--public-url", metavar="URL", help="How clients elsewhere name this proxy, on http://gatepass.internal/."
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long what has begun may take to end, after SIGTERM.",
)
@click.option(
    "--drain-delay",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long connections are taken on after SIGTERM, for a load balancer to notice.",
)
@click.option("--audit", metavar="FILE", help="Add a line of JSON to FILE for each request and tunnel; `-` is stdout.")
@click.option("--admin", metavar="HOST:PORT", help="Answer there how the proxy is: health, metrics, a status page.")
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED)
def serve(
    rules: Path | None,
    listen: tuple[str, ...],
    index: str | None,
    no_password: bool,
    public_url: str | None,
    drain: float,
    drain_delay: float,
    audit: str | None,
    admin: str | None,
    mitmdump_options: tuple[str, ...],
) -> None:
    """Run the proxy until it is stopped; after `--` come options of mitmdump.

    The rules are read again when their file changes, and at SIGHUP; those that cannot be used change nothing.

    Its CA is Gatepass's own (`gatepass ca`), unless `--set confdir=FOLDER` names a folder with another. Its password is
    made anew at each start, unless `--set proxyauth=USER:PASSWORD` names one.
    """
    if audit == STDOUT:
        claim_stdout()  # before anything is said there
    supervisor = Supervisor.take(os.environ)
    loaded = load_rules(rules, _say_once)
    if public_url is not None:
        elsewhere.ProxyUrl.parse(public_url, "--public-url")
    addresses = _addresses(listen) if listen != (_OFF,) else []
    web = None if index is None else _free_address(index, "--index")
    settings = _settings(mitmdump_options)
    _expect_sense(addresses, web, settings)
    shell = undo.before(os.environ)
    beyond = [inherited.beyond(shell, *address) for address in addresses or filter(None, [web])]
    upstream = beyond[0] if "mode" not in settings and all(beyond) else None
    named, notices = tools.authorities(tools.read(os.environ), os.environ)
    say_all(notices)
    if "confdir" in settings:
        _expect_folder(home.opened(settings["confdir"]))  # without a home mitmproxy would make a folder `~` here
    own_confdir = None if "confdir" in settings else _ca_folder(loaded, vouches=bool(addresses))
    by_address = re.split("[:@]", settings.get("mode", ""))[0] in _BY_ADDRESS
    if own_confdir is not None and by_address:
        raise GatepassError(
            f"--mode: expected one in which clients tell the server by its name, got `{settings['mode']}`",
            "there mitmproxy's certificates name addresses, for which Gatepass's CA may not vouch: add "
            "`--set confdir=FOLDER` for a CA of mitmproxy's own",
        )

    # imported here, for it takes a second: wrong usage and wrong rules are told before
    from gatepass.proxy import late

    late.postpone()
    from mitmproxy import ctx
    from mitmproxy.tools import cmdline, dump, main

    from gatepass.proxy import modes
    from gatepass.proxy.addon import Gatepass
    from gatepass.proxy.drain import Drain
    from gatepass.proxy.embedded import Forgetful, index_port, listening_port
    from gatepass.proxy.plain import Plain

    if web is not None and not modes.is_loopback(web[0]) and not loaded.access.clients:
        raise GatepassError(
            f"--index: expected `clients` in the rules, where other machines reach it, got none for `{web[0]}`",
            f"write into {loaded.source} who may use it, such as `clients: {{ci: {{password: [env:CI_PASSWORD]}}}}`",
        )
    gc.freeze()
    gc.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # into a file or a journal, too, each line of the log comes at once
    draining = Drain(drain_delay, drain)

    # addons are looked for when they are wanted: mitmproxy may have loaded the script again

    async def hung_up() -> None:
        supervisor.reloading()
        try:
            if isinstance(addon := ctx.master.addons.get(Gatepass.name), Gatepass):
                addon.record.ledger.reopen()
                before = addon.authorities.pem()
                await addon.reload.again()
                if addon.authorities.pem() != before:
                    await asyncio.to_thread(publish)
        except (GatepassError, OSError) as error:
            say(f"what clients on this machine trust stays as it was: {error}")
        finally:
            supervisor.ready()

    def publish() -> tuple[Path, Path]:
        """Write what clients on this machine trust: a bundle with the public CAs, and the proxy's CAs alone."""
        addon = ctx.master.addons.get(Gatepass.name)
        assert isinstance(addon, Gatepass)
        folder = home.opened(ctx.options.confdir)
        pem = addon.authorities.pem()
        bundle = files.update(folder / bundles.BUNDLE_FILE, bundles.client_bundle(os.environ, pem, *named))
        if addon.authorities.is_own:
            return bundle, files.update(folder / authority.TRUSTED_FILE, pem)
        alone = folder / authority.CERTIFICATE_FILE
        return bundle, alone if alone.is_file() else bundle

    def terminated() -> None:
        if isinstance(addon := ctx.master.addons.get(Gatepass.name), Gatepass):
            addon.record.ledger.drain()
        supervisor.stopping("ends, and lets finish what has begun")
        draining.begin()

    class Announce:
        """Tells what a client needs, once the proxy listens: on the screen, and to `gatepass env`."""

        told: Path | None = None

        def running(self) -> None:
            signals.Hangup(hung_up, ctx.master.shutdown).heed()
            signals.terminate(terminated)
            bundle, certificate = publish()
            known = _user(ctx.options.proxyauth)
            own = [] if ctx.options.proxyauth else list(map(_told, loaded.access.clients))
            if web is not None:
                shown = "USER:PASSWORD@" if own or (ctx.options.proxyauth and not known) else known
                _tell_index(f"http://{shown}{_reachable(web[0])}:{index_port()}", loaded)
            if addresses:
                self.tell_clients(addresses[0][0], bundle, certificate, known, own)
            else:
                _tell_who(own, known)
                click.echo("gatepass: listening")
            host, port = (addresses[0][0], listening_port()) if addresses or web is None else (web[0], index_port())
            supervisor.ready(f"listens on {host}:{port}")

        def tell_clients(self, host: str, bundle: Path, certificate: Path, known: str, own: list[str]) -> None:
            address = f"http://{known}{_reachable(host)}:{listening_port()}"
            variables = environment.for_client(address, bundle, certificate, os.environ)
            self.announce(address, bundle, certificate)
            if isinstance(addon := ctx.master.addons.get(Gatepass.name), Gatepass):
                addon.life.replaced = partial(self.announce, address, bundle, certificate)
            _tell_who(own, known)
            click.echo("gatepass: listening; in a client's shell:")
            if own:
                click.echo(
                    "put a user and a password of these into HTTPS_PROXY, or neither for an address that needs none"
                )
                address = f"http://USER:PASSWORD@{_reachable(host)}:{listening_port()}"
                variables = environment.for_client(address, bundle, certificate, os.environ)
            elif self.told is not None:
                click.echo('eval "$(gatepass env)"')
                click.echo("or, where that cannot be run, for uv and whoever heeds these two:")
            for name in ("HTTPS_PROXY", "SSL_CERT_FILE"):
                click.echo(f"export {name}={shlex.quote(variables[name])}")

        def announce(self, address: str, bundle: Path, certificate: Path) -> None:
            """Write what `gatepass env` reads; rules that are read anew may have other placeholders."""
            addon = ctx.master.addons.get(Gatepass.name)
            known = dict(addon.placeholders) if isinstance(addon, Gatepass) else {}
            server = running.Running(os.getpid(), address, bundle, certificate, known)
            try:
                self.told = running.announce(server, os.environ)
            except (GatepassError, OSError) as error:
                for line in f"`gatepass env` will not find this server: {error}".splitlines():
                    say(line)

        def done(self) -> None:
            if self.told is not None:
                self.told.unlink(missing_ok=True)
            supervisor.stopping("ends")
            supervisor.close()

    class Master(dump.DumpMaster):
        def __init__(self, options: Options) -> None:
            super().__init__(options)
            # what this shell trusts is trusted upstream; an option of the user's own comes later and wins
            options.update(ssl_verify_upstream_trusted_ca=str(upstream_ca))
            if own_confdir is not None:
                # else names of the upstream certificate, which this CA may not vouch for, would come along
                options.update(upstream_cert=False)
            # where connections are redirected here clients know of no proxy, and could not tell it a password;
            # and where the rules name clients, these have their own
            if not no_password and not by_address and not loaded.access.clients:
                options.update(proxyauth=f"gatepass:{secrets.token_urlsafe(24)}")
            self.addons.add(Announce(), Forgetful(), draining)

        async def run(self) -> None:
            # by now the user's own options are known, those in a config file, too
            if upstream is not None and (not addresses or not self.options.has_changed("mode")):
                click.echo(f"gatepass: goes out through {printable(upstream.url)}, as ${upstream.variable} says")
                self.options.update(upstream_auth=upstream.auth)
                if addresses:
                    self.addons.add(Plain(shell))
                    self.options.update(mode=[f"upstream:{upstream.url}"])
                else:
                    self.options.update_defer(gatepass_upstream=upstream.url)
            served = modes.at(self.options.mode, addresses[1:]) if addresses else []
            self.options.update(mode=[*served, *([modes.index(*web)] if web is not None else [])])
            if (exposed := modes.exposed(self.options)) and not loaded.access.clients:
                raise GatepassError(
                    "--listen: expected a password, or `clients` in the rules, where other machines reach the proxy, "
                    f"got neither for `{', '.join(exposed)}`",
                    "leave out what takes the password away (`--no-password`, an empty `proxyauth`), or write into "
                    f"{loaded.source} who may use it, such as `clients: {{office: {{networks: [10.20.0.0/16]}}}}`",
                )
            await super().run()

    arguments = ["-s", str(shipped.script())]
    if addresses:
        host, port = addresses[0]
        arguments += ["--listen-host", host, "--listen-port", str(port)]
    if rules is not None:
        arguments += ["--set", f"gatepass_rules={rules}"]
    if own_confdir is not None:
        arguments += ["--set", f"confdir={own_confdir}"]
    if public_url is not None:
        arguments += ["--set", f"gatepass_public_url={public_url}"]
    if audit is not None:
        arguments += ["--set", f"gatepass_audit={audit}"]
    if admin is not None:
        arguments += ["--set", f"gatepass_admin={admin}"]
    with tempdir.private() as folder:
        upstream_ca = files.write(folder / bundles.UPSTREAM_FILE, bundles.shell_bundle(os.environ, *named))
        main.run(Master, cmdline.mitmdump, [*arguments, *mitmdump_options], _filters)


def _say_once(text: str) -> None:
    """Tell what the addon, which reads the same rules in this process, is going to log: at once, and in its stead."""
    say(text)
    logging.getLogger("gatepass").addFilter(lambda record: record.getMessage() != f"gatepass: {printable(text)}")


def _expect_sense(addresses: Sequence[tuple[str, int]], web: tuple[str, int] | None, settings: dict[str, str]) -> None:
    """
    Raises:
        GatepassError: nothing would be served, or two things at one address.
    """
    if not addresses and web is None:
        raise GatepassError(
            "--listen: expected `off` beside an index, got it alone", "say where that is to be: `--index HOST:PORT`"
        )
    if not addresses and "mode" in settings:
        raise GatepassError(f"--mode: expected none with `--listen off`, got `{settings['mode']}`")
    if web is not None and web in addresses and web[1]:
        raise GatepassError(f"--index: expected another address than those of --listen, got `{web[0]}:{web[1]}`")


def _tell_index(root: str, rules: Rules) -> None:
    """Where the indexes are, for who adds them to a project."""
    click.echo("gatepass: package indexes, of repositories and by name:")
    for web in dict.fromkeys(each.action.forge.web for each in rules.rules if isinstance(each.action, ResolveRelease)):
        click.echo(f"{root}/{web}/OWNER/REPO/simple/")
    for each in rules.indexes:
        click.echo(f"{root}/{each.name}/simple/")


def _tell_who(own: list[str], known: str) -> None:
    """Who may use it; `known` is what clients put before the host."""
    from mitmproxy import ctx

    if own:
        click.echo(f"gatepass: the rules name who may use it: {'; '.join(own)}")
    elif not ctx.options.proxyauth:
        click.echo("warning: no password is asked: whoever reaches the port can use the credentials", err=True)
    elif not known:
        click.echo(
            "warning: proxyauth: expected USER:PASSWORD, which clients can be told, got another kind\n"
            "hint: put a user and a password that it accepts into what follows",
            err=True,
        )


def _ca_folder(rules: Rules, *, vouches: bool) -> Path:
    """Where the CA lies, which is made at the first start, and fit for the rules where it `vouches` for anything.

    Raises:
        GatepassError: clients would refuse it, or it is not this user's alone.
    """
    folder = authority.default_folder()
    found = authority.obtain(folder, sorted(rules.hosts))
    if not vouches:
        return folder
    warning = found.judge(rules.vouched, datetime.datetime.now(datetime.UTC))
    if warning:
        click.echo(f"warning: {printable(str(warning))}", err=True)
    if not found.vouches_for_indexes and not all(host.is_address for host in rules.hosts):
        click.echo(
            f"warning: {printable(str(folder))}: the CA was made before there were package indexes, and may not vouch "
            f"for {OWN}: they are not to be had through this proxy\n"
            "hint: `gatepass ca renew` makes a new one, which clients must then trust",
            err=True,
        )
    return folder


def _settings(arguments: Sequence[str]) -> dict[str, str]:
    """The options that arguments of mitmdump set, as far as they matter here: by `--set`, and the mode by its own."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--mode", "-m")
    parsed = parser.parse_known_args(arguments)[0]
    settings = {name: value for name, _, value in (spec.partition("=") for spec in parsed.set)}
    return settings | ({"mode": parsed.mode} if parsed.mode else {})


def _expect_folder(place: Path) -> None:
    """Make it, as mitmproxy would do with a traceback where it cannot."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GatepassError(f"--set confdir: expected a folder, got `{place}`: {why(error)}") from None


def _told(client: Client) -> str:
    """What a client has to show, without anything that is secret."""
    match client.proof:
        case Password():
            return f"user {client.name} with its password"
        case Htpasswd(path):
            return f"users of {path} with theirs"
        case Oidc():
            return f"any user with one of the {client.proof} as the password"
        case Networks(networks):
            return f"whoever comes from {', '.join(map(str, networks))}"


def _user(proxyauth: str | None) -> str:
    """What stands before the host in a proxy's URL, for what mitmproxy's option asks: nothing where that is unknown."""
    if not proxyauth or proxyauth.startswith(("@", "ldap")):  # a file of hashes; a directory
        return ""
    user, _, password = ("any:any" if proxyauth == "any" else proxyauth).partition(":")
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    """A flow filter among the options means what it means to mitmdump."""
    if not arguments.filter_args:
        return {}
    text = " ".join(arguments.filter_args)
    return {"save_stream_filter": text, "readfile_filter": text, "dumper_filter": text}


def _addresses(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Where to listen, each free and there once."""
    found: list[tuple[str, int]] = []
    for text in texts:
        if text == _OFF:
            raise GatepassError("--listen: expected `off` alone, or addresses, got both")
        address = _address(text, "--listen")
        if address in found:
            raise GatepassError(f"--listen: expected different addresses, got `{text}` twice")
        _expect_free(*address, "--listen")
        found.append(address)
    return found


def _free_address(text: str, option: str) -> tuple[str, int]:
    host, port = _address(text, option)
    # mitmproxy takes port 0 at one address once
    return host, _expect_free(host, port, option)


def _address(text: str, option: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s]*)):([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise GatepassError(f"{option}: expected HOST:PORT, got `{text}`", f"for example `{option} 127.0.0.1:8080`")
    return match[1] or match[2] or "127.0.0.1", int(match[3])


def _expect_free(host: str, port: int, option: str) -> int:
    """Say in our words what mitmproxy would say in the system's; the port, or for 0 one that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            # as the server will: a port whose last connections have just been closed is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise GatepassError(
            f"{option}: expected a free address, got `{host}:{port}`: {(error.strerror or str(error)).lower()}",
            "another `gatepass serve` may run there (`gatepass env` uses it); else name another, "
            f"such as `{option} 127.0.0.1:0` for any free port",
        ) from None


def _reachable(host: str) -> str:
    """The address under which a client on this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
