"""Inputs: the rows of a request, as numbers for the model and as values for the log.

The fast path converts whole arrays with numpy. Other rows are encoded one by one by `retraind.daemon.schema.row_encoding`, which
gives the exact error message. So there is one definition of "valid", and a large request costs no Python call per
value.
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import countOf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.column import BOUND
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.web.http.payload import MOST_ROWS
from retraind.web.serving import call

Matrix = NDArray[np.float64]

MOST_ANSWERS = 1_000_000
"""Maximum number of probabilities in one answer: as named Python numbers, each briefly takes about 100 bytes."""

ROWS_AT_ONCE, ANSWERS_AT_ONCE = 100, 1_000
"""Rows and probabilities that are answered where requests are handed over: half a millisecond, in which other requests wait."""

NUMBERS = frozenset((int, float))
TRUTHS = {0: False, 1: True}
"""Booleans in an array of numbers."""


class Inputs:
    """The n rows of a request: as JSON values in the order of the columns, for the log, and as numbers for the model."""

    __slots__ = ("_matrix", "_values", "exact", "row")

    def __init__(
        self,
        values: Sequence[Sequence[Any]] | None,
        row: Sequence[float] | None = None,
        matrix: Matrix | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self._values, self._matrix = values, matrix
        self.row = row
        """The numbers of a single row, the most common request; None if there is a matrix."""
        self.exact = exact
        """Whether the matrix holds the original values, all of them doubles."""

    @property
    def values(self) -> Sequence[Sequence[Any]]:
        """The values of each row."""
        if self._values is None:
            self._values = self.matrix.tolist()
        return self._values

    @property
    def matrix(self) -> Matrix:
        """The rows as numbers, float64 (n, d)."""
        if self._matrix is None:
            self._matrix = np.array([self.row], dtype=np.float64)
        return self._matrix

    def part(self, here: slice) -> "Inputs":
        """Some of the rows."""
        return Inputs(self._values and self._values[here], None, self.matrix[here], exact=self.exact)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.matrix) if self._values is None else len(self._values)


def from_rows(schema: Schema, rows: Sequence[Any]) -> Inputs:
    """Rows of JSON: lists in the order of the columns, or objects by name; raises InvalidFeatures naming the first bad row."""
    if _is_plain_row(schema, rows):
        return Inputs(rows, rows[0])
    count(schema, rows)
    return from_plain_rows(schema, rows) or _exactly(schema, rows)


def from_plain_rows(schema: Schema, rows: Sequence[Any]) -> Inputs | None:
    """Rows of JSON that are lists of numbers, none of them missing; None if some are not. Their number is not checked."""
    if not _is_plain(schema, rows):
        return None
    values = list(chain.from_iterable(rows))
    exact = countOf(map(type, values), float) == len(values)
    numbers = _doubles(values, exact=exact)
    if numbers is None or not _bounded(numbers):
        return None
    # Freeing the values of 10,000 rows takes a millisecond: the array has those of `exact` rows, too.
    return Inputs(None if exact else rows, None, numbers.reshape(len(rows), -1), exact=exact)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Pieces of one request, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    exact = all(part.exact for part in parts)
    values = None if exact else list(chain.from_iterable(part.values for part in parts))
    return Inputs(values, None, np.vstack([part.matrix for part in parts]), exact=exact)


def from_columns(schema: Schema, columns: Mapping[str, Sequence[Any]]) -> Inputs:
    """Columns of JSON values by name, all of one length; missing columns are null; raises InvalidFeatures."""
    if not columns:
        raise InvalidFeatures(f"The model takes: {', '.join(schema.features)}; none of them was sent.")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise InvalidFeatures("All columns must have the same number of rows.")
    for name in columns:
        if name not in schema.known and name not in schema.ignored:
            raise InvalidFeatures(
                f"There is no column {name!r:.100}; the model takes: {', '.join(schema.features)}.", field=name
            )
    for column in schema.columns:
        if column.name not in columns and not column.missing:
            raise InvalidFeatures(f"The column {column.name!r} is missing.", field=column.name)
    nothing = [None] * lengths.pop()
    count(schema, nothing)
    return from_rows(
        schema, [list(row) for row in zip(*(columns.get(n, nothing) for n in schema.features), strict=True)]
    )


def from_matrix(schema: Schema, matrix: NDArray[Any]) -> Inputs:
    """A numeric array (n, d) in the order of the columns; NaN is a missing value, 0 and 1 are booleans, and the reverse.

    Raises InvalidFeatures.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(schema.columns):
        raise InvalidFeatures(f"The shape is {list(matrix.shape)}; the model takes [n, {len(schema.columns)}].")
    count(schema, matrix)
    if matrix.dtype == np.bool_:  # the log must hold values that a column of numbers accepts
        matrix = matrix.astype(np.uint8)
    if schema.numeric and _bounded(matrix):
        exact = matrix.dtype.kind == "f"
        numbers = matrix.astype(np.float64, copy=False)
        if len(matrix) > 1:
            return Inputs(None if exact else matrix.tolist(), None, numbers, exact=exact)
        values = matrix.tolist()
        return Inputs(values, values[0], numbers)
    rows: list[list[Any]] = matrix.tolist()
    truths = [TRUTHS if column.kind == "boolean" else {} for column in schema.columns]
    return from_rows(
        schema,
        [[None if v != v else t.get(v, v) for v, t in zip(row, truths, strict=True)] for row in rows],  # noqa: PLR0124 - NaN
    )


def most_rows(schema: Schema) -> int:
    """Maximum number of rows of one request; fewer if each answer has many probabilities."""
    return _most(schema, MOST_ROWS, MOST_ANSWERS)


def _most(schema: Schema, rows: int, answers: int) -> int:
    return max(1, min(rows, answers // max(1, len(schema.classes))))


def count(schema: Schema, rows: Sequence[Any] | NDArray[Any]) -> None:
    """Check the number of rows before anything else; raises InvalidFeatures.

    Raises Deferred if a small body has too many rows to answer at once: a row may be one byte.
    """
    if len(rows) == 0:
        raise InvalidFeatures("There are no rows.")
    if len(rows) > (most := most_rows(schema)):
        raise InvalidFeatures(f"There are {len(rows)} rows; one request may have at most {most}.")
    if len(rows) > _most(schema, ROWS_AT_ONCE, ANSWERS_AT_ONCE) and call.current().inline:
        raise call.Deferred


def _bounded(matrix: NDArray[Any]) -> bool:
    """Whether every value is a number that `Column.encode` accepts: NaN is in no range."""
    return bool(np.abs(matrix.astype(np.float64, copy=False)).max(initial=0.0) <= BOUND)


def _is_plain_row(schema: Schema, rows: Sequence[Any]) -> bool:
    """Whether there is one row, as in most requests, that `_is_plain` and `_bounded` would accept more slowly."""
    return (
        len(rows) == 1
        and schema.numeric
        and type(row := rows[0]) is list
        and len(row) == len(schema.columns)
        and NUMBERS.issuperset(map(type, row))
        and min(row) >= -BOUND
        and max(row) <= BOUND
        and (total := sum(row)) == total  # false for NaN, which min and max skip unless it comes first
    )


def _is_plain(schema: Schema, rows: Sequence[Any]) -> bool:
    """Whether every row is a list of as many values as there are columns, and every column takes any number."""
    return schema.numeric and set(map(type, rows)) == {list} and set(map(len, rows)) == {len(schema.columns)}


def _doubles(values: list[Any], *, exact: bool) -> Matrix | None:
    """The values as an array; None if one of them is not a number. If they are `exact`, all are doubles already."""
    if exact:  # a third of numpy's time
        numbers = np.empty(len(values))
        struct.pack_into(f"{len(values)}d", numbers.data, 0, *values)
        return numbers
    if not NUMBERS.issuperset(map(type, values)):
        return None
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return None


def _exactly(schema: Schema, rows: Sequence[Any]) -> Inputs:
    if len(rows) == 1:
        numbers = encode(schema, rows[0])
        return Inputs([_in_order(schema, rows[0])], numbers)
    matrix = np.empty((len(rows), schema.width))
    for number, row in enumerate(rows):
        try:
            matrix[number] = encode(schema, row)
        except InvalidFeatures as error:
            raise InvalidFeatures(f"Row {number + 1}: {error}", field=error.field) from None
    return Inputs([_in_order(schema, row) for row in rows], None, matrix)


def _in_order(schema: Schema, row: Any) -> list[Any]:
    """The values of an encoded row in the order of the columns."""
    return row if isinstance(row, list) else [row.get(name) for name in schema.features]
