"""What the start of a proxy imports, and what comes later."""

from __future__ import annotations

import subprocess
import sys

# parts of those that take long, of which something is loaded when they themselves are
LATE = ("httpx2._client", "httpcore2", "ldap3.core")
START = "import sys; from gatepass.proxy import late; late.postpone(); from gatepass.proxy import embedded; "


def printed(program: str) -> str:
    """What a Python prints that has nothing imported yet."""
    command = [sys.executable, "-W", "ignore", "-c", START + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_no_start_waits_for_what_traffic_needs() -> None:
    """The libraries that the first request to a forge needs, and that of a directory of users, are not there yet."""
    assert printed(f"print([name for name in {LATE} if name in sys.modules])") == "[]\n"


def test_what_comes_late_is_whole() -> None:
    """When it is used it is the library itself."""
    program = (
        "from mitmproxy.addons import proxyauth; print(proxyauth.ldap3.Server('ldap.test').host); "
        "from gatepass.github import httpx; import httpx2; print(httpx.Headers is httpx2.Headers)"
    )
    assert printed(program) == "ldap.test\nTrue\n"
