"""Where clients may go, by what the rules say: hosts, ports, and the addresses that hosts have."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.egress.destinations import Place, Reach
from gatepass.rules.parser import parse

LOOPBACK = [ip_address("127.0.0.1")]


def reach(text: str) -> Reach:
    return Reach.of(parse(f"version: 1\n{text}", "rules.yaml", Path()))


RULE = "rules: [{match: files.example.com:8443/x, headers: {x: y}}]\n"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("GitHub.COM", "github.com"),
        ("github.com.", "github.com"),
        ("git%68ub%2ecom", "github.com"),
        ("\uff47ithub.com", "github.com"),
        ("github\u3002com", "github.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("127.1", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("127%2e0.0.1.", "127.0.0.1"),
        ("[::FFFF:127.0.0.1]", "127.0.0.1"),
        ("[fe80::1%25eth0]", "fe80::1%eth0"),
    ],
)
def test_spellings(host: str, name: str) -> None:
    """A host is judged as what resolvers make of it."""
    assert Place.parse(host, 443).name == name


@pytest.mark.parametrize("host", ["", ".", "a..b", "x:y", "a" * 64, "a." * 200, "a" * 100_000])
def test_no_host(host: str) -> None:
    """What no resolver could read is refused."""
    with pytest.raises(ValueError, match=r"label|name of a host"):
        Place.parse(host, 443)


@given(st.text(max_size=20))
def test_any_host(host: str) -> None:
    """Whatever is asked for is a place in ASCII, or none: nothing else is raised."""
    try:
        place = Place.parse(host, 443)
    except ValueError:
        return
    assert place.name.isascii()
    assert place.name == place.name.lower()


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("github.com", 443, None),
        ("github.com", 80, None),
        ("GITHUB.com.", 443, None),
        ("github.com", 22, "not in egress.allow"),
        ("objects.githubusercontent.com", 443, None),
        ("githubusercontent.com", 443, "not in egress.allow"),
        ("packages.example.com", 8443, None),
        ("packages.example.com", 443, "not in egress.allow"),
        ("evil.example", 443, "not in egress.allow"),
        ("bad.github.com", 443, "not in egress.allow"),
        ("a.paste.example", 443, "egress.deny has *.paste.example"),
        ("A.B.paste.example.", 443, "egress.deny has *.paste.example"),
        ("worst.githubusercontent.com", 443, "egress.deny has worst.githubusercontent.com"),
    ],
)
def test_allow_and_deny(host: str, port: int, reason: str | None) -> None:
    """`deny` is asked before `allow`; a plain HOST means 443 and 80, and `*.x` does not hold `x`. The reason names the
    entry.
    """
    text = (
        'egress: {allow: [github.com, "*.githubusercontent.com", "packages.example.com:8443"], '
        'deny: ["*.paste.example", worst.githubusercontent.com]}\n'
    )
    problem = reach(text + RULE).refusal(Place.parse(host, port))
    if reason is None:
        assert problem is None
    else:
        assert problem is not None
        assert (problem.kind, problem.status) == ("host-not-allowed", 403)
        assert reason in problem.reason


def test_an_address_that_is_denied() -> None:
    """An address is denied in all its spellings."""
    denied = reach('egress: {deny: ["1.1.1.1", "[2606:4700::1111]"]}\n' + RULE)
    for host in ("1.1.1.1", "16843009", "0x1.1.1.1", "[::ffff:1.1.1.1]", "[2606:4700:0:0::1111]"):
        assert denied.refusal(Place.parse(host, 443)), host


def test_nothing_said() -> None:
    """Without `egress` every host is allowed, and no address that is not public."""
    plain = reach(RULE)
    assert plain.refusal(Place.parse("anything.example", 443)) is None
    problem = plain.forbidden(Place.parse("anything.example", 443), LOOPBACK)
    assert problem is not None
    assert (problem.kind, problem.status) == ("address-not-public", 403)
    assert "127.0.0.1 is not public" in problem.reason


FORGES = """\
forges: [{web: ghe.example.com, assets: [assets.example.com]}]
credentials: {c: {from: [env:C], hosts: [other.example.com]}, g: {from: [env:G], hosts: [ghe.example.com]}}
clients: {ci: {oidc: {issuer: "https://issuer.example.com/x", audience: gatepass}}}
rules:
  - {match: ghe.example.com/*/releases/download/*, resolve: github-release, credential: g}
  - {match: files.example.com:8443/x, headers: {x: y}}
"""


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("ghe.example.com", 443),
        ("assets.example.com", 443),
        ("other.example.com", 443),
        ("issuer.example.com", 443),
        ("files.example.com", 8443),
    ],
)
def test_named_hosts(host: str, port: int) -> None:
    """What the rules name may be at any address: a rule's, a credential's, a forge's, and an issuer's host."""
    assert reach(FORGES).forbidden(Place.parse(host, port), LOOPBACK) is None
    assert reach(FORGES).forbidden(Place.parse(host, port + 1), LOOPBACK), "the port is part of the name"


@pytest.mark.parametrize(
    "host", ["objects.githubusercontent.com", "github.com", "api.github.com", "files.example.com", "localhost"]
)
def test_hosts_that_are_not_named(host: str) -> None:
    """What is built in and what is named with another port is not named."""
    assert reach(FORGES).forbidden(Place.parse(host, 443), LOOPBACK)


def test_github_where_it_is_used() -> None:
    """A rule for github.com names it and its API, and none of the asset hosts that are built in."""
    used = reach("rules: [{match: github.com/*/releases/download/*, resolve: github-release, credential: c}]\n"
                 "credentials: {c: {from: [env:C], hosts: [github.com]}}\n")  # fmt: skip
    for host in ("github.com", "api.github.com"):
        assert used.forbidden(Place.parse(host, 443), LOOPBACK) is None
    for host in ("objects.githubusercontent.com", "release-assets.githubusercontent.com"):
        assert used.forbidden(Place.parse(host, 443), LOOPBACK)


def test_private() -> None:
    """`egress.private` opens what it holds; a name that has another address besides is refused."""
    opened = reach("egress: {private: [10.1.2.0/24]}\n" + RULE)
    place = Place.parse("inside.example", 443)
    inside, public = ip_address("10.1.2.3"), ip_address("1.1.1.1")
    assert opened.forbidden(place, [inside, public]) is None
    assert opened.forbidden(place, [inside, ip_address("10.1.3.3")])
    assert opened.forbidden(place, [public, *LOOPBACK])
