"""The stand-in GitHub, a proxy before it, and clients: one of each a worker, a repository of its own a test."""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING
from urllib.parse import quote

import hypothesis
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, App, Asset, Installation, Release, Repository, StandIn, Token
from gatepass.demo.standin.issuer import Issuer
from gatepass.forge.hosts import Forge, Host
from gatepass.github.client import GitHub
from harness import BIN, Client, Proxy, Shell, background, mitmdump, strays
from shells import listening, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from typing import Protocol

    from gatepass.demo.standin import Content
    from gatepass.shell.running import Running as Announced
    from harness import Running

    class Publish(Protocol):
        """Uploads an asset to the test's repository, and tells its browser URL."""

        def __call__(self, content: Content, *, tag: str = "v1.0", name: str = "data.bin") -> str: ...


with warnings.catch_warnings():
    # mitmproxy 12.2.3 calls pyparsing 3.3 by names that are going: it is warned, once, and we would be failed
    warnings.simplefilter("ignore", DeprecationWarning)
    import mitmproxy.flowfilter  # noqa: F401

# how long an example takes says how busy the machine is: no test asserts a time
hypothesis.settings.register_profile("gatepass", deadline=None)
hypothesis.settings.load_profile("gatepass")

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-transcripts", action="store_true", help="write what clients print of failures anew")


@pytest.fixture(scope="session")
def _standin() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def github(_standin: StandIn) -> Iterator[StandIn]:
    """The stand-in, as new."""
    _standin.repositories[:] = []
    _standin.apps[:] = []
    _standin.tokens[:] = [Token(DEFAULT_TOKEN)]
    _standin.faults[:] = []
    _standin.most_listed, _standin.login = 1000, "monalisa"
    _standin.embedded_assets, _standin.stream_assets, _standin.stream_ranges = 54, False, False
    _standin.signed_lifetime, _standin.private_mode, _standin.names = 300, False, None
    _standin.most_raw = 100 * 1024 * 1024
    _standin.bad_logins, _standin.locked_until, _standin.latency = 0, 0, 0
    _standin.clock = time.time
    _standin.issuer = Issuer(_standin.issuer.url)
    _standin.forget()
    yield _standin
    _standin.faults[:] = []


@pytest.fixture
def forge(github: StandIn) -> Forge:
    """The stand-in, as the rules name a forge."""
    return Forge(Host.parse(github.web), github.api)


@pytest.fixture
async def api(github: StandIn) -> AsyncIterator[GitHub]:
    """The addon's own client, which trusts the stand-in."""
    client = GitHub(ssl.create_default_context(cafile=github.ca_file))
    yield client
    await client.close()


@pytest.fixture(scope="session")
def app_key() -> rsa.RSAPrivateKey:
    """The private key of the tests' GitHub App."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def app(github: StandIn, app_key: rsa.RSAPrivateKey) -> App:
    """A GitHub App, installed on all repositories of `acme`."""
    pem = app_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = App(pem.decode(), installations=[Installation("acme")])
    github.apps.append(app)
    return app


@pytest.fixture
def app_key_file(app_key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    """The App's private key, as GitHub's settings page gives it out."""
    pem = app_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path = tmp_path / "app.pem"
    path.write_bytes(pem)
    path.chmod(0o600)
    return path


@pytest.fixture
def repository(github: StandIn) -> Repository:
    """A private repository with one release, `v1.0`, that holds a wheel and an sdist of `acme_tool`.

    Its name is new for each test: what the proxy learnt of another's is no help here.
    """
    assets = [
        Asset(file.name, file.content)
        for file in (package.wheel("acme_tool", "1.0"), package.sdist("acme_tool", "1.0"))
    ]
    private = Repository("acme", f"tool-{next(_numbers)}", releases=[Release("v1.0", assets)])
    github.repositories.append(private)
    return private


@pytest.fixture
def wheel_url(github: StandIn, repository: Repository) -> str:
    return github.download_url(repository.full_name, "v1.0", "acme_tool-1.0-py3-none-any.whl")


@pytest.fixture
def sdist_url(github: StandIn, repository: Repository) -> str:
    return github.download_url(repository.full_name, "v1.0", "acme_tool-1.0.tar.gz")


@pytest.fixture
def publish(github: StandIn, repository: Repository) -> Publish:
    """Uploads an asset to a release of the test's repository, which is made if there is none of that tag."""

    def publish(content: Content, *, tag: str = "v1.0", name: str = "data.bin") -> str:
        release = repository.release(tag)
        if release is None:
            release = Release(tag)
            repository.releases.append(release)
        release.assets.append(Asset(name, content))
        return github.download_url(repository.full_name, tag, name)

    return publish


RULES = """\
version: 1
forges:
  - web: {web}
    api: {api}
credentials:
  standin:
    from: [env:STANDIN_TOKEN]
    hosts: ["{web}"]
rules:
  - match: {web}/acme/*/releases/download/*
    resolve: github-release
    credential: standin
  - match: {web}/acme/*/releases/latest/download/*
    resolve: github-release
    credential: standin
  - match: {web}/injected/*
    headers:
      X-Token: "token {{credential}}"
    credential: standin
"""


@pytest.fixture(scope="session")
def rules(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules for the stand-in as a forge on `localhost:PORT`."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES.format(web=_standin.web, api=_standin.api))
    return path


@pytest.fixture(scope="session")
def _proxy(_standin: StandIn, rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    with mitmdump(folder, rules, _standin.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log
    assert DEFAULT_TOKEN not in proxy.log, "the token is in the log"
    assert "X-Amz-Signature" not in proxy.log, "a signature is in the log"


@pytest.fixture
def proxy(_proxy: Proxy, github: StandIn) -> Iterator[Proxy]:
    """`mitmdump -s addon/inject.py` before the stand-in.

    After each test the stand-in's log must show the token at the API alone; the proxy's own log is searched for
    secrets when all tests are done.
    """
    yield _proxy
    assert strays(github, DEFAULT_TOKEN) == []


@pytest.fixture
def lone_proxy(github: StandIn, rules: Path, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy of the test's own: where a credential is refused, that is remembered for all that is asked with it."""
    with mitmdump(tmp_path, rules, github.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert DEFAULT_TOKEN not in proxy.log


@pytest.fixture
def client(proxy: Proxy, tmp_path: Path) -> Client:
    """Clients that go through the proxy, and hold no token."""
    return Client(tmp_path, proxy.variables())


@pytest.fixture
def outsider(github: StandIn, tmp_path: Path) -> Client:
    """Clients without the proxy, that trust the stand-in's certificates."""
    return Client(tmp_path, dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT"), str(github.ca_file)))


@pytest.fixture
def shell(github: StandIn, rules: Path, tmp_path: Path) -> Shell:
    """A developer's shell, for `gatepass run`: it trusts the stand-in, and holds a token."""
    env = Client(tmp_path, {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN}).env
    return Shell(tmp_path, rules, env)


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a home, and a runtime folder of the session's."""
    return session(tmp_path)


@pytest.fixture
def serving(user: dict[str, str], tmp_path: Path) -> Iterator[Announced]:
    """What is told of a `gatepass serve` of that user that listens; the bundle's name is hard to quote."""
    with listening(user, tmp_path / os.fsdecode(b"the bundle's, \xc3\xa9.pem")) as known:
        yield known


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `~` in the working one, where nothing tells this user's home: whatever is in it is a trap."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # which has no entry
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    return tmp_path / "~"


@pytest.fixture
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Running]]:
    """A company's proxy that wants a password and tunnels all; its URL, and itself."""
    folder = tmp_path_factory.mktemp("company")
    options = ("--listen-host=127.0.0.1", "--listen-port=0", f"--set=confdir={folder}", "--ignore-hosts=.*")
    command: list[str | Path] = [BIN / "mitmdump", *options, "--set=proxyauth=me:p@ss/1"]
    with background(command, {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUNBUFFERED": "1"}) as running:
        port = running.wait_for(r"listening at (?:http://)?127\.0\.0\.1:(\d+)")[1]
        yield f"http://me:{quote('p@ss/1', safe='')}@127.0.0.1:{port}", running


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an environment with packages from the index, past every proxy here; its folder of programs.

    Where there is no index the test is skipped by the packages' names.
    """
    made: dict[tuple[str, ...], Path] = {}

    def make(*packages: str) -> Path:
        if packages not in made:
            folder = tmp_path_factory.mktemp("environment")
            uv = shutil.which("uv") or "uv"
            commands: list[list[str | Path]] = [
                [uv, "venv", "--quiet", "--python", sys.executable, folder],
                [uv, "pip", "install", "--quiet", "--python", folder, *packages],
            ]
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
                if done.returncode != 0:
                    pytest.skip(f"{', '.join(packages)} cannot be installed: {done.stderr[-300:]}")
            made[packages] = folder / "bin"
        return made[packages]

    return make
