"""Finds old predictions by their ids: the index tells the files, a file's metadata the row groups."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile, place_of
from retraind.daemon.history.entries import Entry, plain
from retraind.daemon.history.files import FileGone, HistoryPlace
from retraind.daemon.history.lost_files import LostFiles
from retraind.daemon.history.writing import RANGES
from retraind.daemon.records.search import history_files

THREADS = 16
"""Files of the object store that are read at once; each read mostly waits."""


def by_ids(home: Home, place: HistoryPlace, ids: Sequence[str], lost_files: LostFiles) -> dict[str, Entry]:
    """Those of the predictions that are in files, by id, without those of lost files; raises Unavailable, sqlite3.Error."""
    holders = history_files.holding(home.journal, ids)
    if not holders:
        return {}
    find = partial(_found, place, lost_files)
    if not place.remote or len(holders) == 1:
        return dict(pair for holder in holders for pair in find(holder))
    with ThreadPoolExecutor(min(THREADS, len(holders)), "old-predictions") as pool:
        return dict(pair for pairs in pool.map(find, holders) for pair in pairs)


def _found(
    place: HistoryPlace, lost_files: LostFiles, holder: tuple[HistoryFile, list[str]]
) -> list[tuple[str, Entry]]:
    file, ids = holder
    try:
        with place.opened(file) as parquet:
            return [(entry["prediction_id"], entry) for rows in rows_with(parquet, ids) for entry in plain(rows)]
    except (FileGone, pa.ArrowException, OSError) as error:
        if _is_lost(lost_files, file):  # its predictions are lost, the others are not
            return []
        raise Unavailable(f"{file['object']} can't be read: {error}.", hint="It is tried again.") from None


def _is_lost(lost_files: LostFiles, file: HistoryFile) -> bool:
    try:
        return lost_files.examine(file)
    except OSError:  # as unreadable as before: that may pass
        return False


def rows_with(parquet: pq.ParquetFile, ids: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of a file with these ids, by row group."""
    others = [name for name in parquet.schema_arrow.names if name != "prediction_id"]
    for number, some in groups_of(parquet, ids):
        column = parquet.read_row_group(number, columns=["prediction_id"], use_threads=False)["prediction_id"]
        places = np.flatnonzero(pc.is_in(column, pa.array(some)).to_numpy())
        if len(places):
            rest = parquet.read_row_group(number, columns=others, use_threads=False).take(places)
            yield rest.add_column(0, "prediction_id", column.take(places))


def groups_of(parquet: pq.ParquetFile, ids: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The row groups that may hold some of the ids, each with those."""
    places = [(prediction, *place_of(prediction)) for prediction in ids]
    for number, ranges in enumerate(orjson.loads(parquet.metadata.metadata[RANGES])):
        of_writer = {identity: (first, last) for identity, first, last in ranges}
        some = [
            prediction
            for prediction, identity, serial, _ in places
            if identity in of_writer and of_writer[identity][0] <= serial <= of_writer[identity][1]
        ]
        if some:
            yield number, some
