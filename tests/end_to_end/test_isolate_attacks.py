"""`gatepass run --isolate` against the command: what it tries, it can do under `gatepass run`, and cannot here.

Each attack is made twice by the same program. That it succeeds without isolation shows that it is one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from harness import DEADLINE, GATEPASS, ROOT, background, need
from sandbox import OPTIONS, Sandbox, as_nobody, need_isolation, ruled
from terminal import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Shell

pytestmark = pytest.mark.slow  # each starts namespaces and proxies

SECRET = "S3CR3T-of-the-house"

type Address = tuple[str | int, ...] | str


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that is neither in /tmp nor in anything else that an isolated command has anew."""
    parent = Path("/var/lib") if os.access("/var/lib", os.W_OK) else Path.home()
    folder = parent / f"gatepass-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sandbox(shell: Shell, github: StandIn, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A user with a home, who works in a folder of it."""
    need_isolation()
    working = place / "home" / "project"
    working.mkdir(parents=True)
    env = {**shell.env, "HOME": str(place / "home")}
    return Sandbox(replace(ruled(shell, github, tmp_path_factory.mktemp("rules")), home=working, env=env))


def within(sandbox: Sandbox, **variables: str) -> Sandbox:
    return Sandbox(replace(sandbox.shell, env={**sandbox.shell.env, **variables}))


# --------------------------------------------------------------------- networks


@contextmanager
def server(family: int, address: Address, kind: int = socket.SOCK_STREAM) -> Iterator[tuple[Address, list[bytes]]]:
    """One that says hello to whoever comes: its address, and what it was told."""
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                if kind == socket.SOCK_DGRAM:
                    message, sender = listener.recvfrom(65536)
                    heard.append(message)
                    listener.sendto(b"hello", sender)
                    continue
                connection, _ = listener.accept()
            except OSError:
                return
            heard.append(b"")
            with connection, contextlib.suppress(OSError):
                connection.settimeout(DEADLINE)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello\n")
                connection.recv(65536)

    with socket.socket(family, kind) as listener:
        try:
            listener.bind(address)
        except OSError as error:
            pytest.skip(f"no socket at {address!r}: {error}")
        if kind == socket.SOCK_STREAM:
            listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname(), heard
        listener.shutdown(socket.SHUT_RDWR) if kind == socket.SOCK_STREAM else None


CONNECT = """
import ast, socket, sys
family, address = int(sys.argv[1]), ast.literal_eval(sys.argv[2])
try:
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        print(client.recv(8).decode())
except OSError as error:
    print(type(error).__name__)
"""


def attempt(sandbox: Sandbox, family: int, address: Address) -> tuple[str, str]:
    """What it comes to without isolation, and with it."""
    arguments = (CONNECT, str(int(family)), repr(address))
    return sandbox.outside(*arguments), sandbox.python(*arguments)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "own"])
def test_ports_of_this_machine(sandbox: Sandbox, address: str) -> None:
    """No port of this machine can be reached, by IPv4, IPv6, or the machine's own address in its network."""
    if address == "own":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
            except OSError:
                pytest.skip("this machine has no network")
            address = probe.getsockname()[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server(family, (address, 0)) as (bound, heard):
        outside, inside = attempt(sandbox, family, bound)
    assert outside == "HTTP/1.0"
    assert inside in ("ConnectionRefusedError", "OSError")
    assert len(heard) == 1


def test_the_port_of_another_proxy(sandbox: Sandbox) -> None:
    """Nor can the proxy of another run, in which other rules are in force."""
    program = 'echo "proxy=$HTTPS_PROXY"; exec sleep 1000'
    command: list[str | Path] = [GATEPASS, "run", "--rules", sandbox.shell.rules, "--", "sh", "-c", program]
    asking = CONNECT.replace(
        "client.connect(address)", "client.connect(address); client.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')"
    )
    with background(command, sandbox.shell.env, sandbox.home) as running:
        port = urlsplit(running.wait_for(r"proxy=(\S+)")[1]).port
        arguments = (asking, str(int(socket.AF_INET)), repr(("127.0.0.1", port)))
        assert sandbox.outside(*arguments) == "HTTP/1.1"
        assert sandbox.python(*arguments) == "ConnectionRefusedError"
        done = sandbox.run("curl", "-sS", "-p", f"http://127.0.0.1:{port}/")
        assert (done.returncode, done.stdout) == (56, b"")


SPELLINGS = (
    "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "127.0.0.2", "2130706433", "0x7f.1", "0.0.0.0", "0",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "own",
)  # fmt: skip

ASK = """
import os, socket, sys
from urllib.parse import urlsplit
from base64 import b64encode
proxy = urlsplit(os.environ["HTTPS_PROXY"])
login = b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
for host in sys.argv[2:]:
    for first in (f"CONNECT {host}:{sys.argv[1]} HTTP/1.1", f"GET http://{host}:{sys.argv[1]}/ HTTP/1.1"):
        with socket.create_connection((proxy.hostname, proxy.port)) as client:
            client.settimeout(30)
            head = f"{first}\\r\\nHost: {host}:{sys.argv[1]}\\r\\nProxy-Authorization: Basic {login}\\r\\n"
            client.sendall(f"{head}Connection: close\\r\\n\\r\\n".encode())
            answer = client.makefile("rb").readline().split()
            print(first.split()[0], host, answer[1].decode() if answer else "nothing")
"""


@pytest.mark.parametrize("options", [(), ("--all-through-proxy",)])
def test_this_machine_through_the_proxy(sandbox: Sandbox, options: tuple[str, ...]) -> None:
    """The proxy is on this machine, and takes the command to no port of it, however that is spelt; though the rules
    have no `egress`, and without isolation it would.
    """
    own = socket.gethostbyname(socket.gethostname()) if _resolves() else "127.0.0.1"
    hosts = [own if host == "own" else host for host in SPELLINGS]
    with server(socket.AF_INET, ("0.0.0.0", 0)) as (bound, heard):
        assert isinstance(bound, tuple)
        outside = sandbox.outside(ASK, str(bound[1]), "127.0.0.1")
        assert outside.splitlines() == ["CONNECT 127.0.0.1 200", "GET 127.0.0.1 200"]
        assert heard
        heard.clear()
        inside = sandbox.python(ASK, str(bound[1]), *hosts, options=options).splitlines()
    assert heard == []
    assert len(inside) == 2 * len(hosts)
    assert {line.split()[-1] for line in inside} <= {"403", "400", "502", "508"}


def _resolves() -> bool:
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return False
    return True


def test_its_own_door_through_the_proxy(sandbox: Sandbox) -> None:
    """The proxy does not take the command to itself either, by the address that it has inside."""
    inside = sandbox.python(ASK, "3128", "127.0.0.1", "localhost").splitlines()
    assert all(line.split()[-1] in ("403", "502", "508") for line in inside), inside


def test_names(sandbox: Sandbox) -> None:
    """There is no DNS: no datagram gets out, to whatever port, and no name is resolved but by the proxy."""
    program = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(3)
    try:
        client.sendto(b"question", ("127.0.0.1", int(sys.argv[1])))
        print(client.recv(9).decode())
    except OSError as error:
        print("unheard")
    try:
        client.sendto(b"question", ("192.0.2.1", 53))
        print("sent")
    except OSError as error:
        print("no route")
try:
    socket.getaddrinfo("example.com", 443)
    print("resolved")
except OSError:
    print("unknown")
"""
    with server(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM) as (bound, heard):
        assert isinstance(bound, tuple)
        assert sandbox.outside(program, str(bound[1])).startswith("hello\n")
        assert sandbox.python(program, str(bound[1])) == "unheard\nno route\nunknown"
    assert heard == [b"question"]


def test_raw_sockets(sandbox: Sandbox) -> None:
    """No frame and no packet can be made by hand: there is no right to, and no device but the loopback one."""
    program = """
import os, socket
for name, kind in (("AF_INET", socket.SOCK_RAW), ("AF_PACKET", socket.SOCK_RAW)):
    try:
        socket.socket(getattr(socket, name), kind, 1).close()
        print("raw")
    except OSError:
        print("none")
print(sorted(name for _, name in socket.if_nameindex()))
"""
    outside, inside = sandbox.outside(program), sandbox.python(program)
    assert inside == "none\nnone\n['lo']"
    if os.getuid() == 0:
        assert outside.startswith("raw\nraw\n")


def test_other_kinds_of_sockets(sandbox: Sandbox) -> None:
    """No kind of socket can be made that a network namespace does not hold; AF_VSOCK leads to the host of a virtual
    machine.
    """
    program = """
import socket
made = []
for family in range(1, 64):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind).close()
            made.append(family)
            break
        except OSError:
            pass
print(made)
"""
    outside = json.loads(sandbox.outside(program))
    assert set(json.loads(sandbox.python(program))) <= {1, 2, 10, 16}
    if not set(outside) - {1, 2, 10, 16}:
        pytest.skip("this kernel has no other kinds")


def test_abstract_sockets(sandbox: Sandbox) -> None:
    """A socket without a path is in a network, too: those of this machine are none of the command's."""
    name = f"\0gatepass-test-{os.getpid()}"
    with server(socket.AF_UNIX, name) as (_, heard):
        assert attempt(sandbox, socket.AF_UNIX, name) == ("HTTP/1.0", "ConnectionRefusedError")
    assert len(heard) == 1


@pytest.mark.parametrize("where", ["/run", "runtime", "agent", "/tmp", "anywhere", "anywhere\nelse"])
def test_sockets_with_a_path(sandbox: Sandbox, place: Path, where: str, tmp_path: Path) -> None:
    """A socket of this machine cannot be reached by its path: in /run, as that of docker, in $XDG_RUNTIME_DIR, as an
    agent's, in /tmp, nor wherever else one listens.
    """
    folder = {"/run": Path("/run"), "/tmp": tmp_path}.get(where, place / where)
    if not os.access(folder.parent, os.W_OK):
        pytest.skip(f"{folder} is not ours")
    folder.mkdir(exist_ok=True)
    path = folder / f"gatepass-test-{os.getpid()}.sock"
    mine = {"runtime": {"XDG_RUNTIME_DIR": str(folder)}, "agent": {"SSH_AUTH_SOCK": str(path)}}.get(where, {})
    try:
        with server(socket.AF_UNIX, str(path)) as (_, heard):
            outside, inside = attempt(within(sandbox, **mine), socket.AF_UNIX, str(path))
            assert (outside, len(heard)) == ("HTTP/1.0", 1)
            assert inside in ("FileNotFoundError", "ConnectionRefusedError", "PermissionError", "OSError")
            shown = ("--show", path)
            arguments = (CONNECT, str(int(socket.AF_UNIX)), repr(str(path)))
            assert within(sandbox, **mine).python(*arguments, options=shown) == "HTTP/1.0"
    finally:
        path.unlink(missing_ok=True)


def test_an_agent_is_not_named(sandbox: Sandbox, place: Path) -> None:
    """Variables that lead to a socket are gone, unless it is shown: ssh would wait for an agent that is not there."""
    path = str(place / "agent.sock")
    show = "import os; print(os.environ.get('SSH_AUTH_SOCK'), os.environ.get('DISPLAY'))"
    mine = within(sandbox, SSH_AUTH_SOCK=path, DISPLAY=":0")
    with server(socket.AF_UNIX, path):
        assert mine.outside(show) == f"{path} :0"
        assert mine.python(show) == "None None"
        assert mine.python(show, options=("--show", path)) == f"{path} None"


def test_a_destination_that_is_not_allowed(sandbox: Sandbox, github: StandIn, wheel_url: str) -> None:
    """With `egress.allow` the command reaches exactly these hosts: what it may not is refused by the proxy, with the
    reason, and there is no other way.
    """
    rules = sandbox.home / "allow.yaml"
    rules.write_text(f"{sandbox.shell.rules.read_text()}egress:\n  allow: ['{github.web}', '{github.asset_host}']\n")
    mine = Sandbox(replace(sandbox.shell, rules=rules))
    done = mine.run("curl", "-sSfL", "-o", "out", wheel_url)
    assert done.returncode == 0, done.stderr.decode()
    for arguments in ((), ("--noproxy", "*")):
        done = mine.run("curl", "-sS", *arguments, "https://example.com/")
        assert done.returncode != 0
        assert done.stdout == b""
        assert (b"not in egress.allow" in done.stderr) == (not arguments)


# -------------------------------------------------------------------- processes


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user's outside, with a secret in its environment."""
    with subprocess.Popen(["sleep", "1000"], env={"PATH": os.environ["PATH"], "OWN": SECRET}) as process:
        yield process
        process.kill()


def test_proc(sandbox: Sandbox, victim: subprocess.Popen[bytes]) -> None:
    """No process outside is there, the proxy and the shell among them: neither its environment, nor its memory, files
    or root.
    """
    program = """
import os, sys
from pathlib import Path
found = []
for path in Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline"):
        try:
            text = (path / name).read_bytes()
        except OSError:
            continue
        if sys.argv[1][::-1].encode() in text or b"/" + b"bin/gatepass" in text:
            found.append(name)
for name in ("environ", "mem", "maps"):
    try:
        os.close(os.open(f"/proc/{sys.argv[2]}/{name}", os.O_RDONLY)); found.append(name)
    except OSError:
        pass
for name in ("root", "cwd", "fd"):
    try:
        os.listdir(f"/proc/{sys.argv[2]}/{name}"); found.append(name)
    except OSError:
        pass
print(sorted(set(found)))
"""
    arguments = (program, SECRET[::-1], str(victim.pid))
    assert {"environ", "cmdline", "root", "fd"} <= set(json.loads(sandbox.outside(*arguments).replace("'", '"')))
    assert sandbox.python(*arguments) == "[]"


def test_the_first_process(sandbox: Sandbox, place: Path) -> None:
    """What is first inside holds nothing that the command has not: no variable, no root of its own, nothing open that
    leads out.
    """
    (place / "home" / ".ssh").mkdir()
    (place / "home" / ".ssh" / "key").write_text(SECRET)
    program = f"""
import os
print(open("/proc/1/environ", "rb").read().count(b"TOKEN"))
print(os.listdir("/proc/1/root{place}/home/.ssh"), os.listdir("/proc/self/root{place}/home/.ssh"))
print(sorted({{os.readlink(f"/proc/1/fd/{{n}}").split(":")[0] for n in os.listdir("/proc/1/fd")}} - {{"/dev/null"}}))
"""
    found = sandbox.python(program).splitlines()
    assert found[:2] == ["0", "[] []"]
    assert set(re.findall("'(.*?)'", found[2])) <= {"pipe", "socket"}


SIGNALS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
try:
    os.kill(pid, 0)
    print("killed")
except OSError as error:
    print(type(error).__name__)
libc.ptrace.argtypes = [ctypes.c_long] * 4
print("traced" if libc.ptrace(16, pid, 0, 0) == 0 else os.strerror(ctypes.get_errno()))
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
try:
    os.close(os.pidfd_open(pid))
    print("opened")
except OSError as error:
    print(type(error).__name__)
"""


def test_signals_and_debuggers(sandbox: Sandbox, victim: subprocess.Popen[bytes]) -> None:
    """No process outside can be signalled, traced or opened by its number."""
    outside = sandbox.outside(SIGNALS, str(victim.pid)).split("\n")
    assert outside[0] == "killed"
    assert outside[2] == "opened"
    if os.getuid() == 0:
        assert outside[1] == "traced"
    inside = sandbox.python(SIGNALS, str(victim.pid))
    assert inside == "ProcessLookupError\nNo such process\nProcessLookupError"
    assert victim.poll() is None


@pytest.mark.parametrize("target", ["0", "-1"])
def test_a_signal_to_all(sandbox: Sandbox, target: str) -> None:
    """Who kills all that can be killed, or the own process group, kills no process outside."""
    command = f"{GATEPASS} run {{}} --rules {sandbox.shell.rules} -- sh -c 'kill -KILL {target}'; echo alive $?"
    script = ["setsid", "sh", "-c", command.format("--isolate")]
    done = subprocess.run(
        script, env=sandbox.shell.env, cwd=sandbox.home, capture_output=True, check=False, timeout=DEADLINE
    )
    # all but itself, and there was nobody else
    assert done.stdout == (b"alive 1\n" if target == "-1" else b"alive 137\n")
    if target == "0":
        script = ["setsid", "sh", "-c", command.format("--keep-token")]
        done = subprocess.run(script, env=sandbox.shell.env, cwd=sandbox.home, capture_output=True, check=False)
        assert b"alive" not in done.stdout


def test_shared_memory(sandbox: Sandbox) -> None:
    """What programs share by number, or by a name in /dev/shm, is not there."""
    libc = ctypes.CDLL(None, use_errno=True)
    shared = libc.shmget(0x6A7E, 4096, 0o1600)  # IPC_CREAT
    if shared < 0:
        pytest.skip("this kernel has no such memory")
    file = Path("/dev/shm") / f"gatepass-test-{os.getpid()}"
    file.write_text(SECRET)
    program = f"import ctypes, os; print(ctypes.CDLL(None).shmget(0x6A7E, 0, 0) >= 0, os.path.exists('{file}'))"
    try:
        assert sandbox.outside(program) == "True True"
        assert sandbox.python(program) == "False False"
    finally:
        file.unlink()
        libc.shmctl(shared, 0, 0)


def test_no_new_rights(sandbox: Sandbox, place: Path) -> None:
    """A setuid program gives no rights: `sudo` is of no use, and neither is one that somebody forgot."""
    program = "print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])"
    assert (sandbox.outside(program), sandbox.python(program)) == ("0", "1")
    if os.getuid() != 0:
        return
    setuid = place / "whoami"
    shutil.copy(need("id"), setuid)
    setuid.chmod(0o4755)
    for path in (place, place / "home", sandbox.home):
        path.chmod(0o777)
    env = {**sandbox.shell.env, "SSL_CERT_FILE": ""}
    shutil.copy(sandbox.shell.rules, place / "rules.yaml")
    seen = []
    for options in (("run",), OPTIONS):
        command = as_nobody([GATEPASS, *options, "--rules", place / "rules.yaml", "--", setuid, "-u"])
        done = subprocess.run(command, env=env, cwd=sandbox.home, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        seen.append(done.stdout)
    if seen[0] != b"0\n":
        pytest.skip("such programs have no effect in this file system")
    assert seen[1] == b"65534\n"


def test_rights_of_root(sandbox: Sandbox) -> None:
    """Root inside has none of root's rights: it makes no device, loads nothing, and changes none of the kernel's
    settings, by which a program could be run outside.
    """
    if os.getuid() != 0:
        pytest.skip("this is for root")
    program = """
import os
can = []
for name in ("sys/kernel/core_pattern", "sysrq-trigger", "sys/vm/swappiness"):
    name = "/proc/" + name
    try:
        os.close(os.open(name, os.O_WRONLY)); can.append(name)
    except OSError:
        pass
try:
    os.mknod("device", 0o60600, os.makedev(1, 3)); can.append("mknod"); os.unlink("device")
except OSError:
    pass
try:
    os.chown(".", 1, 1); can.append("chown"); os.chown(".", 0, 0)
except OSError:
    pass
status = open("/proc/self/status").read()
print(can, [line.split()[1] for line in status.splitlines() if line.startswith("Cap")])
"""
    assert "core_pattern" in sandbox.outside(program)
    assert sandbox.python(program) == f"[] {['0' * 16] * 5}"


# ------------------------------------------------------------------------- files

FILES = (
    ".ssh/id_ed25519", ".netrc", ".git-credentials", ".config/gh/hosts.yml", ".aws/credentials", ".azure/token",
    ".config/gcloud/credentials.db", ".docker/config.json", ".kube/config", ".npmrc", ".pypirc",
    ".cargo/credentials.toml", ".gnupg/private-keys-v1.d/key", ".local/share/keyrings/login.keyring",
    ".local/share/uv/credentials/credentials.toml", ".config/gatepass/ca.pem", ".config/git/credentials",
    ".vault-token", ".terraform.d/credentials.tfrc.json", ".bash_history", ".mozilla/firefox/key4.db",
    ".password-store/all.gpg", ".config/containers/auth.json", ".pgpass",
    ".local/share/python_keyring/keyring_pass.cfg",
)  # fmt: skip
NAMED = {
    "NETRC": "named/netrc", "GH_CONFIG_DIR": "named/gh", "AWS_SHARED_CREDENTIALS_FILE": "named/aws",
    "GOOGLE_APPLICATION_CREDENTIALS": "named/google.json", "KUBECONFIG": "named/kube", "DOCKER_CONFIG": "named/docker",
    "XDG_CONFIG_HOME": "config", "CARGO_HOME": "cargo",
}  # fmt: skip


@pytest.fixture
def furnished(sandbox: Sandbox, place: Path) -> Sandbox:
    """A home with a secret in each of these places, some of them where variables say."""
    home = place / "home"
    more = [*NAMED.values(), "config/gh/hosts.yml", "cargo/credentials.toml", "named/gh/hosts.yml", "named/docker/x"]
    for name in (*FILES, *(name for name in more if name not in ("config", "cargo", "named/gh", "named/docker"))):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{SECRET}\n")
    (home / "plain").write_text("no secret\n")
    return within(sandbox, **{name: str(home / rest) for name, rest in NAMED.items()})


def readable(sandbox: Sandbox, *folders: str, options: tuple[str | Path, ...] = (), isolated: bool = True) -> set[str]:
    """The files below these folders that hold the secret, as the command finds them."""
    command = ("grep", "-rlsF", SECRET, *folders)
    done = sandbox.run(*command, options=options) if isolated else sandbox.shell.run(*command)
    return set(done.stdout.decode().split())


def test_places_of_secrets(furnished: Sandbox) -> None:
    """Where secrets lie nothing is, and all else is there; what is empty can be written to, for as long as it lasts."""
    assert len(readable(furnished, "..", isolated=False)) == len(FILES) + len(NAMED)
    assert readable(furnished, "..") == set()
    done = furnished.run("sh", "-c", "cat ../plain; echo new >../.ssh/known_hosts; cat ../.ssh/known_hosts ../.netrc")
    assert (done.returncode, done.stdout) == (0, b"no secret\nnew\n")
    assert not (furnished.home.parent / ".ssh" / "known_hosts").exists()


def test_places_that_are_told(furnished: Sandbox) -> None:
    """`--hide` takes more away, `--show` brings back, with what is below; nothing else."""
    (furnished.home / "own").mkdir()
    (furnished.home / "own" / "key").write_text(SECRET)
    assert readable(furnished, ".", "..") == {"./own/key", "../project/own/key"}
    options = ("--hide", "own", "--show", "~/.ssh", "--show", "../.config/gh")
    assert readable(furnished, "..", options=options) == {"../.ssh/id_ed25519", "../.config/gh/hosts.yml"}
    assert "../.config/gh/hosts.yml" in readable(furnished, "..", options=("--show", "../.config"))
    with_hidden = ("--show", "~/.config", "--hide", "~/.config/gh")
    assert "../.config/gh/hosts.yml" not in readable(furnished, "..", options=with_hidden)


def test_files_that_rules_read(sandbox: Sandbox, place: Path) -> None:
    """What a rule's secret is read from is empty, wherever it is: a token's file, an App's key, a file of users."""
    names = ("token", "app.pem", "users")
    for name in names:
        (place / name).write_text(f"{SECRET}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n" if name == "users" else SECRET)
        (place / name).chmod(0o600)
    rules = place / "rules.yaml"
    rules.write_text(
        "version: 1\ncredentials:\n"
        f"  a: {{from: ['file:{place}/token'], hosts: [a.example.com]}}\n"
        f"  b: {{from: [{{github-app: {{id: 1, key: 'file:{place}/app.pem'}}}}], hosts: [github.com]}}\n"
        "rules:\n  - {match: a.example.com/*, headers: {x: '{credential}'}, credential: a}\n"
        "  - {match: github.com/acme/*, resolve: github-release, credential: b}\n"
        f"clients:\n  us: {{htpasswd: '{place}/users'}}\n"
    )
    mine = Sandbox(replace(sandbox.shell, rules=rules))
    assert readable(mine, str(place), isolated=False) == {str(place / name) for name in names}
    assert readable(mine, str(place)) == set()


WAYS = """
import os, subprocess, sys
home = sys.argv[1]
tried = {}
def attempt(name, what):
    try:
        tried[name] = what()
    except OSError as error:
        tried[name] = type(error).__name__
read = lambda path: open(path).read().strip() or "empty"
attempt("dots", lambda: read("./../../home/project/../.netrc"))
attempt("link", lambda: (os.symlink(home + "/.ssh", "link"), read("link/id_ed25519")))
attempt("link to a file", lambda: (os.symlink(home + "/.netrc", "file"), read("file"))[1])
attempt("a link that was there", lambda: read("before/id_ed25519"))
attempt("hard link", lambda: (os.link(home + "/.netrc", "hard"), read("hard"))[1])
attempt("root", lambda: read("/proc/self/root" + home + "/.netrc"))
attempt("root of the first", lambda: read("/proc/1/root" + home + "/.netrc"))
attempt("cwd", lambda: read("/proc/self/cwd/../.netrc"))
attempt("renamed", lambda: (os.rename(home + "/.ssh", "moved"), read("moved/id_ed25519"))[1])
attempt("renamed around", lambda: (os.rename(home, home + "2"), read(home + "2/.netrc"))[1])
attempt("deleted", lambda: (os.unlink(home + "/.netrc"), read(home + "/.netrc"))[1])
def namespaces(script):
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "nothing"
show = f"cat {home}/.netrc {home}/.ssh/*"
at = f"{show.replace(home, '/tmp/at')}"
attempt("unmounted", lambda: namespaces(f"umount {home}/.netrc; umount -l {home}/.ssh; {show}"))
attempt("bound", lambda: namespaces(f"mkdir -p /tmp/at; mount --rbind {home} /tmp/at && umount -l /tmp/at/.ssh; {at}"))
attempt("bound alone", lambda: namespaces(f"mkdir -p /tmp/at; mount --bind {home} /tmp/at && {at}"))
write = "mount -o remount,bind,rw {0} && touch {0}/made && echo made;"
attempt("remounted", lambda: namespaces(write.format("/usr") + write.format("/etc")))
print(tried)
"""


def test_ways_into_hidden_places(furnished: Sandbox, place: Path) -> None:
    """No way leads into what is hidden: no `..`, no link that is made or was there, no /proc, no other name, and no
    namespace in which the command would be root.
    """
    home = str(place / "home")
    (furnished.home / "before").symlink_to(f"{home}/.ssh")
    outside = furnished.outside(
        WAYS.replace('attempt("renamed', '0 and attempt("renamed').replace('attempt("del', '0 and attempt("del'), home
    )
    assert outside.count(SECRET) >= 7
    for name in ("link", "file", "hard"):
        (furnished.home / name).unlink(missing_ok=True)
    inside = furnished.python(WAYS, home)
    assert SECRET not in inside, inside
    assert "made" not in inside
    assert not Path("/usr/made").exists()
    assert (place / "home" / ".netrc").read_text() == f"{SECRET}\n"


def test_a_place_that_is_a_link(furnished: Sandbox, place: Path) -> None:
    """Where a place of secrets is a link, as of those who keep such files in one folder, what it leads to is empty."""
    home = place / "home"
    (home / "dotfiles").mkdir()
    (home / ".ssh").rename(home / "dotfiles" / "ssh")
    (home / ".ssh").symlink_to("dotfiles/ssh")
    (home / ".netrc").rename(home / "dotfiles" / "netrc")
    (home / ".netrc").symlink_to(home / "dotfiles" / "netrc")
    assert "../dotfiles/netrc" in readable(furnished, "..", isolated=False)
    assert readable(furnished, "..") == set()


def test_keys_of_this_run_and_of_others(sandbox: Sandbox) -> None:
    """The keys of the runs' CAs are not there, wherever their folders are: with TMPDIR in the working one, too."""
    mine = within(sandbox, TMPDIR=str(sandbox.home))
    command: list[str | Path] = [
        GATEPASS,
        "run",
        "--rules",
        sandbox.shell.rules,
        "--",
        "sh",
        "-c",
        "echo here; exec sleep 1000",
    ]
    search = ("find", sandbox.home, "/tmp", "-name", "mitmproxy-ca*.pem")
    with background(command, mine.shell.env, mine.home) as running:
        running.wait_for("here")
        assert len(mine.shell.run(*search).stdout.split()) >= 2
        assert mine.run(*search).stdout == b""


# -------------------------------------------------------------- what is run outside

WRITE = """
import os, sys
written = []
for path in sys.argv[1:]:
    try:
        if os.path.isdir(path):
            open(path + "/gatepass-test-made", "w").close(); os.unlink(path + "/gatepass-test-made")
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        written.append(path)
    except OSError:
        pass
print("\\n".join(written))
"""


def test_what_is_run_outside(sandbox: Sandbox, place: Path) -> None:
    """What programs outside are, or are told what to do by, can be read and not changed: the system, the PATH, this
    Python, Gatepass itself, and what shells and git read.
    """
    home = place / "home"
    for name in (".bashrc", ".gitconfig", ".config/git/config", ".zshenv", ".config/fish/config.fish"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("# settings\n")
    (home / ".local" / "bin").mkdir(parents=True)
    mine = within(sandbox, PATH=f"{home}/.local/bin{os.pathsep}{sandbox.shell.env['PATH']}")
    paths = [
        *(str(home / name) for name in (".bashrc", ".gitconfig", ".config/git", ".zshenv", ".config/fish")),
        str(home / ".local/bin"),
        str(ROOT / "addon" / "gatepass"), str(Path(pytest.__file__).parent), "/usr/bin", "/etc", sys.executable,
    ]  # fmt: skip
    outside = mine.outside(WRITE, *paths).splitlines()
    assert set(paths[:6]) <= set(outside)
    assert mine.python(WRITE, *paths) == ""
    assert mine.python(WRITE, *paths, options=("--write", home / ".config")) == str(home / ".config/git") + "\n" + str(
        home / ".config/fish"
    )
    moved = "import os, sys\ntry:\n os.rename(sys.argv[1], sys.argv[1] + '2')\nexcept OSError: print('held')"
    assert mine.python(moved, home / ".config") == "held"
    assert (home / ".config" / "git" / "config").exists()


def test_a_program_of_the_commands_own(sandbox: Sandbox, place: Path, wheel_url: str) -> None:
    """A program that the command puts on the PATH is not asked for a token, outside, by its name."""
    fake = sandbox.home / "bin" / "gh"
    fake.parent.mkdir()
    rules = place / "rules.yaml"
    rules.write_text(sandbox.shell.rules.read_text().replace("env:STANDIN_TOKEN", "gh"))
    mine = within(
        Sandbox(replace(sandbox.shell, rules=rules)), PATH=f"{fake.parent}{os.pathsep}{sandbox.shell.env['PATH']}"
    )
    program = (
        f'printf "#!/bin/sh\\ntouch {place}/home/escaped\\n" >bin/gh; chmod +x bin/gh; curl -sS "$0" >/dev/null; true'
    )
    assert mine.shell.run("sh", "-c", program, wheel_url).returncode == 0
    assert (place / "home" / "escaped").exists()
    (place / "home" / "escaped").unlink()
    fake.unlink()
    assert mine.run("sh", "-c", program, wheel_url).returncode == 0
    assert fake.exists()
    assert not (place / "home" / "escaped").exists()


@pytest.mark.parametrize("name", [".gitconfig", ".config/git/config"])
def test_settings_of_the_commands_own(sandbox: Sandbox, place: Path, wheel_url: str, name: str) -> None:
    """A helper that the command puts into settings of git's is not asked for a password outside: there were none."""
    need("git")
    home = place / "home"
    rules = place / "rules.yaml"
    rules.write_text(sandbox.shell.rules.read_text().replace("env:STANDIN_TOKEN", "git"))
    mine = Sandbox(replace(sandbox.shell, rules=rules))
    settings = f'[credential]\\n\\thelper = "!touch {home}/escaped; echo"\\n'
    program = f"mkdir -p ~/.config/git; printf '{settings}' >~/{name}; curl -sS \"$0\" >/dev/null; true"
    assert mine.shell.run("sh", "-c", program, wheel_url).returncode == 0
    assert (home / "escaped").exists()
    (home / "escaped").unlink()
    (home / name).unlink()
    shutil.rmtree(home / ".config")
    assert mine.run("sh", "-c", program, wheel_url).returncode == 0
    assert (home / name).exists()
    assert not (home / "escaped").exists()


# -------------------------------------------------------------------------- kernel


def test_typing_for_others(sandbox: Sandbox) -> None:
    """Nothing can be typed on the terminal for who reads from it next, which is the user's shell; the number of that
    request with more bits than the kernel reads is no other one.
    """
    program = """
import ctypes, errno, fcntl, os, termios
def typed(request):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number = {"x86_64": 16}.get(os.uname().machine, 29)
    done = libc.syscall(ctypes.c_long(number), ctypes.c_long(0), ctypes.c_ulong(request), ctypes.c_char_p(b"\\n"))
    return "typed" if done == 0 else errno.errorcode[ctypes.get_errno()]
print("at", typed(termios.TIOCSTI), typed(termios.TIOCSTI | 1 << 32), typed(0x541C), flush=True)
"""
    shown = []
    for options in (("run",), OPTIONS):
        command = [GATEPASS, *options, "--rules", sandbox.shell.rules, "--", sys.executable, "-c", program]
        with terminal(command, sandbox.shell.env, sandbox.home) as screen:
            shown.append(screen.wait_for(r"at (\S+) (\S+) (\S+)\n").groups())
            screen.end()
    assert shown[1] == ("EPERM", "EPERM", "EPERM")
    if shown[0][0] != "typed":
        pytest.skip(f"this kernel allows nobody to: {shown[0]}")
    assert shown[0][1] == "typed"


def test_calls_that_no_namespace_holds(sandbox: Sandbox) -> None:
    """The kernel's keyrings, in which a session may keep passwords, are not asked; nor is what would ask for a socket
    out of sight of the filter, nor what opens files by their numbers.
    """
    program = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
numbers = [250, 425, 304] if os.uname().machine == "x86_64" else [219, 425, 265]
said = []
for number, arguments in zip(numbers, ([0, -3, 1], [1, 0], [-1, 0, 0])):
    done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    said.append("done" if done >= 0 else errno.errorcode[ctypes.get_errno()])
print(*said)
"""
    assert sandbox.python(program) == "EPERM EPERM EPERM"
    outside = sandbox.outside(program).split()
    assert "EPERM" not in (outside[1], outside[2]) or os.getuid() != 0


# ------------------------------------------------------------------------ variables


def test_variables(sandbox: Sandbox) -> None:
    """Variables that hold a secret are gone, by their names and by what they hold, and others stay."""
    secret = {
        "GH_TOKEN": "1", "GITHUB_TOKEN": "1", "NPM_TOKEN": "1", "AWS_SECRET_ACCESS_KEY": "1", "AWS_SESSION_TOKEN": "1",
        "AWS_ACCESS_KEY_ID": "1", "OPENAI_API_KEY": "1", "PGPASSWORD": "1", "UV_INDEX_ACME_PASSWORD": "1",
        "ACTIONS_RUNTIME_TOKEN": "1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "1", "DATABASE_URL": "postgres://me:pw@db/x",
        "PIP_INDEX_URL": "https://me:pw@index.example.com/simple", "WHATEVER": "ghp_" + 36 * "x",
        "KEY_FILE_TEXT": "-----BEGIN PRIVATE KEY-----", "npm_config__authToken": "1", "DOCKER_AUTH_CONFIG": "{}",
    }  # fmt: skip
    plain = {
        "PATHS": "/a:/b", "EDITOR": "vi", "GPG_KEY": "A035C8C1", "MY_URL": "https://example.com/x:y@z",
        "KEYBOARD": "de", "AUTHOR": "me", "TOKENIZERS_PARALLELISM": "false", "PATTERN": "x", "COMPAT": "1",
    }  # fmt: skip
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    mine = within(sandbox, **secret, **plain)
    given = json.loads(mine.python(program))
    assert set(secret) & set(given) == set()
    assert plain.items() <= given.items()
    assert set(secret) <= set(json.loads(mine.outside(program)))
