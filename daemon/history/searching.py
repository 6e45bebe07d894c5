"""Searches old predictions by filters, a page at a time: files and row groups in the order of the numbers, until a page is full or SECONDS are over.

Of a row group only the numbers and the filter's columns are read; all columns only of those with rows on the page.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retraind.daemon.core import logs
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.core.states import of_type
from retraind.daemon.history.entries import Entry, plain
from retraind.daemon.history.files import FileGone, HistoryPlace
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.records.predictions import LoggedPrediction
from retraind.daemon.records.search import history_files
from retraind.daemon.records.search.old_predictions import OldPage, Stretch

log = logs.Logger()

SECONDS = 0.8
"""Time after which no further row group is read."""


FEW = 8
"""So many row groups are read anyway; it takes a twentieth of a second, and more in a new process on a busy machine."""


class Group(NamedTuple):
    """A row group: the smallest and the largest number in it."""

    file: pq.ParquetFile
    entry: HistoryFile
    number: int
    low: int
    high: int


class Hits:
    """The rows of a row group that fit; all their columns are read when the first one is on the page."""

    def __init__(self, group: Group, places: NDArray[np.int64]) -> None:
        self._group, self._places = group, places
        self._is_read = False
        self._rows: pa.Table | None = None

    def read(self, place: HistoryPlace) -> None:
        """Read them, unless they are; none if the file is gone meanwhile, or damaged. Raises Unavailable."""
        if not self._is_read:
            self._is_read = True
            with _going_on(place, self._group.entry):
                whole = self._group.file.read_row_group(self._group.number, use_threads=False)
                self._rows = whole.take(self._places)

    def entries(self, numbers: Sequence[int]) -> list[Entry]:
        """Some of the rows that were read, by their numbers among them."""
        return [] if self._rows is None else plain(self._rows.take(numbers))


class Row(NamedTuple):
    """A row that fits: its number among those of its row group."""

    hits: Hits
    number: int


class Search:
    """One page; `fitting` decides which rows it has."""

    def __init__(self, home: Home, place: HistoryPlace, fitting: Fitting, stretch: Stretch) -> None:
        self._place, self._fitting, self._stretch = place, fitting, stretch
        self._files = history_files.within(home.journal, stretch, fitting.within)
        self._next = next(self._files, None)
        self._sign = 1 if stretch.upwards else -1
        self._ends_at, self._read_groups = time.monotonic() + SECONDS, 0
        self._order, self._begin = count(), stretch.after + 1 if stretch.upwards else 1 - stretch.before
        self._queue: list[tuple[int, int, Group | HistoryFile]] = []
        """What may have rows, by the number that comes first in it."""
        self._rows: list[tuple[int, int, Row]] = []
        """Rows that fit, by number; there may be others that come before."""

    def page(self) -> OldPage:
        """The page; raises Unavailable, sqlite3.Error."""
        with ExitStack() as opened:
            rows, rest, complete = self._search(opened)
            return OldPage(predictions(rows), rest, complete=complete)

    def _search(self, opened: ExitStack) -> tuple[list[Row], int | None, bool]:
        """The rows of the page in order, and the other fields of an OldPage."""
        page, seqs, most = list[Row](), list[int](), self._stretch.limit
        while True:
            self._take()
            begin = self._queue[0][0] if self._queue else None
            while len(page) <= most and self._rows and (begin is None or self._rows[0][0] < begin):
                key, _, row = heapq.heappop(self._rows)
                row.hits.read(self._place)
                page.append(row)
                seqs.append(self._sign * key)
            if len(page) > most:
                return page[:most], seqs[most - 1] if most else self._stretch.before, True
            if begin is None:
                return page, None, True
            # Only beyond the beginning, so that each page gets further.
            if self._read_groups >= FEW and begin > self._begin and time.monotonic() > self._ends_at:
                return page, self._sign * (begin - 1), False
            self._read(opened)

    def _take(self) -> None:
        """Queue the files that may come before what is queued."""
        while self._next is not None and (not self._queue or self._key(self._next) <= self._queue[0][0]):
            self._push(self._key(self._next), self._next)
            self._next = next(self._files, None)

    def _key(self, file: HistoryFile) -> int:
        """Numbers are compared by these keys: the one that comes first is the smallest."""
        return file["first_seq"] if self._stretch.upwards else -file["last_seq"]

    def _push(self, key: int, part: Group | HistoryFile) -> None:
        heapq.heappush(self._queue, (max(key, self._begin), next(self._order), part))

    def _read(self, opened: ExitStack) -> None:
        """Open the next file, or read the next row group."""
        part = heapq.heappop(self._queue)[2]
        with _going_on(self._place, part.entry if isinstance(part, Group) else part):
            if isinstance(part, Group):
                self._choose(part)
                return
            file = opened.enter_context(self._place.opened(part))
            for group in groups(file, part):
                if self._stretch.meets(group.low, group.high) and self._fitting.may_have(group.file, group.number):
                    self._push(group.low if self._stretch.upwards else -group.high, group)

    def _choose(self, group: Group) -> None:
        """Keep as many rows of a row group as a page may have."""
        self._read_groups += 1
        rows = group.file.read_row_group(group.number, columns=["seq", *self._fitting.columns], use_threads=False)
        seqs = rows["seq"].to_numpy()
        fits = self._fitting.mask(rows) & (seqs > self._stretch.after) & (seqs < self._stretch.before)
        places = np.flatnonzero(fits)
        first = places[np.argsort(self._sign * seqs[places])[: self._stretch.limit + 1]]
        hits = Hits(group, first)
        for number, key in enumerate((self._sign * seqs[first]).tolist()):
            heapq.heappush(self._rows, (key, next(self._order), Row(hits, number)))


@contextmanager
def _going_on(place: HistoryPlace, file: HistoryFile) -> Iterator[None]:
    """Go on without a file that is gone or damaged, as the daemon's check says; raises Unavailable for one that can't be read."""
    try:
        yield
    except (FileGone, pa.ArrowException, OSError) as error:
        if place.objection(file) is not None:
            log.error("old_predictions_lost", reason=str(error))
            return
        raise Unavailable(f"Old predictions can't be read: {error}.", hint="Try again later.") from None


def predictions(rows: Sequence[Row]) -> list[LoggedPrediction]:
    """The predictions of these rows, in their order, without those whose file is gone meanwhile."""
    places, entries = dict[Hits, list[int]](), dict[int, Entry]()
    for place, row in enumerate(rows):
        places.setdefault(row.hits, []).append(place)
    for hits, some in places.items():
        entries |= zip(some, hits.entries([rows[place].number for place in some]), strict=False)
    return [facts(entries[place]) for place in sorted(entries)]


def facts(row: Entry) -> LoggedPrediction:
    """A prediction as the history's database has it, without the other probabilities."""
    return of_type(LoggedPrediction, {name: value for name, value in row.items() if name != "probabilities"})


def groups(file: pq.ParquetFile, entry: HistoryFile) -> Iterator[Group]:
    """The row groups of a file; their first column is the number."""
    for number in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(number).column(0).statistics
        yield Group(file, entry, number, statistics.min, statistics.max)
