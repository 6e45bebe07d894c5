"""Data frames: the formats in which MLflow and TensorFlow Serving send many rows as JSON or CSV, as inputs of a model.

Invalid content raises InvalidFeatures. The terms are those of MLflow 3.17 (`mlflow/utils/proto_json_utils.py`) and of TensorFlow
Serving's REST API.
"""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.web.serving import inputs
from retraind.web.serving.inputs import Inputs

# The outer group is not possessive: Python 3.11.2 (Debian 12) would swallow the NaN then (python/cpython#100061).
PIECES = re.compile(rb'NaN[^"]*+|(?:[^"N]++|"(?:[^"\\]++|\\.)*+"?|N(?!aN))+', re.DOTALL)
"""Splits JSON text into pieces: from a NaN outside strings up to the next string, and everything before a NaN.

An unterminated string extends to the end, so the time is linear for every text.
"""

MISSING = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"}
"""Cells that mean a missing number, as in pandas. A category may have such a name, so in its column only an empty cell
is missing."""

NOT_A_TIME = "NaT"
"""The text that MLflow's client writes for a missing date."""

TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def without_nan(text: bytes) -> bytes:
    """JSON with `NaN`, which pandas and TensorFlow write for a missing number, replaced by null."""
    return PIECES.sub(_null, text) if b"NaN" in text else text


def rows(schema: Schema, document: Any) -> Inputs:
    """A list of rows, each a list in the order of the columns or an object by name."""
    if not isinstance(document, list):
        raise InvalidFeatures(f"The rows must be a list, not {_kind(document)}.")
    return inputs.from_rows(schema, document)


def columns(schema: Schema, document: Any) -> Inputs:
    """An object of columns by name, each a list of values or (one row) a value; or a list of rows."""
    if not isinstance(document, dict):
        return rows(schema, document)
    lists = [isinstance(values, list) for values in document.values()]
    if any(lists) and not all(lists):
        raise InvalidFeatures("Give every column a list of values, or every one a single value.")
    return inputs.from_columns(schema, document if any(lists) else {name: [value] for name, value in document.items()})


def known(schema: Schema, document: Any) -> Any:
    """Rows or columns without names that the model does not have, which MLflow ignores too."""
    if isinstance(document, list):
        inputs.count(schema, document)
        return [known(schema, row) if isinstance(row, dict) else row for row in document]
    if isinstance(document, dict):
        return {name: value for name, value in document.items() if name in schema.known}
    return document


def records(schema: Schema, document: Any) -> Inputs:
    """MLflow's `dataframe_records`: objects by name."""
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InvalidFeatures("'dataframe_records' must be a list of objects of column: value.")
    return rows(schema, known(schema, document))


def split(schema: Schema, document: Any) -> Inputs:
    """MLflow's `dataframe_split`: `data` rows, their `columns` if they have names, an `index` that is ignored."""
    if not isinstance(document, dict) or "data" not in document or not document.keys() <= {"columns", "index", "data"}:
        raise InvalidFeatures("'dataframe_split' must be an object of 'data' and, optionally, 'columns' and 'index'.")
    data, index, names = document["data"], document.get("index"), document.get("columns")
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise InvalidFeatures("'data' of 'dataframe_split' must be a list of rows, each a list of values.")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise InvalidFeatures("'index' of 'dataframe_split' must have an entry for each row.")
    if names is None or (names == schema.features and schema.numeric):
        return inputs.from_rows(schema, data)
    return _named(schema, names, data)


def typed_columns(schema: Schema, columns: Mapping[str, Sequence[Any]]) -> Inputs:
    """Columns whose formats know types: 0 and 1 are booleans where the model takes these."""
    kinds = {column.name: column.kind for column in schema.columns}
    return inputs.from_columns(
        schema,
        {
            name: [inputs.TRUTHS.get(value, value) for value in values] if kinds[name] == "boolean" else values
            for name, values in columns.items()
        },
    )


def comma_separated(schema: Schema, text: str) -> Inputs:
    """A CSV file with a header, as `pandas.DataFrame.to_csv` writes it: an empty cell is a missing value."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InvalidFeatures(f"The body is not CSV: {error}.") from None
    if not lines:
        raise InvalidFeatures("The CSV file has no header.")
    inputs.count(schema, lines[1:])
    by_name = {column.name: column for column in schema.columns}
    kept = [by_name.get(name) for name in lines[0]]
    data = [[column and _cell(column, cell) for column, cell in zip(kept, line, strict=False)] for line in lines[1:]]
    if any(len(line) != len(kept) for line in lines):
        raise InvalidFeatures("Every line of the CSV file must have as many cells as its header.")
    return _named(schema, lines[0], data)


def _named(schema: Schema, names: Any, data: Sequence[list[Any]]) -> Inputs:
    """Rows with named values; names that the model does not have are ignored, as in MLflow."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidFeatures("'columns' must be a list of names.")
    if len(set(names)) < len(names):
        raise InvalidFeatures("'columns' names a column twice.")
    if any(len(row) != len(names) for row in data):
        raise InvalidFeatures(f"Every row must have as many values as there are columns: {len(names)}.")
    if not data:
        raise InvalidFeatures("There are no rows.")
    by_name: Mapping[str, Sequence[Any]] = dict(zip(names, zip(*data, strict=True), strict=True))
    dates = {column.name for column in schema.columns if column.kind == "date"}
    kept = {
        name: [None if value == NOT_A_TIME else value for value in values] if name in dates else values
        for name, values in by_name.items()
        if name in schema.known
    }
    return inputs.from_columns(schema, kept)


def _cell(column: Column, text: str) -> Any:
    """The JSON value of a cell; an invalid cell stays text, so that the schema reports it."""
    if text == "" or (column.kind in ("number", "integer", "boolean") and text in MISSING):
        return None
    if column.kind == "boolean":
        return TRUTHS.get(text.lower(), text)
    if column.kind in ("number", "integer"):
        try:
            number = float(text)
        except ValueError:
            return text
        return int(number) if column.kind == "integer" and math.isfinite(number) and number.is_integer() else number
    return text


def _null(match: re.Match[bytes]) -> bytes:
    piece = match[0]
    return piece.replace(b"NaN", b"null") if piece.startswith(b"NaN") else piece


def _kind(value: Any) -> str:
    return "null" if value is None else {"dict": "an object", "str": "a text"}.get(type(value).__name__, "a number")
