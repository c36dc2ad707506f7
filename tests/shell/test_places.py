"""Where secrets lie, where sockets are, and which variables hold secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.shell import places

HOME = Path("/home/me")


def test_no_home_and_no_variables() -> None:
    """Without a home, and with variables that are empty or relative, only places of the system are left."""
    environ = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GH_CONFIG_DIR", "KUBECONFIG", "ZDOTDIR"), "relative")
    for found in (places.secrets(environ, []), places.orders(environ, []), places.secrets({}, [])):
        assert {path.parts[1] for path in found} <= {"etc", "var", "usr", "bin", "sbin", "lib", "opt", "boot"} | {
            "lib32", "lib64", "libx32",
        }  # fmt: skip


def test_places_that_variables_move() -> None:
    """What a variable moves is hidden where it is then, and where it would be without: both may be there."""
    environ = {
        "XDG_CONFIG_HOME": "/cfg", "CARGO_HOME": "/cargo", "KUBECONFIG": "/k/one:/k/two", "KRB5CCNAME": "FILE:/tickets",
    }  # fmt: skip
    found = set(places.secrets(environ, [HOME]))
    expected = ("/cfg/gh", "/home/me/.config/gh", "/cargo/credentials.toml", "/k/one", "/k/two", "/tickets")
    assert {*map(Path, expected)} <= found
    assert Path("/cfg/git") in set(places.orders(environ, [HOME]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ("GH_TOKEN", "NPM_TOKEN", "MYTOKEN", "PGPASSWORD", "A_SECRET_B", "openai_api_key")),
        *((name, "x") for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITLAB_PAT", "npm_config__auth")),
        ("ANY", "https://me:pw@example.com/"), ("ANY", "a ghp_0123"), ("ANY", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_variables_with_a_secret(name: str, value: str) -> None:
    """A variable holds a secret by its name, in any case, or by what is in it."""
    assert places.is_secret(name, value)


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "HOME", "SSH_AUTH_SOCK", "GIT_CONFIG_COUNT", "AUTHOR", "TOKENIZERS_PARALLELISM", "GPG_KEY"]
)
def test_variables_without(name: str) -> None:
    """What merely sounds like one stays: a program would miss it."""
    assert not places.is_secret(name, "https://example.com/a:b@c")


def line(number: int, path: str) -> str:
    """As the kernel writes it (`net/unix/af_unix.c`)."""
    return f"{number:016x}: 00000002 00000000 00010000 0001 01 {number:5d}{path and f' {path}'}\n"


def test_sockets_that_are_listed() -> None:
    """Those with a path are found, whatever is in it, and neither abstract nor nameless ones."""
    paths = ["/run/a.sock", "", "@abstract", "/tmp/with spaces", "/tmp/with\nlines: 0", "relative"]
    listed = "Num       RefCount Protocol Flags    Type St Inode Path\n" + "".join(map(line, range(6), paths))
    assert [str(path) for path in places.listed_sockets(listed)] == [paths[0], paths[3], paths[4]]


@given(st.text(), st.lists(st.text(st.characters(exclude_characters="\n\0"), min_size=1).map(lambda name: f"/{name}")))
def test_any_list(text: str, paths: list[str]) -> None:
    """What else the list says makes no socket hidden from it, nor one up that is none."""
    list(places.listed_sockets(text))
    listed = "".join(line(number, path) for number, path in enumerate(paths))
    assert list(places.listed_sockets(listed)) == [*map(Path, paths)]
