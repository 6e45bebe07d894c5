"""Checks of cells: converts the text cells of one column, and collects the first bad cell of each row.

For rows with a label (`rows`) and rows without one (`unlabelled_rows`), which are checked alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.schema.column import BOUND, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import column_types


@dataclass(frozen=True)
class BadCell:
    """The first bad cell of a row; `row` is the row's index in the table that was checked."""

    row: int
    column: str
    reason: str


@dataclass
class BadCells:
    """Collects the first bad cell of each of `count` rows while columns are checked one after the other."""

    count: int
    cells: dict[int, BadCell] = field(default_factory=dict)

    def add(self, column: str, bad: NDArray[np.int64], reasons: Iterable[str]) -> None:
        """Note bad cells of a column: the rows, ascending, and a reason for each."""
        for row, reason in zip(bad.tolist(), reasons, strict=True):
            if row not in self.cells:
                self.cells[row] = BadCell(row, column, reason)

    def good(self) -> NDArray[np.int64]:
        """The rows without a bad cell, ascending."""
        mask = np.ones(self.count, dtype=bool)
        mask[list(self.cells)] = False
        return np.flatnonzero(mask)

    def bad(self) -> list[BadCell]:
        """The first bad cell of each bad row, ascending."""
        return [self.cells[row] for row in sorted(self.cells)]


def coerced(cells: pa.Array, column: Column, schema: Schema, verdicts: BadCells) -> column_types.Coerced:
    """Values of the column's kind; numbers above the limit of requests are bad, because a single one spoils every sum."""
    coerced = column_types.coerce(cells, column, schema.decimal, schema.markers[column.name])
    verdicts.add(column.name, coerced.bad, coerced.reasons)
    if column.kind == "number":
        huge = np.flatnonzero(np.abs(coerced.values.to_numpy(zero_copy_only=False)) > BOUND)
        shown = (column_types.shown(cells[row].as_py().strip()) for row in huge.tolist())
        verdicts.add(
            column.name, huge, (f"{cell} is too large: numbers lie between -1e100 and 1e100." for cell in shown)
        )
    return coerced
