"""The times of rows, read from the column `train.time`, whatever its kind in the schema.

Numbers are used unchanged (a year, seconds since 1970), dates and times as milliseconds since 1970, in UTC unless they
name a zone. Texts are read alike in all segments, so a row's time depends only on the dataset.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.schema.cell_notation import MARKERS, Notation, Order
from retraind.daemon.schema.column import Column, Kind
from retraind.daemon.tabular import column_formats, column_types

Moments = NDArray[np.float64]

TYPED = ("date", "number", "integer")
"""Kinds with stored values that are times."""


def of(pieces: Sequence[pa.ChunkedArray], column: Column) -> Moments:
    """The times of rows (n,), NaN for a missing time.

    `column` is the schema's, or a category if the schema does not list it. Raises TrainingFailed if all dates fit both
    orders, day first and month first.
    """
    if column.kind in TYPED:
        return np.concatenate([_numbers(column_types.as_kind(piece, column)) for piece in pieces])
    # Each text is read once. All segments are read as texts, because the schema may not always have listed the column.
    texts = pa.concat_arrays([chunk.cast(pa.string()) for piece in pieces for chunk in piece.chunks])
    encoded = texts.dictionary_encode()
    times = np.append(_parsed(encoded.dictionary, column.name), np.nan)
    moments: Moments = times[encoded.indices.fill_null(len(times) - 1).to_numpy()]
    return moments


def _numbers(cells: pa.ChunkedArray) -> Moments:
    plain = cells.cast(pa.int64()) if pa.types.is_timestamp(cells.type) else cells
    return np.asarray(plain.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _parsed(texts: pa.Array, name: str) -> Moments:
    """Numbers if nearly all texts are numbers, otherwise dates in ISO 8601 and one other order."""
    numbers, rest = _read(texts, "number")
    slips = column_formats.MOST_SLIPS * len(texts)
    if len(rest) <= slips:
        return numbers
    moments, rest = _read(texts, "date")
    orders = column_formats.dates(rest)
    if len(orders) > 1 and len(rest) <= slips:
        return moments  # one odd date must not stop the training: its rows have no time
    if len(orders) > 1:
        raise TrainingFailed(
            f"train.time = {name!r}: in {rest[0]!r} the day or the month may come first, and no date decides it.",
            hint="Write dates as 2026-01-31.",
        )
    return _read(texts, "date", orders[0])[0] if orders else moments


def _read(texts: pa.Array, kind: Kind, order: Order | None = None) -> tuple[Moments, list[str]]:
    """The texts as values of this kind, and the texts that are neither of this kind nor missing."""
    notation = None if order is None else Notation(order=order)
    column = Column(name="time", kind=kind, missing=True, notation=notation)
    coerced = column_types.coerce(texts, column, markers=sorted(MARKERS))
    return _numbers(pa.chunked_array([coerced.values])), texts.take(pa.array(coerced.bad)).to_pylist()
