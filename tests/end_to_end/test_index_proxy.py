"""Package indexes behind the proxy's own name, in its modes: real clients, a real proxy, and nothing dialled for it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository
from gatepass.shell import environment
from harness import Client, eventually, mitmdump, strays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Proxy, Result

    type Start = Callable[..., AbstractContextManager[Proxy]]

RULES = """\
version: 1
forges: [{web: "%(web)s", api: "%(api)s"}]
credentials: {mine: {from: [env:STANDIN_TOKEN], hosts: ["%(web)s"]}}
rules: [{match: "%(web)s/acme/*/releases/download/*", resolve: github-release, credential: mine}]
indexes:
  acme: {repositories: ["%(web)s/acme/*"], credential: mine}
"""
CLIENTS = """\
clients:
  ci: {password: [env:CI_PROXY_PASSWORD]}
  dev: {password: [env:DEV_PROXY_PASSWORD]}
"""
ROOT = "https://gatepass.internal"
ACME = f"{ROOT}/acme/simple/"
RULE_WEB = re.compile(r"web: \"([^\"]+)\"")


@pytest.fixture
def tool(github: StandIn) -> Repository:
    """`acme/tool`, private: `acme_tool` 1.0 and 2.0, each a wheel and an sdist."""
    releases = [
        Release(
            f"v{version}",
            [
                Asset(file.name, file.content)
                for file in (package.wheel("acme_tool", version), package.sdist("acme_tool", version))
            ],
        )
        for version in ("1.0", "2.0")
    ]
    tool = Repository("acme", "tool", releases=releases)
    github.repositories.append(tool)
    return tool


@pytest.fixture
def start(github: StandIn, tmp_path: Path) -> Start:
    """Starts a proxy with the rules of an index and more, and options of mitmdump."""

    @contextmanager
    def start(*options: str, more: str = "", rules: str = RULES) -> Iterator[Proxy]:
        path = tmp_path / "rules.yaml"
        path.write_text(rules % {"web": github.web, "api": github.api} + more)
        with mitmdump(
            tmp_path,
            path,
            github.ca_file,
            *options,
            STANDIN_TOKEN=DEFAULT_TOKEN,
            CI_PROXY_PASSWORD="ci-sesame-1",
            DEV_PROXY_PASSWORD="dev-sesame-1",
        ) as proxy:
            yield proxy
        assert "Traceback" not in proxy.log, proxy.log
        assert DEFAULT_TOKEN not in proxy.log
        # what nothing may ask for: neither a resolver nor a server
        assert "getaddrinfo" not in proxy.log
        assert not re.search(r"server connect .*gatepass", proxy.log)
        assert strays(github, DEFAULT_TOKEN) == []

    return start


def through(proxy: Proxy, home: Path, known: str = "") -> Client:
    """Clients that go through that proxy, `known` by USER:PASSWORD."""
    url = proxy.url.replace("//", f"//{known}@") if known else proxy.url
    home.mkdir(exist_ok=True)
    return Client(home, environment.for_client(url, proxy.bundle, proxy.bundle, {}))


def project(client: Client, dependencies: str = "", url: str = ACME) -> None:
    (client.home / "pyproject.toml").write_text(
        f"""\
[project]
name = "app"
version = "0"
requires-python = ">=3.12"
dependencies = [{dependencies}]

[[tool.uv.index]]
name = "acme"
url = "{url}"
explicit = true

[tool.uv.sources]
acme-tool = {{ index = "acme" }}
"""
    )


def locked(client: Client) -> str:
    return (client.home / "uv.lock").read_text()


def good(result: Result) -> Result:
    assert result.code == 0, result.output
    return result


def adds(client: Client, tool: Repository, url: str = ACME) -> str:
    """`uv add` takes the newest, and its hash into the lock, which it returns."""
    project(client, url=url)
    good(client.uv("add", "acme-tool"))
    lock = locked(client)
    assert (tool.releases[-1].assets[0].digest or "") in lock
    return lock


# --------------------------------------------------------------------------- clients


def test_uv(start: Start, tool: Repository, github: StandIn, tmp_path: Path) -> None:
    """`uv add` locks the releases' own URLs with their hashes; `uv lock` again asks the API for nothing; `--upgrade`
    finds a new release; and a machine whose index is empty syncs from the lock.
    """
    with start() as proxy:
        client = through(proxy, tmp_path / "one")
        lock = adds(client, tool)
        assert f'url = "https://{github.web}/acme/tool/releases/download/v2.0/acme_tool-2.0-py3-none-any.whl"' in lock
        github.forget()
        (client.home / "uv.lock").unlink()
        good(client.uv("lock"))
        assert github.calls() == []
        wheel = package.wheel("acme_tool", "3.0")
        tool.releases.append(Release("v3.0", [Asset(wheel.name, wheel.content)]))
        with_refresh = ("--upgrade", "--refresh")
        # the list is renewed at most once in 5 s
        eventually(lambda: good(client.uv("lock", *with_refresh)) and 'version = "3.0"' in locked(client))
        good(client.uv("pip", "install", "--target", "there", "--index", ACME, "acme-tool==1.0"))
        # it is found and installed, and has no program
        assert "+ acme-tool==1.0" in client.uv("tool", "install", "--index", ACME, "acme-tool==1.0").output
        elsewhere = through(proxy, tmp_path / "two")
        for name in ("pyproject.toml", "uv.lock"):
            (elsewhere.home / name).write_text((client.home / name).read_text().replace(ROOT, "https://localhost:1"))
        good(elsewhere.uv("sync", "--frozen"))
        assert "acme-tool==3.0" in elsewhere.uv("pip", "freeze", "--python", ".venv").output


def test_pip(start: Start, tool: Repository, tmp_path: Path) -> None:
    """pip installs and downloads from a repository's own index, with nothing in the rules but the rule."""
    assert tool.releases
    with start() as proxy:
        client = through(proxy, tmp_path / "one")
        web = RULE_WEB.findall((tmp_path / "rules.yaml").read_text())[0]
        index = ("--index-url", f"{ROOT}/{web}/acme/tool/simple/", "--no-deps")
        good(client.pip("install", *index, "--target", "there", "Acme.Tool"))
        good(client.pip("download", *index, "--dest", "files", "acme-tool==1.0"))
        assert [path.name for path in (client.home / "files").iterdir()] == ["acme_tool-1.0-py3-none-any.whl"]
