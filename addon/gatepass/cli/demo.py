"""`gatepass demo`: the whole of it on this machine, before an embedded stand-in for GitHub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepass import files
from gatepass.demo import package
from gatepass.demo.standin import Asset, Release, Repository, StandIn
from gatepass.errors import GatepassError, why
from gatepass.forge.hosts import OWN
from gatepass.shell import tempdir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatepass.demo.standin import Recorded

_RULES = """\
version: 1
forges:
  - web: {web}
    api: {api}
credentials:
  demo:
    from: [env:DEMO_TOKEN]
    hosts: ["{web}"]
rules:
  - name: private releases
    match: {web}/*/releases/download/*
    resolve: github-release
    credential: demo
  - name: the API, for who holds a placeholder
    match: {web}/api/v3/repos/acme/tool
    resolve: github-api
    credential: demo
    placeholder: [GH_ENTERPRISE_TOKEN]
"""
_AGENT = """import json, os, urllib.error, urllib.request

token = os.environ["GH_ENTERPRISE_TOKEN"]
print(f"this program holds {{token[:16]}}…, and {{'a' if 'DEMO_TOKEN' in os.environ else 'no'}} token")
for path in ("/repos/acme/tool/releases", "/user"):
    request = urllib.request.Request("{api}" + path, headers={{"Authorization": "Bearer " + token}})
    try:
        with urllib.request.urlopen(request) as response:
            print(f"GET {{path}}: {{', '.join(each['tag_name'] for each in json.load(response))}}")
    except urllib.error.HTTPError as error:
        print(f"GET {{path}}: {{json.load(error)['title']}}")
"""
_PROJECT = """\
[project]
name = "app"
version = "0"
requires-python = ">=3.12"
dependencies = []
"""
_SOURCE = """\
[[tool.uv.index]]
name = "acme"
url = "{index}"
explicit = true

[tool.uv.sources]
acme-tool = {{ index = "acme" }}
"""
_PATIENCE = 10.0
"""Seconds, for a command that was interrupted to end."""
_PLACES = {"web": "web  ", "api": "API  ", "asset": "asset"}


@click.command()
def demo() -> None:
    """Show a private wheel reach uv, before an embedded stand-in for GitHub: no account, no network, no root."""
    uv = _uv()
    wheel, sdist = package.wheel("acme_tool", "1.0"), package.sdist("acme_tool", "1.0")
    private = Repository("acme", "tool", releases=[Release("v1.0", [Asset(f.name, f.content) for f in (wheel, sdist)])])
    with tempdir.private() as folder, StandIn([private]) as github:
        _Demo(github, folder, uv).show(wheel.name, sdist.name)


def _uv() -> str:
    """The uv that started this, or lies beside this Python, or is on the PATH.

    A name on the PATH may be a shim that works in some folders alone, as pyenv's does: it comes last.
    """
    places = (os.environ.get("UV"), str(Path(sys.executable).with_name("uv")), "uv")
    found = next((found for place in places if place and (found := files.program(place, os.environ))), None)
    if found is not None:
        return str(Path(found).absolute())
    raise GatepassError(
        "demo: there is no `uv`: not where $UV says, not beside this Python, not on the PATH",
        "`python3 -m venv .uv && .uv/bin/pip install uv`, then `UV=.uv/bin/uv gatepass demo`",
    )


class _Demo:
    def __init__(self, github: StandIn, folder: Path, uv: str) -> None:
        self._github = github
        self._folder = folder
        self._uv = uv
        rules = folder / "rules.yaml"
        rules.write_text(_RULES.format(web=github.web, api=github.api), encoding="utf-8")
        self._rules = rules
        # uv sees the stand-in's CA, a cache of its own, and none of the user's settings
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("UV_", "SSL_"))}
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "VIRTUAL_ENV"):
            kept.pop(name, None)
        self._env = kept | {
            "SSL_CERT_FILE": str(github.ca_file),
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": sys.executable,
            "UV_NO_PROGRESS": "1",
        }

    def show(self, wheel: str, sdist: str) -> None:
        click.echo(f"A stand-in for GitHub listens on {self._github.web}. It holds the private repository acme/tool,")
        click.echo(f"whose release v1.0 has {wheel} and {sdist}.")
        self._call(["uv", "venv", "--quiet", "venv"], expect=0)
        url, source = (self._github.download_url("acme/tool", "v1.0", name) for name in (wheel, sdist))
        install = ["uv", "pip", "install", "--python", "venv"]

        self._step("uv alone: GitHub says 404, as if the file did not exist")
        self._call([*install, f"acme-tool @ {url}"], expect=1)
        self._requests()

        self._step("the same under `gatepass run`: the wheel is installed")
        proxied = ["gatepass", "run", "--rules", "rules.yaml", "--"]
        self._call([*proxied, *install, f"acme-tool @ {url}"], expect=0)
        self._requests()

        self._step("and the sdist")
        self._call([*proxied, *install, "--reinstall", f"acme-tool @ {source}"], expect=0)
        self._requests()

        self._step("it is there")
        python = self._folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self._call([str(python), "-c", "import acme_tool; print('acme_tool', acme_tool.__version__)"], expect=0)
        self._index(proxied)
        self._agent(proxied)
        click.echo(f"\nFor real: {click.style('GH_TOKEN=… gatepass run -- uv sync', bold=True)}")

    def _index(self, proxied: Sequence[str]) -> None:
        """The releases of the repository, as a package index for a project."""
        index = f"https://{OWN}/{self._github.web}/acme/tool/simple/"
        self._step("the releases are a package index, too: `uv add` takes what is there, and its hash into the lock")
        project = self._folder / "project"
        project.mkdir()
        text = f"{_PROJECT}\n{_SOURCE.format(index=index)}"
        (project / "pyproject.toml").write_text(text, encoding="utf-8")
        for line in _SOURCE.format(index=index).splitlines():
            click.echo(f"  {line}" if line else "")
        # uv leaves a lock of the project there
        self._env |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(self._folder))
        self._call([*proxied, "uv", "add", "--project", "project", "acme-tool"], expect=0)
        self._requests()
        for line in (project / "uv.lock").read_text(encoding="utf-8").splitlines():
            if "releases/download" in line:
                click.echo(f"  {line.strip()}")

    def _agent(self, proxied: Sequence[str]) -> None:
        """The API, as gh would ask it, for a program that holds a placeholder."""
        self._step("a program that holds a placeholder reads the API of that repository, and nothing else")
        (self._folder / "agent.py").write_text(_AGENT.format(api=self._github.api), encoding="utf-8")
        self._call([*proxied, "python", "agent.py"], expect=0)
        self._requests()

    @staticmethod
    def _step(text: str) -> None:
        click.secho(f"\n# {text}", bold=True)

    def _call(self, command: Sequence[str], expect: int) -> None:
        """Show a command, run it, show its output; it must end as it is said to."""
        shown = " ".join(f"'{part}'" if " " in part else part for part in command)
        click.echo(f"$ {shown.replace(str(self._folder), '.')}")
        programs = {"uv": [self._uv], "gatepass": [sys.executable, "-m", "gatepass"], "python": [sys.executable]}
        try:
            code, output = self._run([word for part in command for word in programs.get(part, [part])])
        except OSError as error:
            raise GatepassError(f"demo: cannot run `{error.filename}`: {why(error)}") from None
        for line in output.splitlines():
            click.echo(f"  {line}")
        if (code == 0) != (expect == 0):
            raise GatepassError(f"demo: expected this to end with {expect}, got {code}")

    def _run(self, command: Sequence[str]) -> tuple[int, str]:
        """Its exit code, and what it said."""
        with subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._env | {"DEMO_TOKEN": self._github.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                output, _ = process.communicate()
            finally:
                process.terminate()  # where it is interrupted: what is killed outright could not tidy up
                process.wait(_PATIENCE)
        return process.returncode, output

    def _requests(self) -> None:
        """Show what reached the stand-in since the last time."""
        for request in self._github.calls():
            click.echo(f"  {_PLACES[request.role]} {_line(request)}")
        self._github.forget()


def _line(request: Recorded) -> str:
    """One request, its signature cut and its token only mentioned."""
    path, _, signature = request.target.partition("?")
    shown = path if len(path) <= 70 else f"{path[:69]}…"
    notes = [
        *(["signed URL"] if "X-Amz-" in signature else []),
        *(["with token"] if "authorization" in request.headers else []),
        *([request.headers["range"]] if "range" in request.headers else []),
    ]
    return f"{request.method:4} {shown} → {request.status}" + (f"  ({', '.join(notes)})" if notes else "")
