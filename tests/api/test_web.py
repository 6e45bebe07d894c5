"""The routes of the HTTP worker, over real sockets and over WSGI."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sites import PREDICTION, Client, Site

from daemon.core import durable
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.core.states import EventKind
from daemon.core.status import Check
from daemon.storage.journal import Journal
from daemon.storage.prediction_history import HistoryCopier
from web.worker_state import Worker

# Predictions


def test_a_prediction_says_what_it_is_and_where_from(site: Site) -> None:
    status, headers, body = site.ask("POST", "/predict", PREDICTION)
    answer = json.loads(body)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-model-version"] == "1"
    assert (answer["prediction"], answer["prediction_name"], answer["model_version"]) == (0, "setosa", 1)
    assert answer["confidence"] == answer["probabilities"]["setosa"] > 0.9
    assert set(answer["probabilities"]) == set(bundles.CLASSES)
    assert answer["latency_ms"] > 0


def test_features_may_be_given_by_name(site: Site) -> None:
    named = dict(zip(bundles.NAMES, bundles.SETOSA, strict=True))
    status, answer = site.post("/predict", {"features": named})
    assert (status, answer["prediction_name"]) == (200, "setosa")


def test_many_rows_have_an_answer_each(site: Site) -> None:
    rows = [bundles.SETOSA, dict(zip(bundles.NAMES, [6.9, 3.1, 5.4, 2.1], strict=True))]
    status, answer = site.post("/predict", {"instances": rows})
    assert (status, answer["model_version"]) == (200, 1)
    alone = site.post("/predict", {"features": rows[1]})[1]
    assert {**answer["predictions"][1], "prediction_id": ""} == {
        **{key: alone[key] for key in answer["predictions"][1]},
        "prediction_id": "",
    }
    written = b"".join(path.read_bytes() for path in site.home.logs.glob("*.jsonl"))
    assert all(one["prediction_id"].encode() in written for one in answer["predictions"])


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?version=1", {}, 200),
        ("?version=champion", {}, 200),
        ("", {"X-Model-Version": "1"}, 200),
        ("?version=1", {"X-Model-Version": "7"}, 200),
        ("?version=7", {}, 404),
        ("", {"X-Model-Version": "7"}, 404),
        ("?version=newest", {}, 400),
        ("?version=0", {}, 400),
        ("?version=" + "9" * 5000, {}, 400),
        ("", {"X-Model-Version": "1, 7"}, 400),
    ],
)
def test_a_request_may_name_its_version(site: Site, query: str, headers: dict[str, str], status: int) -> None:
    assert site.ask("POST", f"/predict{query}", PREDICTION, headers)[0] == status


def test_prediction_ids_are_distinct(site: Site) -> None:
    assert len({site.post("/predict", PREDICTION)[1]["prediction_id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[" * 1000 + b"]" * 1000, 400),
        (b'{"features":[NaN,1,1,1]}', 400),
        (b'{"features":[Infinity,1,1,1]}', 400),
        (b'{"features":[1e999,1,1,1]}', 400),
        (b'{"features":["\\ud800",1,1,1]}', 400),
        (b'{"features":[1,2,3,4],"features":[1,2,3,4]}', 400),
        (b'{"features":{"sepal_length":1,"sepal_length":2}}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"feature":[1,2,3,4]}', 422),
        (b'{"features":"1234"}', 422),
        (b'{"features":[1,2,3]}', 422),
        (b'{"features":[1,2,3,4,5]}', 422),
        (b'{"features":[1,2,3,"4"]}', 422),
        (b'{"features":[1,2,3,true]}', 422),
        (b'{"features":[1,2,3,null]}', 422),
        (b'{"features":[1,2,3,[4]]}', 422),
        (b'{"features":{"sepal_length":1}}', 422),
        (b'{"instances":[]}', 422),
        (b'{"instances":[[1,2,3,4],[1,2,3]]}', 422),
        (b'{"instances":[[1,2,3,4]],"features":[1,2,3,4]}', 422),
        (b'{"instances":[1,2,3,4]}', 422),
        (b'{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1,"x":1}}', 422),
        (b'{"features":[1' + b"0" * 400 + b",1,1,1]}", 400),
        (b'{"features":[1e308,1e308,-1e308,1e308]}', 422),
    ],
)
def test_bad_bodies_are_the_clients_fault(site: Site, body: bytes, status: int) -> None:
    answered, headers, text = site.ask("POST", "/predict", body)
    problem = json.loads(text)
    assert answered == problem["status"] == status
    assert headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(problem)
    assert "Traceback" not in text.decode()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    JSON_VALUES.map(lambda value: json.dumps({"features": value}).encode()),
    st.lists(JSON_VALUES, min_size=4, max_size=4).map(lambda value: json.dumps({"features": value}).encode()),
    st.lists(st.floats(), min_size=4, max_size=4).map(lambda value: json.dumps({"features": value}).encode()),
)


@profile(deadline=None, max_examples=some(100))
@given(body=BODIES)
def test_no_body_breaks_predict(flowers: Client, body: bytes) -> None:
    status, _, text = flowers.ask("POST", "/predict", body)
    assert status == 200 or 400 <= status < 500
    json.loads(text)


@profile(deadline=None, max_examples=some(50))
@given(
    body=BODIES,
    path=st.sampled_from(
        ["/add_training_data", "/trigger_retrain", "/promote", "/refuse", "/rollback", "/accept", "/reject"]
    ),
)
def test_no_body_breaks_a_writing_route(flowers: Client, body: bytes, path: str) -> None:
    status, _, text = flowers.ask("POST", path, body)
    assert status in (200, 202) or 400 <= status < 500
    json.loads(text)


@profile(deadline=None, max_examples=some(50))
@given(path=st.text(max_size=30), query=st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
def test_no_path_breaks_the_routes(flowers: Client, path: str, query: str) -> None:
    raw = ("/" + path).encode("utf-8", "replace").decode("latin-1")
    for place in (raw, "/predictions/history", "/events", "/drops", "/drops" + raw):
        status, _, _ = flowers.ask("GET", place, QUERY_STRING=query)
        assert status < 500


def test_without_a_model_predict_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    status, headers, body = Client(home).ask("POST", "/predict", b'{"features":[1]}')
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["hint"]


# Regression


def posted(client: Client, path: str, body: object) -> tuple[int, dict[str, Any]]:
    status, _, text = client.ask("POST", path, json.dumps(body).encode())
    return status, json.loads(text)


def test_a_regression_answers_with_a_number_and_without_classes(prices: Client) -> None:
    status, answer = posted(prices, "/predict", {"features": bundles.HOUSE})
    assert status == 200
    assert set(answer) == {
        "prediction", "prediction_name", "confidence", "model_version", "prediction_id", "latency_ms",
    }  # fmt: skip
    assert answer["prediction"] == pytest.approx(bundles.HOUSE_PRICE)
    assert (answer["prediction_name"], answer["confidence"], answer["model_version"]) == (None, None, 1)
    assert posted(prices, "/predict", {"features": [100.0, "four", True, None, "Aachen"]})[0] == 422


def test_numbers_are_in_the_history_without_a_confidence(prices: Client) -> None:
    _, answer = posted(prices, "/predict", {"features": bundles.HOUSE})
    history_copier = HistoryCopier(prices.worker.home, Settings())
    assert (history_copier.copy(), history_copier.skipped) == (1, 0)
    history_copier.close()
    prediction = json.loads(prices.ask("GET", "/predictions/history")[2])["history"][0]
    assert (prediction["prediction"], prediction["confidence"], prediction["prediction_name"]) == (
        answer["prediction"],
        None,
        None,
    )
    assert prediction["features"] == bundles.HOUSE
    for path in ("/dashboard", "/metrics", "/prometheus_metrics"):
        assert prices.ask("GET", path)[0] == 200


@pytest.mark.parametrize(
    ("target", "status"), [(250000, 202), (1.5, 202), (-3, 202), ("dear", 422), (None, 422), (True, 422)]
)
def test_a_numeric_target_is_a_row_of_a_regression(prices: Client, target: object, status: int) -> None:
    answered, _ = posted(prices, "/add_training_data", {"features": bundles.HOUSE, "target": target})
    assert answered == status
    assert len(list(prices.worker.home.inbox.glob("*.sample.json"))) == (status == 202)


# Paths and methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/static/../server.py", 404),
        ("GET", "/static/none.css", 404),
        ("GET", "/drops/none", 404),
        ("GET", "/requests/none", 404),
        ("GET", "/predictions/history?limit=0", 422),
        ("GET", "/predictions/history?limit=x", 422),
        ("GET", "/predictions/history?version=99999999999999999999", 422),
        ("GET", "/events?after=-1", 422),
        ("GET", "/drops?before=1e3", 422),
    ],
)
def test_wrong_paths_and_queries(site: Site, method: str, path: str, status: int) -> None:
    answered, headers, body = site.ask(method, path)
    assert answered == json.loads(body)["status"] == status
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/predict", "POST"), ("DELETE", "/health", "GET,HEAD")]
)
def test_wrong_methods_name_the_right_ones(site: Site, method: str, path: str, allowed: str) -> None:
    status, headers, _ = site.ask(method, path)
    assert (status, headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/health", "/metrics", "/dashboard", "/versions", "/livez"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    status, headers, body = site.ask("HEAD", path)
    assert status == site.ask("GET", path)[0]
    assert body == b""
    assert headers["content-length"] != "0"


def test_every_read_answers_on_an_empty_home(tmp_path: Path) -> None:
    site = Site(tmp_path, version=None)
    more: dict[str, dict[str, Any]] = {
        "versions": {"champion": None},
        "drops": {"held": [], "held_total": 0, "waiting": None, "exams": None},
        "events": {},
    }
    for name, beside in more.items():
        assert site.get(f"/{name}") == (200, {name: [], "count": 0, **beside})
    status, headers, _ = site.ask("GET", "/")
    assert (status, headers["location"]) == (303, "dashboard")
    status, headers, page = site.ask("GET", "/dashboard")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.startswith(b"<!doctype html>")
    assert site.get("/dashboard/data")[0] == 200
    assert site.get("/drift")[1]["reason"] == "No model is served yet."
    assert site.get("/livez") == (200, {"status": "alive"})
    site.close()


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


def read_stream(connection: socket.socket, until: str) -> str:
    text = ""
    while until not in text:
        part = connection.recv(4096).decode()
        assert part, text
        text += part
    return text


def test_events_are_streamed_and_replayed(own: Site) -> None:
    journal = Journal.open(own.home.journal)
    journal.events.record(EventKind.STARTED, "first")
    journal.events.record(EventKind.WORKER, "second\nline")
    head = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(f"{head}Last-Event-ID: 2\r\n\r\n".encode())
        text = read_stream(connection, "second")
        assert "event: status" in text
        assert "id: 3\nevent: worker\ndata: {" in text
        assert "first" not in text
        journal.events.record(EventKind.PROMOTED, "third", version=3)
        assert "id: 4\nevent: promoted" in read_stream(connection, "third")
        own.tell_status(rows=99)
        assert "event: status" in read_stream(connection, '"rows":99')
    journal.close()
    answer = own.get("/events?after=2&limit=1")[1]
    assert (answer["count"], answer["events"][0]["message"]) == (1, "second\nline")


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker whose journal tells of three events."""
    site = Site(tmp_path_factory.mktemp("eventful"))
    with closing(Journal.open(site.home.journal)) as journal:
        journal.events.record(EventKind.WORKER, "second")
        journal.events.record(EventKind.WORKER, "third")
    yield site
    site.close()


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("?after=0", "", 1),
        ("?after=2", "", 3),
        ("?after=0", "Last-Event-ID: 2\r\n", 3),  # a client that comes again asks for the address that it has
        ("?after=1", "Last-Event-ID: none\r\n", 2),
    ],
)
def test_a_stream_begins_where_it_is_asked_to(eventful: Site, query: str, header: str, first: int) -> None:
    head = f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{header}\r\n"
    with socket.create_connection(("127.0.0.1", eventful.port), timeout=10) as connection:
        connection.sendall(head.encode())
        id_lines = [line for line in read_stream(connection, "third").splitlines() if line.startswith("id: ")]
    assert id_lines == [f"id: {number}" for number in range(first, 4)]


@pytest.mark.parametrize("query", ["?after=x", "?after=-1", "?after=", "?after=1&after=2.0", f"?after={'9' * 30}"])
def test_a_stream_refuses_what_the_list_refuses(site: Site, query: str) -> None:
    answers = [site.ask("GET", f"/events{query}", headers={"Accept": kind}) for kind in ("*/*", "text/event-stream")]
    assert [status for status, _, _ in answers] == [422, 422]
    assert answers[0][2] == answers[1][2]
