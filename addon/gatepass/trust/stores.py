"""Stores of trusted CAs: how each platform comes to trust the proxy's, and how it forgets it.

The commands are for people to read; two of the stores can be changed from here, when a person says so.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass import files
from gatepass.errors import GatepassError, why

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Store:
    """A system's store: a folder takes a file, and a command reads what changed."""

    path: Path
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Platform:
    """How a platform trusts a CA and how it is undone, as shell commands.

    In them `{certificate}` is the path of the certificate, quoted; `{name}` the common name of its subject; `{serial}`
    its serial number. `like` are the names in os-release that mean this platform.
    """

    name: str
    title: str
    trust: tuple[str, ...]
    remove: tuple[str, ...]
    like: tuple[str, ...] = ()
    store: Store | None = None

    def commands(self, certificate: Path, name: str, serial: int) -> tuple[list[str], list[str]]:
        """The commands that let it trust a CA, and those that undo this."""
        quoted = f'"{certificate}"' if self.name == "windows" else shlex.quote(str(certificate))
        values = {"certificate": quoted, "name": name, "serial": f"{serial:x}"}
        return [line.format(**values) for line in self.trust], [line.format(**values) for line in self.remove]


_DEBIAN: Final = Store(
    Path("/usr/local/share/ca-certificates/gatepass.crt"),
    ("update-ca-certificates",),
    # without `--fresh` the links to the certificate that is gone would stay
    ("update-ca-certificates", "--fresh"),
)
_DEBIAN_JAVA: Final = "/etc/ssl/certs/java/cacerts"
_FEDORA: Final = Store(
    Path("/etc/pki/ca-trust/source/anchors/gatepass.pem"),
    ("update-ca-trust", "extract"),
    ("update-ca-trust", "extract"),
)

PLATFORMS: Final = {
    platform.name: platform
    for platform in (
        Platform(
            "debian",
            "Debian, Ubuntu and their kin: curl, wget, git, Python, Go, …",
            (f"sudo cp {{certificate}} {_DEBIAN.path}", f"sudo {' '.join(_DEBIAN.added)}"),
            (
                f"sudo rm {_DEBIAN.path}",
                f"sudo {' '.join(_DEBIAN.removed)}",
                "# where Debian's Java is installed, whose store is told of what comes, and not of what goes:",
                f"sudo keytool -delete -alias debian:gatepass.pem -storepass changeit -keystore {_DEBIAN_JAVA}",
            ),
            ("debian", "ubuntu"),
            _DEBIAN,
        ),
        Platform(
            "fedora",
            "Fedora, RHEL and their kin",
            (f"sudo cp {{certificate}} {_FEDORA.path}", f"sudo {' '.join(_FEDORA.added)}"),
            (f"sudo rm {_FEDORA.path}", f"sudo {' '.join(_FEDORA.removed)}"),
            ("fedora", "rhel", "centos"),
            _FEDORA,
        ),
        Platform(
            "alpine",
            "Alpine, as root",
            (
                "apk add ca-certificates",
                "cp {certificate} /usr/local/share/ca-certificates/gatepass.crt",
                "update-ca-certificates",
            ),
            ("rm /usr/local/share/ca-certificates/gatepass.crt", "update-ca-certificates --fresh"),
            ("alpine",),
        ),
        Platform(
            "macos",
            "macOS: Safari, Chrome, curl, Go; for you alone, and for TLS alone",
            ("security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db {certificate}",),
            (
                "security remove-trusted-cert {certificate}",
                "security delete-certificate -c '{name}' ~/Library/Keychains/login.keychain-db",
            ),
        ),
        Platform(
            "windows",
            "Windows: Edge, Chrome, PowerShell, .NET; for you alone",
            ("certutil -user -addstore Root {certificate}",),
            ("certutil -user -delstore Root {serial}",),
        ),
        Platform(
            "firefox",
            "Firefox on Linux, with certutil of `libnss3-tools` or `nss-tools`",
            (
                "for profile in ~/.mozilla/firefox/*.default*",
                'do certutil -A -d "sql:$profile" -n gatepass -t C,, -i {certificate}',
                "done",
            ),
            (
                "for profile in ~/.mozilla/firefox/*.default*",
                'do certutil -D -d "sql:$profile" -n gatepass',
                "done",
            ),
        ),
        Platform(
            "java",
            "Java: the store of the JDK that `keytool` belongs to; as its owner",
            ("keytool -importcert -noprompt -cacerts -storepass changeit -alias gatepass -file {certificate}",),
            ("keytool -delete -cacerts -storepass changeit -alias gatepass",),
        ),
    )
}


def detect(system: str, release: Iterable[str]) -> Platform:
    """The platform of a machine: `system` is `sys.platform`, `release` are the names in its os-release, ID first.

    Raises:
        GatepassError: it is none of those known here.
    """
    names = {"darwin": ["macos"], "win32": ["windows"]}.get(system, list(release))
    known = {name: platform for platform in PLATFORMS.values() for name in (platform.name, *platform.like)}
    if found := next((known[name] for name in names if name in known), None):
        return found
    raise GatepassError(
        f"expected one of the platforms {', '.join(PLATFORMS)}, got `{' '.join([system, *names])}`",
        "name the nearest one with `--platform`",
    )


def install(platform: Platform, pem: str) -> Path:
    """Put a CA into the system's store; one of Gatepass's that is there already is replaced.

    Raises:
        GatepassError: this platform's store is not changed from here, or it refuses.
    """
    store = _writable(platform)
    try:
        files.write(store.path, pem)
    except OSError as error:
        raise GatepassError(f"{store.path}: expected to write it, got `{why(error)}`") from None
    try:
        _call(store.added)
    except GatepassError:
        store.path.unlink()
        raise
    return store.path


def uninstall(platform: Platform) -> Path | None:
    """Take Gatepass's CA out of the system's store again; None if it is not there.

    Raises:
        GatepassError: this platform's store is not changed from here, or it refuses.
    """
    store = _writable(platform)
    if not store.path.exists():
        return None
    store.path.unlink()
    _call(store.removed)
    return store.path


def _writable(platform: Platform) -> Store:
    if platform.store is None:
        able = " or ".join(f"`{other.name}`" for other in PLATFORMS.values() if other.store)
        raise GatepassError(
            f"expected the platform {able}, got `{platform.name}`, whose store Gatepass does not change",
            "run the commands yourself that `gatepass ca trust` prints",
        )
    if sys.platform == "win32" or os.geteuid() != 0:
        raise GatepassError(
            "expected root, who alone may change the system's store, got another user",
            "run the commands yourself that `gatepass ca trust` prints, with `sudo`",
        )
    program = platform.store.added[0]
    if files.program(program, os.environ) is None:
        raise GatepassError(
            f"expected `{program}` on the PATH, got none", "install `ca-certificates`, or see `--platform`"
        )
    return platform.store


def _call(command: tuple[str, ...]) -> None:
    program = files.program(command[0], os.environ) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GatepassError(f"`{' '.join(command)}`: expected success, got {done.returncode}: {done.stdout.strip()}")
