"""KnownRowFilter: counts the rows of a batch that the dataset already has, and skips them if the settings say so.

It works between reading and the segment. A late label is never skipped, because it belongs to a prediction.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.home import Home
from retraind.daemon.dataset import row_hash_files
from retraind.daemon.dataset.known_rows import KnownRows, Matches
from retraind.daemon.dataset.row_hash_files import HashFileWriter, RowHashes
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import row_hashes


class KnownRowFilter:
    """The known rows, and those of the batch in progress; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal, *, skips: bool) -> None:
        self._journal, self.skips = journal, skips
        self._known = KnownRows(home.known, home.segments)
        self._hash_writer: HashFileWriter | None = None

    def begin(self, schema: Schema) -> Iterator[None]:
        """Load the hashes of the rows in the dataset; yields where other work may run. Raises OSError."""
        self.give_up()
        live = {one["name"]: one["sha256"] for one in self._journal.segments.current()}
        yield from self._known.follow(live, schema)
        self._hash_writer = self._known.writer()

    def batch(self, readings: Sequence[Reading], table: Any, schema: Schema) -> Any | None:
        """The rows of a batch without skipped ones; None if there are none."""
        names, codes = row_hashes.drops(table)
        rows = row_hash_files.hash_rows(table, schema)
        share = self._known.match(rows, codes, skip=self.skips)
        left_out = self._left_out(table, share)
        counts = [np.bincount(codes[mask], minlength=len(names)) for mask in (share.known, share.relabelled, left_out)]
        for reading in readings:
            if reading.error is None and reading.drop.sha256 in names:
                _count(reading, *(int(count[names.index(reading.drop.sha256)]) for count in counts))
                conclude(reading)
        return self._gathered(table, rows, left_out)

    def part(self, reading: Reading, table: Any, schema: Schema) -> Any | None:
        """As `batch`, for the next part of a large drop; `conclude` it at the end."""
        rows = row_hash_files.hash_rows(table, schema)
        share = self._known.match_next(rows)
        left_out = self._left_out(table, share)
        _count(reading, *(int(mask.sum()) for mask in (share.known, share.relabelled, left_out)))
        return self._gathered(table, rows, left_out)

    def take(self, segment: str, schema: Schema) -> None:
        """Store the hashes of the gathered rows, which are now in a segment of this name; they were hashed by `schema`.

        Raises OSError.
        """
        hash_writer, self._hash_writer = self._hash_writer, None
        if hash_writer is not None:
            self._known.take(hash_writer, segment, schema)

    def give_up(self) -> None:
        """Discard the gathered rows, which were not accepted."""
        hash_writer, self._hash_writer = self._hash_writer, None
        if hash_writer is not None:
            hash_writer.discard()

    def _left_out(self, table: Any, share: Matches) -> NDArray[np.bool_]:
        if not self.skips:
            return np.zeros(len(share.known), dtype=bool)
        late = np.array([source == "label" for source in table["_source"].to_pylist()])
        return np.asarray(share.known & ~late)

    def _gathered(self, table: Any, rows: RowHashes, left_out: NDArray[np.bool_]) -> Any | None:
        assert self._hash_writer is not None
        if left_out.any():
            kept = np.flatnonzero(~left_out)
            table, rows = table.take(kept), RowHashes(rows.whole[kept], rows.content[kept])
        self._hash_writer.add(rows)
        return table if len(table) else None


def _count(reading: Reading, known_rows: int, relabelled: int, left_out: int) -> None:
    reading.rows_known += known_rows
    reading.rows_relabelled += relabelled
    reading.rows_left_out += left_out


def conclude(reading: Reading) -> None:
    """Subtract the skipped rows from the accepted ones, once the whole drop was read."""
    reading.rows_accepted -= reading.rows_left_out
