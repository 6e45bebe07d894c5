"""Writes tables of old predictions as Parquet files, one for each day, under hidden names.

Rows are sorted by their writers and serials. So each row group has few ranges of them, which the file's metadata tells: a
reader finds a prediction by one row group. DuckDB and others find it by the statistics of `prediction_id`.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retraind.daemon.core import durable
from retraind.daemon.core.journal.history_files import HIDDEN, HistoryFile, name_of
from retraind.daemon.history.entries import KEYS

GROUP_ROWS = 16_384
"""Rows that are decompressed for one prediction; with a quarter of them a row takes 8 % more."""

RANGES = b"retraind.ranges"
"""The metadata with a list for each row group: identity, first and last serial of each writer."""

ZSTD_LEVEL = 3

DELTAS = {"seq": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED", "prediction_id": "DELTA_BYTE_ARRAY"}

REPEATED = 8
"""Numbers that each come so many times on average are cheaper in a dictionary than as bytes of doubles."""

Range = tuple[str, int, int]


def write(table: pa.Table, folder: Path) -> Iterator[HistoryFile]:
    """Write one file for each day in the table, as `folder/.new-SHA256`, durable; yields their entries. Raises OSError."""
    order = [("_day", "ascending"), ("_identity", "ascending"), ("_serial", "ascending"), ("_number", "ascending")]
    ordered = table.sort_by(order).combine_chunks()
    days = ordered["_day"].to_numpy(zero_copy_only=False)
    starts = [0, *(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(days)]
    for start, end in pairwise(starts):
        yield write_day(ordered.slice(start, end - start), str(days[start]), folder)


def write_day(rows: pa.Table, day: str, folder: Path) -> HistoryFile:
    """Write the sorted rows of one day, with KEYS, as one file; returns its entry. Raises OSError."""
    temporary = folder / f"{HIDDEN}{secrets.token_hex(6)}"
    ranges = [_ranges(rows.slice(at, GROUP_ROWS)) for at in range(0, len(rows), GROUP_ROWS)]
    kept = rows.drop_columns(list(KEYS)).replace_schema_metadata({RANGES: orjson.dumps(ranges)})
    with temporary.open("xb") as file:
        pq.write_table(kept, file, row_group_size=GROUP_ROWS, compression="zstd", **_encodings(kept))
        file.flush()
        durable.fsync_file(temporary)
    sha256 = durable.sha256_file(temporary)
    temporary.rename(folder / f"{HIDDEN}{sha256}")
    durable.fsync_dir(folder)
    return _entry(kept, ranges, day, folder / f"{HIDDEN}{sha256}", sha256)


def _encodings(table: pa.Table) -> dict[str, Any]:
    encodings = dict(DELTAS)
    for field in table.schema:
        if field.type == pa.float64() and pc.count_distinct(table[field.name]).as_py() * REPEATED > len(table):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
    dictionary = [name for name in table.column_names if name not in encodings]
    return {"column_encoding": encodings, "use_dictionary": dictionary, "compression_level": ZSTD_LEVEL}


def _ranges(rows: pa.Table) -> list[Range]:
    grouped = rows.group_by("_identity").aggregate([("_serial", "min"), ("_serial", "max")])
    columns = (grouped[name].to_pylist() for name in ("_identity", "_serial_min", "_serial_max"))
    return sorted(zip(*columns, strict=True))


def joined(ranges: Sequence[Sequence[Range]]) -> list[Range]:
    """The ranges of all row groups together."""
    whole: dict[str, tuple[int, int]] = {}
    for identity, first, last in (one for group in ranges for one in group):
        low, high = whole.get(identity, (first, last))
        whole[identity] = min(low, first), max(high, last)
    return [(identity, first, last) for identity, (first, last) in sorted(whole.items())]


def _entry(table: pa.Table, ranges: Sequence[Sequence[Range]], day: str, path: Path, sha256: str) -> HistoryFile:
    seqs, times = pc.min_max(table["seq"]).as_py(), pc.min_max(table["timestamp"]).as_py()
    first_at, last_at = (times[end].isoformat(timespec="milliseconds").replace("+00:00", "Z") for end in ("min", "max"))
    with path.open("rb") as file:
        file.seek(-8, 2)
        tail = int.from_bytes(file.read(4), "little") + 8
    return {
        "object": name_of(day, sha256),
        "sha256": sha256,
        "day": day,
        "bytes": path.stat().st_size,
        "rows": len(table),
        "first_at": first_at,
        "last_at": last_at,
        "first_seq": seqs["min"],
        "last_seq": seqs["max"],
        "tail": tail,
        # With spaces behind commas, as `json` writes it: the index is searched for the text `["identity", `.
        "writers": json.dumps(joined(ranges)),
    }
