"""What Prometheus' own programs make of the metrics: the linter of promtool, and a real Prometheus that scrapes under load."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service import wait_until
from sites import PREDICTION, Site

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needed = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL) and "CI" not in os.environ, reason="Prometheus is not installed"
)

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 2s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: own path
    metrics_path: /prometheus_metrics
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: usual path
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

RULES = Path(__file__).parents[2] / "examples" / "prometheus-rules.yml"

OLD_FORMAT = "text/plain;version=0.0.4"


class Prometheus:
    """A Prometheus in a folder of its own that scrapes one port every second, asked over its HTTP API."""

    def __init__(self, root: Path, port: int) -> None:
        root.mkdir()
        (root / "prometheus.yml").write_text(CONFIG.format(port=port, rules=RULES))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        assert PROMETHEUS
        places = [f"--config.file={root / 'prometheus.yml'}", f"--storage.tsdb.path={root / 'data'}"]
        with (root / "log").open("wb") as log:
            command = [PROMETHEUS, *places, f"--web.listen-address={self._address}"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(self, path: str, **query: Any) -> Any:
        """The data of an answer of the API."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str, at: float | None = None) -> list[float]:
        """The values of an instant query."""
        moment = {} if at is None else {"time": at}
        return [float(found["value"][1]) for found in self.ask("query", query=expression, **moment)["result"]]

    def ready(self) -> bool:
        """Whether it has scraped each path once."""
        try:
            return self.values("up") == [1, 1]
        except OSError:
            return False

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def asked(site: Site) -> Iterator[list[float]]:
    """Predictions all the while; gives the times at which each was answered."""
    answered: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.05):
            assert site.post("/predict", PREDICTION)[0] == 200
            answered.append(time.time())

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield answered
    finally:
        ended.set()
        client.join()


@needed
@pytest.mark.parametrize("path", ["/prometheus_metrics", "/metrics"])
def test_promtool_has_no_complaint(site: Site, path: str) -> None:
    assert PROMTOOL
    site.post("/predict", PREDICTION)
    site.post("/v2/models/retraind/infer", {})
    status, headers, body = site.ask("GET", path, headers={"Accept": OLD_FORMAT})
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    outcome = subprocess.run([PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, b"", b"")


@needed
def test_promtool_takes_the_rules_of_the_examples() -> None:
    assert PROMTOOL
    outcome = subprocess.run([PROMTOOL, "check", "rules", "--lint=all", str(RULES)], capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "8 rules found" in outcome.stdout


@needed
@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_a_prometheus_scrapes_under_load_and_counts_as_we_do(own: Site, tmp_path: Path, seconds: int) -> None:
    prometheus = Prometheus(tmp_path / "prometheus", own.port)
    try:
        with asked(own) as answered:
            wait_until(prometheus.ready)
            time.sleep(seconds)
            now, window = time.time(), seconds - 4
            rates = prometheus.values(f'rate(prediction_requests_total{{code="200"}}[{window}s])', now)
            pace = (len(answered) - bisect_left(answered, now - window)) / window
        assert rates == [pytest.approx(pace, rel=0.25)] * 2
        total = len(answered)
        wait_until(lambda: prometheus.values('prediction_requests_total{code="200"}') == [total] * 2)
        counted = 'prediction_request_duration_seconds_count{job="own path"}'
        assert prometheus.values(counted) == [total]
        assert prometheus.values('sum by (job) (retraind_predictions_total{version="1"})') == [total] * 2
        for name in ("model_infer_request_success_total", "nv_inference_request_success", "nv_inference_count"):
            query = f'sum by (job) ({name}{{model="retraind",version="1"}})'
            wait_until(lambda told=query: prometheus.values(told) == [total] * 2, what=name)  # type: ignore[misc]
        assert prometheus.values(f"min_over_time(up[{seconds}s])") == [1, 1]
        targets = prometheus.ask("targets")["activeTargets"]
        assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")] * 2
    finally:
        prometheus.end()
