"""web.metrics: what is counted while somebody looks."""

import threading
from pathlib import Path

from daemon.home import Home
from daemon.settings import Settings
from web.worker import Worker


def test_a_snapshot_is_taken_while_new_routes_are_met(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    worker = Worker(home, Settings(), 0)

    def count() -> None:
        for number in range(20_000):
            worker.counters.count(f"/{number}", 200, 0.001)

    counting = threading.Thread(target=count)
    counting.start()
    while counting.is_alive():
        worker.snapshot()
    assert len(worker.snapshot().requests) == 20_000
