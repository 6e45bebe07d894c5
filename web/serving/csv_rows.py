"""CSV rows: a body in CSV as JSON values, to which the checks of `inputs` apply. Its cells are written as in drops.

Delimiters, the schema's decimal mark and notations, texts for missing values and remarks of rejected rows are those of
`retraind.daemon.tabular`, which a worker can't import because it needs pyarrow. A test compares both.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.core.validation import header_faults
from retraind.daemon.schema.cell_notation import NUMBER
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import REMARKS, Schema
from retraind.web.http.problems import FieldError, Problem
from retraind.web.serving import inputs
from retraind.web.serving.inputs import Inputs

DELIMITERS = ",;\t"
SEPARATOR = re.compile(r"\"?sep=(?P<mark>[\x20-\x7e\t])\"?[,;\t]*\r?\n")
"""A first line that gives Excel the delimiter."""

END = "end"
"""The only cell of a record after the last one: an open quote swallows it."""

MOST_ERRORS = 10
"""Number of bad rows that a problem names."""

DIGITS = frozenset("0123456789eE+-")
TRUTHS = {"true": True, "1": True, "false": False, "0": False}
PLAIN = {mark: re.compile(NUMBER.replace(r"\.", re.escape(mark))) for mark in ".,"}
"""A number with each decimal mark."""


@dataclass(frozen=True)
class CsvRows:
    """The records of a body: untrimmed cells in the columns of the header, and the 1-based line of each."""

    names: list[str]
    delimiter: str
    records: list[list[str]]
    lines: list[int]
    start: str = ""
    """A byte order mark, if the body begins with one."""
    ending: str = "\n"
    """The end of its first line."""

    @property
    def kept(self) -> list[int]:
        """The places of the columns that the answer repeats: all but the remarks of a rejected row."""
        return [place for place, name in enumerate(self.names) if name not in REMARKS]


def read(schema: Schema, body: bytes) -> CsvRows:
    """Split a body; raises Problem 400 if it is no CSV with a header, 422 with the lines of torn rows."""
    text = _decoded(body)
    if not text.strip():
        raise Problem(422, "The body is empty; its first line must be a header.")
    mark = SEPARATOR.match(text)
    options = [_header(text, delimiter, int(mark is not None)) for delimiter in (mark["mark"] if mark else DELIMITERS)]
    delimiter, names = max(options, key=lambda one: (len(schema.known.intersection(one[1])), len(one[1])))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Problem(422, f"The header names {twice!r:.100} twice.", errors=[_error(1, twice, "It is there twice.")])
    records, lines = [], []
    for line, cells in islice(_records(text, delimiter), 1 + int(mark is not None), None):
        records.append(cells)
        lines.append(line)
    if not records or records.pop() != [END]:
        raise Problem(400, "The body is not CSV: a quote is never closed.")
    start = "\ufeff" if body.startswith(codecs.BOM_UTF8) else ""
    ending = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    rows = CsvRows(names, delimiter, records, lines[:-1], start, ending)
    _require_whole(rows)
    return rows


def inputs_of(schema: Schema, rows: CsvRows, *, partial: bool = False) -> Inputs:
    """The checked rows; raises InvalidFeatures, or Problem 422 that names the lines of the first bad rows.

    With `partial`, columns whose values may be missing may be missing, too, as in files to predict.
    """
    inputs.count(schema, rows.records)
    places = {name: place for place, name in enumerate(rows.names)}
    absent = [one.name for one in schema.columns if one.name not in places and not (partial and one.missing)]
    if absent:
        known = {*schema.features, schema.target, *schema.ignored}
        raise InvalidFeatures(header_faults.missing(absent, rows.names, known), field=absent[0])
    nothing = [None] * len(rows.records)
    columns = [
        _values(schema, column, [cells[places[column.name]].strip() for cells in rows.records])
        if column.name in places
        else nothing
        for column in schema.columns
    ]
    values = [list(row) for row in zip(*columns, strict=True)]
    try:
        return inputs.from_rows(schema, values)
    except InvalidFeatures:
        _refuse(schema, values, rows.lines)
        raise


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, f"The body is not UTF-8: byte {error.start} can't be read.") from None
    if "\0" in text:
        raise Problem(400, "The body holds a NUL byte: it is not CSV.")
    return text


def _header(text: str, delimiter: str, after: int) -> tuple[str, list[str]]:
    """The names with this delimiter; `after` is the number of records before them."""
    names = next(islice(_records(text, delimiter), after, None))[1]
    return delimiter, [name.strip() for name in names]


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each record that is not empty, and of END; raises Problem 400."""
    reader = csv.reader(chain(io.StringIO(text, newline=""), ["\n", END]), delimiter=delimiter)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Problem(400, f"The body is not CSV, line {line}: {error}.") from None


def _require_whole(rows: CsvRows) -> None:
    width = len(rows.names)
    torn = [
        _error(line, "", f"This row has {len(cells)} cells; the header has {width}.")
        for line, cells in zip(rows.lines, rows.records, strict=True)
        if len(cells) != width
    ]
    if torn:
        raise _problem(torn[:MOST_ERRORS], len(torn))


def _refuse(schema: Schema, values: Sequence[list[Any]], lines: Sequence[int]) -> None:
    """Raise Problem 422 for the rows that do not fit the schema, if there are any."""
    errors: list[FieldError] = []
    for line, row in zip(lines, values, strict=True):
        try:
            encode(schema, row)
        except InvalidFeatures as error:
            errors.append(_error(line, error.field or "", str(error)))
            if len(errors) == MOST_ERRORS:
                break
    if errors:
        raise _problem(errors, len(errors))


def _problem(errors: list[FieldError], count: int) -> Problem:
    rest = "" if count == 1 else " More rows are bad; `errors` names the first ones."
    return Problem(
        422, f"{errors[0]['detail']}{rest}", hint="No row was predicted: correct or remove them.", errors=errors
    )


def _error(line: int, column: str, reason: str) -> FieldError:
    return {"field": column or "body", "detail": f"Line {line}: {reason}"}


def _values(schema: Schema, column: Column, cells: list[str]) -> list[Any]:
    """The JSON values of trimmed cells; an invalid cell stays text, so that the schema reports it."""
    nothing = {"", *schema.markers[column.name]}
    if column.kind in ("number", "integer"):
        return _numbers(column, cells, column.decimal_mark(schema.decimal), nothing)
    of: Callable[[str], Any] = (lambda cell: TRUTHS.get(cell.lower(), cell)) if column.kind == "boolean" else str
    return [None if cell in nothing else of(cell) for cell in cells]


def _numbers(column: Column, cells: list[str], mark: str, nothing: set[str]) -> list[Any]:
    quick = _plain_numbers(cells, mark)
    values = quick or [None if cell in nothing else _number(cell, mark) for cell in cells]
    if column.kind == "integer":
        return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return values


def _plain_numbers(cells: list[str], mark: str) -> list[Any] | None:
    """All cells as numbers at once; None if some may be something else. Of these letters, Python reads only numbers like ours."""
    if not DIGITS.union(mark).issuperset("".join(cells)):
        return None
    try:
        return list(map(float, cells if mark == "." else [cell.replace(mark, ".") for cell in cells]))
    except ValueError:
        return None


def _number(cell: str, mark: str) -> float | str:
    return float(cell.replace(mark, ".")) if PLAIN[mark].fullmatch(cell) else cell
