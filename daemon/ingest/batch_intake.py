"""The batch in progress: drops are chosen, opened, read and examined, become a segment, and are recorded.

It is a generator that yields between its steps, so that a large drop delays no version and no request.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from retraind.daemon.core import logs
from retraind.daemon.core.errors import InvalidDrop, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import utcnow
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.segment_writer import Sealed
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import batch_choice
from retraind.daemon.ingest.batch_record import BatchRecord
from retraind.daemon.ingest.clearing import Clearing
from retraind.daemon.ingest.drop_opening import DropOpening
from retraind.daemon.ingest.exam_runner import ExamRunner, Sampled
from retraind.daemon.ingest.held_drops import ReviewQueue
from retraind.daemon.ingest.label_wait import AGAIN_SECONDS, LabelWait
from retraind.daemon.ingest.read_attempts import TRIES, Attempts
from retraind.daemon.ingest.reading import known_row_filter
from retraind.daemon.ingest.reading.known_row_filter import KnownRowFilter
from retraind.daemon.ingest.reading.late_labels import Joined, Labels
from retraind.daemon.ingest.reading.reader import Reader
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.ingest.refused_drops import Refused
from retraind.daemon.ingest.schema_updates import SchemaUpdates
from retraind.daemon.objects.store import StoreUnavailable
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import row_hashes

log = logs.Logger()

FAULTLESS = (OSError, RetraindError, MemoryError, RuntimeError)
"""Failures that are not the fault of the drops: a full disk, a locked journal, no memory, no thread."""


class BatchIntake:
    """Takes one batch after another from the inbox to the journal; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        inbox: Inbox,
        dataset: Dataset,
        journal: Journal,
        labels: Labels,
        clearing: Clearing,
    ) -> None:
        self._settings, self._limits = settings, settings.inbox
        self._dataset, self._journal, self._labels = dataset, journal, labels
        self._attempts = Attempts(journal)
        self.evaluation = ExamRunner(home, journal)
        holds, shared = self._limits.suspicious == "hold", settings.leader.standby
        self.holding = ReviewQueue(home, inbox, journal, holds=holds, shared=shared)
        self.known_rows = KnownRowFilter(home, journal, skips=self._limits.known_rows == "skip")
        self.label_wait = LabelWait()
        self._schema = SchemaUpdates(home, journal)
        self._opening = DropOpening(inbox, journal, self._attempts, self.holding)
        self._record = BatchRecord(inbox, journal, self._attempts, self.evaluation, self.known_rows, clearing)
        self._steps: Iterator[None] | None = None
        self._begun_at = 0.0

    def begin(self, settled: Mapping[str, Stamp], now: float) -> bool:
        """Begin a batch with some of the settled drops; False if there is nothing to read. `now` is monotonic seconds."""
        current = self._schema.read() if settled and self._dataset.stored.ready(time.monotonic()) else None
        if current is None:
            return False
        files = batch_choice.choose(
            self._attempts.choose(settled, now),
            settled,
            most_bytes=self._limits.batch_bytes,
            most_files=self.holding.most_drops(current),
        )
        if not files:
            return False
        self._begun_at = now
        self._steps = self._take(files, current)
        return True

    def advance(self, now: float) -> bool:
        """Do the next step of the batch; False if none is in progress."""
        if self._steps is None:
            return False
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
        except Exception as error:
            self._steps = None
            self._attempts.reload()
            if isinstance(error, FAULTLESS):
                self._attempts.forgive(now)
            raise
        return True

    def close(self) -> None:
        """Abandon the batch: its drops stay in the inbox, and the stop does not count as their failure."""
        if self._steps is not None:
            self._steps = None
            self._attempts.reload()
            self._attempts.forgive(time.monotonic())

    def _take(self, files: Mapping[str, Stamp], current: Schema) -> Iterator[None]:
        """Read, check and accept or reject some drops; yields where other work may run."""
        refused = Refused(utcnow())
        if not self._attempts.begin(files):
            [(name, stamp)] = files.items()
            reason = f"retraind failed or ended {TRIES} times while it read this file."
            refused.reject(name, stamp, None, InvalidDrop(reason))
            self._record.write(refused, None, [], current)
            return
        drops = yield from self._opening.open(files, refused, self._begun_at)
        yield
        reader = Reader(current, self._limits, self._join, datetime.now(UTC), self._settings.train.side_columns)
        if len(drops) == 1 and drops[0].content.data is None:
            yield from self._take_large(drops[0], reader, current, refused)
        else:
            yield from self._take_small(drops, reader, current, refused)

    def _take_small(self, drops: Sequence[Drop], reader: Reader, current: Schema, refused: Refused) -> Iterator[None]:
        readings, table = reader.read(drops)
        if self._postpone(readings):
            return
        yield
        sealed = None
        if table is not None:
            yield from self.known_rows.begin(reader.schema)
            table = self.known_rows.batch(readings, table, reader.schema)
        if table is not None:
            self.evaluation.examine(readings, table)
            if self._hold(readings):
                return
            yield
            self._schema.save(reader.schema, current, partial(row_hashes.drop_with, table))
            sealed = self._dataset.folder.write([table])
            if not (yield from self._keep(sealed)):
                return
        self._record.write(refused, sealed, readings, reader.schema)

    def _take_large(self, drop: Drop, reader: Reader, current: Schema, refused: Refused) -> Iterator[None]:
        reading, sampled = Reading(drop), Sampled()
        yield from self.known_rows.begin(current)
        with self._dataset.folder.writer() as writer:
            for part in reader.stream(reading):
                rest = self.known_rows.part(reading, part, reader.schema) if part.num_rows else None
                if rest is not None:
                    writer.add(rest)
                    sampled.add(rest)
                yield
            known_row_filter.conclude(reading)
            if self._postpone([reading]):
                return
            sealed = None
            if reading.rows_accepted:
                self.evaluation.examine([reading], sampled.table())
                if self._hold([reading]):
                    return
                self._schema.save(reader.schema, current, lambda *_: drop.sha256)
                sealed = writer.seal()
        if sealed is not None and not (yield from self._keep(sealed)):
            return
        self._record.write(refused, sealed, [reading], reader.schema)

    def _keep(self, sealed: Sealed) -> Generator[None, None, bool]:
        """Put the segment into the object store; False if it can't, so that the drops stay and are read again later."""
        try:
            yield from self._dataset.stored.put(*sealed.object)
        except StoreUnavailable:  # which the health reports
            sealed.discard()
            self._attempts.end()
            self.known_rows.give_up()
            return False
        except BaseException:
            sealed.discard()
            raise
        return True

    def _postpone(self, readings: Sequence[Reading]) -> bool:
        """Let late labels wait whose predictions a serving node may still have; the others are then read again."""
        early = [
            reading.drop.name for reading in readings if self.label_wait.waits(reading.drop.sha256, reading.unknown)
        ]
        if early:
            self._attempts.postpone(early, self._begun_at + AGAIN_SECONDS)
            self.known_rows.give_up()
        return bool(early)

    def _hold(self, readings: Sequence[Reading]) -> bool:
        """Hold the suspicious drops; True if there are any.

        The others are then read again, with the schema as it was before.
        """
        suspects = self.holding.suspects(self.evaluation.suspicious, readings)
        if not suspects:
            return False
        with self._journal.together():
            self._attempts.end()
            self.holding.record(suspects)
        for suspect in suspects:
            self.holding.keep(suspect.reading.drop)
            log.warning("held", drop=suspect.reading.drop.sha256, reason=suspect.exam["reason"])
        self.known_rows.give_up()
        return True

    def _join(self, ids: Sequence[str], truths: Sequence[str], current: Schema, pending: Mapping[str, str]) -> Joined:
        """Join late labels with their predictions, once the history holds all predictions from before the batch began."""
        self._labels.wait_for_history(self._begun_at)
        return self._labels.join(ids, truths, current, pending)
