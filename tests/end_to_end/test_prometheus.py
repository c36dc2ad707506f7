"""deploy/prometheus and deploy/grafana: alerts and a dashboard, by Prometheus's own tools, and by one that runs."""

from __future__ import annotations

import json
import re
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest
import yaml

from gatepass.problems import catalogue
from gatepass.problems.kind import Kind
from harness import ROOT, background, clean_environment, eventually, free_port, need
from pages import section
from replicas import RULES, URL, fleet, private_github, way_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from replicas import Fleet

DEPLOY = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "gatepass.json").read_text())
# Prometheus's own, and those that its client library has of a process
_OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"}
# of replicas that share a store
_SHARED = {"gatepass_store_up"}
_DIRECT = build_opener(ProxyHandler({}))


def told() -> set[str]:
    """The metrics that the documents tell of."""
    return set(re.findall(r"`(gatepass_\w+)`", section("Metrics"))) | _OTHERS


def queries() -> list[str]:
    """What the dashboard asks, for all jobs and replicas."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [query.replace("$job", ".+").replace("$instance", ".+") for query in found]


def alerts() -> dict[str, str]:
    """The expression of each alert."""
    (group,) = yaml.safe_load((DEPLOY / "gatepass.rules.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [need("promtool"), *arguments], cwd=DEPLOY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def named(expression: str) -> set[str]:
    """The metrics that an expression names: what is no function, no keyword, no label and no string."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\b(?:by|on|without)\s*\([^)]*\)', " ", expression)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    words = set(re.findall(r"\b([a-z_]\w+)\b(?!\s*\()", bare))
    return words - {"and", "or", "unless", "offset", "by", "on", "sum", "min"}


def samples(metric: str) -> str:
    """The metric that a sample is of."""
    return re.sub(r"_(?:bucket|sum|count)$", "", metric)


def test_the_rules_are_valid() -> None:
    """Prometheus takes the alerts, and its configuration with them."""
    promtool("check", "rules", "gatepass.rules.yml")
    promtool("check", "config", "prometheus.yml")


def test_each_alert_comes_when_it_should() -> None:
    """The cases hold, and each alert has one in which it comes and one in which it does not."""
    promtool("test", "rules", "gatepass.tests.yml")
    cases = [
        case
        for test in yaml.safe_load((DEPLOY / "gatepass.tests.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    for comes in (True, False):
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is comes} == set(alerts())


def test_each_metric_is_told() -> None:
    """Alerts and dashboard name no metric that there is not, and alerts know the problems by their types."""
    used = {samples(name) for expression in (*queries(), *alerts().values()) for name in named(expression)}
    assert used - told() == set()
    assert {"gatepass_requests_total", "gatepass_request_seconds", "gatepass_ca_expiry_timestamp_seconds"} <= used
    (kinds,) = re.findall(r"problem:\(([^)]+)\)", alerts()["GatepassNoCredentialWorks"])
    problems = [each.name for each in vars(catalogue).values() if isinstance(each, Kind)]
    for kind in kinds.split("|"):
        assert any(re.fullmatch(kind, problem) for problem in problems), kind


def test_the_dashboard() -> None:
    """Its panels have a title and a place of their own, and ask the source that is chosen."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = {
        (panel["gridPos"]["x"] + right, panel["gridPos"]["y"] + down)
        for panel in panels
        for right in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels)
    assert max(x for x, _ in places) < 24
    for panel in panels:
        assert {source["datasource"]["uid"] for source in (panel, *panel["targets"])} == {"${datasource}"}
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) == variables


# ------------------------------------------------------------------------ for real


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[Fleet, Path, int]]:
    """A Prometheus as deploy/ has it, but in a hurry, that reads two replicas."""
    program = need("prometheus")
    with (
        private_github() as world,
        way_to(world) as way,
        fleet(tmp_path, 2, RULES, HTTPS_PROXY=way.url, SSL_CERT_FILE=str(world.ca_file)) as found,
    ):
        text = (DEPLOY / "prometheus.yml").read_text().replace("15s", "1s")
        text = text.replace("gatepass.rules.yml", str(DEPLOY / "gatepass.rules.yml"))
        for number, each in enumerate(found.members, 1):
            text = text.replace(f":908{number}", f":{each.admin}")
        text = text.replace(', "127.0.0.1:9083"', "")
        (tmp_path / "prometheus.yml").write_text(text)
        port = free_port()
        command = [program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}"]
        command.append(f"--storage.tsdb.path={tmp_path / 'data'}")
        with background(command, clean_environment(), tmp_path) as running:
            running.wait_for("Server is ready")
            yield found, tmp_path / "rules.yaml", port


def ask(port: int, what: str, **query: str) -> Any:
    with _DIRECT.open(f"http://127.0.0.1:{port}/api/v1/{what}?{urlencode(query)}", timeout=10) as reply:
        return json.load(reply)["data"]


def answered(port: int, query: str) -> list[Any]:
    """What Prometheus finds to an expression."""
    return list(ask(port, "query", query=query)["result"])


@pytest.mark.slow
def test_what_prometheus_finds(prometheus: tuple[Fleet, Path, int]) -> None:
    """Every panel has something to show of replicas that serve and refuse, and broken rules raise their alert."""
    found, rules, port = prometheus
    for each in found.members:
        assert found.client(each.port).fetch(URL, "-L").status == 200
        assert found.client(each.port, "").curl(URL).code
    for query in queries():
        if not _SHARED & named(query):
            eventually(partial(answered, port, query))
    (up,) = ask(port, "query", query="sum(up)")["result"]
    assert up["value"][1] == "2"
    known = set(ask(port, "label/__name__/values"))
    assert {name for query in queries() for name in named(query)} - known == _SHARED
    assert ask(port, "alerts")["alerts"] == []
    rules.write_text(f"{rules.read_text()}nonsense: true\n")
    eventually(lambda: len(ask(port, "alerts")["alerts"]) == 2)
    assert {alert["labels"]["alertname"] for alert in ask(port, "alerts")["alerts"]} == {"GatepassReloadFailed"}
