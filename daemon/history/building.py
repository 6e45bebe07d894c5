"""Builds the Parquet files of some finished logs: a process of its own, so that the daemon neither waits nor grows.

It reads an order from its standard input and writes what it has built to its standard output. Only predictions that the
history has now are taken: the others were erased, or are older than `predictions.keep_days`.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypedDict

import orjson
import pyarrow as pa

from retraind.daemon.artifacts.manifest import read_manifest
from retraind.daemon.core import niceness
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import FOLDER, HistoryFile
from retraind.daemon.history import entries, writing
from retraind.daemon.history.entries import Entry
from retraind.daemon.history.layout import UNFIT, Layout
from retraind.daemon.records import predictions
from retraind.daemon.records.versions import judged
from retraind.daemon.schema import prediction_block

CHUNK_BYTES = 1_048_576
"""Bytes of log that are converted at once."""

NICE = 10
"""So much lower is its priority: predictions come first."""


DAMAGED = (*UNFIT, LookupError, AttributeError)
"""Errors by which a value shows that no worker has written it."""


class Order(TypedDict):
    """The logs to build files of."""

    home: str
    logs: list[str]
    """Names in `logs/`, complete and copied into the history."""


class Built(TypedDict):
    """The files that were built, hidden in `logs/predictions/`."""

    files: list[HistoryFile]


class Layouts:
    """The layouts of versions."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[int, Layout] = {}

    def of(self, version: int) -> Layout:
        """The layout of a version; without columns if its bundle is gone."""
        if version not in self._known:
            self._known[version] = self._read(version)
        return self._known[version]

    def _read(self, version: int) -> Layout:
        row = judged(self._home.journal, version)
        if row is None:
            return Layout()
        try:
            schema = read_manifest(self._home.bundle(version), row["bundle"]).data_schema
        except BundleRefused:
            return Layout()
        kinds = tuple((one.name, one.kind) for one in schema.columns)
        return Layout(kinds, tuple(schema.classes))


def build(home: Home, logs: Iterable[str]) -> list[HistoryFile]:
    """Build the files; returns their entries. Raises sqlite3.Error, OSError."""
    layouts, tables = Layouts(home), dict[Layout, list[pa.Table]]()
    for name in logs:
        for some in _entries(home.logs / name):
            for layout, group in entries.by_layout(_numbered(home.history, some), layouts.of).items():
                tables.setdefault(layout, []).extend(_tables(layout, group))
    folder = home.logs / FOLDER
    return [file for parts in tables.values() for file in writing.write(pa.concat_tables(parts), folder)]


def _tables(layout: Layout, group: Sequence[Entry]) -> Iterator[pa.Table]:
    """The entries as a table; damaged ones, which no worker writes, are left out."""
    try:
        yield entries.table(layout, group)
        return
    except DAMAGED:
        pass
    for entry in group:
        try:
            yield entries.table(layout, [entry])
        except DAMAGED as error:
            sys.stderr.write(f"{entry['prediction_id']} is damaged and left out: {error}\n")


def _entries(path: Path) -> Iterator[list[Entry]]:
    """The predictions of a log, some at once; lines that are none are left out, as the history leaves them out."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            lines = (chunk + file.readline()).split(b"\n")
            yield [entry for line in lines for entry in _predictions(line)]


def _predictions(line: bytes) -> list[Entry]:
    try:
        entry = orjson.loads(line)
        if not isinstance(entry, dict) or "shadow" in entry:
            return []
        block = prediction_block.of(entry)
        some = [entry] if block is None else list(prediction_block.expand(block))
        for one in some:
            one.setdefault("caller", "")
            one["prediction_id"], one["features"], one["confidence"]
        return some
    except (LookupError, TypeError, ValueError):
        return []


def _numbered(history: Path, some: Sequence[Entry]) -> list[Entry]:
    """The entries that the history has, with their numbers there."""
    seqs = predictions.numbers_of(history, [entry["prediction_id"] for entry in some])
    return [{**entry, "seq": seqs[entry["prediction_id"]]} for entry in some if entry["prediction_id"] in seqs]


def main(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer one order."""
    niceness.yield_cores(NICE)
    pa.set_cpu_count(1)
    order: Order = orjson.loads(source.read())
    target.write(orjson.dumps(Built(files=build(Home(Path(order["home"])), order["logs"]))))


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # a library's own output is not part of the answer
        main(sys.stdin.buffer, answers)
