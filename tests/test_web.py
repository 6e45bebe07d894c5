"""The HTTP worker: a real process on a real socket, and the same application over WSGI where no socket matters."""

import hashlib
import io
import json
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sites import PREDICTION, ROOT, Site

from daemon import requests, sample
from daemon.history import Historian
from daemon.home import Home
from daemon.journal import Journal
from daemon.settings import Predictions, Server, Settings
from daemon.status import Check
from web.app import make_app
from web.predictor import Follower
from web.worker import Worker


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that tests share; they must not break it."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A worker that a test may maltreat."""
    site = Site(tmp_path)
    yield site
    site.close()


class Client:
    """The application over WSGI."""

    def __init__(self, home: Home, settings: Settings | None = None) -> None:
        self.worker = Worker(home, settings or Settings(), 0)
        Follower(home, self.worker.slot).look()
        self.app = make_app(self.worker)

    def ask(self, method: str, path: str, body: bytes = b"", **environ: str) -> tuple[int, dict[str, str], bytes]:
        answer: list[Any] = []
        given = {"HTTP_HOST": "localhost:5000", "CONTENT_TYPE": "application/json", "QUERY_STRING": "", **environ}
        given |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}  # type: ignore[dict-item]
        out = b"".join(self.app(given, lambda status, headers, _=None: answer.extend((status, headers))))
        return int(answer[0][:3]), {name.lower(): value for name, value in answer[1]}, out


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    home = Home(tmp_path_factory.mktemp("client"))
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    return Client(home)


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


@profile(deadline=None, max_examples=300)
@given(body=BODIES)
def test_no_body_breaks_predict(client: Client, body: bytes) -> None:
    status, _, text = client.ask("POST", "/predict", body)
    assert status == 200 or 400 <= status < 500
    json.loads(text)


@profile(deadline=None, max_examples=150)
@given(body=BODIES, path=st.sampled_from(["/add_training_data", "/trigger_retrain", "/promote", "/rollback"]))
def test_no_body_breaks_a_writing_route(client: Client, body: bytes, path: str) -> None:
    status, _, text = client.ask("POST", path, body)
    assert status in (200, 202) or 400 <= status < 500
    json.loads(text)


@profile(deadline=None, max_examples=150)
@given(path=st.text(max_size=30), query=st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
def test_no_path_breaks_the_routes(client: Client, path: str, query: str) -> None:
    raw = ("/" + path).encode("utf-8", "replace").decode("latin-1")
    for place in (raw, "/predictions/history", "/events", "/drops", "/drops" + raw):
        status, _, _ = client.ask("GET", place, QUERY_STRING=query)
        assert status < 500


def test_without_a_model_predict_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    status, headers, body = Client(home).ask("POST", "/predict", b'{"features":[1]}')
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["hint"]


# Swaps and crashes


def test_a_swap_under_load_fails_no_request(own: Site) -> None:
    pointers = [bundles.make(own.home, version, favourite=version % 3) for version in range(2, 8)]
    answers: list[tuple[int, int, str]] = []
    ended = threading.Event()

    def hammer() -> None:
        connection = own.connect()
        while not ended.is_set():
            connection.request("POST", "/predict", json.dumps(PREDICTION), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            answers.append((answer.status, body["model_version"], body["prediction_name"]))
        connection.close()

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for pointer in pointers:
        bundles.point(own.home, pointer)
        own.wait(pointer.version)
    ended.set()
    for thread in threads:
        thread.join()
    names = {1: "setosa", **{version: bundles.CLASSES[version % 3] for version in range(2, 8)}}
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, version, _ in answers} >= set(range(2, 8))
    assert all(names[version] == name for _, version, name in answers)


def test_a_broken_promotion_is_reported_and_the_old_model_answers(own: Site) -> None:
    pointer = bundles.make(own.home, 2)
    (own.home.bundle(2) / "model.onnx").write_bytes(b"broken")
    bundles.point(own.home, pointer)
    time.sleep(0.5)
    assert own.post("/predict", PREDICTION)[1]["model_version"] == 1
    status, health = own.get("/health")
    assert status == 503
    assert "model.onnx" in health["checks"]["promoted_version"]["detail"]
    assert own.get("/metrics")[1]["load_failures"] == 1


def test_kill_9_loses_no_prediction_that_was_answered(own: Site) -> None:
    answered = [own.post("/predict", PREDICTION)[1]["prediction_id"] for _ in range(50)]
    own.process.kill()
    own.process.wait()
    historian = Historian(own.home, own.settings)
    assert historian.copy() == 50
    historian.close()
    own.start()
    own.wait(1)
    history = own.get("/predictions/history?limit=20")[1]
    assert [row["prediction_id"] for row in history["history"]] == answered[::-1][:20]
    assert history["count"] == 20
    older = own.get(f"/predictions/history?limit=50&before={answered[30]}&version=1")[1]
    assert [row["prediction_id"] for row in older["history"]] == answered[29::-1]
    assert set(older["history"][0]) >= {"prediction_id", "timestamp", "features", "prediction_name", "model_version"}


def test_counters_go_on_after_a_restart(own: Site) -> None:
    for _ in range(5):
        own.post("/predict", PREDICTION)
    time.sleep(1.3)
    own.process.kill()
    own.process.wait()
    own.start()
    own.wait(1)
    assert own.get("/metrics")[1]["prediction_count"] == 5


def test_sigterm_lets_a_request_in_flight_finish(own: Site) -> None:
    body = json.dumps(PREDICTION).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:5])
        time.sleep(0.3)
        own.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[5:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert own.process.wait(10) == 0
    assert list(own.home.workers.glob("*.lock")) == []


def test_sigterm_ends_in_time_even_with_streams_and_stalled_bodies(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(drain_seconds=1)))
    stalled, stream = (socket.create_connection(("127.0.0.1", site.port)) for _ in range(2))
    stalled.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    time.sleep(0.3)
    started = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - started < 3
    stalled.close()
    stream.close()
    site.close()


# Limits


def test_clients_that_trickle_do_not_hold_others_up(own: Site) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", own.port)) for _ in range(200)]
    for connection in slow:
        connection.sendall(head)
    slowest = 0.0
    for _ in range(50):
        started = time.monotonic()
        assert own.post("/predict", PREDICTION)[0] == 200
        slowest = max(slowest, time.monotonic() - started)
    for connection in slow:
        connection.close()
    assert slowest < 0.5


def test_a_body_that_is_too_slow_is_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(body_seconds=0.3)))
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    site.close()


def test_large_bodies_are_refused_before_they_are_read(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        for _ in range(17):
            connection.sendall(chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_read(site: Site) -> None:
    body = json.dumps(PREDICTION).encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_4xx(site: Site, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 431")


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


def test_every_read_answers_on_an_empty_home(site: Site) -> None:
    for name in ("versions", "drops", "events"):
        assert site.get(f"/{name}") == (200, {name: [], "count": 0, **({"champion": 1} if name == "versions" else {})})
    status, headers, _ = site.ask("GET", "/")
    assert (status, headers["location"]) == (303, "/dashboard")
    status, headers, page = site.ask("GET", "/dashboard")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.startswith(b"<!doctype html>")
    assert site.get("/dashboard/data")[0] == 200
    assert site.get("/livez") == (200, {"status": "alive"})


# Who may ask


def test_every_answer_carries_the_security_headers(site: Site) -> None:
    for method, path in (("GET", "/health"), ("GET", "/nope"), ("POST", "/predict"), ("GET", "/dashboard")):
        headers = site.ask(method, path)[1]
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:5000"}, 421),
        ({"Host": "localhost:abc"}, 400),
        ({"Host": "192.168.1.5"}, 421),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:5000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost:5000", "Origin": "http://localhost:5000"}, 200),
        ({"Host": "localhost:5000", "Origin": "http://localhost:3000"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_foreign_pages_and_names_are_refused(site: Site, headers: dict[str, str], status: int) -> None:
    assert site.ask("POST", "/predict", PREDICTION, headers)[0] == status


def test_beyond_loopback_writing_needs_the_token(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    home.token.write_text("s3cret\n")
    client = Client(home, Settings(server=Server(host="0.0.0.0", allowed_hosts=["box.lan"])))
    for sent, status in (
        ("", 401),
        ("Bearer wrong", 401),
        ("Basic s3cret", 401),
        ("Bearer s3crét", 401),
        ("Bearer s3cret", 202),
    ):
        answered, headers, _ = client.ask("POST", "/rollback", b"{}", HTTP_AUTHORIZATION=sent)
        assert answered == status
        assert ("www-authenticate" in headers) == (status == 401)
    assert client.ask("GET", "/livez", HTTP_HOST="192.168.1.5:5000")[0] == 200
    assert client.ask("GET", "/livez", HTTP_HOST="box.lan")[0] == 200
    assert client.ask("GET", "/livez", HTTP_HOST="evil.example")[0] == 421
    home.token.unlink()
    assert client.ask("POST", "/rollback", b"{}", HTTP_AUTHORIZATION="Bearer ")[0] == 401


def test_the_token_can_be_given_up_and_loopback_needs_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    for server in (Server(host="0.0.0.0", auth="none"), Server()):
        assert Client(home, Settings(server=server)).ask("POST", "/rollback", b"{}")[0] == 202


# Writing


def test_a_sample_is_in_the_inbox_before_the_answer(site: Site) -> None:
    status, answer = site.post("/add_training_data", {**PREDICTION, "target": "virginica"})
    assert (status, answer["status"]) == (202, "accepted")
    data = (site.home.inbox / answer["name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == answer["drop"]
    assert sample.Sample.model_validate_json(data).target == "virginica"


def test_a_sample_posted_twice_counts_twice_and_a_key_once(site: Site) -> None:
    body = {**PREDICTION, "target": 0}
    assert site.post("/add_training_data", body)[1]["drop"] != site.post("/add_training_data", body)[1]["drop"]
    key = {"Idempotency-Key": "order-1"}
    first, second = (site.post("/add_training_data", body, key) for _ in range(2))
    assert first == second
    assert site.post("/add_training_data", {**body, "target": 1}, key)[0] == 422
    assert site.post("/add_training_data", body, {"Idempotency-Key": "a b"})[0] == 400
    assert site.post("/add_training_data", body, {"Idempotency-Key": "a" * 201})[0] == 400


def test_a_key_is_known_after_its_drop_was_ingested(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    client = Client(home)
    body = json.dumps({**PREDICTION, "target": 0}).encode()
    answer = json.loads(client.ask("POST", "/add_training_data", body, HTTP_IDEMPOTENCY_KEY="k")[2])
    (home.inbox / answer["name"]).unlink()
    journal = Journal.open(home.journal)
    drop = {"sha256": answer["drop"], "name": answer["name"], "source": "http", "bytes": 1, "settled_at": "now"}
    journal.accept(
        {"segment": "s", "sha256": "x", "md5": "m", "rows": 1}, [{**drop, "rows_read": 1, "rows_accepted": 1}]
    )
    journal.close()
    assert json.loads(client.ask("POST", "/add_training_data", body, HTTP_IDEMPOTENCY_KEY="k")[2]) == answer
    other = json.dumps({**PREDICTION, "target": 1}).encode()
    assert client.ask("POST", "/add_training_data", other, HTTP_IDEMPOTENCY_KEY="k")[0] == 422
    assert list(home.inbox.glob("http-*")) == []


@pytest.mark.parametrize(
    "body", [{}, {"features": bundles.SETOSA}, {**PREDICTION, "target": 9}, {**PREDICTION, "target": True}]
)
def test_bad_samples_leave_nothing_behind(own: Site, body: Any) -> None:
    assert own.post("/add_training_data", body)[0] == 422
    assert list(own.home.inbox.glob("*.json")) == []


def test_without_a_schema_samples_wait(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    body = json.dumps({**PREDICTION, "target": 0}).encode()
    status, _, text = Client(home).ask("POST", "/add_training_data", body)
    assert status == 409
    assert "inbox" in json.loads(text)["hint"]


def test_many_retrain_requests_become_one(own: Site) -> None:
    answers: list[tuple[int, Any]] = []
    ask = lambda: answers.append(own.post("/trigger_retrain", {"force_retrain": True}))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {202}
    assert len({answer["request"] for _, answer in answers}) == 1
    (request,) = requests.pending(own.home)
    assert (request.kind, request.force, request.by) == ("retrain", True, "http")
    assert own.get(f"/requests/{request.id}")[1]["state"] == "pending"


def test_without_new_rows_nothing_is_retrained_unless_forced(own: Site) -> None:
    own.tell_status(rows_pending=0)
    status, answer = own.post("/trigger_retrain", {"force_retrain": False})
    assert (status, answer["status"]) == (200, "skipped")
    assert requests.pending(own.home) == []
    own.tell_status(rows_pending=3)
    assert own.post("/trigger_retrain", {})[0] == 202


def test_a_full_disk_is_never_a_success_and_predictions_go_on(own: Site) -> None:
    own.post("/predict", PREDICTION)
    resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (0, 0))
    for path, body in (
        ("/add_training_data", {**PREDICTION, "target": 0}),
        ("/trigger_retrain", {"force_retrain": True}),
    ):
        status, problem = own.post(path, body)
        assert status == 507
        assert problem["hint"]
    assert own.post("/predict", PREDICTION)[0] == 200
    assert own.get("/metrics")[1]["predictions_lost"] == 1
    assert not own.get("/health")[1]["checks"]["prediction_log"]["ok"]
    assert list(own.home.inbox.glob("*.json")) == []


# Health, figures, events


def test_health_needs_a_model_and_a_living_daemon(own: Site) -> None:
    assert own.get("/readyz")[0] == 503
    own.tell_status(checks={"disk": Check(ok=True, detail="plenty")})
    status, health = own.get("/health")
    assert (status, health["status"], health["model_version"], health["reasons"]) == (200, "healthy", 1, [])
    assert own.get("/readyz")[0] == 200
    own.tell_status(checks={"disk": Check(ok=False, detail="full"), "inbox": Check(ok=True, detail="watched")})
    status, health = own.get("/health")
    assert (status, health["status"], health["reasons"]) == (503, "unhealthy", ["disk: full"])
    assert own.get("/readyz")[1]["reasons"] == ["disk: full"]
    own.tell_status(heartbeat=time.monotonic() - 60)
    assert own.get("/health")[0] == 503
    assert own.post("/predict", PREDICTION)[0] == 200


def test_figures_count_what_happened(own: Site) -> None:
    for _ in range(4):
        own.post("/predict", PREDICTION)
    own.post("/predict", {})
    own.tell_status(rows=150, rows_pending=7)
    figures = own.get("/metrics")[1]
    assert (figures["prediction_count"], figures["predictions_by_version"]) == (4, {"1": 4})
    assert figures["errors"]["422"] == 1
    assert (figures["rows"], figures["rows_pending"], figures["model_version"], figures["workers"]) == (150, 7, 1, 1)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["request_count"] >= 5
    assert figures["average_latency_ms"] > 0
    assert figures["uptime_seconds"] > 0


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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_no_complaint(site: Site) -> None:
    site.post("/predict", PREDICTION)
    body = site.ask("GET", "/prometheus_metrics")[2]
    found = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def read_stream(connection: socket.socket, until: str) -> str:
    text = ""
    while until not in text:
        part = connection.recv(4096).decode()
        assert part, text
        text += part
    return text


def test_events_are_streamed_and_replayed(own: Site) -> None:
    journal = Journal.open(own.home.journal)
    journal.tell("started", "first")
    journal.tell("worker", "second\nline")
    head = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(f"{head}Last-Event-ID: 1\r\n\r\n".encode())
        text = read_stream(connection, "second")
        assert "event: status" in text
        assert "id: 2\nevent: worker\ndata: {" in text
        assert "first" not in text
        journal.tell("promoted", "third", version=3)
        assert "id: 3\nevent: promoted" in read_stream(connection, "third")
        own.tell_status(rows=99)
        assert "event: status" in read_stream(connection, '"rows":99')
    journal.close()
    answer = own.get("/events?after=1&limit=1")[1]
    assert (answer["count"], answer["events"][0]["message"]) == (1, "second\nline")


def test_the_number_of_streams_is_limited(own: Site) -> None:
    head = b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    streams = []
    for _ in range(33):
        connection = socket.create_connection(("127.0.0.1", own.port), timeout=10)
        connection.sendall(head)
        streams.append((connection, connection.recv(15)))
    assert [first for _, first in streams] == [b"HTTP/1.1 200 OK"] * 32 + [b"HTTP/1.1 503 Se"]
    for connection, _ in streams:
        connection.close()
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


# The process


def test_the_log_rotates(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(predictions=Predictions(rotate_bytes=1000)))
    for _ in range(10):
        site.post("/predict", PREDICTION)
    files = sorted(site.home.logs.glob("predictions-0-*.jsonl"))
    assert len(files) > 2
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(lines) == 10
    assert lines[0]["features"] == bundles.SETOSA
    site.close()


def test_help_works_and_no_heavy_library_is_loaded(site: Site) -> None:
    found = subprocess.run([sys.executable, "-m", "web.server", "--help"], cwd=ROOT, capture_output=True, check=True)
    assert b"--fd" in found.stdout
    maps = Path(f"/proc/{site.process.pid}/maps").read_text()
    assert not any(name in maps for name in ("/sklearn/", "/pandas/", "/sqlalchemy/", "/scipy/"))
