"""Unlabelled rows: text cells to the rows that a model answers, checked like those of drops, but without a target.

Pure. A category that the schema does not list is no error: the model takes it as unknown, as in requests over HTTP.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.validation import header_faults
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import schema_growth
from retraind.daemon.tabular.checks.cells import BadCell, BadCells, coerced


@dataclass(frozen=True)
class CheckedFeatures:
    """The result of `check`.

    `table`: the good rows, features in schema order; types as in `column_types.TYPES`.
    `good`: their indices, int64 (n,); `bad`: one for each other row; both ascending.
    """

    table: pa.Table
    good: NDArray[np.int64]
    bad: list[BadCell]


def require_columns(names: Sequence[str], schema: Schema, line: int | None = None, *, partial: bool = False) -> None:
    """Raise InvalidDrop if a file with these columns lacks one of the model; `line` is that of its header.

    Also one whose values may be missing: a column of another name would silently count as empty. With `partial`, as
    for drops with inbox.extra_columns = "add", such a column may be missing.
    """
    absent = [one.name for one in schema.columns if one.name not in names and not (partial and one.missing)]
    if absent:
        known = {*schema.features, schema.target, *schema.ignored}
        raise InvalidDrop(header_faults.missing(absent, names, known), line=line, column=absent[0])
    if not schema.known.intersection(names):
        raise InvalidDrop(f"The model takes: {', '.join(schema.features)[:1000]}; none of them is there.", line=line)


def check(cells: pa.Table, schema: Schema) -> CheckedFeatures:
    """Convert text cells to typed rows. Columns that the schema does not list are left out, missing ones are empty."""
    verdicts = BadCells(cells.num_rows)
    there: Collection[str] = frozenset(cells.column_names)
    values = {
        column.name: coerced(schema_growth.texts(cells, column.name), column, schema, verdicts).values
        for column in schema.columns
        if column.name in there
    }
    good = verdicts.good()
    table = pa.table(values)
    return CheckedFeatures(table if len(good) == len(table) else table.take(good), good, verdicts.bad())
