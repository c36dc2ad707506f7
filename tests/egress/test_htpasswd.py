"""Files of Apache's `htpasswd`, made by it: what is read, what is refused, and what is told of their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatepass.egress import htpasswd
from gatepass.errors import GatepassError
from gatepass.rules.access import Access, Client, Htpasswd, Networks, Password
from gatepass.sources import Env
from harness import htpasswd as program

if TYPE_CHECKING:
    from pathlib import Path


def made(path: Path, *users: str, kind: str = "-B") -> Htpasswd:
    """A file in which each user has the password `USER's`."""
    path.touch()
    for user in users:
        program("-b", kind, path, user, f"{user}'s")
    return Htpasswd(path, "rules.yaml:3:5: clients.developers.htpasswd")


@pytest.mark.parametrize("kind", ["-B", "-s"])
def test_users(tmp_path: Path, kind: str) -> None:
    """Those whom `htpasswd` wrote with bcrypt or SHA are known by their password, and by no other."""
    users = htpasswd.read(made(tmp_path / "users", "anna", "bert", kind=kind))
    assert list(users) == ["anna", "bert"]
    assert htpasswd.check(users["anna"], "anna's")
    for wrong in ("bert's", "anna'", "anna's ", "", "anna's\0", "ä", "x" * 100):
        assert not htpasswd.check(users["anna"], wrong), wrong


def test_both_kinds_in_one_file(tmp_path: Path) -> None:
    """With comments and blank lines between, and as Windows ends lines."""
    made(tmp_path / "users", "anna")
    proof = made(tmp_path / "users", "bert", kind="-s")
    proof.path.write_bytes(b"# ours\r\n\r\n" + proof.path.read_bytes().replace(b"\n", b"\r\n"))
    users = htpasswd.read(proof)
    assert htpasswd.check(users["anna"], "anna's")
    assert htpasswd.check(users["bert"], "bert's")


def test_the_cost_is_that_of_the_hash(tmp_path: Path) -> None:
    """So that a check for nobody can take as long: of no password at all, and never right."""
    users = htpasswd.read(made(tmp_path / "users", "anna"))
    assert htpasswd.cost(users["anna"]) == 5
    assert htpasswd.cost("{SHA}" + "A" * 27 + "=") == 0


@pytest.mark.parametrize("kind", ["-m", "-d", "-p"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    """MD5, crypt and plain text are refused: the error says where, in which line, and shows no hash and no password."""
    proof = made(tmp_path / "users", "anna")
    made(tmp_path / "users", "bert", kind=kind)
    with pytest.raises(GatepassError) as caught:
        htpasswd.read(proof)
    told = str(caught.value)
    assert told.startswith("rules.yaml:3:5: clients.developers.htpasswd: expected a file of Apache's htpasswd, got `")
    assert "line 2" in told
    assert "hint: `htpasswd -B" in told
    assert "bert" not in told


@pytest.mark.parametrize(
    "content",
    [
        b"anna",
        b":{SHA}x",
        b"anna:$2y$05$short",
        b"anna:{SHA}short",
        b"\xff\xfe:x",
        b"<html>",
        b"a\x1bb:{SHA}" + b"A" * 28,
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "users").write_bytes(content + b"\n")
    with pytest.raises(GatepassError, match="line 1 is no user"):
        htpasswd.read(Htpasswd(tmp_path / "users", "p"))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, and what is none."""
    with pytest.raises(GatepassError, match=r"^p: expected a file .*`: no such file or directory\nhint: "):
        htpasswd.read(Htpasswd(tmp_path / "none", "p"))
    with pytest.raises(GatepassError, match=r"^p: expected a file"):
        htpasswd.read(Htpasswd(tmp_path, "p"))


def test_users_who_are_described_twice(tmp_path: Path) -> None:
    """A user who is called as an entry, or stands in two files, is the first's: `check` says so of the other."""
    clients = (
        Client("ci", Password((Env("A"),))),
        Client("first", made(tmp_path / "first", "anna", "ci")),
        Client("office", Networks(())),
        Client("second", made(tmp_path / "second", "anna", "bert")),
        Client("bert", Password((Env("B"),))),
    )
    why = "comes first, and has a user of that name"
    assert list(htpasswd.warnings(Access(clients))) == [
        f"user `ci` of {tmp_path / 'first'} is never known as `first`: client `ci` {why}",
        f"user `anna` of {tmp_path / 'second'} is never known as `second`: client `first` {why}",
        f"client `bert` is never known by its password: client `second` {why}",
    ]
