"""A request that is led elsewhere after it was settled takes no secret along, whoever leads it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import pytest
from mitmproxy import http, io
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import BIN, SCRIPT, Client, Proxy, background, clean_environment, mitmdump, strays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Publish
    from gatepass.demo.standin import StandIn

# What an addon after ours may do to a request, or to the connection that it is about to be written to.
LEADS: Final = {
    "port": "def request(flow): flow.request.port = {asset}",
    "host": "def request(flow): flow.request.host = '127.0.0.1'",
    "scheme": "def request(flow): flow.request.scheme = 'http'",
    "all": "def request(flow): flow.request.host, flow.request.port = '127.0.0.1', {asset}",
    "connection": (
        "def server_connect(data):\n    server = data.server\n"
        "    if server.address[1] == {web}: server.address, server.sni = ('127.0.0.1', {asset}), '127.0.0.1'"
    ),
    "unverified": "from mitmproxy import ctx\ndef request(flow): ctx.options.ssl_insecure = True",
}


def port(host: str) -> str:
    return host.partition(":")[2]


@pytest.fixture(params=LEADS)
def led(request: pytest.FixtureRequest, github: StandIn, rules: Path, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with an addon after ours that leads requests to another server."""
    script = tmp_path / "lead.py"
    script.write_text(LEADS[request.param].format(web=port(github.web), asset=port(github.asset_host)))
    with mitmdump(tmp_path, rules, github.ca_file, "-s", script, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        yield proxy
    assert DEFAULT_TOKEN not in proxy.log


def test_a_header_rule(led: Proxy, github: StandIn, tmp_path: Path) -> None:
    """What a header rule sets goes to its host alone: the request is refused, with the reason."""
    client = Client(tmp_path, led.variables())
    reply = client.fetch(f"https://{github.web}/injected/x")
    assert (reply.status, json.loads(reply.body)["type"]) == (502, "urn:gatepass:problem:led-elsewhere")
    assert not [call for call in github.calls() if DEFAULT_TOKEN in str(call.headers)]


def test_a_forge_that_streams(led: Proxy, github: StandIn, publish: Publish, tmp_path: Path) -> None:
    """The token of a download that is streamed through the proxy goes to the API alone."""
    github.stream_assets = True
    url = publish(b"0123456789")
    Client(tmp_path, led.variables()).fetch(url)
    assert strays(github, DEFAULT_TOKEN) == []


def test_map_remote(github: StandIn, rules: Path, tmp_path: Path) -> None:
    """mitmproxy's own `map_remote` leads no secret away."""
    to = f"|{re.escape(github.web)}/injected|{github.asset_host}/elsewhere"
    with mitmdump(tmp_path, rules, github.ca_file, "--map-remote", to, STANDIN_TOKEN=DEFAULT_TOKEN) as proxy:
        reply = Client(tmp_path, proxy.variables()).fetch(f"https://{github.web}/injected/x")
    assert reply.status == 502
    assert not [call for call in github.calls() if DEFAULT_TOKEN in str(call.headers)]


def test_a_recorded_flow(github: StandIn, rules: Path, tmp_path: Path) -> None:
    """A replay is judged by where it goes, whatever mode and SNI its record tells of."""
    host = github.web.partition(":")[0]
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse("transparent")
    flow.client_conn.sni = host
    flow.request = http.Request.make(
        "GET", f"https://127.0.0.1:{port(github.web)}/injected/x", headers=http.Headers(host=host)
    )
    named = tflow.tflow()
    named.request = http.Request.make(
        "GET", f"https://{github.web}/injected/y", headers=http.Headers(host=github.asset_host)
    )
    with (tmp_path / "flows").open("wb") as file:
        for each in (flow, named):
            io.FlowWriter(file).add(each)
    command: list[str | Path] = [
        BIN / "mitmdump",
        "-s",
        SCRIPT,
        "-n",
        "-C",
        tmp_path / "flows",
        "--set",
        f"gatepass_rules={rules}",
    ]
    command += ["--set", f"ssl_verify_upstream_trusted_ca={github.ca_file}", "--set", f"confdir={tmp_path}"]
    with background(command, clean_environment(STANDIN_TOKEN=DEFAULT_TOKEN), cwd=tmp_path) as running:
        running.process.wait(30)
    led, ours = (next(call for call in github.calls() if call.path == path) for path in ("/injected/x", "/injected/y"))
    assert DEFAULT_TOKEN not in str(led.headers)
    assert ours.headers["host"] == github.web
    assert DEFAULT_TOKEN not in running.output
