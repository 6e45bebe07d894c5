"""Rows as a request has them, made from the encoded sample of a version: the example of an export, and the rows that check it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.column import UNKNOWN, Column
from retraind.daemon.schema.schema import Schema

Row = list[Any]
"""JSON values in the order of the columns."""

MOST = 2000
"""Rows of the sample that check an export."""

GAPS = 2
"""Rows from which each value that may be missing or unlisted is taken away, one column at a time."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TEXTS = ("A short text", "Another text, with 2 numbers: 3 and 14!", "Ünïcode – 東京の本", "one", "  ", "word " * 300)
"""Stand in for texts, of which a sample has only the words' numbers."""


def of(schema: Schema, sample: NDArray[np.float64], most: int = MOST) -> list[Row]:
    """Up to `most` rows of an encoded sample, evenly spread, and copies of the first ones with gaps."""
    step = max(1, -(-len(sample) // most))
    rows = [_decoded(schema, values, number) for number, values in enumerate(sample[::step].tolist())]
    return [*rows, *_with_gaps(schema, rows[:GAPS])]


def _with_gaps(schema: Schema, rows: list[Row]) -> Iterator[Row]:
    for place, column in enumerate(schema.columns):
        values = [None] * column.missing + [unlisted(column)] * (column.kind == "category")
        yield from ([*row[:place], value, *row[place + 1 :]] for row in rows for value in values)


def unlisted(column: Column) -> str:
    """A name that is not among the categories of a column."""
    name = "something new"
    while name in column.codes:
        name += "!"
    return name


def _decoded(schema: Schema, values: list[float], number: int) -> Row:
    cells = values[: len(schema.columns)]
    return [_cell(column, value, number) for column, value in zip(schema.columns, cells, strict=True)]


def _cell(column: Column, value: float, number: int) -> Any:
    if column.kind == "category":
        if value != UNKNOWN:
            return column.categories[int(value)]
        return None if column.missing else unlisted(column)
    if np.isnan(value):
        return None
    if column.kind == "text":
        text = TEXTS[number % len(TEXTS)]
        return text if text.strip() or column.missing else TEXTS[0]
    if column.kind == "date":
        return (EPOCH + timedelta(days=value)).isoformat()
    return {"boolean": bool, "integer": int}.get(column.kind, float)(value)
