"""mitmproxy's modes, end to end: `mitmdump -s addon/inject.py` serves in each, or says at start that it cannot."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from conftest import RULES
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Release, Repository, StandIn
from harness import Client, connections, free_port, mitmdump, strays
from networks import in_a_network_of_its_own

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Publish
    from harness import Proxy, Running

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def url(publish: Publish) -> str:
    """A private asset of 10,240 bytes that differ."""
    return publish(CONTENT)


@pytest.fixture
def start(github: StandIn, rules: Path, tmp_path: Path) -> Callable[..., AbstractContextManager[Proxy]]:
    """Starts a proxy in a mode, with further options."""

    def start(mode: str, *options: str) -> AbstractContextManager[Proxy]:
        arguments = ("--mode", mode, *options)
        return mitmdump(tmp_path, rules, github.ca_file, *arguments, STANDIN_TOKEN=DEFAULT_TOKEN)

    return start


def serves(client: Client, url: str, *arguments: str) -> None:
    """All that is asked of an asset is answered as it should."""
    full, head = client.fetch(url, "-L", *arguments), client.fetch(url, "-I", *arguments)
    assert (full.status, full.body) == (200, CONTENT)
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert client.fetch(url, "-r", "0-9", *arguments).body == CONTENT[:10]
    assert client.fetch(url.replace("/acme/", "/other/"), *arguments).status == 404


def warned(proxy: Proxy) -> list[str]:
    return re.findall(r"gatepass: (mode .*)", proxy.log)


# The regular mode is that of all other tests.


def test_socks(start: Callable[..., AbstractContextManager[Proxy]], github: StandIn, tmp_path: Path, url: str) -> None:
    """The SOCKS mode serves as the regular one does, where the client leaves names to the proxy."""
    with start("socks5") as proxy:
        client = Client(tmp_path, proxy.variables())
        serves(client, url, "--proxy", proxy.url.replace("http:", "socks5h:"))
        assert warned(proxy) == []
    assert strays(github, DEFAULT_TOKEN) == []


def test_upstream(
    start: Callable[..., AbstractContextManager[Proxy]],
    company: tuple[str, Running],
    github: StandIn,
    tmp_path: Path,
    url: str,
) -> None:
    """In upstream mode the addon's own calls and the bytes both go through the other proxy, with its password."""
    address, running = company
    parts = urlsplit(address)
    auth = f"upstream_auth={parts.username}:{unquote(parts.password or '')}"
    with start(f"upstream:http://{parts.hostname}:{parts.port}", "--set", auth) as proxy:
        serves(Client(tmp_path, proxy.variables()), url)
        assert warned(proxy) == []
        assert unquote(parts.password or "") not in proxy.log
    assert github.calls("api")
    assert connections(running) == {github.web, github.asset_host}
    assert strays(github, DEFAULT_TOKEN) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_reverse(
    start: Callable[..., AbstractContextManager[Proxy]], github: StandIn, tmp_path: Path, url: str, scheme: str
) -> None:
    """A reverse proxy for the forge serves at its own address, by http and by https, what is the forge's."""
    with start(f"reverse:https://{github.web}") as proxy:
        client = Client(tmp_path, {"CURL_CA_BUNDLE": str(proxy.bundle)})
        here = f"{scheme}://localhost:{urlsplit(proxy.url).port}"
        serves(client, url.replace(f"https://{github.web}", here))
        assert warned(proxy) == []
    assert strays(github, DEFAULT_TOKEN) == []


def test_reverse_to_another_host(
    start: Callable[..., AbstractContextManager[Proxy]], github: StandIn, tmp_path: Path, url: str
) -> None:
    """A reverse proxy for a host that no rule names does nothing, whatever Host it is asked for, and says so."""
    with start(f"reverse:https://{github.asset_host}") as proxy:
        client = Client(tmp_path, {})
        here = url.replace(f"https://{github.web}", proxy.url)
        assert client.fetch(here, "-H", f"Host: {github.web}").status != 200
        (said,) = warned(proxy)
        assert f"no rule names {github.asset_host}, but {github.web}" in said
    assert github.calls("api") == []


def test_reverse_without_tls(
    start: Callable[..., AbstractContextManager[Proxy]], github: StandIn, tmp_path: Path, url: str
) -> None:
    """A reverse proxy that speaks http upstream gets no credential, and that is said."""
    with start(f"reverse:http://{github.web}") as proxy:
        client = Client(tmp_path, {})
        assert client.fetch(url.replace(f"https://{github.web}", proxy.url)).status != 302
        (said,) = warned(proxy)
        assert said.endswith("no credential goes there: expected `reverse:https://…`")
    assert github.calls("api") == []


# ----------------------------------------------------------------- transparent


REDIRECT = """\
table ip nat {{
  chain output {{
    type nat hook output priority -100
    ip saddr 127.0.0.2 tcp dport {{ {ports} }} redirect to :{proxy}
  }}
}}
"""


@in_a_network_of_its_own
def test_transparent(tmp_path: Path) -> None:
    """Redirected by the kernel, a client that knows of no proxy is served; without SNI it is tunnelled untouched."""
    private = Repository("acme", "tool", releases=[Release("v1.0", [Asset("data.bin", CONTENT)])])
    with StandIn(repositories=[private]) as github:
        (tmp_path / "rules.yaml").write_text(RULES.format(web=github.web, api=github.api))
        port = free_port()
        ports = ", ".join(str(urlsplit(f"//{host}").port) for host in (github.web, github.asset_host))
        subprocess.run(["nft", "-f", "-"], input=REDIRECT.format(ports=ports, proxy=port).encode(), check=True)
        options = ("--mode", "transparent", "--listen-port", str(port))
        with mitmdump(
            tmp_path, tmp_path / "rules.yaml", github.ca_file, *options, STANDIN_TOKEN=DEFAULT_TOKEN
        ) as proxy:
            client = Client(tmp_path, {"CURL_CA_BUNDLE": str(proxy.bundle)})
            url = github.download_url("acme/tool", "v1.0", "data.bin")
            redirected = ("-4", "--interface", "127.0.0.2")
            serves(client, url, *redirected)
            api_calls = len(github.calls("api"))
            # an address is no name, and so no SNI: the stand-in's own certificate is what the client gets
            without_sni = (*redirected, "--cacert", str(github.ca_file))
            assert client.fetch(url.replace("localhost", "127.0.0.1"), *without_sni).status == 404
            assert len(github.calls("api")) == api_calls
            assert client.fetch(url, "-4").status == 404, "who is not redirected goes to the forge"
            (said,) = warned(proxy)
            assert "no SNI" in said
        assert strays(github, DEFAULT_TOKEN) == []
