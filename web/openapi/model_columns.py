"""Columns of a model as JSON Schemas of values, rows and targets, with examples that can be sent as they are.

A schema allows exactly what `retraind.daemon.schema.row_encoding` accepts; a test generates values and compares.
"""

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from retraind.daemon.schema.column import BOUND, DAY, EXACT, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import MOST_TEXT
from retraind.web.openapi.schemas import Json

MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(\.\d+)?(Z|[+-]\d{2}:\d{2})$"
"""RFC 3339 without leap seconds and small letters, which Python's datetime does not read."""

WHOLE = re.compile(r"0|-?[1-9]\d{0,15}", re.ASCII)

DATE: Json = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time", "pattern": MOMENT}]}

ANY_ROW: Json = {"anyOf": [{"type": "array"}, {"type": "object"}]}
"""A row while the columns are unknown."""

KINDS: dict[str, Json] = {
    "number": {"type": "number", "minimum": -BOUND, "maximum": BOUND},
    "integer": {"type": "integer", "minimum": -EXACT, "maximum": EXACT},
    "boolean": {"type": "boolean"},
    "category": {"type": "string"},
    "text": {"type": "string", "maxLength": MOST_TEXT},
    "date": DATE,
}


def value(column: Column) -> Json:
    """The JSON Schema of one value."""
    kind = dict(KINDS[column.kind])
    if column.kind == "text" and not column.missing:
        kind["pattern"] = r"\S"
    if column.missing:
        kind = {"anyOf": [kind, {"type": "null"}]}
    return {**kind, "title": column.name, "examples": _examples(column)}


def row(schema: Schema) -> Json:
    """The JSON Schema of one row: a list in the order of the columns, or an object by name."""
    return {
        "description": "One row, in the order of the columns or by name.",
        "anyOf": [_listed(schema), _named(schema)],
    }


def target(schema: Schema) -> Json:
    """The JSON Schema of a true value: a class by name or by code, or a number."""
    if schema.task == "regression":
        return {**KINDS["number"], "title": schema.target}
    # A class whose name is a whole number may be sent as that number. If no class has such a name, codes are accepted too.
    numbers = [int(name) for name in schema.classes if WHOLE.fullmatch(name)]
    codes = range(len(schema.classes)) if schema.labels.have_codes else ()
    return {"enum": [*schema.classes, *numbers, *codes], "title": schema.target}


def sample(schema: Schema) -> list[Any]:
    """A row from the middle of the observed ranges, in the order of the columns."""
    return [_examples(column)[0] for column in schema.columns]


def named_sample(schema: Schema) -> Json:
    """The same row by name."""
    return dict(zip(schema.features, sample(schema), strict=True))


def comma_separated(*lines: Iterable[Any]) -> str:
    """Rows of values as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def target_sample(schema: Schema) -> str | float:
    """A valid target."""
    return schema.classes[0] if schema.classes else 1.5


def _listed(schema: Schema) -> Json:
    items = [value(column) for column in schema.columns]
    common: Json = {"type": "array", "minItems": len(items), "maxItems": len(items), "title": "by position"}
    if all(column.kind == schema.columns[0].kind and not column.missing for column in schema.columns):
        # A form that code generators and older tools understand as well.
        return {**common, "items": KINDS[schema.columns[0].kind], "examples": [sample(schema)]}
    return {**common, "prefixItems": items, "examples": [sample(schema)]}


def _named(schema: Schema) -> Json:
    needed = [column.name for column in schema.columns if not column.missing]
    return {
        "type": "object",
        "title": "by name",
        "properties": {column.name: value(column) for column in schema.columns},
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
        "examples": [named_sample(schema)],
    }


def _examples(column: Column) -> list[Any]:
    """Valid values of a column, the most typical one first."""
    low, high = column.minimum, column.maximum
    middle = 0.0 if low is None or high is None else (low + high) / 2
    if column.kind == "category":
        return column.categories[:20] or ["text"]
    if column.kind == "text":
        return ["a few words"]
    if column.kind == "boolean":
        return [True]
    if column.kind == "integer":
        return [round(middle)]
    if column.kind == "date":
        return [_date(middle)]
    return [float(f"{middle:.3g}")]


def _date(days: float) -> str:
    return datetime.fromtimestamp(days * DAY, UTC).date().isoformat()
