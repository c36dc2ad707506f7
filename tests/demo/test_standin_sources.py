"""The stand-in's archives, files, git and LFS: each says no as GitHub does."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import direct
from gatepass.demo.standin import GITHUB, Repository
from gitrepos import ALONE, bare

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Client


@pytest.fixture
def repository(github: StandIn, tmp_path: Path) -> Repository:
    """A private repository with git behind it."""
    content = {"README.md": b"hello\n", "src/a.bin": bytes(range(256))}
    path = bare(tmp_path / "git", content, branches=["release/2.0"], tags=["v1.0"])
    repository = Repository("acme", "widget", git=path, lfs={sha256(b"large").hexdigest(): b"large"})
    github.repositories.append(repository)
    return repository


def ask(
    github: StandIn,
    path: str,
    method: str = "GET",
    *,
    host: str | None = None,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> direct.Reply:
    """Ask under that name, or under the web host's own."""
    named = {"host": host or github.web, **(headers or {})}
    return direct.ask(github, f"https://{github.web}{path}", method, named, body)


def basic(github: StandIn) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'x:{github.token}'.encode()).decode()}"}


def bearer(github: StandIn) -> dict[str, str]:
    return {"Authorization": f"Bearer {github.token}"}


@pytest.mark.parametrize(
    "path", ["archive/refs/tags/v1.0.tar.gz", "tarball/v1.0", "zipball/main", "raw/main/README.md"]
)
def test_the_web_ignores_a_token(github: StandIn, repository: Repository, path: str) -> None:
    """Archive pages and raw files of a private repository are 404 for whoever asks (kasetto #28, giget #93)."""
    for headers in ({}, bearer(github), basic(github)):
        assert ask(github, f"/acme/widget/{path}", headers=headers).status == 404
    repository.private = False
    assert ask(github, f"/acme/widget/{path}").status == 302


def test_the_raw_host(github: StandIn, repository: Repository) -> None:
    """It has the files of public repositories, under refs with slashes, too."""
    path, host = "/acme/widget/release/2.0/branch.txt", GITHUB.raw
    assert ask(github, path, host=host).status == 404
    repository.private = False
    assert ask(github, path, host=host).body == b"release/2.0\n"
    assert ask(github, "/acme/widget/nowhere/branch.txt", host=host).status == 404


@pytest.mark.usefixtures("repository")
def test_archives_of_the_api(github: StandIn) -> None:
    """The API sends to codeload, with a token that ends; octet-stream is 415 there (homebrew-releaser #42)."""
    path = "/repos/acme/widget/tarball/v1.0"
    headers = bearer(github)
    assert ask(github, path, host=GITHUB.api, headers=headers | {"Accept": "application/octet-stream"}).status == 415
    location = ask(github, path, host=GITHUB.api, headers=headers).headers["location"]
    assert location.startswith(f"https://{GITHUB.codeload}/acme/widget/legacy.tar.gz/v1.0?token=")
    target = location.removeprefix(f"https://{GITHUB.codeload}")
    archive = ask(github, target, host=GITHUB.codeload)
    assert "content-length" not in archive.headers
    with tarfile.open(fileobj=io.BytesIO(archive.body)) as files:
        assert any(name.startswith("acme-widget-") and name.endswith("/README.md") for name in files.getnames())
    assert ask(github, target.partition("?")[0], host=GITHUB.codeload).status == 404
    github.expire_signed_urls()
    assert ask(github, target, host=GITHUB.codeload).status == 404
    assert ask(github, "/repos/acme/widget/tarball/nowhere", host=GITHUB.api, headers=headers).status == 404


@pytest.mark.usefixtures("repository")
def test_contents_of_the_api(github: StandIn) -> None:
    """The raw media type gives a file's bytes, up to a bound; a folder stays a list."""
    raw = bearer(github) | {"Accept": "application/vnd.github.raw+json"}
    path = "/repos/acme/widget/contents"
    found = ask(github, f"{path}/src/a.bin?ref=main", host=GITHUB.api, headers=raw)
    assert (found.body, found.headers["content-type"].partition(";")[0]) == (bytes(range(256)), raw["Accept"])
    assert ask(github, f"{path}/src/a.bin?ref=nowhere", host=GITHUB.api, headers=raw).status == 404
    assert json.loads(ask(github, f"{path}/src?ref=main", host=GITHUB.api, headers=raw).body) == ["a.bin"]
    github.most_raw = 255
    assert ask(github, f"{path}/src/a.bin?ref=main", host=GITHUB.api, headers=raw).status == 403
    refused = ask(github, f"{path}/README.md", host=GITHUB.api, headers=raw | {"Accept": "application/octet-stream"})
    assert refused.status == 415


@pytest.mark.usefixtures("repository")
def test_git_wants_basic(github: StandIn) -> None:
    """Of a private repository git gets nothing without Basic, whatever else is sent (qm #1235, skelm #152)."""
    path = "/acme/widget.git/info/refs?service=git-upload-pack"
    for headers in ({}, bearer(github), {"Authorization": f"token {github.token}"}):
        refused = ask(github, path, headers=headers)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Basic realm="GitHub"')
    assert ask(github, path, headers=basic(github)).status == 200
    assert ask(github, path.replace(".git/", "/"), headers=basic(github)).status == 200
    github.tokens[0].repositories = set()
    assert ask(github, path, headers=basic(github)).status == 404


@pytest.mark.usefixtures("repository")
def test_git_clones_and_pushes(github: StandIn, outsider: Client, tmp_path: Path) -> None:
    """Real git with the token in its URL clones; it pushes where the token may."""
    url = f"https://x:{github.token}@{github.web}/acme/widget.git"
    env = ALONE | {"GIT_SSL_CAINFO": str(github.ca_file)}
    assert outsider.run("git", "clone", url, "clone", **env).code == 0
    assert (tmp_path / "clone" / "README.md").read_bytes() == b"hello\n"
    denied = outsider.run("git", "-C", "clone", "push", "origin", "main:other", **env)
    assert denied.code != 0
    assert "Permission to acme/widget.git denied" in denied.output
    github.tokens[0].push = True
    assert outsider.run("git", "-C", "clone", "push", "origin", "main:other", **env).code == 0


def test_lfs_batch(github: StandIn, repository: Repository) -> None:
    """The batch endpoint names a signed URL of each object, for Basic alone."""
    path, oid = "/acme/widget.git/info/lfs/objects/batch", next(iter(repository.lfs))
    body = json.dumps({"operation": "download", "objects": [{"oid": oid, "size": 5}]}).encode()
    assert ask(github, path, "POST", body=body).status == 401
    told = json.loads(ask(github, path, "POST", headers=basic(github), body=body).body)
    url = told["objects"][0]["actions"]["download"]["href"]
    assert direct.ask(github, url).body == b"large"
    upload = body.replace(b"download", b"upload")
    assert ask(github, path, "POST", headers=basic(github), body=upload).status == 403


def test_lfs_uploads(github: StandIn, repository: Repository) -> None:
    """Whoever may push gets an address to put an object at, which takes no other content; and may ask for locks."""
    path, oid = "/acme/widget.git/info/lfs", sha256(b"new").hexdigest()
    body = json.dumps({"operation": "upload", "objects": [{"oid": oid, "size": 3}]}).encode()
    assert ask(github, f"{path}/locks/verify", "POST", headers=basic(github), body=b"{}").status == 403
    github.tokens[0].push = True
    locks = ask(github, f"{path}/locks/verify", "POST", headers=basic(github), body=b"{}")
    assert json.loads(locks.body) == {"ours": [], "theirs": []}
    (told,) = json.loads(ask(github, f"{path}/objects/batch", "POST", headers=basic(github), body=body).body)["objects"]
    url = told["actions"]["upload"]["href"]
    assert direct.ask(github, url).status == 403, "it is signed for PUT alone"
    assert direct.ask(github, url, "PUT", body=b"old").status == 400
    assert direct.ask(github, url, "PUT", body=b"new").status == 200
    assert repository.lfs[oid] == b"new"
    again = json.loads(ask(github, f"{path}/objects/batch", "POST", headers=basic(github), body=body).body)
    assert "actions" not in again["objects"][0], "nothing is to be done for what is there"
    down = json.loads(
        ask(
            github,
            f"{path}/objects/batch",
            "POST",
            headers=basic(github),
            body=body.replace(b"upload", b"download"),
        ).body
    )
    url = down["objects"][0]["actions"]["download"]["href"]
    assert direct.ask(github, url, "PUT", body=b"new").status == 403, "it is signed for GET alone"
