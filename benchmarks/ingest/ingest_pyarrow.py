"""The limit for one large file: pyarrow alone reads the CSV and writes Parquet, without checks, hashes, journal or history."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet

from benchmarks import inputs
from benchmarks.figures import ratio

REPEAT = 3

SHARE = 0.5
"""What the project promises: so much of the speed of pyarrow alone."""


def megabytes_per_second(rows: int) -> float:
    """Median speed at which a file of `rows` rows becomes durable Parquet, with pyarrow's defaults and all its threads."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-") as name:
        folder = Path(name)
        size = inputs.large_file(folder / "plain.csv", rows, seed=0)
        seconds = [_converted(folder / "plain.csv", folder / f"plain-{number}.parquet") for number in range(REPEAT)]
    return size / 1e6 / statistics.median(seconds)


def _converted(source: Path, target: Path) -> float:
    started = time.monotonic()
    with pyarrow.csv.open_csv(source) as reader, pyarrow.parquet.ParquetWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    taken = time.monotonic() - started
    target.unlink()
    return taken


def rows(plain: float, ours: float) -> list[list[str]]:
    """Rows for the table of large files: the speed (MB/s) of pyarrow alone, and what share of it `ours` is."""
    return [
        ["pyarrow alone, 1 file", "", "", "", f"{plain:.1f}", "", "", "", ""],
        ["- 1 file to pyarrow alone", "", "", "", f"{ratio(ours, plain)} (target >= {SHARE})", "", "", "", ""],
    ]
