"""Pages of a table by number: rows that fit conditions, newest first, read a window of numbers at a time.

A condition that no index answers would read the whole table before a rare row is found. So a page ends after
SECONDS even if it is not full, and says from which number the next one continues.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from retraind.daemon.core.states import of_type
from retraind.daemon.records.query import LAST, Row, Value, ask

T = TypeVar("T")

SECONDS = 1.0
"""Time after which no further window is read."""

HARD_SECONDS = 2.0
"""Time limit of one query; a window takes a small part of it."""

WINDOW = 10_000
"""Numbers in the first window; the next ones are larger while they are quick."""

LARGEST_WINDOW = 320_000
QUICK_SECONDS = 0.1


class Condition(NamedTuple):
    """A condition of SQL with `?` for each of its values."""

    sql: str
    values: tuple[Value, ...] = ()


class Source(NamedTuple):
    """What is searched: the file, columns and tables in SQL, and the column with growing numbers."""

    path: Path
    columns: str
    tables: str
    key: str


@dataclass(frozen=True)
class Range:
    """The place of a page: rows below `before`, or if that is None, the next above `after`; at most `limit`."""

    limit: int
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows, newest first."""

    rows: list[T]
    older: int | None
    """The next older page has numbers below this; None if there is none."""
    newer: int | None
    """The next newer page has numbers above this; None if there is none."""
    complete: bool = True
    """Whether the search was not ended by its time limit; otherwise `older` (or `newer`) continues it."""


Sieve = Callable[[list[Row]], list[Row]]
"""Keeps those of some rows that fit a condition outside of SQL."""

SIEVED = 2_000
"""Rows that a sieve gets at once."""


class Bounds(NamedTuple):
    """The smallest and the largest number that can fit."""

    low: int
    high: int


EMPTY = Bounds(1, 0)


def bounds(source: Source, conditions: Sequence[Condition] = ()) -> Bounds:
    """The smallest and the largest number of the rows that fit; the conditions must be those of an index."""
    where, values = _where(conditions)
    rest = f"FROM {source.tables} WHERE {where}"
    # Without a condition, SQLite finds each of them at once, but both together by reading all.
    ends = f"(SELECT MIN({source.key}) {rest}) AS low, (SELECT MAX({source.key}) {rest}) AS high"
    rows = ask(source.path, f"SELECT {ends}", *values, *values, seconds=HARD_SECONDS)
    if not rows or rows[0]["low"] is None:
        return EMPTY
    return Bounds(int(rows[0]["low"]), int(rows[0]["high"]))


def page(
    kind: type[T],
    source: Source,
    conditions: Sequence[Condition],
    place: Range,
    within: Bounds | None = None,
    sieve: Sieve | None = None,
) -> Page[T]:
    """A page of the rows that fit all conditions; raises TooSlow, sqlite3.Error."""
    within = within or bounds(source)
    search = _Search(source, conditions, within, sieve)
    if place.before is None and place.after is not None:
        return _upwards(kind, search, place.after, place.limit)
    top = min(LAST if place.before is None else place.before, within.high + 1)
    rows, end = search.downwards(top, place.limit + 1)
    full, shown = len(rows) > place.limit, rows[: place.limit]
    older = _number(shown[-1]) if full else end
    # Whoever came from a newer page can go back, also from an empty page.
    came = place.before is not None and place.before <= within.high
    newer = (_number(shown[0]) if shown else top - 1) if came else None
    return Page([_typed(kind, row) for row in shown], older, newer, complete=full or end is None)


def _upwards(kind: type[T], search: "_Search", after: int, limit: int) -> Page[T]:
    rows, end = search.upwards(max(after, search.within.low - 1), limit + 1)
    full, shown = len(rows) > limit, rows[:limit][::-1]
    newer = _number(shown[0]) if full else end
    older = _number(shown[-1]) if shown else after + 1
    return Page([_typed(kind, row) for row in shown], older, newer, complete=full or end is None)


class _Search:
    """Reads windows until there are enough rows, no number is left, or the time is up."""

    def __init__(
        self, source: Source, conditions: Sequence[Condition], within: Bounds, sieve: Sieve | None = None
    ) -> None:
        self._source, self.within, self._sieve = source, within, sieve
        self._where, self._values = _where(conditions)
        self._size = WINDOW
        self._ends_at = time.monotonic() + SECONDS

    def downwards(self, top: int, count: int) -> tuple[list[Row], int | None]:
        """Rows below `top`, largest number first, and the number below which the search must continue."""
        rows: list[Row] = []
        while top > self.within.low and len(rows) < count:
            bottom = max(top - self._size, self.within.low)
            some, end = self._window(bottom, top, "DESC", count - len(rows))
            top = bottom if end is None else end
            rows += some
            if time.monotonic() >= self._ends_at:
                break
        return rows[:count], top if top > self.within.low else None

    def upwards(self, bottom: int, count: int) -> tuple[list[Row], int | None]:
        """Rows above `bottom`, smallest number first, and the number above which the search must continue."""
        rows: list[Row] = []
        while bottom < self.within.high and len(rows) < count:
            top = min(bottom + self._size, self.within.high)
            some, end = self._window(bottom + 1, top + 1, "ASC", count - len(rows))
            bottom = top if end is None else end
            rows += some
            if time.monotonic() >= self._ends_at:
                break
        return rows[:count], bottom if bottom < self.within.high else None

    def _window(self, bottom: int, top: int, order: str, count: int) -> tuple[list[Row], int | None]:
        """Rows of a window, and the number of the last one if the window was not read to its end."""
        key, began, most = self._source.key, time.monotonic(), count if self._sieve is None else SIEVED
        query = (
            f"SELECT {self._source.columns}, {key} AS number_ FROM {self._source.tables} "
            f"WHERE {key} >= ? AND {key} < ? AND {self._where} ORDER BY {key} {order} LIMIT ?"
        )
        rows = ask(self._source.path, query, bottom, top, *self._values, most, seconds=HARD_SECONDS)
        if time.monotonic() - began < QUICK_SECONDS:
            self._size = min(2 * self._size, LARGEST_WINDOW)
        end = _number(rows[-1]) if len(rows) == most else None
        return rows if self._sieve is None else self._sieve(rows), end


def _where(conditions: Iterable[Condition]) -> tuple[str, list[Value]]:
    chosen = list(conditions)
    return " AND ".join(one.sql for one in chosen) or "1 = 1", [value for one in chosen for value in one.values]


def _number(row: Row) -> int:
    return int(row["number_"])


def _typed(kind: type[T], row: Row) -> T:
    return of_type(kind, {name: value for name, value in row.items() if name != "number_"})
