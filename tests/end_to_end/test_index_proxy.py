"""Package indexes behind the proxy's own name, in its modes: real clients, a real proxy, and nothing dialled for it."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from gatepass import files
from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release, Repository
from gatepass.trust import authority, certificates
from harness import GATEPASS, UV, Client, background, eventually, mitmdump, strays
from project import ACME, CLIENTS, ROOT, RULES, adds, good, locked, project, recording, through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Proxy, Shell

    type Temp = pytest.TempPathFactory
    type Start = Callable[..., AbstractContextManager[Proxy]]

pytestmark = pytest.mark.slow  # real clients, each with packages to get

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


def test_run_needs_nothing_more(shell: Shell, tool: Repository, github: StandIn) -> None:
    """Under `gatepass run`, whose CA is made for its command, `uv add` takes what the index has."""
    path = shell.home / "rules.yaml"
    path.write_text(RULES % {"web": github.web, "api": github.api})
    client = Client(shell.home, shell.env)
    project(client)
    done = shell.gatepass("run", "--rules", path, "--", UV, "add", "--python", sys.executable, "acme-tool")
    assert done.returncode == 0, done.stderr
    assert (tool.releases[-1].assets[0].digest or "") in locked(client)


def test_serve_needs_nothing_more(shell: Shell, tool: Repository, github: StandIn, tmp_path_factory: Temp) -> None:
    """Through `gatepass serve`, whose CA may vouch for the hosts of the rules and for the proxy's own name alone."""
    path = shell.home / "rules.yaml"
    path.write_text(RULES % {"web": github.web, "api": github.api})
    command = (GATEPASS, "serve", "--rules", path, "--listen", "127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))
        adds(Client(tmp_path_factory.mktemp("client"), variables), tool)


def test_a_ca_of_before(shell: Shell, github: StandIn) -> None:
    """A CA that was made before there were indexes is told at the start, and to who asks for one; rules that name
    indexes do not start with it.
    """
    path = shell.home / "rules.yaml"
    text = RULES % {"web": github.web, "api": github.api}
    path.write_text(text.partition("indexes:")[0])
    folder = shell.home / ".config" / "gatepass" / "ca"
    folder.mkdir(0o700, parents=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of before")])
    files.write(folder / authority.CA_FILE, certificates.authority(subject, timedelta(days=99), ["localhost"]), 0o600)
    command = (GATEPASS, "serve", "--rules", path, "--listen", "127.0.0.1:0")
    with background(command, shell.env, shell.home) as running:
        url = running.wait_for(r"export HTTPS_PROXY=(\S+)\n")[1]
        assert "may not vouch for gatepass.internal" in running.output
        told = Client(shell.home, {}).curl("-v", "-k", "-x", url, ACME).output
        assert "501 gatepass: the proxy's CA may not vouch for its own name" in told
    path.write_text(text)
    done = shell.gatepass("serve", "--rules", path, "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert b"got one for `localhost`, not `gatepass.internal`" in done.stderr


# ----------------------------------------------------------------------------- modes


def with_strategy(folder: Path, strategy: str) -> tuple[str, ...]:
    """Options for such connections: to name mitmproxy's default changes nothing, and Gatepass has its own."""
    script = folder / "strategy.py"
    script.write_text(
        "from mitmproxy import ctx\n"
        "def client_connected(client):\n"
        f"    ctx.options.connection_strategy = '{strategy}'\n"
    )
    return ("-s", str(script))


@pytest.mark.parametrize("strategy", ["lazy", "eager"])
@pytest.mark.parametrize("more", ["", "egress: {allow: [example.com], private: [127.0.0.0/8]}\n"])
def test_regular(start: Start, tool: Repository, tmp_path: Path, strategy: str, more: str) -> None:
    """The CONNECT is answered here, whatever mitmproxy's strategy and the rules' word on where clients may get to."""
    assert tool.releases
    with start(*with_strategy(tmp_path, strategy), more=more) as proxy:
        client = through(proxy, tmp_path / "one")
        assert client.fetch(ACME).status == 200
        assert client.fetch("https://GatePass.Internal./acme/simple/", "-k").status == 200
        if not more:
            adds(client, tool)


@pytest.mark.parametrize("strategy", ["lazy", "eager"])
def test_upstream(start: Start, tool: Repository, tmp_path: Path, strategy: str) -> None:
    """The name is not forwarded to an upstream proxy, and all that is asked for it goes there."""
    seen: list[bytes] = []
    with (
        recording(seen) as other,
        start("--mode", f"upstream:http://127.0.0.1:{other}", *with_strategy(tmp_path, strategy)) as proxy,
    ):
        adds(through(proxy, tmp_path / "one"), tool)
    assert seen
    assert not any(b"gatepass" in head.lower() for head in seen)


@pytest.mark.parametrize("strategy", ["lazy", "eager"])
def test_socks(start: Start, tool: Repository, tmp_path: Path, strategy: str) -> None:
    """By SOCKS with names: the name is neither resolved nor dialled, with passwords neither."""
    assert tool.releases
    with start("--mode", "socks5", *with_strategy(tmp_path, strategy)) as proxy:
        client = Client(tmp_path, {"CURL_CA_BUNDLE": str(proxy.bundle)})
        socks = proxy.url.replace("http:", "socks5h:")
        assert b"acme-tool" in client.fetch(f"{ACME}acme-tool/", "-x", socks).body
    with start("--mode", "socks5", *with_strategy(tmp_path, strategy), more=CLIENTS) as proxy:
        socks = proxy.url.replace("http://", "socks5h://ci:ci-sesame-1@")
        assert client.fetch(f"{ACME}acme-tool/", "-x", socks).status == 200
        assert client.curl("-x", socks.replace("sesame", "wrong"), ACME).code != 0


@pytest.mark.parametrize("strategy", ["lazy", "eager"])
def test_reverse(start: Start, tool: Repository, tmp_path: Path, github: StandIn, strategy: str) -> None:
    """mitmproxy's own reverse mode to the name is the same index as a web server: links lead back to it."""
    with start("--mode", "reverse:https://gatepass.internal", *with_strategy(tmp_path, strategy)) as proxy:
        assert not [line for line in proxy.log.splitlines() if "mode `" in line]
        client = Client(tmp_path, {"SSL_CERT_FILE": str(github.ca_file)})
        lock = adds(client, tool, f"{proxy.url}/acme/simple/")
        assert f'url = "{proxy.url}/acme/files/' in lock
        good(client.uv("sync"))


# ------------------------------------------------------------------------ who asks


def test_clients(start: Start, tool: Repository, tmp_path: Path, github: StandIn) -> None:
    """Who asks is found out first: 407 for nobody, a page for whom the index is for, and 403, never 404, for others."""
    assert tool.releases
    named = f'  ours: {{repositories: ["{github.web}/acme/tool"], credential: mine, clients: [ci]}}\n'
    audit = tmp_path / "audit"
    private = "egress: {private: [127.0.0.0/8]}\n"
    with start("--set", f"gatepass_audit={audit}", more=named + CLIENTS + private) as proxy:
        url = f"{ROOT}/ours/simple/"
        nobody = through(proxy, tmp_path / "nobody").curl("-v", url).output
        assert "CONNECT tunnel failed, response 407" in nobody
        assert through(proxy, tmp_path / "ci", "ci:ci-sesame-1").fetch(url).status == 200
        for arguments in ((), ("-I",)):
            refused = through(proxy, tmp_path / "dev", "dev:dev-sesame-1").fetch(url, *arguments)
            assert (refused.status, refused.reason) == (403, "gatepass: the index is not for this client")
        ci = through(proxy, tmp_path / "ci", "ci:ci-sesame-1")
        adds(ci, tool, url)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [
        (line["gatepass"].get("client"), line["event"]["action"])
        for line in lines
        if line["url"]["domain"] == "gatepass.internal"
    ]
    assert ("ci", "resolve") in told
    assert ("dev", "refuse") in told
    assert (None, "refuse") in told


def test_limits(start: Start, tool: Repository, tmp_path: Path) -> None:
    """A client's requests count here, too; one too many is 429, to a HEAD as well: 404 would be no such package."""
    assert tool.releases
    with start(more="limits: {requests: 4}\n") as proxy:
        client = through(proxy, tmp_path / "one")
        assert client.fetch(ACME).status == 200
        # a CONNECT and its request each
        head = client.curl("-sS", "-I", ACME, "--next", "-sS", "-I", ACME, "--next", "-sS", "-I", ACME)
        assert re.findall(r"^HTTP/1.1 (\d+) (?!Connection)", head.output, re.MULTILINE)[-1] == "429"
        assert " 404 " not in head.output


@pytest.mark.parametrize(("fault", "status"), [(Fault("api", status=500, times=99), 502), (None, 403)])
def test_never_404(
    start: Start, tool: Repository, tmp_path: Path, github: StandIn, fault: Fault | None, status: int
) -> None:
    """While the API fails, or where nothing is to be seen, uv fails with that: it asks no other index."""
    assert tool.releases
    other = f'  other: {{repositories: ["{github.web}/acme/tool"], credential: mine}}\n'
    with start(more=other) as proxy:
        client = through(proxy, tmp_path / "one")
        if fault is None:
            github.tokens.clear()
        else:
            github.faults.append(fault)
        client.home.joinpath("pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = ["acme-tool"]\n'
        )
        indexes = {"UV_INDEX": ACME, "UV_DEFAULT_INDEX": f"{ROOT}/other/simple/", "UV_HTTP_RETRIES": "0"}
        assert client.uv("lock", **indexes).code != 0
        assert "other/simple" not in proxy.log
        assert f"<< {status}" in proxy.log
        assert "<< 404" not in proxy.log
        reply = client.fetch(f"{ACME}acme-tool/")
        assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")


# -------------------------------------------------------------------- other clients


@pytest.mark.slow
def test_poetry(start: Start, tool: Repository, tmp_path: Path, environments: Callable[..., Path]) -> None:
    """Poetry adds from the index as an explicit source, and its lock has the hash."""
    poetry = environments("poetry") / "poetry"
    with start() as proxy:
        client = through(proxy, tmp_path / "one")
        (client.home / "pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = []\n'
            "[tool.poetry]\npackage-mode = false\n"
            f'[[tool.poetry.source]]\nname = "acme"\nurl = "{ACME}"\npriority = "explicit"\n'
        )
        settings = {"POETRY_VIRTUALENVS_IN_PROJECT": "1", "POETRY_CACHE_DIR": str(client.home / "poetry")}
        good(client.run(poetry, "add", "--no-interaction", "--source", "acme", "acme-tool", **settings))
        lock = (client.home / "poetry.lock").read_text()
        assert (tool.releases[-1].assets[0].digest or "") in lock
        assert list(client.home.glob(".venv/lib/python*/site-packages/acme_tool.py"))


@pytest.mark.slow
def test_pdm(start: Start, tool: Repository, tmp_path: Path, environments: Callable[..., Path]) -> None:
    """PDM adds from the index as a source for that package alone, and its lock has the hash."""
    pdm = environments("pdm[locked]") / "pdm"
    with start() as proxy:
        client = through(proxy, tmp_path / "one")
        (client.home / "pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = []\n'
            "[tool.pdm]\ndistribution = false\n"
            "[tool.pdm.resolution]\nrespect-source-order = true\n"
            f'[[tool.pdm.source]]\nname = "acme"\nurl = "{ACME}"\ninclude_packages = ["acme-*"]\n'
            '[[tool.pdm.source]]\nname = "pypi"\nurl = "https://localhost:1/simple"\nexclude_packages = ["*"]\n'
        )
        good(client.run(pdm, "add", "acme-tool", PDM_CHECK_UPDATE="0"))
        assert (tool.releases[-1].assets[0].digest or "") in (client.home / "pdm.lock").read_text()
        assert list(client.home.glob(".venv/lib/python*/site-packages/acme_tool.py"))
