"""The composite GitHub Action: its steps as action.yml has them, run as the runner would."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from gatepass import files
from gatepass.demo.standin import DEFAULT_TOKEN, Token
from gatepass.shell import environment
from gatepass.trust import bundles
from harness import BIN, DEADLINE, ROOT, UV, Client, call, clean_environment, eventually, strays
from pages import block
from shells import read_environment_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gatepass.demo.standin import StandIn

ACTION: Final = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: Final = ACTION["runs"]["steps"]
INSTALL: Final = STEPS[0]
LOCK: Final = ROOT / "deploy" / "action" / "requirements.lock"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the action is for Linux and macOS")


@dataclass
class Job:
    """A job on a runner: its folders, its environment, and what its steps printed.

    Runs a step as `shell: bash` does (GitHub's workflow syntax, `jobs.<job_id>.steps[*].shell`).
    """

    folder: Path
    env: dict[str, str]
    log: str = ""
    tracking: str = field(default_factory=lambda: f"github_{uuid.uuid4()}")

    def __post_init__(self) -> None:
        for place in (self.workspace, self.temp, self.home):
            place.mkdir()

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def temp(self) -> Path:
        return self.folder / "temp"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def use(self, steps: list[dict[str, Any]], inputs: Mapping[str, str]) -> int:
        """Run the action's steps until one fails; the code of the last."""
        values = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | dict(inputs)
        code = 0
        for step in steps:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an input that is put into a script is run as one"
            code = self.step(step["run"], {name: expand(text, values) for name, text in step.get("env", {}).items()})
            if code != 0:
                break
        return code

    def step(self, script: str, env: Mapping[str, str]) -> int:
        file, env_file, path_file = (self.temp / f"{name}-{uuid.uuid4()}" for name in ("script", "env", "path"))
        file.write_text(script)
        env_file.touch()
        path_file.touch()
        given = {
            "CI": "true",
            "HOME": str(self.home),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TRACKING_ID": self.tracking,
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_ENV": str(env_file),
            "GITHUB_PATH": str(path_file),
            "GITHUB_WORKSPACE": str(self.workspace),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            env={**given, **self.env, **env},
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE * 2,  # it lasts as long as anything holds its output
            check=False,
        )
        self.log += done.stdout
        self.env |= read_environment_file(env_file.read_text())
        for added in path_file.read_text().splitlines():
            self.env["PATH"] = f"{added}{os.pathsep}{self.env['PATH']}"
        return done.returncode

    def processes(self) -> dict[int, tuple[str, str]]:
        """The arguments and the environment of each process that the job started and that still runs."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                arguments, environ = ((place / name).read_text(errors="replace") for name in ("cmdline", "environ"))
            except OSError:  # it has ended
                continue
            if self.tracking in environ:
                found[int(place.name)] = (arguments, environ)
        return found

    def end(self) -> None:
        """What the runner does when the last step is done: end all that has the job's RUNNER_TRACKING_ID."""
        for process in self.processes():
            os.kill(process, signal.SIGKILL)
        eventually(lambda: not self.processes())


def expand(text: str, inputs: Mapping[str, str]) -> str:
    """An expression of the runner's, as far as action.yml uses them."""
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], text)


@pytest.fixture
def job(github: StandIn, rules: Path, tmp_path: Path) -> Iterator[Job]:
    """A job whose workspace has rules for the stand-in, on a runner that trusts it."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc here")
    # the runner's own trust stays, for the installation
    ca = bundles.combine(bundles.shell_bundle(os.environ), github.ca_file.read_text())
    bundle = files.write(tmp_path / "trusted.pem", ca)
    env = clean_environment(SSL_CERT_FILE=str(bundle))
    env.pop("HOME")
    # and has a Python on its PATH, which uv would fetch otherwise
    base = Path(sys.base_prefix) / "bin"
    env["PATH"] = f"{env['PATH']}{os.pathsep}{base}"
    env["UV_CACHE_DIR"] = subprocess.run(
        [UV, "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    job = Job(tmp_path, env)
    (job.workspace / "company.yaml").write_text(rules.read_text().replace("STANDIN_TOKEN", "GH_TOKEN"))
    # what lies there by chance must not decide where the token goes
    (job.workspace / "rules.yaml").write_text("no rules at all")
    yield job
    job.end()


@pytest.fixture
def installed(job: Job) -> Job:
    """The job after the installation, which is this checkout's for tests of what follows."""
    place = job.temp / "gatepass" / "bin"
    place.mkdir(parents=True)
    (place / "gatepass").symlink_to(BIN / "gatepass")
    job.env["PATH"] = f"{place}{os.pathsep}{job.env['PATH']}"
    return job


def files_with(text: str, *places: Path) -> list[Path]:
    found = (path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in found if text.encode() in path.read_bytes()]


# ------------------------------------------------------------------- the job


@pytest.mark.slow
def test_a_job(job: Job, github: StandIn, wheel_url: str, tmp_path: Path) -> None:
    """The action's steps give the next step's uv a private wheel; it holds no token, and nothing lies about.

    The token is in the environment of the server, and in no other place: no file, no argument, no output.
    """
    token = "ghp_ofThisTestAlone"  # the package that is installed holds the stand-in's usual one
    github.tokens.append(Token(token))
    job.env.pop("PYTHONPATH", None)  # what is installed is what runs
    assert job.use(STEPS, {"token": token, "rules": "company.yaml"}) == 0, job.log
    holders = [arguments for arguments, environ in job.processes().values() if token in environ]
    assert len(holders) == 1
    assert "\0serve\0" in holders[0]
    assert not any(token in arguments for arguments, _ in job.processes().values())
    assert token not in "".join(job.env.values())
    assert set(environment.NAMES) - set(environment.NO_PROXY) <= set(job.env)

    code = job.step(f"uv pip install --no-cache --target site 'acme-tool @ {wheel_url}'", {})
    assert code == 0, job.log
    assert (job.workspace / "site" / "acme_tool.py").exists()
    assert job.step("gatepass --version", {}) == 0
    assert token not in job.log
    assert files_with(token, tmp_path) == []
    assert strays(github, token) == []

    assert len(job.processes()) == 1
    job.end()
    assert job.step("gatepass env", {"XDG_RUNTIME_DIR": str(job.temp / "gatepass")}) == 1


def without_uv(job: Job, python: Path) -> None:
    """Let the job's PATH have this Python, and no uv."""
    place = job.folder / "python"
    place.mkdir()
    (place / "python3").symlink_to(python)
    job.env["PATH"] = f"{place}:/usr/bin:/bin"


@pytest.mark.slow
@pytest.mark.parametrize("has_uv", [True, False], ids=["uv", "pip"])
def test_a_hostile_workspace(job: Job, has_uv: bool) -> None:
    """By uv, or without it by the runner's Python, it is installed; nothing that lies in the workspace has a say.

    Nothing but `gatepass` comes on the PATH, and what it needs is as the lock has it.
    """
    for module in ("venv", "pip", "ensurepip", "hatchling", "gatepass", "sitecustomize", "sys", "encodings"):
        (job.workspace / f"{module}.py").write_text("print('owned')\nraise SystemExit(3)\n")
    (job.workspace / ".python-version").write_text("2.7\n")
    (job.workspace / "uv.toml").write_text('no-index = true\npython-preference = "only-managed"\n')
    (job.workspace / "pyproject.toml").write_text('[project]\nname = "owned"\n[tool.uv]\nmanaged = 7\n')
    if not has_uv:
        without_uv(job, Path(sys.executable))
    job.env.pop("PYTHONPATH", None)
    assert job.use([INSTALL], {"token": "unused"}) == 0, job.log
    place = Path(job.env["PATH"].split(os.pathsep)[0])
    assert [path.name for path in place.iterdir()] == ["gatepass"]
    assert job.step("gatepass --version", {}) == 0, job.log
    assert "owned" not in job.log
    listed = call(
        [UV, "pip", "list", "-q", "--format=json", "--python", job.temp / "gatepass" / "venv"], clean_environment()
    )
    versions = {each["name"]: each["version"] for each in json.loads(listed.output)}
    assert versions["gatepass"] == PROJECT["project"]["version"]
    assert {f"{name}=={versions[name]}" for name in versions.keys() - {"gatepass", "pip"}} <= pins(LOCK).keys()
    assert "pytest" not in versions


def test_no_python_that_is_new_enough(job: Job) -> None:
    """Without uv, and with a Python that is too old, the step says what it expects."""
    old = job.folder / "old"
    old.write_text("#!/bin/sh\nexit 1\n")  # as any older Python answers the question
    old.chmod(0o755)
    without_uv(job, old)
    assert job.use([INSTALL], {"token": "unused"}) == 1
    assert job.log.startswith("::error title=Gatepass::expected uv, or Python 3.12 or newer, got neither")


def test_the_version_to_install(job: Job, tmp_path: Path) -> None:
    """With `version` it is that version from the package index; without, the checkout that the action is in.

    All else is installed by the lock's hashes, first; and nothing is built with what the lock has not.
    """
    place = tmp_path / "recorder"
    place.mkdir()
    (place / "uv").write_text('#!/bin/sh\necho "uv $*"\n')
    (place / "uv").chmod(0o755)
    job.env["PATH"] = f"{place}{os.pathsep}{job.env['PATH']}"
    assert job.use([INSTALL], {"token": "unused", "version": "1.2.3"}) == 0, job.log
    assert job.use([INSTALL], {"token": "unused"}) == 0, job.log
    installs = [line for line in job.log.splitlines() if line.startswith("uv pip install ")]
    assert [line.split()[-1] for line in installs] == [str(LOCK), "gatepass==1.2.3", str(LOCK), str(ROOT)]
    assert all("--require-hashes" in line for line in installs[::2])
    assert all("--no-deps --no-build-isolation" in line for line in installs[1::2])


def pins(lock: Path) -> dict[str, list[str]]:
    """What a lock pins, as `name==version`, and the hashes of each."""
    found = re.findall(r"^([\w.-]+==\S+).*\n((?: +--hash=.*\n)+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {pin: re.findall(r"--hash=(\S+)", hashes) for pin, hashes in found}


def test_the_actions_lock() -> None:
    """What the action installs is a part of what CI has tested, hash by hash; what builds the package is in it."""
    ours, whole = pins(LOCK), pins(ROOT / "requirements.lock")
    assert {pin: whole.get(pin) for pin in ours} == ours
    names = {pin.partition("==")[0] for pin in ours}
    assert names >= {re.split(r"[\[<>=]", each)[0].lower() for each in PROJECT["project"]["dependencies"]}
    assert "hatchling" in names
    assert "pytest" not in names


def test_windows(job: Job) -> None:
    """A runner that it is not made for is told at once."""
    job.env["RUNNER_OS"] = "Windows"
    assert job.use(STEPS, {"token": DEFAULT_TOKEN}) == 1
    assert job.log == "::error title=Gatepass::expected a runner with Linux or macOS, got Windows\n"


# --------------------------------------------------------------- what may fail


@pytest.mark.slow
def test_without_rules(installed: Job) -> None:
    """Without `rules` they are those of the action's checkout, whatever lies in the workspace."""
    assert installed.use(STEPS[1:], {"token": DEFAULT_TOKEN}) == 0, installed.log
    assert "for github.com" in (installed.temp / "gatepass" / "serve.log").read_text()


def test_started_twice(installed: Job) -> None:
    """A second time in one job is an error that says what to do instead; the first goes on."""
    inputs = {"token": DEFAULT_TOKEN, "rules": "company.yaml"}
    assert installed.use(STEPS[1:], inputs) == 0, installed.log
    before = set(installed.processes())
    assert installed.use(STEPS[1:], inputs) == 1
    assert "::error title=Gatepass::it runs already" in installed.log
    assert set(installed.processes()) == before


def test_wrong_rules(installed: Job) -> None:
    """When the server does not start, the step fails at once, with what the server said, which commands nothing."""
    (installed.workspace / "wrong.yaml").write_text("version: 2\n")
    assert installed.use(STEPS[1:], {"token": DEFAULT_TOKEN, "rules": "wrong.yaml"}) == 1
    assert re.search(
        r"::error title=Gatepass::`gatepass serve` did not start\n::stop-commands::(\d+)\n(.*\n)+::\1::\n$",
        installed.log,
    )
    assert "wrong.yaml:1" in installed.log
    assert DEFAULT_TOKEN not in installed.log
    assert installed.processes() == {}


def test_no_token(installed: Job) -> None:
    """An empty token, such as that of a secret which is not there, is an error."""
    assert installed.use(STEPS[1:], {"token": ""}) == 1
    assert "expected a token in the input `token`, got nothing" in installed.log
    assert installed.processes() == {}


def test_a_server_that_is_never_ready(installed: Job) -> None:
    """A server that does not listen in time is ended, and the step fails."""
    program = installed.temp / "gatepass" / "bin" / "gatepass"
    program.unlink()
    program.write_text('#!/bin/sh\n[ "$1" = serve ] || exit 1\necho waiting\nexec sleep 60\n')
    program.chmod(0o755)
    installed.env["GATEPASS_DEADLINE"] = "1"
    assert installed.use(STEPS[1:], {"token": DEFAULT_TOKEN}) == 1
    assert "`gatepass serve` was not ready in time" in installed.log
    assert "\nwaiting\n" in installed.log
    eventually(lambda: not installed.processes())


# -------------------------------------------------------------- what is written


def test_the_metadata() -> None:
    """Each input is described, used, and none that is unknown is used; only the step that starts it sees the token."""
    inputs = ACTION["inputs"]
    assert {name: spec["required"] for name, spec in inputs.items()} == {
        "token": True,
        "rules": False,
        "version": False,
    }
    assert all(spec["description"] for spec in (ACTION, *inputs.values()))
    used = [re.findall(r"inputs\.(\w+)", str(step)) for step in STEPS]
    assert used == [["version"], ["token", "rules"], []]
    assert ACTION["runs"]["using"] == "composite"


def test_the_workflow_that_is_shown() -> None:
    """The workflow on the page uses the action with inputs that it has, and gives those that it needs."""
    (step,) = (step for step in yaml.safe_load(block("yml", "steps:"))["steps"] if "/gatepass@" in step.get("uses", ""))
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert {name for name, spec in ACTION["inputs"].items() if spec["required"]} <= set(step["with"])


def test_the_scripts_are_sound(tmp_path: Path) -> None:
    """The scripts parse, and a plain client of theirs needs no more than bash 3.2, which macOS has."""
    for script in (ROOT / "deploy" / "action").glob("*.sh"):
        assert Client(tmp_path, {}).run("bash", "-n", script).code == 0
        assert not re.search(r"mapfile|readarray|declare -A|\$\{\w+[,^]{1,2}\}|setsid|timeout ", script.read_text())
