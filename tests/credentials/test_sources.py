"""The sources of secrets, each the real thing: files, programs, gh, git, netrc, a keyring; and what they do wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gatepass.credentials import programs
from gatepass.credentials import store as store_module
from gatepass.credentials.store import Credentials
from gatepass.forge import hosts
from gatepass.forge.hosts import GITHUB, Forge, Host
from gatepass.forge.urls import Repository
from gatepass.github.client import GitHub
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.rules.model import Credential
from gatepass.secret import Audience, Secret
from gatepass.sources import Command, Default, Env, File, Gh, Git, Keyring, Netrc, Systemd, expanded, variables
from harness import ROOT, call, clean_environment, need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gatepass.sources import Source

TOKEN = "ghp_FromTheSourceFromTheSourceFromTheSource1"
OTHER = "ghp_FromTheOtherFromTheOtherFromTheOtherFrom"
RELEASE = Audience(GITHUB.api_host, GITHUB, Repository("acme", "tool"))
INDEX = Audience(Host("packages.example.com"))


@dataclass
class Asked:
    """Credentials that are asked, what they told, and their clock."""

    environ: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})
    now: float = 1_000_000.0
    notices: list[str] = field(default_factory=list)
    credentials: Credentials = field(init=False)

    async def __call__(self, *sources: Source, audience: Audience = RELEASE) -> Secret:
        return await self.credentials.secret(Credential("ours", sources, frozenset()), audience)

    async def text(self, *sources: Source, audience: Audience = RELEASE) -> str:
        return (await self(*sources, audience=audience)).reveal()

    async def problem(self, *sources: Source, audience: Audience = RELEASE) -> Problem:
        """Why there is no secret; holds neither of the tests' own."""
        with pytest.raises(Unresolvable) as caught:
            await self(*sources, audience=audience)
        shown = f"{caught.value}{caught.value!r}{caught.value.problem.body()!r}"
        assert TOKEN not in shown
        assert OTHER not in shown
        return caught.value.problem


@asynccontextmanager
async def _asked() -> AsyncIterator[Asked]:
    asked = Asked()
    github = GitHub(ssl.create_default_context())
    asked.credentials = Credentials(asked.environ, github, lambda: asked.now, asked.notices.append)
    yield asked
    asked.credentials.close()
    await github.close()


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    async with _asked() as asked:
        yield asked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of a quarter of a second."""
    monkeypatch.setattr(programs, "SECONDS", 0.25)


def private(path: Path, text: str | bytes, mode: int = 0o600) -> File:
    """A file of that mode, as a source."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return File(str(path))


def python(program: str, *arguments: str, ttl: int = 300) -> Command:
    """A command: a program in Python."""
    return Command((sys.executable, "-c", textwrap.dedent(program), *arguments), ttl)


def says(text: str) -> Command:
    return python("import sys; sys.stdout.write(sys.argv[1])", text)


# ------------------------------------------------------------------- in order


async def test_the_first_source_that_yields(asked: Asked) -> None:
    """Sources are asked in order; an empty one yields nothing; a line's end around the value is no part of it."""
    asked.environ |= {"FIRST": "a", "SECOND": "b\n"}
    assert await asked.text(Env("FIRST"), Env("SECOND")) == "a"
    asked.environ["FIRST"] = " "
    secret = await asked(Env("FIRST"), Env("SECOND"))
    assert (secret.reveal(), secret.source) == ("b", "env:SECOND")


async def test_every_kind_gives_way_to_the_next(asked: Asked, tmp_path: Path) -> None:
    """A source that has none, of whatever kind, is passed over; one that should have had one is told of."""
    asked.environ |= {"LAST": TOKEN, "NETRC": str(tmp_path / "none"), "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    absent = (Env("NONE"), File(str(tmp_path / "none")), Command(("no-such-program",)), Git(), Netrc())
    assert await asked.text(*absent, Env("LAST")) == TOKEN
    assert asked.notices == []
    failing = python("raise SystemExit(3)")
    assert await asked.text(failing, Env("LAST")) == TOKEN
    assert asked.notices == [f"credential `ours`: `{failing}` ended with the exit code 3; `env:LAST` was used"]


async def test_no_credential(asked: Asked, tmp_path: Path) -> None:
    """When no source yields, the problem names those that were asked, and why each has none."""
    asked.environ["EMPTY"] = ""
    missing = File(str(tmp_path / "none"))
    problem = await asked.problem(Env("FIRST"), Env("EMPTY"), missing, Command(("no-such-program", "x")))
    assert (problem.kind, problem.status) == ("no-credential", 401)
    assert problem.detail == (
        "credential `ours` has no value: `env:FIRST` is not set, `env:EMPTY` is empty, "
        f"`{missing}` does not exist, `command:no-such-program` is not installed"
    )


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\x00b", "tökén", "a\x7f", "a\tb", "a  b"])
async def test_what_no_header_may_hold(asked: Asked, tmp_path: Path, value: str) -> None:
    """A secret that could end its header is refused from whatever source, not shown, and no other is used instead."""
    asked.environ |= {"FIRST": value, "SECOND": TOKEN}
    sources: list[Source] = [Env("FIRST"), private(tmp_path / "file", value)]
    if "\x00" not in value:
        sources.append(says(value))
    for source in sources:
        problem = await asked.problem(source, Env("SECOND"))
        assert problem.kind == "unusable-secret"
        assert str(source) in problem.detail
        assert value not in str(problem)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f'"{TOKEN}"', "quotes"),
        (f"Bearer {TOKEN}", "a word of the header"),
        (f"GH_TOKEN={TOKEN}", "the name of a variable"),
        (f"export GH_TOKEN={TOKEN}", "the name of a variable"),
        ("two words", "spaces"),
    ],
)
async def test_what_is_pasted_with_a_token(asked: Asked, tmp_path: Path, value: str, said: str) -> None:
    """A token with something around it is told as such, and not sent; a password of another host may look like it."""
    asked.environ["FIRST"] = value
    for source in (Env("FIRST"), private(tmp_path / "file", value)):
        problem = await asked.problem(source)
        assert (problem.kind, said in problem.detail) == ("unusable-secret", True)
        assert await asked.text(source, audience=INDEX) == value


# ---------------------------------------------------------------------- files


async def test_file(asked: Asked, tmp_path: Path) -> None:
    """A file of one's own holds the secret, with or without a line's end; `~` is the home."""
    assert await asked.text(private(tmp_path / "one", f"{TOKEN}\n")) == TOKEN
    assert await asked.text(private(tmp_path / "two", TOKEN, 0o400)) == TOKEN


async def test_file_at_home(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` stands for the home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    private(tmp_path / "token", TOKEN)
    assert await asked.text(File("~/token")) == TOKEN


@pytest.mark.parametrize("path", ["~/token", "~nobody-of-that-name/token"])
async def test_file_without_a_home(asked: Asked, no_home: Path, path: str) -> None:
    """Where there is no such home a folder of that name is none, and the next source is asked."""
    private(no_home / "token", OTHER)
    (no_home.parent / "~nobody-of-that-name").symlink_to(no_home)
    asked.environ["NEXT"] = TOKEN
    assert await asked.text(File(path), Env("NEXT")) == TOKEN
    problem = await asked.problem(File(path))
    assert f"`file:{path}` is in a home, and nothing tells where that is" in problem.detail


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
async def test_file_that_others_may_read(asked: Asked, tmp_path: Path, mode: int) -> None:
    """A file that group or others have any right to is refused, whatever comes after it, until its mode is mended."""
    source = private(tmp_path / "token", TOKEN, mode)
    asked.environ["NEXT"] = OTHER
    problem = await asked.problem(source, Env("NEXT"))
    assert problem.kind == "exposed-secret"
    assert f"{mode:04o}" in problem.detail
    assert f"chmod 600 {tmp_path}/token" in problem.hint
    (tmp_path / "token").chmod(0o600)
    asked.now += 1.5
    assert await asked.text(source, Env("NEXT")) == TOKEN


def test_file_on_a_mount_of_secrets(tmp_path: Path) -> None:
    """What lies on a read-only mount of its own may have any mode, which is not the user's to choose there; on a
    writable one it may not.
    """
    program = """
        import sys
        from gatepass.credentials import files
        from gatepass.problems.problem import Unresolvable
        from gatepass.sources import File
        try:
            print(files.secret(File(sys.argv[1]), sys.argv[1]))
        except Unresolvable as unresolvable:
            print(unresolvable.problem.kind)
    """
    read = f'{sys.executable} -c "$1" {tmp_path}/token'
    script = (
        f"mount -t tmpfs -o mode=755 none {tmp_path} && echo secret > {tmp_path}/token && chmod 644 {tmp_path}/token &&"
        f" {read} && mount -o remount,ro {tmp_path} && {read}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", textwrap.dedent(program)],
        env=clean_environment(PYTHONPATH=str(ROOT / "addon")),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and not done.stdout:
        pytest.skip(f"no mount can be made here: {done.stderr.strip()}")
    assert done.stdout.split() == ["exposed-secret", "secret"], done.stderr


async def test_file_that_changes(asked: Asked, tmp_path: Path) -> None:
    """A file that is written anew, or replaced by way of a link as Kubernetes does, gives its new secret."""
    source = private(tmp_path / "token", TOKEN)
    assert await asked.text(source) == TOKEN
    private(tmp_path / "new", OTHER)
    (tmp_path / "new").rename(tmp_path / "token")
    asked.now += 1.5
    assert await asked.text(source) == OTHER

    for name, text in (("v1", TOKEN), ("v2", OTHER)):
        (tmp_path / name).mkdir()
        private(tmp_path / name / "token", text)
    (tmp_path / "..data").symlink_to("v1")
    linked = File(str(tmp_path / "..data" / "token"))
    assert await asked.text(linked) == TOKEN
    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    asked.now += 1.5
    assert await asked.text(linked) == OTHER
    (tmp_path / "..data").unlink()
    asked.now += 1.5
    assert "does not exist" in (await asked.problem(linked)).detail


async def test_what_is_no_file(asked: Asked, tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to and a file of megabytes are told, and hold up nobody."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        assert "is no file" in (await asked.problem(File(str(path)))).detail
    big = private(tmp_path / "big", b"x" * 2**20)
    assert "65536 bytes" in (await asked.problem(big)).detail
    assert (await asked.problem(private(tmp_path / "binary", b"\xff\xfe\x00"))).kind == "unusable-secret"
    assert "is empty" in (await asked.problem(private(tmp_path / "empty", "\n"))).detail


async def test_file_that_cannot_be_read_to_its_end(asked: Asked) -> None:
    """A file that opens and then fails is a source that failed, and the next is asked."""
    asked.environ["NEXT"] = TOKEN
    assert await asked.text(File("/proc/self/mem"), Env("NEXT")) == TOKEN
    assert "cannot be read" in asked.notices[0]


async def test_file_that_hangs(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not answer holds up its own source alone: no other, and no look-up of a name."""
    monkeypatch.setattr(store_module, "_SOURCE_SECONDS", 0.1)
    release = threading.Event()

    def hang(*_: object) -> str:
        release.wait(30)
        return TOKEN

    monkeypatch.setattr("gatepass.credentials.files.secret", hang)
    try:
        for _ in range(20):
            assert "no answer" in (await asked.problem(File("/hung"))).detail
            asked.now += 31
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        monkeypatch.setattr("gatepass.credentials.files.secret", lambda *_: OTHER)
        assert await asked.text(File("/other")) == OTHER
    finally:
        release.set()


# -------------------------------------------------------------------- systemd


@pytest.mark.parametrize("mode", [0o400, 0o440])
async def test_systemd(asked: Asked, tmp_path: Path, mode: int) -> None:
    """A unit's credential is the file of its name in the folder that systemd tells, and is read again; the group's bits
    of its mode may be an ACL's mask, by which the unit's user reads it.
    """
    private(tmp_path / "github-token", f"{TOKEN}\n", mode)
    asked.environ["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    secret = await asked(Systemd("github-token"))
    assert (secret.reveal(), secret.source) == (TOKEN, "systemd:github-token")
    private(tmp_path / "new", OTHER, mode)
    (tmp_path / "new").rename(tmp_path / "github-token")
    asked.now += 1.5
    assert await asked.text(Systemd("github-token")) == OTHER


@pytest.mark.parametrize("folder", [None, "", "credentials"])
async def test_systemd_has_handed_over_nothing(
    asked: Asked, tmp_path: Path, folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a unit with credentials, and where the unit has none of that name, the next source is asked; no folder
    of the working folder is taken for systemd's.
    """
    (tmp_path / "credentials").mkdir()
    for name in ("credentials/token", "token"):
        private(tmp_path / name, OTHER)
    monkeypatch.chdir(tmp_path)
    asked.environ |= {"NEXT": TOKEN} | ({} if folder is None else {"CREDENTIALS_DIRECTORY": folder})
    assert await asked.text(Systemd("token"), Env("NEXT")) == TOKEN
    problem = await asked.problem(Systemd("token"))
    assert "`systemd:token` is not to be had" in problem.detail
    assert "`LoadCredential=NAME:PATH`" in problem.hint
    asked.environ["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert "`systemd:none` does not exist" in (await asked.problem(Systemd("none"))).detail


async def test_systemds_credential_that_others_may_read(asked: Asked, tmp_path: Path) -> None:
    """One that everybody may read is refused: no systemd has made it."""
    private(tmp_path / "token", TOKEN, 0o444)
    asked.environ |= {"CREDENTIALS_DIRECTORY": str(tmp_path), "NEXT": OTHER}
    assert (await asked.problem(Systemd("token"), Env("NEXT"))).kind == "exposed-secret"


# ------------------------------------------------------------------- commands


async def test_command(asked: Asked) -> None:
    """A command is a program and its arguments; no shell looks at them."""
    odd = "$HOME;`id`&&*|'\">x"
    assert await asked.text(Command(("printf", "%s\\n", odd))) == odd
    assert str(Command(("op", "read", "op://team/token"))) == "command:op"


async def test_command_is_kept_for_its_ttl(asked: Asked, tmp_path: Path) -> None:
    """Its output is used for its time to live, and then it is run again; with none, each time."""
    log = tmp_path / "log"
    program = "import sys; open(sys.argv[1], 'a').write('.'); print('s' + str(len(open(sys.argv[1]).read())))"
    command = python(program, str(log), ttl=60)
    assert [await asked.text(command) for _ in range(3)] == ["s1", "s1", "s1"]
    asked.now += 59
    assert await asked.text(command) == "s1"
    asked.now += 2
    assert await asked.text(command) == "s2"
    assert [await asked.text(python(program, str(log), ttl=0)) for _ in range(2)] == ["s3", "s4"]


async def test_command_is_run_once_for_all(asked: Asked, tmp_path: Path) -> None:
    """However many want its output at once, it is run once."""
    program = "import sys, time; open(sys.argv[1], 'a').write('.'); time.sleep(.2); print('s')"
    command = python(program, str(tmp_path / "log"), ttl=0)
    assert set(await asyncio.gather(*(asked.text(command) for _ in range(50)))) == {"s"}
    assert (tmp_path / "log").read_text() == "."


@pytest.mark.usefixtures("impatient")
async def test_command_that_hangs(asked: Asked, tmp_path: Path) -> None:
    """A command that gives no answer is ended, with all that it started, and the loop goes on meanwhile."""
    alive = tmp_path / "alive"
    program = f"""
        import subprocess, time
        subprocess.Popen(["sh", "-c", "while sleep .05; do date >> {alive}; done"])
        time.sleep(60)
    """
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    problem = await asked.problem(python(program))
    ticking.cancel()
    assert "gave no answer in 0.25 s" in problem.detail
    assert ticks > 5
    size = alive.stat().st_size if alive.exists() else 0
    await asyncio.sleep(0.2)
    assert (alive.stat().st_size if alive.exists() else 0) == size


async def test_all_sources_together_have_a_deadline(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources that are each slow do not make a client wait for the sum of them."""
    monkeypatch.setattr(store_module, "SECONDS", 0.3)
    slow = [python(f"import time; time.sleep(60) # {number}") for number in range(3)]
    asked.environ["LAST"] = TOKEN
    problem = await asked.problem(*slow, Env("LAST"))
    assert problem.kind == "no-credential"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('a\\nb')", "several lines"),
        ("print('\\x1b[31mred')", "no header may hold"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "no header may hold"),
        ("print('x' * 100_000)", "more than 65536 bytes"),
        ("while True: print('x' * 100_000)", "more than 65536 bytes"),
        ("print()", "gave nothing"),
        ("pass", "gave nothing"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        ("print('ghp_x'); raise SystemExit(1)", "exit code 1"),
        ("import sys; sys.exit('ghp_x is wrong')", "exit code 1"),
    ],
)
async def test_command_that_lies(asked: Asked, program: str, said: str) -> None:
    """What is no secret on one line, and well ended, is none; and what it printed is not repeated."""
    problem = await asked.problem(python(program))
    assert said in problem.detail
    assert "ghp_x" not in str(problem)


async def test_command_that_leaves_something_behind(asked: Asked) -> None:
    """A program that goes on in the background, with the output still open, holds up nobody."""
    program = "import subprocess; print('s', flush=True); subprocess.Popen(['sleep', '2'])"
    async with asyncio.timeout(1.5):
        assert await asked.text(python(program)) == "s"


async def test_command_has_nobody_to_ask(asked: Asked) -> None:
    """It has no terminal and an empty standard input, so what would ask a person ends at once."""
    program = """
        import os, sys
        try:
            os.open("/dev/tty", os.O_RDWR)
        except OSError:
            print(f"nobody-{len(sys.stdin.read())}")
    """
    assert await asked.text(python(program)) == "nobody-0"


async def test_command_that_cannot_be_run(asked: Asked, tmp_path: Path) -> None:
    """A program that is none is told of."""
    (tmp_path / "tool").write_text("no program")
    assert "is not installed" in (await asked.problem(Command((str(tmp_path / "tool"),)))).detail
    (tmp_path / "tool").chmod(0o700)
    asked.now += 11
    assert "cannot be run" in (await asked.problem(Command((str(tmp_path / "tool"),)))).detail


# ------------------------------------------------------------------ gh and git

needs_gh = pytest.mark.skipif(shutil.which("gh") is None, reason="gh is not installed")


@pytest.fixture
def signed_in(asked: Asked, tmp_path: Path) -> Asked:
    """gh's settings of somebody who has signed in at github.com and at a GitHub Enterprise Server."""
    config = tmp_path / "gh"
    config.mkdir(mode=0o700)
    hosts = {"github.com": TOKEN, "ghe.example.com:8443": OTHER}
    text = "".join(f'"{host}":\n  user: me\n  oauth_token: {token}\n' for host, token in hosts.items())
    private(config / "hosts.yml", text)
    asked.environ |= {"GH_CONFIG_DIR": str(config), "HOME": str(tmp_path)}
    return asked


GHE = hosts.enterprise_server(Host("ghe.example.com", 8443))


@needs_gh
async def test_gh(signed_in: Asked) -> None:
    """`gh auth token` is asked for the forge's own host, whichever of its hosts the secret is for."""
    for audience in (RELEASE, Audience(GITHUB.web, GITHUB)):
        secret = await signed_in(Gh(), audience=audience)
        assert (secret.reveal(), secret.source) == (TOKEN, "gh")
    assert await signed_in.text(Gh(), audience=Audience(GHE.api_host, GHE)) == OTHER
    other = hosts.enterprise_server(Host("other.example.com"))
    problem = await signed_in.problem(Gh(), audience=Audience(other.api_host, other))
    assert "`gh auth login --hostname other.example.com`" in problem.detail


async def test_gh_is_absent(asked: Asked, tmp_path: Path) -> None:
    """Without gh it is said how to have a token all the same."""
    asked.environ["PATH"] = str(tmp_path)
    problem = await asked.problem(Default())
    reasons = "`env:GH_TOKEN` is not set, `env:GITHUB_TOKEN` is not set, `gh` is not installed"
    assert problem.detail == f"credential `ours` has no value: {reasons}"
    assert "gh auth login" in problem.hint


@needs_gh
async def test_default_is_ghs_own_order(signed_in: Asked) -> None:
    """`default`: the variables of that kind of forge, then gh; a variable of the other kind is none of its business."""
    enterprise = Audience(GHE.api_host, GHE)
    signed_in.environ |= {"GH_ENTERPRISE_TOKEN": "enterprise"}
    assert await signed_in.text(Default()) == TOKEN
    assert await signed_in.text(Default(), audience=enterprise) == "enterprise"
    signed_in.environ |= {"GITHUB_TOKEN": "github", "GH_ENTERPRISE_TOKEN": "", "GITHUB_ENTERPRISE_TOKEN": "second"}
    assert await signed_in.text(Default()) == "github"
    assert await signed_in.text(Default(), audience=enterprise) == "second"
    signed_in.environ |= {"GH_TOKEN": "gh"}
    assert (await signed_in(Default())).source == "env:GH_TOKEN"


def test_default_by_forge() -> None:
    """github.com and ghe.com have the same variables, an Enterprise Server others."""
    tenant = hosts.known(Host("acme.ghe.com"))
    assert isinstance(tenant, Forge)
    for forge in (GITHUB, tenant):
        assert variables([Default()], forge) == ("GH_TOKEN", "GITHUB_TOKEN")
        assert expanded([Env("A"), Default()], forge) == (Env("A"), Env("GH_TOKEN"), Env("GITHUB_TOKEN"), Gh())
    assert variables([Default()], GHE) == ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    assert variables([Gh()], GITHUB) == ("GH_TOKEN", "GITHUB_TOKEN"), "gh prints what they hold"


@pytest.fixture
def with_git(asked: Asked, tmp_path: Path) -> Asked:
    """git's settings of somebody whose passwords are in a store, with one of its own for an organisation."""
    need("git")
    private(tmp_path / "store", f"https://me:{TOKEN}@github.com\n")
    private(tmp_path / "acme", f"https://me:{OTHER}@github.com\n")
    (tmp_path / ".gitconfig").write_text(
        f"[credential]\n\thelper = store --file {tmp_path}/store\n"
        f'[credential "https://github.com/initech"]\n\thelper =\n\thelper = store --file {tmp_path}/acme\n'
    )
    asked.environ |= {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    return asked


async def test_git(with_git: Asked) -> None:
    """`git credential fill` is asked for the forge's host, and for the repository, where helpers differ by owner."""
    secret = await with_git(Git())
    assert (secret.reveal(), secret.source) == (TOKEN, "git")
    initech = Audience(GITHUB.api_host, GITHUB, Repository("initech", "tool"))
    assert await with_git.text(Git(), audience=initech) == OTHER
    assert "has no password for packages.example.com" in (await with_git.problem(Git(), audience=INDEX)).detail


async def test_programs_at_once(with_git: Asked, tmp_path: Path) -> None:
    """A client that asks for very many repositories does not start as many programs at once, nor holds up another
    source.
    """
    helper = f"!f() {{ echo + >> {tmp_path}/log; sleep .2; echo - >> {tmp_path}/log; echo password={TOKEN}; }}; f"
    (tmp_path / ".gitconfig").write_text(f'[credential]\n\tusername = me\n\thelper = "{helper}"\n')
    audiences = [Audience(GITHUB.api_host, GITHUB, Repository("acme", f"tool-{number}")) for number in range(20)]
    crowd = asyncio.gather(*(with_git.text(Git(), audience=each) for each in audiences))
    await asyncio.sleep(0.05)
    assert await with_git.text(says(OTHER)) == OTHER
    assert not crowd.done()
    assert set(await crowd) == {TOKEN}
    running = most = 0
    for line in (tmp_path / "log").read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert most <= 4
    assert running == 0


async def test_a_source_that_is_busy_is_asked_again(
    with_git: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could not be served because of a crowd is told so, and is not refused any longer than the crowd lasts."""
    (tmp_path / ".gitconfig").write_text('[credential]\n\tusername = me\n\thelper = "!sleep 1; echo password=x; :"\n')
    monkeypatch.setattr(store_module, "_SOURCE_SECONDS", 0.2)
    audiences = [Audience(GITHUB.api_host, GITHUB, Repository("acme", f"tool-{number}")) for number in range(5)]
    crowd = [asyncio.ensure_future(with_git.text(Git(), audience=each)) for each in audiences[:4]]
    await asyncio.sleep(0.1)
    assert "is busy" in (await with_git.problem(Git(), audience=audiences[4])).detail
    await asyncio.gather(*crowd, return_exceptions=True)
    assert await with_git.text(Git(), audience=audiences[4]) == "x"


async def test_git_asks_nobody(with_git: Asked, tmp_path: Path) -> None:
    """A password that no helper has is asked of no person: neither in a window nor on a terminal."""
    asker = tmp_path / "askpass"
    asker.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho x\n")
    asker.chmod(0o700)
    with_git.environ |= {"GIT_ASKPASS": str(asker), "SSH_ASKPASS": str(asker), "DISPLAY": ":0"}
    with (tmp_path / ".gitconfig").open("a") as config:
        config.write(f"[core]\n\taskPass = {asker}\n")
    assert "has no password" in (await with_git.problem(Git(), audience=INDEX)).detail
    assert not (tmp_path / "asked").exists()


async def test_git_does_not_look_at_the_working_folder(
    with_git: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that somebody made does not name the helper, which may be any program."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for arguments in (["init", "-q"], ["config", "credential.helper", f"!touch {tmp_path}/sprung"]):
        call(["git", "-C", trap, *arguments], clean_environment())
    monkeypatch.chdir(trap)
    assert await with_git.text(Git()) == TOKEN
    assert not (tmp_path / "sprung").exists()


# ----------------------------------------------------------------------- netrc


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        (f"machine github.com login me password {TOKEN}", RELEASE),
        (f"machine api.github.com login me password {TOKEN}", RELEASE),
        (f"machine github.com login x password {OTHER}\nmachine api.github.com login me password {TOKEN}", RELEASE),
        (f"machine packages.example.com\n\tlogin me\n\tpassword {TOKEN}\n", INDEX),
        (f"machine a login b password c\nmachine packages.example.com password {TOKEN}", INDEX),
    ],
)
async def test_netrc(asked: Asked, tmp_path: Path, text: str, audience: Audience) -> None:
    """The password of the host that gets it, else of the forge's other name."""
    private(tmp_path / "netrc", text)
    asked.environ["NETRC"] = str(tmp_path / "netrc")
    assert await asked.text(Netrc(), audience=audience) == TOKEN


async def test_netrc_at_home(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a variable that names it, it is the one in the home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    private(tmp_path / ".netrc", f"machine github.com login me password {TOKEN}")
    assert await asked.text(Netrc()) == TOKEN


@pytest.mark.parametrize("variables", [{}, {"NETRC": "~/.netrc"}])
async def test_netrc_without_a_home(asked: Asked, no_home: Path, variables: dict[str, str]) -> None:
    """Where there is no home, as in a container of nobody's, there is no netrc, and the next source is asked."""
    private(no_home / ".netrc", f"machine github.com login me password {OTHER}")
    asked.environ |= {"NEXT": TOKEN, **variables}
    assert await asked.text(Netrc(), Env("NEXT")) == TOKEN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"default login me password {TOKEN}", "has no password for api.github.com, github.com"),
        (f"machine github.com.evil.test login me password {TOKEN}", "has no password"),
        ("machine github.com login me", "has no password"),
        ("", "has no password"),
        (f"machin github.com login me password {TOKEN}", "cannot be read, line 1"),
    ],
)
async def test_netrc_without(asked: Asked, tmp_path: Path, text: str, said: str) -> None:
    """Another host's password, one for everybody, and a file that is none, are nothing."""
    private(tmp_path / "netrc", text)
    asked.environ["NETRC"] = str(tmp_path / "netrc")
    assert said in (await asked.problem(Netrc())).detail


async def test_netrc_that_others_may_read(asked: Asked, tmp_path: Path) -> None:
    """A netrc is a file that holds secrets, like any other."""
    private(tmp_path / "netrc", f"machine github.com login me password {TOKEN}", 0o644)
    asked.environ["NETRC"] = str(tmp_path / "netrc")
    assert (await asked.problem(Netrc())).kind == "exposed-secret"


# --------------------------------------------------------------------- keyring


@pytest.fixture
def with_keyring(asked: Asked, tmp_path: Path) -> Asked:
    """A keyring in a file, with an entry that the keyring's own command made."""
    asked.environ |= {
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    subprocess.run(
        [sys.executable, "-m", "keyring", "set", "team/github", "me"],
        env=asked.environ,
        input=TOKEN.encode(),
        check=True,
        capture_output=True,
    )
    return asked


async def test_keyring(with_keyring: Asked) -> None:
    """An entry of the keyring, by service and user; another user has none."""
    secret = await with_keyring(Keyring("team/github", "me"))
    assert (secret.reveal(), secret.source) == (TOKEN, "keyring:team/github/me")
    assert "has no such entry" in (await with_keyring.problem(Keyring("team/github", "you"))).detail


async def test_keyring_does_not_look_at_the_working_folder(
    with_keyring: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that lies there under the keyring's name is not run."""
    (tmp_path / "keyring.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert await with_keyring.text(Keyring("team/github", "me")) == TOKEN
    assert not (tmp_path / "sprung").exists()


@pytest.mark.usefixtures("impatient")
async def test_keyring_that_waits_for_a_person(with_keyring: Asked, tmp_path: Path) -> None:
    """A keyring that is locked, and waits, is not waited for."""
    (tmp_path / "waiting.py").write_text(
        "import time\nfrom keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n    priority = 1\n    set_password = None\n"
        "    def get_password(self, service, user): time.sleep(60)\n"
    )
    with_keyring.environ |= {"PYTHON_KEYRING_BACKEND": "waiting.Keyring", "PYTHONPATH": str(tmp_path)}
    assert "gave no answer" in (await with_keyring.problem(Keyring("team/github", "me"))).detail


async def test_keyring_is_an_extra(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, it is named."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "`gatepass[keyring]`" in (await asked.problem(Keyring("team", "me"))).detail


# --------------------------------------------------------------------- refused


async def test_a_refused_secret_is_asked_for_anew(asked: Asked, tmp_path: Path) -> None:
    """A secret that was rotated while it was kept is replaced when it is refused; the same again is no replacement."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    command = python("import sys; print(open(sys.argv[1]).read())", str(path))
    credential = Credential("ours", (command,), frozenset())
    old = await asked(command)
    assert await asked.credentials.replacement(old, credential, RELEASE) is None
    old = await asked(command)
    path.write_text(OTHER)
    asked.now += 11
    given = await asyncio.gather(*(asked.credentials.replacement(old, credential, RELEASE) for _ in range(9)))
    assert {new.reveal() for new in given if new} == {OTHER}
    assert all(given)
    assert await asked(command) is given[0]
    # that one is refused as well: to go on asking would help nobody
    assert given[0] is not None
    path.write_text("third")
    assert await asked.credentials.replacement(given[0], credential, RELEASE) is None


async def test_a_replacement_is_for_who_asked(asked: Asked, tmp_path: Path) -> None:
    """Two credentials that begin with the same file get what stands in its place from sources of their own."""
    shared = private(tmp_path / "token", TOKEN)
    asked.environ |= {"OF_A": "secret-of-a", "OF_B": "secret-of-b"}
    uses = [
        (Credential(name, (shared, Env(f"OF_{name}")), frozenset()), Audience(Host(f"{name.lower()}.example")))
        for name in ("A", "B")
    ]
    refused = [await asked.credentials.secret(*use) for use in uses]
    (tmp_path / "token").unlink()
    given = await asyncio.gather(
        *(asked.credentials.replacement(secret, *use) for secret, use in zip(refused, uses, strict=True))
    )
    for new, expected in zip(given, ("secret-of-a", "secret-of-b"), strict=True):
        assert new is None or new.reveal() == expected


async def test_the_same_text_is_no_replacement(asked: Asked, tmp_path: Path) -> None:
    """A file that is read again, and still holds what was refused, does not make anybody try once more."""
    source = private(tmp_path / "token", TOKEN)
    allowed = 0
    for _ in range(12):
        secret = await asked(source)
        asked.now += 0.5
        await asked(source)
        asked.now += 0.6
        await asked(source)
        allowed += asked.credentials.reject(secret)
    assert allowed <= 2


async def test_a_variable_cannot_be_replaced(asked: Asked) -> None:
    """What is read afresh each time is not asked for again."""
    asked.environ["FIRST"] = TOKEN
    credential = Credential("ours", (Env("FIRST"),), frozenset())
    secret = await asked(Env("FIRST"))
    assert not asked.credentials.reject(secret)
    assert await asked.credentials.replacement(secret, credential, RELEASE) is None


@pytest.mark.parametrize("entry", [".", "", "bin", "./bin"])
async def test_no_program_of_the_working_folder(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """An entry of the PATH that depends on the working folder is passed over: a repository may hold its own `gh`."""
    (tmp_path / "bin").mkdir()
    for path in (tmp_path / "gh", tmp_path / "bin" / "gh"):
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned; echo {TOKEN}\n")
        path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    asked.environ["PATH"] = f"{entry}{os.pathsep}{theirs}"
    assert "`gh` is not installed" in (await asked.problem(Gh())).detail
    assert not (tmp_path / "owned").exists()
    (theirs / "gh").write_text(f"#!/bin/sh\necho {OTHER}\n")
    (theirs / "gh").chmod(0o755)
    assert await asked.text(Command(("gh",))) == OTHER
