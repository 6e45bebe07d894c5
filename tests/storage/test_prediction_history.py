"""retraind.daemon.storage.prediction_history: every logged prediction is in the database exactly once."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import forks
import pytest
from logged import block
from prediction_lines import held, ids, line, logs

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.records.records import Records
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.serving import prediction_log
from retraind.web.serving.prediction_log import PredictionLog


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


@pytest.fixture
def history_copier(home: Home) -> Iterator[HistoryCopier]:
    history_copier = HistoryCopier(home, Settings())
    yield history_copier
    history_copier.close()


def test_lines_are_copied_once_and_in_order(home: Home, history_copier: HistoryCopier) -> None:
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions())
    for number in range(3):
        log.append([line(number) + b"\n"])
    assert history_copier.copy() == 3
    assert history_copier.copy() == 0
    log.append([line(3) + b"\n"])
    assert history_copier.copy() == 1
    assert ids(home) == ["id-0", "id-1", "id-2", "id-3"]
    row = Records(home).predictions.newest(1)[0]
    assert row["features"] == [5.1, 3.5, None, "red"]
    assert (row["confidence"], row["model_version"], row["latency_ms"]) == (0.9, 1, 0.5)
    assert len(logs(home)) == 1, "a living worker's file stays"
    os.close(lock)


def test_it_says_from_when_on_all_earlier_predictions_are_there(home: Home, history_copier: HistoryCopier) -> None:
    assert history_copier.copied_at == 0.0
    before = time.monotonic()
    history_copier.copy()
    began = history_copier.copied_at
    assert before <= began <= time.monotonic()
    history_copier.close()
    home.history.unlink()
    home.history.mkdir()
    with pytest.raises(sqlite3.Error):
        history_copier.copy()
    assert history_copier.copied_at == began, "a pass that failed has not copied what was written before it"
    home.history.rmdir()
    history_copier.copy()
    assert history_copier.copied_at > began


def test_rows_that_share_a_line_are_copied_each(home: Home, history_copier: HistoryCopier) -> None:
    """Next to lines of a single prediction, which are all that older workers write."""
    path = home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    bad = block(0, 3, answers="AAAA")
    path.write_bytes(b"\n".join([line(0), block(0, 3), bad, line(1), block(3, 2)]) + b"\n")
    assert history_copier.copy() == 7
    assert history_copier.skipped == 1
    assert ids(home) == ["id-0", "many.0", "many.1", "many.2", "id-1", "many.3", "many.4"]
    newest = Records(home).predictions.newest(1)[0]
    assert newest["features"] == [8.0, 9.0]
    assert (newest["prediction"], newest["prediction_name"], newest["confidence"]) == (1, "virginica", 0.75)
    assert (newest["model_version"], newest["caller"]) == (2, "shop")


def test_a_torn_line_waits_for_its_end(home: Home, history_copier: HistoryCopier) -> None:
    lock = held(home)
    path = home.logs / f"predictions-0-20260101T000000000000-{os.getpid()}.jsonl"
    text = line(0) + b"\n"
    path.write_bytes(text[:20])
    assert history_copier.copy() == 0
    path.write_bytes(text)
    assert history_copier.copy() == 1
    os.close(lock)


def test_a_dead_workers_file_is_copied_to_its_end_and_removed(home: Home, history_copier: HistoryCopier) -> None:
    path = home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    path.write_bytes(line(0) + b"\nnot json\n" + line(1) + b"\n" + line(2)[:30])
    (home.workers / "0-1.lock").touch()
    assert history_copier.copy() == 2
    assert history_copier.skipped == 1
    assert logs(home) == []
    assert ids(home) == ["id-0", "id-1"]
    assert history_copier.copy() == 0


def test_a_rotated_file_goes_while_the_worker_lives(home: Home, history_copier: HistoryCopier) -> None:
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions(rotate_bytes=len(line(0)) * 2 + 10))
    for number in range(5):
        log.append([line(number) + b"\n"])
    assert len(logs(home)) == 3
    assert history_copier.copy() == 5
    assert len(logs(home)) == 1
    assert ids(home) == [f"id-{number}" for number in range(5)]
    os.close(lock)


class Backwards(datetime):
    """A clock that is an hour earlier each time it is asked."""

    asked = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.asked += 1
        return datetime.now(tz) - timedelta(hours=cls.asked)


def test_a_clock_that_goes_back_hides_no_line(
    home: Home, history_copier: HistoryCopier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest file is the one that grows: taken for an older one, it would be removed while lines come into it."""
    monkeypatch.setattr(prediction_log, "datetime", Backwards)
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions(rotate_bytes=len(line(0)) * 2 + 10))
    for number in range(9):
        log.append([line(number) + b"\n"])
        history_copier.copy()
    assert ids(home) == [f"id-{number}" for number in range(9)]
    os.close(lock)


def test_foreign_files_are_left_alone(home: Home, history_copier: HistoryCopier) -> None:
    (home.logs / "predictions-a-b-c-d.jsonl").write_bytes(line(0) + b"\n")
    (home.logs / "notes.jsonl").write_bytes(b"mine\n")
    assert history_copier.copy() == 0
    assert len(logs(home)) == 2


def test_the_database_is_private_and_in_wal_mode(home: Home, history_copier: HistoryCopier) -> None:
    history_copier.copy()
    assert history_copier._connection is not None
    ask = history_copier._connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (1,)
    assert home.history.stat().st_mode & 0o777 == 0o600


def test_a_damaged_database_is_set_aside_and_begun_again(home: Home) -> None:
    home.history.write_bytes(b"this is no database, " * 1000)
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions())
    log.append([line(0) + b"\n"])
    history_copier = HistoryCopier(home, Settings())
    history_copier.start()
    deadline = time.monotonic() + 10
    while ids_or_none(home) != ["id-0"] and time.monotonic() < deadline:
        time.sleep(0.05)
    history_copier.stop()
    os.close(lock)
    assert ids(home) == ["id-0"]
    assert len(list(home.logs.glob("predictions.db.damaged-*"))) == 1


def ids_or_none(home: Home) -> list[str] | None:
    try:
        return ids(home)
    except sqlite3.Error:
        return None


def test_a_reader_does_not_stop_the_copying(home: Home, history_copier: HistoryCopier) -> None:
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(line(0) + b"\n")
    history_copier.copy()
    with closing(sqlite3.connect(home.history)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM predictions").fetchall()
        (home.logs / "predictions-0-20260102T000000000000-1.jsonl").write_bytes(line(1) + b"\n")
        history_copier._connection.execute("PRAGMA busy_timeout=50")  # type: ignore[union-attr]
        assert history_copier.copy() == 1
    history_copier.copy()
    assert logs(home) == []
    assert ids(home) == ["id-0", "id-1"]


def copy_always(home: Home, ready: int) -> None:
    history_copier = HistoryCopier(home, Settings())
    os.write(ready, b"x")
    while True:
        history_copier.copy()


def test_killed_at_any_moment_it_copies_each_line_exactly_once(home: Home) -> None:
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions(rotate_bytes=20_000))
    chance, written = random.Random(1), 0
    for _ in range(10):
        waiting, ready = os.pipe()
        copier = forks.start(partial(copy_always, home, ready))
        assert os.read(waiting, 1) == b"x"
        end = time.monotonic() + chance.uniform(0.02, 0.2)
        while time.monotonic() < end:
            log.append([line(written) + b"\n"])
            written += 1
            time.sleep(0.0002)
        os.kill(copier, signal.SIGKILL)
        assert forks.end(copier) == -signal.SIGKILL
        os.close(waiting)
        os.close(ready)
    log.close()
    os.close(lock)
    history_copier = HistoryCopier(home, Settings())
    history_copier.copy()
    history_copier.close()
    assert ids(home) == [f"id-{number}" for number in range(written)][-10_000:]
    assert logs(home) == []
