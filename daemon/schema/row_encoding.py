"""Encodes one row of JSON features as the model's numbers.

Shared with `web`: every prediction with other values than numbers uses it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import NOTHING, encoded


def encode(schema: Schema, features: Any) -> list[float]:
    """One row of JSON features, as a list in column order or an object by name; raises InvalidFeatures."""
    try:
        return _row(schema, features)
    except InvalidFeatures:
        # Only here, because a row of numbers has no text that could be a marker.
        if (unmarked := _without_markers(schema, features)) == features:
            raise
        return _row(schema, unmarked)


def _row(schema: Schema, features: Any) -> list[float]:
    if isinstance(features, Mapping):
        values: Sequence[Any] = _in_order(schema, features)
    elif not isinstance(features, Sequence) or isinstance(features, str | bytes):
        raise InvalidFeatures("'features' must be a list of values or an object of column: value.")
    elif len(features) != len(schema.columns):
        raise _other_length(schema, features)
    else:
        values = features
    if schema.texts:
        return _with_words(schema, values)
    return [column.encode(value) for column, value in zip(schema.columns, values, strict=True)]


def _in_order(schema: Schema, features: Mapping[str, Any]) -> list[Any]:
    """The values of an object, in column order; raises InvalidFeatures for an extra or a missing name."""
    for name in features:
        if name not in schema.known and name not in schema.ignored:
            raise InvalidFeatures(
                f"There is no column {name!r}; the model takes: {', '.join(schema.features)}.", field=name
            )
    for column in schema.columns:
        if column.name not in features and not column.missing:
            raise InvalidFeatures(f"The column {column.name!r} is missing.", field=column.name)
    return [features.get(name) for name in schema.features]


def _other_length(schema: Schema, features: Sequence[Any]) -> InvalidFeatures:
    if features and isinstance(features[0], list | dict):
        return InvalidFeatures("'features' is one row; a list of rows goes to /predict as 'instances'.")
    columns = f"{len(schema.columns)}: {', '.join(schema.features)}"
    return InvalidFeatures(f"'features' has {len(features)} values; the model takes {columns}.")


def _with_words(schema: Schema, values: Sequence[Any]) -> list[float]:
    """One number per column, then the words of each text."""
    values = [
        None if place in schema.texts and _says_nothing(schema, place, value) else value
        for place, value in enumerate(values)
    ]
    row = [column.encode(value) for column, value in zip(schema.columns, values, strict=True)]
    for place in schema.texts:
        if values[place] is None:
            row += NOTHING
        else:
            row[place], *words = encoded(values[place])
            row += words
    return row


def _says_nothing(schema: Schema, place: int, value: Any) -> bool:
    """Whether a text is blank or marks a missing value."""
    return isinstance(value, str) and (not (text := value.strip()) or text in schema.markers[schema.features[place]])


def _without_markers(schema: Schema, features: Any) -> Any:
    """A row of JSON features with null for texts that mean a missing value."""
    if isinstance(features, Mapping):
        return {name: None if _is_marker(schema, name, value) else value for name, value in features.items()}
    if isinstance(features, list) and len(features) == len(schema.columns):
        return [
            None if _is_marker(schema, name, value) else value
            for name, value in zip(schema.features, features, strict=True)
        ]
    return features


def _is_marker(schema: Schema, name: str, value: Any) -> bool:
    return isinstance(value, str) and name in schema.known and value.strip() in schema.markers[name]
