"""`gatepass serve`: the proxy in the foreground, for several clients."""

from __future__ import annotations

import gc
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepass import config, environment, running, trust
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    import argparse

    from mitmproxy.options import Options


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--rules", type=click.Path(path_type=Path), help="The rules file; else as `gatepass check` finds it.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED)
def serve(rules: Path | None, listen: str, mitmdump_options: tuple[str, ...]) -> None:
    """Run the proxy until it is stopped; after `--` come options of mitmdump."""
    config.load(str(rules) if rules else None, os.environ, Path.cwd())
    host, port = _address(listen)

    # imported here, for it takes a second: wrong usage and wrong rules are told before
    from mitmproxy import ctx
    from mitmproxy.addons.tlsconfig import TlsConfig
    from mitmproxy.tools import cmdline, dump, main

    from gatepass.proxy import listening_port

    gc.freeze()
    gc.enable()

    class Announce:
        """Tells what a client needs, once the proxy listens: on the screen, and to `gatepass env`."""

        told: Path | None = None

        def running(self) -> None:
            tls = ctx.master.addons.get("tlsconfig")
            assert isinstance(tls, TlsConfig)
            confdir = Path(ctx.options.confdir).expanduser()
            ca = tls.certstore.default_ca.to_pem().decode()
            bundle = trust.write(confdir / trust.BUNDLE_FILE, trust.combine(trust.shell_bundle(os.environ), ca))
            address = f"http://{_reachable(host)}:{listening_port()}"
            variables = environment.for_client(address, bundle, bundle, os.environ)
            try:
                self.told = running.announce(running.Running(os.getpid(), address, bundle, bundle), os.environ)
            except (GatepassError, OSError) as error:
                click.echo(f"gatepass: `gatepass env` will not find this server: {error}", err=True)
            click.echo("gatepass: listening; in a client's shell:")
            for name in ("HTTPS_PROXY", "SSL_CERT_FILE"):
                click.echo(f"export {name}={shlex.quote(variables[name])}")

        def done(self) -> None:
            if self.told is not None:
                self.told.unlink(missing_ok=True)

    class Master(dump.DumpMaster):
        def __init__(self, options: Options) -> None:
            super().__init__(options)
            # what this shell trusts is trusted upstream; an option of the user's own comes later and wins
            options.update(ssl_verify_upstream_trusted_ca=str(upstream_ca))
            self.addons.add(Announce())

    arguments = ["-s", str(config.script_path()), "--listen-host", host, "--listen-port", str(port)]
    if rules is not None:
        arguments += ["--set", f"gatepass_rules={rules}"]
    with tempfile.TemporaryDirectory(prefix="gatepass-") as folder:
        upstream_ca = trust.write(Path(folder) / trust.UPSTREAM_FILE, trust.shell_bundle(os.environ))
        main.run(Master, cmdline.mitmdump, [*arguments, *mitmdump_options], _filters)


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    """A flow filter among the options means what it means to mitmdump."""
    if not arguments.filter_args:
        return {}
    text = " ".join(arguments.filter_args)
    return {"save_stream_filter": text, "readfile_filter": text, "dumper_filter": text}


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s]*)):([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise GatepassError(f"--listen: expected HOST:PORT, got `{text}`", "for example `--listen 127.0.0.1:8080`")
    return match[1] or match[2] or "127.0.0.1", int(match[3])


def _reachable(host: str) -> str:
    """The address under which a client on this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
