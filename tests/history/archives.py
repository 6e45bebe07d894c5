"""A home whose predictions become Parquet files: logs of workers that have ended, and an archiver that a test steps."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bundles
import orjson
import pyarrow.parquet as pq

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.core.states import VersionState
from retraind.daemon.history import building, index, lookup
from retraind.daemon.history.archiving import Archiver
from retraind.daemon.history.entries import Entry
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.history.lost_files import LostFiles
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

SETTINGS = Settings(predictions=Predictions(history="parquet", rotate_bytes=1000, keep_rows=0))


SCHEMA = Schema(
    target="grade",
    classes=["low", "high"],
    columns=[
        Column(name="weight", kind="number"),
        Column(name="count", kind="integer"),
        Column(name="colour", kind="category", categories=["red", "blue"]),
        Column(name="day", kind="date"),
    ],
)


def entry(number: int, **fields: Any) -> dict[str, Any]:
    """A prediction of one process as a worker logs it."""
    return {
        "prediction_id": f"0f3a5c7e9b1d-{number:x}",
        "timestamp": f"2026-11-{29 + number // 5000:02}T12:00:{number % 60:02}.{number % 1000:03}Z",
        "features": [number / 10, number, "red", None],
        "prediction": 1,
        "prediction_name": "high",
        "confidence": 0.75,
        "probabilities": [0.25, 0.75],
        "model_version": 1,
        "latency_ms": 0.125,
        **fields,
    }


def write_log(home: Home, entries: list[dict[str, Any]], second: int = 0, slot: int = 0) -> Path:
    """The log of a worker that has ended."""
    path = home.logs / f"predictions-{slot}-20261129T1200{second:02}000000-1.jsonl"
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in entries))
    return path


class Archives:
    """The parts that archive, without their threads' timing."""

    def __init__(self, home: Home, store: ObjectStore | None = None, settings: Settings = SETTINGS) -> None:
        self.home, self.journal = home, Journal.open(home.journal)
        self.place = HistoryPlace(home, store)
        self.copier: HistoryCopier = index.copier(home, settings, self.journal)
        self.archiver = Archiver(home, settings, self.journal, self.place, self.copier)
        self.lost_files = LostFiles(home, self.place)

    def work(self) -> None:
        """Copy and archive until nothing is left to do."""
        self.copier.copy()
        while self.archiver.step(time.monotonic() + 3600) or not self.archiver.is_idle:
            time.sleep(0.01)
            assert self.archiver.problem is None, self.archiver.problem
        self.copier.copy()

    def by_ids(self, ids: Sequence[str]) -> dict[str, Entry]:
        return lookup.by_ids(self.home, self.place, ids, self.lost_files)

    def lost(self, ids: Sequence[str]) -> dict[str, str]:
        return self.lost_files.of(ids)

    def close(self) -> None:
        self.archiver.close()
        self.lost_files.close()
        self.copier.close()
        self.journal.close()


def trained(archives: Archives, version: int, schema: Schema = SCHEMA) -> None:
    """A judged version with this schema."""
    home = archives.home
    pointer = bundles.make(home, version)
    manifest = bundle.read_manifest(home.bundle(version), pointer.manifest).model_copy(update={"data_schema": schema})
    facts = dict.fromkeys(("mlflow_run", "revision", "dvc_md5", "trigger", "candidate", "backend"), "test")
    row: Any = {**facts, "rows": 150, "trained_rows": 120, "scores": "{}", "version": version}
    sealed = bundle.seal(home.bundle(version), manifest)
    archives.journal.versions.judge(row | {"bundle": sealed}, VersionState.PROMOTED, "For a test.")


@contextmanager
def opened(home: Home, store: ObjectStore | None = None, settings: Settings = SETTINGS) -> Iterator[Archives]:
    archives = Archives(home, store, settings)
    try:
        yield archives
    finally:
        archives.close()


def build_here(home: Home, paths: Sequence[Path]) -> list[HistoryFile]:
    """What the process that builds files does, without the second in which it starts."""
    return building.build(home, [path.name for path in paths])


def ids_in_files(home: Home) -> list[str]:
    """The ids in all Parquet files of the home's folder, sorted."""
    paths = sorted((home.logs / "predictions").glob("dt=*/*.parquet"))
    return sorted(text for path in paths for text in pq.read_table(path)["prediction_id"].to_pylist())
