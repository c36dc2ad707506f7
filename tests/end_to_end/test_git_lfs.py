"""git-lfs itself, as people have it beside git: large files of a private repository, for a client that holds no token.

github.com is the stand-in here: git-lfs asks no proxy for what is on this machine.
"""

from __future__ import annotations

import base64
import itertools
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, Repository, StandIn, Token
from gitrepos import ALONE, bare
from harness import ROOT, Client, mitmdump, need, strays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Proxy

pytestmark = pytest.mark.slow  # a stand-in and a proxy of its own

RULES = """\
version: 1
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
rules:
  - {match: github.com/acme/may-push*, resolve: github-git, push: true, credential: github}
  - {match: github.com/acme/*, resolve: github-git, credential: github}
"""
LARGE = bytes(range(256)) * 64

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[StandIn]:
    need("git-lfs")
    with StandIn(names=GITHUB) as world:
        yield world


@pytest.fixture(scope="module")
def proxy(world: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("lfs")
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    port = world.web.partition(":")[2]
    options = ("-s", ROOT / "tests" / "real_names.py", "--set", f"standin_port={port}")
    with mitmdump(folder, rules, world.ca_file, *options, GH_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log
    assert DEFAULT_TOKEN not in proxy.log
    assert "X-Amz-Signature" not in proxy.log


@pytest.fixture
def client(world: StandIn, proxy: Proxy, tmp_path: Path) -> Iterator[Client]:
    """A client whose git is set up as `git lfs install` does it; where LFS's objects are no token may arrive."""
    world.tokens[:] = [Token(DEFAULT_TOKEN)]
    world.forget()
    client = Client(tmp_path, {**proxy.variables(), **ALONE, "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")})
    done = client.run("git", "lfs", "install", "--skip-repo")
    assert done.code == 0, done.output
    yield client
    basic = base64.b64encode(f"x-access-token:{DEFAULT_TOKEN}".encode()).decode()
    assert strays(world, DEFAULT_TOKEN) == []
    assert [call for call in world.calls() if basic in str(call.headers) and call.role != "web"] == []
    assert DEFAULT_TOKEN not in "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )


def pointer(content: bytes) -> bytes:
    """What git holds of a file that LFS holds (git-lfs, `docs/spec.md`)."""
    name = sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(content)}\n".encode()


def publish(world: StandIn, folder: Path, name: str = "widget") -> tuple[Repository, str]:
    """A private repository with one file in LFS, and its address."""
    attributes = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
    path = bare(folder / "git", {".gitattributes": attributes, "large.bin": pointer(LARGE), "README.md": b"hello\n"})
    held = {sha256(LARGE).hexdigest(): LARGE}
    repository = Repository("acme", f"{name}-{next(_numbers)}", git=path, lfs=held)
    world.repositories.append(repository)
    return repository, f"https://github.com/{repository.full_name}.git"


def commit(client: Client, content: bytes) -> None:
    """Another large file, in `clone`."""
    (client.home / "clone" / "other.bin").write_bytes(content)
    for arguments in (("add", "other.bin"), ("commit", "--quiet", "--message=more")):
        assert client.run("git", "-C", "clone", *arguments).code == 0


def test_downloads(world: StandIn, client: Client, tmp_path: Path) -> None:
    """`git clone` brings the large files of a private repository, and so does `git lfs pull`; no client has a token,
    and none is sent to where the objects are.
    """
    _, address = publish(world, tmp_path)
    done = client.run("git", "clone", address, "clone")
    assert done.code == 0, done.output
    assert (client.home / "clone" / "large.bin").read_bytes() == LARGE
    assert client.run("git", "clone", address, "later", GIT_LFS_SKIP_SMUDGE="1").code == 0
    assert (client.home / "later" / "large.bin").read_bytes() == pointer(LARGE)
    done = client.run("git", "-C", "later", "lfs", "pull")
    assert done.code == 0, done.output
    assert (client.home / "later" / "large.bin").read_bytes() == LARGE
    assert len([call for call in world.calls("web") if call.path.endswith("/objects/batch")]) >= 2
    objects = world.calls("asset")
    assert {call.path for call in objects} == {f"/lfs/{sha256(LARGE).hexdigest()}"}
    assert {call.headers.get("authorization") for call in objects} == {None}


def test_a_repository_that_is_not_seen(world: StandIn, client: Client, tmp_path: Path) -> None:
    """git-lfs shows the reason, and asks nobody for a password."""
    _, address = publish(world, tmp_path)
    assert client.run("git", "clone", address, "clone", GIT_LFS_SKIP_SMUDGE="1").code == 0
    world.tokens[0].repositories = set()
    done = client.run("git", "-C", "clone", "lfs", "pull")
    assert done.code != 0
    assert "gatepass: repository not visible" in done.output
    assert "Username" not in done.output


def test_uploads_are_refused(world: StandIn, client: Client, tmp_path: Path) -> None:
    """Unless a rule allows it: git-lfs shows why, and git what it would have shown anyhow; the forge was asked for what
    a fetch asks for, and for nothing else, though the credential may push.
    """
    repository, address = publish(world, tmp_path)
    assert client.run("git", "clone", address, "clone").code == 0
    commit(client, b"more")
    world.tokens[0].push = True
    world.forget()
    for arguments in (("lfs", "push", "origin", "main"), ("push", "origin", "main")):
        done = client.run("git", "-C", "clone", *arguments)
        assert done.code != 0
        assert "gatepass: nothing may be pushed" in done.output
        assert "push: true" in done.output
        assert "Username" not in done.output
    fetching = {"/info/refs?service=git-upload-pack", "/git-upload-pack"}
    assert {call.target.partition(".git")[2] for call in world.calls()} <= fetching
    assert list(repository.lfs.values()) == [LARGE]


def test_uploads(world: StandIn, client: Client, tmp_path: Path) -> None:
    """A rule that says `push: true` lets git-lfs upload, and git push what points there; another clone has it."""
    repository, address = publish(world, tmp_path, "may-push")
    world.tokens[0].push = True
    assert client.run("git", "clone", address, "clone").code == 0
    commit(client, b"more")
    done = client.run("git", "-C", "clone", "push", "origin", "main")
    assert done.code == 0, done.output
    assert repository.lfs[sha256(b"more").hexdigest()] == b"more"
    assert client.run("git", "clone", address, "again").code == 0
    assert (client.home / "again" / "other.bin").read_bytes() == b"more"
