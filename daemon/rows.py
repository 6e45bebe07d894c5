"""Rows: the bytes of a drop to typed, checked rows, and rows to the numbers a model learns from.

Level 2, pure: no file is opened here. Text is read as text first and then coerced by the schema, so that no library's
idea of a missing value or of a type can change a row. A drop is taken whole or refused whole, with the first bad cell.
"""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from pydantic import ValidationError

from daemon.errors import InvalidDrop, InvalidFeatures
from daemon.sample import SUFFIX, Sample
from daemon.schema import UNKNOWN, Column, Schema

NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""What counts as a number: a decimal point, no thousands separators, no hexadecimal, no `nan` or `inf`."""

# csv's own limit is 131,072 characters a cell; what a drop may hold is for inbox.max_bytes to say.
csv.field_size_limit(sys.maxsize)

MOST_COLUMNS = 10_000
"""More are a mistake: reading one line of millions of cells would hold up every other drop."""

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


@dataclass(frozen=True)
class Rows:
    """The rows of one drop: feature columns (float64 or string), then the target (class names), in schema order."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)


def parse(data: bytes, name: str, schema: Schema) -> Rows:
    """The rows of a drop's bytes; raises InvalidDrop with the reason and, where there is one, line and column."""
    if name.endswith(SUFFIX):
        return _parse_sample(data, schema)
    text = _decode(data)
    table = _arrange(_split(text, data), schema)
    columns = [_coerce(table[column.name], column, text) for column in schema.columns]
    columns.append(_labels(table[schema.target], schema, text))
    return Rows(pa.table(dict(zip([*schema.features, schema.target], columns, strict=True))))


def split(data: bytes) -> pa.Table:
    """Header and cells of any CSV, all as strings; raises InvalidDrop."""
    return _split(_decode(data), data)


def _parse_sample(data: bytes, schema: Schema) -> Rows:
    try:
        sample = Sample.model_validate(orjson.loads(data))
        schema.encode(sample.features)
        label = schema.label(sample.target)
    except orjson.JSONDecodeError as error:
        raise InvalidDrop(f"Not a sample: {error}.") from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidDrop(f"Not a sample: {'.'.join(map(str, problem['loc']))}: {problem['msg']}.") from None
    except InvalidFeatures as error:
        raise InvalidDrop(str(error), column=error.field) from None
    columns = {column.name: _cell(sample.features.get(column.name), column) for column in schema.columns}
    return Rows(pa.table({**columns, schema.target: pa.array([label], pa.string())}))


def _cell(value: Any, column: Column) -> pa.Array:
    # float() first: Arrow refuses integers beyond 2**53, which serving rounds.
    number = column.kind == "number" and value is not None
    return pa.array([float(value) if number else value], _type(column))


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidDrop(f"Not UTF-8 text: byte {error.start} can't be read. Save it as UTF-8.", line=line) from None
    if not text.strip():
        raise InvalidDrop("The file is empty.")
    if "\x00" in text:
        raise InvalidDrop(
            "The file holds a NUL byte: it is not a text file.", line=text.count("\n", 0, text.index("\x00")) + 1
        )
    return text


def _split(text: str, data: bytes) -> pa.Table:
    """Header and cells, all as strings; a row with too many or too few cells is an error, never shifted."""
    line, cells = next(_lines(text))
    header = [cell.strip() for cell in cells]
    twice = [cell for cell, count in Counter(header).items() if count > 1]
    if twice:
        raise InvalidDrop(f"The header names {twice[0]!r} twice.", line=line, column=twice[0])
    if len(header) > MOST_COLUMNS:
        raise InvalidDrop(f"The header has {len(header)} columns; at most {MOST_COLUMNS} are read.", line=line)
    if text[0] in "\r\n":
        data = text.lstrip("\r\n").encode()  # Arrow would take the first empty line for the header
    read = pa.csv.ReadOptions(use_threads=False, column_names=header, skip_rows_after_names=1, block_size=1 << 24)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
    bad: list[pa.csv.InvalidRow] = []

    def remember(row: pa.csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    layout = pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=remember)
    try:
        table = pa.csv.read_csv(io.BytesIO(data), read, layout, convert)
    except pa.ArrowInvalid as error:
        raise InvalidDrop(f"Not a CSV file: {error}") from None
    if bad:
        row = bad[0]
        reason = f"This row has {row.actual_columns} cells; the header has {row.expected_columns}: {row.text[:80]!r}."
        raise InvalidDrop(reason, line=_line_of(text, row.number - 2))
    if table.num_rows == 0:
        raise InvalidDrop("The file has a header and no rows.", line=line)
    _refuse_open_quote(table, text)
    return table


def _refuse_open_quote(table: pa.Table, text: str) -> None:
    """Raise InvalidDrop if the last cell's quote is never closed: it may have swallowed the rows that follow it."""
    last = table.num_rows - 1
    tail = '"' + table.columns[-1][last].as_py().replace('"', '""')
    if text.endswith(tail) and text[-len(tail) - 1] in ",\r\n":
        raise InvalidDrop(
            "A quote is opened here and never closed.", line=_line_of(text, last), column=table.column_names[-1]
        )


def _arrange(table: pa.Table, schema: Schema) -> pa.Table:
    wanted = [*schema.features, schema.target]
    missing = [name for name in wanted if name not in table.column_names]
    extra = [name for name in table.column_names if name not in wanted]
    if missing:
        found = ", ".join(table.column_names)[:200]
        raise InvalidDrop(f"The column {missing[0]!r} is missing; the header has: {found}.", line=1, column=missing[0])
    if extra:
        raise InvalidDrop(f"The column {extra[0]!r} is not in the schema.", line=1, column=extra[0])
    return table.select(wanted)


def _type(column: Column) -> pa.DataType:
    return pa.float64() if column.kind == "number" else pa.string()


def _coerce(cells: pa.ChunkedArray, column: Column, text: str) -> pa.ChunkedArray:
    cells = pc.utf8_trim_whitespace(cells)
    empty = pc.equal(cells, "")
    if not column.missing:
        _refuse(empty, cells, column.name, text, "The cell is empty and the schema allows no missing value here.")
    cells = pc.if_else(empty, None, cells)
    if column.kind == "category":
        _refuse(
            pc.match_substring_regex(cells, CONTROL), cells, column.name, text, "The cell holds a control character."
        )
        return cells
    _refuse(pc.invert(pc.match_substring_regex(cells, NUMBER)), cells, column.name, text, "{cell!r} is not a number.")
    numbers = pc.cast(cells, pa.float64())
    _refuse(pc.invert(pc.is_finite(numbers)), cells, column.name, text, "{cell!r} is too large for a number.")
    return numbers


def _labels(cells: pa.ChunkedArray, schema: Schema, text: str) -> pa.ChunkedArray:
    cells = pc.utf8_trim_whitespace(cells)
    codes = {str(code): name for code, name in enumerate(schema.classes) if str(code) not in schema.class_codes}
    known = pa.array([*schema.classes, *codes], pa.string())
    names = pa.array([*schema.classes, *codes.values()], pa.string())
    index = pc.index_in(cells, value_set=known)
    classes = ", ".join(schema.classes)[:200]
    _refuse(pc.is_null(index), cells, schema.target, text, f"{{cell!r}} is no class; the classes are: {classes}.")
    return pc.take(names, index)


def _refuse(bad: pa.ChunkedArray, cells: pa.ChunkedArray, column: str, text: str, reason: str) -> None:
    """Raise InvalidDrop for the first row where `bad` is true."""
    at = pc.index(bad, True).as_py()
    if at >= 0:
        cell = (cells[at].as_py() or "")[:80]
        raise InvalidDrop(reason.format(cell=cell), line=_line_of(text, at), column=column)


def _line_of(text: str, row: int) -> int:
    """The 1-based line on which the given 0-based data row begins; only looked up once a row was found to be bad."""
    return next(islice(_lines(text), row + 1, None))[0]  # the header is row -1


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """First line (1-based) and cells of each row that is not empty, the header first, told apart as Arrow does."""
    reader = csv.reader(io.StringIO(text, newline=None))  # None: a lone carriage return ends a line, too
    begin = 1
    for cells in reader:
        if cells:
            yield begin, cells
        begin = reader.line_num + 1


def with_provenance(rows: Rows, drop: str, accepted_at: datetime, source: str) -> pa.Table:
    """The rows with `_drop`, `_row`, `_accepted_at` and `_source`: what a segment stores."""
    count = len(rows)
    table = rows.table.append_column("_drop", pa.array([drop] * count, pa.string()).dictionary_encode())
    table = table.append_column("_row", pa.array(np.arange(count, dtype=np.int64)))
    table = table.append_column("_accepted_at", pa.array([accepted_at] * count, pa.timestamp("ms", tz="UTC")))
    return table.append_column("_source", pa.array([source] * count, pa.string()).dictionary_encode())


def matrix(table: pa.Table, schema: Schema) -> NDArray[np.float64]:
    """Features as float64 (n, d) in schema order: NaN for a missing number, UNKNOWN for an unlisted category."""
    columns = []
    for column in schema.columns:
        cells = table[column.name]
        if column.kind == "category":
            index = pc.index_in(cells, value_set=pa.array(column.categories, pa.string()))
            columns.append(pc.fill_null(index, int(UNKNOWN)).to_numpy().astype(np.float64))
        else:
            columns.append(pc.fill_null(cells, np.nan).to_numpy())
    return np.column_stack(columns)


def codes(table: pa.Table, schema: Schema) -> NDArray[np.int64]:
    """Targets as class codes, int64 (n,); -1 for a class that the schema does not list any more."""
    index = pc.fill_null(pc.index_in(table[schema.target], value_set=pa.array(schema.classes, pa.string())), -1)
    return np.asarray(index.to_numpy(), dtype=np.int64)


def held_out(table: pa.Table, share: float) -> NDArray[np.bool_]:
    """Which rows are only ever judged on, bool (n,): a hash of drop and row number, so membership never moves."""
    drops = table["_drop"].combine_chunks().dictionary_encode() if table.num_rows else None
    if drops is None:
        return np.zeros(0, dtype=bool)
    drops = drops if isinstance(drops, pa.DictionaryArray) else drops.combine_chunks()
    seeds = np.array([int(name[:16], 16) for name in drops.dictionary.to_pylist()], dtype=np.uint64)
    mixed = _splitmix(seeds[drops.indices.to_numpy()] + table["_row"].to_numpy().astype(np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53 < share


def _splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    with np.errstate(over="ignore"):
        state = state * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
