"""Erasures: drops whose rows were forgotten, and the facts about them that the journal then drops."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from retraind.daemon.core.journal_rows import DropRow, RemainderRecord, SegmentRecord
from retraind.daemon.core.states import BatchKind, DropState, EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries import labels
from retraind.daemon.storage.entries.batches import append
from retraind.daemon.storage.entries.events import BLANKED, record_event
from retraind.daemon.storage.journal_tables import drops, events, exams, segments

NO_SEGMENT: SegmentRecord = {"segment": "", "sha256": "", "md5": "", "rows": 0, "bytes": 0, "tier": 0}
"""The record of a batch that left no rows."""


class Erasures:
    """Drops whose rows are no longer in the dataset."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def forget(self, drop: DropRow, old: str, removed: int, rest: RemainderRecord | None, by: str) -> int:
        """Record that an accepted drop's `removed` rows have left with segment `old`; returns the number of this batch.

        `rest` is the segment of the other rows, with their `first` and `last` batch; None if there were none. The
        drop's late labels and quoted bad cells are removed as well.
        """
        with self._database.writing() as connection:
            tier = connection.execute(select(segments.c.tier).where(segments.c.name == old)).scalar_one()
            span = {"first": rest["first"], "last": rest["last"]} if rest else {}
            seq = append(connection, BatchKind.FORGET, rest or NO_SEGMENT, -removed, replaces=[old], tier=tier, **span)
            gone = {"state": DropState.FORGOTTEN, "forgotten_in": seq, "forgotten_at": utcnow(), "forgotten_by": by}
            gone |= dict.fromkeys(("reason", "line", "column", "bad_file"))
            connection.execute(drops.update().where(drops.c.id == drop["id"]).values(**gone))
            labels.empty(connection, drop)
            _blank(connection, drop["sha256"], (EventKind.QUARANTINED,))
            # The figures stay in the series, without the drop that they were measured on; the event has them with it.
            nameless = {"drop": "", "name": "", "shifts": "{}", "reason": ""}
            connection.execute(exams.update().where(exams.c.drop == drop["sha256"]).values(**nameless))
            message = f"Batch {seq}: {counted(removed, 'row')} of {drop['name']} forgotten ({by})."
            record_event(connection, EventKind.FORGOTTEN, message, level=Level.WARNING, drop=drop["sha256"], batch=seq)
        return seq

    def among(self, sha256s: Iterable[str]) -> dict[str, DropRow]:
        """The drops with these bytes whose rows were forgotten."""
        query = select(drops).where(drops.c.state == DropState.FORGOTTEN)
        rows = self._database.typed_among(DropRow, query, drops.c.sha256, sha256s)
        return {row["sha256"]: row for row in rows}

    def any_after(self, batch: int) -> bool:
        """Whether rows of a revision up to this batch have been forgotten since; later batches don't count."""
        gone = (drops.c.state == DropState.FORGOTTEN) & (drops.c.batch <= batch) & (drops.c.forgotten_in > batch)
        return self._database.one(select(drops.c.id).where(gone)) is not None

    def refused_after(self, drop: DropRow) -> set[str]:
        """Rejections after a drop was accepted: sha256s of files rejected whole, names of files with rejected rows."""
        later = drops.c.decided_at > drop["decided_at"]
        whole = self._database.rows(select(drops.c.sha256).where(later, drops.c.state == DropState.REJECTED))
        parts = self._database.rows(select(drops.c.bad_file).where(later, drops.c.bad_file.is_not(None)))
        return {row["sha256"] for row in whole} | {row["bad_file"] for row in parts}

    def blank_refused(self, sha256: str) -> None:
        """Remove the quotes of cells from a rejected drop's record and events."""
        with self._database.writing() as connection:
            mine = (drops.c.sha256 == sha256) & (drops.c.state == DropState.REJECTED)
            values = {"reason": "It held rows that were forgotten.", "line": None, "column": None}
            connection.execute(drops.update().where(mine).values(**values))
            _blank(connection, sha256, (EventKind.REJECTED, EventKind.SUSPICIOUS))

    def blank_suspicion(self, sha256: str) -> None:
        """Remove the reasons why a purged drop was suspicious: they name columns and labels."""
        with self._database.writing() as connection:
            _blank(connection, sha256, (EventKind.SUSPICIOUS,))


def _blank(connection: Connection, sha256: str, kinds: Sequence[EventKind]) -> None:
    """Remove the texts of a drop's events of these kinds. The events stay, so that what happened is still known."""
    quoting = (events.c.drop == sha256) & events.c.kind.in_(kinds)
    connection.execute(events.update().where(quoting).values(message=BLANKED))
