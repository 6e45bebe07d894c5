"""retraind.daemon.storage.trends: what a transaction adds, within which bounds; predictions are counted once whatever is killed."""

import json
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.trends import figures, sketch
from retraind.daemon.core.trends.figures import DRIFT, OTHERS, Figures, Sum
from retraind.daemon.core.trends.spans import KEPT, Span
from retraind.daemon.records.trends import reader
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.daemon.storage.trends import store as store_module
from retraind.daemon.storage.trends import tally
from retraind.daemon.storage.trends.store import Change, Mark, TrendStore

DAY = 1_790_000_000 // 86_400 * 86_400


@pytest.fixture
def store(tmp_path: Path) -> TrendStore:
    return TrendStore(tmp_path / "trends.db")


def counts(**sums: int) -> Figures:
    return {**figures.empty(), "sums": sums}


def stored(store: TrendStore, span: Span, path: Path) -> list[tuple[int, Figures]]:
    return reader.figures(path, span, 0, 2**40)


def test_figures_are_added_to_minute_hour_and_day(store: TrendStore, tmp_path: Path) -> None:
    for second in (0, 59, 60, 3599, 3600):
        store.add([Change(DAY + second, counts(n=1))], {"x": second}, now=DAY)
    path = tmp_path / "trends.db"
    assert [(at - DAY, row["sums"]["n"]) for at, row in stored(store, Span.MINUTE, path)] == [
        (0, 2), (60, 1), (3540, 1), (3600, 1),
    ]  # fmt: skip
    assert [(at - DAY, row["sums"]["n"]) for at, row in stored(store, Span.HOUR, path)] == [(0, 4), (3600, 1)]
    assert [row["sums"]["n"] for _, row in stored(store, Span.DAY, path)] == [5]
    assert store.position("x") == 3600


def test_a_failed_transaction_changes_neither_figures_nor_position(store: TrendStore, tmp_path: Path) -> None:
    store.add([Change(DAY, counts(n=1))], {"x": 1}, now=DAY)
    with pytest.raises(sqlite3.Error):
        store.add([Change(DAY, counts(n=1))], {"x": 2}, [Mark(None, "kind", "text")], DAY)  # type: ignore[arg-type]
    assert store.position("x") == 1
    assert stored(store, Span.DAY, tmp_path / "trends.db")[0][1]["sums"]["n"] == 1


def test_late_figures_of_a_removed_minute_still_count_in_the_day(store: TrendStore, tmp_path: Path) -> None:
    store.add([Change(DAY - 5 * 86_400, counts(n=1))], {}, now=DAY)
    path = tmp_path / "trends.db"
    assert stored(store, Span.MINUTE, path) == []
    assert stored(store, Span.HOUR, path)[0][1]["sums"] == {"n": 1}


def test_names_beyond_the_bounds_are_added_up(store: TrendStore, tmp_path: Path) -> None:
    """A hundred classes and fifty features have their own figures, the same ones in every span and after a restart."""
    classes = counts(**{f"{Sum.CLASS}c{number}": 2 for number in range(130)})
    drift = {f"{DRIFT}f{number}": figures.gauge(number / 1000, DAY) for number in range(200)}
    for restarted in (store, TrendStore(tmp_path / "trends.db")):
        restarted.add([Change(DAY, {**classes, "gauges": drift})], {}, now=DAY)
    [(_, row)] = stored(store, Span.DAY, tmp_path / "trends.db")
    assert len(row["sums"]) == 101
    assert row["sums"][Sum.CLASS + OTHERS] == 120
    assert len(row["gauges"]) == 51
    assert row["gauges"][DRIFT + OTHERS]["most"] == 0.199


def busy_minute(at: float) -> Figures:
    """As many figures as a service with twelve classes and twenty features has in a minute."""
    sums = {f"{Sum.CLASS}class-{number}": 50 for number in range(12)}
    sums |= {f"{kind}{code}": 100 for kind in ("requests.", "predicting.", "checked.") for code in (200, 404, 503)}
    gauges = {f"{DRIFT}feature-{number}": figures.gauge(0.123456789, at) for number in range(20)}
    gauges |= {
        name: figures.gauge(123_456.0, at) for name in ("rows", "rows_pending", "backlog_files", "memory.daemon")
    }
    latency = {"0.0003": 30, "0.0005": 200, "0.0007": 20, "0.001": 3, "0.02": 1}
    return {
        "sums": sums,
        "histograms": {"latency": latency, "confidence": {"19": 500}},
        "gauges": gauges,
        "values": None,
    }


@pytest.mark.slow
def test_a_year_stays_within_the_bounds(store: TrendStore, tmp_path: Path) -> None:
    """Two figures of each hour, then three days of minutes, by the store's own function."""
    begin = DAY
    for hour in range(365 * 24):
        at = begin + hour * 3600
        store.add([Change(at, busy_minute(at))], {"x": hour}, now=at)
    for minute in range(3 * 1440):
        at = begin + 365 * 86_400 + minute * 60
        store.add([Change(at, busy_minute(at))], {"x": minute}, now=at)
    store.trim()
    path = tmp_path / "trends.db"
    sizes = {span: len(stored(store, span, path)) for span in Span}
    assert sizes == {Span.MINUTE: KEPT[Span.MINUTE], Span.HOUR: KEPT[Span.HOUR], Span.DAY: 368}
    assert store.size < 25_000_000
    assert path.stat().st_size < 30_000_000


def test_beyond_its_bytes_the_oldest_minutes_leave_early(
    store: TrendStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_BYTES", 1_000_000)
    for minute in range(600):
        store.add([Change(DAY + minute * 60, busy_minute(DAY))], {}, now=DAY + minute * 60)
    store.trim()
    assert store.size <= 1_000_000
    left = stored(store, Span.MINUTE, tmp_path / "trends.db")
    assert 0 < len(left) < 600
    assert left[-1][0] == DAY + 599 * 60
    assert sum(row["sums"]["requests.200"] for _, row in stored(store, Span.DAY, tmp_path / "trends.db")) == 60_000


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "trends.db"
    path.write_bytes(b"no database" * 1000)
    store = TrendStore(path)
    with pytest.raises(sqlite3.DatabaseError):
        store.position("x")
    assert store.position("x") is None
    assert len(list(tmp_path.glob("trends.db.damaged-*"))) == 1


# Predictions of the history


class Logged:
    """A home whose log gets predictions, with the copier that counts them."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.home = Home(root)
        self.home.make()
        self._log = self.home.logs / "predictions-0-20260101T000000000000-1.jsonl"
        self._settings = Settings.model_validate({"predictions": settings})
        self.store = TrendStore(self.home.trends)
        self._serial = 0

    def log(
        self, count: int, at: str, name: str | None = "a", prediction: float = 0, confidence: float | None = 0.9
    ) -> None:
        with self._log.open("a") as file:
            for _ in range(count):
                self._serial += 1
                line = {
                    "prediction_id": f"p{self._serial}", "timestamp": at, "features": [1], "prediction": prediction,
                    "prediction_name": name, "confidence": confidence, "model_version": 1, "latency_ms": 1.0,
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")

    def copier(self) -> HistoryCopier:
        copier = HistoryCopier(self.home, self._settings)
        copier.counting = self.count
        return copier

    def count(self, history: sqlite3.Connection) -> None:
        for counted in tally.new(history, self.store.position("predictions"), time.time()):
            self.store.add(counted.changes, {"predictions": counted.counted}, now=time.time())

    def total(self, prefix: str = Sum.CLASS) -> dict[str, int]:
        rows = reader.figures(self.home.trends, Span.DAY, 0, 2**40)
        total: dict[str, int] = {}
        for _, row in rows:
            total = figures.added(total, row["sums"])
        return {name: count for name, count in total.items() if name.startswith(prefix)}


def stamp(ago: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() - ago, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_predictions_are_counted_by_minute_and_class(tmp_path: Path) -> None:
    logged = Logged(tmp_path)
    logged.log(3, stamp(7200), "a", confidence=1.0)
    logged.log(2, stamp(7200), "b", confidence=0.52)
    logged.log(1, stamp(), "a")
    logged.copier().copy()
    minutes = reader.figures(logged.home.trends, Span.MINUTE, 0, 2**40)
    assert minutes[0][1]["sums"] == {"class.a": 3, "class.b": 2, Sum.CONFIDENCE: 4_040_000}
    assert minutes[0][1]["histograms"]["confidence"] == {"19": 3, "10": 2}
    assert minutes[-1][1]["sums"]["class.a"] == 1


def test_values_of_a_regression_are_a_sketch(tmp_path: Path) -> None:
    logged = Logged(tmp_path)
    at = stamp()
    for value in (1.5, 2.5, -3.0):
        logged.log(1, at, None, value, None)
    logged.copier().copy()
    [(_, row)] = reader.figures(logged.home.trends, Span.DAY, 0, 2**40)
    assert row["sums"] == {Sum.VALUES: 3}
    assert row["values"] == sketch.of([1.5, 2.5, -3.0])


def test_predictions_are_counted_before_old_ones_are_removed(tmp_path: Path) -> None:
    logged = Logged(tmp_path, keep_rows=10)
    logged.log(500, stamp())
    copier = logged.copier()
    copier.copy()
    copier.copy()
    assert logged.total() == {"class.a": 500}


@pytest.mark.parametrize("when", ["after copying", "after counting"])
def test_a_kill_between_copying_and_counting_counts_once(tmp_path: Path, when: str) -> None:
    logged = Logged(tmp_path)
    logged.log(20, stamp())
    copier = logged.copier()
    if when == "after copying":
        copier.counting = None
    copier.copy()
    copier.close()  # as by a kill: the next process begins with what is on the disk
    logged.store = TrendStore(logged.home.trends)
    logged.log(5, stamp())
    logged.copier().copy()
    assert logged.total() == {"class.a": 25}


def test_a_new_history_from_the_remaining_logs_counts_nothing_twice(tmp_path: Path) -> None:
    logged = Logged(tmp_path)
    logged.log(20, stamp(30))
    logged.copier().copy()
    for path in tmp_path.glob("logs/predictions.db*"):
        path.unlink()
    logged.log(5, stamp())
    logged.copier().copy()
    assert logged.total() == {"class.a": 25}


def test_a_restored_history_continues(tmp_path: Path) -> None:
    """The copy of a file has another inode, and the same predictions."""
    logged = Logged(tmp_path)
    logged.log(20, stamp(30))
    copier = logged.copier()
    copier.copy()
    copier.close()
    content = logged.home.history.read_bytes()
    logged.home.history.unlink()
    logged.home.history.write_bytes(content)
    logged.log(5, stamp())
    logged.copier().copy()
    assert logged.total() == {"class.a": 25}


def test_a_prediction_of_the_future_is_one_of_now(tmp_path: Path) -> None:
    logged = Logged(tmp_path)
    logged.log(1, "2199-01-01T00:00:00.000Z")
    logged.log(1, "no time")
    logged.copier().copy()
    [(day, _)] = reader.figures(logged.home.trends, Span.DAY, 0, 2**40)
    assert day == time.time() // 86_400 * 86_400
