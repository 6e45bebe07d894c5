"""Row matching: finds the lines of a rejected file that hold rows of a drop.

A line matches a row if it has the same cells, which are read as in a drop: with the column's notation, its texts for a
missing value and the decimal mark of the schema. In a file that was rejected before the drop was accepted, an unreadable
cell matches any value, because it may have been corrected in the drop. Then at least two and more than half of the
columns must be readable.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.schema import Schema

Row = Mapping[str, Any]

DELIMITERS = ",;\t|"

MOST_BYTES = 64 * 1024 * 1024
"""Maximum decompressed size; a larger file is not read but listed as unread."""

PIECE_LINES = 2000
"""Lines compared per piece: about 50 ms."""

MOST_VALUES = 2_000_000
"""Maximum number of values in look-up tables; there is one table for each set of readable columns."""


class Split(NamedTuple):
    """A rejected file: its remaining text (with the header), the number of lines with rows of the drop, of all lines."""

    rest: bytes
    matched: int
    lines: int


class RowMatcher:
    """Compares lines with the rows of one drop (column name to value, as segments hold them)."""

    def __init__(self, schema: Schema, rows: Sequence[Row]) -> None:
        self._schema, self._rows = schema, rows
        self._names = [*schema.features, schema.target]
        self._kinds = {column.name: column for column in schema.columns}
        # Keyed by the columns of a line: one lookup per line instead of a comparison with each row.
        self._tables: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}

    def split(self, data: bytes, *, before: bool) -> Iterator[Split | None]:
        """Separate the lines of a CSV file, compressed or not; yields None after each piece, then the result.

        `before`: the file was rejected before the drop was accepted. A damaged or too large file has no result.
        """
        packed = data[:2] == b"\x1f\x8b"
        content = inflated(data) if packed else data
        if content is None:
            return
        # Bytes that are not UTF-8 are written back unchanged.
        lines = content.decode("utf-8", "surrogateescape").splitlines(keepends=True)
        kept, matched, count = lines[:1], 0, 0
        header = [line.removeprefix("\ufeff") for line in lines[:1]]
        names = [name.strip() for name in next(csv.reader(header, delimiter=self._delimiter(lines)), [])]
        for raw, cells in _records(iter(lines[1:]), self._delimiter(lines)):
            count += 1
            if self._is_row(dict(zip(names, cells, strict=False)), before):
                matched += 1
            else:
                kept.append(raw)
            if count % PIECE_LINES == 0:
                yield None
        rest = "".join(kept).encode("utf-8", "surrogateescape")
        yield Split(gzip.compress(rest, mtime=0) if packed else rest, matched, count)

    def _delimiter(self, lines: Sequence[str]) -> str:
        return max(DELIMITERS, key=lines[0].count) if lines else ","

    def _is_row(self, cells: Mapping[str, str], before: bool) -> bool:
        """Whether a line holds one of the rows, by the rule of the module."""
        values = {name: self._value(name, cells.get(name)) for name in self._names}
        readable = {name: value for name, value in values.items() if value is not _UNREAD}
        if len(readable) < max(2, len(self._names) // 2 + 1):
            return False
        if not before:
            if any((cells.get(name) or "").strip() for name in values.keys() - readable.keys()):
                return False
            readable = {name: None if value is _UNREAD else value for name, value in values.items()}
        return tuple(readable.values()) in self._table(tuple(readable))

    def _table(self, names: tuple[str, ...]) -> set[tuple[Any, ...]]:
        """The values of the rows in these columns."""
        if names not in self._tables:
            if sum(len(table) * len(known) for known, table in self._tables.items()) > MOST_VALUES:
                self._tables.clear()
            self._tables[names] = {tuple(_plain(row.get(name)) for name in names) for row in self._rows}
        return self._tables[names]

    def _value(self, name: str, cell: str | None) -> Any:
        """The value of a cell for the comparison; `_UNREAD` if it has none."""
        if cell is None or not (cell := cell.strip()):
            return _UNREAD
        if cell in self._schema.markers[name]:
            return None
        column = self._kinds.get(name)
        kind = column.kind if column else ("number" if self._schema.task == "regression" else "category")
        if kind in ("number", "integer"):
            return _number(cell, column.notation if column else self._schema.notation, self._schema.decimal)
        if kind == "date":
            return _date(cell, column.notation if column else None)
        if kind == "boolean":
            return {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}.get(cell.lower(), _UNREAD)
        if kind == "text":
            return cell
        names = column.categories if column else self._schema.classes
        return cell if cell in names else _UNREAD


_UNREAD = object()


def inflated(data: bytes) -> bytes | None:
    """The content of a gzip file; None if it is damaged or exceeds MOST_BYTES."""
    parts, size = [], 0
    while data:
        inflater = zlib.decompressobj(wbits=31)
        try:
            part = inflater.decompress(data, MOST_BYTES - size + 1)
        except zlib.error:
            return None
        size += len(part)
        if size > MOST_BYTES or not inflater.eof:
            return None
        parts.append(part)
        data = inflater.unused_data.lstrip(b"\0")  # further members, or padding
    return b"".join(parts)


def _number(cell: str, notation: Notation | None, decimal: str) -> Any:
    value = notation.number(cell) if notation else None
    if value is not None:
        return value
    try:
        return float(cell.replace(notation.decimal if notation else decimal, "."))
    except ValueError:
        return _UNREAD


def _date(cell: str, notation: Notation | None) -> Any:
    moment = notation.moment(cell) if notation else None
    if moment is not None:
        return _plain(moment)
    try:
        return _plain(datetime.fromisoformat(cell))
    except ValueError:
        return _UNREAD


def _plain(value: Any) -> Any:
    """A stored value in the form used for the comparison."""
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
    except csv.Error:  # not CSV from here on, so the rest has no rows
        yield "".join(taken), []
    rest = "".join(lines)
    if rest:
        yield rest, []
