"""The alerts and the Grafana dashboard of the examples: proved by promtool, and made of metrics that exist."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sites import PREDICTION, Site

from retraind.web.metrics.families import FAMILIES

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMTOOL = shutil.which("promtool")
needed = pytest.mark.skipif(not PROMTOOL and "CI" not in os.environ, reason="promtool is not installed")

SAMPLES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
KNOWN = {name + suffix for name, kind, _, _ in FAMILIES for suffix in SAMPLES[kind]}

VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}


def board() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / "grafana.json").read_text())
    return document


def panels() -> list[dict[str, Any]]:
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Every query of the dashboard, with the variables filled in as Grafana does."""
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    expressions += [annotation["expr"] for annotation in board()["annotations"]["list"]]
    for name, value in VARIABLES.items():
        expressions = [expression.replace(name, value) for expression in expressions]
    return expressions


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL
    return subprocess.run([PROMTOOL, *arguments], cwd=EXAMPLES, capture_output=True, text=True)


@needed
def test_promtool_proves_every_alert() -> None:
    """Each has a fault that raises it; a service in order raises none."""
    outcome = promtool("test", "rules", "alerts.test.yml")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    linted = promtool("check", "rules", "--lint=all", "alerts.yml")
    assert (linted.returncode, linted.stderr) == (0, "")
    alerts = re.findall(r"- alert: (\w+)", (EXAMPLES / "alerts.yml").read_text())
    proofs = (EXAMPLES / "alerts.test.yml").read_text()
    assert len(alerts) >= 10
    for alert in alerts:
        assert f"eval_time: 3h, alertname: {alert}}}" in proofs
        assert re.search(rf"alertname: {alert}\n +exp_alerts:", proofs), alert


@needed
@pytest.mark.parametrize(("before", "after"), [("> 0.01", "> 0.5"), ("for: 2m", "for: 1h"), ("26 * 3600", "36 * 3600")])
def test_proof_notices_a_wrong_rule(tmp_path: Path, before: str, after: str) -> None:
    rules = (EXAMPLES / "alerts.yml").read_text()
    assert before in rules
    (tmp_path / "alerts.yml").write_text(rules.replace(before, after))
    shutil.copy(EXAMPLES / "alerts.test.yml", tmp_path)
    assert promtool("test", "rules", str(tmp_path / "alerts.test.yml")).returncode != 0


def test_alerts_and_dashboard_name_metrics_that_exist() -> None:
    texts = [(EXAMPLES / "alerts.yml").read_text(), *expressions()]
    names = set(re.findall(r"\b(?:retraind|prediction)_\w+", "\n".join(texts)))
    assert len(names) > 20
    assert names - KNOWN == set()


@needed
def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    outcome = promtool("check", "rules", str(file))
    assert outcome.returncode == 0, outcome.stderr
    assert f"{len(rules)} rules found" in outcome.stdout


def test_dashboard_has_the_structure_that_grafana_imports() -> None:
    """Unique ids, no panel on another, and one choice of the Prometheus for all of them."""
    document = board()
    places: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & places, panel["title"]
        places |= cells
    sources = [thing["datasource"] for panel in panels() for thing in (panel, *panel["targets"])]
    assert {source["uid"] for source in sources} == {"${datasource}"}
    assert [variable["name"] for variable in document["templating"]["list"]] == ["datasource", "job", "instance"]
    assert all(panel["description"] for panel in panels())


def test_metrics_of_the_dashboard_are_scraped(site: Site) -> None:
    """Those without a sample yet are declared, so that a misspelt name would show."""
    site.post("/predict", PREDICTION)
    scraped = site.ask("GET", "/prometheus_metrics")[2].decode()
    declared = set(re.findall(r"# TYPE (\w+)", scraped))
    assert {name for name, *_ in FAMILIES} <= {name.removesuffix("_total") for name in declared}
