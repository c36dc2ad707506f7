"""Hosts and forges: what a name is, and which names alone tell a forge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.forge.hosts import GITHUB, Forge, Host, enterprise_server, is_githubs_own, known

names = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?(\.[a-z0-9]{1,8}){0,3}", fullmatch=True)


@given(names, st.integers(1, 65535))
def test_round_trip(name: str, port: int) -> None:
    """What a host is shown as is read as that host, in whatever case; the port of https goes without saying."""
    host = Host(name, port)
    assert Host.parse(str(host)) == Host.parse(str(host).upper()) == host
    assert str(host) == (name if port == 443 else f"{name}:{port}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "github.com.",
        ".github.com",
        "git hub.com",
        "github..com",
        "-a.test",
        "a-.test",
        "ä.test",
        "https://github.com",
        "github.com/acme",
        "me@github.com",
        "[::1]",
        "::1",
        "github.com:",
        "github.com:0",
        "github.com:65536",
        "github.com:٤٤٣",
        "github.com:+1",
        "github.com:443\n",
        "github.com\n",
        f"{'a' * 64}.test",
        ".".join(["a" * 60] * 5),
    ],
)
def test_no_host(text: str) -> None:
    """What is no DNS name with a port is refused in words that say what was expected."""
    with pytest.raises(ValueError, match=r"expected a (host name, such as|port from 1 to 65535)"):
        Host.parse(text)


@given(st.text("aZ09._-:/@[] ²ä\n\x00") | st.text())
def test_any_text(text: str) -> None:
    """Any text is a host, which can be shown and read again, or no host; there is no other error."""
    try:
        host = Host.parse(text)
    except ValueError:
        return
    assert Host.parse(str(host)) == host
    assert host.name == host.name.lower()
    assert host.name.isascii()


@pytest.mark.parametrize(
    ("name", "api"),
    [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("a-b.ghe.com", "https://api.a-b.ghe.com"),
        ("ghe.com", None),
        ("api.ghe.com", None),
        ("auth.ghe.com", None),
        ("api.acme.ghe.com", None),
        ("acme.ghe.com.evil.test", None),
        ("acmeghe.com", None),
        ("www.github.com", None),
        ("github.com:8443", None),
        ("acme.ghe.com:8443", None),
        ("ghe.example.com", None),
    ],
)
def test_known_by_name(name: str, api: str | None) -> None:
    """github.com and each tenant of ghe.com is known for a forge by its name, and no look-alike, and no other port."""
    host = Host.parse(name)
    forge = known(host)
    assert (forge and forge.api) == api
    assert forge is None or (forge.web, forge.is_cloud) == (host, True)


def test_a_tenants_asset_hosts() -> None:
    """A tenant's assets may come from below its own name, or from github.com's hosts."""
    tenant = known(Host("acme.ghe.com"))
    assert tenant is not None
    assert {str(host) for host in tenant.assets} > {str(host) for host in GITHUB.assets}
    own = set(tenant.assets) - set(GITHUB.assets)
    assert all(host.name.endswith(".acme.ghe.com") for host in own)


@pytest.mark.parametrize("web", ["ghe.example.com", "ghe.example.com:8443"])
def test_an_enterprise_server(web: str) -> None:
    """A GitHub Enterprise Server has its API on its own host and port, and is no cloud."""
    forge = enterprise_server(Host.parse(web))
    assert forge == Forge(Host.parse(web), f"https://{web}/api/v3")
    assert forge.api_host == forge.web
    assert not forge.is_cloud


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("github.com", True),
        ("gist.github.com", True),
        ("ghe.com", True),
        ("acme.ghe.com", True),
        ("notgithub.com", False),
        ("github.com.evil.test", False),
        ("ghe.example.com", False),
    ],
)
def test_githubs_own_names(name: str, is_own: bool) -> None:
    """GitHub's own names end with a whole label of its two domains."""
    assert is_githubs_own(Host(name)) == is_own


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "b.a.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "notexample.com", False),
        ("*.example.com", "a.example.com.evil.test", False),
        ("*.example.com", "a.example.com.", False),
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "b.a.example.com", False),
        ("a.example.com", "*.example.com", False),
    ],
)
def test_covers(pattern: str, name: str, is_covered: bool) -> None:
    """`*.` before a name stands for all below it, at the same port, and neither for itself nor for what ends alike."""
    assert Host(pattern).covers(Host(name)) is is_covered
    assert not Host(pattern, 8443).covers(Host(name))


ADDRESSES = ["127.0.0.1", "169.254.169.254", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.1", "10.0x", "1.2.3"]


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_no_name(name: str) -> None:
    """What resolvers read as an address is one, in each of its spellings; no forge has its assets there unasked."""
    host = Host(name)
    assert host.is_address
    assert not any(forge.may_serve(host) for forge in (GITHUB, enterprise_server(Host("ghe.test"))))


@pytest.mark.parametrize("name", ["localhost", "1.test", "a1", "0x7f.test", "x0", "169.254.169.254.nip.io"])
def test_a_name_is_no_address(name: str) -> None:
    """A name may hold numbers: it is one by its last part."""
    assert not Host(name).is_address


@pytest.mark.parametrize(
    ("forge", "yes", "no"),
    [
        (
            GITHUB,
            ["objects.githubusercontent.com", "release-assets.githubusercontent.com", "new.githubusercontent.com"],
            ["githubusercontent.com", "objects.githubusercontent.com:8443", "evil-githubusercontent.com", "a.test"],
        ),
        (
            known(Host("acme.ghe.com")),
            ["objects.acme.ghe.com", "x.acme.ghe.com", "objects.githubusercontent.com"],
            ["other.ghe.com", "objects.other.ghe.com", "a.blob.core.windows.net"],
        ),
        (enterprise_server(Host("ghe.test")), ["media.ghe.test", "localhost:8443", "bucket.test"], ["10.0.0.1"]),
        (
            Forge(Host("ghe.test"), "https://ghe.test/api/v3", (Host("10.0.0.1"), Host("m.test", 8443))),
            ["10.0.0.1", "m.test:8443"],
            ["m.test", "10.0.0.2", "media.ghe.test"],
        ),
    ],
    ids=["github.com", "tenant", "server", "described server"],
)
def test_where_assets_may_be(forge: Forge, yes: list[str], no: list[str]) -> None:
    """Assets are at hosts that are known, by name or by the rules; of a server of which none is, at any name."""
    assert [host for host in (*yes, *no) if forge.may_serve(Host.parse(host))] == yes
