"""Read-only queries of the databases of a home, while the daemon writes them.

It uses plain `sqlite3` in `mode=ro`, with one short connection per query: a short reader can't delay the daemon's
checkpoint, and a read-only one can't take part in it. Rows are returned as dicts of the TypedDict that the caller
names, because only the caller knows the columns of its query.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from retraind.daemon.core import home_integrity
from retraind.daemon.core.errors import RetraindError, TooSlow
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.states import of_type

Row = Mapping[str, Any]
"""The columns of any query."""

Value = str | int | float | None
"""A value of a query."""

T = TypeVar("T")

BUSY_SECONDS = 2.0
"""Seconds to wait for a lock. A WAL reader hardly ever waits, except in the first moments of a new database."""

PATIENT_SECONDS = 10.0
"""Seconds to wait for a lock in a query that must be answered."""

MANY = 500
"""Maximum values in one list; SQLite accepts at least 999 in one query."""

LAST = 2**63 - 1
"""No row has a larger id."""

STEPS = 20_000
"""Instructions of SQLite between two looks at the clock: less than a millisecond."""


def typed(kind: type[T], path: Path, query: str, *values: Value) -> list[T]:
    """As `ask`, for a query whose columns are those of the TypedDict `kind`."""
    return [of_type(kind, row) for row in ask(path, query, *values)]


def first(kind: type[T], path: Path, query: str, *values: Value) -> T | None:
    """The first of these rows, or None."""
    rows = typed(kind, path, query, *values)
    return rows[0] if rows else None


def number(path: Path, query: str, *values: Value) -> int | None:
    """The integer result of a query; None if it is null, or there is no row."""
    rows = ask(path, query, *values)
    return next(iter(rows[0].values())) if rows else None


def texts(path: Path, query: str, *values: Value) -> list[str]:
    """The texts of a query for one column."""
    return [text for row in ask(path, query, *values) for text in row.values()]


def ask(path: Path, query: str, *values: Value, seconds: float | None = None) -> list[Row]:
    """The rows of one query; a file that does not exist yet reads as empty.

    Raises sqlite3.Error if it is damaged or can't be opened, or if a journal is gone: such a file must not read as
    empty. Raises TooSlow after `seconds`; a server has a limit of its own (`retraind.daemon.records.server.reader`).
    """
    if not path.exists():
        return _elsewhere(path, query, values)
    try:
        return _rows(path, query, *values, busy_seconds=BUSY_SECONDS, seconds=seconds)
    except sqlite3.OperationalError as error:
        # The daemon has created the file but not yet its tables, or has just removed it. A file that exists and can't
        # be opened (no descriptor is left) is another case: its content is unknown, not empty.
        created = str(error).startswith("no such table")
        removed = str(error).startswith("unable to open") and not path.exists()
        if created or removed:
            return _empty(path)
        raise


def must(kind: type[T], path: Path, query: str, *values: Value) -> list[T]:
    """As `typed`, but also raises sqlite3.Error if the file or the table does not exist."""
    return [of_type(kind, row) for row in _rows(path, query, *values, busy_seconds=PATIENT_SECONDS)]


def _rows(path: Path, query: str, *values: Value, busy_seconds: float, seconds: float | None = None) -> list[Row]:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=busy_seconds)) as connection:
        connection.row_factory = sqlite3.Row
        if seconds is None:
            return [dict(row) for row in connection.execute(query, values)]
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        try:
            return [dict(row) for row in connection.execute(query, values)]
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            hint = "Narrow it down: by a version, an id or a shorter time."
            raise TooSlow(f"The search was ended after {seconds:g} s.", hint=hint) from None


def newest(kind: type[T], path: Path, table: str, limit: int, before: int | None = None, key: str = "id") -> list[T]:
    """The rows of a table with the largest keys, largest first; `before` is the key of the last one already seen."""
    query = f"SELECT * FROM {table} WHERE {key} < ? ORDER BY {key} DESC LIMIT ?"
    return typed(kind, path, query, LAST if before is None else before, limit)


def listed(values: Iterable[object]) -> str:
    """As many placeholders as there are values, for `IN (…)`; at most MANY."""
    return ", ".join("?" for _ in values)


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in lists of at most MANY."""
    for start in range(0, len(values), MANY):
        yield values[start : start + MANY]


def _elsewhere(path: Path, query: str, values: Sequence[Value]) -> list[Row]:
    """The rows if the file does not exist: from the journal's server if there is one, otherwise none."""
    try:
        server = journal_server.named(path)
    except RetraindError as error:
        raise sqlite3.OperationalError(str(error).rstrip(".")) from None
    if server is None:
        return _empty(path)
    from retraind.daemon.records.server import reader

    return reader.rows(server, query, values)


def _empty(path: Path) -> list[Row]:
    home = Home(path.parent.parent)
    if path == home.journal and (gone := home_integrity.journal(home)):
        raise sqlite3.OperationalError(gone.rstrip("."))
    return []
