"""deploy/kubernetes: the manifests by the schemas of Kubernetes, what has to fit together in them, what they run."""

from __future__ import annotations

import stat
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any, Final

import kubernetes_validate  # type: ignore[import-untyped]  # it tells no types
import pytest
import yaml
from click.testing import CliRunner

from gatepass.cli import gatepass
from gatepass.cli.serve import serve
from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.forge.hosts import Host
from gatepass.trust import authority
from harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY: Final = ROOT / "deploy" / "kubernetes"
KINDS: Final = {
    *("Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"),
}
LABEL: Final = {"app.kubernetes.io/name": "gatepass"}
MANIFESTS: Final[list[dict[str, Any]]] = [
    document for file in sorted(DEPLOY.glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())
]


def only(kind: str, name: str = "gatepass") -> dict[str, Any]:
    (found,) = (each for each in MANIFESTS if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


POD: Final[dict[str, Any]] = only("Deployment")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
(INITIAL,) = POD["initContainers"]
PORTS: Final = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


def option(name: str) -> str:
    """What the container's arguments say of an option."""
    (found,) = (text.partition("=")[2] for text in CONTAINER["args"] if text.startswith(f"--{name}="))
    return str(found)


def test_all_are_there() -> None:
    """Each kind that is needed, and no Secret: those are named, and stand in no file."""
    assert {each["kind"] for each in MANIFESTS} == KINDS
    assert all(each["metadata"]["labels"].items() >= LABEL.items() for each in MANIFESTS)


@pytest.mark.parametrize("version", ["1.29", "1.31", "1.33"])
def test_they_are_as_kubernetes_has_them(version: str) -> None:
    """Strictly: no key that its schemas do not know. The ServiceMonitor is the Prometheus operator's."""
    for each in MANIFESTS:
        if each["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(each, version, strict=True)
    wrong = only("Service") | {"spek": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_the_grace_is_longer_than_the_drain() -> None:
    """The kubelet kills nobody who still drains; and the delay is longer than unreadiness takes to be seen."""
    delay, drain = float(option("drain-delay")), float(option("drain"))
    assert POD["terminationGracePeriodSeconds"] >= delay + drain + 10
    probe = CONTAINER["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] < delay


def test_the_options_are_serves() -> None:
    """Each argument is an option of `gatepass serve`."""
    known = {name for parameter in serve.params for name in parameter.opts}
    assert CONTAINER["args"][0] == "serve"
    assert {text.partition("=")[0] for text in CONTAINER["args"][1:]} <= known


def test_the_kubelet_reaches_the_admin_listener() -> None:
    """Each probe asks the port of --admin, which is on no loopback address: there any host that is named is answered.

    That it is, is held by tests/end_to_end/test_container.py.
    """
    host, _, port = option("admin").rpartition(":")
    assert host == "0.0.0.0"
    assert option("listen") == f"0.0.0.0:{PORTS['proxy']}"
    asked = {}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = CONTAINER[name]["httpGet"]
        assert PORTS[get["port"]] == int(port)
        asked[name] = get["path"]
        assert "host" not in get
    # one that is not ready is not killed: what it waits for may come
    assert asked == {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}


def test_all_lead_to_the_same_pods() -> None:
    """Services, the budget and the policy choose the Deployment's pods, by ports that these have."""
    deployment = only("Deployment")["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"] == LABEL
    for name, port in (("gatepass", "proxy"), ("gatepass-admin", "admin")):
        service = only("Service", name)["spec"]
        assert service["selector"] == LABEL
        assert [(each["targetPort"], each["port"]) for each in service["ports"]] == [(port, PORTS[port])]
    budget = only("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == LABEL
    assert 0 < budget["minAvailable"] < deployment["replicas"]
    policy = only("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == LABEL
    assert [each["port"] for rule in policy["ingress"] for each in rule["ports"]] == ["proxy", "admin"]
    assert all(rule["from"] for rule in policy["ingress"])
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}


def test_the_monitor_finds_each_replica_once() -> None:
    """The ServiceMonitor chooses the one Service that has the port of --admin, by a name that it has."""
    spec = only("ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    chosen = [each for each in MANIFESTS if each["kind"] == "Service" and each["metadata"]["labels"].items() >= wanted]
    assert [each["metadata"]["name"] for each in chosen] == ["gatepass-admin"]
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in chosen[0]["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"


@pytest.mark.parametrize("container", [CONTAINER, INITIAL], ids=lambda each: each["name"])
def test_nothing_is_given_that_is_not_needed(container: dict[str, Any]) -> None:
    """A user without a name, a root that is read-only, no privilege and none to be had, no token of the cluster's."""
    pod, own = POD["securityContext"], container["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    image = (ROOT / "deploy" / "container" / "Dockerfile").read_text()
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}\n" in image
    assert pod["fsGroup"] == pod["runAsGroup"]
    assert (POD["automountServiceAccountToken"], POD["enableServiceLinks"]) == (False, False)
    assert container["resources"]["limits"]["memory"]
    assert container["image"] == CONTAINER["image"]


def test_the_image_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert CONTAINER["image"] == f"your-company/gatepass:{version}"


def test_what_is_written_to_is_a_volume() -> None:
    """What the image writes to, and what the rules name, is mounted; what is handed over is read-only, and as a whole
    folder: what is mounted by `subPath` would stay as it was.
    """
    kinds = {each["name"]: next(kind for kind in each if kind != "name") for each in POD["volumes"]}
    mounts = {each["mountPath"]: each for each in CONTAINER["volumeMounts"]}
    assert {path: kinds[each["name"]] for path, each in mounts.items()} == {
        "/etc/gatepass": "configMap",
        "/run/secrets/gatepass": "secret",
        "/var/lib/gatepass": "emptyDir",
        "/tmp": "emptyDir",
    }
    for path, each in mounts.items():
        assert each.get("readOnly", False) is (kinds[each["name"]] != "emptyDir"), path
        assert "subPath" not in each
    assert option("rules") == "/etc/gatepass/rules.yaml"
    secrets = {each["secret"]["secretName"] for each in POD["volumes"] if "secret" in each}
    header = (DEPLOY / "deployment.yaml").read_text().partition("apiVersion")[0]
    assert all(f"kubectl create secret generic {name} " in header for name in secrets)


def test_the_rules_are_accepted(tmp_path: Path) -> None:
    """`gatepass check --offline` accepts the ConfigMap's rules, with the Secret as the Deployment mounts it."""
    data = only("ConfigMap", "gatepass-rules")["data"]
    (volume,) = (each for each in POD["volumes"] if "configMap" in each)
    assert volume["configMap"]["name"] == "gatepass-rules"
    rules = data["rules.yaml"]
    header = (DEPLOY / "deployment.yaml").read_text().partition("apiVersion")[0]
    for name in ("github-token", "ci-password"):
        assert f"file:/run/secrets/gatepass/{name}" in rules
        assert f"--from-file={name}" in header
        (tmp_path / name).write_text(DEFAULT_TOKEN)
        (tmp_path / name).chmod(0o400)
    file = tmp_path / "rules.yaml"
    file.write_text(rules.replace("/run/secrets/gatepass", str(tmp_path)))
    result = CliRunner().invoke(gatepass, ["check", "--offline", str(file)])
    assert result.exit_code == 0, result.output
    assert "client ci" in result.output


def test_the_ca_is_put_where_gatepass_takes_it(tmp_path: Path) -> None:
    """What runs before the container makes of the Secret's file a CA that is Gatepass's own, each time the pod starts
    anew; with the Secret's own modes it would be refused.
    """
    made = tmp_path / "made"
    created = authority.create(made, [Host("github.com")])
    secret, state = tmp_path / "secret", tmp_path / "state"
    secret.mkdir()
    state.mkdir()
    (secret / authority.CA_FILE).write_bytes((made / authority.CA_FILE).read_bytes())
    (secret / authority.CA_FILE).chmod(0o440)
    *options, program = INITIAL["command"]
    assert options == ["/opt/gatepass/bin/python", "-I", "-c"]
    program = program.replace("/run/secrets/gatepass-ca", str(secret)).replace("/var/lib/gatepass", str(state))
    assert program.count(str(secret)) == program.count(str(state)) == 1
    for _ in range(2):
        subprocess.run([sys.executable, *options[1:], program], check=True, umask=0o022)
        found = authority.load(state / "ca")
        assert found is not None
        assert found.fingerprint == created.fingerprint
    assert stat.S_IMODE((state / "ca" / authority.CA_FILE).stat().st_mode) == 0o600
    mounts = {each["name"]: each["mountPath"] for each in INITIAL["volumeMounts"]}
    assert mounts == {"ca": "/run/secrets/gatepass-ca", "state": "/var/lib/gatepass"}
    assert authority.CA_FILE in (DEPLOY / "deployment.yaml").read_text().partition("apiVersion")[0]
