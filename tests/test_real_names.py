"""github.com's own names, and the repository's own rules.yaml: what is tested is what users get without any setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository, StandIn
from harness import ROOT, Client, Proxy, mitmdump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = package.wheel("acme_tool", "1.0")
URL = f"https://github.com/acme/tool/releases/download/v1.0/{WHEEL.name}"
API, SIGNED = "api.github.com", "objects.githubusercontent.com"


@pytest.fixture(scope="module")
def _world() -> Iterator[StandIn]:
    with StandIn(real_names=True) as standin:
        standin.repositories += [
            Repository("acme", "tool", releases=[Release("v1.0", [Asset(WHEEL.name, WHEEL.content)])]),
            Repository("acme", "open", private=False),
        ]
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


def hosts(world: StandIn) -> list[str]:
    """The hosts that were asked, without repetition."""
    return list(dict.fromkeys(call.host for call in world.calls()))


def test_uv(client: Client, world: StandIn) -> None:
    """`uv pip install https://github.com/…` installs a private wheel with the rules as they are."""
    result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {URL}")
    assert result.code == 0, result.output
    assert (client.home / "site" / "acme_tool.py").exists()
    assert set(hosts(world)) == {API, SIGNED}


def test_curl(client: Client, world: StandIn) -> None:
    """The API gets the token, the signed host does not; the web host is not even asked."""
    assert client.fetch(URL, "-L").body == WHEEL.content
    assert hosts(world) == [API, SIGNED]
    assert {call.headers["authorization"] for call in world.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}
    assert all("authorization" not in call.headers for call in world.calls("asset"))


def test_head_and_range(client: Client, world: StandIn) -> None:
    """HEAD and ranges are answered in place, past the HEAD trap."""
    head, part = client.fetch(URL, "-I"), client.fetch(URL, "-r", "0-9")
    assert (head.status, head.headers["content-length"]) == (200, str(len(WHEEL.content)))
    assert (part.status, part.body) == (206, WHEEL.content[:10])
    assert {call.method for call in world.calls("asset")} == {"GET"}


def test_latest(client: Client) -> None:
    """`releases/latest/download` is in the rules, too."""
    latest = f"https://github.com/acme/tool/releases/latest/download/{WHEEL.name}"
    assert client.fetch(latest, "-L").body == WHEEL.content


def test_other_traffic(client: Client, world: StandIn) -> None:
    """Web pages and git pass through github.com without a credential."""
    assert client.fetch("https://github.com/acme/open").status == 200
    git = "https://github.com/acme/open.git"
    assert client.fetch(f"{git}/info/refs?service=git-upload-pack").status == 200
    assert client.fetch(f"{git}/git-upload-pack", "--data-binary", "x" * 100).body == b"POST of 100 bytes\n"
    assert hosts(world) == ["github.com"]
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
def test_look_alike(client: Client, world: StandIn, address: str) -> None:
    """A host that resembles github.com is tunnelled, and nobody is asked for it."""
    url = URL.replace("github.com/acme", address)
    client.curl("-o", "out", "--insecure", url)
    assert world.calls("api") == []
    assert all("authorization" not in call.headers or call.host == "evil.test" for call in world.calls())


@pytest.mark.parametrize("host", ["GitHub.com", "github.com:443", "me:mine@github.com"])
def test_spellings(client: Client, world: StandIn, host: str) -> None:
    """Other spellings of github.com are github.com."""
    assert client.fetch(URL.replace("github.com", host), "-L").body == WHEEL.content
    assert {call.headers["authorization"] for call in world.calls("api")} == {f"Bearer {DEFAULT_TOKEN}"}
