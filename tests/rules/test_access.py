"""rules.yaml's `clients`, `trusted_proxies`, `egress` and `limits`: what they may say, mean, and how errors read."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from gatepass.rules.access import OPEN, Access, Client, Htpasswd, Limits, Networks, Oidc, Password
from gatepass.rules.describe import describe, warnings
from gatepass.rules.parser import parse
from gatepass.rules.values import read_destination
from gatepass.rules.yaml_source import RulesError
from gatepass.sources import Env

HEAD = """\
version: 1
credentials: {acme: {from: [env:GH_TOKEN], hosts: [github.com]}}
"""
RULE = """\
rules:
  - name: acme's releases
    match: github.com/acme/*/releases/download/*
    resolve: github-release
    credential: acme
"""
CLIENTS = """\
clients:
  ci: {password: [env:CI_PROXY_PASSWORD]}
  developers: {htpasswd: developers.htpasswd}
  actions:
    oidc:
      issuer: https://token.actions.githubusercontent.com
      audience: gatepass
      claims: {repository_owner: acme, ref: "refs/heads/*"}
  office: {networks: [10.20.0.0/16, "fd00:20::/32"]}
"""


def test_a_file_that_says_nothing_of_it_guards_nothing() -> None:
    access = parse(HEAD + RULE).access
    assert access == OPEN == Access()
    assert not access.is_guarded
    assert access.limits == Limits(None, None, 60)


def test_each_way_to_be_known() -> None:
    """Clients keep their order; a file of users lies beside the rules, wherever those are read."""
    access = parse(HEAD + RULE + CLIENTS, "r.yaml", Path("/etc/gatepass")).access
    assert access.clients == (
        Client("ci", Password((Env("CI_PROXY_PASSWORD"),))),
        Client(
            "developers",
            Htpasswd(Path("/etc/gatepass/developers.htpasswd"), "r.yaml:10:16: clients.developers.htpasswd"),
        ),
        Client(
            "actions",
            Oidc(
                "https://token.actions.githubusercontent.com",
                "gatepass",
                (("repository_owner", "acme"), ("ref", "refs/heads/*")),
            ),
        ),
        Client("office", Networks((ip_network("10.20.0.0/16"), ip_network("fd00:20::/32")))),
    )
    assert access.is_guarded
    assert access.files == (Path("/etc/gatepass/developers.htpasswd"),)


@pytest.mark.parametrize(
    ("text", "name", "port", "does"),
    [
        ("x.example", "x.example", 443, True),
        ("x.example", "x.example", 80, True),
        ("x.example", "x.example", 8443, False),
        ("x.example", "X.Example.", 443, True),
        ("x.example.", "x.example", 443, True),
        ("x.example", "a.x.example", 443, False),
        ("x.example:8443", "x.example", 8443, True),
        ("x.example:8443", "x.example", 443, False),
        ("*.x.example", "a.b.x.example", 443, True),
        ("*.x.example", "x.example", 443, False),
        ("*.x.example", "evilx.example", 443, False),
        ("*.x.example:1", "a.x.example", 1, True),
        ("10.0.0.1", "10.0.0.1", 443, True),
        ("[2001:DB8::1]:8443", "2001:db8::1", 8443, True),
        ("[::FFFF:1.2.3.4]", "1.2.3.4", 443, True),  # as it is judged
        ("X.example.:8443", "x.example", 8443, True),
        ("*.ZIP", "a.zip", 443, True),
        ("*.zip", "zip", 443, False),
    ],
)
def test_destination(text: str, name: str, port: int, does: bool) -> None:
    """A plain host means ports 443 and 80; `*.x` does not hold `x`; dot and letter case make no difference."""
    assert read_destination(text).covers(name, port) is does


def test_an_empty_list_allows_nothing() -> None:
    egress = parse(f"{HEAD}{RULE}egress: {{allow: []}}").access.egress
    assert egress is not None
    assert egress.allow == ()


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("clients: {}", "3:1: clients", "at least one entry, got none"),
        ("clients: {a: {}}", "3:11: clients.a", "one of `password`, `htpasswd`, `oidc` and `networks`, got none"),
        ("clients: {a: {password: [env:X], networks: ['::1']}}", "3:11: clients.a", "got `password` and `networks`"),
        ("clients: {a b: {networks: ['::1']}}", "3:11: clients.`a b`", "a name of letters"),
        ("clients: {a: {password: [gh]}}", "3:26: clients.a.password[0]", "the source of a password, got `gh`"),
        ("clients: {a: {password: [systemd:a/b]}}", "3:26: clients.a.password[0]", "expected `systemd:NAME`"),
        ("clients: {a: {password: env:X}}", "3:15: clients.a.password", "a list"),
        ("clients: {a: {networks: [10.0.0.1/8]}}", "3:26: clients.a.networks[0]", "did you mean `10.0.0.0/8`?"),
        ("clients: {a: {networks: [here]}}", "3:26: clients.a.networks[0]", "a network, as in"),
        ("clients: {a: {oidc: {issuer: 'https://i'}}}", "3:15: clients.a.oidc.audience", "text, got nothing"),
        ("clients: {a: {oidc: {audience: x}}}", "3:15: clients.a.oidc.issuer", "text, got nothing"),
        ("clients: {a: {oidc: {issuer: 'http://i', audience: x}}}", "3:22: clients.a.oidc.issuer", "an https URL"),
        ("trusted_proxies: [x]", "3:19: trusted_proxies[0]", "a network"),
        ("egress: {allow: ['*']}", "3:18: egress.allow[0]", "without `allow` every host is allowed"),
        ("egress: {allow: ['https://x.y']}", "3:18: egress.allow[0]", "leave scheme and path out"),
        ("egress: {deny: ['[::x]']}", "3:17: egress.deny[0]", "expected"),
        ("egress: {deny: ['127.1']}", "3:17: egress.deny[0]", "expected an address in its usual form"),
        ("egress: {deny: ['2130706433:80']}", "3:17: egress.deny[0]", "expected an address in its usual form"),
        ("egress: {deny: ['0x7f.0.0.1']}", "3:17: egress.deny[0]", "expected an address in its usual form"),
        ("egress: {report_only: maybe}", "3:10: egress.report_only", "`true` or `false`, got `maybe`"),
        ("egress: {allows: []}", "3:10: egress.allows", "did you mean `allow`?"),
        ("limits: {connections: 0}", "3:10: limits.connections", "a whole number from 1"),
        ("limits: {requests: true}", "3:10: limits.requests", "a whole number"),
    ],
)
def test_mistakes_are_located_and_explained(text: str, place: str, expected: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse(f"{HEAD}{text}\n{RULE}")
    assert f"rules.yaml:{place}" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("egress", "is_reached"),
    [
        ("deny: ['*.example.com']", False),
        ("deny: ['*.com']", False),
        ("deny: ['*.example.com:444']", True),
        ("deny: ['*.a.example.com', a.example.com]", True),
        ("allow: [github.com]", False),
        ("allow: [example.com]", False),
        ("allow: ['a.example.com:444']", False),
        ("allow: [a.example.com]", True),
        ("allow: ['*.a.example.com']", True),
        ("allow: ['*.com']", True),
    ],
)
def test_a_rule_for_several_hosts_that_no_client_reaches(egress: str, *, is_reached: bool) -> None:
    """It is told of a rule for a pattern, too, when none of its hosts is left."""
    rule = "rules: [{match: '*.example.com/x', headers: {x: y}}]"
    assert (list(warnings(parse(f"version: 1\n{rule}\negress: {{{egress}}}\n"))) == []) == is_reached


def test_limits_alone_in_words() -> None:
    """Limits hold without clients, and are told without them."""
    assert "limits of each\n  at once     3 connections" in describe(parse(f"{HEAD}{RULE}limits: {{connections: 3}}\n"))
    assert "limits" not in describe(parse(f"{HEAD}{RULE}"))


def test_a_rule_names_clients_that_there_are() -> None:
    assert parse(f"{HEAD}{RULE}    clients: [ci, office]\n{CLIENTS}").rules[0].clients == ("ci", "office")
    for clients in (CLIENTS, ""):
        with pytest.raises(RulesError, match=r"rules\[0\]\.clients\[0\]: expected the name of a client, got `cii`"):
            parse(f"{HEAD}{RULE}    clients: [cii]\n{clients}")


def test_in_words() -> None:
    """`check` tells what each client may do, and where all of them may go."""
    text = describe(
        parse(
            f"{HEAD}{RULE}    clients: [ci]\n{CLIENTS}"
            "egress: {allow: [github.com], deny: ['*.paste.example'], private: [10.1.2.0/24], report_only: true}\n"
            "limits: {requests: 1200}\ntrusted_proxies: [127.0.0.1]\n"
        )
    )
    for line in (
        "  clients     ci",
        "client ci\n  known by    its password: env:CI_PROXY_PASSWORD\n  rules       acme's releases",
        "client office\n  known by    its address: 10.20.0.0/16, fd00:20::/32\n  rules       none",
        "  reaches     github.com\n  but not     *.paste.example\n  only told",
        "  reached     public ones, and hosts that the rules name, and 10.1.2.0/24",
        "  a minute    1200 requests\n  a minute    60 misses",
        "trusted proxies\n  tell        clients' addresses: 127.0.0.1/32",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("egress: {allow: [gitlab.com]}", "rule `acme's releases` is reached by no client: `egress.allow` has no"),
        ("egress: {deny: [github.com]}", "rule `acme's releases` is reached by no client: `egress.deny` has"),
        (
            "clients: {a: {networks: [10.0.0.0/8]}, b: {networks: ['10.1.0.0/16', '::1']}}",
            "clients `a` and `b` both have 10.1.0.0/16: the first wins",
        ),
        ("egress: {allow: [github.com]}", None),
        ("egress: {allow: [gitlab.com], report_only: true}", None),
        (
            "clients: {a: {networks: [10.0.0.0/8]}, b: {networks: ['::ffff:10.1.0.0/112']}}",
            "clients `a` and `b` both have 10.1.0.0/16: the first wins",
        ),
        ("clients: {a: {networks: [10.0.0.0/8]}, b: {networks: ['11.0.0.0/8', '::/0']}}", None),
    ],
)
def test_what_cannot_work_is_told(text: str, warning: str | None) -> None:
    told = list(warnings(parse(f"{HEAD}{RULE}{text}\n")))
    assert (warning is None) == (told == [])
    assert warning is None or warning in told[0]
