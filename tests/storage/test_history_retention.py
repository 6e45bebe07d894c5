"""retraind.daemon.storage.prediction_history: the rows that are kept by number, by age, and for each caller."""

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prediction_lines import callers, ids, line, utcnow_of

from retraind.daemon.core import durable
from retraind.daemon.core.clock import DAY, Reading
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.storage import prediction_history
from retraind.daemon.storage.prediction_history import HistoryCopier


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def test_only_the_newest_rows_are_kept(home: Home) -> None:
    history_copier = HistoryCopier(home, Settings(predictions=Predictions(keep_rows=3)))
    path = home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    path.write_bytes(b"".join(line(number) + b"\n" for number in range(10)))
    assert history_copier.copy() == 10
    history_copier.close()
    assert ids(home) == ["id-7", "id-8", "id-9"]


class Hands:
    """A clock in the hands of a test: `ahead` seconds before the right time, `hours` after the start."""

    def __init__(self, hours: float = 0.0) -> None:
        self.hours, self.ahead = hours, 0.0
        self._begun = time.time()

    def __call__(self) -> Reading:
        steady = self.hours * 3600
        return Reading(self._begun + steady + self.ahead, steady)


def aged(home: Home, *ages: float) -> tuple[HistoryCopier, Hands]:
    """A history_copier that keeps two days, has run for an hour, and has copied predictions of these ages (days)."""
    path, now = home.logs / "predictions-0-20260101T000000000000-1.jsonl", datetime.now(UTC)
    times = [utcnow_of(now - timedelta(days=age)) for age in ages]
    path.write_bytes(b"".join(line(number, timestamp=at) + b"\n" for number, at in enumerate(times)))
    hands = Hands()
    history_copier = HistoryCopier(home, Settings(predictions=Predictions(keep_days=2)), hands)
    assert history_copier.copy() == len(ages)
    hands.hours = 1
    history_copier.copy()
    return history_copier, hands


def test_old_rows_go_whatever_their_order(home: Home) -> None:
    """Those of several workers are copied one file after the other."""
    history_copier, _ = aged(home, 3, 1.5, 2.5, 0.5, 0)
    history_copier.close()
    assert ids(home) == ["id-1", "id-3", "id-4"]


@pytest.mark.parametrize("ahead", [10 * 365 * DAY, -10 * 365 * DAY])
def test_clock_that_is_wrong_for_a_moment_removes_no_history(home: Home, ahead: float) -> None:
    """Neither at the start nor later; when it has been right for an hour, what is old goes."""
    history_copier, hands = aged(home, *([1.9] * 5))
    for hours, off in ((1.1, ahead), (1.2, 0.0), (2.1, ahead), (2.2, 0.0), (3.1, 0.0), (3.3, 0.0), (4.5, 0.0)):
        hands.hours, hands.ahead = hours, off
        history_copier.copy()
        history_copier.close()
        assert len(ids(home)) == (5 if hours < 3.2 else 0), hours


def test_rows_of_a_wrong_clock_go_with_those_after_them(home: Home) -> None:
    """Such a row neither stays permanently nor goes at once, and removes no other row."""
    durable.write(home.token, b"secret")
    made = time.time() - 5 * DAY
    os.utime(home.token, (made, made))
    history_copier, hands = aged(home, 20_000, 1.5, -400, 1.2, 0.5, -400)
    for hours, left in ((2, "012345"), (15, "2345"), (21, "45"), (38, "5")):
        hands.hours = hours
        history_copier.copy()
        history_copier.close()
        assert ids(home) == [f"id-{number}" for number in left], hours


def test_who_predicts_a_lot_pushes_out_only_what_they_have_predicted(home: Home) -> None:
    """Late labels of the others find their predictions, however many come after them, and from whatever caller."""
    history_copier = HistoryCopier(home, Settings(predictions=Predictions(keep_rows=100)))
    seldom = [line(number) for number in range(10)] + [line(number, caller="shop") for number in range(10, 30)]
    flood = [line(number, caller="anonymous") for number in range(1000, 4000)]
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(b"\n".join([*seldom, *flood]) + b"\n")
    for _ in range(3):
        history_copier.copy()
    ids = callers(home)
    assert {name: len(rows) for name, rows in ids.items()} == {"": 10, "shop": 20, "anonymous": 70}
    assert ids["anonymous"][-1] == "id-3999"
    history_copier.close()


def test_callers_with_as_many_give_way_alike(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_history, "CHUNK_BYTES", 2**17)
    history_copier = HistoryCopier(home, Settings(predictions=Predictions(keep_rows=100)))
    lines = [line(number, caller=f"token {number % 4}") for number in range(5_000)]
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    for _ in range(4):
        history_copier.copy()
    counts = [len(rows) for rows in callers(home).values()]
    assert sum(counts) == 100
    assert max(counts) - min(counts) < 30
    history_copier.close()


def test_a_history_from_before_there_were_callers_goes_on(home: Home) -> None:
    with closing(sqlite3.connect(home.history)) as old:
        old.executescript("""
            CREATE TABLE predictions (
                seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT, timestamp TEXT, features TEXT, prediction INTEGER,
                prediction_name TEXT, confidence REAL, model_version INTEGER, latency_ms REAL);
            INSERT INTO predictions (prediction_id, timestamp, features) VALUES ('old', '2026-01-01T00:00:00.000Z', '[]');
            PRAGMA user_version = 1;""")
    history_copier = HistoryCopier(home, Settings(predictions=Predictions(keep_rows=2)))
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(line(1, caller="shop") + b"\n")
    history_copier.copy()
    assert callers(home) == {"": ["old"], "shop": ["id-1"]}
    history_copier.close()
