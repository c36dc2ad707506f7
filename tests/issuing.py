"""What a CA vouches for: a certificate as mitmproxy would show it to clients, and a web server that has it.

And a shell in which `gatepass ca` keeps one.
"""

from __future__ import annotations

import http.server
import ipaddress
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from mitmproxy import certs

from gatepass import files
from gatepass.forge.hosts import Host
from gatepass.trust import authority, bundles
from harness import GATEPASS, call, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness import Result


def hosts(*names: str) -> list[Host]:
    return [Host(name) for name in names]


def issue(folder: Path, ca: str, *names: str) -> tuple[str, Path]:
    """What mitmproxy would show for these names with that CA: the CA's certificate, and a chain with its key."""
    folder.mkdir(exist_ok=True)
    files.write(folder / authority.CA_FILE, ca, 0o600)
    store = certs.CertStore.from_store(folder, "mitmproxy", 2048)
    leaf = store.get_cert(names[0], [_san(name) for name in names]).cert
    chain = files.write(folder / "chain.pem", ca.partition("-----BEGIN CERTIFICATE")[0] + leaf.to_pem().decode(), 0o600)
    return bundles.combine(ca), chain


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def https(chain: Path, files: Path) -> Iterator[int]:
    """A web server with that certificate, on a loopback port."""

    def handler(*arguments: object) -> _Handler:
        return _Handler(*arguments, directory=files)  # type: ignore[arg-type]  # what socketserver passes on

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that refuse are meant
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Shell:
    """A user's shell with a configuration folder of its own, beside which the rules lie."""

    home: Path
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.home / "config" / "gatepass" / "ca"

    def ca(self, *arguments: str | Path, **extra: str) -> Result:
        return call([GATEPASS, "ca", *arguments], {**self.env, **extra}, cwd=self.home)

    def rules(self, *hosts: str) -> None:
        """Let the rules name these hosts."""
        text = "version: 1\ncredentials:\n  a:\n    from: [env:A]\n"
        text += f"    hosts: [{', '.join(map(repr, hosts))}]\nrules:\n"
        text += "".join(
            f"  - match: {host}/*\n    headers: {{X-A: '{{credential}}'}}\n    credential: a\n" for host in hosts
        )
        (self.home / "rules.yaml").write_text(text)


def shell_at(home: Path) -> Shell:
    """A shell of who lives there, whose rules name `localhost`."""
    env = clean_environment(
        HOME=str(home), XDG_CONFIG_HOME=str(home / "config"), GATEPASS_RULES=str(home / "rules.yaml")
    )
    shell = Shell(home, env)
    shell.rules("localhost")
    return shell
