"""Values of a model's input as people write them."""

import math
from datetime import UTC, datetime, timedelta

from retraind.daemon.schema.column import Column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(column: Column, value: float) -> str:
    """A value in the model's encoding: a category by its name, a date as `2026-03-01`, a text by its number of words."""
    if math.isnan(value):
        return "missing"
    if column.kind == "category" and column.categories:
        known = 0 <= value < len(column.categories)
        return column.categories[int(value)] if known else "missing or unknown"
    if column.kind == "boolean":
        return "true" if value else "false"
    if column.kind == "date":
        return f"{EPOCH + timedelta(days=value):%Y-%m-%d}"
    return f"{value:.4g} words" if column.kind == "text" else f"{value:.7g}"
