"""github.com's own names, and the repository's own rules.yaml: what is tested is what users get without any setting."""

from __future__ import annotations

import itertools
import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, TENANT, Asset, Release, Repository, StandIn
from gitrepos import bare
from harness import ROOT, Client, Proxy, mitmdump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = package.wheel("acme_tool", "1.0")
WEB, API = "github.com", "api.github.com"
SIGNED, PUBLIC = "objects.githubusercontent.com", "release-assets.githubusercontent.com"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def _world() -> Iterator[StandIn]:
    with StandIn(names=GITHUB) as standin:
        standin.repositories.append(Repository("acme", "open", private=False))
        yield standin


@pytest.fixture(scope="module")
def _real_proxy(_world: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    port = _world.web.partition(":")[2]
    options = ("-s", ROOT / "tests" / "real_names.py", "--set", f"standin_port={port}")
    folder = tmp_path_factory.mktemp("real")
    with mitmdump(folder, ROOT / "rules.yaml", _world.ca_file, *options, GH_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log


@pytest.fixture
def world(_world: StandIn) -> Iterator[StandIn]:
    """The stand-in under github.com's names; in the end the token was seen by api.github.com alone."""
    _world.forget()
    yield _world
    for call in _world.calls():
        if DEFAULT_TOKEN in f"{call.target} {call.headers}":
            assert (call.host, call.role) == (API, "api")


@pytest.fixture
def client(world: StandIn, _real_proxy: Proxy, tmp_path: Path) -> Client:  # noqa: ARG001
    return Client(tmp_path, _real_proxy.variables())


@pytest.fixture
def repository(world: StandIn) -> Repository:
    """A private repository of one wheel, of which the proxy knows nothing yet."""
    new = Repository("acme", f"tool-{next(_numbers)}", releases=[Release("v1.0", [Asset(WHEEL.name, WHEEL.content)])])
    world.repositories.append(new)
    return new


@pytest.fixture
def url(world: StandIn, repository: Repository) -> str:
    return world.download_url(repository.full_name, "v1.0", WHEEL.name)


@pytest.fixture
def sources(world: StandIn, repository: Repository, tmp_path: Path) -> Repository:
    """The same with git behind it."""
    assert repository in world.repositories
    repository.git = bare(tmp_path / "git", {"README.md": b"hello\n"}, branches=["a/b"])
    return repository


def hosts(world: StandIn) -> list[str]:
    """The hosts that were asked, without repetition."""
    return list(dict.fromkeys(call.host for call in world.calls()))


def test_uv(client: Client, world: StandIn, url: str) -> None:
    """`uv pip install https://github.com/…` installs a private wheel with the rules as they are."""
    result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {url}")
    assert result.code == 0, result.output
    assert (client.home / "site" / "acme_tool.py").exists()
    assert set(hosts(world)) == {WEB, API, SIGNED}


def test_curl(client: Client, world: StandIn, url: str) -> None:
    """The API gets the token; the web host, which is asked first as anybody may, and the signed host do not."""
    assert client.fetch(url, "-L").body == WHEEL.content
    assert hosts(world) == [WEB, API, SIGNED]
    assert {call.headers["authorization"] for call in world.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}
    assert all("authorization" not in call.headers for role in ("web", "asset") for call in world.calls(role))


def test_head_and_range(client: Client, world: StandIn, url: str) -> None:
    """HEAD and ranges are answered in place, past the HEAD trap."""
    head, part = client.fetch(url, "-I"), client.fetch(url, "-r", "0-9")
    assert (head.status, head.headers["content-length"]) == (200, str(len(WHEEL.content)))
    assert (part.status, part.body) == (206, WHEEL.content[:10])
    assert {call.method for call in world.calls("asset")} == {"GET"}


def test_latest(client: Client, repository: Repository) -> None:
    """`releases/latest/download` is in the rules, too."""
    latest = f"https://github.com/{repository.full_name}/releases/latest/download/{WHEEL.name}"
    assert client.fetch(latest, "-L").body == WHEEL.content


def test_other_traffic(client: Client, world: StandIn) -> None:
    """Web pages and git pass through github.com without a credential."""
    assert client.fetch("https://github.com/acme/open").status == 200
    git = "https://github.com/acme/open.git"
    assert client.fetch(f"{git}/info/refs?service=git-upload-pack").status == 200
    assert client.fetch(f"{git}/git-upload-pack", "--data-binary", "x" * 100).body == b"POST of 100 bytes\n"
    assert hosts(world) == ["github.com"]
    assert all("authorization" not in call.headers for call in world.calls())


def test_uv_python_install(client: Client, world: StandIn) -> None:
    """uv's own downloads are public: with the rules as they are they cost no API call and no credential is sent."""
    listed = json.loads(client.uv("python", "list", "--only-downloads", "--output-format", "json", "3.13").output)
    python = next(entry for entry in listed if entry["implementation"] == "cpython")
    tag, name = map(unquote, python["url"].split("/")[-2:])
    builds = Repository("astral-sh", "python-build-standalone", private=False)
    builds.releases.append(
        Release(tag, [*(Asset(f"{n}.tar.gz") for n in range(1000)), Asset(name, package.sdist("x", "1").content)])
    )
    world.repositories.append(builds)
    # uv asks a mirror of its own first, and github.com when that one is not there
    github = "https://github.com/astral-sh/python-build-standalone/releases/download"
    result = client.uv(
        "python",
        "install",
        "--install-dir",
        "pythons",
        python["key"],
        UV_PYTHON_INSTALL_MIRROR=github,
        UV_HTTP_RETRIES="0",
    )
    assert "hash mismatch" in result.output.lower(), result.output
    assert hosts(world) == [WEB, PUBLIC]
    assert all("authorization" not in call.headers for call in world.calls())


@pytest.mark.parametrize("host", [API, SIGNED])
def test_other_hosts(client: Client, world: StandIn, host: str) -> None:
    """API and signed host are tunnelled: a client's own calls are its own affair."""
    client.fetch(f"https://{host}/repos/acme/tool", "--cacert", str(world.ca_file))
    assert all("authorization" not in call.headers for call in world.calls())


@pytest.mark.parametrize(
    "address",
    [
        "github.com.evil.test/acme",
        "evil.test/github.com/acme",
        "notgithub.com/acme",
        "github.com@evil.test/acme",
        "github.com:444/acme",
        "github.com./acme",
    ],
)
def test_look_alike(client: Client, world: StandIn, url: str, address: str) -> None:
    """A host that resembles github.com is tunnelled, and nobody is asked for it."""
    client.curl("-o", "out", "--insecure", url.replace("github.com/acme", address))
    assert world.calls("api") == []
    assert all("authorization" not in call.headers or call.host == "evil.test" for call in world.calls())


def test_a_dot_at_the_end(world: StandIn, client: Client) -> None:
    """Of a server that is asked for with a dot TLS leaves it out (RFC 6066), and it is the same one's certificate."""
    where = urlsplit(client.env["HTTPS_PROXY"])
    with socket.create_connection((where.hostname, where.port or 0), 20) as connection:
        connection.sendall(b"GET https://github.com./acme/other HTTP/1.1\r\nHost: github.com.\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert [call.host for call in world.calls("web")] == ["github.com."]


@pytest.mark.parametrize("host", ["GitHub.com", "github.com:443", "me:mine@github.com"])
def test_spellings(client: Client, world: StandIn, url: str, host: str) -> None:
    """Other spellings of github.com are github.com."""
    assert client.fetch(url.replace("github.com", host), "-L").body == WHEEL.content
    assert {call.headers["authorization"] for call in world.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}


# ------------------------------------------------------------ a tenant of ghe.com

TENANT_RULES = """\
version: 1
credentials: {tenant: {from: [default], hosts: [acme.ghe.com]}}
rules: [{match: acme.ghe.com/*/releases/download/*, resolve: github-release, credential: tenant}]
"""


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, Proxy]]:
    folder = tmp_path_factory.mktemp("tenant")
    (folder / "rules.yaml").write_text(TENANT_RULES)
    with StandIn(names=TENANT) as standin:
        port = standin.web.partition(":")[2]
        options = ("-s", ROOT / "tests" / "real_names.py", "--set", f"standin_port={port}")
        with mitmdump(folder, folder / "rules.yaml", standin.ca_file, *options, GITHUB_TOKEN=DEFAULT_TOKEN) as proxy:
            yield standin, proxy


@pytest.mark.parametrize("private", [True, False], ids=["private", "public"])
def test_tenant(tenant: tuple[StandIn, Proxy], tmp_path: Path, private: bool) -> None:
    """A tenant of ghe.com is a forge without being described; its token goes to its own API, and only for what is
    private.
    """
    standin, proxy = tenant
    standin.forget()
    assets = [Asset(WHEEL.name, WHEEL.content)]
    repository = Repository("acme", f"tool-{next(_numbers)}", private=private, releases=[Release("v1.0", assets)])
    standin.repositories.append(repository)
    url = standin.download_url(repository.full_name, "v1.0", WHEEL.name)
    assert url.startswith("https://acme.ghe.com/")
    client = Client(tmp_path, proxy.variables())
    assert client.fetch(url, "-L").body == WHEEL.content
    assert client.fetch(url, "-r", "0-9").body == WHEEL.content[:10]
    expected = ["acme.ghe.com", "api.acme.ghe.com", "objects.acme.ghe.com"]
    assert hosts(standin) == (expected if private else ["acme.ghe.com", "release-assets.acme.ghe.com"])
    for call in standin.calls():
        assert ("authorization" in call.headers) == (call.role == "api")


@pytest.mark.parametrize("path", ["main/README.md", "refs/heads/main/README.md", "a/b/README.md"])
def test_the_raw_host(client: Client, world: StandIn, sources: Repository, path: str) -> None:
    """raw.githubusercontent.com serves private files with the rules as they are: the API gives them."""
    reply = client.fetch(f"https://{GITHUB.raw}/{sources.full_name}/{path}")
    assert (reply.status, reply.body) == (200, b"hello\n")
    assert hosts(world) == [GITHUB.raw, API]


def test_public_raw_files_pass(client: Client, world: StandIn, sources: Repository) -> None:
    """A public file is raw.githubusercontent.com's own answer, ranges and validators included, without the API."""
    sources.private = False
    url = f"https://{GITHUB.raw}/{sources.full_name}/main/README.md"
    reply = client.fetch(url, "-r", "1-2")
    assert (reply.status, reply.body) == (206, b"el")
    assert reply.headers["content-type"].startswith("text/plain")
    assert hosts(world) == [GITHUB.raw]


def test_an_archive(client: Client, world: StandIn, sources: Repository) -> None:
    """An archive of a private repository comes from codeload, past the proxy, with the rules as they are."""
    reply = client.fetch(f"https://{WEB}/{sources.full_name}/archive/refs/heads/main.tar.gz")
    assert reply.status == 302
    assert reply.headers["location"].startswith(f"https://{GITHUB.codeload}/{sources.full_name}/legacy.tar.gz/")
    assert hosts(world) == [WEB, API]


def test_git_is_turned_on_knowingly(client: Client, world: StandIn, sources: Repository) -> None:
    """The built-in rules use no credential for git: it passes as it came."""
    reply = client.fetch(f"https://{WEB}/{sources.full_name}.git/info/refs?service=git-upload-pack")
    assert reply.status == 401
    assert hosts(world) == [WEB]
