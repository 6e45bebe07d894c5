"""Who may write over HTTP, and what is on the disk when it is answered."""

import hashlib
import json
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from sites import PREDICTION, Client, Site

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.schema import labelled_row
from retraind.daemon.storage.journal import Journal


@pytest.fixture
def empty(site: Site) -> Iterator[Site]:
    """The shared worker, with nothing in the inbox, no request and no daemon that has spoken."""
    _clear(site.home)
    yield site
    _clear(site.home)


def _clear(home: Home) -> None:
    for path in (*home.inbox.iterdir(), *home.requests.iterdir()):
        if not path.is_dir():
            path.unlink()
    home.status.unlink(missing_ok=True)


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


# Writing


def test_a_sample_is_in_the_inbox_before_the_answer(site: Site) -> None:
    status, answer = site.post("/add_training_data", {**PREDICTION, "target": "virginica"})
    assert (status, answer["status"]) == (202, "accepted")
    data = (site.home.inbox / answer["name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == answer["drop"]
    assert labelled_row.Sample.model_validate_json(data).target == "virginica"


def test_a_sample_posted_twice_counts_twice_and_a_key_once(site: Site) -> None:
    body = {**PREDICTION, "target": 0}
    assert site.post("/add_training_data", body)[1]["drop"] != site.post("/add_training_data", body)[1]["drop"]
    key = {"Idempotency-Key": "order-1"}
    first, second = (site.post("/add_training_data", body, key) for _ in range(2))
    assert first == second
    assert site.post("/add_training_data", {**body, "target": 1}, key)[0] == 422
    assert site.post("/add_training_data", body, {"Idempotency-Key": "a b"})[0] == 400
    assert site.post("/add_training_data", body, {"Idempotency-Key": "a" * 201})[0] == 400


@pytest.mark.parametrize("what", ["pipe", "link"])
def test_a_taken_name_delays_no_other_row(empty: Site, what: str) -> None:
    """Who may drop files may put anything under the name of a sample: it is not waited for, not followed, and said."""
    key = {"Idempotency-Key": f"order-{what}"}
    name = f"http-{durable.sha256(key['Idempotency-Key'].encode())[:32]}{labelled_row.SUFFIX}"
    if what == "pipe":
        os.mkfifo(empty.home.inbox / name)
    else:
        (empty.home.inbox / name).symlink_to(empty.home.schema)
    status, answer = empty.post("/add_training_data", {**PREDICTION, "target": 0}, key)
    assert status == 503
    assert name in answer["detail"]


def test_a_key_is_known_after_its_drop_was_ingested(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    client = Client(home)
    body = json.dumps({**PREDICTION, "target": 0}).encode()
    answer = json.loads(client.ask("POST", "/add_training_data", body, HTTP_IDEMPOTENCY_KEY="k")[2])
    (home.inbox / answer["name"]).unlink()
    journal = Journal.open(home.journal)
    drop: Any = {"sha256": answer["drop"], "name": answer["name"], "source": "http", "bytes": 1, "settled_at": "now"}
    journal.batches.accept(
        {"segment": "s", "sha256": "x", "md5": "m", "rows": 1, "bytes": 1},
        [drop | {"rows_read": 1, "rows_accepted": 1}],
    )
    journal.close()
    assert json.loads(client.ask("POST", "/add_training_data", body, HTTP_IDEMPOTENCY_KEY="k")[2]) == answer
    other = json.dumps({**PREDICTION, "target": 1}).encode()
    assert client.ask("POST", "/add_training_data", other, HTTP_IDEMPOTENCY_KEY="k")[0] == 422
    assert list(home.inbox.glob("http-*")) == []


@pytest.mark.parametrize(
    "body", [{}, {"features": bundles.SETOSA}, {**PREDICTION, "target": 9}, {**PREDICTION, "target": True}]
)
def test_bad_samples_leave_nothing_behind(empty: Site, body: Any) -> None:
    assert empty.post("/add_training_data", body)[0] == 422
    assert list(empty.home.inbox.glob("*.json")) == []


def test_without_a_schema_samples_wait(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    body = json.dumps({**PREDICTION, "target": 0}).encode()
    status, _, text = Client(home).ask("POST", "/add_training_data", body)
    assert status == 409
    assert "inbox" in json.loads(text)["hint"]


def test_many_retrain_requests_become_one(empty: Site) -> None:
    answers: list[tuple[int, Any]] = []
    ask = lambda: answers.append(empty.post("/trigger_retrain", {"force_retrain": True}))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {202}
    assert len({answer["request"] for _, answer in answers}) == 1
    (request,) = requests.pending(empty.home)
    assert (request.kind, request.force, request.by) == ("retrain", True, "http")
    assert empty.get(f"/requests/{request.id}")[1]["state"] == "pending"


def test_without_new_rows_nothing_is_retrained_unless_forced(empty: Site) -> None:
    empty.tell_status(rows_pending=0)
    status, answer = empty.post("/trigger_retrain", {"force_retrain": False})
    assert (status, answer["status"]) == (200, "skipped")
    assert requests.pending(empty.home) == []
    empty.tell_status(rows_pending=3)
    assert empty.post("/trigger_retrain", {})[0] == 202


def test_only_drops_are_news(empty: Site) -> None:
    empty.tell_status(rows_pending=0)
    for name in ("README.md", ".hidden.csv", "rows.csv.part", "rows.csv~"):
        (empty.home.inbox / name).write_text("x")
    (empty.home.inbox / "link.csv").symlink_to(empty.home.inbox / "README.md")
    assert empty.post("/trigger_retrain", {})[1]["status"] == "skipped"
    (empty.home.inbox / "rows.csv").write_text("x")
    assert empty.post("/trigger_retrain", {})[0] == 202


def test_a_full_disk_is_never_a_success_and_predictions_go_on(own: Site) -> None:
    journal = Journal.open(own.home.journal)  # the daemon lives, and with it SQLite's shared memory
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
    journal.close()
