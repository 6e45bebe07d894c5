"""The columns of a Parquet file of old predictions: the facts of a log line, then features and probabilities, typed by a schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from retraind.daemon.schema.column import Kind
from retraind.daemon.schema.prediction_columns import PROBABILITY

FEATURE = "feature_"
"""The beginning of the name of each feature's column."""

LINE = "line_json"
"""Features and probabilities in JSON, of a prediction with a value that the typed columns can't hold exactly."""

TYPES: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "date": pa.timestamp("us"),
}

FACTS: dict[str, pa.DataType] = {
    "seq": pa.int64(),
    "prediction_id": pa.string(),
    "timestamp": pa.timestamp("ms", "UTC"),
    "model_version": pa.int64(),
    "latency_ms": pa.float64(),
    "caller": pa.string(),
    "prediction": pa.float64(),
    "prediction_name": pa.string(),
    "confidence": pa.float64(),
}

UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class Layout:
    """The typed columns of the predictions of versions with one schema; without a schema there are none."""

    features: tuple[tuple[str, Kind], ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """All columns."""
        features = [(FEATURE + name, TYPES[kind]) for name, kind in self.features]
        shares = [(PROBABILITY + name, pa.float64()) for name in self.classes]
        return pa.schema([*FACTS.items(), *features, *shares, (LINE, pa.string())])


def column(kind: Kind, values: Sequence[Any]) -> tuple[pa.Array, set[int]]:
    """JSON values as an array of the kind's type, with null for those that it can't hold; and their places."""
    try:
        return _array(kind, values), set()
    except UNFIT:
        unfit = {place for place, value in enumerate(values) if not _fits(kind, value)}
        rest = [None if place in unfit else value for place, value in enumerate(values)]
        return _array(kind, rest), unfit


def _fits(kind: Kind, value: Any) -> bool:
    try:
        _array(kind, [value])
    except UNFIT:
        return False
    return True


def _array(kind: Kind, values: Sequence[Any]) -> pa.Array:
    # Arrow takes true for 1.0.
    if kind == "number" and bool in set(map(type, values)):
        raise TypeError("a boolean is not a number")
    if kind == "date":
        values = [None if value is None else _moment(value) for value in values]
    return pa.array(values, TYPES[kind])


def _moment(text: str) -> datetime:
    """The time that a text in ISO 8601 means; raises ValueError or TypeError for others, and for those with a time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError("a time zone would be lost")
    return moment
