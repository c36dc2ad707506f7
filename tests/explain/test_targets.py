"""What is read of a URL that is to be explained: where it leads, and whether git or an index is asked there."""

from __future__ import annotations

import pytest

from gatepass.explain.target import at_index, read_url
from gatepass.rules import parser

RULES = parser.parse("""\
version: 1
credentials:
  github: {from: [env:A], hosts: [github.com, packages.example.org]}
rules:
  - {match: github.com/acme/*, resolve: github-release, credential: github}
  - {match: packages.example.org/*, headers: {A: "{credential}"}, credential: github}
indexes:
  acme: {repositories: [github.com/acme/tool], credential: github}
""")


@pytest.mark.parametrize(
    ("text", "url", "is_git"),
    [
        ("https://github.com/acme/tool", "https://github.com/acme/tool", False),
        ("https://github.com/acme/tool.git", "https://github.com/acme/tool.git", True),
        ("git+https://me:secret@github.com/acme/tool@v1#egg=a", "https://github.com/acme/tool", True),
        ("git+https://github.com/acme/tool#egg=a@b", "https://github.com/acme/tool", True),
        (
            "https://github.com/acme/tool/info/refs?service=git-upload-pack",
            "https://github.com/acme/tool/info/refs",
            True,
        ),
        (
            "https://github.com/acme/tool.git/git-receive-pack",
            "https://github.com/acme/tool.git/git-receive-pack",
            True,
        ),
        ("https://github.com/acme/tool/info/lfs/locks", "https://github.com/acme/tool/info/lfs/locks", True),
        ("https://github.com/acme/tool/raw/main/a.git", "https://github.com/acme/tool/raw/main/a.git", False),
        ("https://github.com./acme", "https://github.com/acme", False),
    ],
)
def test_git_is_known(text: str, url: str, is_git: bool) -> None:
    """Git's own addresses are told from pages, and no user, query or fragment is kept."""
    target = read_url(text)
    assert target is not None
    assert (target.url, target.is_git) == (url, is_git)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("https://gatepass.internal/acme/simple/", "/acme/simple/"),
        ("https://gatepass.internal:443/", "/"),
        ("http://gatepass.internal/acme/simple/", None),
        ("https://gatepass.internal:444/acme/simple/", None),
        ("http://me:secret@127.0.0.1:8081/acme/simple/tool/", "/acme/simple/tool/"),
        ("http://[::1]:8081/acme/simple/", "/acme/simple/"),
        ("https://packages.example.com/py/acme/simple", "/acme/simple"),
        ("https://packages.example.com/github.com/acme/tool/simple/", "/github.com/acme/tool/simple/"),
        ("https://packages.example.com/acme/files/github.com/a/b/releases/download/v/f",
            "/acme/files/github.com/a/b/releases/download/v/f"),
        ("https://packages.example.com/other/simple/", None),
        ("https://packages.example.com/gitlab.com/acme/tool/simple/", None),
        ("https://packages.example.com/simple/", None),
        ("https://packages.example.org/acme/simple/", None),
        ("https://github.com/acme/simple/", None),
        ("ftp://packages.example.com/acme/simple/", None),
        ("https://[::1", None),
        ("https://packages.example.com:x/acme/simple/", None),
    ],
)  # fmt: skip
def test_indexes_are_known(text: str, path: str | None) -> None:
    """An index behind the proxy is known by its name, and a server of indexes by those that the rules have; what a rule
    matches is a rule's; and no password is shown.
    """
    target = at_index(text, RULES)
    assert (target and target.path) == path
    assert target is None or "secret" not in target.url


def test_without_rules() -> None:
    """Without rules the proxy's own name is all that is known."""
    assert at_index("https://gatepass.internal/acme/simple/", None) is not None
    assert at_index("https://packages.example.com/acme/simple/", None) is None
