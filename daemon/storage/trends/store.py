"""The store of figures over time: adds figures to their minute, hour and day, and keeps all within bounds.

Figures and the position of their source up to which they reach change in one transaction. So whenever a process is
killed, the next one continues where the figures end, and nothing counts twice or is lost.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from retraind.daemon.core.home_integrity import OpenedFile
from retraind.daemon.core.trends import spans
from retraind.daemon.core.trends.figures import DRIFT, OTHERS, Figures, Sum, merge
from retraind.daemon.core.trends.spans import KEPT, Span
from retraind.daemon.storage.trends import tables

MOST_BYTES = 67_108_864
"""Size (bytes) above which the oldest minutes, then the oldest hours are removed early."""

SHORTER = 120
"""Number of spans that are removed at once then."""

MOST_MARKS = 5000

MOST_NAMES = {Sum.CLASS: 100, DRIFT: 50}
"""Number of classes, and of drifting features, that have figures of their own: the first that appeared. All others are added up under one name."""

LONGEST_NAME = 100
"""Characters of a name that are kept."""

TRIM_EVERY = 60
"""Number of transactions between two removals of old spans."""

_log = logging.getLogger("retraind.trends")


class Change(NamedTuple):
    """Figures of a moment, in seconds since 1970."""

    at: float
    figures: Figures


class Mark(NamedTuple):
    """Something that happened, for the charts: `kind` is an event's or one of `retraind.daemon.trends.marks`."""

    at: str
    kind: str
    message: str
    version: int | None = None
    drop: str | None = None


class TrendStore:
    """The one writer of `logs/trends.db`; safe to use from any thread. Methods raise sqlite3.Error or OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._held = OpenedFile(path)
        self._names: dict[str, set[str]] = {}
        self._writes = 0

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def position(self, source: str) -> Any:
        """The position up to which the figures of a source reach; None before the first."""
        with self._lock:
            row = self._opened().execute("SELECT position FROM positions WHERE source = ?", (source,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def add(
        self, changes: Iterable[Change], positions: Mapping[str, object], marks: Sequence[Mark] = (), now: float = 0.0
    ) -> None:
        """Add figures to their spans, and note how far they reach, in one transaction.

        Figures of a minute or an hour that are no longer kept go to the longer spans only; `now` in seconds since 1970.
        """
        with self._lock, self._writing() as connection:
            for (span, begin), figures in self._by_span(connection, changes, now).items():
                row = connection.execute(tables.READ, (span, begin)).fetchone()
                total = merge(orjson.loads(row[0]), figures) if row else figures
                connection.execute(tables.WRITE, (span, begin, orjson.dumps(total).decode()))
            connection.executemany(tables.MARK, marks)
            rows = [(source, orjson.dumps(position).decode()) for source, position in positions.items()]
            connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", rows)
            self._writes += 1
            if self._writes % TRIM_EVERY == 0:
                _trim(connection)

    def trim(self) -> None:
        """Remove what exceeds the bounds."""
        with self._lock, self._writing() as connection:
            _trim(connection)

    @property
    def size(self) -> int:
        """Bytes that the figures take."""
        with self._lock:
            return _size(self._opened())

    def _by_span(
        self, connection: sqlite3.Connection, changes: Iterable[Change], now: float
    ) -> dict[tuple[Span, int], Figures]:
        """The sum of the changes in each span; figures of names beyond the bounds become those of `other`."""
        sums: dict[tuple[Span, int], Figures] = {}
        for at, figures in changes:
            few = self._bounded(connection, figures)
            for span in Span:
                begin = spans.begin(at, span)
                if begin >= now - span * KEPT[span]:
                    key = span, begin
                    sums[key] = merge(sums[key], few) if key in sums else few
        return sums

    def _bounded(self, connection: sqlite3.Connection, figures: Figures) -> Figures:
        def add(one: Any, other: Any) -> Any:
            return one + other

        def larger(one: Any, other: Any) -> Any:
            return max(one, other, key=lambda gauge: gauge["last"])

        sums = self._renamed(connection, Sum.CLASS, figures["sums"], add)
        return {**figures, "sums": sums, "gauges": self._renamed(connection, DRIFT, figures["gauges"], larger)}

    def _renamed(
        self, connection: sqlite3.Connection, kind: str, entries: Mapping[str, Any], join: Callable[[Any, Any], Any]
    ) -> dict[str, Any]:
        """The entries whose names begin with `kind` under names that are kept; `join` makes one entry of two."""
        renamed: dict[str, Any] = {}
        for name, entry in entries.items():
            kept = kind + self._kept(connection, kind, name.removeprefix(kind)) if name.startswith(kind) else name
            renamed[kept] = join(renamed[kept], entry) if kept in renamed else entry
        return renamed

    def _kept(self, connection: sqlite3.Connection, kind: str, name: str) -> str:
        """The name, or OTHERS if as many others came first."""
        short = name[:LONGEST_NAME]
        names = self._names.get(kind)
        if names is None:
            rows = connection.execute("SELECT name FROM names WHERE kind = ?", (kind,))
            names = self._names[kind] = {row[0] for row in rows}
        if short in names:
            return short
        if len(names) >= MOST_NAMES[kind]:
            return OTHERS
        connection.execute("INSERT INTO names VALUES (?, ?)", (kind, short))
        names.add(short)
        return short

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
        except BaseException as error:
            self._names.clear()  # some may have been rolled back
            if type(error) is sqlite3.DatabaseError:  # not busy, full or read-only: the file itself is broken
                self._set_aside()
            raise

    def _opened(self) -> sqlite3.Connection:
        """The database at its path now, because writes to a removed file would be lost."""
        if self._connection is not None and self._held.lost():
            _log.error("%s was gone or replaced; figures begin again.", self._path)
            self.close()
        if self._connection is None:
            try:
                self._connection = tables.connect(self._path)
            except sqlite3.DatabaseError as error:
                if type(error) is sqlite3.DatabaseError:
                    self._set_aside()
                raise
            self._held = OpenedFile(self._path)
            self._names.clear()
        return self._connection

    def _set_aside(self) -> None:
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        _log.error("%s is damaged; it is kept as %s and figures begin again.", self._path, aside.name)
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _trim(connection: sqlite3.Connection) -> None:
    for span, kept in KEPT.items():
        connection.execute(tables.TRIM, (span, span, kept))
    connection.execute(tables.TRIM_MARKS, (MOST_MARKS,))
    for span in (Span.MINUTE, Span.HOUR):
        while _size(connection) > MOST_BYTES:
            if connection.execute(tables.SHORTEN, (span, span, SHORTER)).rowcount == 0:
                break


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use; pages of removed rows are used again."""
    page, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page * (pages - free)
