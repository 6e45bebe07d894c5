"""What workers say of the daemon while it starts, is at a long step, is stopped or was killed. One real service."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service import Service, flowers, wait_until

pytestmark = pytest.mark.timeout(400)  # on a busy machine the first version alone takes two minutes

SLOW = """
import importlib.abc, os, sys, time

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "sqlalchemy" and os.path.exists(os.environ["SLOW_MARK"]):
            time.sleep(12)

sys.meta_path.insert(0, Slow())
"""

SLOW_GIT = """#!/bin/sh
if [ -e "$SLOW_MARK.git" ]; then sleep 6; fi
exec {git} "$@"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Service]:
    """One that has a version, and whose imports and git take long once a file says so."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "sitecustomize.py").write_text(SLOW)
    (folder / "git").write_text(SLOW_GIT.format(git=shutil.which("git")))
    (folder / "git").chmod(0o755)
    service = Service(
        tmp_path_factory.mktemp("living") / "home",
        PYTHONPATH=f"{folder}:{os.environ.get('PYTHONPATH', '')}",
        PATH=f"{folder}:{os.environ['PATH']}",
        SLOW_MARK=str(folder / "mark"),
        RETRAIND_RETRAIN__THRESHOLD_ROWS="1000000",
    )
    try:
        service.copied(served).start()
        service.rest()
        yield service
    finally:
        service.end()


def mark(service: Service, what: str = "") -> Path:
    """The file that makes something slow."""
    return Path(service._settings["SLOW_MARK"] + what)


class Watch:
    """Asks a path again and again in a thread, and remembers each answer."""

    def __init__(self, service: Service, path: str) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._service, self._path, self._ended = service, path, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            self.answers.append(self._service.ask(self._path))

    @contextmanager
    def asking(self) -> Iterator["Watch"]:
        """While something happens."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join()


def test_a_long_step_keeps_the_service_ready_and_is_reported(service: Service) -> None:
    """git takes six seconds for each of its commands."""
    mark(service, ".git").touch()
    try:
        with Watch(service, "/readyz").asking() as watch:
            service.drop("slow.csv", flowers(40))
            wait_until(lambda: "committing batch" in str(watch.answers[-1:]), 30, "a step that is told")
            mark(service, ".git").unlink()
            service.wait_ingested()
    finally:
        mark(service, ".git").unlink(missing_ok=True)
    assert {status for status, _ in watch.answers} == {200}
    exposed = service.ask("/prometheus_metrics")[1]
    line = next(line for line in exposed.splitlines() if line.startswith("retraind_longest_step_seconds"))
    assert float(line.split()[1]) > 4


@pytest.mark.parametrize("path", ["/health", "/readyz"])
def test_a_stopped_daemon_is_reported_within_five_seconds(service: Service, path: str) -> None:
    """By /health, /readyz and the page; it goes on where it was."""
    wait_until(lambda: service.ask(path)[0] == 200)
    os.kill(service.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: service.ask(path)[0] == 503, 5)
        assert "gone, stopped or hangs" in str(service.ask(path)[1])
        wait_until(lambda: "The daemon is not running" in str(service.ask("/dashboard/data")[1]), 5)
        assert service.predict()
    finally:
        os.kill(service.pid, signal.SIGCONT)
    wait_until(lambda: service.ask(path)[0] == 200, 10)


def published(service: Service, pid: int) -> list[Path]:
    """What a worker says of itself."""
    return list(service.home.workers.glob(f"*-{pid}.json"))


def replace(service: Service, port: int) -> None:
    """Kill the daemon and start another: once its workers answer, those before end, long before the imports do."""
    before = set(service.workers())
    service.kill()
    service.start(port=port)
    fresh = wait_until(lambda: set(service.workers()) - before, 30)
    # What stands there before it answers is the last word of another.
    wait_until(lambda: any(f'"pid":{pid},' in one.read_text() for pid in fresh for one in published(service, pid)), 30)
    wait_until(lambda: set(service.workers()) == fresh, 6, "the old workers to end")
    assert service.ask("/health")[1]["checks"]["daemon"]["detail"].startswith("starting")


@pytest.mark.slow
def test_a_start_that_takes_long_is_ready_throughout_and_lets_old_workers_go(service: Service) -> None:
    """Killed and started three times: while it imports, the new workers are ready, and alone."""
    port, rows = service.port, service.ask("/metrics")[1]["rows"]
    assert rows
    mark(service).touch()
    try:
        for _ in range(3):
            replace(service, port)
        with Watch(service, "/readyz").asking() as ready, Watch(service, "/metrics").asking() as figures:
            wait_until(lambda: "ready, pid" in str(ready.answers[-1:]), 60)
    finally:
        mark(service).unlink()
    assert {status for status, _ in ready.answers} == {200}
    assert {answer["rows"] for _, answer in figures.answers} == {rows}
