"""What a program prints: the one way to ask gh, git's helpers, the keyring, and whatever else a user has.

A program runs off the loop, without a shell, a terminal or standard input that could wait for somebody, and with a
deadline, after which it and its session are killed. Nothing that it prints is repeated: its output is the
secret, and its errors may hold one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from gatepass import files
from gatepass.credentials.validation import AbsentError
from gatepass.errors import why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gatepass.secret import Audience
    from gatepass.sources import Keyring

SECONDS: Final = 8.0
"""How long a program may take: what it is asked for is only the beginning of an answer to a client."""

_MOST: Final = 64 * 1024
# A program has ended, and one that it left behind still holds its output open.
_LAST_WORDS_SECONDS: Final = 0.2

# None of them may ask a person.
_QUIET: Final = {
    "GH_PROMPT_DISABLED": "1",
    "GH_NO_UPDATE_NOTIFIER": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set, and to nothing: then neither core.askPass nor SSH_ASKPASS is asked (git, `prompt.c`)
    "GCM_INTERACTIVE": "never",  # Git Credential Manager
}


async def gh(audience: Audience, environ: Mapping[str, str]) -> str:
    """What `gh auth token` prints: of the forge that the audience belongs to."""
    host = audience.site
    try:
        # not the working folder, in which gh would look for a repository
        return await command(["gh", "auth", "token", "--hostname", str(host)], environ, cwd=os.sep)
    except _ExitError:
        raise AbsentError(f"has no token for {host}: `gh auth login --hostname {host}`") from None


async def git(audience: Audience, environ: Mapping[str, str]) -> str:
    """The password that git's helpers have for the host, and for the repository where they tell those apart.

    https://git-scm.com/docs/git-credential
    """
    host = audience.site
    question = f"protocol=https\nhost={host}\n"
    if audience.repository is not None:
        question += f"path={audience.repository}\n"
    try:
        # not the working folder: the configuration of a repository that somebody made may name any program as a helper
        answer = await command(["git", "credential", "fill"], environ, f"{question}\n", cwd=os.sep)
    except _ExitError:
        raise AbsentError(f"has no password for {host}") from None
    for line in answer.splitlines():
        name, _, value = line.partition("=")
        if name == "password":
            return value
    raise AbsentError(f"has no password for {host}")


async def keyring(entry: Keyring, environ: Mapping[str, str]) -> str:
    """An entry of the keyring, asked for in a process of its own: a keyring may wait for a person for ever."""
    if importlib.util.find_spec("keyring") is None:
        raise AbsentError("needs `gatepass[keyring]`, which is not installed")
    # -P: no module of the working folder is taken for the keyring
    argv = [sys.executable, "-P", "-m", "keyring", "get", entry.service, entry.user]
    try:
        return await command(argv, environ)
    except _ExitError:
        raise AbsentError("has no such entry, or cannot be opened") from None


class _ExitError(AbsentError):
    """It ended with another code than 0."""


async def command(
    argv: Sequence[str], environ: Mapping[str, str], question: str = "", *, cwd: str | None = None
) -> str:
    """What a command prints that is told `question`.

    Raises:
        AbsentError: it cannot be run, did not end well, or not in time. So do the others here.
    """
    program = files.program(argv[0], environ)
    if program is None:
        raise AbsentError("is not installed")
    try:
        transport, listener = await asyncio.get_running_loop().subprocess_exec(
            _Listener,
            program,
            *argv[1:],
            stderr=subprocess.DEVNULL,
            env={**environ, **_QUIET},
            cwd=cwd,
            start_new_session=True,  # so that all of it can be killed, and a terminal's keys do not reach it
        )
    except OSError as error:
        raise AbsentError(f"cannot be run: {why(error)}", failed=True) from None
    try:
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(question.encode())
        stdin.write_eof()
        async with asyncio.timeout(SECONDS):
            await listener.ended
        code = transport.get_returncode()
    except TimeoutError:
        raise AbsentError(f"gave no answer in {SECONDS:g} s", failed=True) from None
    finally:
        if transport.get_returncode() is None:
            _kill(transport.get_pid())
            await listener.exited
        transport.close()
    if code != 0:
        raise _ExitError(f"ended with the exit code {code}", failed=True)
    return listener.output.decode(errors="surrogateescape")


class _Listener(asyncio.SubprocessProtocol):
    """What a program prints until it ends, whoever else may go on to hold its output open."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.output = bytearray()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.exited: asyncio.Future[None] = self._loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 — it listens to one alone
        self.output += data
        if len(self.output) > _MOST and not self.ended.done():
            self.ended.set_exception(AbsentError(f"printed more than {_MOST} bytes", failed=True))

    def process_exited(self) -> None:
        self.exited.set_result(None)
        # what it has printed may still be in the pipe
        self._loop.call_later(_LAST_WORDS_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It has exited, and its pipes are closed."""
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
