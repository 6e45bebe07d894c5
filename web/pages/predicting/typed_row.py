"""A row that a person types: a form with a field for each column, and the JSON values of its texts."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from retraind.daemon.schema.column import DAY, Column
from retraind.daemon.schema.schema import Schema

PREFIX = "column:"
"""Prefix of the fields' names, which are those of the columns."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)

OTHER = "(another value)"
"""The text for a category that the schema does not list; no category may be named so."""


class Field(TypedDict):
    """One field of the form."""

    name: str
    column: str
    kind: str
    text: str
    hint: str
    choices: list[tuple[str, str]]
    """Values and their texts; empty for a field in which one types."""
    problem: str
    """Why the text is refused; empty if it is not."""


def fields(schema: Schema, texts: Mapping[str, str], problems: Mapping[str, str]) -> list[Field]:
    """The form for a row of a schema; texts and problems are by column."""
    return [
        {
            "name": PREFIX + column.name,
            "column": column.name,
            "kind": column.kind,
            "text": texts.get(column.name, ""),
            "hint": _hint(column),
            "choices": _choices(column),
            "problem": problems.get(column.name, ""),
        }
        for column in schema.columns
    ]


def texts_of(schema: Schema, values: Sequence[Any]) -> dict[str, str]:
    """The texts of JSON values in the order of the columns."""
    return {column.name: _text(column, value) for column, value in zip(schema.columns, values, strict=True)}


def values_of(schema: Schema, form: Mapping[str, str]) -> dict[str, Any]:
    """The JSON values of a sent form by column; a text that is none stays a text, which the model's check then names."""
    return {column.name: _value(column, form.get(PREFIX + column.name, "")) for column in schema.columns}


def typical(schema: Schema) -> list[Any]:
    """A value for each column: the middle of its range, or its first category."""
    return [_typical(column) for column in schema.columns]


def _value(column: Column, text: str) -> Any:
    stripped = text.strip()
    if column.kind == "text":
        return text if stripped or not column.missing else None
    if not stripped:
        return None
    if column.kind == "boolean":
        return {"true": True, "false": False}.get(stripped, stripped)
    if column.kind in ("number", "integer") and NUMBER.fullmatch(stripped):
        return int(stripped) if re.fullmatch(r"[+-]?\d{1,15}", stripped, re.ASCII) else float(stripped)
    return stripped


def _text(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if column.kind == "category" and value not in column.codes:
        return OTHER
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _typical(column: Column) -> Any:
    low, high = column.minimum, column.maximum
    middle = (low + high) / 2 if low is not None and high is not None else 0.0
    if column.kind == "category":
        return column.categories[0] if column.categories else None
    if column.kind == "boolean":
        return True
    if column.kind == "text":
        return None if column.missing else "text"
    if column.kind == "date":
        return datetime.fromtimestamp(round(middle) * DAY, UTC).date().isoformat()
    return round(middle) if column.kind == "integer" else float(f"{middle:.6g}")


def _choices(column: Column) -> list[tuple[str, str]]:
    none = [("", "(missing)")] if column.missing else []
    if column.kind == "boolean":
        return [("true", "true"), ("false", "false"), *none]
    if column.kind == "category":
        return [*((name, name) for name in column.categories), (OTHER, OTHER), *none]
    return []


def _hint(column: Column) -> str:
    """The range that is known, and whether the field may stay empty."""
    kinds = {"date": "date, such as 2026-01-31", "text": "text", "integer": "whole number", "number": "number"}
    hint = kinds.get(column.kind, column.kind)
    if column.kind in ("number", "integer") and column.minimum is not None and column.maximum is not None:
        hint += f", {column.minimum:.6g} to {column.maximum:.6g} in the first file"
    elif column.kind == "date" and column.minimum is not None and column.maximum is not None:
        days = [
            datetime.fromtimestamp(bound * DAY, UTC).date().isoformat() for bound in (column.minimum, column.maximum)
        ]
        hint = f"date, {days[0]} to {days[1]} in the first file"
    return f"{hint}; empty: missing" if column.missing and not _choices(column) else hint
