"""`gatepass run` before its proxy is ready: mitmproxy is imported beside the command, which need not know of it.

A `sitecustomize` of the tests stops the import where they want it.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from harness import DEADLINE, GATEPASS, background

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Shell

# the command's way to tell the import that it may go on, and the test's to tell that it has begun
GO, BEGUN = "go", "begun"

STOPPED = f"""\
import sys, time
from pathlib import Path

HOME = Path(__file__).parents[1]


class Stop:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "mitmproxy.addons" and (HOME / "stop").exists():
            (HOME / "stop").unlink()
            (HOME / "{BEGUN}").touch()
            end = time.monotonic() + {DEADLINE}
            while not (HOME / "{GO}").exists():
                if time.monotonic() > end:
                    raise ImportError("nobody let it go on")
                time.sleep(0.01)
            exec((HOME / "{GO}").read_text())


sys.meta_path.insert(0, Stop)
"""

CLIENT = f"""\
import os, socket, subprocess, sys
from pathlib import Path
from urllib.parse import urlsplit

proxy = urlsplit(os.environ["HTTPS_PROXY"])
with socket.create_connection((proxy.hostname, proxy.port)) as client:
    client.sendall(b"GET http://gatepass.internal/ca.pem HTTP/1.1\\r\\nHost: gatepass.internal\\r\\n\\r\\n")
    Path("{GO}").touch()
    print(client.makefile("rb").readline(), flush=True)
sys.exit(subprocess.run(["curl", "-sSfL", "-o", "out", sys.argv[1]]).returncode)
"""


@pytest.fixture
def slowly(shell: Shell) -> Shell:
    """A shell in which the first import of mitmproxy waits for the file `go`, and does what that says."""
    site = shell.home / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STOPPED)
    (shell.home / "stop").touch()
    tmp = shell.home / "tmp"
    tmp.mkdir()
    rules = shell.home / "own.yaml"  # which a test may change
    rules.write_text(shell.rules.read_text())
    return replace(shell, rules=rules, env={**shell.env, "PYTHONPATH": str(site), "TMPDIR": str(tmp)})


def left(shell: Shell) -> list[Path]:
    """What runs have left in the folder for temporary files."""
    return list((shell.home / "tmp").iterdir())


def test_the_first_connection_waits(slowly: Shell, wheel_url: str) -> None:
    """The command starts though mitmproxy is not there; its first connection waits, and is served with all that follow
    it.
    """
    done = slowly.run(sys.executable, "-c", CLIENT, wheel_url)
    assert (slowly.home / BEGUN).exists()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"b'HTTP/1.1 200 OK\\r\\n'\n", b"")
    assert (slowly.home / "out").stat().st_size > 0
    assert left(slowly) == []


def test_the_rules_are_those_of_the_start(slowly: Shell, wheel_url: str) -> None:
    """What the command makes of the rules file is nothing to its proxy, be it not there yet."""
    program = f'echo nonsense >"$0"; touch {GO}; curl -sSfL -o out "$1"'
    done = slowly.run("sh", "-c", program, slowly.rules, wheel_url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (slowly.home / "out").stat().st_size > 0


@pytest.mark.parametrize(("program", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", -signal.SIGKILL)])
def test_a_command_that_ends_first(slowly: Shell, program: str, code: int) -> None:
    """A command that ends before its proxy is there does not wait for it; nothing is left, and nothing said of it."""
    done = slowly.run("sh", "-c", f"while ! [ -e {BEGUN} ]; do sleep 0.01; done; {program}")
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert (slowly.home / BEGUN).exists()
    assert left(slowly) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1"])
def test_signals_during_the_import(slowly: Shell, name: str) -> None:
    """A signal reaches the command while mitmproxy is being imported, which no signal can hurry."""
    program = f"trap 'echo got it; exit 5' {name.removeprefix('SIG')}; echo ready; while :; do sleep 0.02; done"
    command = (GATEPASS, "run", "--rules", slowly.rules, "--", "sh", "-c", program)
    with background(command, slowly.env, slowly.home) as running:
        running.wait_for("ready")
        running.process.send_signal(signal.Signals[name])
        running.wait_for("got it")
        assert running.process.wait(DEADLINE) == 5
    assert not (slowly.home / GO).exists()
    assert left(slowly) == []


FAILURES = {
    "an exception": ("raise ImportError('no such part')", "ImportError: no such part"),
    "an end": ("import sys; sys.exit(7)", r"RuntimeError: SystemExit\(7\)"),
    "a part that is not there": (
        "import sys; sys.modules['mitmproxy.tools.dump'] = None",
        r"ModuleNotFoundError: import of mitmproxy\.tools\.dump halted.*",
    ),
}


@pytest.mark.parametrize(("fault", "told"), FAILURES.values(), ids=FAILURES)
def test_an_import_that_fails(slowly: Shell, fault: str, told: str) -> None:
    """Where mitmproxy cannot be imported the command is ended, so that it can tidy up, and the reason told."""
    program = f"trap 'echo tidied; exit 9' TERM; printf %s \"$0\" >.go; mv .go {GO}; while :; do sleep 0.02; done"
    done = slowly.run("sh", "-c", program, fault)
    assert (done.returncode, done.stdout) == (1, b"tidied\n")
    expected = (
        "error: the command was ended, for its proxy did not start: expected mitmproxy, got "
        rf"`{told}`\nhint: .*\n"
    )
    assert re.fullmatch(expected, done.stderr.decode())
    assert left(slowly) == []


def test_a_start_that_fails(slowly: Shell) -> None:
    """The same goes for a proxy that does not start: here a file of users is there at first, and then is not."""
    users = slowly.home / "users"
    users.write_text("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    slowly.rules.write_text(slowly.rules.read_text() + f"clients:\n  developers: {{htpasswd: {users}}}\n")
    done = slowly.run("sh", "-c", f'rm "$0"; touch {GO}; exec sleep 1000', users)
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert said.startswith(f"error: the command was ended, for its proxy did not start: {slowly.rules}:")
    assert f"expected a file of Apache's htpasswd, got `{users}`: no such file or directory\n" in said
    assert left(slowly) == []


def test_a_file_of_users_that_is_missing(slowly: Shell) -> None:
    """What the rules need, and is not there, is told before the command starts."""
    slowly.rules.write_text(slowly.rules.read_text() + "clients:\n  developers: {htpasswd: nobody}\n")
    done = slowly.run("echo", "here")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"expected a file of Apache's htpasswd, got " in done.stderr
    assert left(slowly) == []


@pytest.mark.slow
def test_a_command_that_does_not_mind(slowly: Shell) -> None:
    """A command that ignores that it should end is killed after some seconds."""
    program = f"trap '' TERM; echo 'raise ImportError(0)' >.go; mv .go {GO}; while :; do sleep 0.02; done"
    done = slowly.run("sh", "-c", program)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: the command was ended, for its proxy did not start: " in done.stderr
    assert left(slowly) == []


def test_the_proxy_knows_its_own_port(shell: Shell) -> None:
    """A request that leads to the listener that mitmproxy did not open itself is refused as one that leads back."""
    done = shell.run("sh", "-c", 'curl -sS --noproxy "" "http://127.0.0.1:${HTTP_PROXY##*:}/"; echo " $HTTP_PROXY"')
    answer, _, proxy = done.stdout.decode().strip().rpartition(" ")
    assert f"127.0.0.1:{urlsplit(proxy).port}" in answer
    assert "the proxy itself" in answer


EARLY = """\
import asyncio, os, socket, sys
from pathlib import Path
from gatepass.proxy import embedded
from gatepass.rules import locate

async def main():
    rules = locate.load(sys.argv[1], os.environ, Path.cwd(), print)
    with socket.create_server(("127.0.0.1", 0)) as door:
        reader, writer = await asyncio.open_connection(*door.getsockname())
        writer.write(b"GET http://gatepass.internal/ca.pem HTTP/1.1\\r\\nHost: gatepass.internal\\r\\n\\r\\n")
        answer = asyncio.ensure_future(reader.readline())
        async with embedded.proxy(rules, door, Path.cwd()) as ours:
            await asyncio.wait((answer,), timeout=0.5)
            print(answer.done())
            await ours.door.start_serving()
            print(await answer)
            writer.close()

asyncio.run(main())
"""


def test_nobody_is_served_too_early(shell: Shell) -> None:
    """Who waits is not served before whoever runs the proxy says so, which is when all of its addons are at work."""
    command = [sys.executable, "-c", EARLY, str(shell.rules)]
    done = subprocess.run(command, env=shell.env, cwd=shell.home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\nb'HTTP/1.1 200 OK\\r\\n'\n"), done.stderr
