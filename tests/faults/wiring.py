"""The parts that ingest, put together as daemon/service/service.py does without a daemon around them, and what is dropped."""

import gzip
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Literal

import orjson

from retraind.daemon.core import durable, logs, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.dataset import segment_tiers
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.ingest.ingestion import Ingestion
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.schema import labelled_row, schema
from retraind.daemon.service import bootstrap
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

log = logs.Logger()

SETTINGS = Settings(inbox=Limits(settle_seconds=0.0))
HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"
TRIES = 5
"""After so many failing steps, one after the other, the process gives up, and its restart has to do the rest."""

FIRST = range(segment_tiers.FAN - 1)
"""Rows that are there before, each a segment of its own: one more, and they are merged."""

FORGOTTEN = range(50, 52)
"""Rows of a drop that shares its segment with the first of these, and is to be forgotten and purged."""

ONLY = "a.csv"
"""What a home is given that has never been started."""

FILES = {ONLY: range(10, 13), "b.csv": range(20, 22), "c.csv.gz": range(30, 33), "mixed.csv": range(40, 42)}
"""The good rows of every file."""

SPOILT = ["x,3.5,1.4,0.2,setosa", "5.1,3.5,1.4,0.2,"]
"""What mixed.csv has besides, on its third and fourth line."""

BAD = {"bad.csv": b"nonsense"}
SAMPLE, LABELLED = 7.0, 9.0
"""The first feature of the sample and of the prediction whose label comes late."""

LATER = range(100, 102)
"""Rows that come when all is over."""


class Parts:
    """What ingestion works with."""

    def __init__(self, home: Home, stack: ExitStack) -> None:
        self.home = home
        for folder in (home.rejected, home.data, home.segments):
            if folder.is_dir():
                durable.sweep(folder)
        self.journal = Journal.open(home.journal)
        stack.callback(self.journal.close)
        self.dataset = Dataset(home)
        stack.callback(self.dataset.close)
        self.dataset.open(self.segments("md5"), self.journal.segments.replaced)
        inbox = Inbox(home, SETTINGS.inbox, lambda: None)
        inbox.recover()
        labels = Labels(home, self.journal)
        self.ingestion = Ingestion(home, SETTINGS, inbox, self.dataset, self.journal, labels)

    def segments(self, what: Literal["sha256", "md5"]) -> dict[str, str]:
        """`sha256` or `md5` of each segment that the dataset consists of, by name."""
        return {one["name"]: one[what] for one in self.journal.segments.current()}

    def run(self) -> bool:
        """Step until nothing is left to do, trying again what fails as the loop does; False: it goes on failing."""
        failed = 0
        for now in itertools.count(100.0):
            assert now < 1000, "ingestion never comes to rest"
            try:
                if not self.ingestion.step(now):
                    return True
                failed = 0
            except Exception:
                log.exception("step_failed")
                failed += 1
                if failed == TRIES:
                    return False
        raise AssertionError


@contextmanager
def opened(home: Home) -> Iterator[Parts]:
    """The parts of a home whose folders exist; closed at the end."""
    with ExitStack() as stack:
        yield Parts(home, stack)


def rows_text(numbers: range) -> bytes:
    """A CSV file with one row for each number, which no other number gives."""
    return (HEADER + "".join(f"{number / 8},3.5,1.4,0.2,setosa\n" for number in numbers)).encode()


def put(home: Home, name: str, content: bytes) -> None:
    """Write a file under a hidden name and rename it."""
    (home.inbox / ".put").write_bytes(content)
    (home.inbox / ".put").rename(home.inbox / name)


def bare(home: Home) -> None:
    """A home as it is before its first start, with a schema."""
    home.root.mkdir()
    home.make()
    bootstrap.iris(home)
    (home.inbox / bootstrap.NAME).unlink()


def prepare(home: Home) -> None:
    """A home with a prediction without a label, and one batch less than a merge needs."""
    bare(home)
    with opened(home) as parts:
        put(home, "poison.csv", rows_text(FORGOTTEN))
        for number in FIRST:
            put(home, "first.csv", rows_text(range(number, number + 1)))
            assert parts.run()
    _predict(home)


def _predict(home: Home) -> None:
    """Log a prediction as a worker does, of a version as the daemon judges it."""
    import bundles  # of the other tests; it needs onnx, which nothing else here does

    bundles.record(home, bundles.make(home, 1))
    entry = {
        "timestamp": "2026-01-01T00:00:00.000Z", "prediction_id": "late", "model_version": 1, "latency_ms": 0.5,
        "features": [LABELLED, 3.5, 1.4, 0.2], "prediction": 0, "prediction_name": "setosa", "confidence": 0.9,
    }  # fmt: skip
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(orjson.dumps(entry) + b"\n")
    with closing(HistoryCopier(home, Settings())) as history_copier:
        assert history_copier.copy() == 1


def drop_one(home: Home) -> None:
    """The drop for a home that has never been started."""
    put(home, ONLY, rows_text(FILES[ONLY]))


def drop(home: Home) -> None:
    """The drops of all other cases: good files, one of them packed, one with bad rows, a refused one, a sample, a late label.

    And the request to forget one from before.
    """
    for name, numbers in FILES.items():
        text = rows_text(numbers)
        if name == "mixed.csv":
            first, *others = text.decode().splitlines()
            text = "\n".join([first, others[0], *SPOILT, *others[1:], ""]).encode()
        put(home, name, gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    for name, content in BAD.items():
        put(home, name, content)
    put(home, "label.csv", b"prediction_id,species\nlate,virginica\n")
    requests.submit(home, "forget", drop=durable.sha256(rows_text(FORGOTTEN)), purge=True)
    saved = schema.load(home.schema)
    assert saved is not None
    labelled_row.drop(home, labelled_row.make(saved, [SAMPLE, 1.0, 1.0, 0.5], "virginica", key="one"))
