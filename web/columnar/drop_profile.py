"""The profile of a drop's rows: a process that reads the segments that hold them, and ends.

It reads an order from its standard input and writes a `DropProfile` to its standard output. Its memory is limited, so a
worker that shows the page of a large drop does not grow.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retraind.web.columnar import one_order
from retraind.web.columnar.profiles import (
    MOST_COUNTS,
    QUANTILES,
    ColumnProfile,
    DropProfile,
    ProfileOrder,
)

"""Memory that reading may take, besides the libraries."""

MOST_ROWS = 200_000
"""Maximum number of rows that are looked at: more would not change a picture."""

DAY_MS = 86_400_000.0


def profile(order: ProfileOrder) -> DropProfile:
    """The profile of the rows of one drop in some segments; raises errors of pyarrow and OSError."""
    pieces = list(_pieces(order))
    if not pieces:
        return {"rows": 0, "columns": {}}
    # Older segments may lack a column, or have integers where newer ones have doubles.
    table = pa.concat_tables(pieces, promote_options="permissive")
    columns = {name: _column(table[name], kind) for name, kind in order["kinds"].items() if name in table.column_names}
    return {"rows": table.num_rows, "columns": columns}


def _pieces(order: ProfileOrder) -> Iterator[pa.Table]:
    """The rows of the drop, by row groups, until there are MOST_ROWS."""
    left = MOST_ROWS
    for path in order["paths"]:
        file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        present = [name for name in [*order["kinds"], "_drop"] if name in file.schema_arrow.names]
        for number in range(file.num_row_groups):
            drops = file.read_row_group(number, columns=["_drop"], use_threads=False)["_drop"]
            mask = pc.equal(drops.cast(pa.string()), order["drop"])
            if left <= 0 or not pc.any(mask).as_py():
                continue
            piece = file.read_row_group(number, columns=present, use_threads=False).filter(mask).slice(0, left)
            left -= piece.num_rows
            yield piece


def _column(column: pa.ChunkedArray, kind: str) -> ColumnProfile:
    values = column.drop_null()
    missing = len(column) - len(values)
    if kind in ("number", "integer", "date"):
        numbers = _numbers(values)
        numbers = numbers[np.isfinite(numbers)]
        quantiles = np.quantile(numbers, QUANTILES).tolist() if len(numbers) else []
        return {"n": len(column), "missing": missing + len(values) - len(numbers), "quantiles": quantiles}
    if kind == "text":
        words = pc.count_substring_regex(values.cast(pa.string()), r"\S+")
        numbers = words.to_numpy().astype(np.float64)
        quantiles = np.quantile(numbers, QUANTILES).tolist() if len(numbers) else []
        return {"n": len(column), "missing": missing, "quantiles": quantiles}
    counts = sorted(
        ((each["values"], each["counts"]) for each in values.cast(pa.string()).value_counts().to_pylist()),
        key=lambda pair: -pair[1],
    )
    return {"n": len(column), "missing": missing, "counts": counts[:MOST_COUNTS], "distinct": len(counts)}


def _numbers(values: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Numbers; dates as days since 1970, as in a model's input."""
    kind = values.type
    if pa.types.is_date(kind):
        return np.asarray(values.cast(pa.date32()).cast(pa.int32()).to_numpy(), dtype=np.float64)
    if pa.types.is_timestamp(kind):
        return np.asarray(values.cast(pa.timestamp("ms", kind.tz)).cast(pa.int64()).to_numpy(), np.float64) / DAY_MS
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)


if __name__ == "__main__":
    one_order.answer(profile)
