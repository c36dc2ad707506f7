"""deploy/container: the image as buildah builds it, run as a runtime does: nobody's user, a read-only root, no shell.

No registry of images is asked: the image's base is a Debian in a folder. What runs is the image's own command, in
namespaces of its own.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from bare import adopt, debootstrap
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository
from gatepass.forge.hosts import Host
from gatepass.shell import environment
from gatepass.trust import authority
from harness import ROOT, Client, background, call, clean_environment, eventually, free_port, need, strays
from replicas import PASSWORD, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Running

pytestmark = pytest.mark.slow  # a system is made, and an image

DOCKERFILE: Final = ROOT / "deploy" / "container" / "Dockerfile"
PACKAGES: Final = "python3,python3-venv,ca-certificates"
USER: Final = 65532

# The mounts are those of a namespace of its own, and end with it. What a runtime mounts is mounted: /proc with
# processes alone, four devices, what is written to, what is handed over; then the root is read-only, and has no shell.
ENTER: Final = """
set -e
root=$1 given=$2 secrets=$3 state=$4 chroot=$5; shift 5
mount --bind "$root" "$root"
mount -t proc -o hidepid=2,subset=pid proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for each in null zero random urandom; do touch "$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"; done
mount --bind "$given" "$root/etc/gatepass"
mount -o remount,bind,ro "$root/etc/gatepass"
mount -t tmpfs -o mode=755 tmpfs "$root/run/secrets"
cp -a "$secrets/." "$root/run/secrets"
mount -o remount,ro "$root/run/secrets"
mount --bind "$state" "$root/var/lib/gatepass"
for each in sh bash dash; do mount --bind /dev/null "$root/usr/bin/$each"; done
mount -o remount,bind,ro "$root"
exec "$chroot" --userspec=65532:65532 --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """What was built: its files in a folder, and what it says of how it is run."""

    root: Path
    config: dict[str, Any]

    @property
    def env(self) -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in self.config["Env"])


class Buildah:
    """buildah with a storage of its own, in which images are folders: nothing is mounted for them on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        policy = folder / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._storage: list[str | Path] = [
            "--root",
            folder / "storage",
            "--runroot",
            folder / "run",
            "--storage-driver",
            "vfs",
        ]
        self.policy: list[str | Path] = ["--signature-policy", policy]

    def __call__(self, *arguments: str | Path, timeout: float = 900) -> str:
        command = ["unshare", "--mount", need("buildah"), *map(str, self._storage), *map(str, arguments)]
        done = subprocess.run(
            command,
            env=clean_environment(),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def build(self, file: Path, context: Path, name: str, *options: str) -> None:
        # format docker: that of OCI has no health check
        fixed = ("--isolation=chroot", "--layers=false", "--format=docker", "--pull-never")
        self("bud", *self.policy, *fixed, *options, "--file", file, "--tag", name, context)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    need("buildah")
    folder = tmp_path_factory.mktemp("image")
    try:
        base = folder / "base"
        base.mkdir()
        debootstrap(base, PACKAGES)
        adopt(base)
        _index(base / "etc" / "pip.conf")
        subprocess.run(["tar", "--create", "--file", folder / "base.tar", "--exclude=./dev/*", "--exclude=./proc/*",
                        "--exclude=./var/cache/apt/*", "--directory", base, "."], check=True)  # fmt: skip
        shutil.rmtree(base)
        (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        buildah = Buildah(folder)
        buildah.build(folder / "Dockerfile", folder, "base")
        (folder / "base.tar").unlink()
        buildah.build(DOCKERFILE, ROOT, "gatepass", "--build-arg=BASE=localhost/base")
        container = buildah("from", *buildah.policy, "--pull-never", "localhost/gatepass").strip()
        root = Path(buildah("mount", container).strip())
        config = json.loads(buildah("inspect", "--type", "image", "localhost/gatepass"))["Docker"]["config"]
        for name in ("etc/gatepass", "run/secrets"):
            (root / name).mkdir(parents=True, exist_ok=True)
        yield Image(root, config)
    finally:
        shutil.rmtree(folder)


def _index(file: Path) -> None:
    """Let pip in the image ask where this machine's does, where its environment says so."""
    config = configparser.ConfigParser()
    config.read(file)
    names = {"PIP_INDEX_URL": "index-url", "PIP_EXTRA_INDEX_URL": "extra-index-url"}
    found = {key: os.environ[name] for name, key in names.items() if name in os.environ}
    config["global"] = {**(config["global"] if config.has_section("global") else {}), **found}
    with file.open("w") as opened:
        config.write(opened)


# ------------------------------------------------------------------------- it runs


@dataclass
class Container:
    """The image that runs: the process is the first of its own namespace."""

    running: Running
    state: Path

    @property
    def process(self) -> int:
        of = self.running.process.pid
        return int(eventually(Path(f"/proc/{of}/task/{of}/children").read_text).split()[0])

    def stop(self) -> int:
        os.kill(self.process, signal.SIGTERM)
        return self.running.process.wait(60)


@contextmanager
def running(
    image: Image, home: Path, *arguments: str, alone: bool = False, owner: tuple[int, int] = (USER, USER), **env: str
) -> Iterator[Container]:
    """Its own entry point with these arguments, else with its own; `alone` in a network that is its own.

    `owner` has the volume that is written to; where it is not the user, its group has.
    """
    state, chroot = home / "state", need("chroot")
    state.mkdir(exist_ok=True)
    os.chown(state, *owner)
    state.chmod(0o755 if owner[0] == USER else 0o2777)
    kinds = ["--mount", "--pid", "--fork", "--kill-child", *(["--net"] if alone else [])]
    loopback = f"{need('ip')} link set lo up\n" if alone else ""
    command: list[str | Path] = [need("unshare"), *kinds, "/bin/sh", "-c", f"{loopback}{ENTER}", "sh"]
    command += [image.root, home / "given", home / "secrets", state, chroot]
    command += [*image.config["Entrypoint"], *(arguments or image.config["Cmd"])]
    path = f"{image.env['PATH']}:/usr/sbin:/sbin"
    with background(command, image.env | {"PATH": path} | env, home) as started:
        try:
            yield Container(started, state)
        finally:
            if started.process.poll() is None:  # `unshare` itself lets no SIGTERM through
                Container(started, state).stop()
    assert "Traceback" not in started.output, started.output
    assert DEFAULT_TOKEN not in started.output


@pytest.fixture
def home(github: StandIn, tmp_path: Path) -> Path:
    """What is handed to the container: rules and a CA to trust, secrets on a mount whose modes are not its own."""
    given, secrets = tmp_path / "given", tmp_path / "secrets"
    given.mkdir()
    secrets.mkdir()
    (given / "rules.yaml").write_text(
        f"version: 1\nforges: [{{web: '{github.web}'}}]\n"
        "clients: {ci: {password: [file:/run/secrets/ci-password]}}\negress: {private: [127.0.0.0/8]}\n"
        f"credentials: {{github: {{from: [file:/run/secrets/github-token], hosts: ['{github.web}']}}}}\n"
        f"rules: [{{match: '{github.web}/*', resolve: github-release, credential: github}}]\n"
    )
    shutil.copy(github.ca_file, given / "upstream.pem")
    for name, secret in (("github-token", DEFAULT_TOKEN), ("ci-password", PASSWORD)):
        (secrets / name).write_text(secret)
    for file in (*given.iterdir(), *secrets.iterdir()):
        file.chmod(0o644)
    return tmp_path


def test_what_is_in_it(image: Image) -> None:
    """Gatepass with its extra for metrics; neither pip nor what builds; every package is one of the lock."""
    lock = (ROOT / "deploy" / "container" / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    folder = next((image.root / "opt/gatepass/lib").glob("python3*/site-packages"))
    found = dict(each.name.removesuffix(".dist-info").rsplit("-", 1) for each in folder.glob("*.dist-info"))
    found = {re.sub(r"[._-]+", "-", name).lower(): version for name, version in found.items()}
    assert found.pop("gatepass")
    assert {name: version for name, version in found.items() if locked.get(name) != version} == {}
    assert {"mitmproxy", "prometheus-client"} <= found.keys()
    assert not {"pip", "hatchling"} & found.keys()
    assert (image.config["User"], image.config.get("StopSignal", "SIGTERM")) == (f"{USER}:{USER}", "SIGTERM")
    assert [image.config["Entrypoint"], image.config["Healthcheck"]["Test"][0]] == [
        ["/opt/gatepass/bin/gatepass"],
        "CMD",
    ]


def test_it_serves(image: Image, github: StandIn, home: Path) -> None:
    """A private asset arrives; the CA is kept beyond the container, in the only place but /tmp that is written to; the
    kubelet, which names the pod's address as the host, is answered; SIGTERM ends it in order.
    """
    releases = [Release("v1.0", [Asset("tool.bin", b"content")])]
    github.repositories.append(Repository("acme", "contained", releases=releases))
    url = github.download_url("acme/contained", "v1.0", "tool.bin")
    seen = []
    for _ in range(2):
        port, admin = free_port(), free_port()
        arguments = [*image.config["Cmd"]]
        for option, address in (("--listen", f"0.0.0.0:{port}"), ("--admin", f"0.0.0.0:{admin}")):
            arguments[arguments.index(option) + 1] = address
        with running(image, home, *arguments, SSL_CERT_FILE="/etc/gatepass/upstream.pem") as container:
            eventually(partial(status, f"http://127.0.0.1:{admin}/readyz"))
            assert status(f"http://127.0.0.1:{admin}/readyz") == 200, container.running.output
            bundle = container.state / "ca" / "gatepass-bundle.pem"
            variables = environment.for_client(f"http://ci:{PASSWORD}@127.0.0.1:{port}", bundle, bundle, {})
            assert Client(home, variables).fetch(url, "-L").body == b"content"
            named = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: 10.1.2.3:9090"]
            for path in ("healthz", "readyz", "metrics"):
                asked = call([*named, f"http://127.0.0.1:{admin}/{path}"], clean_environment())
                assert asked.output == "200"
            owner = Path(f"/proc/{container.process}/status").read_text()
            assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", owner, re.MULTILINE)
            assert re.search(r"^CapEff:\t0+$", owner, re.MULTILINE)
            seen.append((container.state / "ca" / "mitmproxy-ca-cert.pem").read_text())
            assert container.stop() == 0
    assert seen[0] == seen[1]
    assert {each.name for each in (home / "state").iterdir()} == {"ca", "run"}  # where `gatepass env` looks
    assert list((home / "state" / "run").iterdir()) == []
    assert strays(github, DEFAULT_TOKEN) == []


def test_the_pod_of_kubernetes(image: Image, github: StandIn, home: Path) -> None:
    """The Deployment's containers, one after the other, on volumes as the kubelet makes them: the Secret's CA is the
    one that vouches, the Secret's credentials are accepted, audit lines come on the standard output.
    """
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "deployment.yaml").read_text())
    pod = next(iter(documents))["spec"]["template"]["spec"]
    rules = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "configmap.yaml").read_text())["data"]["rules.yaml"]
    rules = rules.replace("[github.com]", f"['{github.web}']").replace("github.com", github.web)
    (home / "given" / "rules.yaml").write_text(
        f"{rules}forges: [{{web: '{github.web}'}}]\negress: {{private: [127.0.0.0/8]}}\n"
    )
    made = authority.create(home / "made", [Host.parse(github.web)])
    for name, files in (
        ("gatepass", {"github-token": DEFAULT_TOKEN, "ci-password": PASSWORD}),
        ("gatepass-ca", {authority.CA_FILE: (home / "made" / authority.CA_FILE).read_text()}),
    ):
        data = home / "secrets" / name / "..2026"
        data.mkdir(parents=True)
        (home / "secrets" / name / "..data").symlink_to(data.name)
        for file, text in files.items():
            (data / file).write_text(text)
            (data / file).chmod(0o440)
            os.chown(data / file, 0, USER)
            (home / "secrets" / name / file).symlink_to(f"..data/{file}")
    github.repositories.append(
        Repository("your-company", "pod", releases=[Release("v1.0", [Asset("tool.bin", b"content")])])
    )
    url = github.download_url("your-company/pod", "v1.0", "tool.bin")

    (initial,), (container,) = pod["initContainers"], pod["containers"]
    before = Image(image.root, image.config | {"Entrypoint": initial["command"][:1]})
    with running(before, home, *initial["command"][1:], owner=(0, USER)) as first:
        assert first.running.process.wait(60) == 0, first.running.output
    port, admin = free_port(), free_port()
    arguments = [each.replace(":8080", f":{port}").replace(":9090", f":{admin}") for each in container["args"]]
    arguments = [re.sub(r"(?<=--drain-delay=)\d+", "1", each) for each in arguments]
    with running(image, home, *arguments, owner=(0, USER), SSL_CERT_FILE="/etc/gatepass/upstream.pem") as second:
        eventually(partial(status, f"http://127.0.0.1:{admin}/readyz"))
        ca = home / "client.pem"
        ca.write_text(made.pem + github.ca_file.read_text())
        variables = environment.for_client(f"http://ci:{PASSWORD}@127.0.0.1:{port}", ca, ca, {})
        assert Client(home, variables).fetch(url, "-L").body == b"content"
        told = second.running.wait_for(r'(?m)^\{.*"url".*\}$')
        assert json.loads(told[0])
        assert second.stop() == 0
    assert strays(github, DEFAULT_TOKEN) == []


def test_its_own_command_and_health_check(image: Image, home: Path) -> None:
    """As it is, it listens where it says, and its health check, which is Python's alone, finds it well; one that hangs
    it does not.
    """
    check = image.config["Healthcheck"]["Test"][1:]
    with running(image, home, alone=True) as container:
        enter = [need("nsenter"), f"--target={container.process}", "--mount", "--net", "--pid", "--root", "--wd"]
        inside: list[str | Path] = [*enter, f"--setuid={USER}", f"--setgid={USER}", *check]
        env = image.env | {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        container.running.wait_for("listening")
        eventually(lambda: call(inside, env).code == 0)
        os.kill(container.process, signal.SIGSTOP)
        begun = time.monotonic()
        hung = call(inside, env).code
        assert time.monotonic() - begun < 8
        os.kill(container.process, signal.SIGCONT)
        eventually(lambda: call(inside, env).code == 0)
        listening = call(
            [*enter, "/opt/gatepass/bin/python", "-I", "-c", "print(open('/proc/self/net/tcp').read())"], env
        )
        for port in (8080, 9090):
            assert f"00000000:{port:04X} 00000000:0000 0A" in listening.output
        assert container.stop() == 0
    assert hung == 1


def test_a_shell_is_not_there(image: Image, home: Path) -> None:
    """The namespace in which all this runs starts no shell, and writes to no place but two."""
    program = (
        "import os, subprocess\n"
        "for place in ('/', '/etc/gatepass', '/opt/gatepass', '/run/secrets', '/tmp', '/var/lib/gatepass'):\n"
        "    try:\n        open(f'{place}/x', 'w'); print('written', place)\n"
        "    except OSError as error: print(error.errno, place)\n"
        "try: subprocess.run(['/bin/sh', '-c', 'echo shell'])\n"
        "except OSError as error: print(error.errno, 'sh')\n"
    )
    of = Image(image.root, image.config | {"Entrypoint": ["/opt/gatepass/bin/python", "-I"]})
    with running(of, home, "-c", program) as container:
        assert container.running.process.wait(60) == 0
    written = [line for line in container.running.output.splitlines() if line.startswith("written")]
    assert written == ["written /tmp", "written /var/lib/gatepass"]
    assert "13 sh" in container.running.output
    (home / "state" / "x").unlink()
