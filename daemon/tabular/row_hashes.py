"""Row hashes: fingerprints of 64 bits, the same for equal rows.

A fingerprint depends only on the values, not on the order of columns, their storage in a segment or empty columns. So
it stays the same when segments are merged and when the schema gains a column.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.column import Column
from retraind.daemon.schema.hash_mixing import Prints, splitmix
from retraind.daemon.tabular import column_types

TEXTS = frozenset({"category", "text"})
"""Kinds with text cells; a fingerprint treats all others as numbers."""


def by_cell(table: pa.Table, columns: Sequence[Column]) -> Prints:
    """Fingerprints of cells, uint64 (columns, n); 0 for an empty cell or a column that the table lacks."""
    prints = np.zeros((len(columns), table.num_rows), dtype=np.uint64)
    for place, column in enumerate(columns):
        if column.name in table.column_names:
            prints[place] = _of_column(column_types.as_kind(table[column.name], column), column)
    return prints


def of(cells: Prints) -> Prints:
    """Fingerprints of rows, uint64 (n,), from those of their cells (columns, n)."""
    with np.errstate(over="ignore"):
        return splitmix(cells.sum(axis=0, dtype=np.uint64))


def of_rows(table: pa.Table, columns: Sequence[Column]) -> Prints:
    """Fingerprints of a table's rows, uint64 (n,), without keeping those of its cells."""
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for column in columns:
        if column.name in table.column_names:
            total += _of_column(column_types.as_kind(table[column.name], column), column)
    return splitmix(total)


def places(table: pa.Table) -> Prints:
    """Fingerprints of drop and row number, uint64 (n,), which no two rows share."""
    names, codes = drops(table)
    seeds = np.array([int(name[:16], 16) for name in names], dtype=np.uint64)
    if not table.num_rows:
        return np.zeros(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        return splitmix(seeds[codes] + table["_row"].to_numpy().astype(np.uint64))


def drops(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """The drops (sha256) of a table, and for each row (n,) the index of its drop."""
    column = table["_drop"].unify_dictionaries().combine_chunks()
    column = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)


def drop_with(table: pa.Table, column: str, text: str) -> str:
    """The drop (sha256) of the first row that has this text in a column; the table has such a row."""
    first = pc.index(table[column], pa.scalar(text, pa.string())).as_py()
    return str(table["_drop"][first].as_py())


def of_text(text: str) -> int:
    """The fingerprint of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _of_column(cells: pa.ChunkedArray, column: Column) -> Prints:
    prints = _texts(cells) if column.kind in TEXTS else _numbers(cells, column)
    with np.errstate(over="ignore"):
        prints = prints + np.uint64(of_text(column.name))
        # Two rounds per cell are enough, because the sum of the cells is mixed once more. They run in place.
        prints *= np.uint64(0x9E3779B97F4A7C15)
        prints ^= prints >> np.uint64(32)
        prints *= np.uint64(0xD6E8FEB86659FD93)
    if cells.null_count:
        prints[cells.is_null().to_numpy()] = 0
    return prints


def _texts(cells: pa.ChunkedArray) -> Prints:
    # Each text is hashed once, because a few texts repeat.
    encoded = cells.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    hashes = np.array([of_text(text or "") for text in encoded.dictionary.to_pylist()] or [0], dtype=np.uint64)
    prints: Prints = hashes[pc.fill_null(encoded.indices, 0).to_numpy()]
    return prints


def _numbers(cells: pa.ChunkedArray, column: Column) -> Prints:
    numbers = pc.cast(pc.cast(cells, pa.int64()) if column.kind == "date" else cells, pa.float64(), safe=False)
    values = (pc.fill_null(numbers, 0.0) if numbers.null_count else numbers).to_numpy() + 0.0  # minus zero is zero
    return np.ascontiguousarray(values).view(np.uint64)
