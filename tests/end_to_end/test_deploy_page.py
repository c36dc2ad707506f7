"""docs/deploy.md: the commands that it shows, run one after the other as a reader would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.trust import authority
from harness import BIN, ROOT, UV, clean_environment, free_port, need, strays
from pages import PAGES
from replicas import private_github, way_to

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # it starts several servers

PAGE = PAGES["docs/deploy.md"]
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
"""The page's blocks, in order."""


def test_the_page(tmp_path: Path) -> None:
    """From nothing to three replicas behind HAProxy, a client that installs, another CA, an upgrade: all of it works.

    The client's block is run in a shell of its own after each of the others that could break it.
    """
    need("haproxy")
    rules, replicas, front, client, *later = SHELL
    ports = {port: str(free_port()) for port in ("3128", *(f"{each}08{n}" for each in (8, 9) for n in (1, 2, 3)))}
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    steps = [rules, replicas, front]
    for step in later:
        steps += ["installs", step]
    before = ("set -eu", "trap 'kill $(jobs -p)' EXIT", "installs() { bash -eu client.sh; }")
    script = "\n".join((*before, *steps, "installs"))
    for name in ("replica", "ready"):  # `808$1` is a port of these
        script = script.replace(f"{name}() {{", f'{name}() {{ eval "at=\\$AT_$1 admin=\\$ADMIN_$1";', 1)
    script = script.replace("808$1", "$at").replace("908$1", "$admin").replace(":3128", f":{ports['3128']}")
    (tmp_path / "client.sh").write_text(
        f"rm -rf site\n{client.replace(':3128', f':{ports["3128"]}')}test -f site/acme_tool.py && echo installed\n"
    )
    with private_github() as world, way_to(world) as way:
        env = clean_environment(
            HOME=str(tmp_path),
            XDG_CONFIG_HOME=str(tmp_path / "config"),
            ACME_TOKEN=DEFAULT_TOKEN,
            HTTPS_PROXY=way.url,
            SSL_CERT_FILE=str(world.ca_file),
            UV_PYTHON=sys.executable,
            UV_NO_CACHE="1",
        )
        env["PATH"] = os.pathsep.join((str(BIN), str(UV.parent), env["PATH"]))
        for n in (1, 2, 3):
            env |= {f"AT_{n}": ports[f"808{n}"], f"ADMIN_{n}": ports[f"908{n}"]}
            env |= {f"GATEPASS_{n}": f"127.0.0.1:{ports[f'808{n}']}"}
            env |= {f"GATEPASS_{n}_ADMIN": f"127.0.0.1:{ports[f'908{n}']}"}
        process = subprocess.Popen(
            ["bash", "-c", script],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=600)
        finally:
            with suppress(ProcessLookupError):  # what it has left, where it did not come to its end
                os.killpg(process.pid, signal.SIGTERM)
        logs = "\n".join(path.read_text() for path in tmp_path.glob("*.log"))
        assert process.returncode == 0, output + logs
        assert output.count("\ninstalled\n") == len(later) + 1, output
        assert "Traceback" not in logs
        assert strays(world, DEFAULT_TOKEN) == []
    assert (tmp_path / "config" / "gatepass" / "ca" / authority.PREVIOUS_FILE).exists(), "the CA was switched"
    assert all((tmp_path / f"replica-{n}.log").read_text().count("listening; in") == 2 for n in (1, 2, 3)), "upgraded"
    audit = "".join((tmp_path / f"audit-{n}.jsonl").read_text() for n in (1, 2, 3))
    assert audit.count('"resolve"') > len(later)
