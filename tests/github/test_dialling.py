"""The client of a forge connects to the addresses that it is told, and to no others; TLS is verified for the name."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx2
import pytest

from gatepass.egress.destinations import Place, Reach
from gatepass.egress.guard import Way
from gatepass.egress.lookup import Lookup
from gatepass.forge.hosts import Host
from gatepass.forge.signed import SignedUrl
from gatepass.github.client import GitHub
from gatepass.problems.problem import Unresolvable
from gatepass.rules.access import Egress
from harness import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatepass.demo.standin import StandIn


class Told:
    """Every host is at these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def dial(self, name: str, port: int) -> Sequence[str]:
        self.asked.append(f"{name}:{port}")
        return self.addresses

    def expect_literal(self, name: str, port: int) -> None:
        raise AssertionError(f"no proxy is asked for {name}:{port}")


def signed(host: str) -> SignedUrl:
    url = SignedUrl.parse(f"https://{host}/x")
    assert url is not None
    return url


async def test_the_address_that_is_told(github: StandIn) -> None:
    """A name that no resolver knows is reached at the address that is told, and is the one that TLS verifies."""
    trust = ssl.create_default_context(cafile=github.ca_file)
    _, _, port = github.asset_host.partition(":")
    way = Told("127.0.0.1")
    client = GitHub(trust, way=way)
    try:
        excerpt = await client.excerpt(signed(f"objects.githubusercontent.com:{port}"), {}, 10)
        assert excerpt.status == 403
        assert way.asked == [f"objects.githubusercontent.com:{port}"]
        with pytest.raises(Unresolvable) as told:
            await client.excerpt(signed(f"unheard-of.example:{port}"), {}, 10)
        assert told.value.problem.kind == "certificate-not-trusted"
    finally:
        await client.close()


async def test_the_next_address(github: StandIn) -> None:
    """An address that does not answer is no end where there is another."""
    trust = ssl.create_default_context(cafile=github.ca_file)
    _, _, port = github.asset_host.partition(":")
    client = GitHub(trust, way=Told("127.0.0.9", "127.0.0.1"))
    try:
        assert (await client.excerpt(signed(f"localhost:{port}"), {}, 10)).status == 403
    finally:
        await client.close()


def way(*named: Host) -> Way:
    return Way(Reach(Egress(), frozenset(named)), Lookup(), lambda: True)


async def test_an_address_that_is_not_public(github: StandIn) -> None:
    """What a guarded client is sent to is judged before it is connected to; a host that the rules name is reached."""
    trust = ssl.create_default_context(cafile=github.ca_file)
    host = Host.parse(github.asset_host)
    for guarding, expected in ((way(), "address-not-public"), (way(host), None)):
        client = GitHub(trust, way=guarding)
        try:
            if expected is None:
                assert (await client.excerpt(signed(github.asset_host), {}, 10)).status == 403
            else:
                with pytest.raises(Unresolvable) as told:
                    await client.excerpt(signed(github.asset_host), {}, 10)
                assert told.value.problem.kind == expected
                assert github.calls() == []
        finally:
            await client.close()


async def test_through_a_proxy() -> None:
    """A literal address is judged before an upstream proxy is asked for it; a name is the proxy's to resolve."""
    dead = httpx2.Proxy(f"http://127.0.0.1:{free_port()}")
    client = GitHub(ssl.create_default_context(), dead, way=way())
    try:
        for host, kind in (("10.0.0.1", "address-not-public"), ("localhost", "unreachable")):
            with pytest.raises(Unresolvable) as told:
                await client.excerpt(signed(host), {}, 10)
            assert told.value.problem.kind == kind
    finally:
        await client.close()


async def test_past_a_proxy() -> None:
    """A host that the upstream proxy is not for is connected to directly, and judged as such."""
    dead = httpx2.Proxy(f"http://127.0.0.1:{free_port()}")
    client = GitHub(ssl.create_default_context(), dead, direct=lambda _: True, way=way())
    try:
        with pytest.raises(Unresolvable) as told:
            await client.excerpt(signed("localhost"), {}, 10)
        assert told.value.problem.kind == "address-not-public"
    finally:
        await client.close()


def test_this_machine_resolves_localhost() -> None:
    """The tests above rest on it."""
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    assert Place.parse("localhost", 443).literals == ()
