"""Files to drop: many small ones like Iris, large ones of random numbers; and whether a dataset holds exactly their rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from sklearn.datasets import load_iris

from benchmarks.rows import header
from retraind.daemon.core.home import Home
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.service.bootstrap import FEATURES, TARGET

WIDE = tuple(f"x{number:02}" for number in range(19))
WIDE_TARGET = "y"
LABELS = ("c0", "c1", "c2")
WIDE_SCHEMA = Schema(
    target=WIDE_TARGET, classes=list(LABELS), columns=[Column(name=name, kind="number") for name in WIDE]
)

_CHUNK = 100_000
"""Rows of a large file that are made at once: the benchmark itself shall not need the memory it measures."""

_iris = load_iris()

Rows = Counter[tuple[float | str, ...]]


def small_files(folder: Path, count: int, rows: int, seed: int) -> int:
    """Write `count` files of `rows` flowers each, no row twice in the folder; returns their bytes."""
    folder.mkdir()
    source = np.random.default_rng(seed)
    flowers, written = source.integers(0, 150, count * rows), 0
    for number in range(count):
        span = range(number * rows, (number + 1) * rows)
        text = header() + "".join(_line(flowers[index], index) for index in span)
        written += (folder / f"drop-{seed}-{number:05}.csv").write_bytes(text.encode())
    return written


def _line(flower: int, index: int) -> str:
    """A flower whose sepal is longer by up to a thousandth of a centimetre per row, which makes it unique."""
    length, *others = _iris.data[flower]
    return (
        ",".join(
            (
                f"{length + index * 1e-7:.7f}",
                *(f"{value:.1f}" for value in others),
                str(_iris.target_names[_iris.target[flower]]),
            )
        )
        + "\n"
    )


def large_file(path: Path, rows: int, seed: int) -> int:
    """Write a file of 19 numbers of about 7 characters and a target, about 155 bytes a row; returns its bytes."""
    source = np.random.default_rng(seed)
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write((",".join((*WIDE, WIDE_TARGET)) + "\n").encode())
        for start in range(0, rows, _CHUNK):
            pyarrow.csv.write_csv(_wide(source, min(_CHUNK, rows - start)), file, options)
    return path.stat().st_size


def wide_files(folder: Path, count: int, rows: int, seed: int) -> int:
    """Write `count` such files; returns their bytes."""
    folder.mkdir()
    header = ",".join((*WIDE, WIDE_TARGET)) + "\n"
    table = _wide(np.random.default_rng(seed), count * rows)
    options, written = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none"), 0
    for number in range(count):
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table.slice(number * rows, rows), sink, options)
        written += (folder / f"{seed}-{number:05}.csv").write_bytes(header.encode() + sink.getvalue().to_pybytes())
    return written


def _wide(source: np.random.Generator, rows: int) -> pa.Table:
    columns = {name: source.integers(100_000, 1_000_000, rows) / 1000 for name in WIDE}
    labels = np.array(LABELS)[source.integers(0, len(LABELS), rows)]
    return pa.table(columns | {WIDE_TARGET: labels})


# Comparison


def committed(home: Home) -> pa.Table:
    """All rows of the newest revision, read from DVC's own objects: what a clone of the data gives."""
    return pa.concat_tables(pyarrow.parquet.read_table(path) for path in objects(home))


def objects(home: Home) -> list[Path]:
    """DVC's objects of the newest revision's segments, as its pointer names them."""
    text = (home.data / "dataset.dvc").read_text()
    folder = text.partition("md5: ")[2].split()[0]
    return [_object(home, entry["md5"]) for entry in orjson.loads(_object(home, folder).read_bytes())]


def _object(home: Home, md5: str) -> Path:
    return home.data / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def multiset(table: pa.Table) -> Rows:
    """The flowers of a dataset, each with the number of times it is there."""
    kinds = [pa.float64()] * len(FEATURES) + [pa.string()]
    columns = [table[name].cast(kind).to_pylist() for name, kind in zip((*FEATURES, TARGET), kinds, strict=True)]
    return Counter(zip(*columns, strict=True))


def dropped(folder: Path) -> Rows:
    """The flowers of small files, read by Python itself and not by what is measured."""
    rows: Rows = Counter()
    for path in folder.iterdir():
        for line in path.read_text().splitlines()[1:]:
            *numbers, label = line.split(",")
            rows[(*map(float, numbers), label)] += 1
    return rows


def differing(one: Rows, other: Rows) -> int:
    """Rows by which two multisets differ: 0 means that each row is there exactly as often as it was dropped."""
    return ((one - other) + (other - one)).total()
