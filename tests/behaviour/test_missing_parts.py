"""Files of a home are removed while it runs: that is reported at once, nothing is lost, and all is in order when they are back."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import interrupting
import pytest
from conftest import names
from ingesting import Parts, row
from prediction_lines import line
from service import REPOSITORY, Service, flowers, wait_until

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Exit, NotKept, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.core.states import EventKind
from retraind.daemon.records.query import ask
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.serving.prediction_log import PredictionLog

parts = pytest.fixture(interrupting.parts)

HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"


@contextlib.contextmanager
def aside(*paths: Path) -> Iterator[None]:
    """Some files or folders are gone, and come back."""
    kept = [(path, path.with_name(f"aside-{path.name}")) for path in paths if path.exists()]
    for path, other in kept:
        path.rename(other)
    yield
    for path, other in kept:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        other.rename(path)


def whole(home: Home) -> tuple[Path, ...]:
    """The journal's files."""
    return tuple(home.journal.with_name(f"journal.db{suffix}") for suffix in ("", "-wal", "-shm"))


@contextlib.contextmanager
def exchanged(home: Home) -> Iterator[None]:
    """Another journal has the journal's place."""
    with aside(*whole(home)):
        with closing(sqlite3.connect(home.journal)) as other, other:
            other.execute("CREATE TABLE events (id INTEGER)")
        yield


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder is on a read-only file system."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Service]:
    """A running service that serves Iris, and trains no more."""
    service = Service(tmp_path_factory.mktemp("grounds") / "home", RETRAIND_RETRAIN__THRESHOLD_ROWS="100000").copied(
        served
    )
    try:
        service.start()
        wait_until(service.predict, 180, "the first model")
        wait_until(service.idle, 60, "the end of the start, which a lost journal would end")
        wait_until(lambda: well(service), 60, "a service that is well")
        yield service
    finally:
        service.end()


def entry(number: int) -> bytes:
    """A line of the prediction log."""
    return line(number) + b"\n"


def reasons(service: Service) -> str:
    """Why /health is not 200; empty if it is."""
    status, answer = service.ask("/health")
    return "; ".join(answer["reasons"]) if status == 503 else ""


def page(service: Service) -> str:
    """The text of the page's health tile, if the tile asks for an action."""
    status, answer = service.ask("/dashboard/data")
    tile = answer["tiles"][0] if status == 200 else {"state": "act", "headline": str(answer), "sentence": ""}
    return f"{tile['headline']} {tile['sentence']}" if tile["state"] == "act" else ""


def well(service: Service) -> bool:
    return not reasons(service) and not page(service)


def command(service: Service, name: str) -> tuple[int, str]:
    """Exit code and output of `retraind status` or `doctor`."""
    done = subprocess.run(
        [sys.executable, "-m", "retraind.daemon", name, "--home", str(service.home.root)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("take", "named", "doctor"),
    [
        (lambda home: aside(*whole(home)), "journal.db", True),
        (exchanged, "journal.db", True),
        (lambda home: aside(home.mlflow), "mlflow.db", True),
        (lambda home: aside(home.bundle(1)), "bundles/1", True),
        (lambda home: aside(home.registry), "registry", True),
        (lambda home: aside(home.requests), "requests", True),
        (lambda home: aside(home.workers), "workers", True),
        (lambda home: aside(home.logs), "logs", True),
        (lambda home: aside(home.data), "data", True),
        (lambda home: aside(next(home.segments.iterdir())), "segments", True),
        (lambda home: read_only(home.root), "read-only", True),
        (lambda home: read_only(home.registry), "read-only", True),
        (lambda home: read_only(home.logs), "read-only", True),
        (lambda home: read_only(home.data), "read-only", True),
        (lambda home: read_only(home.inbox), "inbox", True),
    ],
)  # fmt: skip
def test_what_is_removed_is_reported_within_seconds_and_recovers(
    service: Service, take: Callable[[Home], contextlib.AbstractContextManager[None]], named: str, doctor: bool
) -> None:
    """/health, page, `status` and `doctor` name the missing part, predictions go on, and the service notices by itself when it is back."""
    if os.getuid() != 0:
        pytest.skip("mounting needs root")
    with take(service.home):
        wait_until(lambda: named in reasons(service), 5, f"/health to name {named}")
        wait_until(lambda: named in page(service), 5, f"the page to name {named}")
        assert service.predict() is not None, "predictions go on"
        code, said = command(service, "status")
        assert code == Exit.UNHEALTHY, said
        assert command(service, "doctor")[0] == Exit.UNHEALTHY or not doctor
    wait_until(lambda: service.predict() and well(service), 30, "all to be well again, without a restart")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_drop_waits_until_the_journal_is_back(service: Service) -> None:
    """Nothing is accepted that is on no record; with the journal in its place it is, once."""
    before = service.rows()
    with aside(*whole(service.home)):
        wait_until(lambda: "journal" in reasons(service), 5)
        service.drop("while.csv", flowers(3))
        wait_until(lambda: service.log().count("journal.db is gone") > 0)
        assert service.drops() == ["while.csv"]
    service.wait_ingested()
    assert sum(service.rows().values()) == sum(before.values()) + len(flowers(3))


def test_journal_that_is_gone_takes_nothing_more(parts: Parts) -> None:
    """SQLite would go on writing into a file without a name; the drop stays, and so does the segments' folder."""
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    before = names(parts.home.segments)
    parts.drop("b.csv", HEADER + row(2))
    with aside(*whole(parts.home)):
        assert "is gone" in (parts.journal.problem() or "")
        with pytest.raises(Unavailable, match="is gone"):
            parts.run()
        assert parts.waiting == ["b.csv"]
        assert names(parts.home.segments) == before
    assert parts.journal.problem() is None
    parts.run()
    assert parts.lengths == [1, 2]


def test_wal_that_is_gone_is_noticed(parts: Parts) -> None:
    """Nothing is recorded in a file that can't be opened any more; closing folds earlier records into the journal."""
    parts.journal.events.record(EventKind.STARTED, "kept")
    whole(parts.home)[1].unlink()
    assert "journal.db-wal is gone" in (parts.journal.problem() or "")
    with pytest.raises(Unavailable, match="is gone"):
        parts.journal.events.record(EventKind.STARTED, "lost")
    parts.close()
    assert ask(parts.home.journal, "SELECT message FROM events")[-1]["message"] == "kept"
    parts.open()


def test_closing_spares_the_wal_of_another_journal(home: Home) -> None:
    """Who restores a journal with its WAL under a running daemon must find both after the daemon has ended."""
    journal = Journal.open(home.journal)
    wal = whole(home)[1]
    with aside(*whole(home)):
        home.journal.write_bytes(b"another")
        wal.write_bytes(b"its WAL")
        journal.close()
        assert wal.read_bytes() == b"its WAL"


@pytest.mark.parametrize("how", ["gone", "empty", "older"])
def test_start_without_the_journal_of_the_data_is_refused(parts: Parts, how: str, tmp_path: Path) -> None:
    """To a journal that knows less than the data, newer segments are strangers: they would be taken out of the dataset."""
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    parts.close()
    shutil.copy(parts.home.journal, tmp_path / "older")
    parts.open()
    parts.drop("b.csv", HEADER + row(2))
    parts.run()
    parts.close()
    segments = names(parts.home.segments)
    parts.home.journal.unlink()
    if how == "empty":
        Journal.open(parts.home.journal).close()
    elif how == "older":
        shutil.copy(tmp_path / "older", parts.home.journal)
    done = subprocess.run(
        [sys.executable, "-m", "retraind.daemon", "run", "--home", str(parts.home.root), "--port", "0"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == Exit.HISTORY_LOST, done.stderr
    assert "from one backup" in done.stderr
    assert names(parts.home.segments) == segments
    assert how != "gone" or not parts.home.journal.exists()
    parts.home.journal.unlink(missing_ok=True)
    parts.open()


def test_absent_journal_of_a_home_with_data_does_not_read_as_empty(parts: Parts) -> None:
    """Of a new home there is nothing to be told; of one that has data, that its record is gone."""
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    with aside(*whole(parts.home)), pytest.raises(sqlite3.OperationalError, match="is gone"):
        ask(parts.home.journal, "SELECT * FROM drops")
    other = Home(parts.home.root / "other")
    assert ask(other.journal, "SELECT * FROM drops") == []


def test_history_that_is_removed_begins_again(home: Home) -> None:
    """With what the log files still hold; what was copied before came from files that may be gone."""
    log = PredictionLog(home.logs, 0, Predictions())
    lock = durable.try_lock(home.workers / f"0-{os.getpid()}.lock")
    assert lock is not None
    with closing(HistoryCopier(home, Settings())) as history_copier:
        log.append([entry(1)])
        assert history_copier.copy() == 1
        for suffix in ("", "-wal", "-shm"):
            home.history.with_name(f"{home.history.name}{suffix}").unlink()
        log.append([entry(2)])
        assert history_copier.copy() == 2
        assert len(ask(home.history, "SELECT * FROM predictions")) == 2
        assert "a new history is filled from the remaining log files" in history_copier.take_notices()[0]
    log.close()
    os.close(lock)


def test_log_file_that_lost_its_name_gets_no_more_lines(home: Home) -> None:
    """A file that was removed or moved is followed by another; while the folder is gone, the log has a problem."""
    log = PredictionLog(home.logs, 0, Predictions())
    log.append([entry(1)])
    for path in home.logs.glob("*.jsonl"):
        path.unlink()
    log.sync()
    log.append([entry(2)])
    [path] = home.logs.glob("*.jsonl")
    assert path.read_bytes() == entry(2)
    with aside(home.logs):
        with contextlib.suppress(NotKept):
            log.sync()
        assert "is gone" in (log.problem or "")
        log.append([entry(3)])
        assert log.lost == 1
    log.append([entry(4)])
    log.sync()
    assert log.problem is None
    assert b"".join(path.read_bytes() for path in home.logs.glob("*.jsonl")).count(b"\n") == 2
    log.close()
