"""What stands in for curl where there is none does as curl does, of what the tests ask."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import ROOT, Client, Reply, need

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn
    from harness import Proxy

CONTENT = bytes(range(256)) * 40
STAND_IN = str(ROOT / "tests" / "bin" / "curl")


@pytest.fixture
def real() -> str:
    return need("curl")


def ask(client: Client, program: str, folder: Path, *arguments: str) -> tuple[int, list[Reply], bytes]:
    """How it ended, each answer's head, and what was written of bodies; without what differs between two requests."""
    folder.mkdir()
    result = replace(client, home=folder).run(
        program, "-sS", "--http1.1", "--suppress-connect-headers", "-D", "heads", "-o", "body", *arguments
    )
    heads = (folder / "heads").read_text().replace("\r", "").strip() if (folder / "heads").exists() else ""
    replies = [Reply.parse(head, b"") for head in heads.split("\n\n") if head]
    for reply in replies:
        assert isinstance(reply.headers, dict)
        for name in ("date", "location", "x-github-request-id"):
            reply.headers.pop(name, None)
    body = folder / "body"
    return result.code, replies, body.read_bytes() if body.exists() else b""


OF_ANY_ANSWER = [[], ["-L"], ["-I"], ["-r", "5-9"], ["-f"], ["-i"], ["-X", "DELETE"]]
OF_A_FILE = [
    ["-LI"],
    ["-r", "-5"],
    ["-fL", "-H", "If-None-Match: x", "-H", "Accept;", "-H", "User-Agent:"],
    ["-d", "a=b"],
    ["--json", "{{}}"],
    ["-k"],
    ["--cacert", "/dev/null"],
    ["-x", "http://127.0.0.1:1"],
    ["--noproxy", "*"],
    ["--connect-to", "{web}:127.0.0.1:1"],
    ["-L", "-H", "Host: evil.test"],
    ["--max-time", "20", "--path-as-is"],
]


@pytest.mark.parametrize(
    ("there", "arguments"),
    [(there, arguments) for there in (True, False) for arguments in OF_ANY_ANSWER]
    + [(True, arguments) for arguments in OF_A_FILE],
)
def test_as_curl_does(
    client: Client, github: StandIn, publish: Publish, tmp_path: Path, real: str, arguments: list[str], there: bool
) -> None:
    """The same exit code, the same answers, the same bytes."""
    url = publish(CONTENT) if there else publish(b"").replace("data.bin", "none.bin")
    given = [argument.format(web=github.web) for argument in arguments]
    theirs, ours = (ask(client, each, tmp_path / str(n), *given, url) for n, each in enumerate((real, STAND_IN)))
    assert ours == theirs


@pytest.mark.parametrize("proxy_url", ["http://localhost.:1", "http://invalid.invalid:80"])
def test_without_a_proxy_that_works(client: Client, tmp_path: Path, real: str, proxy_url: str) -> None:
    """What is not reached is told as curl tells it."""
    arguments = ("-x", proxy_url, "https://localhost/")
    theirs, ours = (ask(client, each, tmp_path / str(n), *arguments) for n, each in enumerate((real, STAND_IN)))
    assert ours == theirs


def test_an_option_that_is_not_known(client: Client) -> None:
    """What it does not know it does not do."""
    result = client.run(STAND_IN, "--http3", "https://localhost/")
    assert (result.code, "--http3" in result.output) == (2, True)


def test_curl_comes_first(client: Client, proxy: Proxy) -> None:
    """Where curl is installed, curl is what the tests run."""
    assert proxy.url
    found = shutil.which("curl", path=client.env["PATH"])
    assert found == (shutil.which("curl", path=os.environ["PATH"]) or STAND_IN)
