"""web.metrics: what is counted while somebody looks."""

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.home import Home
from daemon.settings import Settings
from web.worker import Worker


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


@pytest.mark.usefixtures("restless")
def test_a_snapshot_is_taken_while_new_routes_are_met(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    worker = Worker(home, Settings(), 0)

    def count() -> None:
        for number in range(10_000):
            worker.counters.count(f"/{number}", 200, 0.001)

    counting = threading.Thread(target=count)
    counting.start()
    while counting.is_alive():
        worker.snapshot()
    assert len(worker.snapshot().requests) == 10_000
