"""What a secret costs: asked for anew at its source, and once it is kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import servers
from benchmarks.report import Comparison
from gatepass.credentials.store import Credentials
from gatepass.forge.hosts import Forge, Host
from gatepass.forge.urls import Repository
from gatepass.github.client import GitHub
from gatepass.rules.model import Credential
from gatepass.secret import Audience
from gatepass.sources import Command, Env, File, Gh, Git, GitHubApp, Keyring, Netrc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.report import Row
    from gatepass.sources import Source

_KEPT_ROUNDS = 2000


def secrets(bench: Bench) -> Iterator[Row]:
    """Each source in the process of the proxy; a GitHub App before the stand-in, whose answers take no time."""
    home = bench.fresh("home")
    environ = _furnish(home, bench)
    kinds = _kinds(home, bench)
    forge = Forge(Host.parse(bench.github.web), bench.github.api)
    audience = Audience(forge.api_host, forge, Repository("acme", "wheel"))

    async def measure() -> list[tuple[str, float, float]]:
        github = GitHub(ssl.create_default_context(cafile=bench.upstream_ca))
        rows = []
        for name, source in kinds.items():
            bench.say(name)
            credential = Credential(name, (source,), frozenset())
            anew = []
            for _ in range(5 * bench.scale.rounds):
                credentials = Credentials(environ, github)
                start = time.perf_counter()
                await credentials.secret(credential, audience)
                anew.append(time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(_KEPT_ROUNDS):
                await credentials.secret(credential, audience)
            rows.append((name, 1e3 * median(anew), 1e6 * (time.perf_counter() - start) / _KEPT_ROUNDS))
        await github.close()
        return rows

    rows = asyncio.run(measure())
    yield Comparison("a secret, asked for anew", "ms", tuple((name, anew) for name, anew, _ in rows))
    yield Comparison("a secret, kept", "µs", tuple((name, kept) for name, _, kept in rows))


def _kinds(home: Path, bench: Bench) -> dict[str, Source]:
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(home / "app.pem", private.decode())
    app = bench.github.ask(servers.install_app, public.decode())
    found: dict[str, Source] = {
        "env": Env("SECRET"),
        "file": File(str(home / "token")),
        "netrc": Netrc(),
        "command (cat)": Command(("cat", str(home / "token"))),
        "git": Git(),
        "gh": Gh(),
        "keyring": Keyring("team", "me"),
        "github-app": GitHubApp(app, File(str(home / "app.pem"))),
    }
    return {name: source for name, source in found.items() if name != "gh" or shutil.which("gh")}


def _furnish(home: Path, bench: Bench) -> dict[str, str]:
    """A home with a secret in every place where people keep one; its environment."""
    web = bench.github.web
    _write(home / "token", "secret\n")
    _write(home / "netrc", f"machine {web.partition(':')[0]} login me password secret\n")
    _write(home / "store", f"https://me:secret@{web}\n")
    _write(home / ".gitconfig", f"[credential]\n\thelper = store --file {home}/store\n")
    (home / "gh").mkdir()
    _write(home / "gh" / "hosts.yml", f'"{web}":\n  user: me\n  oauth_token: secret\n')
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SECRET": "secret",
        "NETRC": str(home / "netrc"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GH_CONFIG_DIR": str(home / "gh"),
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(home),
    }
    set_entry = [sys.executable, "-m", "keyring", "set", "team", "me"]
    subprocess.run(set_entry, env=environ, input=b"secret", check=True, capture_output=True)
    return environ


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
