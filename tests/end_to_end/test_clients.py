"""The main job, end to end: real clients fetch a private asset by its ordinary URL, through the real mitmdump."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from gatepass.demo import package
from gatepass.demo.standin import Asset, Release
from harness import Client, call, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import Repository, StandIn
    from harness import Proxy

WHEEL, SDIST = "acme_tool-1.0-py3-none-any.whl", "acme_tool-1.0.tar.gz"
CONTENT = bytes(range(256)) * 40


@pytest.fixture(params=[WHEEL, SDIST], ids=["wheel", "sdist"])
def package_url(request: pytest.FixtureRequest, github: StandIn, repository: Repository) -> str:
    return github.download_url(repository.full_name, "v1.0", request.param)


@pytest.fixture
def url(publish: Publish) -> str:
    """A private asset of 10,240 bytes that differ."""
    return publish(CONTENT)


def version(*python: str | Path, **extra: str) -> str:
    """What the installed package says of itself."""
    program = "import acme_tool; print(acme_tool.__version__)"
    return call([*python, "-c", program], clean_environment(**extra)).output.strip()


def moved(github: StandIn) -> int:
    """Bytes of bodies that the asset host has sent."""
    return sum(request.bytes_sent for request in github.calls("asset"))


@pytest.fixture
def project(client: Client) -> Path:
    """An empty project; `client` runs in its folder."""
    pyproject = client.home / "pyproject.toml"
    pyproject.write_text('[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\ndependencies = []\n')
    return pyproject


def depend(project: Path, url: str) -> None:
    project.write_text(project.read_text().replace("[]", f'["acme-tool @ {url}"]'))


# ------------------------------------------------------------------------ uv


def test_uv_pip_install(client: Client, package_url: str) -> None:
    """`uv pip install` installs a private wheel, and builds a private sdist."""
    venv = client.venv()
    result = client.uv("pip", "install", "--python", venv, f"acme-tool @ {package_url}")
    assert result.code == 0, result.output
    assert version(venv / "bin" / "python") == "1.0"


def test_uv_warm(client: Client, package_url: str, github: StandIn) -> None:
    """What uv has in its cache is not downloaded again: not asked for, or found to be the same."""
    target = ("--target", client.home / "site", f"acme-tool @ {package_url}")
    assert client.uv("pip", "install", *target).code == 0
    github.forget()
    for again in ("--reinstall", "--refresh"):
        result = client.uv("pip", "install", again, *target)
        assert result.code == 0, result.output
    assert moved(github) < 100


def test_uv_lock_and_sync(client: Client, project: Path, package_url: str) -> None:
    """`uv lock` writes the ordinary URL down, and `uv sync` installs from the lockfile on another machine."""
    depend(project, package_url)
    result = client.uv("lock")
    assert result.code == 0, result.output
    lock = (client.home / "uv.lock").read_text()
    assert package_url in lock
    assert "X-Amz" not in lock
    for frozen in ((), ("--frozen",)):
        assert client.uv("cache", "clean").code == 0
        result = client.uv("sync", "--reinstall", *frozen)
        assert result.code == 0, result.output
        assert version(client.home / ".venv" / "bin" / "python") == "1.0"


def test_uv_sync(client: Client, project: Path, wheel_url: str) -> None:
    """`uv sync` of a project without a lockfile locks and installs."""
    depend(project, wheel_url)
    result = client.uv("sync")
    assert result.code == 0, result.output
    assert version(client.home / ".venv" / "bin" / "python") == "1.0"


def test_uv_add(client: Client, project: Path, wheel_url: str) -> None:
    """`uv add URL` learns the package's name from the file, and installs it."""
    result = client.uv("add", wheel_url)
    assert result.code == 0, result.output
    assert wheel_url in project.read_text()
    assert version(client.home / ".venv" / "bin" / "python") == "1.0"


def test_uv_reads_metadata_by_ranges(client: Client, github: StandIn, publish: Publish) -> None:
    """Resolving a wheel of 20 MB moves less than 200 KB: a range is answered in place, so uv does not fall back."""
    big = package.wheel("acme_big", "1.0", padding=20_000_000)
    (client.home / "requirements.in").write_text(f"acme-big @ {publish(big.content, name=big.name)}")
    result = client.uv("pip", "compile", "--quiet", "requirements.in")
    assert result.code == 0, result.output
    assert "acme-big" in result.output
    assert 0 < moved(github) < 200_000


def test_uv_shows_why(client: Client, publish: Publish) -> None:
    """uv shows what the proxy says of a failure."""
    url = publish(b"", name="other.bin").replace("other.bin", WHEEL.replace("1.0", "9.9"))
    result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {url}")
    assert result.code != 0
    assert "asset not found" in result.output
    assert "hint: " in result.output


# ----------------------------------------------------------------------- pip


def test_pip_install(client: Client, package_url: str) -> None:
    """`pip install` installs a private wheel, and builds a private sdist."""
    site = client.home / "site"
    result = client.pip("install", "--no-deps", "--target", site, f"acme-tool @ {package_url}")
    assert result.code == 0, result.output
    assert version(sys.executable, PYTHONPATH=str(site)) == "1.0"


# ---------------------------------------------------------------------- curl


def test_get(client: Client, url: str) -> None:
    """A GET that follows redirects brings the very bytes."""
    reply = client.fetch(url, "-L")
    assert (reply.status, reply.body) == (200, CONTENT)


def test_get_redirects(client: Client, url: str, github: StandIn) -> None:
    """A full GET is redirected to the asset host: bulk bytes do not go through the interception."""
    reply = client.fetch(url)
    assert reply.status == 302
    assert reply.headers["location"].startswith(f"https://{github.asset_host}/")
    assert reply.headers["cache-control"] == "no-store"


def test_head(client: Client, url: str) -> None:
    """A HEAD tells the true size and type, that ranges work, and the validators of the full answer."""
    head, full = client.fetch(url, "-I"), client.fetch(url, "-L")
    assert head.status == 200
    assert head.headers["accept-ranges"] == "bytes"
    assert "content-range" not in head.headers
    assert int(head.headers["content-length"]) == len(CONTENT)
    for name in ("content-length", "content-type", "content-disposition", "etag", "last-modified"):
        assert head.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("0-99", slice(100)), ("10000-", slice(10000, None)), ("-16", slice(-16, None)), ("5000-5000", slice(5000, 5001))],
)
def test_range(client: Client, url: str, wanted: str, expected: slice) -> None:
    """A range is answered in place with 206, the bytes, and the validators of the full answer."""
    part, head = client.fetch(url, "-r", wanted), client.fetch(url, "-I")
    assert (part.status, part.body) == (206, CONTENT[expected])
    assert part.headers["content-range"].endswith(f"/{len(CONTENT)}")
    assert part.headers["etag"] == head.headers["etag"]


def test_range_beyond_the_end(client: Client, url: str) -> None:
    """A range that the asset does not have is refused with its size."""
    reply = client.fetch(url, "-r", "99999-")
    assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_not_modified(client: Client, url: str, method: str) -> None:
    """Who has the asset is told that it is the same; who has another gets it."""
    etag = client.fetch(url, "-I").headers["etag"]
    arguments = ("-I",) if method == "HEAD" else ()
    same = client.fetch(url, "-H", f"If-None-Match: {etag}", *arguments)
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    other = client.fetch(url, "-L", "-H", 'If-None-Match: "another"', *arguments)
    assert (other.status, other.body) == (200, b"" if method == "HEAD" else CONTENT)


def test_if_range(client: Client, url: str) -> None:
    """A broken download is continued if the asset is still the same, and begun again if it is not."""
    etag = client.fetch(url, "-I").headers["etag"]
    assert client.fetch(url, "-r", "5-9", "-H", f"If-Range: {etag}").body == CONTENT[5:10]
    assert client.fetch(url, "-r", "5-9", "-H", 'If-Range: "another"').body == CONTENT


def test_empty_asset(client: Client, publish: Publish) -> None:
    """An asset without a byte is an asset."""
    url = publish(b"")
    full, head = client.fetch(url, "-L"), client.fetch(url, "-I")
    assert (full.status, full.body) == (200, b"")
    assert (head.status, head.headers["content-length"]) == (200, "0")
    assert client.fetch(url, "-r", "0-9").status == 416


# ------------------------------------------------------- other ways of asking


def test_http_version(proxy: Proxy, url: str) -> None:
    """A client that offers both versions speaks HTTP/1.1 with an intercepted host, and HTTP/2 is not spoken at all."""
    trust = ssl.create_default_context(cafile=str(proxy.bundle))
    with httpx2.Client(http2=True, proxy=proxy.url, verify=trust, trust_env=False) as both:
        answer = both.get(url)
    assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 302)
    trust.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=10) as plain:
        plain.sendall(f"CONNECT {urlsplit(url).netloc} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in plain.recv(1000)
        with trust.wrap_socket(plain, server_hostname="localhost") as secure:
            assert secure.selected_alpn_protocol() is None


# ----------------------------------------------------- names, lists, answers


@pytest.mark.parametrize("tag", ["release/2.0+build.7", "pkg-a/v1.2.3", "100%", "50%25", "a b", "größe-✓", "v1?#x"])
def test_tags(client: Client, publish: Publish, tag: str) -> None:
    """A tag may hold what a git ref, and more, may hold."""
    url = publish(CONTENT, tag=tag)
    assert client.fetch(url, "-L").body == CONTENT
    assert client.fetch(url, "-I").headers["content-length"] == str(len(CONTENT))


def test_tag_spelt_otherwise(client: Client, publish: Publish, repository: Repository, github: StandIn) -> None:
    """Percent-encoded or not, a tag is the same tag."""
    publish(CONTENT, tag="release/2.0+build.7")
    base = f"https://{github.web}/{repository.full_name}/releases/download"
    for spelling in ("release/2.0+build.7", "release%2F2.0%2Bbuild.7", "release%2f2%2E0+build.7"):
        assert client.fetch(f"{base}/{spelling}/data.bin", "-L").body == CONTENT


@pytest.mark.parametrize("name", ["a+b.bin", "größe.bin", "100%25.bin", "x@1~2.bin"])
def test_file_names(client: Client, publish: Publish, name: str) -> None:
    """A file's name may hold more than letters."""
    assert client.fetch(publish(CONTENT, name=name), "-L").body == CONTENT


def test_latest(client: Client, publish: Publish, repository: Repository, github: StandIn) -> None:
    """`releases/latest/download/FILE` is the file of the newest release, drafts and prereleases left out."""
    publish(b"old"), publish(CONTENT, tag="v2.0")
    for unfinished in (Release("v3.0", [Asset("data.bin", b"draft")], draft=True), Release("v3.0rc1", prerelease=True)):
        repository.releases.append(unfinished)
    url = f"https://{github.web}/{repository.full_name}/releases/latest/download/data.bin"
    assert client.fetch(url, "-L").body == CONTENT
    assert client.fetch(url, "-I").headers["content-length"] == str(len(CONTENT))


def test_renamed_repository(client: Client, url: str, repository: Repository) -> None:
    """An old name of a repository still serves."""
    repository.rename(f"acme/renamed-{repository.name}")
    assert client.fetch(url, "-L").body == CONTENT
    assert client.fetch(url, "-r", "0-9").body == CONTENT[:10]


def test_pagination(client: Client, url: str, repository: Repository, github: StandIn) -> None:
    """An asset that the release's own list leaves out is found on a later page."""
    github.embedded_assets = 2
    assets = repository.releases[0].assets
    assets[:0] = [Asset(f"{quote(str(number))}.bin") for number in range(150)]
    assert client.fetch(url, "-L").body == CONTENT
    assert any(request.query.get("page") == "2" for request in github.calls("api"))


@pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "without ranges"])
def test_streamed_api(client: Client, url: str, github: StandIn, ranges: bool) -> None:
    """A forge whose API streams the bytes itself serves GET, HEAD and, as far as it can, ranges."""
    github.stream_assets, github.stream_ranges = True, ranges
    full, head = client.fetch(url), client.fetch(url, "-I")
    assert (full.status, full.body) == (200, CONTENT)
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert head.headers["etag"] == full.headers["etag"]
    part = client.fetch(url, "-r", "5-9")
    assert (part.status, part.body) == ((206, CONTENT[5:10]) if ranges else (200, CONTENT))
    assert client.fetch(url, "-H", f"If-None-Match: {full.headers['etag']}").status == 304
    assert github.calls("asset") == []


@pytest.mark.parametrize("arguments", [(), ("-I",), ("-r", "0-9")], ids=["GET", "HEAD", "range"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "redirected"])
def test_own_credentials(
    client: Client,
    url: str,
    github: StandIn,
    arguments: tuple[str, ...],
    streamed: bool,
) -> None:
    """The client's own Authorization is replaced and its cookies are dropped, wherever a request is sent."""
    github.stream_assets = github.stream_ranges = streamed
    own = ("-H", "Authorization: Basic bWU6bWU=", "-H", "Cookie: session=1", "-H", "X-Mine: 1")
    assert client.fetch(url, *own, *arguments).status in (200, 206)
    assert {request.headers.get("authorization") for request in github.calls("api")} == {f"Bearer {github.token}"}
    assert all("authorization" not in request.headers for request in github.calls("asset"))
    assert not any("cookie" in request.headers or "x-mine" in request.headers for request in github.calls())
    assert github.calls("web") == []


@pytest.mark.parametrize("header", ["Authorization: Basic eDp5", "authorization: Bearer mine", "Authorization;"])
def test_credentials_that_would_follow_a_redirect(client: Client, url: str, github: StandIn, header: str) -> None:
    """Who sends credentials of its own sends them on where it is redirected, and the asset host refuses them: such a
    client is served in place, with every kind of answer.
    """
    own = ("--location-trusted", "-H", header)
    reply = client.fetch(url, *own)
    assert (reply.status, reply.body) == (200, CONTENT)
    assert client.fetch(url, *own, "-H", 'If-None-Match: "another"').body == CONTENT
    assert client.fetch(url, *own, "-H", f"If-None-Match: {reply.headers['etag']}").status == 304
    assert client.fetch(url, *own, "-r", "5-").body == CONTENT[5:]
    assert {call.status for call in github.calls("asset")} == {200, 206}


def test_credentials_while_a_forge_changes_its_ways(client: Client, url: str, github: StandIn) -> None:
    """The same where a forge that streamed gives signed URLs now."""
    own = ("--location-trusted", "-H", "Authorization: Basic eDp5")
    github.stream_assets = True
    assert client.fetch(url, *own).body == CONTENT
    github.stream_assets = False
    assert client.fetch(url, *own).body == CONTENT


def test_nothing_about_the_token(client: Client, url: str, github: StandIn) -> None:
    """What the API says of the token (scopes, budget) does not reach the client."""
    github.stream_assets = True
    for reply in (client.fetch(url), client.fetch(url, "-I"), client.fetch(url, "-r", "0-9")):
        assert not {name for name in reply.headers if name.startswith(("x-", "github-", "set-cookie"))}


# ------------------------------------------------------------------ failures


def missing_asset(repository: Repository, github: StandIn) -> None:  # noqa: ARG001
    repository.releases[0].assets.clear()


def unfinished_asset(repository: Repository, github: StandIn) -> None:  # noqa: ARG001
    for asset in repository.releases[0].assets:
        asset.state = "starter"


def missing_release(repository: Repository, github: StandIn) -> None:  # noqa: ARG001
    repository.releases.clear()


def blind_token(repository: Repository, github: StandIn) -> None:
    github.tokens[0].repositories = set()
    repository.private = True


@pytest.mark.parametrize(
    ("spoil", "status", "title"),
    [
        (missing_asset, 404, "asset not found"),
        (unfinished_asset, 404, "asset not fully uploaded"),
        (missing_release, 404, "release not found"),
        (blind_token, 404, "repository not visible"),
    ],
)
def test_failures(
    client: Client,
    url: str,
    repository: Repository,
    github: StandIn,
    spoil: Callable[[Repository, StandIn], None],
    status: int,
    title: str,
) -> None:
    """A GET is told the true status with problem details; a HEAD gets 404, so that uv asks again by GET."""
    spoil(repository, github)
    full = client.fetch(url, "-L")
    assert (full.status, full.reason) == (status, f"gatepass: {title}")
    assert full.headers["content-type"] == "application/problem+json"
    assert full.headers["cache-control"] == "no-store"
    problem = json.loads(full.body)
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["hint"] in problem["detail"]
    head = client.fetch(url, "-I")
    assert (head.status, head.reason) == (404, f"gatepass: {title}")
    part = client.fetch(url, "-r", "0-9")
    assert (part.status, part.reason) == (status, f"gatepass: {title}")


# ----------------------------------------------------------- without Gatepass


def test_without_the_addon(outsider: Client, wheel_url: str) -> None:
    """Without the addon each client fails with 404: the problem that is solved here."""
    requirement = f"acme-tool @ {wheel_url}"
    for result in (
        outsider.uv("pip", "install", "--target", "site", requirement),
        outsider.pip("install", "--no-deps", "--target", "site", requirement),
        outsider.curl("-fL", "-o", "out", wheel_url),
    ):
        assert result.code != 0
        assert "404" in result.output
