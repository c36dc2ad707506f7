"""The admin listener of a proxy that serves: what it does is seen there, by Prometheus and by people in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from harness import GATEPASS, Client, background, eventually, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Shell


@contextmanager
def serving(shell: Shell, *options: str) -> Iterator[tuple[Client, str, str]]:
    """`serve` with an admin listener: a client that goes through it, the listener's URL, and the proxy's password."""
    command: list[str | Path] = [
        GATEPASS,
        "serve",
        "--rules",
        shell.rules,
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
    ]
    with background([*command, *options], shell.env, shell.home) as running:
        admin = running.wait_for(r"the admin listener is (http://127\.0\.0\.1:\d+)/")[1]
        proxy = running.wait_for(r"export HTTPS_PROXY=(\S+)")[1]
        password = proxy.split(":")[2].partition("@")[0]
        yield Client(shell.home, {"HTTPS_PROXY": proxy, "NO_PROXY": ""}), admin, password
    assert "Traceback" not in running.output, running.output


def seen(client: Client, url: str, *arguments: str) -> str:
    """What the listener answers, asked past the proxy."""
    reply = client.fetch(url, "--noproxy", "*", *arguments)
    return reply.body.decode()


def test_what_is_seen(shell: Shell, wheel_url: str, github: StandIn) -> None:
    """Requests, refusals, budgets and bytes are seen in metrics and state; no secret and no query is."""
    with serving(shell) as (client, admin, password):
        assert client.fetch(f"{wheel_url}?secret=in-the-query", "-k").status == 302
        assert client.fetch(wheel_url.replace("acme_tool-1", "acme_tool-9"), "-k").status == 404
        eventually(lambda: json.loads(seen(client, f"{admin}/status.json"))["requests"]["refuse"])
        state = json.loads(seen(client, f"{admin}/status.json"))
        assert state["rules"]["file"] == str(shell.rules)
        assert state["requests"]["resolve"] == 1
        assert state["problems"] == {"urn:gatepass:problem:asset-not-found": 1}
        assert state["refusals"][0]["user"] == "gatepass"
        assert state["refusals"][0]["path"].endswith("acme_tool-9.0-py3-none-any.whl")
        (credential,) = state["credentials"]
        assert (credential["forge"], credential["credential"]) == (github.web, "standin")
        assert credential["remaining"] > 4000

        metrics = seen(client, f"{admin}/metrics")
        assert 'gatepass_requests_total{action="resolve",client="",status="302"} 1.0' in metrics
        assert 'gatepass_refused_total{reason="urn:gatepass:problem:asset-not-found"} 1.0' in metrics
        calls = re.findall(rf'gatepass_api_calls_total{{forge="{github.web}",status="\d+"}} (\S+)', metrics)
        assert sum(map(float, calls)) == len(github.calls("api"))
        assert 'gatepass_cache_total{cache="releases",result="hit"}' in metrics
        checked = subprocess.run(
            [need("promtool"), "check", "metrics"], input=metrics, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")

        for text in (json.dumps(state), metrics, seen(client, f"{admin}/")):
            for secret in (DEFAULT_TOKEN, password, "in-the-query", "X-Amz"):
                assert secret not in text


def test_no_client_is_led_there(shell: Shell) -> None:
    """The listener is for those who run the proxy: nobody gets there through the proxy, plainly or by a tunnel."""
    with serving(shell) as (client, admin, _):
        proxied = ("-x", client.variables["HTTPS_PROXY"])
        reply = client.fetch(f"{admin}/status.json", *proxied)
        assert (reply.status, json.loads(reply.body)["type"]) == (403, "urn:gatepass:problem:proxy-itself")
        assert client.curl("-p", *proxied, f"{admin}/status.json").code


def test_an_audit_file_that_cannot_be_written(shell: Shell, wheel_url: str) -> None:
    """It makes the proxy not ready, with the reason; it stays healthy."""
    with serving(shell, "--audit=/dev/full") as (client, admin, _):
        assert client.fetch(f"{admin}/readyz", "--noproxy", "*").status == 200
        assert client.fetch(wheel_url, "-k").status == 302
        eventually(lambda: client.fetch(f"{admin}/readyz", "--noproxy", "*").status == 503)
        assert "no space left on device" in seen(client, f"{admin}/readyz")
        assert client.fetch(f"{admin}/healthz", "--noproxy", "*").status == 200


@pytest.mark.slow
def test_the_page_in_a_browser(shell: Shell, wheel_url: str) -> None:
    """Chromium shows the page as it is meant: nothing is refused by its policy, nothing is loaded, it renews itself."""
    chromium = need("chromium")
    with serving(shell) as (client, admin, _):
        assert client.fetch(wheel_url.replace("acme_tool-1", "acme_tool-9"), "-k").status == 404
        eventually(lambda: "asset-not-found" in seen(client, f"{admin}/"))
        for scheme in ("0", "1"):
            command = [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
                f"--user-data-dir={shell.home / f'profile{scheme}'}", f"--blink-settings=preferredColorScheme={scheme}",
                "--virtual-time-budget=12000", f"{admin}/",
            ]  # fmt: skip
            done = subprocess.run(command, env=client.env, capture_output=True, text=True, timeout=120, check=False)
            said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
            assert said == []
            shown = re.sub(r"<[^>]+>", " ", done.stdout)
            assert "Gatepass" in shown
            assert "Ready" in shown
            assert "The last refusals" in shown
            assert "asset not found" in shown
            assert "does not answer" not in re.sub(r"(?s)<script>.*?</script>", "", done.stdout)
