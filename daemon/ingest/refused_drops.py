"""The drops of a batch that are not accepted: their records, and their files, which leave the inbox.

The reasons come from `daemon/ingest/drop_opening.py` (before rows are read) and `daemon/ingest/reading/reader.py`.
"""

from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.journal_rows import DropRecord
from retraind.daemon.core.states import DropState
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import outcomes
from retraind.daemon.ingest.outcomes import Report
from retraind.daemon.ingest.reading.reading import Reading

log = logs.Logger()


class PendingRemoval(NamedTuple):
    """A file with a recorded outcome that must still leave the inbox: to rejected/, or because it adds nothing."""

    name: str
    stamp: Stamp
    sha256: str
    rejected: bool


class Refused:
    """The drops of a batch that are not accepted, in the order of the decisions."""

    def __init__(self, settled_at: str) -> None:
        self.settled_at = settled_at
        self.records: list[tuple[DropRecord, DropState, str, int | None]] = []
        """Drop, state, message and batch, for the journal."""
        self.repeated: list[tuple[str, str]] = []
        """Name and sha256 of the drops that the dataset already has."""
        self.pending: list[PendingRemoval] = []
        """All of these files."""
        self.rejected: list[tuple[str, Stamp, Report]] = []
        """Name, stamp and report of the drops that go to rejected/."""

    def reject(
        self,
        name: str,
        stamp: Stamp,
        reading: Reading | None,
        error: InvalidDrop,
        by: str | None = None,
        bad_file: str | None = None,
    ) -> None:
        """Reject a drop that does not fit the schema, or that a person (`by`) rejects.

        `stamp` identifies the judged file; `bad_file` has its bad rows.
        """
        record = outcomes.rejected(name, reading, error, self.settled_at, by, bad_file)
        message = outcomes.rejection(record)
        self.records.append((record, DropState.REJECTED, message, None))
        self.rejected.append((name, stamp, outcomes.report(record)))
        self.pending.append(PendingRemoval(name, stamp, record["sha256"], rejected=True))
        log.warning("rejected", drop=record["sha256"], name=record["name"], reason=error.reason)

    def skip(self, reading: Reading, bad_file: str | None) -> None:
        """Accept nothing of a drop, because the dataset already has its good rows."""
        record = outcomes.skipped(reading, bad_file, self.settled_at)
        self.records.append((record, DropState.DUPLICATE, f"{record['name']}: {record['reason']}", None))
        self._repeat(reading.drop)

    def repeat(self, drop: Drop, batch: int | None, reason: str, duplicates: int = 0) -> None:
        """Accept nothing of a drop that adds nothing."""
        record = outcomes.repeated(drop, reason, self.settled_at, duplicates)
        self.records.append((record, DropState.DUPLICATE, f"{record['name']}: {reason}", batch))
        self._repeat(drop)

    def _repeat(self, drop: Drop) -> None:
        self.repeated.append((drop.name, drop.sha256))
        self.pending.append(PendingRemoval(drop.name, drop.stamp, drop.sha256, rejected=False))
