"""Health and figures: what `/health`, `/metrics` and scrapers get."""

import os
import time
from collections.abc import Iterator

import pytest
from sites import PREDICTION, Site

from retraind.daemon.core import durable
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Check
from retraind.web.worker_state import Worker

# Health, figures, events


@pytest.fixture
def quiet(site: Site) -> Iterator[Site]:
    """The shared worker; what the test says as the daemon is taken back."""
    yield site
    site.home.status.unlink()


def test_health_needs_a_model_and_a_living_daemon(quiet: Site) -> None:
    assert quiet.get("/readyz")[0] == 503
    quiet.tell_status(checks={"disk": Check(ok=True, detail="plenty")})
    status, health = quiet.get("/health")
    assert (status, health["status"], health["model_version"], health["reasons"]) == (200, "healthy", 1, [])
    assert quiet.get("/readyz")[0] == 200
    quiet.tell_status(checks={"disk": Check(ok=False, detail="full"), "inbox": Check(ok=True, detail="watched")})
    status, health = quiet.get("/health")
    assert (status, health["status"], health["reasons"]) == (503, "unhealthy", ["disk: full"])
    assert quiet.get("/readyz")[1]["reasons"] == ["disk: full"]
    for dead in ({"heartbeat": time.monotonic() - 60}, {"heartbeat": time.monotonic() + 60}, {"boot": "another"}):
        quiet.tell_status(**dead)
        assert quiet.get("/health")[0] == 503
    assert quiet.post("/predict", PREDICTION)[0] == 200


def test_figures_count_what_happened(quiet: Site) -> None:
    before = quiet.get("/metrics")[1]
    for _ in range(4):
        quiet.post("/predict", PREDICTION)
    quiet.post("/predict", {})
    quiet.tell_status(rows=150, rows_pending=7)
    figures = quiet.get("/metrics")[1]
    count = before["prediction_count"] + 4
    assert (figures["prediction_count"], figures["predictions_by_version"]) == (count, {"1": count})
    assert figures["errors"]["422"] == before["errors"].get("422", 0) + 1
    assert (figures["rows"], figures["rows_pending"], figures["model_version"], figures["workers"]) == (150, 7, 1, 1)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["request_count"] >= 5
    assert figures["average_latency_ms"] > 0
    assert figures["uptime_seconds"] > 0


def test_only_workers_that_hold_their_lock_are_alive(site: Site) -> None:
    mine = Worker(site.home, Settings(), 7).snapshot()
    path = site.home.workers / f"7-{mine.pid}.json"
    fd = durable.try_lock(path.with_suffix(".lock"))
    assert fd is not None
    for change, workers in (({}, 2), ({"boot": "another"}, 1), ({"heartbeat": time.monotonic() + 60}, 1)):
        path.write_text(mine.model_copy(update=change).model_dump_json())
        assert site.get("/metrics")[1]["workers"] == workers
    path.write_text(mine.model_dump_json())
    os.close(fd)
    assert site.get("/metrics")[1]["workers"] == 1


def test_a_scraper_gets_the_exposition_format(site: Site) -> None:
    site.post("/predict", PREDICTION)
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    _, headers, body = site.ask("GET", "/metrics", headers={"Accept": accept})
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    _, headers, body = site.ask("GET", "/prometheus_metrics")
    text = body.decode()
    assert headers["content-type"].startswith("text/plain")
    assert 'prediction_requests_total{code="200"}' in text
    assert 'retraind_model_info{backend="onnx",candidate="logistic",version="1"} 1.0' in text
    assert 'prediction_request_duration_seconds_bucket{le="+Inf"}' in text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json, text/plain, */*", "application/json"),  # axios
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/plain", "text/plain"),
        ("text/plain;version=0.0.4;q=0.2,*/*;q=0.1", "text/plain"),
        ("application/openmetrics-text, application/json", "application/openmetrics-text"),
    ],
)
def test_only_a_scraper_gets_it_where_figures_are_json(site: Site, accept: str, kind: str) -> None:
    _, headers, _ = site.ask("GET", "/metrics", headers={"Accept": accept})
    assert headers["content-type"].split(";")[0] == kind
