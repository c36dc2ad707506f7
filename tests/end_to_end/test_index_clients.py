"""Real clients before an index that is a plain web server of its own: uv and pip, and what they cost the API.

The server here is the smallest that there is: it hands requests to the index, and writes what that answers.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from httpx2 import Headers

from gatepass.assets.answers import Answer
from gatepass.assets.delivery import plan
from gatepass.assets.resolver import Resolver
from gatepass.credentials.store import Credentials
from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository
from gatepass.github.client import GitHub
from gatepass.index.answers import PackageIndex, Request, Told
from gatepass.rules.parser import parse
from harness import strays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from harness import Client

pytestmark = pytest.mark.slow  # real clients, each with packages to get

RULES = """\
version: 1
forges: [{web: "%(web)s", api: "%(api)s"}]
credentials: {mine: {from: [env:MINE], hosts: ["%(web)s"]}}
rules: [{match: "%(web)s/acme/*/releases/download/*", resolve: github-release, credential: mine}]
indexes: {acme: {repositories: ["%(web)s/acme/*"], credential: mine}}
"""


@dataclass
class Served:
    """The index at a URL of its own; `asked` are the requests that it had, with their answers' status.

    `passed` are seconds by which its clock is ahead.
    """

    url: str = ""
    passed: float = 0
    asked: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {"UV_DEFAULT_INDEX": f"{self.url}/acme/simple/"}

    def paths(self) -> list[str]:
        """What was asked since this was called the last time."""
        asked, self.asked[:] = self.asked[:], []
        return asked


@contextmanager
def serving(standin: StandIn) -> Iterator[Served]:
    served = Served()
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        github = GitHub(ssl.create_default_context(cafile=standin.ca_file))
        rules = parse(RULES % {"web": standin.web, "api": standin.api})
        credentials = Credentials({"MINE": DEFAULT_TOKEN}, github)
        index = PackageIndex(credentials, github, rules, lambda: time.time() + served.passed)
        resolver = Resolver(credentials, github, rules)

        async def answer(method: str, path: str, headers: Headers) -> Answer:
            told = await index.answer(Request(method, path, headers, in_place=True))
            if isinstance(told, Told):
                return told.answer
            source = await resolver.resolve(told.decision)
            assert source is not None
            found = await plan(resolver, source, method, headers)
            assert isinstance(found, Answer)
            return found

        async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                    line, *fields = head.split("\r\n")[:-2]
                    method, path, _ = line.split(" ")
                    pairs = (each.partition(": ") for each in fields)
                    headers = Headers([(name, value) for name, _, value in pairs])
                    found = await answer(method, path.partition("?")[0], headers)
                    served.asked.append(f"{method} {path} {found.status}")
                    lines = [
                        f"HTTP/1.1 {found.status} x",
                        *(f"{name}: {value}" for name, value in found.headers.items()),
                    ]
                    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + found.content)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(exchange, "127.0.0.1", 0)
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        loops.append(asyncio.get_running_loop())
        started.set()
        await stop.wait()
        server.close()
        await index.close()
        credentials.close()
        await github.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield served
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)
    assert strays(standin, DEFAULT_TOKEN) == []


@pytest.fixture
def served(github: StandIn) -> Iterator[Served]:
    with serving(github) as served:
        yield served


def release(name: str, version: str, published: datetime | None = None, **more: Any) -> Release:
    files = (package.wheel(name, version), package.sdist(name, version))
    assets = [Asset(file.name, file.content) for file in files]
    return Release(f"{name}-v{version}", assets, published_at=published, **more)


@pytest.fixture
def tool(github: StandIn) -> Repository:
    """`acme/tool`, private: `acme_tool` 1.0 of January, and 2.0 of June."""
    releases = [
        release("acme_tool", "1.0", datetime(2026, 1, 10, tzinfo=UTC)),
        release("acme_tool", "2.0", datetime(2026, 6, 10, tzinfo=UTC)),
    ]
    tool = Repository("acme", "tool", releases=releases)
    github.repositories.append(tool)
    return tool


def project(client: Client, *dependencies: str) -> None:
    text = ", ".join(f'"{dependency}"' for dependency in dependencies)
    (client.home / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = [{text}]\n'
    )


def locked(client: Client) -> str:
    return (client.home / "uv.lock").read_text()


def test_uv_add_and_lock_again(served: Served, outsider: Client, github: StandIn, tool: Repository) -> None:
    """`uv add` from the index takes the newest version, and its hash into the lock; `uv lock` again asks the API for
    nothing, and gets 304; `uv lock --upgrade` finds a new release.
    """
    project(outsider)
    result = outsider.uv("add", "--index", f"acme={served.url}/acme/simple/", "acme-tool")
    assert result.code == 0, result.output
    digest = (tool.releases[1].assets[0].digest or "").removeprefix("sha256:")
    assert f"sha256:{digest}" in locked(outsider)
    assert 'version = "2.0"' in locked(outsider)
    github.forget()
    served.paths()
    (outsider.home / "uv.lock").unlink()
    assert outsider.uv("lock").code == 0
    asked = served.paths()
    assert {path.split()[-1] for path in asked} == {"304"}, asked
    assert github.calls() == []
    tool.releases.append(release("acme_tool", "3.0"))
    served.passed = 6
    result = outsider.uv("lock", "--upgrade", "--refresh")
    assert result.code == 0, result.output
    assert 'version = "3.0"' in locked(outsider)


@pytest.mark.usefixtures("tool")
def test_the_cost_of_a_cold_lock(served: Served, outsider: Client, github: StandIn) -> None:
    """Ten packages of one repository with a hundred releases: its one page, and one call for each file whose metadata
    is read, after the one list that a `*` asks for.
    """
    releases = [release(f"p{number}", f"1.{version}") for version in range(10) for number in range(10)]
    github.repositories[:] = [Repository("acme", "tool", releases=releases)]
    project(outsider, *(f"p{number}" for number in range(10)))
    result = outsider.uv("lock", **served.variables)
    assert result.code == 0, result.output
    api = [call.path.rpartition("/")[2] for call in github.calls("api")]
    assert api[:2] == ["repos", "releases"]
    assert len(api) == 12
    assert locked(outsider).count('version = "1.9"') == 10


@pytest.mark.usefixtures("tool")
def test_a_resolver_that_backtracks(served: Served, outsider: Client, github: StandIn) -> None:
    """A resolver that walks back over 200 versions reads the metadata of those that it tries, and finds what fits."""
    wheels = [package.wheel("p", f"1.{version}") for version in range(200)]
    releases = [Release(f"v{wheel.name}", [Asset(wheel.name, wheel.content)]) for wheel in wheels]
    github.repositories[:] = [Repository("acme", "tool", releases=releases)]
    project(outsider, "p<1.100", "p!=1.99,!=1.98")
    result = outsider.uv("lock", **served.variables)
    assert result.code == 0, result.output
    assert 'version = "1.97"' in locked(outsider)
    assert len([call for call in github.calls("api") if "/assets/" in call.path]) <= 3


@pytest.mark.usefixtures("tool")
def test_exclude_newer(served: Served, outsider: Client) -> None:
    """`exclude-newer` goes by when a file was there for others to see."""
    project(outsider, "acme-tool")
    result = outsider.uv("lock", "--exclude-newer", "2026-03-01", **served.variables)
    assert result.code == 0, result.output
    assert 'version = "1.0"' in locked(outsider)


@pytest.mark.usefixtures("tool")
def test_uv_installs(served: Served, outsider: Client) -> None:
    """`uv sync`, `uv pip install` and `uv tool install` get what the index has."""
    project(outsider, "acme-tool==1.0")
    result = outsider.uv("sync", **served.variables)
    assert result.code == 0, result.output
    assert "acme-tool==1.0" in outsider.uv("pip", "freeze", "--python", ".venv").output
    target = ("--target", "there", "--index", f"{served.url}/acme/simple/")
    result = outsider.uv("pip", "install", "--no-config", *target, "acme_tool", **served.variables)
    assert result.code == 0, result.output


@pytest.mark.usefixtures("tool")
def test_pip(served: Served, outsider: Client) -> None:
    """pip installs and downloads from the index, by hash and by the name that people write."""
    index = ("--index-url", f"{served.url}/acme/simple/", "--no-deps", "--disable-pip-version-check")
    result = outsider.pip("install", *index, "--target", "there", "Acme.Tool")
    assert result.code == 0, result.output
    assert "acme_tool-2.0" in result.output.replace("acme-tool", "acme_tool")
    result = outsider.pip("download", *index, "--dest", "files", "acme-tool==1.0")
    assert result.code == 0, result.output
    assert [path.name for path in (outsider.home / "files").iterdir()] == ["acme_tool-1.0-py3-none-any.whl"]


@pytest.mark.usefixtures("tool")
def test_no_fault_leads_to_another_index(served: Served, outsider: Client, github: StandIn) -> None:
    """While the API fails, uv fails with the reason: it does not go on to an index that has a package of that name."""
    with serving(github) as other:
        github.faults.append(Fault("api", status=500, times=99))
        project(outsider, "acme-tool")
        indexes = {"UV_INDEX": f"{served.url}/acme/simple/", "UV_DEFAULT_INDEX": f"{other.url}/acme/simple/"}
        result = outsider.uv("lock", **indexes, UV_HTTP_RETRIES="0")
        assert result.code != 0
        assert other.paths() == []
        assert any(path.endswith(" 502") for path in served.paths())
        assert re.search(r"failed|502", result.output)


@pytest.mark.usefixtures("tool")
def test_a_mistyped_index_leads_nowhere(served: Served, outsider: Client, github: StandIn) -> None:
    """An index that there is not is an error to uv, and no reason to ask the next."""
    with serving(github) as other:
        project(outsider, "acme-tool")
        indexes = {"UV_INDEX": f"{served.url}/acne/simple/", "UV_DEFAULT_INDEX": f"{other.url}/acme/simple/"}
        result = outsider.uv("lock", **indexes)
        assert result.code != 0, result.output
        assert other.paths() == []


def test_a_release_that_is_taken_back(served: Served, outsider: Client, tool: Repository) -> None:
    """A release that was deleted is in no new lock, and what a lock has of it cannot be had."""
    project(outsider, "acme-tool")
    assert outsider.uv("lock", **served.variables).code == 0
    tool.releases.pop()
    served.passed = 6
    result = outsider.uv("sync", "--locked", "--refresh", **served.variables)
    assert result.code != 0
    result = outsider.uv("lock", "--upgrade", "--refresh", **served.variables)
    assert result.code == 0, result.output
    assert 'version = "1.0"' in locked(outsider)
