"""`gatepass run`, and beside it everything else on a machine: other users, terminals, proxies, and runs of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, Fault
from gatepass.forge.hosts import GITHUB
from gatepass.shell import environment
from harness import DEADLINE, GATEPASS, ROOT, Client, Shell, background, connections
from terminal import INTERRUPT, SUSPEND, WATCH, terminal

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractContextManager
    from urllib.parse import SplitResult

    from gatepass.demo.standin import StandIn
    from harness import Running
    from terminal import Terminal

from dataclasses import replace
from urllib.parse import quote, urlsplit

TOKEN = "STANDIN_TOKEN"
KEPT = f"gatepass: {TOKEN} kept from the command (--keep-token leaves it)\n"
ASSET_HOSTS = ",".join(str(host) for host in GITHUB.assets)

SHOW_ENVIRONMENT = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
# "sh -c", and then these: tells the proxy, and stays until it is stopped
STAY = ("sh", "-c", 'echo "folder=$(dirname "$SSL_CERT_FILE")" "pid=$$" "proxy=$HTTPS_PROXY"; exec sleep 1000')


def within(shell: Shell, **variables: str) -> Shell:
    """The same shell with more in its environment."""
    return replace(shell, env={**shell.env, **variables})


def environment_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr.decode()
    shown: dict[str, str] = json.loads(done.stdout)
    return shown


def staying(shell: Shell) -> AbstractContextManager[Running]:
    """`gatepass run` with a command that stays."""
    return background([GATEPASS, "run", "--rules", shell.rules, "--", *STAY], shell.env, shell.home)


def proxy_of(running: Running) -> SplitResult:
    return urlsplit(running.wait_for(r"proxy=(\S+)")[1])


# ----------------------------------------------------------------- the command


KEPT = "gatepass: STANDIN_TOKEN kept from the command (--keep-token leaves it)\n"


def silent(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.stdout == b"" and done.stderr == b""


@pytest.mark.parametrize("code", [0, 3])
def test_run_passes_the_exit_code_on(shell: Shell, code: int) -> None:
    """The exit code is the command's, and Gatepass itself prints nothing, but what a command that failed may lack."""
    done = shell.run("sh", "-c", f"exit {code}")
    assert done.returncode == code
    assert done.stdout == b""
    assert done.stderr.decode() == (KEPT if code else "")


def test_run_tells_what_a_command_that_failed_may_lack(shell: Shell) -> None:
    """Which variables were kept from a command is said once it has failed, and how to leave them, to no one's surprise
    that had none or kept them.
    """
    wants = ("sh", "-c", 'test -n "$STANDIN_TOKEN"')
    done = shell.run(*wants)
    assert (done.returncode, done.stderr.decode()) == (1, KEPT)
    done = shell.gatepass("run", "--keep-token", "--rules", shell.rules, "--", *wants)
    assert (done.returncode, done.stderr) == (0, b"")
    without = replace(shell, env={name: value for name, value in shell.env.items() if name != "STANDIN_TOKEN"})
    done = without.run(*wants)
    assert (done.returncode, done.stderr) == (1, b"")


def test_run_leaves_streams_alone(shell: Shell) -> None:
    """Standard input, output and error are the command's own, byte for byte."""
    every = bytes(range(256)) * 1000
    done = shell.run("sh", "-c", "cat; echo oops >&2", stdin=every)
    assert (done.returncode, done.stdout, done.stderr) == (0, every, b"oops\n")


def test_run_passes_options_on(shell: Shell) -> None:
    """What stands behind the command is the command's."""
    assert shell.run("echo", "--rules", "--help", "--", "-x").stdout == b"--rules --help -- -x\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1"])
def test_run_passes_signals_on(shell: Shell, name: str) -> None:
    """A signal to Gatepass reaches the command, which may make of it what it likes."""
    program = (
        "import signal, sys\n"
        f"signal.signal(signal.{name}, lambda *_: (print('got it', flush=True), sys.exit(5)))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n"
    )
    command = (GATEPASS, "run", "--rules", shell.rules, "--", sys.executable, "-c", program)
    with background(command, shell.env, shell.home) as running:
        running.wait_for("ready")
        running.process.send_signal(signal.Signals[name])
        running.wait_for("got it")
        assert running.process.wait(60) == 5


def test_run_under_nohup(shell: Shell) -> None:
    """Nor does `run` bring a hangup to a command that would have ignored it."""
    command = ("nohup", GATEPASS, "run", "--rules", shell.rules, "--", "sh", "-c", "echo here; sleep 1; echo there")
    with background(command, shell.env, shell.home) as running:
        running.wait_for("here")
        running.process.send_signal(signal.SIGHUP)
        assert running.process.wait(DEADLINE) == 0
    assert "there" in running.output


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_run_dies_as_the_command_died(shell: Shell, name: str) -> None:
    """A command that a signal killed looks to the shell as if it had been run without Gatepass."""
    done = shell.run("sh", "-c", f"kill -{name.removeprefix('SIG')} $$")
    assert done.returncode == -signal.Signals[name]
    assert silent(done)


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/hostname", 126)])
def test_run_without_a_command_to_run(shell: Shell, command: str, code: int) -> None:
    """A command that cannot be run gives what a shell gives: 127, 126, and why."""
    done = shell.run(command)
    assert done.returncode == code
    assert f"`{command}`" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_run_installs(shell: Shell, wheel_url: str) -> None:
    """The main job: `gatepass run -- uv pip install URL`."""
    done = shell.run("uv", "pip", "install", "--target", "site", f"acme-tool @ {wheel_url}")
    assert done.returncode == 0, done.stderr.decode()
    assert (shell.home / "site" / "acme_tool.py").exists()
    # uv tells which Python it uses, which may lie in a folder of that name
    assert b"gatepass" not in (done.stdout + done.stderr).replace(os.fsencode(ROOT), b"")


def test_run_tells_why_it_failed(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """When the command fails, what the proxy had to say follows; no secret is in it."""
    github.tokens.clear()
    done = shell.run("curl", "-sSf", wheel_url)
    assert done.returncode == 22
    assert b"bad credential" in done.stderr
    assert b"hint: " in done.stderr
    assert DEFAULT_TOKEN.encode() not in done.stdout + done.stderr


def test_run_tells_a_cause_once(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """However often a client asks, by whatever method, a cause is told once for each URL."""
    urls = [wheel_url.replace("/v1.0/", f"/{tag}/") for tag in ("v1.O", "v9")]
    asks = "; ".join(f"curl -sI {url}; curl -s {url}; curl -s -r 0-9 {url}; curl -s {url}" for url in urls)
    said = shell.run("sh", "-c", f"{asks}; exit 1").stderr.decode()
    assert [said.count(url) for url in urls] == [1, 1], said
    assert said.count("release not found") == 2
    github.faults.append(Fault.secondary_limit(seconds=60, times=99))
    said = shell.run("sh", "-c", f"curl -sI {urls[0]}; sleep 2.1; curl -s {urls[0]}; exit 1").stderr.decode()
    assert said.count("hint: ") == 1, said
    github.faults.clear()
    done = shell.run("uv", "pip", "install", "--target", "site", f"acme-tool @ {wheel_url.replace('/v1.0/', '/v1.O/')}")
    assert len(re.findall("^gatepass: (?:GET|HEAD) ", done.stderr.decode(), re.MULTILINE)) == 1


def test_run_leaves_nothing_behind(shell: Shell) -> None:
    """The folder of the proxy's CA key goes with the command, and no one else could read the key."""
    done = shell.run(
        "sh", "-c", 'dirname "$SSL_CERT_FILE"; stat -c "%n %a" "$(dirname "$SSL_CERT_FILE")"/mitmproxy-ca.pem'
    )
    folder, key = done.stdout.decode().splitlines()
    assert key.endswith("mitmproxy-ca.pem 600")
    assert not Path(folder).exists()


# ---------------------------------------------------------------- other users


def test_the_port_answers_to_the_child_alone(shell: Shell, wheel_url: str, github: StandIn, outsider: Client) -> None:
    """Who has no password, or a wrong one, gets 407 and no token works for them; no argument list holds it."""
    with staying(shell) as running:
        proxy = proxy_of(running)
        assert proxy.password
        listed = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert any(b"gatepass" in arguments for arguments in listed)
        assert not any(proxy.password.encode() in arguments for arguments in listed)
        address = f"127.0.0.1:{proxy.port}"
        for other in (address, f"gatepass:wrong@{address}", f"{proxy.password}@{address}"):
            for url in (wheel_url, wheel_url.replace("https:", "http:")):
                assert "407" in outsider.curl("-v", "-k", "-x", f"http://{other}", url).output
        assert github.calls() == []
        assert outsider.fetch(wheel_url, "-k", "-x", proxy.geturl()).status == 302


def test_two_runs_at_once(shell: Shell, wheel_url: str) -> None:
    """Each run has a port, a password, a folder and a CA of its own, and serves while the other does."""
    with staying(shell) as one, staying(shell) as other:
        assert proxy_of(one).port != proxy_of(other).port
        assert proxy_of(one).password != proxy_of(other).password
        folders = [running.wait_for(r"folder=(\S+)")[1] for running in (one, other)]
        assert len({Path(folder, "ca.pem").read_text() for folder in folders}) == 2
        for running, folder in zip((one, other), folders, strict=True):
            client = Client(shell.home, {"https_proxy": proxy_of(running).geturl()})
            assert client.fetch(wheel_url, "--cacert", f"{folder}/gatepass-bundle.pem").status == 302


# --------------------------------------------------------------------- tokens


def test_tokens_are_kept_from_the_child(shell: Shell) -> None:
    """Every variable that the rules read is taken out of the child's environment, and nothing else of the shell's."""
    (shell.home / "two.yaml").write_text(shell.rules.read_text().replace("[env:STANDIN_TOKEN]", "[env:ONE, env:TWO]"))
    mine = within(replace(shell, rules=Path("two.yaml")), ONE="1", TWO="2", THREE="3")
    given = environment_of(mine.run(*SHOW_ENVIRONMENT))
    assert not {"ONE", "TWO"} & given.keys()
    assert (given["THREE"], given[TOKEN]) == ("3", shell.env[TOKEN])
    changed = {name for name in given if given[name] != mine.env.get(name)}
    assert changed - {*environment.NAMES, "WGETRC", "GATEPASS_RUN", "LC_CTYPE"} == set()


def test_all_that_default_and_an_app_read_is_kept_from_the_child(shell: Shell, github: StandIn) -> None:
    """`default` stands for the variables of its kind of forge, and an App's key is a secret, too."""
    web = github.web
    app = "{github-app: {id: 1, key: env:APP_KEY}}"
    (shell.home / "more.yaml").write_text(
        f"version: 1\nforges: [{{web: '{web}'}}]\n"
        f"credentials:\n  cloud: {{from: [default], hosts: [github.com]}}\n"
        f"  server: {{from: [{app}, default], hosts: ['{web}']}}\n"
        f"rules:\n  - {{match: 'github.com/*', resolve: github-release, credential: cloud}}\n"
        f"  - {{match: '{web}/*', resolve: github-release, credential: server}}\n"
    )
    read = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "APP_KEY")
    mine = within(replace(shell, rules=Path("more.yaml")), **dict.fromkeys(read, "1"), GITLAB_TOKEN="2")
    given = environment_of(mine.run(*SHOW_ENVIRONMENT))
    assert not set(read) & given.keys()
    assert given["GITLAB_TOKEN"] == "2"


def test_keep_token(shell: Shell) -> None:
    """`--keep-token` leaves them."""
    given = environment_of(shell.gatepass("run", "--keep-token", "--rules", shell.rules, "--", *SHOW_ENVIRONMENT))
    assert given[TOKEN] == shell.env[TOKEN]


# ------------------------------------------------------------------- terminal


def in_terminal(shell: Shell, *arguments: str | Path) -> AbstractContextManager[Terminal]:
    """`gatepass run` in a terminal; the arguments begin with its options."""
    return terminal([GATEPASS, "run", "--rules", shell.rules, *arguments], shell.env, shell.home)


def test_a_terminal_is_told_of_the_token(shell: Shell) -> None:
    """On a terminal one line says that the token is kept; with no traffic it is all that is said."""
    with in_terminal(shell, "--", "echo", "here") as shown:
        assert shown.end() == 0
        assert shown.output == f"{KEPT}here\n"


def test_a_terminal_is_told_nothing(shell: Shell) -> None:
    """With the token left and no traffic nothing is printed."""
    with in_terminal(shell, "--keep-token", "--", "true") as shown:
        assert (shown.end(), shown.output) == (0, "")


def test_a_terminal_is_told_what_was_done(shell: Shell, wheel_url: str) -> None:
    """After traffic a last line tells the assets served, the API calls and the budget; stdin and stdout stay free."""
    (shell.home / "in").write_text("from stdin\n")
    command = ("run", "--rules", shell.rules, "--", "sh", "-c", "cat; curl -sSL $0 | wc -c", wheel_url)
    with terminal(["sh", "-c", 'exec "$@" <in >out', "-", GATEPASS, *command], shell.env, shell.home) as shown:
        assert shown.end() == 0
        last = r"gatepass: 1 asset request served, \d+ API calls?, \d+ of 5000 left\n"
        assert re.fullmatch(re.escape(KEPT) + last, shown.output)
    assert re.fullmatch(r"from stdin\n\d{3,}\n", (shell.home / "out").read_text())


def test_refusals_are_counted(shell: Shell, wheel_url: str) -> None:
    """A refusal counts as such, after what it was."""
    with in_terminal(shell, "--", "curl", "-s", "-o", "out", "-f", f"{wheel_url}.none") as shown:
        assert shown.end() == 22
        assert re.search(r"asset not found(.|\n)*\ngatepass: 0 asset requests served, 1 refused, ", shown.output)


def test_verbose(shell: Shell, wheel_url: str) -> None:
    """`-v` tells each request on stderr, terminal or not, without a secret; stdout stays the command's."""
    done = shell.gatepass("run", "-v", "--rules", shell.rules, "--", "curl", "-sS", "-o", "out", "-LI", wheel_url)
    assert (done.returncode, done.stdout) == (0, b"")
    said = done.stderr.decode()
    assert f"gatepass: HEAD {wheel_url}: asset " in said
    assert shell.env[TOKEN] not in said
    assert "X-Amz" not in said


def test_the_child_has_the_terminal(shell: Shell) -> None:
    """The terminal is the child's: all three streams, its size, and news of a change of that."""
    with in_terminal(shell, "--", sys.executable, "-c", WATCH) as shown:
        shown.wait_for(r"terminals \[True, True, True\] True\nsize 100 40\n")
        shown.resize(77, 33)
        shown.wait_for("size 77 33\n")


def test_ctrl_c(shell: Shell) -> None:
    """Ctrl-C reaches the child once, and a second one once more: it is for the child to say what they mean."""
    with in_terminal(shell, "--", sys.executable, "-c", WATCH) as shown:
        shown.wait_for("size")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 1\n")
        # Gatepass sees signals in their order: had it passed the first on, the child would have two by now
        shown.process.send_signal(signal.SIGUSR1)
        shown.wait_for("so far 1\n")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 2\n")
        assert shown.end() == 130
    assert "Traceback" not in shown.output


def test_ctrl_c_ends_what_does_not_mind_it(shell: Shell) -> None:
    """A child that dies of Ctrl-C has Gatepass die of it, too, as a shell expects; nothing is left behind."""
    shell = within(shell, TMPDIR=str(shell.home))
    with in_terminal(shell, "--", "sh", "-c", "echo here; exec sleep 1000") as shown:
        shown.wait_for("here")
        shown.press(INTERRUPT)
        assert shown.end() == -signal.SIGINT
    assert list(shell.home.glob("gatepass-*")) == []


def test_job_control(shell: Shell) -> None:
    """Ctrl-Z gives the shell back, and `fg` the child."""
    command = f"{GATEPASS} run --rules {shell.rules} -- {sys.executable} watch.py\n"
    (shell.home / "watch.py").write_text(WATCH)
    bash = ["bash", "--norc", "--noprofile", "-i"]
    with terminal(bash, within(shell, PS1="$ ", HISTFILE="/dev/null").env, shell.home) as shown:
        shown.press(command)
        shown.wait_for("size 100 40\n")
        shown.press(SUSPEND)
        shown.wait_for("Stopped")
        shown.press("echo back-$((6*7))\n")
        shown.wait_for("back-42\n")
        shown.press("fg\n")
        shown.wait_for(r"fg\n.*gatepass run.*\n")
        shown.wait_for("continued\n")  # the terminal's keys are the shell's until then
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 1\n")
        shown.press(INTERRUPT)
        shown.wait_for("interrupted 2\n")
        shown.press("echo code-$?\n")
        shown.wait_for("code-130\n")
        shown.press("exit\n")
        shown.end()


def test_a_terminal_that_goes(shell: Shell) -> None:
    """When its terminal is closed the child is told, and Gatepass ends with it."""
    program = "trap 'echo gone >told; exit 3' HUP; echo here; while :; do sleep 0.02; done"
    with in_terminal(shell, "--", "sh", "-c", program) as shown:
        shown.wait_for("here")
        shown.process.send_signal(signal.SIGHUP)
        assert shown.end() == 3
    assert (shell.home / "told").read_text() == "gone\n"


# ------------------------------------------------------------- other proxies


def test_no_proxy_is_kept(shell: Shell) -> None:
    """NO_PROXY keeps what it had, and gets the asset hosts: bulk bytes need not come through here."""
    given = environment_of(within(shell, NO_PROXY="a.test, b.test").run(*SHOW_ENVIRONMENT))
    assert given["NO_PROXY"] == given["no_proxy"] == f"a.test,b.test,{ASSET_HOSTS}"


def test_all_through_proxy(shell: Shell) -> None:
    """`--all-through-proxy` adds nothing to NO_PROXY, and leaves what is there."""
    arguments = ("run", "--all-through-proxy", "--rules", shell.rules, "--", *SHOW_ENVIRONMENT)
    given = environment_of(within(shell, no_proxy="a.test").gatepass(*arguments))
    assert given["NO_PROXY"] == given["no_proxy"] == "a.test"
    assert "NO_PROXY" not in environment_of(shell.gatepass(*arguments))


@pytest.mark.parametrize("entry", ["localhost", "*"])
def test_no_proxy_that_keeps_a_host_away(shell: Shell, github: StandIn, entry: str) -> None:
    """Where NO_PROXY would have the child go around the proxy, that is said: nothing could be served."""
    done = within(shell, NO_PROXY=f"a.test,{entry}").run("true")
    expected = f"gatepass: NO_PROXY has `{entry}`: what the command asks of {github.web} will not come here\n"
    assert done.stderr.decode() == expected


def test_an_existing_proxy_is_gone_through(
    shell: Shell, wheel_url: str, github: StandIn, company: tuple[str, Running]
) -> None:
    """The shell's own proxy, with its password, carries both API calls and bytes; nothing is added to NO_PROXY."""
    url, running = company
    done = within(shell, HTTPS_PROXY=url).run("sh", "-c", 'curl -sSfL -o out "$0" && echo "[$NO_PROXY]"', wheel_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"[]\n", b"")
    assert github.calls("api")
    assert connections(running) == {github.web, github.asset_host}


def test_an_existing_proxy_that_is_not_for_the_api(
    shell: Shell, wheel_url: str, github: StandIn, company: tuple[str, Running]
) -> None:
    """What the shell's NO_PROXY keeps from its proxy, the API client keeps from it, too."""
    url, running = company
    mine = within(shell, HTTPS_PROXY=url, NO_PROXY=github.web)
    done = mine.run("curl", "-sSfL", "--noproxy", "", "-o", "out", wheel_url)
    assert done.returncode == 0, done.stderr.decode()
    assert github.calls("api")
    assert connections(running) == {github.asset_host}


def test_an_existing_proxy_with_a_wrong_password(shell: Shell, wheel_url: str, company: tuple[str, Running]) -> None:
    """A proxy that refuses is told of, without the password."""
    url, running = company
    wrong = url.replace(quote("p@ss/1", safe=""), "S3CR3T")
    done = within(shell, HTTPS_PROXY=wrong).run("curl", "-sSf", "-o", "out", wheel_url)
    assert done.returncode == 22
    assert b"gatepass: GET https://" in done.stderr
    assert b"S3CR3T" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    assert connections(running) == set()


def test_a_socks_proxy_is_refused(shell: Shell) -> None:
    """A proxy that mitmproxy cannot go through is an error before anything starts, and its password is not shown."""
    done = within(shell, ALL_PROXY="socks5h://me:S3CR3T@socks.test:1080").run("echo", "here")
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert "error: $ALL_PROXY: expected the URL of an http or https proxy, got `socks5h://socks.test:1080`\n" in said
    assert "hint: " in said
    assert "S3CR3T" not in said


def test_what_the_shell_does_not_trust(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """Upstream, what SSL_CERT_FILE or REQUESTS_CA_BUNDLE holds is trusted, and nothing that neither holds."""
    without = replace(shell, env={name: value for name, value in shell.env.items() if name != "SSL_CERT_FILE"})
    command = ("curl", "-sSf", "-o", "out", wheel_url)
    done = without.run(*command)
    assert done.returncode == 22
    assert b"certificate" in done.stderr
    assert github.calls("api") == []
    assert within(without, REQUESTS_CA_BUNDLE=str(github.ca_file)).run(*command).returncode == 0


# ----------------------------------------------------------------- more Gatepass


def test_nested_runs(shell: Shell, wheel_url: str) -> None:
    """Under a run another one becomes its command at once: the proxy that is there has the token."""
    shell = within(shell, GATEPASS_RULES=str(shell.rules))
    program = 'echo $$ "$HTTPS_PROXY"; exec "$0" run -- sh -c \'echo $$ "$HTTPS_PROXY"; curl -sSfL -o out "$0"\' "$1"'
    done = shell.gatepass("run", "--", "sh", "-c", program, GATEPASS, wheel_url)
    outer, inner = done.stdout.splitlines()
    assert outer == inner
    assert (done.returncode, done.stderr) == (0, b"")
    assert (shell.home / "out").stat().st_size > 0


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/hostname", 126)])
def test_nested_runs_of_nothing(shell: Shell, command: str, code: int) -> None:
    """A command that is none fails in an inner run as it does in an outer."""
    done = within(shell, GATEPASS_RUN=str(shell.home)).gatepass("run", "--", command)
    assert done.returncode == code
    assert done.stderr.decode().startswith(f"error: cannot run `{command}`: ")


def test_nested_runs_with_rules(shell: Shell, wheel_url: str) -> None:
    """An inner run with rules of its own is a proxy of its own, and goes out through the outer one."""
    inner = (GATEPASS, "run", "--rules", shell.rules, "--", "curl", "-sSfL", "-o", "out", wheel_url)
    done = shell.gatepass("run", "--keep-token", "--rules", shell.rules, "--", *inner)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (shell.home / "out").stat().st_size > 0


def test_run_under_serve(shell: Shell, wheel_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a shell that is set up for a running `serve`, `run` works as in any, through that proxy."""
    command = (GATEPASS, "serve", "--rules", shell.rules, "--listen", "127.0.0.1:0", "--")
    confdir = f"confdir={tmp_path_factory.mktemp('serve')}"
    with background([*command, "--set", confdir], shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))
        done = within(shell, **variables).run("curl", "-sSfL", "-o", "out", wheel_url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (shell.home / "out").stat().st_size > 0


# ------------------------------------------------------------------------ ends


def test_sigkill_leaves_a_folder_to_the_next_start(shell: Shell) -> None:
    """A killed run cannot tidy up; the next start does, and leaves the folders of those that live alone."""
    shell = within(shell, TMPDIR=str(shell.home))
    with staying(shell) as killed, staying(shell) as alive:
        left, lives = (Path(running.wait_for(r"folder=(\S+)")[1]) for running in (killed, alive))
        killed.process.kill()
        killed.process.wait(60)
        os.kill(int(killed.wait_for(r"pid=(\d+)")[1]), signal.SIGKILL)
        assert (left / "mitmproxy-ca.pem").exists()
        assert shell.run("true").returncode == 0
        assert not left.exists()
        assert (lives / "mitmproxy-ca.pem").exists()
    assert list(shell.home.glob("gatepass-*")) == []


def test_a_child_that_daemonises(shell: Shell) -> None:
    """The proxy ends with the command that was started, whatever that has left in the background."""
    program = 'setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $! "$HTTPS_PROXY" "$SSL_CERT_FILE"'
    done = shell.run("sh", "-c", program)
    daemon, proxy, bundle = done.stdout.decode().split()
    try:
        os.kill(int(daemon), 0)  # it lives
        assert done.returncode == 0
        assert not Path(bundle).exists()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(proxy).port)) != 0
    finally:
        os.kill(int(daemon), signal.SIGKILL)


def test_a_shell_that_outlived_its_run(shell: Shell) -> None:
    """What a daemon such as tmux starts has the variables of a run that is no more: it is told, and nothing is run."""
    left = environment_of(shell.run(*SHOW_ENVIRONMENT))
    for arguments in (("--",), ("--rules", shell.rules, "--")):
        done = replace(shell, env=left).gatepass("run", *arguments, "echo", "here")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"error: this shell was started under a `gatepass run` that has ended\nhint: " in done.stderr


def test_a_child_that_is_terminated(shell: Shell) -> None:
    """SIGTERM to Gatepass ends a child that knows nothing of it, and Gatepass ends in the same way."""
    with staying(shell) as running:
        pid = int(running.wait_for(r"pid=(\d+)")[1])
        assert running.stop() == -signal.SIGTERM
        assert not Path(f"/proc/{pid}").exists()
