"""Some rows of a drop: a process that reads the segments that hold them, and ends.

It reads an order from its standard input and writes a `RowsRead` to its standard output. Its memory is limited, as that
of `drop_profile`.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retraind.web.columnar import one_order
from retraind.web.columnar.row_orders import RowsOrder, RowsRead

"""Memory that reading may take, besides the libraries."""

LONGEST = 2_000
"""Maximum number of characters of a cell; longer texts are cut."""

MOST_CELLS = 200_000


def read(order: RowsOrder) -> RowsRead:
    """The rows that are asked for, at most MOST_CELLS cells of them; raises errors of pyarrow and OSError."""
    columns, skip = order["columns"], order["offset"]
    left = min(order["limit"], max(1, MOST_CELLS // max(1, len(columns))))
    rows: list[list[Any]] = []
    for path in order["paths"]:
        file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        for number in range(file.num_row_groups):
            drops = file.read_row_group(number, columns=["_drop"], use_threads=False)["_drop"]
            mask = pc.equal(drops.cast(pa.string()), order["drop"])
            matching = pc.sum(mask).as_py() or 0
            if matching > skip and left > len(rows):
                rows += _cells(file, number, mask, columns, slice(skip, skip + left - len(rows)))
            skip = max(0, skip - matching)
    return {"columns": columns, "rows": rows}


def _cells(
    file: pq.ParquetFile, number: int, mask: pa.ChunkedArray, columns: Sequence[str], which: slice
) -> list[list[Any]]:
    """Rows of one row group; older segments may lack a column."""
    present = [name for name in columns if name in file.schema_arrow.names]
    piece = file.read_row_group(number, columns=present, use_threads=False).filter(mask)
    piece = piece.slice(which.start, which.stop - which.start)
    return [[_cell(row.get(name)) for name in columns] for row in piece.to_pylist()]


def _cell(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one as well
        return value.isoformat().replace("+00:00", "Z")
    return f"{value[:LONGEST]}…" if isinstance(value, str) and len(value) > LONGEST else value


if __name__ == "__main__":
    one_order.answer(read)
