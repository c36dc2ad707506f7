"""Sources, end to end: archives, raw files and git of private repositories, for clients that hold no token."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import re
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, Asset, Fault, Release, Repository, StandIn, Token
from gitrepos import ALONE, bare, git
from harness import GATEPASS, ROOT, Client, mitmdump, need, peak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness import Proxy

pytestmark = pytest.mark.slow  # real clients, each with packages to get

RULES = """\
version: 1
forges:
  - web: {web}
    api: {api}
credentials:
  standin:
    from: [env:STANDIN_TOKEN]
    hosts: ["{web}"]
  other:
    from: [env:OTHER_TOKEN]
    hosts: ["{web}"]
rules:
  - {{match: "{web}/*/archive/*", resolve: github-source, credential: standin}}
  - {{match: "{web}/acme/*/tarball/*", resolve: github-source, credential: [other, standin]}}
  - {{match: "{web}/*/zipball/*", resolve: github-source, credential: standin}}
  - {{match: "{web}/*/raw/*", resolve: github-source, credential: standin}}
  - {{match: "{web}/*/releases/expanded_assets/*", resolve: github-release, credential: standin}}
  - {{match: "{web}/*/releases/download/*", resolve: github-release, credential: standin}}
  - {{match: "{web}/acme/may-push*", resolve: github-git, push: true, credential: standin}}
  - {{match: "{web}/acme/own*", resolve: github-git, on_existing: keep, credential: other}}
  - {{match: "{web}/acme/*", resolve: github-git, credential: standin}}
"""
OTHER = "ghp_OtherOtherOtherOtherOtherOtherOther00"
FILES = {"README.md": b"hello\n", "src/a.bin": bytes(range(256)) * 8, "src/b.txt": b"b\n"}

GIT = re.compile(r"/(info/refs|git-(upload|receive)-pack|info/lfs/objects/batch)$")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def _proxy_of_sources(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("sources")
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(web=_standin.web, api=_standin.api))
    with mitmdump(folder, rules, _standin.ca_file, STANDIN_TOKEN=DEFAULT_TOKEN, OTHER_TOKEN=OTHER) as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log
    assert DEFAULT_TOKEN not in proxy.log
    assert "token=" not in proxy.log, "an archive's address is in the log"


@pytest.fixture
def proxy(_proxy_of_sources: Proxy, github: StandIn) -> Iterator[Proxy]:
    """A proxy with rules for sources; the token is seen by the API, and in Basic by git's own paths, alone."""
    yield _proxy_of_sources
    basic = git_basic(DEFAULT_TOKEN)
    for request in github.calls():
        text = f"{request.target} {request.headers}"
        assert DEFAULT_TOKEN not in text or request.role == "api", request
        assert basic not in text or (request.role == "web" and GIT.search(request.path)), request


def git_basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


@pytest.fixture(scope="session")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git")
    return bare(folder, FILES, branches=["release/2.0", "a/b/c/d/e"], tags=["v1.0", "pkg/v2"])


def publish(github: StandIn, path: Path, name: str = "widget") -> Repository:
    """A private repository of a name of its own, with that git behind it."""
    repository = Repository("acme", f"{name}-{next(_numbers)}", git=path)
    github.repositories.append(repository)
    return repository


@pytest.fixture
def repository(github: StandIn, on_disk: Path) -> Repository:
    return publish(github, on_disk)


@pytest.fixture
def client(proxy: Proxy, tmp_path: Path) -> Client:
    return Client(tmp_path, {**proxy.variables(), **ALONE})


def url(github: StandIn, repository: Repository, rest: str) -> str:
    return f"https://{github.web}/{repository.full_name}{rest}"


# ------------------------------------------------------------------- archives


@pytest.mark.parametrize(
    "rest",
    [
        "/archive/refs/tags/v1.0.tar.gz",
        "/archive/v1.0.tar.gz",
        "/archive/pkg/v2.tar.gz",
        "/archive/refs/heads/release/2.0.tar.gz",
        "/archive/v1.0/widget-v1.0.tar.gz",
        "/archive/refs/tags/v1.0/widget-1.0.tar.gz",
        "/archive/refs/heads/release/2.0/widget-2.0.tar.gz",
        "/tarball/main",
        "/tarball/refs/tags/v1.0",
    ],
)
def test_archives(github: StandIn, client: Client, repository: Repository, rest: str) -> None:
    """curl gets an archive of a private repository at each of its ordinary addresses, past the proxy."""
    github.tokens.append(Token(OTHER, repositories=set()))
    reply = client.fetch(url(github, repository, rest), "-L")
    assert reply.status == 200, reply.body
    with tarfile.open(fileobj=io.BytesIO(reply.body)) as archive:
        top = {name.partition("/")[0] for name in archive.getnames()}
        assert len(top) == 1
        assert archive.extractfile(f"{top.pop()}/src/b.txt").read() == b"b\n"  # type: ignore[union-attr]
    assert [request.headers.get("authorization") for request in github.calls("codeload")] == [None]


def test_a_zip(github: StandIn, client: Client, repository: Repository) -> None:
    """Whatever Accept the client sends: octet-stream is 415 at the API."""
    reply = client.fetch(url(github, repository, "/archive/main.zip"), "-L", "-H", "Accept: application/octet-stream")
    assert reply.status == 200, reply.body
    assert zipfile.ZipFile(io.BytesIO(reply.body)).testzip() is None


def test_an_archive_is_asked_for_once(github: StandIn, client: Client, repository: Repository) -> None:
    """Its address is used again while it lives, and no longer."""
    address = url(github, repository, "/archive/main.tar.gz")
    for _ in range(3):
        assert client.fetch(address, "-L").status == 200
    assert len(github.calls("api")) == 1


def test_head_and_ranges_of_an_archive(github: StandIn, client: Client, repository: Repository) -> None:
    """It is made anew each time: HEAD tells no length and no ranges, and a range gets the whole."""
    address = url(github, repository, "/archive/main.tar.gz")
    head = client.fetch(address, "-I")
    assert (head.status, head.headers["content-type"]) == (200, "application/x-gzip")
    assert not {"content-length", "accept-ranges"} & set(head.headers)
    part = client.fetch(address, "-r", "0-9")
    assert (part.status, "content-range" in part.headers) == (200, False)
    assert part.body == client.fetch(address, "-L").body
    assert client.fetch(address, "-H", f"If-None-Match: {head.headers['etag']}").status == 304


def test_a_ref_that_is_not_there(github: StandIn, client: Client, repository: Repository) -> None:
    """It is told from a repository that cannot be seen; neither is asked for again at once."""
    reply = client.fetch(url(github, repository, "/archive/v9.tar.gz"))
    assert (reply.status, json.loads(reply.body)["type"]) == (404, "urn:gatepass:problem:source-not-found")
    assert "ref `v9`" in json.loads(reply.body)["detail"]
    calls = len(github.calls("api"))
    assert client.fetch(url(github, repository, "/archive/v9.tar.gz")).status == 404
    assert len(github.calls("api")) == calls
    hidden = Repository("acme", f"none-{next(_numbers)}")
    reply = client.fetch(url(github, hidden, "/archive/main.tar.gz"))
    assert json.loads(reply.body)["type"] == "urn:gatepass:problem:repository-not-visible"


def test_public_sources_pass(github: StandIn, client: Client, repository: Repository) -> None:
    """Where the pattern leaves the owner open, what anybody may have is given by the web, at no cost."""
    repository.private = False
    for rest in ("/archive/v1.0.tar.gz", "/raw/main/README.md"):
        assert client.fetch(url(github, repository, rest), "-L").status == 200
    assert github.calls("api") == []
    archive = client.fetch(url(github, repository, "/archive/v1.0.tar.gz"), "-L").body
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert files.getnames()[0] == f"{repository.name}-1.0"


def test_a_renamed_repository(github: StandIn, client: Client, repository: Repository) -> None:
    """The old name leads to the new one's archives and files."""
    addresses = [url(github, repository, rest) for rest in ("/archive/main.tar.gz", "/raw/main/README.md")]
    repository.rename(f"acme/renamed-{next(_numbers)}")
    assert [client.fetch(address, "-L").status for address in addresses] == [200, 200]


# ------------------------------------------------------------------ raw files


@pytest.mark.parametrize(
    ("rest", "content"),
    [
        ("/raw/main/README.md", FILES["README.md"]),
        ("/raw/v1.0/src/a.bin", FILES["src/a.bin"]),
        ("/raw/refs/heads/main/src/b.txt", b"b\n"),
        ("/raw/refs/tags/pkg/v2/src/b.txt", b"b\n"),
        ("/raw/release/2.0/branch.txt", b"release/2.0\n"),
        ("/raw/refs/heads/release/2.0/branch.txt", b"release/2.0\n"),
        ("/raw/release%2F2.0/branch.txt", b"release/2.0\n"),
        ("/raw/HEAD/README.md", FILES["README.md"]),
    ],
)
def test_raw_files(github: StandIn, client: Client, repository: Repository, rest: str, content: bytes) -> None:
    """A raw file is given in place, whatever its ref holds, and the client's Accept is not passed on."""
    reply = client.fetch(url(github, repository, rest), "-H", "Accept: application/octet-stream")
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert not [name for name in reply.headers if name.startswith(("x-ratelimit", "x-oauth", "x-github"))]
    assert {request.headers["accept"] for request in github.calls("api")} == {"application/vnd.github.raw+json"}


def test_a_ref_with_slashes_is_remembered(github: StandIn, client: Client, repository: Repository) -> None:
    """The shortest ref is tried first; what was found out goes first for the next file."""
    assert client.fetch(url(github, repository, "/raw/release/2.0/branch.txt")).status == 200
    assert len(github.calls("api")) == 3  # two refs, and the file
    github.forget()
    assert client.fetch(url(github, repository, "/raw/release/2.0/src/b.txt")).status == 200
    assert len(github.calls("api")) == 2


def test_four_tries(github: StandIn, client: Client, repository: Repository) -> None:
    """A ref of five parts is not found, and no fifth is tried."""
    reply = client.fetch(url(github, repository, "/raw/a/b/c/d/e/branch.txt"))
    assert (reply.status, json.loads(reply.body)["type"]) == (404, "urn:gatepass:problem:source-not-found")
    assert len([request for request in github.calls("api") if "/contents/" in request.target]) == 4
    assert client.fetch(url(github, repository, "/raw/refs/heads/a/b/c/d/e/branch.txt")).status == 404


def test_head_and_ranges_of_a_file(github: StandIn, client: Client, repository: Repository) -> None:
    """HEAD tells the length; the API knows no ranges, so a range gets the whole."""
    address = url(github, repository, "/raw/main/src/a.bin")
    head = client.fetch(address, "-I")
    assert (head.status, head.headers["content-length"]) == (200, "2048")
    assert "accept-ranges" not in head.headers
    part = client.fetch(address, "-r", "0-9")
    assert (part.status, part.body) == (200, FILES["src/a.bin"])
    assert client.fetch(address, "-H", f"If-None-Match: {head.headers['etag']}").status == 304


def test_folders_and_large_files(github: StandIn, client: Client, repository: Repository) -> None:
    """What is no file, or too large for the API, is told."""
    reply = client.fetch(url(github, repository, "/raw/main/src"))
    assert (reply.status, json.loads(reply.body)["type"]) == (404, "urn:gatepass:problem:not-a-file")
    github.most_raw = 100
    reply = client.fetch(url(github, repository, "/raw/main/src/a.bin"))
    assert (reply.status, json.loads(reply.body)["type"]) == (403, "urn:gatepass:problem:file-too-large")


# ------------------------------------------------------------------------ git


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_git_clone_and_fetch(github: StandIn, client: Client, repository: Repository, suffix: str) -> None:
    """git clones and fetches a private repository, with and without `.git`, by Basic, and holds no token."""
    done = client.run("git", "clone", url(github, repository, suffix), "clone")
    assert done.code == 0, done.output
    assert (client.home / "clone" / "README.md").read_bytes() == b"hello\n"
    assert client.run("git", "-C", "clone", "fetch", "origin", "release/2.0").code == 0
    assert {request.status for request in github.calls("web") if "x-access" in str(request.headers)} <= {200}


def test_git_push_is_refused(github: StandIn, client: Client, repository: Repository) -> None:
    """Unless a rule allows it: git shows why after `remote:`, and no credential was used."""
    assert client.run("git", "clone", url(github, repository, ".git"), "clone").code == 0
    github.tokens[0].push = True
    github.forget()
    done = client.run("git", "-C", "clone", "push", "origin", "main:other")
    assert done.code != 0
    assert "remote: gatepass: nothing may be pushed" in done.output
    assert "push: true" in done.output
    assert github.calls() == []


def test_git_push(github: StandIn, client: Client, on_disk: Path, tmp_path: Path) -> None:
    """A rule that says `push: true` lets it push."""
    path = tmp_path / "may-push.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(on_disk), str(path))
    repository = publish(github, path, "may-push")
    github.tokens[0].push = True
    assert client.run("git", "clone", url(github, repository, ".git"), "clone").code == 0
    done = client.run("git", "-C", "clone", "push", "origin", "main:other")
    assert done.code == 0, done.output
    assert "other" in git(path, "branch", "--list", "other")


def test_git_of_a_public_repository(github: StandIn, client: Client, repository: Repository) -> None:
    """It passes without a credential."""
    repository.private = False
    assert client.run("git", "clone", url(github, repository, ".git"), "clone").code == 0
    assert all("authorization" not in request.headers for request in github.calls())


def test_own_credentials_win(github: StandIn, client: Client, on_disk: Path) -> None:
    """With `on_existing: keep` what git brings itself stands."""
    repository = publish(github, on_disk, "own")
    github.tokens.append(Token(OTHER, repositories=set()))
    header = f"http.extraHeader=Authorization: Basic {git_basic('ghp_Mine')}"
    github.tokens.append(Token("ghp_Mine"))
    done = client.run("git", "-c", header, "clone", url(github, repository, ".git"), "clone")
    assert done.code == 0, done.output
    assert all(git_basic(OTHER) not in str(request.headers) for request in github.calls())


def test_git_is_told_why(github: StandIn, client: Client, on_disk: Path) -> None:
    """A repository that the credential may not see, and a credential that is refused: git shows it, and asks nobody."""
    hidden = publish(github, on_disk, "own")
    github.tokens.append(Token(OTHER, repositories=set()))
    done = client.run("git", "clone", url(github, hidden, ".git"), "hidden")
    assert "remote: gatepass: repository not visible" in done.output
    github.tokens[:] = []
    done = client.run("git", "clone", url(github, hidden, ".git"), "refused")
    assert "remote: gatepass: bad credential" in done.output
    assert "could not read Username" not in done.output


def test_lfs(github: StandIn, client: Client, repository: Repository) -> None:
    """LFS's batch endpoint serves downloads; an upload, or what might be one, is refused in LFS's own form."""
    oid = sha256(b"large").hexdigest()
    repository.lfs[oid] = b"large"
    address = url(github, repository, ".git/info/lfs/objects/batch")
    headers = ("-H", "Content-Type: application/vnd.git-lfs+json", "-X", "POST", "--data-binary")
    body = {"operation": "download", "objects": [{"oid": oid, "size": 5}]}
    reply = client.fetch(address, *headers, json.dumps(body))
    assert reply.status == 200, reply.body
    target = json.loads(reply.body)["objects"][0]["actions"]["download"]["href"]
    assert client.fetch(target).body == b"large"
    github.tokens[0].push = True
    calls = len(github.calls())
    for wrong in (json.dumps(body | {"operation": "upload"}), '{"operation": "download", "Operation": "upload"}', "x"):
        reply = client.fetch(address, *headers, wrong)
        assert reply.status in (400, 403)
        assert reply.headers["content-type"] == "application/vnd.git-lfs+json"
        assert "gatepass: " in json.loads(reply.body)["message"]
    assert len(github.calls()) == calls
    chunked = client.fetch(address, "-H", "Transfer-Encoding: chunked", *headers, json.dumps(body))
    assert chunked.status == 400


def test_a_large_pack_is_streamed(github: StandIn, client: Client, proxy: Proxy, tmp_path: Path) -> None:
    """A pack of 48 MB takes the proxy less memory than a third of that."""
    path = bare(tmp_path / "large", {"large.bin": os.urandom(48_000_000)})
    repository = publish(github, path)
    before = peak(proxy.running.process.pid)
    assert client.run("git", "clone", url(github, repository, ".git"), "clone").code == 0
    assert peak(proxy.running.process.pid) - before < 16_000_000


PYPROJECT = b"""\
[project]
name = "acme-private"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = b"""\
import zipfile, os
def build_wheel(folder, *_):
    name = "acme_private-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("acme_private.py", "X = 1\\n")
        info = "acme_private-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: acme-private\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


def test_uv_add(github: StandIn, client: Client, tmp_path: Path) -> None:
    """`uv add git+https://…` of a private repository works without a token, and so does pip; by an archive, too."""
    path = bare(tmp_path / "package", {"pyproject.toml": PYPROJECT, "backend.py": BACKEND}, tags=["v1.0"])
    repository = publish(github, path)
    assert client.uv("init", "--bare", "--name", "mine", "project").code == 0
    added = client.uv("add", "--project", "project", f"git+{url(github, repository, '')}@v1.0")
    assert added.code == 0, added.output
    assert "acme-private" in (tmp_path / "project" / "uv.lock").read_text()
    venv = client.venv()
    archive = url(github, repository, "/archive/refs/tags/v1.0.tar.gz")
    done = client.uv("pip", "install", "--python", venv, f"acme-private @ {archive}")
    assert done.code == 0, done.output


def test_cargo(github: StandIn, client: Client, tmp_path: Path) -> None:
    """cargo's git dependencies come without a token."""
    manifest = b'[package]\nname = "private"\nversion = "1.0.0"\nedition = "2021"\n'
    path = bare(tmp_path / "crate", {"Cargo.toml": manifest, "src/lib.rs": b""})
    repository = publish(github, path)
    user = tmp_path / "user"
    (user / "src").mkdir(parents=True)
    (user / "src" / "lib.rs").write_text("")
    dependency = f'[dependencies]\nprivate = {{ git = "{url(github, repository, "")}" }}\n'
    (user / "Cargo.toml").write_text('[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n' + dependency)
    extra = {name: os.environ[name] for name in ("RUSTUP_HOME",) if name in os.environ}
    extra.setdefault("RUSTUP_HOME", str(Path("~/.rustup").expanduser()))
    done = client.run(need("cargo"), "fetch", "--manifest-path", user / "Cargo.toml", **extra)
    assert done.code == 0, done.output


def test_broken_off(github: StandIn, client: Client, repository: Repository) -> None:
    """A file whose end is missing ends in an error for the client."""
    address = url(github, repository, "/raw/main/src/a.bin")
    assert client.fetch(address).status == 200
    github.faults.append(Fault("api", "/contents/", cut_after=100))
    assert client.curl("-o", "out", address).code != 0


# ---------------------------------------------------------- lists of assets


@pytest.fixture
def released(github: StandIn) -> Repository:
    """A private repository with a wheel in a release."""
    wheel = package.wheel("acme_tool", "1.0")
    assets = [
        Asset(wheel.name, wheel.content),
        Asset("a&b.txt", b"x"),
        Asset("old.bin", b"x", digest=None),
        Asset("draft.bin", b"x", state="starter"),
    ]
    repository = Repository("acme", f"tool-{next(_numbers)}", releases=[Release("rel/1.0", assets)])
    github.repositories.append(repository)
    return repository


def test_the_list_of_assets(github: StandIn, client: Client, released: Repository) -> None:
    """It is the web host's page, of what can be downloaded, with the hash of each that has one; and has validators."""
    address = url(github, released, "/releases/expanded_assets/rel/1.0")
    reply = client.fetch(address)
    assert reply.status == 200
    wheel = released.releases[0].assets[0]
    start = f"/{released.full_name}/releases/download/rel/1.0/"
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', reply.body.decode())
    assert links[0] == (f"{start}{wheel.name}#{(wheel.digest or '').replace(':', '=')}", wheel.name)
    assert [name for _, name in links] == [wheel.name, "a&amp;b.txt", "old.bin"]
    assert links[1][0].startswith(f"{start}a%26b.txt#sha256=")
    assert links[2][0] == f"{start}old.bin"
    head = client.fetch(address, "-I")
    assert head.headers["content-length"] == str(len(reply.body))
    assert client.fetch(address, "-H", f"If-None-Match: {reply.headers['etag']}").status == 304
    assert len(github.calls("api")) == 1
    assert client.fetch(url(github, released, "/releases/expanded_assets/v9")).status == 404


def test_a_long_list_of_assets(github: StandIn, client: Client, released: Repository) -> None:
    """A list that a release's answer cuts off is read to its end."""
    github.embedded_assets = 30
    released.releases[0].assets += [Asset(f"f{number}", b"x") for number in range(150)]
    reply = client.fetch(url(github, released, "/releases/expanded_assets/rel/1.0"))
    assert reply.body.count(b"<a href=") == 153


def test_a_public_list_passes(github: StandIn, client: Client, released: Repository) -> None:
    """That of a public repository is the web host's own."""
    released.private = False
    reply = client.fetch(url(github, released, "/releases/expanded_assets/rel/1.0"))
    assert (reply.status, b"#sha256=" in reply.body) == (200, False)
    assert github.calls("api") == []


def test_find_links(github: StandIn, client: Client, released: Repository) -> None:
    """`pip -f` and `uv --find-links` install from it; uv's lock has the hash."""
    links = url(github, released, "/releases/expanded_assets/rel/1.0")
    options = ("--no-index", "--find-links", links)
    done = client.pip("install", "--target", "pip", *options, "acme-tool")
    assert done.code == 0, done.output
    venv = client.venv()
    done = client.uv("pip", "install", "--python", venv, *options, "acme-tool")
    assert done.code == 0, done.output
    assert client.uv("init", "--bare", "--name", "mine", "project").code == 0
    done = client.uv("add", "--project", "project", *options, "acme-tool")
    assert done.code == 0, done.output
    lock = (client.home / "project" / "uv.lock").read_text()
    assert (released.releases[0].assets[0].digest or "?") in lock


def test_a_list_is_for_a_hash_that_is_checked(github: StandIn, client: Client, released: Repository) -> None:
    """pip refuses a file that is another than the list told."""
    wheel = released.releases[0].assets[0]
    wheel.digest = f"sha256:{'0' * 64}"
    links = url(github, released, "/releases/expanded_assets/rel/1.0")
    done = client.pip("install", "--target", "pip", "--no-index", "--find-links", links, "acme-tool")
    assert done.code != 0
    assert "hash" in done.output.lower()


# ------------------------------------------------------------ github.com's own


OF_GITHUB = """\
version: 1
credentials:
  github: {from: [env:GH_TOKEN], hosts: [github.com]}
rules:
  - {match: github.com/acme/*, resolve: github-git, credential: github}
"""


def test_go(tmp_path: Path) -> None:
    """go with GOPRIVATE gets a private module, without a token."""
    go = need("go")
    name = f"module-{next(_numbers)}"
    files = {"go.mod": f"module github.com/acme/{name}\n\ngo 1.19\n".encode(), "a.go": b"package a\n\nconst A = 1\n"}
    with StandIn(names=GITHUB) as world:
        world.repositories.append(Repository("acme", name, git=bare(tmp_path / "git", files, tags=["v1.0.0"])))
        rules = tmp_path / "rules.yaml"
        rules.write_text(OF_GITHUB)
        port = world.web.partition(":")[2]
        options = ("-s", ROOT / "tests" / "real_names.py", "--set", f"standin_port={port}")
        with mitmdump(tmp_path, rules, world.ca_file, *options, GH_TOKEN=DEFAULT_TOKEN) as proxy:
            local = {"GOPRIVATE": "github.com/acme", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
            client = Client(tmp_path, {**proxy.variables(), **ALONE, **local})
            (tmp_path / "go.mod").write_text("module example.com/mine\n\ngo 1.19\n")
            done = client.run(go, "get", f"github.com/acme/{name}@v1.0.0")
            assert done.code == 0, done.output
        assert f"github.com/acme/{name} v1.0.0" in (tmp_path / "go.mod").read_text()


@pytest.mark.parametrize(
    ("rest", "step"), [(".git", "git"), ("/raw/main/README.md", "get"), ("/archive/main.tar.gz", "get")]
)
def test_explain_through_a_proxy(
    github: StandIn, client: Client, proxy: Proxy, repository: Repository, rest: str, step: str
) -> None:
    """`gatepass explain --proxy` asks a running proxy as the client of such a URL would."""
    done = client.run(GATEPASS, "explain", "--json", "--proxy", proxy.url, url(github, repository, rest))
    told = json.loads(done.output)
    assert done.code == 0, done.output
    assert {each["name"]: each["state"] for each in told["steps"]}[step] == "ok"


def test_explain_tells_what_git_is_told(github: StandIn, client: Client, proxy: Proxy, on_disk: Path) -> None:
    """Of a repository that cannot be seen the reason is git's."""
    hidden = publish(github, on_disk, "own")
    github.tokens.append(Token(OTHER, repositories=set()))
    done = client.run(GATEPASS, "explain", "--json", "--proxy", proxy.url, url(github, hidden, ".git"))
    assert done.code == 1
    assert "repository not visible" in done.output
