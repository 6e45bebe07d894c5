"""Likeness: which lines of a refused file hold rows of a drop.

Level 3. A line is taken for a row of the drop if all its cells that can be read are those of the row, where at least two and more
than half of the columns can be: what was mended in a file before it was taken is a cell that could not be read.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from daemon.schema import Schema

Row = Mapping[str, Any]

DELIMITERS = ",;\t|"


class Split(NamedTuple):
    """A refused file: what stays of it (its header included), and how many lines hold rows of the drop, of how many."""

    rest: bytes
    matched: int
    lines: int


class Likeness:
    """Compares lines with the rows of one drop (column name to value, as segments hold them)."""

    def __init__(self, schema: Schema, rows: Sequence[Row]) -> None:
        self._schema, self._rows = schema, rows
        self._names = [*schema.features, schema.target]
        # One lookup for each line instead of one comparison with each row: a cell that can be read leads to few rows.
        self._index: dict[tuple[str, Any], list[Row]] = {}
        for row in rows:
            for name in self._names:
                self._index.setdefault((name, _plain(row.get(name))), []).append(row)

    def split(self, data: bytes) -> Split:
        """Tell the lines of a CSV file, packed or not, apart."""
        packed = data[:2] == b"\x1f\x8b"
        text = (gzip.decompress(data) if packed else data).decode("utf-8-sig", "replace")
        lines = text.splitlines(keepends=True)
        kept, matched, count = lines[:1], 0, 0
        names = next(csv.reader(lines[:1], delimiter=self._delimiter(lines)), []) if lines else []
        for raw, cells in _records(iter(lines[1:]), self._delimiter(lines)):
            count += 1
            if self._is_one(dict(zip((name.strip() for name in names), cells, strict=False))):
                matched += 1
            else:
                kept.append(raw)
        rest = "".join(kept).encode()
        return Split(gzip.compress(rest, mtime=0) if packed else rest, matched, count)

    def _delimiter(self, lines: Sequence[str]) -> str:
        return max(DELIMITERS, key=lines[0].count) if lines else ","

    def _is_one(self, cells: Mapping[str, str]) -> bool:
        read = [(name, value) for name in self._names if (value := self._value(name, cells.get(name))) is not _UNREAD]
        if len(read) < max(2, len(self._names) // 2 + 1):
            return False
        candidates = min((self._index.get(pair, []) for pair in read), key=len)
        return any(all(_plain(row.get(name)) == value for name, value in read) for row in candidates)

    def _value(self, name: str, cell: str | None) -> Any:
        """The value of a cell as rows are compared; `_UNREAD` if it has none."""
        if cell is None or not (cell := cell.strip()):
            return _UNREAD
        column = next((one for one in self._schema.columns if one.name == name), None)
        kind = column.kind if column else ("number" if self._schema.task == "regression" else "category")
        if kind in ("number", "integer"):
            return _number(cell, self._schema.decimal)
        if kind == "date":
            return _date(cell)
        if kind == "boolean":
            return {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}.get(cell.lower(), _UNREAD)
        known = column.categories if column else self._schema.classes
        return cell if cell in known else _UNREAD


_UNREAD = object()


def _number(cell: str, decimal: str) -> Any:
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        return _UNREAD


def _date(cell: str) -> Any:
    try:
        return _plain(datetime.fromisoformat(cell))
    except ValueError:
        return _UNREAD


def _plain(value: Any) -> Any:
    """A stored value in the form in which cells are compared."""
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return value


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Each record with its text; a quoted cell may have several lines."""
    taken: list[str] = []

    def remember() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    reader = csv.reader(remember(), delimiter=delimiter)
    try:
        for cells in reader:
            yield "".join(taken), cells
            taken.clear()
    except csv.Error:  # no CSV from here on: none of it is a row
        yield "".join(taken), []
    rest = "".join(lines)
    if rest:
        yield rest, []
