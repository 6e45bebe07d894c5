"""The record of a batch: the outcome of each drop, in one transaction; then rejected drops leave the inbox."""

from collections.abc import Sequence
from contextlib import nullcontext

from retraind.daemon.core import logs
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.dataset.segment_writer import Sealed, Segment
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.ingest import corrected_drops, outcomes
from retraind.daemon.ingest.clearing import Clearing
from retraind.daemon.ingest.exam_runner import ExamRunner
from retraind.daemon.ingest.read_attempts import Attempts
from retraind.daemon.ingest.reading import quarantine_file
from retraind.daemon.ingest.reading.known_row_filter import KnownRowFilter
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.ingest.refused_drops import Refused
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

Accepted = tuple[Reading, str | None]
"""A drop that adds rows, and the name of its quarantine file if it has bad rows."""


class BatchRecord:
    """Records batches in the journal; used by the loop thread."""

    def __init__(
        self,
        inbox: Inbox,
        journal: Journal,
        attempts: Attempts,
        evaluation: ExamRunner,
        known_rows: KnownRowFilter,
        clearing: Clearing,
    ) -> None:
        self._inbox, self._journal, self._attempts = inbox, journal, attempts
        self._evaluation, self._known_rows, self._clearing = evaluation, known_rows, clearing

    def write(self, refused: Refused, sealed: Sealed | None, readings: Sequence[Reading], schema: Schema) -> None:
        """Record all drops of a batch: `refused` ones, and those of `readings`, now in the segment `sealed`.

        `schema` is the one that they were read with. Raises OSError, or Unavailable if the journal can't be written;
        then nothing is recorded.
        """
        with nullcontext() if sealed is None else sealed.entry(self._journal.segments.has) as segment:
            accepted = self._sort(refused, readings)
            with self._journal.together():
                self._attempts.end()
                if segment is not None:
                    self._accept(segment, accepted, refused.settled_at)
                for drop, state, message, batch in refused.records:
                    self._journal.drops.refuse(drop, state, message, batch=batch)
                self._clearing.note(refused)
        if segment is not None:
            self._known_rows.take(segment.name, schema)
        self._clearing.take_out(refused)

    def _sort(self, refused: Refused, readings: Sequence[Reading]) -> list[Accepted]:
        """The drops that add rows; the others go to `refused`."""
        accepted = []
        for reading in readings:
            if reading.error is not None:
                bad_file = self._quarantine(reading) if reading.mostly_bad else None
                refused.reject(reading.drop.name, reading.drop.stamp, reading, reading.error, bad_file=bad_file)
            elif reading.repeats and reading.rows_left_out:
                refused.skip(reading, self._quarantine(reading))
            elif reading.repeats:
                reason = "Every prediction in it has this label already; they count once."
                refused.repeat(reading.drop, None, reason, duplicates=reading.rows_duplicate)
            else:
                accepted.append((reading, self._quarantine(reading)))
        return accepted

    def _quarantine(self, reading: Reading) -> str | None:
        """Write the bad rows of a drop to its quarantine file; returns the file's name, None if there are none."""
        name = self._inbox.quarantine(reading.drop, quarantine_file.lines(reading)) if reading.bad else None
        return None if name is None else shown(name)

    def _accept(self, segment: Segment, accepted: Sequence[Accepted], settled_at: str) -> None:
        records = [outcomes.accepted(reading, bad_file, settled_at) for reading, bad_file in accepted]
        labelled = [label for reading, _ in accepted for label in reading.labelled]
        seq = self._journal.batches.accept(segment.record, records, labelled)
        self._evaluation.record(seq)
        for reading, bad_file in accepted:
            self._report(reading, bad_file, seq)
        corrected_drops.acknowledge(self._journal, [reading for reading, _ in accepted], seq)
        log.info("accepted", batch=seq, drops=len(records), rows=segment.rows)

    def _report(self, reading: Reading, bad_file: str | None, batch: int) -> None:
        """Events on the known and the bad rows of an accepted drop."""
        repeats = outcomes.repeats(reading, skips=self._known_rows.skips)
        if repeats is not None:
            kind, level, sentence = repeats
            self._journal.events.record(kind, sentence, level=level, drop=reading.drop.sha256, batch=batch)
        if bad_file is not None:
            self._journal.events.record(
                EventKind.QUARANTINED,
                outcomes.quarantine(reading, bad_file),
                level=Level.WARNING,
                drop=reading.drop.sha256,
                batch=batch,
            )
