"""retraind.daemon.processes.stop_signals: requests end the loop's waiting at once."""

import queue
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, wait_until

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.requests import submit
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.service.loop import TICK_SECONDS


@pytest.fixture(autouse=True)
def same_handler() -> Iterator[None]:
    """Take back the handler of SIGIO."""
    before = signal.getsignal(signal.SIGIO)
    yield
    signal.signal(signal.SIGIO, before)


def test_request_wakes_a_loop_that_waits(home: Home) -> None:
    wake = Wake()
    wake.watch(home.requests)
    threading.Timer(0.1, submit, (home, "rollback")).start()
    assert wake.queue.get(timeout=10) == "wake"


def test_other_files_and_consumed_requests_wake_nothing(home: Home) -> None:
    request = submit(home, "rollback")
    wake = Wake()
    wake.watch(home.requests)
    (home.requests / request.name).unlink()
    durable.write(home.registry / "other", b"")
    with pytest.raises(queue.Empty):
        wake.queue.get(timeout=0.1)


def test_folder_that_can_not_be_watched_stops_nothing(tmp_path: Path) -> None:
    Wake().watch(tmp_path / "missing")


@pytest.mark.timeout(200)
def test_requests_are_answered_before_the_next_tick(tmp_path: Path, served: Path) -> None:
    service = Service(tmp_path / "home").copied(served)
    try:
        service.start()
        service.wait_served()
        service.rest()
        waits = [waited(service) for _ in range(5)]
        assert statistics.median(waits) < TICK_SECONDS / 2, waits
    finally:
        service.end()


def waited(service: Service) -> float:
    """Seconds until a request has its answer, asked when the loop has just begun to wait for its next tick."""
    published = service.home.status.stat().st_mtime_ns
    wait_until(lambda: service.home.status.stat().st_mtime_ns != published, 20)
    began = time.monotonic()
    request = service.ask("/rollback", {})[1]["request"]
    wait_until(lambda: service.ask(f"/requests/{request}")[1]["state"] == "refused", 20)
    return time.monotonic() - began
