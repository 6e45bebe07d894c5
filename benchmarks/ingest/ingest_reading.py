"""How fast the whole dataset is read for training, against one Parquet file of the same rows."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from benchmarks.figures import ratio, spread
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.storage.journal import Journal

TARGET = 1.5
"""What the project promises."""

COLUMNS = ["reading the dataset", "median, s", "least", "most", "ratio"]


def reading(home: Home, folder: Path, repeat: int) -> list[list[str]]:
    """Rows: reading all live segments as training does (verified, in pieces), against one Parquet file of the same rows."""
    with Journal.reading(home.journal) as journal:
        digests = {row["name"]: row["sha256"] for row in journal.segments.current()}
    rows = pa.concat_tables((table for _, table in segments.read(home.segments, digests)), promote_options="permissive")
    # Written as the daemon writes: with other settings, the file's encoding would be compared and not its number.
    path = folder / segment_writer.write(folder, [rows.unify_dictionaries()]).place().name
    count, columns = rows.num_rows, rows.column_names
    del rows
    ours, single = _alternately(
        [
            lambda: pa.concat_tables(segments.pieces(home.segments, digests, columns), promote_options="permissive"),
            lambda: pyarrow.parquet.read_table(path, read_dictionary=segments.REPEATED),
        ],
        repeat,
    )
    quotient = ratio(statistics.median(ours), statistics.median(single))
    return [
        [f"{count} rows in {len(digests)} segments, hashed and read", *spread(ours), quotient],
        [f"{count} rows in one Parquet file", *spread(single), f"target <= {TARGET}x"],
    ]


def _alternately(readers: list[Callable[[], pa.Table]], repeat: int) -> list[list[float]]:
    """Seconds of each reader, in turn, so that another load falls on both; the first turn is not counted."""
    seconds: list[list[float]] = [[] for _ in readers]
    for _ in range(repeat + 1):
        for taken, reader in zip(seconds, readers, strict=True):
            started = time.monotonic()
            reader()
            taken.append(time.monotonic() - started)
    return [taken[1:] for taken in seconds]
