"""The HTTP worker as a process: swaps, crashes, limits, slow clients."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import bundles
from service import wait_until
from sites import PREDICTION, ROOT, Site

from retraind.daemon.core import durable
from retraind.daemon.core.settings import Predictions, Server, Settings
from retraind.daemon.core.status import Check
from retraind.daemon.storage.prediction_history import HistoryCopier

# Swaps and crashes


def test_a_swap_under_load_fails_no_request(site: Site) -> None:
    pointers = [bundles.make(site.home, version, favourite=version % 3) for version in range(2, 8)]
    answers: list[tuple[int, int, str]] = []
    ended = threading.Event()

    def hammer() -> None:
        connection = site.connect()
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
        bundles.point(site.home, pointer)
        site.wait(pointer.version)
    ended.set()
    for thread in threads:
        thread.join()
    names = {1: "setosa", **{version: bundles.CLASSES[version % 3] for version in range(2, 8)}}
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, version, _ in answers} >= set(range(2, 8))
    assert all(names[version] == name for _, version, name in answers)


def test_a_broken_promotion_is_reported_and_the_old_model_answers(site: Site) -> None:
    served = site.get("/health")[1]["model_version"]
    pointer, good = bundles.make(site.home, 100), bundles.make(site.home, 101)
    (site.home.bundle(100) / "model.onnx").write_bytes(b"broken")
    bundles.point(site.home, pointer)
    wait_until(lambda: site.get("/metrics")[1]["load_failures"])
    assert site.post("/predict", PREDICTION)[1]["model_version"] == served
    status, health = site.get("/health")
    assert status == 503
    assert "model.onnx" in health["checks"]["promoted_version"]["detail"]
    assert site.get("/metrics")[1]["load_failures"] == 1
    bundles.point(site.home, good)
    site.wait(101)


def test_a_planted_pointer_is_refused_and_reported(own: Site) -> None:
    planted = bundles.make(own.home, 2)
    durable.write(own.home.pointer, planted.model_dump_json().encode())
    own.tell_status(checks={"disk": Check(ok=True, detail="plenty")})
    time.sleep(0.3)
    status, ready = own.get("/readyz")
    assert (status, ready["model_version"]) == (200, 1)
    assert "journal does not know" in ready["checks"]["promoted_version"]["detail"]
    own.process.kill()
    own.process.wait()
    own.start()
    status, ready = own.get("/readyz")
    assert (status, ready["model_version"]) == (503, None)
    assert "journal does not know" in ready["reasons"][0]


def test_kill_9_loses_no_prediction_that_was_answered(own: Site) -> None:
    answered = [own.post("/predict", PREDICTION)[1]["prediction_id"] for _ in range(50)]
    own.process.kill()
    own.process.wait()
    history_copier = HistoryCopier(own.home, own.settings)
    assert history_copier.copy() == 50
    history_copier.close()
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
    time.sleep(1.3)
    assert len(list(own.home.workers.glob("*.json"))) == 1


def scraped(site: Site) -> float:
    """Predictions, as a scraper is told."""
    text = site.ask("GET", "/prometheus_metrics")[2].decode()
    line = re.search(r'^retraind_predictions_total{version="1"} (\S+)$', text, re.MULTILINE)
    return float(line[1]) if line else 0.0


def test_what_a_scrape_has_shown_no_successor_takes_back(own: Site) -> None:
    highest = 0.0
    for _ in range(3):
        own.post("/predict", PREDICTION)
        assert scraped(own) == highest + 1
        highest += 1
        own.process.kill()
        own.process.wait()
        own.start()
        own.wait(1)
        assert scraped(own) == highest


def test_two_workers_scraped_in_turns_never_take_back_what_they_have_shown(own: Site) -> None:
    other = Site(own.home.root, version=None)
    ended = threading.Event()

    def ask(site: Site) -> None:
        while not ended.wait(0.002):
            site.post("/predict", PREDICTION)

    asking = [threading.Thread(target=ask, args=(site,)) for site in (own, other)]
    for thread in asking:
        thread.start()
    counted = [scraped(site) for _ in range(30) for site in (own, other) if not ended.wait(0.02)]
    ended.set()
    for thread in asking:
        thread.join()
    counted += [scraped(own), scraped(other)]
    other.close()
    assert counted == sorted(counted)
    assert counted[-1] > counted[0]


def test_a_restarted_worker_never_says_that_there_is_no_model(own: Site) -> None:
    own.process.kill()
    own.process.wait()
    own.start()
    assert own.post("/predict", PREDICTION)[0] == 200


def test_two_workers_of_one_slot_are_both_counted(own: Site) -> None:
    first = own.process
    own.post("/predict", PREDICTION)
    own.start()
    time.sleep(1.5)
    first.terminate()
    assert first.wait(10) == 0
    own.post("/predict", PREDICTION)
    assert own.get("/metrics")[1]["prediction_count"] == 2


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


def test_clients_that_trickle_do_not_hold_others_up(site: Site) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(200)]
    for connection in slow:
        connection.sendall(head)
    slowest = 0.0
    for _ in range(50):
        started = time.monotonic()
        assert site.post("/predict", PREDICTION)[0] == 200
        slowest = max(slowest, time.monotonic() - started)
    for connection in slow:
        connection.close()
    assert slowest < 2


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
        for _ in range(129):
            connection.sendall(chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_read(site: Site) -> None:
    body = json.dumps(PREDICTION).encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_names_with_underscores_pass_for_no_other_header(site: Site) -> None:
    for name in ("Content_Length", "content_length", "Content_Type"):
        assert site.ask("POST", "/predict", PREDICTION, {name: "abc"})[0] == 200
    assert site.ask("POST", "/predict", PREDICTION, {"Content-Type": "", "Content_Type": "application/json"})[0] == 415


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
    outcome = subprocess.run(
        [sys.executable, "-m", "retraind.web.server", "--help"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"--fd" in outcome.stdout
    maps = Path(f"/proc/{site.process.pid}/maps").read_text()
    assert not any(name in maps for name in ("/sklearn/", "/pandas/", "/sqlalchemy/", "/scipy/"))
