"""deploy/systemd: the units as systemd reads them, and their commands run as they confine them; logs rotated.

No systemd is started. What it would tell a unit is told here: credentials in a folder, and a socket for notices.
"""

from __future__ import annotations

import base64
import getpass
import grp
import gzip
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import confining
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository
from gatepass.shell import environment
from harness import GATEPASS, ROOT, Client, background, call, clean_environment, eventually, free_port, need, strays
from replicas import PASSWORD, Browsing, load
from supervising import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Running
    from supervising import Told

pytestmark = [
    pytest.mark.slow,  # they start servers, and wait for clocks
    pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's"),
]

DEPLOY = ROOT / "deploy" / "systemd"
UNITS = ("gatepass.service", "gatepass@.service")
STARTED = ("gatepass.service", "gatepass@1.service")
AUTHORIZATION = {"Proxy-Authorization": f"Basic {base64.b64encode(f'ci:{PASSWORD}'.encode()).decode()}"}


# --------------------------------------------------------------- as systemd reads them


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a system that has systemd's own units, ours, and what ours start."""
    need("systemd-analyze")
    own = next(
        (place for place in map(Path, ("/usr/lib/systemd/system", "/lib/systemd/system")) if place.is_dir()), None
    )
    if own is None:
        pytest.skip("systemd's own units are not installed")
    root = tmp_path / "root"
    shutil.copytree(own, root / "usr/lib/systemd/system", symlinks=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(DEPLOY / unit, root / "etc/systemd/system")
    for program in ("opt/gatepass/bin/gatepass", "bin/kill"):
        (root / program).parent.mkdir(parents=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    return root


def analyze(root: Path, *arguments: str) -> str:
    """All that systemd says of a unit there."""
    result = call(["systemd-analyze", f"--root={root}", *arguments], clean_environment(SYSTEMD_COLORS="0"))
    assert result.code == 0, result.output
    return result.output


@pytest.mark.parametrize("unit", STARTED)
def test_systemd_finds_no_fault(root: Path, unit: str) -> None:
    """It knows every setting, and has nothing to say; of one that it does not know it would."""
    assert analyze(root, "verify", "--man=no", unit) == ""
    file = root / "etc/systemd/system" / re.sub(r"@\d", "@", unit)
    file.write_text(file.read_text().replace("PrivateTmp=", "PrivateTmpp="))
    assert "Unknown key 'PrivateTmpp'" in analyze(root, "verify", "--man=no", unit)


@pytest.mark.parametrize("unit", STARTED)
def test_little_is_exposed(root: Path, unit: str) -> None:
    """By systemd's own measure, from 0 to 10, at most 2 is left."""
    told = analyze(root, "security", "--offline=yes", unit)
    measured = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert measured, told
    assert float(measured[1]) <= 2.0, told


def test_the_units_are_alike() -> None:
    """They differ in what an instance is, and in nothing else; each has the time to end that its drain needs."""
    single, several = (confining.settings(DEPLOY / unit) for unit in UNITS)
    assert {name for name in single.keys() | several.keys() if single.get(name) != several.get(name)} == {
        *("Description", "ExecStart", "TimeoutStopSec"),
    }
    for unit in (single, several):
        options = dict(re.findall(r"--(drain\S*) (\d+)", unit["ExecStart"][0]))
        most = sum(map(int, options.values()))
        assert most < int(unit["TimeoutStopSec"][0]) < most + 30
        assert unit["Environment"] == ["XDG_CONFIG_HOME=/var/lib"]
        assert unit["StateDirectory"] == ["gatepass"]


def test_the_instances_are_the_load_balancers() -> None:
    """Numbers 1 to 3 listen, and tell how they are, where deploy/haproxy looks for them."""
    command = confining.settings(DEPLOY / "gatepass@.service")["ExecStart"][0]
    expected = dict(re.findall(r"presetenv GATEPASS_(\S+) (\S+)", (ROOT / "deploy/haproxy/haproxy.cfg").read_text()))
    for number in ("1", "2", "3"):
        words = shlex.split(command.replace("%i", number))
        assert words[words.index("--listen") + 1] == expected[number]
        assert words[words.index("--admin") + 1] == expected[f"{number}_ADMIN"]


def test_the_user_is_made(tmp_path: Path) -> None:
    """systemd-sysusers makes the user that the units run as, in a root that is a folder."""
    (tmp_path / "etc").mkdir()
    result = call([need("systemd-sysusers"), f"--root={tmp_path}", DEPLOY / "sysusers.conf"], clean_environment())
    assert result.code == 0, result.output
    user = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert (user[0], user[-2], user[-1]) == ("gatepass", "/var/lib/gatepass", "/usr/sbin/nologin\n")
    assert {confining.settings(DEPLOY / unit)["User"][0] for unit in UNITS} == {"gatepass"}


def test_the_rules_are_right(home: Path) -> None:
    """The rules that come with the units can be used, with the credentials that the units load and no others."""
    env = clean_environment(CREDENTIALS_DIRECTORY=str(home / "credentials"))
    result = call([GATEPASS, "check", "--offline", DEPLOY / "rules.yaml"], env)
    assert result.code == 0, result.output
    named = set(re.findall(r"systemd:([\w-]+)", (DEPLOY / "rules.yaml").read_text()))
    for unit in UNITS:
        loaded = confining.settings(DEPLOY / unit)["LoadCredential"]
        assert {each.partition(":")[0] for each in loaded} == named


# ------------------------------------------------------------------- as they run


@dataclass
class Service:
    """One unit that runs."""

    home: Path
    port: int
    running: Running
    told: Told
    audit: Path

    @property
    def bundle(self) -> Path:
        return self.home / "lib" / "gatepass" / "ca" / "gatepass-bundle.pem"

    def client(self, user: str = f"ci:{PASSWORD}@") -> Client:
        url = f"http://{user}127.0.0.1:{self.port}"
        return Client(self.home, environment.for_client(url, self.bundle, self.bundle, {}))


@pytest.fixture
def url(github: StandIn) -> str:
    """A private asset of the company that the rules name."""
    releases = [Release("v1.0", [Asset("tool.bin", b"content")])]
    github.repositories.append(Repository("your-company", "tool", releases=releases))
    return github.download_url("your-company/tool", "v1.0", "tool.bin")


@pytest.fixture
def home(github: StandIn, tmp_path: Path) -> Path:
    """What the units find on their machine, in a folder: rules for the stand-in, credentials, places to write to."""
    rules = (DEPLOY / "rules.yaml").read_text()
    rules = rules.replace("[github.com]", f"['{github.web}']").replace("github.com", github.web)
    # here GitHub is on this machine, where else nobody is led
    rules += f"forges: [{{web: '{github.web}'}}]\negress: {{private: [127.0.0.0/8]}}\n"
    (tmp_path / "rules.yaml").write_text(rules)
    (tmp_path / "credentials").mkdir()
    for name, secret in (("github-token", DEFAULT_TOKEN), ("ci-password", PASSWORD)):
        (tmp_path / "credentials" / name).write_text(secret)
        (tmp_path / "credentials" / name).chmod(0o400)
    for name in ("lib", "log", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


@contextmanager
def started(github: StandIn, home: Path, unit: str, number: str = "1") -> Iterator[Service]:
    """A unit's command, confined as the unit confines it, with the environment that systemd would give."""
    need("systemd-analyze")
    port, admin = free_port(), free_port()
    settings = confining.settings(DEPLOY / unit)
    text = settings["ExecStart"][0].replace("%i", number)
    for there, here in (
        ("/opt/gatepass/bin/gatepass", str(GATEPASS)),
        ("/etc/gatepass", str(home)),
        ("/var/log/gatepass", str(home / "log")),
    ):
        text = text.replace(there, here)
    text = re.sub(r"(?<=--listen )\S+", f"127.0.0.1:{port}", text)
    text = re.sub(r"(?<=--admin )\S+", f"127.0.0.1:{admin}", text)
    text = re.sub(r"(?<=--drain-delay )\d+", "0.5", text)
    words = shlex.split(text)
    with tempfile.TemporaryDirectory(prefix="gp") as place:
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home / "lib" / "gatepass"),
            "TMPDIR": str(home / "tmp"),
            "CREDENTIALS_DIRECTORY": str(home / "credentials"),
            "NOTIFY_SOCKET": f"{place}/notify",
            "WATCHDOG_USEC": str(int(settings["WatchdogSec"][0]) * 1_000_000),
            "SSL_CERT_FILE": str(github.ca_file),
        }
        for line in settings["Environment"]:
            name, _, value = line.partition("=")
            env[name] = value.replace("/var/lib", str(home / "lib"))
        command = confining.command(DEPLOY / unit, *words)
        with supervisor(f"{place}/notify") as told, background(command, env, home) as running:
            eventually(lambda: told.texts or running.process.poll() is not None)
            assert running.process.poll() is None, running.output
            told.wait_for("READY=1")
            yield Service(home, port, running, told, Path(words[words.index("--audit") + 1]))
    assert "Traceback" not in running.output, running.output
    assert "Operation not permitted" not in running.output, running.output
    assert DEFAULT_TOKEN not in running.output


@pytest.mark.parametrize("unit", UNITS)
def test_it_serves_as_confined(github: StandIn, home: Path, url: str, unit: str) -> None:
    """With the unit's system calls, address families and privileges a private asset arrives, the credential being
    systemd's; the reload that the unit names reads all anew; it ends in order.
    """
    with started(github, home, unit) as service:
        assert service.client().fetch(url, "-L").body == b"content"
        assert "407" in service.client(user="").curl(url).output
        assert confining.settings(DEPLOY / unit)["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
        service.running.process.send_signal(signal.SIGHUP)
        service.told.wait_for("READY=1", 2)
        assert service.client().fetch(url, "-L").body == b"content"
        assert service.running.stop() == 0
        assert service.told.wait_for("STOPPING=1")
    assert len(service.told.beats) >= 1
    assert service.audit.stat().st_mode & 0o777 == 0o600
    assert list((home / "tmp").iterdir()) == []
    assert strays(github, DEFAULT_TOKEN) == []


def test_several_have_one_ca(github: StandIn, home: Path, url: str) -> None:
    """Two that start at the same time, where no CA is yet, have the same one; each has an audit file of its own."""
    with ExitStack() as stack:
        services = [stack.enter_context(started(github, home, "gatepass@.service", number)) for number in ("1", "2")]
        plain = [Browsing(each.port, each.bundle, AUTHORIZATION).plain for each in services]
        cas = [ask("http://gatepass.internal/ca.pem")[1] for ask in plain]
        assert cas[0] == cas[1]
        assert b"BEGIN CERTIFICATE" in cas[0]
        for each in services:
            assert each.client().fetch(url, "-L").body == b"content"
    assert [each.audit.name for each in services] == ["audit-1.jsonl", "audit-2.jsonl"]
    assert all(each.audit.read_text() for each in services)


def test_the_confinement_is_one(tmp_path: Path) -> None:
    """So confined a program has no privilege, and can neither change an owner, nor a priority, nor open a socket of
    another family.
    """
    need("systemd-analyze")
    program = """
        import os, socket, sys
        netlink = lambda: socket.socket(socket.AF_NETLINK)
        for act in (lambda: os.chown(sys.argv[1], 0, 0), lambda: os.nice(1), netlink, socket.socket):
            try:
                act()
                print("done")
            except OSError as error:
                print(error.errno)
    """
    command = confining.command(DEPLOY / "gatepass.service", sys.executable, "-c", textwrap.dedent(program), tmp_path)
    result = call(command, clean_environment())
    assert result.output.split() == ["1", "1", "97", "done"], result.output


def test_what_cannot_be_taken(tmp_path: Path) -> None:
    """Callbacks such as pyOpenSSL's, without which mitmproxy can make no TLS, cannot be made where memory may not be
    written and run. When this fails the units may have MemoryDenyWriteExecute, too.
    """
    need("systemd-analyze")
    unit = tmp_path / "unit"
    program = "import cffi; print(cffi.FFI().callback('int(int)', lambda number: number + 1)(41))"
    results = []
    for further in ("", "MemoryDenyWriteExecute=yes\n"):
        unit.write_text((DEPLOY / "gatepass.service").read_text() + further)
        results.append(call(confining.command(unit, sys.executable, "-c", program), clean_environment()))
    assert results[0].output == "42\n"
    assert "Cannot allocate write+execute memory" in results[1].output


# ------------------------------------------------------------------- logs rotated


def rotate(home: Path, service: Service) -> None:
    """Have logrotate rotate at once by the configuration as it stands there; systemctl's word comes to the server."""
    text = (DEPLOY / "logrotate.conf").read_text().replace("/var/log/gatepass", str(home / "log"))
    us = f"su {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}" if os.geteuid() == 0 else ""
    (home / "logrotate.conf").write_text(text.replace("su gatepass gatepass", us))
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin" / "systemctl").write_text(
        f'#!/bin/sh\necho "$*" >>{home}/systemctl.log\nkill -HUP {service.running.process.pid}\n'
    )
    (home / "bin" / "systemctl").chmod(0o755)
    env = clean_environment()
    env["PATH"] = f"{home / 'bin'}{os.pathsep}{env['PATH']}"
    command: list[str | Path] = [
        need("logrotate"),
        "--force",
        "--verbose",
        "--state",
        home / "logrotate.state",
        home / "logrotate.conf",
    ]
    result = call(command, env)
    assert result.code == 0, result.output
    assert "error" not in result.output.lower(), result.output


def lines(file: Path) -> list[dict[str, object]]:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in content.decode().splitlines()]


def test_the_audit_file_is_rotated(github: StandIn, home: Path, url: str) -> None:
    """While requests go on: none of their lines is lost or cut, each file is the owner's alone, old ones are packed."""
    need("logrotate")
    with started(github, home, "gatepass.service") as service:

        def goes_on(seen: list[object], least: int) -> bool:
            return len(seen) > least

        def ask(client: Browsing) -> bool:
            return client.tunnelled(url)[0] == 302

        with (
            closing(Browsing(service.port, service.bundle, AUTHORIZATION)) as client,
            load(lambda: ask(client)) as seen,
        ):
            for number in (1, 2, 3):
                eventually(partial(goes_on, seen, 20 * number))
                rotate(home, service)
                eventually(service.audit.exists)
                time.sleep(1.1)  # the name of an old one has the second
        assert [result for result in seen if result is not True] == []
        assert service.running.stop() == 0
    files = sorted((home / "log").iterdir())
    assert len(files) == 4
    assert sum(file.suffix == ".gz" for file in files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    told = [line for file in files for line in lines(file) if line.get("url")]
    assert len(told) == len(seen)
    asked = (home / "systemctl.log").read_text().splitlines()
    assert asked == ["try-reload-or-restart gatepass.service gatepass@*.service"] * 3
