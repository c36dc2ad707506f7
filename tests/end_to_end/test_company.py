"""A company's network: CAs of its own, wherever they are named, and a proxy that is the only way out."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import GATEPASS, background

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Shell

STORE = "/etc/ssl/certs"


def without(shell: Shell, *names: str, **variables: str) -> Shell:
    """The same shell with less in its environment, and other things."""
    return replace(shell, env={name: value for name, value in shell.env.items() if name not in names} | variables)


# ---------------------------------------------------------------- CAs: the system's


@pytest.fixture(params=["file", "folder"])
def store(request: pytest.FixtureRequest, github: StandIn, tmp_path: Path) -> list[str | Path]:
    """What runs a command where the system's store is the company's alone: a namespace of its own, and no file here."""
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(github.ca_file, folder / "company.pem")
    if request.param == "file":
        shutil.copy(github.ca_file, folder / "ca-certificates.crt")
    else:
        subprocess.run(["openssl", "rehash", folder], check=True)
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside: list[str | Path] = [
        "unshare",
        "--mount",
        *user,
        "sh",
        "-c",
        f'mount --bind {folder} {STORE} && exec "$@"',
        "-",
    ]
    done = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {done.stderr.strip()}")
    return inside


def test_run_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """Under `run` a CA that the system alone knows counts, for Gatepass' own calls and in the clients' bundle."""
    mine = without(shell, "SSL_CERT_FILE")
    download = 'curl -sSfL -o out "$0" && cat "$SSL_CERT_FILE"'
    command = [*store, GATEPASS, "run", "--rules", shell.rules, "--", "sh", "-c", download, wheel_url]
    done = subprocess.run(command, env=mine.env, cwd=shell.home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (shell.home / "store" / "company.pem").read_text().strip() in done.stdout
    assert (shell.home / "out").stat().st_size > 0


def test_explain_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """So it does for `explain`."""
    mine = without(shell, "SSL_CERT_FILE")
    command = [*store, GATEPASS, "explain", "--rules", shell.rules, wheel_url]
    done = subprocess.run(command, env=mine.env, cwd=shell.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_serve_trusts_the_systems_store(shell: Shell, store: list[str | Path], wheel_url: str) -> None:
    """So it does for `serve`, and for its clients."""
    mine = without(shell, "SSL_CERT_FILE", XDG_RUNTIME_DIR=str(shell.home / "runtime"))
    serve = [*store, GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0"]
    path = f"{GATEPASS.parent}{os.pathsep}{mine.env['PATH']}"
    with background(serve, mine.env, shell.home) as serving:
        serving.wait_for("gatepass: listening")
        script = 'eval "$(gatepass env)" && curl -sSfL -o out "$0"'
        done = subprocess.run(
            ["bash", "-c", script, wheel_url], env={**mine.env, "PATH": path}, cwd=shell.home, check=False
        )
    assert done.returncode == 0
    assert (shell.home / "out").stat().st_size > 0
