"""Old predictions in Parquet files beside SQLite as today: bytes of a row, rows a second, 1,000 late labels, pages while logs are archived.

Run it with `python -m benchmarks.serve.old_predictions [--rows 5000000] [--folder DIR]`. A folder keeps the rows: the next
call only makes what is missing, and measures again. With 100000000 rows they take 4.3 GB, and half an hour.
The first 500,000 rows come from logs, as a worker writes them, through the real copier and archiver, and are the peer's too.
The rest is written without logs by the code that writes the files.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks.figures import ratio, show
from benchmarks.serve import old_pages, prediction_rows, serve_models
from benchmarks.serve.prediction_rows import FILE_ROWS
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.history import index, old_predictions, writing
from retraind.daemon.history.old_predictions import OldPredictions
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.records.predictions import lowest_seq
from retraind.daemon.records.query import LAST, number
from retraind.daemon.records.search import history_files
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

LABELS, JOINS = 1000, 3
"""Late labels of a drop, and the number of drops that are joined; the median counts."""

LOGS = 2

LIMITS = {"bytes": 45.0, "join": 5.0}
"""The targets: bytes of a row, seconds of a join."""

PARQUET = Settings(predictions=Predictions(history="parquet", keep_rows=0, rotate_bytes=1024))


class Kept(NamedTuple):
    """One way to keep the rows of the logs: rows a second, bytes of a row, seconds of a join."""

    rate: float
    size: float
    join: float


class Made:
    """What a folder has, written down so that a later call goes on."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "made.json"
        self.facts: dict[str, Any] = orjson.loads(self._path.read_bytes()) if self._path.exists() else {}

    def note(self, **facts: Any) -> None:
        """Add facts."""
        self.facts |= facts
        self._path.write_bytes(orjson.dumps(self.facts))


def make(folder: Path, rows: int) -> Made:
    """Make what the folder lacks: the peer's rows, the same from logs, and files up to so many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Made(folder)
    if "peer" not in made.facts:
        beside = serve_models.make_home(folder / "peer", serve_models.estimator("logistic"))
        with closing(Journal.open(beside.journal)) as journal:
            made.note(peer=list(peer(beside, journal)))
    if "first" not in made.facts:
        home = _served(folder / "home")
        with closing(Journal.open(home.journal)) as journal:
            made.note(first=list(archived_logs(home, journal)), parts=LOGS)
    with closing(Journal.open(Home(folder / "home").journal)) as journal:
        fill(folder, journal, made, rows // FILE_ROWS)
    return made


def _served(folder: Path) -> Home:
    """A home that the daemon serves: MLflow's database must be there before the pointer."""
    home = Home(folder)
    home.make()
    mlflow_tables.open_or_make(home)
    return serve_models.make_home(folder, serve_models.estimator("logistic"))


def peer(home: Home, journal: Journal) -> Kept:
    """SQLite as today, with the same logs."""
    settings = Settings(predictions=Predictions(keep_rows=10**9))
    with closing(index.copier(home, settings, journal)) as copier:
        seconds = _timed(lambda: _copied(home, copier))
    rows = number(home.history, "SELECT COUNT(*) FROM predictions") or 0
    return Kept(rows / seconds, home.history.stat().st_size / rows, _join(home, journal, LOGS, None))


def archived_logs(home: Home, journal: Journal) -> Kept:
    """The logs as Parquet files, by copier and archiver as the daemon has them."""
    with closing(index.copier(home, PARQUET, journal)) as copier:
        old = old_predictions.opened(home, PARQUET, None, journal, copier)
        started = time.monotonic()
        _copied(home, copier)
        _archived(home, copier, old)
        seconds = time.monotonic() - started
        old.archiver.close()
    return Kept(LOGS * FILE_ROWS / seconds, _bytes(home), _join(home, journal, LOGS, old))


def _copied(home: Home, copier: HistoryCopier) -> None:
    for part in range(LOGS):
        prediction_rows.write_log(home.logs, part)
    copier.copy()


def _archived(home: Home, copier: HistoryCopier, old: OldPredictions) -> None:
    while old.archiver.step(time.monotonic()) or not old.archiver.is_idle:
        assert old.problem is None, old.problem
        time.sleep(0.02)
    while lowest_seq(home.history) < LAST:  # each pass removes some of the rows that are in files
        copier.copy()


def fill(folder: Path, journal: Journal, made: Made, parts: int) -> None:
    """Write files without logs, up to so many parts."""
    home = Home(folder / "home")
    with closing(index.copier(home, PARQUET, journal)) as copier:
        old = old_predictions.opened(home, PARQUET, None, journal, copier)
        for part in range(made.facts["parts"], parts):
            files = list(writing.write(prediction_rows.table(part), old.place.folder))
            for file in files:
                old.place.put(file)
            journal.history_files.record(files, [])
            made.note(parts=part + 1)
        old.archiver.close()


def _join(home: Home, journal: Journal, parts: int, old: OldPredictions | None, seed: int = 0) -> float:
    """Seconds to join labels of predictions that are spread over all parts."""
    chance = random.Random(seed)
    ids = [prediction_rows.identity(chance.randrange(parts), chance.randrange(FILE_ROWS)) for _ in range(LABELS)]
    labels = Labels(home, journal, old=old)
    joined: list[Any] = []
    seconds = _timed(lambda: joined.append(labels.join(ids, ["a"] * LABELS, serve_models.SCHEMA)))
    assert len(joined[0].rows) == len(set(ids)), f"{len(joined[0].rows)} of {len(set(ids))} labels were joined"
    return seconds


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def measure(folder: Path, made: Made) -> None:
    """Measure the rows of a folder, and print."""
    home, parts = Home(folder / "home"), made.facts["parts"]
    with closing(Journal.open(home.journal)) as journal, closing(index.copier(home, PARQUET, journal)) as copier:
        old = old_predictions.opened(home, PARQUET, None, journal, copier)
        times = sorted(_join(home, journal, parts, old, seed) for seed in range(JOINS))
        _leave_cache(home)
        cold = _join(home, journal, parts, old, JOINS)
        old.archiver.close()
        whole = Kept(float("nan"), _bytes(home), times[JOINS // 2])
    _show(Kept(*made.facts["peer"]), Kept(*made.facts["first"]), whole, cold, parts * FILE_ROWS)
    old_pages.measure(folder, range(1000, parts * FILE_ROWS))


def _leave_cache(home: Home) -> None:
    """Let the kernel forget what it keeps of the files in memory."""
    for file in history_files.all_files(home.journal):
        handle = os.open(home.logs / file["object"], os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _bytes(home: Home) -> float:
    files = history_files.all_files(home.journal)
    return sum(file["bytes"] for file in files) / sum(file["rows"] for file in files)


def _show(sqlite: Kept, first: Kept, whole: Kept, cold: float, rows: int) -> None:
    labels = f"{LABELS} late labels, s"
    facts = [
        ["rows/s into it", f"{sqlite.rate:.0f}", f"{first.rate:.0f}", "-", ratio(first.rate, sqlite.rate), "-"],
        ["bytes/row", f"{sqlite.size:.1f}", f"{first.size:.1f}", f"{whole.size:.1f}", ratio(whole.size, sqlite.size), f"{LIMITS['bytes']:g}"],
        [labels, f"{sqlite.join:.3f}", f"{first.join:.3f}", f"{whole.join:.3f}", ratio(whole.join, sqlite.join), f"{LIMITS['join']:g}"],
        ["the same, from the disk", "-", "-", f"{cold:.3f}", "-", f"{LIMITS['join']:g}"],
    ]  # fmt: skip
    columns = ["fact", "SQLite, 500,000 rows", "Parquet, the same", f"Parquet, {rows:,} rows", "ratio", "target"]
    show("Old predictions: 8 columns, 3 classes of a logistic regression", columns, facts)


def _folder(asked: Path | None) -> Iterator[Path]:
    if asked is not None:
        yield asked
        return
    with tempfile.TemporaryDirectory(prefix="retraind-old-predictions-") as folder:
        yield Path(folder)


def main() -> None:
    """Make and measure, in a temporary folder unless one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="keeps the rows for the next call")
    parser.add_argument("--make", action="store_true", help="measure nothing yet")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # so the service ends, too
    for folder in _folder(asked.folder):
        made = make(folder, asked.rows)
        if not asked.make:
            measure(folder, made)


if __name__ == "__main__":
    main()
