"""What requests cost: API calls, and bytes of the asset host."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import Asset, Fault, Release, Repository, StandIn, Token, Zeros
from harness import Client, mitmdump, peak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish
    from harness import Proxy

CONTENT = b"0123456789" * 1000


@pytest.fixture
def url(publish: Publish) -> str:
    return publish(CONTENT)


def calls(github: StandIn) -> list[str]:
    """What the API was asked, in short."""
    return [call.path.rpartition("/releases/")[2] for call in github.calls("api")]


def costly(github: StandIn) -> int:
    """The API calls that cost budget: all but those that were answered by 304."""
    return sum(call.status != 304 for call in github.calls("api"))


def at_once(client: Client, urls: list[str], *arguments: str) -> list[str]:
    """Fetch all URLs at the same time, each with a curl of its own; the status of each."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", *arguments]
    running = [
        subprocess.Popen([*command, url], env=client.env, stdout=subprocess.PIPE, text=True, cwd=client.home)
        for url in urls
    ]
    return [process.communicate()[0] for process in running]


def test_a_cold_install_costs_two_calls(client: Client, github: StandIn, wheel_url: str) -> None:
    """`uv pip install` of a wheel costs a lookup and a signed URL, for all of its HEADs and ranges; then none."""
    venv = client.venv()
    for expected in (2, 0):
        github.forget()
        result = client.uv("pip", "install", "--no-cache", "--reinstall", "--python", venv, f"acme-tool @ {wheel_url}")
        assert result.code == 0, result.output
        assert len(github.calls("api")) == expected, calls(github)


def test_many_clients_at_once(client: Client, github: StandIn, url: str) -> None:
    """Forty clients that ask at once cost what one costs."""
    github.latency = 0.2
    assert at_once(client, [url] * 40) == ["302"] * 40
    assert len(github.calls("api")) == 2


def test_every_kind_of_request_shares(client: Client, github: StandIn, url: str) -> None:
    """HEAD, ranges, conditions and downloads of one asset cost one lookup and one signed URL together."""
    for arguments in (("-I",), ("-r", "0-9"), ("-r", "0-"), ("-L",), ("-H", 'If-None-Match: "x"'), ("-I",)):
        assert client.fetch(url, *arguments).status in (200, 206, 302)
    assert len(github.calls("api")) == 2
    # HEAD and conditions share what the first byte told
    assert [call.headers["range"] for call in github.calls("asset") if "range" in call.headers] == [
        "bytes=0-0", "bytes=0-9", "bytes=0-"]  # fmt: skip


def test_many_assets_of_one_release(client: Client, github: StandIn, publish: Publish) -> None:
    """A hundred assets cost one lookup and one signed URL each; again, nothing."""
    github.embedded_assets = 200
    urls = [publish(b"x", name=f"{number}.bin") for number in range(100)]
    assert at_once(client, urls[:20]) == ["302"] * 20
    arguments = [part for url in urls[20:] for part in ("-o", "/dev/null", url)]
    assert client.curl("--fail", *arguments).code == 0
    assert len(github.calls("api")) == 101
    github.forget()
    assert client.curl("--fail", *arguments).code == 0
    assert len(github.calls("api")) == 0


def test_pages_are_read_once(client: Client, github: StandIn, publish: Publish) -> None:
    """What the embedded list lacks is paged for, and the pages are remembered, too."""
    github.embedded_assets = 3
    urls = [publish(b"x", name=f"{number}.bin") for number in range(150)]
    assert client.fetch(urls[140]).status == 302
    assert len(github.calls("api")) == 1 + 2 + 1
    github.forget()
    for number in (2, 50, 120, 149):
        assert client.fetch(urls[number]).status == 302
    assert all(call.startswith("assets/") for call in calls(github))
    assert len(github.calls("api")) == 4


def test_a_missing_asset(client: Client, github: StandIn, publish: Publish, url: str) -> None:
    """A name that a known release lacks is asked for once more, for free, before it is missing; then not again."""
    assert client.fetch(url).status == 302
    github.forget()
    missing = url.replace("data.bin", "none.bin")
    for _ in range(3):
        assert client.fetch(missing).status == 404
    assert calls(github).count("tags/v1.0") == 1
    assert costly(github) == 1, "the revalidation is free; the pages are read once"
    # a new asset is found though its release was known
    assert client.fetch(publish(b"new", name="new.bin")).status == 302


def test_failures_are_remembered_for_a_moment(client: Client, github: StandIn, url: str) -> None:
    """A client that retries does not make the API say no again and again."""
    absent = url.replace("/v1.0/", "/v9/")
    for arguments in ((), ("-I",), ()):
        assert client.fetch(absent, *arguments).status == 404
    assert calls(github)[0] == "tags/v9"
    assert len(github.calls("api")) == 3, "the lookup, and two questions about why"


def test_faults_are_not_remembered(client: Client, github: StandIn, url: str) -> None:
    """A fault of the network or the API passes, and so does what was said about it."""
    for fault in (Fault("api", status=500, times=9), Fault("api", close=True, times=9)):
        github.faults[:] = [fault]
        assert client.fetch(url).status == 502
    github.faults.clear()
    assert client.fetch(url).status == 302


def test_an_asset_that_was_replaced(client: Client, github: StandIn, repository: Repository, url: str) -> None:
    """When the asset's id is gone the release is read again, and the client gets what is there now."""
    github.signed_lifetime = 25  # too short to be kept, so that the next request asks for another
    head = client.fetch(url, "-I")
    repository.releases[0].assets[-1] = Asset("data.bin", b"other")
    assert client.fetch(url, "-L").body == b"other"
    assert client.fetch(url, "-I").headers["etag"] != head.headers["etag"]


@pytest.mark.parametrize("arguments", [("-r", "0-2"), ("-L", "-r", "0-")], ids=["small", "open"])
def test_an_asset_that_was_replaced_between_two_ranges(
    client: Client, github: StandIn, repository: Repository, url: str, arguments: tuple[str, ...]
) -> None:
    """When the URL that was handed out leads to nothing any more, the client gets what goes by that name now."""
    assert client.fetch(url, "-r", "0-1").status == 206
    repository.releases[0].assets[-1] = Asset("data.bin", b"other")
    reply = client.fetch(url, *arguments)
    assert (reply.status, reply.body) == (206, b"other"[: 3 if arguments[0] == "-r" else None])
    assert github.calls("asset")[-1].status == 206


@pytest.mark.parametrize("arguments", [("-r", "0-9"), ("-L", "-r", "0-")], ids=["small", "open"])
def test_a_signed_url_that_is_refused(client: Client, github: StandIn, url: str, arguments: tuple[str, ...]) -> None:
    """A signed URL that worked and is refused now is asked for anew, once, and the client does not notice."""
    assert client.fetch(url, "-r", "0-1").status == 206
    github.expire_signed_urls()
    reply = client.fetch(url, *arguments)
    assert (reply.status, reply.body) == (206, CONTENT if arguments[0] == "-L" else CONTENT[:10])
    assert calls(github).count("tags/v1.0") == 1
    assert len(github.calls("api")) == 3


def test_a_signed_url_that_is_always_refused(client: Client, github: StandIn, url: str) -> None:
    """It is asked for anew once, and then the client is told."""
    assert client.fetch(url, "-r", "0-1").status == 206
    github.forget()
    github.faults.append(Fault("asset", status=403, times=9))
    assert client.fetch(url, "-r", "0-9").status == 502
    assert len(github.calls("api")) == 1
    assert len(github.calls("asset")) == 2


def test_a_signed_url_of_unknown_end(client: Client, github: StandIn, url: str) -> None:
    """A signed URL whose end cannot be read is used once."""
    for _ in range(2):
        target = f"https://{github.asset_host}/opaque"
        github.faults.append(Fault("api", "/releases/assets/", status=302, headers={"location": target}))
        assert client.fetch(url).headers["location"] == target
    assert [call.startswith("assets/") for call in calls(github)] == [False, True, True]


def test_a_short_lived_signed_url(client: Client, github: StandIn, url: str) -> None:
    """A signed URL that is about to end is not handed out again."""
    github.signed_lifetime = 25
    for _ in range(2):
        assert client.fetch(url).status == 302
    assert [call.startswith("assets/") for call in calls(github)] == [False, True, True]


def test_a_forge_that_streams(client: Client, github: StandIn, url: str) -> None:
    """A forge that streams is asked for a signed URL once; the bytes come through, and are held by nobody."""
    github.stream_assets = True
    for _ in range(2):
        assert client.fetch(url).body == CONTENT
    assert [call.startswith("assets/") for call in calls(github)] == [False, True, True, True]


def test_a_streaming_forge_that_redirects(client: Client, github: StandIn, url: str) -> None:
    """A signed URL that passes in a redirect is learnt from it."""
    github.stream_assets = True
    assert client.fetch(url).body == CONTENT
    github.stream_assets = False
    assert client.fetch(url).status == 302
    github.forget()
    assert client.fetch(url).status == 302
    assert github.calls("api") == []


def test_a_streamed_answer_is_not_held(client: Client, github: StandIn, publish: Publish, proxy: Proxy) -> None:
    """Asking a forge that streams for a signed URL does not read the gigabyte that it answers with."""
    github.stream_assets = True
    url = publish(Zeros(1 << 30))
    before = peak(proxy.running.process.pid)
    assert client.fetch(url, "-I").headers["content-length"] == str(1 << 30)
    assert peak(proxy.running.process.pid) - before < 30_000_000


# ------------------------------------------------------------------ credentials apart


TWO = """\
version: 1
forges: [{{web: "{web}", api: "{api}"}}]
credentials:
  one: {{from: [env:ONE], hosts: ["{web}"]}}
  two: {{from: [env:TWO], hosts: ["{web}"]}}
rules:
  - {{match: "{web}/acme/*/releases/download/v1.0/*", resolve: github-release, credential: one}}
  - {{match: "{web}/acme/*/releases/download/*", resolve: github-release, credential: two}}
  - {{match: "{web}/*/releases/download/*", resolve: github-release, credential: one}}
  - {{match: "{web}/*/releases/latest*", resolve: github-release, credential: one}}
cache: {{latest: 0, missing: 0, entries: 50}}
"""


@pytest.fixture(scope="module")
def _two(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("two")
    rules = folder / "rules.yaml"
    rules.write_text(TWO.format(web=_standin.web, api=_standin.api))
    with mitmdump(folder, rules, _standin.ca_file, ONE="token-one", TWO="token-two") as proxy:
        yield proxy
    assert "Traceback" not in proxy.log, proxy.log


@pytest.fixture
def other(_two: Proxy, github: StandIn, repository: Repository, tmp_path: Path) -> Client:
    """Clients of a proxy with two credentials, of which the second may not see the test's repository."""
    github.tokens[:] = [Token("token-one"), Token("token-two", repositories=set())]
    assert repository.private
    return Client(tmp_path, _two.variables())


def test_no_credential_profits_from_another(other: Client, github: StandIn, publish: Publish) -> None:
    """What one credential has seen is not shown by way of another that may not."""
    assert other.fetch(publish(CONTENT)).status == 302
    assert other.fetch(publish(CONTENT, tag="v2.0")).status == 404
    assert {call.headers["authorization"] for call in github.calls("api")} == {"Bearer token-one", "Bearer token-two"}


def test_revalidation_is_free(other: Client, github: StandIn, repository: Repository) -> None:
    """A release that is due is asked for again with its validator, and a 304 costs no budget."""
    public_owner = Repository("umbrella", repository.name, releases=[Release("v1", [Asset("f", b"x")])])
    github.repositories.append(public_owner)
    url = github.download_url(public_owner.full_name, "v1", "f").replace("download/v1/", "latest/download/")
    assert other.fetch(url).status == 302
    public_owner.releases[0].assets.append(Asset("g", b"y"))
    github.forget()
    assert other.fetch(url[:-1] + "g").status == 302
    assert other.fetch(url[:-1] + "h").status == 404
    assert [call.status for call in github.calls("api") if call.path.endswith("/latest")] == [200, 304]


# ------------------------------------------------------------------ anonymously first


@pytest.fixture
def public(github: StandIn, repository: Repository) -> Repository:
    """A public repository of an owner that no rule names."""
    new = Repository("umbrella", repository.name, private=False, releases=[Release("v1", [Asset("f", CONTENT)])])
    github.repositories.append(new)
    return new


def test_public_assets_need_no_credential(other: Client, github: StandIn, public: Repository) -> None:
    """A public asset is served in every way without a credential or an API call, after one question to the web host."""
    url = github.download_url(public.full_name, "v1", "f")
    head, part, whole = other.fetch(url, "-I"), other.fetch(url, "-r", "0-9"), other.fetch(url, "-L")
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert (part.status, part.body, whole.body) == (206, CONTENT[:10], CONTENT)
    assert head.headers["etag"] == part.headers["etag"] == whole.headers["etag"]
    assert github.calls("api") == []
    assert len(github.calls("web")) == 1
    assert all("authorization" not in call.headers for call in github.calls())


def test_latest_of_a_public_repository(other: Client, github: StandIn, public: Repository) -> None:
    """`latest`, which the web host redirects to a tag, is public, too."""
    url = f"https://{github.web}/{public.full_name}/releases/latest/download/f"
    assert other.fetch(url, "-L").body == CONTENT
    assert github.calls("api") == []


def test_the_page_of_a_private_repositorys_latest_release(other: Client, github: StandIn, public: Repository) -> None:
    """What scripts ask for to learn the newest tag is answered as GitHub answers it for a public repository."""
    private = Repository("umbrella", f"private-{public.name}", releases=[Release("v1.2")])
    github.repositories.append(private)
    for repository, tag in ((private, "v1.2"), (public, "v1")):
        page = f"https://{github.web}/{repository.full_name}/releases"
        for arguments in ((), ("-I",)):
            reply = other.fetch(f"{page}/latest", *arguments)
            assert (reply.status, reply.headers["location"], reply.body) == (302, f"{page}/tag/{tag}", b"")
    assert {call.path for call in github.calls("api")} == {f"/repos/{private.full_name}/releases/latest"}
    assert all("authorization" not in call.headers for call in github.calls("web"))


def test_a_private_repository_is_asked_about_once(other: Client, github: StandIn, repository: Repository) -> None:
    """What was not public goes through the API, and the next request skips the question."""
    private = Repository("umbrella", repository.name, releases=[Release("v1", [Asset("f", CONTENT), Asset("g", b"y")])])
    github.repositories.append(private)
    for name in ("f", "g", "f"):
        assert other.fetch(github.download_url(private.full_name, "v1", name), "-L").status == 200
    assert len(github.calls("web")) == 1
    assert len(github.calls("api")) == 3
    assert all("authorization" not in call.headers for call in github.calls("web"))


def test_a_misspelt_public_asset(other: Client, github: StandIn, public: Repository) -> None:
    """A missing asset of a public repository does not make the repository private."""
    url = github.download_url(public.full_name, "v1", "f")
    assert other.fetch(f"{url}x").status == 404
    github.forget()
    assert other.fetch(url).status == 302
    assert github.calls("api") == []


def test_a_forge_in_private_mode(other: Client, github: StandIn, repository: Repository) -> None:
    """A web host that sends everybody to its sign-in page has nothing public: the API is asked."""
    private = Repository("umbrella", repository.name, releases=[Release("v1", [Asset("f", CONTENT)])])
    github.repositories.append(private)
    github.private_mode = True
    assert other.fetch(github.download_url(private.full_name, "v1", "f"), "-L").body == CONTENT


@pytest.mark.parametrize("status", [429, 500])
def test_an_unclear_answer(other: Client, github: StandIn, public: Repository, status: int) -> None:
    """When the web host says neither yes nor no, the API is asked; where that knows nothing, the request passes
    unchanged, and the client gets what the web host says.
    """
    github.faults.append(Fault("web", status=status, times=9))
    url = github.download_url(public.full_name, "v1", "f")
    assert other.fetch(url, "-L").body == CONTENT
    assert [call.role for call in github.calls()] == ["web", "api", "api", "asset"]
    github.forget()
    assert other.fetch(f"{url}x", "-H", "X-Mine: 1").status == status
    assert github.calls("web")[-1].headers["x-mine"] == "1"
    assert all("authorization" not in call.headers for call in github.calls("web"))


def test_ranges_of_a_public_wheel(other: Client, github: StandIn, repository: Repository) -> None:
    """`uv pip compile` of a public wheel moves kilobytes, which without the proxy it does not."""
    file = package.wheel("acme_tool", "1.0", padding=20_000_000)
    name = repository.name
    github.repositories.append(
        Repository("umbrella", name, private=False, releases=[Release("v1", [Asset(file.name, file.content)])])
    )
    url = github.download_url(f"umbrella/{name}", "v1", file.name)
    (other.home / "requirements.in").write_text(f"acme-tool @ {url}")
    result = other.uv("pip", "compile", "requirements.in")
    assert result.code == 0, result.output
    assert sum(call.bytes_sent for call in github.calls("asset")) < 200_000
    assert github.calls("api") == []
