"""Old predictions in Parquet files beside SQLite as today: bytes of a row, rows a second, 1,000 late labels, pages while it is written.

Run it with `python -m benchmarks.serve.old_predictions [--rows 5000000]`; with 100000000 it takes an hour and 4 GB. The first
500,000 rows come from logs, as a worker writes them, and are the peer's too; the rest is written without logs by the same code.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import percentile, ratio, show
from benchmarks.harness import Client, Service
from benchmarks.serve import prediction_rows, serve_models
from benchmarks.serve.prediction_rows import FILE_ROWS
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.history import index, old_predictions, writing
from retraind.daemon.history.old_predictions import OldPredictions
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.records.predictions import lowest_seq
from retraind.daemon.records.query import LAST, number
from retraind.daemon.records.search import history_files
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

LABELS = 1000
LOGS = 2
PAGES, WRITTEN_ROWS = 400, 50_000
"""Pages that are asked for meanwhile, and rows of each log that is written meanwhile."""

LIMITS = {"bytes": 45.0, "join": 5.0, "page": 0.2}
"""The targets: bytes of a row, seconds of a join, seconds of all but one of a hundred pages."""

PARQUET = Settings(predictions=Predictions(history="parquet", keep_rows=0))


class Kept(NamedTuple):
    """One way to keep the rows of the logs: rows a second, bytes of a row, seconds of a join."""

    rate: float
    size: float
    join: float


def peer(home: Home, journal: Journal) -> Kept:
    """SQLite as today, with the same logs."""
    seconds = _timed(lambda: _copied(home, journal, Settings(predictions=Predictions(keep_rows=10**9))))
    rows = number(home.history, "SELECT COUNT(*) FROM predictions") or 0
    join = _join(home, journal, LOGS, None)
    return Kept(rows / seconds, home.history.stat().st_size / rows, join)


def _copied(home: Home, journal: Journal, settings: Settings) -> HistoryCopier:
    for part in range(LOGS):
        prediction_rows.write_log(home, part)
    copier = index.copier(home, settings, journal)
    copier.copy()
    if settings.predictions.history == "sqlite":
        copier.close()
    return copier


def archive(home: Home, copier: HistoryCopier, old: OldPredictions) -> None:
    """Archive all that waits, as the daemon's loop does about once a second."""
    copier.copy()
    while old.archiver.step(time.monotonic()) or not old.archiver.is_idle:
        assert old.problem is None, old.problem
        time.sleep(0.02)
    while lowest_seq(home.history) < LAST:  # each pass removes some of the rows that are in files
        copier.copy()


def fill(home: Home, journal: Journal, old: OldPredictions, parts: range) -> None:
    """Write files without logs."""
    for part in parts:
        files = list(writing.write(prediction_rows.table(part), old.place.folder))
        for file in files:
            old.place.put(file)
        journal.history_files.record(files, [])


def _join(home: Home, journal: Journal, parts: int, old: OldPredictions | None) -> float:
    """Seconds to join labels of predictions that are spread over all parts."""
    chance = random.Random(0)
    ids = [prediction_rows.identity(chance.randrange(parts), chance.randrange(FILE_ROWS)) for _ in range(LABELS)]
    labels = Labels(home, journal, old=None if old is None else old.by_ids)
    joined: list[Any] = []
    seconds = _timed(lambda: joined.append(labels.join(ids, ["a"] * LABELS, serve_models.SCHEMA)))
    assert len(joined[0].rows) == len(set(ids)), f"{len(joined[0].rows)} of {len(set(ids))} labels were joined"
    return seconds


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def pages(client: Client, ends: range, count: int = PAGES) -> Iterator[float]:
    """Seconds of each of some pages that begin anywhere between two numbers."""
    chance = random.Random(1)
    for _ in range(count):
        path = f"/predictions/history?limit=100&below={chance.randrange(ends.start, ends.stop)}"
        started = time.monotonic()
        status, page = client.ask(path)
        assert (status, len(page["history"])) == (200, 100), (path, status, len(page.get("history", ())))
        yield time.monotonic() - started


class Writing:
    """Logs that are written, copied and archived without a pause, until it is closed."""

    def __init__(self, home: Home, copier: HistoryCopier, old: OldPredictions) -> None:
        self._home, self._copier, self._old = home, copier, old
        self._ended, self.rows = threading.Event(), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        part = 1_000_000
        while not self._ended.is_set():
            prediction_rows.write_log(self._home, part, WRITTEN_ROWS)
            archive(self._home, self._copier, self._old)
            self.rows, part = self.rows + WRITTEN_ROWS, part + 1

    def close(self) -> None:
        """Stop after the present log."""
        self._ended.set()
        self._thread.join()


def measure(folder: Path, rows: int) -> None:
    """Measure and print."""
    beside = serve_models.make_home(folder / "peer", serve_models.estimator("logistic"))
    with closing(Journal.open(beside.journal)) as journal:
        sqlite = peer(beside, journal)
    home = serve_models.make_home(folder / "home", serve_models.estimator("logistic"))
    with closing(Journal.open(home.journal)) as journal:
        started = time.monotonic()
        copier = _copied(home, journal, PARQUET)
        settings = PARQUET.model_copy(
            update={"predictions": PARQUET.predictions.model_copy(update={"rotate_bytes": 1})}
        )
        old = old_predictions.opened(home, settings, None, journal, copier)
        archive(home, copier, old)
        rate = LOGS * FILE_ROWS / (time.monotonic() - started)
        size = _bytes(home)
        first = Kept(rate, size, _join(home, journal, LOGS, old))
        parts = max(LOGS, rows // FILE_ROWS)
        fill(home, journal, old, range(LOGS, parts))
        whole = Kept(float("nan"), _bytes(home), _join(home, journal, parts, old))
        _show(sqlite, first, whole, parts * FILE_ROWS)
        copier.close()  # the next copy numbers its rows from the last file on
        _show_pages(folder, home, copier, old)
        old.archiver.close()


def _bytes(home: Home) -> float:
    files = history_files.all_files(home.journal)
    return sum(file["bytes"] for file in files) / sum(file["rows"] for file in files)


def _show(sqlite: Kept, first: Kept, whole: Kept, rows: int) -> None:
    labels = f"{LABELS} late labels, s"
    facts = [
        ["rows/s into it", f"{sqlite.rate:.0f}", f"{first.rate:.0f}", "-", ratio(first.rate, sqlite.rate), "-"],
        ["bytes/row", f"{sqlite.size:.1f}", f"{first.size:.1f}", f"{whole.size:.1f}", ratio(whole.size, sqlite.size), f"{LIMITS['bytes']:g}"],
        [labels, f"{sqlite.join:.3f}", f"{first.join:.3f}", f"{whole.join:.3f}", ratio(whole.join, sqlite.join), f"{LIMITS['join']:g}"],
    ]  # fmt: skip
    columns = ["fact", "SQLite, 500,000 rows", "Parquet, the same", f"Parquet, {rows:,} rows", "ratio", "target"]
    show("Old predictions: 8 columns, 3 classes of a logistic regression", columns, facts)


def _show_pages(folder: Path, home: Home, copier: HistoryCopier, old: OldPredictions) -> None:
    service = Service(folder, server__workers=1)
    service.command = "serve"
    try:
        service.start()
        ends = range(1000, history_files.last_seq(home.journal))
        with closing(service.client()) as client:
            list(pages(client, ends, 1))  # starts the reader
            quiet = list(pages(client, ends))
            with closing(Writing(home, copier, old)) as written:
                busy = list(pages(client, ends))
    finally:
        service.close()
    facts = [
        [name, *(f"{percentile(times, share) * 1000:.1f}" for share in (0.5, 0.99)), f"{max(times) * 1000:.1f}"]
        for name, times in (("nothing is written", quiet), (f"{written.rows} rows are archived", busy))
    ]
    show("GET /predictions/history, a page of 100 anywhere, ms", ["while", "p50", "p99", "most"], facts)


def main() -> None:
    """Measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retraind-old-predictions-") as folder:
        measure(Path(folder), asked.rows)


if __name__ == "__main__":
    main()
