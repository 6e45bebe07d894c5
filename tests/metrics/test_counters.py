"""retraind.web.metrics.counters: counting while another process reads."""

import gc
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import Client

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.web.metrics.counters import published
from retraind.web.worker_state import Worker


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as can be, also within a garbage collection, as when an object is finalised."""

    def collected(*told: object) -> None:
        for _ in range(20):
            pass

    interval = sys.getswitchinterval()
    gc.callbacks.append(collected)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.callbacks.remove(collected)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """A worker of an empty home."""
    home = Home(tmp_path)
    home.make()
    return Worker(home, Settings(), 0)


@pytest.mark.usefixtures("restless")
def test_a_snapshot_is_taken_while_new_routes_are_met(worker: Worker) -> None:
    def count() -> None:
        for number in range(10_000):
            worker.counters.count(f"/{number}", 200, 0.001)

    counting = threading.Thread(target=count)
    counting.start()
    while counting.is_alive():
        worker.snapshot()
    assert len(worker.snapshot().requests) == 10_000


@pytest.mark.usefixtures("restless")
def test_no_thread_writes_older_counters_over_newer_ones(worker: Worker) -> None:
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            worker.counters.count("/predict", 200, 0.001)
            worker.publish()

    publishing = [threading.Thread(target=publish) for _ in range(4)]
    for thread in publishing:
        thread.start()
    counted: list[int] = []
    while len(counted) < 2_000:
        counted += [snapshot.requests["/predict"]["200"] for snapshot, _ in published(worker.home)]
    ended.set()
    for thread in publishing:
        thread.join()
    assert counted == sorted(counted)
    assert counted[-1] > counted[0]


def test_counters_that_cannot_be_written_are_reported_nevertheless(worker: Worker) -> None:
    worker.counters.count("/predict", 200, 0.001)
    worker.totals()
    shutil.rmtree(worker.home.workers)
    worker.counters.count("/predict", 200, 0.001)
    assert worker.totals().requests == {("/predict", "200"): 2}
    with pytest.raises(FileNotFoundError):
        worker.publish()


def test_requests_before_the_first_model_are_counted_apart(tmp_path: Path) -> None:
    """Over workers that follow each other; a version that can't be loaded is another matter, and a failure."""
    home = Home(tmp_path)
    home.make()
    client = Client(home)
    for path in ("/predict", "/invocations", "/v2/models/retraind/infer"):
        assert client.ask("POST", path, b'{"features": [1.0]}')[0] == 503
    assert client.worker.totals().before_first_model == 3
    client.worker.slot.problem = "The bundle is damaged."
    assert client.ask("POST", "/predict", b'{"features": [1.0]}')[0] == 503
    assert client.worker.totals().before_first_model == 3
    assert Worker(home, Settings(), 0).totals().before_first_model == 3


def test_counters_that_change_their_name_are_counted_once(worker: Worker) -> None:
    """As when a new worker takes over those of one that is gone."""
    worker.publish()
    (path,) = worker.home.workers.glob("*.json")
    ended = threading.Event()

    def rename() -> None:
        number, at = 0, path
        while not ended.wait(0.001):
            number += 1
            at = at.replace(path.with_name(f"0-{number}.json"))

    renaming = threading.Thread(target=rename)
    renaming.start()
    counted = [len(published(worker.home)) for _ in range(2_000)]
    ended.set()
    renaming.join()
    assert set(counted) == {1}
