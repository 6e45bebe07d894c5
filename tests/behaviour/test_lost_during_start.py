"""Files of a home are removed while the service starts, between its first look at them and the first step of the loop."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from service import Service, flowers, parsed, wait_until
from sites import Site

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Exit


@contextlib.contextmanager
def starting(service: Service) -> Iterator[None]:
    """A service starts, has opened its journal, and goes on at the end: until then MLflow's database is locked."""
    held = durable.try_lock(service.home.mlflow.with_name(f"{service.home.mlflow.name}.lock"))
    assert held is not None
    try:
        service.start()
        wait_until(lambda: f"{service.home.journal}-wal" in opened(service.pid), 60, "an open journal")
        yield
    finally:
        os.close(held)


def opened(pid: int) -> set[str]:
    """The files that a process has open."""
    paths = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            paths.add(str(link.readlink()))
    return paths


def test_start_that_loses_its_journal_ends_as_one_without(tmp_path: Path, served: Path) -> None:
    """Whoever starts services must not try again: a later start can't find the journal either."""
    service = Service(tmp_path / "home").copied(served)
    try:
        with starting(service):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{service.home.journal}{suffix}").unlink()
        assert service.process is not None
        assert service.process.wait(60) == Exit.HISTORY_LOST, service.log()[-1500:]
        assert "from one backup" in service.log()
    finally:
        service.end()


def test_start_that_loses_its_inbox_goes_on_with_another(tmp_path: Path, served: Path) -> None:
    """As a running daemon does: the folder is made again, the journal says so, and drops are taken."""
    service = Service(tmp_path / "home", RETRAIND_RETRAIN__THRESHOLD_ROWS="100000").copied(served)
    try:
        expected = service.rows() + parsed(flowers(1))
        with starting(service):
            shutil.rmtree(service.home.inbox)
        wait_until(service.home.rejected.is_dir, 60, "another inbox")
        service.drop("a.csv", flowers(1))
        wait_until(lambda: service.rows() == expected, what=service.log()[-1500:])
        assert "The inbox was gone and has been made again" in service.ask("/dashboard")[1]
    finally:
        service.end()


def test_worker_starts_although_the_folder_of_workers_is_gone(own: Site) -> None:
    """It has locks and counters only, which are made again; without a worker nothing would say what is gone."""
    assert own.stop() == 0
    shutil.rmtree(own.home.workers)
    own.start()
    own.wait(1)
