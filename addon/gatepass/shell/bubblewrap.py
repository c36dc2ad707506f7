"""The program bubblewrap: where it is, what it is told besides files, and what to do where it cannot work.

Starts nothing. Reads the kernel's settings, to tell which of them is in the way.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass import files
from gatepass.errors import GatepassError, printable
from gatepass.shell import syscalls

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTALL: Final = (
    "install bubblewrap: `apt install bubblewrap`, `dnf install bubblewrap`, `pacman -S bubblewrap` or "
    "`apk add bubblewrap`"
)
ALONE: Final = (
    # the user stays who it is; as root, too: all that it could do as such is left outside
    "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--cap-drop", "ALL",
    "--die-with-parent", "--as-pid-1",
)  # fmt: skip
_SETTINGS: Final = Path("/proc/sys")
_CAUSES: Final = (
    (
        "kernel/apparmor_restrict_unprivileged_userns", "1",
        ("AppArmor keeps user namespaces from programs without a profile, as on a stock Ubuntu 24.04: give bubblewrap "
        "one (`/etc/apparmor.d/bwrap-userns-restrict`; Gatepass's page on isolation shows how), or set "
        "`kernel.apparmor_restrict_unprivileged_userns=0`"),
    ),
    ("kernel/unprivileged_userns_clone", "0", "set `kernel.unprivileged_userns_clone=1`, or run it as root"),
    ("user/max_user_namespaces", "0", "set `user.max_user_namespaces` to more than 0"),
)  # fmt: skip
_ELSEWHERE: Final = (
    "in a container, the container has to allow it: `--security-opt seccomp=unconfined --security-opt "
    "systempaths=unconfined` of docker; or isolate the container itself"
)


def find(environ: Mapping[str, str]) -> str:
    """Where it is.

    Raises:
        GatepassError: it is not there, or this is no machine that it could isolate anything on.
    """
    if sys.platform != "linux":
        raise GatepassError(
            f"--isolate: expected Linux, got {sys.platform}", "run it in a virtual machine or a container with Linux"
        )
    machine = os.uname().machine
    if machine not in syscalls.NAMES or struct.calcsize("P") != 8:
        raise GatepassError(
            f"--isolate: expected a Python of 64 bits on one of {', '.join(syscalls.NAMES)}, got {machine}",
            "which system calls lead out is known for these alone",
        )
    program = files.program("bwrap", environ)
    if program is None:
        raise GatepassError("--isolate: expected the program `bwrap`, got none on the PATH", _INSTALL)
    return program


def failed(said: str, settings: Path = _SETTINGS) -> GatepassError:
    """Why it did not isolate anything, from what it said, and from the settings of the kernel."""
    first = next((line for line in said.splitlines() if line.strip()), "nothing").removeprefix("bwrap: ")
    hint = _ELSEWHERE
    if not any(word in said for word in ("amespace", "uid map", "ermi", "RTM_")):
        hint = f"it is bubblewrap that says so: `bwrap --version`, and {_INSTALL}" if "nknown option" in said else ""
    for name, value, cause in _CAUSES:
        try:
            found = (settings / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if found == value and hint:
            hint = cause
            break
    return GatepassError(
        f"--isolate: expected bubblewrap to isolate the command, got `{printable(first)}`", hint or None
    )
