"""A command that is isolated by bubblewrap: its process, its signals, its end, and its door to the proxy. No command.

`gatepass.shell` says what is isolated, and how; here it is started. The door is a socket that listens inside: a socket
belongs to the network in which it was made, and whoever is given it may accept from it elsewhere. So no byte is carried
from one to the other, and nothing else leads out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from gatepass import files, home
from gatepass.cli.options import say
from gatepass.errors import GatepassError
from gatepass.rules.access import Egress, Password
from gatepass.shell import bubblewrap, inherited, inside, isolation, places, syscalls
from gatepass.shell import environment as variables
from gatepass.shell.isolation import Kind
from gatepass.sources import Command, File, GitHubApp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from gatepass.rules.model import Rules
    from gatepass.sources import Source

_HELD: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""What bubblewrap would die of, and its command with it: a terminal sends some of them to all in its foreground."""
_MOST_SAID: Final = 16 * 1024
_MOST_TOLD: Final = 64
"""Bytes of a message from inside."""
_PUBLIC: Final = "inside"
"""The part of the run's folder that the command is told of."""
_ITS_OWN: Final = ("localhost", "127.0.0.1", "::1")
"""Inside, these are the command's own, for servers of its own; the proxy leads to none of them."""

type _Start = Callable[[Sequence[str], Mapping[str, str]], Awaitable[tuple[Isolated, asyncio.Future[socket.socket]]]]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a user asks of isolation, by the options of `gatepass run`; `program` is bubblewrap."""

    program: str
    wishes: isolation.Wishes
    kept: tuple[str, ...]
    homes: tuple[Path, ...]
    working: Path

    port: ClassVar[int] = isolation.PORT

    @classmethod
    def asked(
        cls, *, read_only: bool, hide: Sequence[str], show: Sequence[str], write: Sequence[str], keep: Sequence[str]
    ) -> Self:
        """Read the options.

        Raises:
            GatepassError: nothing can be isolated here, or not as it is asked for.
        """
        program = bubblewrap.find(os.environ)
        working = home.working()
        homes = tuple(dict.fromkeys(each for each in (home.folder(), home.folder({})) if each is not None))
        hidden, shown, written = (
            isolation.asked(name, paths, working, homes)
            for name, paths in (("--hide", hide), ("--show", show), ("--write", write))
        )
        for path in {*hidden} & {*shown, *written}:
            raise GatepassError(f"--hide: expected a path that is not to be there, got `{path}`, which is also shown")
        return cls(program, isolation.Wishes(hidden, shown, written, read_only), tuple(keep), homes, working)

    def expect_isolated(self, folder: Path) -> None:
        """Have `folder` be that of a run around this one which is isolated as much.

        Raises:
            GatepassError: it is not.
        """
        if not (folder / _PUBLIC / isolation.EMPTY_FILE).exists():
            raise GatepassError(
                "--isolate: expected a shell that is under no `gatepass run`, or under one that isolates, "
                "got one under another",
                "give `--isolate` to that one, or name the rules of this one by `--rules`",
            )
        if self.wishes != isolation.Wishes():
            raise GatepassError(
                "--isolate: expected no more of it in a shell that is isolated already, got other options",
                "give them to the `gatepass run` that it is under",
            )

    def guarded(self, rules: Rules) -> Rules:
        """The rules, under which in any case no address that is not public can be reached: the proxy is on this
        machine, and from there would be a way to what listens for this machine alone.
        """
        if rules.access.is_reporting:
            say("`report_only` is in force: what `egress` would refuse passes, isolated or not")
        return replace(rules, access=replace(rules.access, egress=rules.access.egress or Egress()))

    def environment(self, tokens: Sequence[str], rules: Rules) -> tuple[dict[str, str], tuple[str, ...]]:
        """The command's variables, as far as the shell has them, and the names of those that it is not given, being
        secrets; `tokens` are so in any case.
        """
        shown = (*self.wishes.show, *self.wishes.write)
        # what no rule reads, or `--keep-token` leaves, is told by `tokens`
        kept = {*self.kept, *(rules.variables - {*tokens})}
        given = isolation.environment(os.environ, kept, shown)
        withheld = [name for name in os.environ if name not in given and places.is_secret(name, os.environ[name])]
        secret = {*tokens, *withheld} - {*self.kept, *variables.NAMES}
        given = {name: value for name, value in given.items() if name not in secret}
        for name in variables.NO_PROXY:
            given.pop(name, None)  # nothing is reached directly
        if not any(inherited.is_loopback(host.name) for host in rules.vouched):
            given |= dict.fromkeys(variables.NO_PROXY, ",".join(_ITS_OWN))
        return given, tuple(sorted(secret))

    def public(self, folder: Path) -> Path:
        """The part of the run's folder that the command is told of."""
        public = folder / _PUBLIC
        public.mkdir(mode=0o700)
        files.write(public / isolation.EMPTY_FILE, b"", 0o400)
        return public

    def starter(self, folder: Path, rules: Rules) -> _Start:
        """What starts the command with its variables.

        Raises:
            GatepassError: the working folder would not be there.
        """
        sys.path[:] = [each for each in sys.path if Path(each).is_absolute() and Path(each).resolve() != self.working]
        found = list(_sources(rules))
        around = isolation.Around(
            os.environ,
            self.homes,
            self.working,
            folder,
            folder / _PUBLIC,
            code=(*map(Path, sys.path), Path(files.__file__).parent, Path(sys.executable).resolve()),
            needed=(Path(sys.prefix), Path(sys.base_prefix)),
            programs=tuple(Path(each.argv[0]) for each in found if isinstance(each, Command)),
            files=(*_files(found), *rules.files),
        )
        plan = isolation.plan(around, self.wishes)
        _take_no_orders(plan, self.homes)
        return partial(_start, self.program, plan.arguments(self.working, folder / _PUBLIC))


def _sources(rules: Rules) -> Iterator[Source]:
    for credential in rules.credentials:
        yield from credential.sources
    for client in rules.access.clients:
        if isinstance(client.proof, Password):
            yield from client.proof.sources
    for kept in rules.shared.kept if rules.shared else ():
        yield kept.source


def _files(found: Iterable[Source]) -> Iterator[Path]:
    """Those in which the rules' secrets are."""
    for source in found:
        key = source.key if isinstance(source, GitHubApp) else source
        if isinstance(key, File):
            yield home.opened(key.path)


def _take_no_orders(plan: isolation.Plan, homes: Sequence[Path]) -> None:
    """Let this process run no program, and git read no settings, that the command could write while it runs."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(entry for entry in entries if _is_fixed(Path(entry), plan))
    if "GIT_CONFIG_GLOBAL" in os.environ:
        return
    settings = [path for each in homes[:1] for path in (each / ".gitconfig", _config(each) / "git" / "config")]
    there = [path for path in settings if path.is_file()]
    if len(there) < len(settings):
        os.environ["GIT_CONFIG_GLOBAL"] = str(there[0]) if there else os.devnull


def _config(folder: Path) -> Path:
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return named if named.is_absolute() else folder / ".config"


def _is_fixed(folder: Path, plan: isolation.Plan) -> bool:
    """Whether what is in that folder is there now, and cannot become another's."""
    try:
        real = folder.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return False
    return folder.is_absolute() and (plan.of(real) is not Kind.WRITABLE or not os.access(real, os.W_OK))


async def _start(
    program: str, files: Sequence[str], command: Sequence[str], env: Mapping[str, str]
) -> tuple[Isolated, asyncio.Future[socket.socket]]:
    """Start it: `program` is bubblewrap, and `files` is what it is told of those.

    Raises:
        OSError: bubblewrap cannot be run.
    """
    terminal = _Terminal.found()
    with contextlib.ExitStack() as ours:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.callback(theirs.close)
        control.setblocking(False)
        said, complaints = os.pipe()
        ours.callback(os.close, complaints)
        os.set_blocking(said, False)
        stderr = _stderr()
        ours.callback(os.close, stderr)
        told = _held(b"".join(os.fsencode(each) + b"\0" for each in (*bubblewrap.ALONE, *files)))
        ours.callback(os.close, told)
        allowed = _held(syscalls.program(os.uname().machine))
        ours.callback(os.close, allowed)
        # bubblewrap does not undo it, and its command gets back what there was
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *("--args", str(told), "--seccomp", str(allowed), "--"),
                *(sys.executable, "-I", "-S", inside.__file__, str(theirs.fileno()), str(stderr), str(isolation.PORT)),
                "" if terminal else "group",
                ",".join(str(int(number)) for number in blocked),
                *command,
                env=env,
                stderr=complaints,
                pass_fds=(theirs.fileno(), stderr, told, allowed),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    started = Isolated(process, control, said, terminal)
    return started, started.door


class Isolated:
    """A command that runs, or is about to; as far as it is needed it is like a process of asyncio's.

    `door` is where it finds its proxy: a socket to accept from.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, said: int, terminal: _Terminal | None
    ) -> None:
        self._process = process
        self._control = control
        self._said = said
        self._terminal = terminal
        self._end = ""
        loop = asyncio.get_running_loop()
        self.door: asyncio.Future[socket.socket] = loop.create_future()
        self.returncode: int | None = None
        loop.add_reader(control, self._hear)

    def _hear(self) -> bool:
        """What is told from inside: the door before the command starts, and then how it ended. Tells whether there was
        anything.
        """
        descriptors: list[int] = []
        try:
            if self.door.done():
                told = self._control.recv(_MOST_TOLD)
            else:
                told, descriptors, *_ = socket.recv_fds(self._control, _MOST_TOLD, 1)
        except BlockingIOError:
            return False
        except OSError:
            told = b""
        if descriptors:
            self.door.set_result(socket.socket(fileno=descriptors[0]))
        elif told:
            self._end = told.decode("ascii", "replace")
        else:
            asyncio.get_running_loop().remove_reader(self._control)
        return bool(told)

    def send_signal(self, number: int) -> None:
        """Send it to the command, as soon as there is one."""
        with contextlib.suppress(OSError):
            self._control.send(bytes([number]))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and all that it has started."""
        self._process.kill()

    async def wait(self) -> int:
        """Its exit code, when all is gone that it has started; less than zero for the signal that it died of.

        Raises:
            GatepassError: it could not be isolated, and was not started.
            OSError: it could not be started.
        """
        code = await self._process.wait()
        while self._hear():
            pass
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        complaint = b""
        with contextlib.suppress(BlockingIOError):
            complaint = os.read(self._said, _MOST_SAID)
        os.close(self._said)
        if self._terminal is not None:
            self._terminal.take_back()
        self.returncode = self._code(code, complaint.decode(errors="replace"))
        return self.returncode

    def _code(self, code: int, complaint: str) -> int:
        match self._end.split():
            case ["ended", status]:
                return os.waitstatus_to_exitcode(int(status))
            case ["failed", number]:
                raise OSError(int(number), os.strerror(int(number)))
        if self.door.done():
            return code if code < 0 else -signal.SIGKILL  # as by a system that is out of memory
        raise bubblewrap.failed(complaint)


class _Terminal:
    """The terminal of this process, in whose foreground the command may put a group of its own, as shells do.

    Outside nobody knows the groups of its process namespace, nor does it know ours: at its end the terminal would stay
    with one that is no more, and who reads from it then would be stopped.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._has_foreground = os.tcgetpgrp(descriptor) == os.getpgrp()

    @classmethod
    def found(cls) -> _Terminal | None:
        try:
            return cls(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            return None

    def take_back(self) -> None:
        """Take the foreground from a group that has ended, if it was ours before."""
        with contextlib.suppress(OSError):
            if self._has_foreground and not _lives(os.tcgetpgrp(self._descriptor)):
                before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
                os.tcsetpgrp(self._descriptor, os.getpgrp())
                signal.signal(signal.SIGTTOU, before)
        os.close(self._descriptor)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _stderr() -> int:
    """The command's: what bubblewrap itself has to say goes elsewhere."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)  # there is none


def _held(content: bytes) -> int:
    """A file that holds this, and has no name; it is read from its beginning."""
    descriptor = os.memfd_create("gatepass")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
