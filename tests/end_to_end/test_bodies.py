"""What the proxy streams itself is held against what the API told: a body that is wrong ends in an error."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from gatepass.demo import package
from gatepass.demo.standin import Asset, Fault, Release, Repository, StandIn

if TYPE_CHECKING:
    from conftest import Publish
    from gatepass.demo.standin.exchange import Framing
    from harness import Client

pytestmark = pytest.mark.slow  # they wait for clocks, and move much

CONTENT = bytes(range(256)) * 2048
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"
# who has a credential of its own is not sent on
IN_PLACE = ("-H", "Authorization: Bearer mine")


@pytest.fixture(params=["forge", "asset host"])
def streams(request: pytest.FixtureRequest, github: StandIn) -> str:
    """Who sends the bytes: a forge that streams, or the asset host where the client is not sent on."""
    github.stream_assets = request.param == "forge"
    return "api" if github.stream_assets else "asset"


def broken(role: str, **fault: object) -> Fault:
    match = "/releases/assets/" if role == "api" else "/github-production-release-asset/"
    return Fault(role, match, times=9, **fault)  # type: ignore[arg-type]


def test_a_whole_body(client: Client, publish: Publish, streams: str) -> None:
    """It passes, with its digest in Repr-Digest (RFC 9530)."""
    assert streams
    reply = client.fetch(publish(CONTENT), *IN_PLACE)
    assert (reply.status, reply.body, reply.headers["repr-digest"]) == (200, CONTENT, DIGEST)


@pytest.mark.parametrize("framing", ["close", "chunked"])
def test_a_short_body(client: Client, github: StandIn, publish: Publish, streams: str, framing: Framing) -> None:
    """An end that looks like the true one, and comes too early, is an error for the client."""
    url = publish(CONTENT)
    github.faults.append(broken(streams, cut_after=len(CONTENT) - 1, framing=framing))
    result = client.curl(*IN_PLACE, "-o", "out", url)
    assert result.code == 18, result.output  # curl: "Partial file"
    assert (client.home / "out").stat().st_size < len(CONTENT) - 1


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
def test_another_body(client: Client, github: StandIn, publish: Publish, streams: str, framing: Framing) -> None:
    """A body of the right length whose digest is wrong has no end."""
    url = publish(CONTENT)
    github.faults.append(broken(streams, spoilt=CONTENT[:-1] + b"x", framing=framing))
    result = client.curl(*IN_PLACE, "-o", "out", url)
    assert result.code == 18, result.output
    assert (client.home / "out").stat().st_size < len(CONTENT)


def test_a_body_that_is_told_to_be_short(client: Client, github: StandIn, publish: Publish, streams: str) -> None:
    """Where the length is wrong before it begins the client is told why."""
    url = publish(CONTENT)
    github.faults.append(broken(streams, spoilt=CONTENT[:-1]))
    reply = client.fetch(url, *IN_PLACE)
    assert reply.status == 502
    assert f"{len(CONTENT) - 1} bytes, and {len(CONTENT)} were to come" in json.loads(reply.body)["detail"]


@pytest.mark.parametrize("wanted", ["0-", f"0-{len(CONTENT) - 1}"])
def test_a_part_that_is_the_whole(client: Client, github: StandIn, publish: Publish, streams: str, wanted: str) -> None:
    """A range of all there is is held against the digest, too; through memory as well as streamed."""
    github.stream_ranges = True
    url = publish(CONTENT)
    assert client.fetch(url, "-r", wanted).body == CONTENT
    url = publish(CONTENT, name="other.bin")
    github.faults.append(broken(streams, spoilt=bytes(len(CONTENT))))
    result = client.curl("-f", "-r", wanted, "-o", "out", url)
    assert result.code in (18, 22), result.output  # curl: "Partial file", or the status says why
    out = client.home / "out"
    assert not out.exists() or out.stat().st_size < len(CONTENT)


@pytest.mark.parametrize("wanted", ["0-", "0-99"])
def test_a_part_of_something_else(
    client: Client, github: StandIn, publish: Publish, repository: Repository, streams: str, wanted: str
) -> None:
    """A part of a file of another size than the API told is none of that asset."""
    assert streams
    github.stream_ranges = True
    url = publish(CONTENT)
    asset = repository.releases[0].asset("data.bin")
    assert asset is not None
    assert client.fetch(url, "-r", "5-9").body == CONTENT[5:10]
    asset.content = CONTENT + b"more"
    reply = client.fetch(url, "-r", wanted)
    assert (reply.status, json.loads(reply.body)["type"]) == (502, "urn:gatepass:problem:broken-answer")


def test_an_asset_without_digest(client: Client, github: StandIn, repository: Repository, streams: str) -> None:
    """Its length alone is held; and no digest is told."""
    repository.releases.append(Release("v2", [Asset("data.bin", CONTENT, digest=None)]))
    url = github.download_url(repository.full_name, "v2", "data.bin")
    reply = client.fetch(url, *IN_PLACE)
    assert (reply.body, "repr-digest" in reply.headers) == (CONTENT, False)
    github.faults.append(broken(streams, cut_after=9, framing="close"))
    assert client.curl(*IN_PLACE, "-o", "out", url).code == 18


def test_a_short_part(client: Client, github: StandIn, publish: Publish) -> None:
    """A large part is as long as its range says, or an error."""
    size = 3 * 1024 * 1024
    url = publish(bytes(size))
    span = f"0-{size - 2}"
    reply = client.fetch(url, "-r", span)
    assert (reply.status, len(reply.body)) == (206, size - 1)
    assert "repr-digest" in reply.headers
    github.faults.append(broken("asset", cut_after=size - 9, framing="chunked"))
    assert client.curl("-r", span, "-o", "out", url).code == 18


def test_where_a_digest_is_told(client: Client, publish: Publish) -> None:
    """HEAD, a part and 304 tell the digest of the whole; a redirect has none of its own to tell."""
    url = publish(CONTENT)
    head = client.fetch(url, "-I")
    assert head.headers["repr-digest"] == DIGEST
    assert client.fetch(url, "-r", "0-9").headers["repr-digest"] == DIGEST
    unmodified = client.fetch(url, "-H", f"If-None-Match: {head.headers['etag']}")
    assert (unmodified.status, unmodified.headers["repr-digest"]) == (304, DIGEST)
    moved = client.fetch(url)
    assert (moved.status, "repr-digest" in moved.headers) == (302, False)


def test_uv_and_pip(client: Client, github: StandIn, repository: Repository) -> None:
    """A wheel that a streaming forge sends wrong is installed by neither."""
    wheel = package.wheel("acme_tool", "1.0")
    url = github.download_url(repository.full_name, "v1.0", wheel.name)
    github.stream_assets = True
    spoilt = bytearray(wheel.content)
    spoilt[60] ^= 1
    github.faults.append(broken("api", spoilt=bytes(spoilt), framing="close"))
    github.faults[-1].times = 99
    assert client.pip("install", "--retries", "0", "--no-deps", "--target", "pip", url).code != 0
    assert client.uv("pip", "install", "--target", "uv", f"acme-tool @ {url}", UV_HTTP_RETRIES="0").code != 0
