"""CSV for people's spreadsheets: no cell of a text is run as a formula there."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import orjson

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula."""

MOST_ROWS = 10_000
"""Maximum number of rows of one file; the header `Link` has the address of the next ones."""


def write(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """A CSV file with a header, lines end with CR LF (RFC 4180); numbers stay numbers, even negative ones."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return file.getvalue().encode()


def cell(value: object) -> str | int | float:
    """A value as the content of a cell; a text that looks like a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    text = str(value) if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(FORMULAS) else text
