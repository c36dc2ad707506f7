"""`gatepass env`: a shell set up for a running `gatepass serve`, and taken back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.errors import GatepassError
from gatepass.shell import environment, running, syntax, undo
from gatepass.shell.running import Running
from harness import BIN, ROOT, Client, background, clean_environment, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gatepass.demo.standin import StandIn

GATEPASS: Final = BIN / "gatepass"
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")

# How a shell runs a script, with nothing of the user's own.
PROGRAMS: Final = {
    "bash": ("bash", "--norc", "--noprofile", "-c"),
    "zsh": ("zsh", "-f", "-c"),
    "fish": ("fish", "--no-config", "-c"),
    "nushell": ("nu", "--no-config-file", "--stdin", "-c"),
    "powershell": ("pwsh", "-NoProfile", "-NonInteractive", "-Command"),
}
# A script that evaluates its standard input, and then runs a program that shows its environment.
EVALUATE: Final = {
    "bash": 'eval "$(cat)"; env -0',
    "zsh": 'eval "$(cat)"; env -0',
    "fish": "cat | source; env -0",
    "nushell": "$in | from json | load-env; ^env -0",
    "powershell": "$input | Out-String | Invoke-Expression; env -0",
}
SHELLS: Final = list(PROGRAMS)

NASTY: Final = [
    "",
    "'",
    '"',
    "''",
    "\\",
    "\\'",
    "a\\",
    "$(exit 9)",
    "`exit 9`",
    "${HOME}",
    "$HOME",
    "!!",
    "%41",
    "~",
    "*",
]
NASTY_LINES: Final = [
    "\n",
    "a\nb\n",
    "\r\n",
    "\t",
    " a ",
    "#b",
    ";exit 9",
    "\u2019; exit 9",
    "\u2028",
    "\x1b[0m",
    "€",
    "@(1)",
]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def program(shell: str) -> tuple[str, ...]:
    command = PROGRAMS[shell]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    return command


def parse(listing: bytes) -> dict[str, str]:
    """What `env -0` wrote."""
    pairs = (os.fsdecode(entry).partition("=") for entry in listing.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def evaluate(shell: str, text: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that the shell runs when it has evaluated the text."""
    done = subprocess.run(
        [*program(shell), EVALUATE[shell]],
        input=os.fsencode(text),
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b"", done.stderr
    return parse(done.stdout)


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    found = os.pathsep.join([str(BIN), os.environ["PATH"]])
    return clean_environment(HOME=str(tmp_path), XDG_RUNTIME_DIR=str(runtime), PATH=found, SHELL="/bin/bash")


@contextmanager
def listening(base: Mapping[str, str], bundle: Path) -> Iterator[Running]:
    """A server that is announced: the process is this one, and all it does is listen."""
    bundle.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = Running(os.getpid(), f"http://127.0.0.1:{server.getsockname()[1]}", bundle, bundle)
        file = running.announce(known, base)
        try:
            yield known
        finally:
            file.unlink(missing_ok=True)


@pytest.fixture
def server(base: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    with listening(base, tmp_path / os.fsdecode(b"the bundle's, \xc3\xa9.pem")) as known:
        yield known


def gatepass_env(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(GATEPASS), "env", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def wanted(server: Running, env: Mapping[str, str]) -> dict[str, str]:
    return environment.for_client(server.proxy, server.bundle, server.ca, env)


# ------------------------------------------------------------------ the shells


@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_evaluates_to_itself(shell: str, base: dict[str, str]) -> None:
    """Whatever a variable holds, the shell hands a program that very value, and runs none of it."""
    program(shell)

    # a name that ends in PATH is a list to fish, which must come out as it went in
    names = ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", *(f"V{number}" for number in range(30))]

    @settings(max_examples=15, deadline=None)
    @given(st.lists(texts, max_size=20))
    @example(NASTY)
    @example(NASTY_LINES)
    @example(["a:b", "::", "x y"])
    def law(values: list[str]) -> None:
        changes = dict(zip(names, values, strict=False))
        found = evaluate(shell, syntax.render(shell, changes), base)
        assert {name: found.get(name) for name in changes} == changes

    law()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_bytes_that_are_no_utf_8(shell: str, base: dict[str, str]) -> None:
    """A value is bytes to a shell: those that are no text come through, too."""
    value = os.fsdecode(b"/caf\xe9/\xff'")
    assert evaluate(shell, syntax.render(shell, {"V": value}), base)["V"] == value


@pytest.mark.parametrize("shell", SHELLS)
def test_unsetting(shell: str, base: dict[str, str]) -> None:
    """A variable that is unset reaches no program; to unset one that is not there is no error."""
    found = evaluate(shell, syntax.render(shell, {"THERE": None, "NOT_THERE": None, "V": "1"}), base | {"THERE": "x"})
    assert "THERE" not in found
    assert "NOT_THERE" not in found
    assert found["V"] == "1"


@given(texts)
@example("\u2018\u2019\u201a\u201b'")
def test_powershells_quotes(value: str) -> None:
    """Between single quotes PowerShell knows each kind of single quote, doubled, and nothing else."""
    (match,) = re.findall(
        r"\A\$env:V = '((?:[^'‘’‚‛]|(?:''|‘‘|’’|‚‚|‛‛))*)'\n\Z", syntax.render("powershell", {"V": value})
    )
    assert re.sub(r"(['‘’‚‛])\1", r"\1", match) == value


def test_a_dotenv_file_reads_the_same_everywhere(tmp_path: Path) -> None:
    """What is written to a dotenv file is read as itself by a shell and by node; all else is refused."""
    env = {"PATH": os.environ["PATH"]}
    file = tmp_path / ".env"
    node = [] if shutil.which("node") is None else [("node", f"--env-file={file}", "-e")]
    show = "process.stdout.write(Object.entries(process.env).map(([n, v]) => `${n}=${v}\\0`).join(''))"
    readers = [("sh", "-c", f"set -a; . '{file}'; env -0"), *((*command, show) for command in node)]

    @settings(max_examples=10, deadline=None)
    @given(st.lists(texts, max_size=20))
    @example([*NASTY, *NASTY_LINES])
    @example(["http://127.0.0.1:8080", "/a b/c.pem", "localhost,.example.com,[::1],10.0.0.0/8,*"])
    def law(values: list[str]) -> None:
        written = {}
        for number, value in enumerate(values):
            try:
                syntax.render("dotenv", {"V": value})
            except GatepassError:
                assert re.search(r"['\\]|\$\{|[^ -~]", value), "no plain value is refused"
            else:
                written[f"V{number}"] = value
        file.write_text(syntax.render("dotenv", written), encoding="utf-8", newline="")
        for command in readers:
            found = parse(subprocess.run(command, env=env, capture_output=True, timeout=60, check=True).stdout)
            assert {name: found.get(name) for name in written} == written, command[0]

    law()


@pytest.mark.parametrize(
    ("path", "shell"),
    [
        ("/bin/bash", "bash"),
        ("/usr/bin/zsh", "zsh"),
        ("/opt/bin/fish", "fish"),
        ("/usr/bin/nu", "nushell"),
        ("/usr/bin/pwsh", "powershell"),
        ("/bin/dash", "bash"),
        ("", "bash"),
    ],
)
def test_the_default_shell(path: str, shell: str) -> None:
    """Without `--shell` the syntax is that of $SHELL, and bash's where that is none that differs."""
    assert syntax.detect({"SHELL": path}) == shell
    assert syntax.detect({}) == "bash"


# ------------------------------------------------------------------ round trips

# Four times what a program sees: at first, set up, set up again, and taken back.
ROUND_TRIP: Final = {
    "bash": """
        env -0 > 1; eval "$(gatepass env)"; env -0 > 2; eval "$(gatepass env)"; env -0 > 3
        eval "$(gatepass env --unset)"; env -0 > 4""",
    "fish": """
        env -0 > 1; gatepass env | source; env -0 > 2; gatepass env | source; env -0 > 3
        gatepass env --unset | source; env -0 > 4""",
    "nushell": """
        ^env -0 o> "1"; gatepass env | from json | load-env; ^env -0 o> "2"
        gatepass env | from json | load-env; ^env -0 o> "3"
        gatepass env --unset | from json | load-env; ^env -0 o> "4"; """,
    "powershell": """
        env -0 > 1; gatepass env | Out-String | iex; env -0 > 2; gatepass env | Out-String | iex; env -0 > 3
        gatepass env --unset | Out-String | iex; env -0 > 4""",
}
ROUND_TRIP["zsh"] = ROUND_TRIP["bash"]


@pytest.mark.parametrize("shell", SHELLS)
def test_round_trip(shell: str, base: dict[str, str], server: Running, tmp_path: Path) -> None:
    """Set up, set up again, taken back: the second time changes nothing, and in the end all is as it was."""
    command = program(shell)
    mine = {
        "HTTPS_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/it's mine.pem",
        "NO_PROXY": "a b,\\c,$(exit 9)",
    }
    env = base | mine | {"SHELL": command[0], "TOUCHED": "not"}
    done = subprocess.run(
        [*command, ROUND_TRIP[shell]], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done.stderr.decode()
    first, once, twice, last = (parse((tmp_path / number).read_bytes()) for number in "1234")
    for seen in (first, once, twice, last):
        for name in ("_", "SHLVL"):  # the shell's own
            seen.pop(name, None)
    assert {name: once.get(name) for name in environment.NAMES} == wanted(server, env)
    assert once["NO_PROXY"] == mine["NO_PROXY"]
    assert set(once) - set(first) - set(environment.NAMES) == {undo.MEMORY}
    assert twice == once
    assert last == first


names = st.sampled_from([*environment.NAMES, "OTHER"])


@given(st.dictionaries(names, texts), st.lists(st.dictionaries(names, texts), min_size=1, max_size=3))
def test_undo_brings_back_what_was(environ: dict[str, str], settings: list[dict[str, str]]) -> None:
    """However often and with whatever an environment is set up, one undo brings back the one before the first."""
    current = dict(environ)
    for variables in settings:
        current = applied(current, undo.remember(variables, current))
        assert current.items() >= variables.items()
        assert undo.before(current) == environ
    assert applied(current, undo.undo(current)) == environ


def applied(environ: Mapping[str, str], changes: undo.Changes) -> dict[str, str]:
    changed = {**environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize("memory", ["x", "[]", '{"A": 1}', "null"])
def test_a_memory_of_something_else(base: dict[str, str], memory: str) -> None:
    """What cannot be read is an error with a way out, not a guess."""
    done = gatepass_env(base | {undo.MEMORY: memory}, "--unset")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"hint: unset {undo.MEMORY}" in done.stderr


def test_nothing_to_undo(base: dict[str, str]) -> None:
    """In a shell that nothing was set in, `--unset` changes nothing: the user's own proxy stays."""
    done = gatepass_env(base | {"HTTPS_PROXY": "http://proxy.example:3128"}, "--unset")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ----------------------------------------------------------- which server it is


def test_no_server(base: dict[str, str]) -> None:
    """Without a server there is an error and nothing to evaluate: the shell stays as it is."""
    done = gatepass_env(base)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no `gatepass serve` is running" in done.stderr
    assert "hint: start one with `gatepass serve`, or use `gatepass run -- COMMAND`" in done.stderr


def test_several_servers(base: dict[str, str], server: Running, tmp_path: Path) -> None:
    """Among several the user chooses; the error lists them, and `--proxy` takes one of the list, and no other."""
    with listening(base, tmp_path / "other.pem") as other:
        done = gatepass_env(base)
        assert (done.returncode, done.stdout) == (1, "")
        assert "expected one running `gatepass serve`, got 2" in done.stderr
        for known in (server, other):
            assert f"`--proxy {known.address}`" in done.stderr
        done = gatepass_env(base, "--proxy", other.address)
        assert f"export HTTPS_PROXY={other.proxy}\n" in done.stdout
        done = gatepass_env(base, "--proxy", "127.0.0.1:1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "--proxy: no `gatepass serve` is running at `127.0.0.1:1`" in done.stderr


def test_stale_files(base: dict[str, str], server: Running) -> None:
    """A server that died, or that listens no more, is not found, and its file goes; a file of another sort stays."""
    with subprocess.Popen(["true"]) as gone:
        pass
    stale = [
        running.announce(Running(gone.pid, server.proxy, server.bundle, server.ca), base),
        running.announce(Running(os.getpid(), f"http://127.0.0.1:{free_port()}", server.bundle, server.ca), base),
        running.announce(Running(2**70, server.proxy, server.bundle, server.ca), base),
    ]
    future = running.folder(base) / "1-1.json"
    future.write_text('{"pid": "of a version to come"}')
    (running.folder(base) / "2-2.json").write_bytes(b"\xff{")
    assert running.find(base) == [server]
    assert not any(path.exists() for path in stale)
    assert future.exists()


def test_a_lost_bundle(base: dict[str, str], server: Running) -> None:
    """A bundle that is gone is not handed out: clients would trust nobody."""
    server.bundle.unlink()
    done = gatepass_env(base)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{server.bundle}: expected what `gatepass serve` wrote" in done.stderr


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write(base: dict[str, str], server: Running, mode: int) -> None:
    """Who could write there could choose the proxy and the CA of this user's clients: nothing is read from it."""
    running.folder(base).chmod(mode)
    done = gatepass_env(base)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a folder that others cannot change" in done.stderr
    with pytest.raises(GatepassError, match="others cannot change"):
        running.announce(server, base)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to give a folder away")
def test_a_folder_of_another_user(base: dict[str, str], server: Running) -> None:
    """Nor is what lies in another user's folder."""
    os.chown(running.folder(base), 65534, 65534)
    done = gatepass_env(base)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a folder of your own, got one of user 65534" in done.stderr
    with pytest.raises(GatepassError, match="of your own"):
        running.announce(server, base)


@pytest.mark.parametrize("runtime", [None, "", "relative/folder"])
def test_no_runtime_folder(runtime: str | None) -> None:
    """Without a runtime folder it is the user's own configuration folder; a relative one is none."""
    found = running.folder({} if runtime is None else {"XDG_RUNTIME_DIR": runtime})
    assert found.is_absolute()
    assert found.parts[-2:] == ("gatepass", "run")


# ------------------------------------------------------------------ with `serve`


def test_serve_and_env(
    base: dict[str, str],
    github: StandIn,
    rules: Path,
    wheel_url: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """`serve` is found while it listens, `env` is all that a client needs, and no secret lies where they meet."""
    env = base | {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN}
    command = (GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0")
    with background(command, env, tmp_path) as serving:
        serving.wait_for(r"export SSL_CERT_FILE=\S+\n")
        (file,) = running.folder(base).iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert DEFAULT_TOKEN not in file.read_text()
        (known,) = running.find(base)
        assert known.pid == serving.process.pid
        assert known.proxy in serving.output

        client = Client(tmp_path_factory.mktemp("client"), {name: base[name] for name in ("PATH", "XDG_RUNTIME_DIR")})
        script = f'eval "$(gatepass env)" && uv pip install --target site "acme-tool @ {wheel_url}"'
        result = client.run("bash", "-c", script, UV_PYTHON=sys.executable)
        assert result.code == 0, result.output
        assert (client.home / "site" / "acme_tool.py").exists()
        assert client.run("sh", "-c", 'eval "$(gatepass env)"; env').output.count(known.proxy) >= len(environment.PROXY)
    assert list(running.folder(base).iterdir()) == []


def test_serve_that_was_killed(base: dict[str, str], rules: Path, tmp_path: Path) -> None:
    """A server that could not tidy up leaves a file, which misleads nobody, and goes when it is met."""
    command = (GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0")
    with background(command, base, tmp_path) as serving:
        serving.wait_for("export SSL_CERT_FILE")
        serving.process.send_signal(signal.SIGKILL)
        serving.process.wait(60)
        (file,) = running.folder(base).iterdir()
        assert "no `gatepass serve` is running" in gatepass_env(base).stderr
        assert not file.exists()


def test_serve_without_a_place_to_tell(base: dict[str, str], rules: Path, tmp_path: Path) -> None:
    """Where the file cannot be written, `serve` says so, and serves."""
    (tmp_path / "file").touch()
    env = base | {"XDG_RUNTIME_DIR": str(tmp_path / "file")}
    with background((GATEPASS, "serve", "--rules", rules, "--listen", "127.0.0.1:0"), env, tmp_path) as serving:
        serving.wait_for("export SSL_CERT_FILE")
        assert "`gatepass env` will not find this server" in serving.output
    assert "Traceback" not in serving.output


# --------------------------------------------------------------- GitHub Actions


def read_environment_file(text: str) -> dict[str, str]:
    """As the runner reads it (actions/runner, `src/Runner.Worker/FileCommandManager.cs`)."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, delimiter = line.split("<<", 1)
            value = []
            while (part := next(lines)) != delimiter:
                value.append(part)
            found[name] = "\n".join(value)
    return found


@given(st.dictionaries(st.sampled_from(environment.NAMES), texts))
@example({"NO_PROXY": "a\nEOF\nEVIL=1\n", "HTTPS_PROXY": "<<EOF"})
def test_the_environment_file(variables: dict[str, str]) -> None:
    """The runner reads back what was written, whatever it holds, and no other variable."""
    assert read_environment_file(syntax.environment_file(variables)) == variables


def test_github_actions(base: dict[str, str], server: Running, tmp_path: Path) -> None:
    """The variables are appended to $GITHUB_ENV, and nothing is printed that need not be."""
    file = tmp_path / "github_env"
    file.write_text("EARLIER<<x\n1\nx\n")
    done = gatepass_env(base | {"GITHUB_ENV": str(file)}, "--github-actions")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_environment_file(file.read_text()) == {"EARLIER": "1"} | wanted(server, base)


def test_masks() -> None:
    """The password of a URL is masked as it stands and decoded; what is no secret is not masked."""
    values = [
        "http://user:p%40ss@proxy.example:1",
        "http://127.0.0.1:8080",
        "/a/bundle.pem",
        "http://[bad",
        "http://u@h",
    ]
    assert sorted(syntax.masks(values).splitlines()) == ["::add-mask::p%2540ss", "::add-mask::p@ss"]


def test_github_actions_elsewhere(base: dict[str, str], server: Running) -> None:
    """Outside of a job it is an error that says what is missing."""
    assert server.proxy
    for env in (base, base | {"GITHUB_ENV": ""}, base | {"GITHUB_ENV": "/no/such/folder/file"}):
        done = gatepass_env(env, "--github-actions")
        assert (done.returncode, done.stdout) == (1, "")
        assert "GITHUB_ENV: expected" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--github-actions", "--unset"), ("--github-actions", "--shell", "bash"), ("--unset", "--proxy", "h:1")],
)
def test_options_that_exclude_each_other(base: dict[str, str], arguments: tuple[str, ...]) -> None:
    """What would have no meaning is refused, with nothing to evaluate."""
    done = gatepass_env(base, *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_dotenv_remembers_nothing(base: dict[str, str], server: Running) -> None:
    """A file has no before: it holds the variables alone, and cannot unset; one that is wrong is not half written."""
    server.bundle.rename(server.bundle.with_name("plain.pem"))
    plain = Running(
        server.pid, server.proxy, server.bundle.with_name("plain.pem"), server.bundle.with_name("plain.pem")
    )
    running.announce(plain, base)
    done = gatepass_env(base, "--shell", "dotenv")
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == wanted(plain, base)
    done = gatepass_env(base | {"NO_PROXY": "it's"}, "--shell", "dotenv")
    assert (done.returncode, done.stdout) == (1, "")
    done = gatepass_env(base | {undo.MEMORY: '{"HTTPS_PROXY":null}'}, "--shell", "dotenv", "--unset")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot unset" in done.stderr


# ------------------------------------------------------------------- the README


def block(language: str, part: str) -> str:
    """The README's code block that holds `part`."""
    found = re.finditer(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return next(match[1] for match in found if part in match[1])


LINES: Final = {
    name: line for line, name in re.findall(r"^(gatepass env.*|eval.*?) +# (\w+)", block("sh", "eval"), re.MULTILINE)
}
LINES["zsh"] = LINES["bash"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_readmes_line_for_a_shell(shell: str, base: dict[str, str], server: Running) -> None:
    """The line that the README has for a shell sets it up."""
    show = "^env -0" if shell == "nushell" else "env -0"
    done = subprocess.run(
        [*program(shell), f"{LINES[shell]}; {show}"],
        env=base,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert parse(done.stdout).items() >= wanted(server, base).items()


def test_the_readme_has_a_line_for_each_shell() -> None:
    """No shell is left out."""
    assert set(LINES) == set(syntax.NAMES)


def test_the_readmes_line_for_direnv(base: dict[str, str], server: Running, tmp_path: Path) -> None:
    """The line for `.envrc` sets up what runs in that folder; direnv itself reads it where it is installed."""
    match = re.search(r"\.envrc`\s+is\s+`([^`]+)`", README)
    assert match
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".envrc").write_text(f"{match[1]}\n")
    command = ["bash", "-c", ". ./.envrc; env -0"]
    if shutil.which("direnv"):
        subprocess.run(["direnv", "allow", folder], env=base, check=True)
        command = ["direnv", "exec", str(folder), "env", "-0"]
    done = subprocess.run(command, env=base | {"SHELL": "/usr/bin/fish"}, cwd=folder, capture_output=True, check=True)
    assert parse(done.stdout).items() >= wanted(server, base).items()


def test_the_readmes_devcontainer(base: dict[str, str], server: Running, tmp_path: Path) -> None:
    """It is JSON, its commands exist, and what it adds to .bashrc sets a shell up."""
    container = json.loads(block("json", "devcontainers"))
    assert container["remoteEnv"] == {"GH_TOKEN": "${localEnv:GH_TOKEN}"}
    named = {command for text in container.values() for command in re.findall(r"gatepass (\w+)", str(text))}
    assert named == {"env", "serve"}
    for phase in ("postCreateCommand", "postStartCommand"):
        subprocess.run(["sh", "-n", "-c", container[phase]], check=True)
    # the installation is not what is tested here
    subprocess.run(
        ["sh", "-c", container["postCreateCommand"].replace("pip install gatepass", "true")], env=base, check=True
    )
    done = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; env -0"], env=base, cwd=tmp_path, capture_output=True, check=True
    )
    assert parse(done.stdout).items() >= wanted(server, base).items()


def test_the_devcontainers_server(base: dict[str, str], tmp_path: Path) -> None:
    """The command that starts the server returns at once, and leaves it running."""
    container = json.loads(block("json", "devcontainers"))
    start = (
        container["postStartCommand"].replace("serve", "serve --listen 127.0.0.1:0").replace("/tmp/", f"{tmp_path}/")
    )
    subprocess.run(["sh", "-c", start], env=base, timeout=10, check=True)
    (known,) = eventually(lambda: running.find(base))
    os.kill(known.pid, signal.SIGTERM)
    eventually(lambda: not running.find(base))
