"""The section on any other host: its rules and its commands, with real clients that hold no credential."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from harness import SCRIPT, Client, Proxy, call, clean_environment, mitmdump
from origin import Answer, Asked, Index, Origin, Trust, basic, guarded, index, origin
from pages import section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# pypiserver leaves the file of a range request to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

SECRETS = {
    "INDEX_PASSWORD": "p@ss:word/1",
    "STORE_TOKEN": "AKC-store",
    "GITLAB_TOKEN": "glpat-1",
    "BUILDS_TOKEN": "builds-1",
}
WHEEL, LIBRARY = package.wheel("acme_tool", "1.0"), package.wheel("acme_lib", "1.0")
ARCHIVE = b"an archive"

SECTION = section("Any other host")
(RULES,) = re.findall(r"^```yaml\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
INDEX, STORE, GITLAB, BUILDS = COMMANDS.splitlines()


@dataclass(frozen=True)
class Services:
    """What stands for the hosts of the page."""

    trust: Trust
    index: Index
    store: Origin
    gitlab: Origin
    builds: Origin

    def rewritten(self, text: str) -> str:
        """The page's text with the hosts that are here."""
        for name, service in (
            ("packages", self.index),
            ("artifacts", self.store),
            ("gitlab", self.gitlab),
            ("api", self.builds),
        ):
            text = text.replace(f"{name}.example.com", service.host)
        return text

    def command(self, line: str) -> list[str]:
        return shlex.split(self.rewritten(line))

    @property
    def simple(self) -> str:
        return f"https://{self.index.host}/simple/"


def generic_package(asked: Asked) -> Answer:
    """As GitLab answers: a private project is not there for who brings no token of its members."""
    return guarded("PRIVATE-TOKEN", SECRETS["GITLAB_TOKEN"], 404, LIBRARY.content)(asked)


def build(asked: Asked) -> Answer:
    """An API that begins a session for whom it knows."""
    if asked.values("Authorization") != [f"Bearer {SECRETS['BUILDS_TOKEN']}"]:
        return Answer(401, (("WWW-Authenticate", "Bearer"),))
    return Answer(201, (("Set-Cookie", "session=1"), ("X-Build", "7")), asked.start)


@pytest.fixture(scope="module")
def _services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    trust = Trust(folder)
    packages = folder / "packages"
    packages.mkdir()
    (packages / WHEEL.name).write_bytes(WHEEL.content)
    with (
        index(trust, packages, "reader", SECRETS["INDEX_PASSWORD"]) as packages_index,
        origin(trust) as store,
        origin(trust) as gitlab,
        origin(trust) as builds,
    ):
        store.answers["/artifactory/"] = guarded("X-JFrog-Art-Api", SECRETS["STORE_TOKEN"], 401, ARCHIVE)
        gitlab.answers["/api/v4/projects/42/packages/generic/acme-lib/1.0/"] = generic_package
        builds.answers["/v1/"] = build
        yield Services(trust, packages_index, store, gitlab, builds)


@pytest.fixture
def services(_services: Services) -> Services:
    """Those that the rules name; they have been asked nothing yet."""
    _services.index.logins.clear()
    for each in (_services.store, _services.gitlab, _services.builds):
        each.asked.clear()
    return _services


@pytest.fixture(scope="module")
def proxy(_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    rules = folder / "rules.yaml"
    rules.write_text(_services.rewritten(RULES))
    with mitmdump(folder, rules, _services.trust.ca, script=SCRIPT, **SECRETS) as proxy:
        yield proxy
    for secret in (*SECRETS.values(), basic("reader", SECRETS["INDEX_PASSWORD"]).removeprefix("Basic ")):
        assert secret not in proxy.log


@pytest.fixture
def client(proxy: Proxy, tmp_path: Path) -> Client:
    """Clients that go through the proxy, and hold no credential."""
    client = Client(tmp_path, proxy.variables())
    assert not set(SECRETS.values()) & set(client.env.values())
    return client


@pytest.fixture
def outsider(services: Services, tmp_path: Path) -> Client:
    """Clients without the proxy, that trust the services' certificates."""
    return Client(tmp_path, dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT"), str(services.trust.ca)))


def version(*python: str | Path, module: str = "acme_tool", **extra: str) -> str:
    """What the installed package says of itself."""
    program = f"import {module}; print({module}.__version__)"
    return call([*python, "-c", program], clean_environment(**extra)).output.strip()


def assert_logged_in(services: Services, *paths: str) -> None:
    """The index was asked for these, and all that came to it came with the credentials of the rule."""
    assert {path for path, _ in services.index.logins} >= set(paths)
    assert {login for _, login in services.index.logins} == {basic("reader", SECRETS["INDEX_PASSWORD"])}


# ----------------------------------------------------------- a package index


def test_index_by_uv(client: Client, services: Services) -> None:
    """`uv pip install --index-url` installs from a private index: each request brings the rule's Basic credentials."""
    result = client.run(*services.command(INDEX), VIRTUAL_ENV=str(client.venv()))
    assert result.code == 0, result.output
    assert version(client.home / "venv" / "bin" / "python") == "1.0"
    assert_logged_in(services, "/simple/acme-tool/", f"/packages/{WHEEL.name}")


def test_index_by_pip(client: Client, services: Services) -> None:
    """`pip install --index-url` does."""
    site = client.home / "site"
    result = client.pip("install", "--no-input", "--index-url", services.simple, "--target", site, "acme-tool")
    assert result.code == 0, result.output
    assert version(sys.executable, PYTHONPATH=str(site)) == "1.0"
    assert_logged_in(services, "/simple/acme-tool/", f"/packages/{WHEEL.name}")


def test_index_of_a_project(client: Client, services: Services) -> None:
    """`uv lock` and `uv sync` use it as a project's index, and what they write down holds no credential."""
    (client.home / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = ["acme-tool"]\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{services.simple}"\ndefault = true\n'
    )
    for command in ("lock", "sync"):
        result = client.uv(command, UV_NO_CONFIG="0")  # pyproject.toml is configuration, too
        assert result.code == 0, result.output
    assert version(client.home / ".venv" / "bin" / "python") == "1.0"
    lock = (client.home / "uv.lock").read_text()
    assert services.simple.rstrip("/") in lock
    assert "reader" not in lock
    assert_logged_in(services, "/simple/acme-tool/", f"/packages/{WHEEL.name}")


def test_index_without_the_proxy(outsider: Client, services: Services) -> None:
    """Without the proxy uv and pip fail with 401, and have sent no credentials."""
    for result in (
        outsider.run(*services.command(INDEX), "--target", "site"),
        outsider.pip("install", "-vv", "--no-input", "--index-url", services.simple, "--target", "site", "acme-tool"),
    ):
        assert result.code != 0
        assert "401" in result.output
    assert {login for _, login in services.index.logins} == {""}


# ------------------------------------------------------------------ the others


def test_store(client: Client, services: Services) -> None:
    """An artifact is downloaded with the store's token header."""
    result = client.run(*services.command(STORE))
    assert result.code == 0, result.output
    assert (client.home / "acme-tool.tar.gz").read_bytes() == ARCHIVE
    assert services.store.last().values("Authorization") == []


def test_gitlab(client: Client, services: Services) -> None:
    """`uv pip install` installs a wheel that is a generic package of a private project of GitLab."""
    result = client.run(*services.command(GITLAB), VIRTUAL_ENV=str(client.venv()))
    assert result.code == 0, result.output
    assert version(client.home / "venv" / "bin" / "python", module="acme_lib") == "1.0"
    assert {value for asked in services.gitlab.asked for value in asked.values("PRIVATE-TOKEN")} == {"glpat-1"}


def test_gitlab_with_a_token_of_its_own(client: Client, services: Services) -> None:
    """A client's own token goes to GitLab in place of the rule's; GitLab does not know this one."""
    url = services.command(GITLAB)[-1].partition(" @ ")[2]
    assert client.fetch(url, "-H", "PRIVATE-TOKEN: mine").status == 404
    assert services.gitlab.last().values("PRIVATE-TOKEN") == ["mine"]


def test_builds(client: Client, services: Services) -> None:
    """An API is posted to with the rule's headers, and the session that it begins does not reach the client."""
    *curl, url = services.command(BUILDS)
    reply = client.fetch(url, *curl[1:])
    assert (reply.status, reply.body, reply.headers["x-build"]) == (201, b'{"ref": "main"}', "7")
    assert "set-cookie" not in reply.headers
    assert services.builds.last().values("X-Client") == ["gatepass"]


@pytest.mark.parametrize(
    ("line", "status"), [(STORE, 401), (GITLAB, 404), (BUILDS, 401)], ids=["store", "GitLab", "API"]
)
def test_without_the_proxy(outsider: Client, services: Services, line: str, status: int) -> None:
    """Without the proxy each of them refuses."""
    url = services.command(line)[-1].rpartition(" @ ")[2]
    assert outsider.fetch(url).status == status


def test_other_paths(client: Client, services: Services) -> None:
    """A path of these hosts that no rule names gets nothing."""
    assert client.fetch(f"https://{services.gitlab.host}/api/v4/projects/43/packages/generic/x").status == 404
    assert client.fetch(f"https://{services.builds.host}/v2/builds").status == 404
    assert client.fetch(f"https://{services.store.host}/ui/").status == 404
    for server in (services.gitlab, services.builds, services.store):
        assert not set(SECRETS.values()) & set(" ".join(server.last().headers.values()).split())
