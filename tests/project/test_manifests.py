"""The Helm chart and the Compose file: rendered by Helm and Compose themselves, valid, and with settings that the program accepts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from retraind.daemon.core import settings
from retraind.daemon.core.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TOOLS = ROOT / ".venv-manifests"
LEAST: dict[str, Any] = {
    "journal": {
        "url": "postgresql+psycopg://retraind@db/churn",
        "nodeUrl": "postgresql+psycopg://retraind_node@db/churn",
    },
    "storage": {"url": "s3://models/churn"},
    "tokens": {"secret": "retraind-tokens"},
}
CASES: dict[str, dict[str, Any]] = {
    "least": LEAST,
    "all": {
        **LEAST,
        "image": {"pullSecrets": [{"name": "registry"}]},
        "storage": {"url": "s3://models/churn", "endpoint": "https://store.example:9000"},
        "certificates": {"secret": "certificates", "store": True},
        "hosts": ["models.example.org"],
        "settings": {"RETRAIND_LOG__LEVEL": "warning"},
        "leader": {"serviceAccountName": "leader", "storageClassName": "fast"},
        "nodes": {"serviceAccountName": "node", "auth": "none"},
    },
    "no tokens": {**LEAST, "tokens": {"secret": ""}},
    "password": {**LEAST, "journal": {**LEAST["journal"], "url": "postgresql+psycopg://retraind:hush@db/churn"}},
    "no setting": {**LEAST, "settings": {"LOG_LEVEL": "debug"}},
}
VERSIONS = ["1.29", "1.37"]


@pytest.fixture(scope="module")
def charts() -> Any:
    """What Helm makes of each case."""
    job = {"chart": str(EXAMPLES / "helm/retraind"), "cases": CASES, "versions": VERSIONS}
    command = [_tool("python"), str(ROOT / "tests/clients/manifests.py")]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _tool(name: str) -> str:
    if not (TOOLS / ".stamp").exists():
        pytest.skip(f"{TOOLS} is not there; ./ci.sh makes it if there is a network")
    return str(TOOLS / "bin" / name)


def manifests(charts: Any, case: str) -> dict[tuple[str, str], Any]:
    """The manifests of a case, by kind and name."""
    rendered = charts["cases"][case]["manifests"]
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in rendered}


def accepted(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """The settings that the program reads from variables; it refuses unknown ones."""
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return settings.load(folder / "retraind.toml")


@pytest.mark.parametrize("case", ["least", "all"])
def test_every_manifest_is_valid(charts: Any, case: str) -> None:
    assert charts["cases"][case]["objections"] == []
    assert charts["lint"] == []
    kinds = sorted(kind for kind, _ in manifests(charts, case))
    own = ["ConfigMap"] * 3 + ["Deployment", "HorizontalPodAutoscaler", "Job"]
    assert kinds == [*own, "PodDisruptionBudget", "Service", "Service", "Service", "StatefulSet"]


@pytest.mark.parametrize(
    ("case", "objection"),
    [("no tokens", "set tokens.secret"), ("password", "without a password"), ("no setting", "LOG_LEVEL")],
)
def test_values_that_can_not_work_are_refused(charts: Any, case: str, objection: str) -> None:
    assert objection in charts["cases"][case]["objection"]
    assert "hush" not in charts["cases"][case]["objection"]


@pytest.mark.parametrize("case", ["least", "all"])
def test_settings_of_the_pods_are_those_of_the_program(
    charts: Any, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rendered = manifests(charts, case)
    leader = accepted(rendered["ConfigMap", "churn-leader"]["data"], monkeypatch, tmp_path)
    node = accepted(rendered["ConfigMap", "churn-nodes"]["data"], monkeypatch, tmp_path)
    assert (leader.role, leader.leader.standby, node.role) == ("leader", True, "node")
    assert leader.storage == node.storage
    assert {"churn-leader", "churn-nodes.models.svc"} <= set(node.server.allowed_hosts)
    if case == "all":
        assert (leader.log.level, node.server.auth) == ("warning", "none")


@pytest.mark.parametrize("pods", [("Deployment", "churn-nodes"), ("StatefulSet", "churn-leader")])
def test_pods_start_with_no_variable_and_no_right_too_many(charts: Any, pods: tuple[str, str]) -> None:
    """The cluster's variables for a Service begin with RETRAIND_ if the release is called so: the program would refuse them."""
    spec = manifests(charts, "least")[pods]["spec"]["template"]["spec"]
    assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Under the pod's address, as which kubelet asks by default, the program does not answer.
    assert container["readinessProbe"]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_rights_of_nodes_are_those_of_the_example(charts: Any) -> None:
    data = manifests(charts, "least")["ConfigMap", "churn-grants"]["data"]
    assert data["node-role.sql"].rstrip() == (EXAMPLES / "node-role.sql").read_text().rstrip()


def test_compose_file_is_one_that_compose_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("STORAGE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "NODE_PASSWORD")
    environment = dict.fromkeys(names, "s3://models/churn")
    command = [
        _tool("docker-compose"),
        "--file",
        str(EXAMPLES / "compose.yaml"),
        "--file",
        str(EXAMPLES / "compose.standby.yaml"),
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **environment})
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    for name in ("leader", "standby", "node-1", "node-2"):
        variables = {key: value or "" for key, value in services[name]["environment"].items()}
        chosen = accepted(variables, monkeypatch, tmp_path)
        assert chosen.role == ("node" if name.startswith("node") else "leader")
        assert chosen.leader.standby == (chosen.role == "leader")
        # HAProxy passes on the name that the client asks for.
        assert "models.example.org" in chosen.server.allowed_hosts
