"""The values that each column had in the training rows, for a model card."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.export.table_columns import cell
from retraind.daemon.schema.column import UNKNOWN, Column
from retraind.daemon.schema.schema import Schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SHOWN = 20
"""Categories that are listed."""


def table(schema: Schema, sample: NDArray[np.float64]) -> Iterator[str]:
    """The lines of a Markdown table for an encoded sample (n, width) of the training rows."""
    yield "| column | kind | values seen | missing |"
    yield "|---|---|---|---:|"
    for place, column in enumerate(schema.columns):
        values = sample[:, place]
        gone = values == UNKNOWN if column.kind == "category" else np.isnan(values)
        yield f"| {cell(column.name)} | {column.kind} | {_seen(column, values[~gone])} | {_share(gone)} |"


def _share(gone: NDArray[np.bool_]) -> str:
    return f"{gone.mean():.1%}" if len(gone) else "–"


def _seen(column: Column, values: NDArray[np.float64]) -> str:
    if not len(values):
        return "none"
    if column.kind == "category":
        return _categories(column, values)
    if column.kind == "text":
        return f"texts of {values.min():.0f} to {values.max():.0f} words"
    if column.kind == "boolean":
        return f"{values.mean():.1%} true"
    if column.kind == "date":
        return " to ".join(
            (EPOCH + timedelta(days=float(end))).date().isoformat() for end in (values.min(), values.max())
        )
    return f"{values.min():g} to {values.max():g} (median {np.median(values):g})"


def _categories(column: Column, values: NDArray[np.float64]) -> str:
    counts = np.bincount(values.astype(np.int64), minlength=len(column.categories))
    order = np.argsort(-counts, kind="stable")
    names = [f"{cell(column.categories[code])} {counts[code] / len(values):.1%}" for code in order[:SHOWN].tolist()]
    more = len(column.categories) - SHOWN
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
