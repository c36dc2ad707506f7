"""A Debian in a folder, made by Debian's own tools from where this machine's apt gets its packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from gatepass.trust import bundles

SUITE: Final = "trixie"
BYTES: Final = 4 << 30
"""What may be taken of the disk, with all that a test puts into it."""
SECONDS: Final = 600
CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"


def mirrors() -> list[str]:
    """Where apt gets packages, in its own order."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    return list(dict.fromkeys(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


def debootstrap(folder: Path, packages: str) -> None:
    """Make the machine, with these packages, or skip the test with the reason why it cannot be made.

    It knows of this machine's certificates.
    """
    missing = [each for each in ("debootstrap", "apt-get", "unshare", "chroot") if not shutil.which(each)]
    if sys.platform != "linux" or missing:
        pytest.skip(f"a bare machine cannot be made here: no {', '.join(missing) or 'Linux'}")
    if os.getuid() != 0:
        pytest.skip("a bare machine cannot be made here: only root can")
    if shutil.disk_usage(folder).free < BYTES:
        pytest.skip(f"a bare machine cannot be made here: less than {BYTES >> 30} GB free")
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(folder)]
    proxy = ["apt-config", "shell", "http_proxy", "Acquire::http::Proxy"]
    found = re.match(r"http_proxy='(.*)'", subprocess.run(proxy, capture_output=True, text=True, check=True).stdout)
    env = os.environ | ({"http_proxy": found[1]} if found else {})
    told = "apt names no mirror"
    for mirror in mirrors():
        try:
            done = subprocess.run(
                [*command, mirror],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            told = "debootstrap took too long"
            continue
        if done.returncode == 0:
            (folder / CERTIFICATES).write_text(bundles.shell_bundle(os.environ))
            return
        told = " ".join(done.stdout.splitlines()[-1:])
    pytest.skip(f"a bare machine cannot be made here: {told}")


def adopt(folder: Path) -> None:
    """Have it go out as this machine does: by its names and its indexes."""
    for name in ("resolv.conf", "hosts", "pip.conf", "uv/uv.toml"):
        ours, theirs = Path("/etc", name), folder / "etc" / name
        if ours.exists():
            theirs.parent.mkdir(exist_ok=True)
            shutil.copyfile(ours, theirs)
