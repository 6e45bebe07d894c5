"""Ingestion: settled drops to one batch to one revision, so that every row is in the dataset exactly once.

The order on disk: quarantine files, schema, segment, journal *accepted*, DVC and git, their objects hashed and
fsynced, journal *committed*, drops removed. Whatever step a kill falls on, the next call of `step` goes on from the journal.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime

import structlog

from daemon.core.errors import InvalidDrop, RetraindError, Unavailable
from daemon.core.home import Home
from daemon.core.inbox_names import shown
from daemon.core.settings import Settings
from daemon.core.states import BatchKind, EventKind, Level
from daemon.core.status import utcnow
from daemon.dataset import git_history
from daemon.dataset.compaction import Compaction
from daemon.dataset.dataset import Dataset
from daemon.dataset.repair import RepairRound
from daemon.dataset.segment_writer import Sealed, Segment
from daemon.inbox.inbox import Drop, Inbox
from daemon.inbox.settling import Stamp
from daemon.ingest import outcomes
from daemon.ingest.attempts import TRIES, Attempts
from daemon.ingest.clearing import Clearing
from daemon.ingest.drop_evaluation import DropEvaluation, Sampled
from daemon.ingest.erasure.forgetting import Forgetting
from daemon.ingest.erasure.traces import Eraser
from daemon.ingest.held_drops import Holding
from daemon.ingest.outcomes import Refused
from daemon.ingest.reading import known_row_filter
from daemon.ingest.reading.known_row_filter import KnownRowFilter
from daemon.ingest.reading.late_labels import Joined, Labels
from daemon.ingest.reading.reader import Reader, Reading, quarantined
from daemon.schema import labelled_row, schema, schema_swap
from daemon.schema.schema import Schema
from daemon.storage.journal import Journal
from daemon.storage.prediction_history import Historian
from daemon.tabular.file_content import SMALL_BYTES, is_packed

log = structlog.get_logger()

FAULTLESS = (OSError, RetraindError, MemoryError, RuntimeError)
"""What is not held against the drops that were being read: a full disk, a journal that is locked, no memory, no thread."""

MOST_SEGMENTS = 64
"""With more, merging goes before new drops: each revision lists all segments, so a long queue of batches would cost their square."""

HISTORY_SECONDS = 3.0
"""How long late labels wait for the history to hold every prediction made before they came."""


class Ingestion:
    """Takes drops from the inbox to the dataset; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        inbox: Inbox,
        dataset: Dataset,
        journal: Journal,
        labels: Labels,
        history_at: Callable[[], float],
        say: Callable[[str], None] = lambda _: None,
        erase: Callable[[Sequence[str]], int] | None = None,
    ) -> None:
        self._home, self._settings, self._limits = home, settings, settings.inbox
        self._inbox, self._dataset, self._journal, self._labels = inbox, dataset, journal, labels
        self._history_at, self._say = history_at, say
        self._attempts = Attempts(journal)
        self.examiner = DropEvaluation(home, journal)
        self._leaving = Clearing(inbox, journal)
        self.holding = Holding(home, inbox, journal, holds=self._limits.suspicious == "hold")
        self._has_forgotten = False
        """Whether the last step was one of forgetting; then there may be more to do."""
        self.forgetting = Forgetting(home, dataset, journal, Eraser(home, journal, erase or self._erase))
        self._merging = Compaction(dataset.folder, journal)
        self._sifting = KnownRowFilter(home, journal, skips=self._limits.known_rows == "skip")
        self.upkeep = RepairRound(home, dataset, journal)
        newest = journal.batches.newest()
        self._to_clear = None if newest is None else int(newest["seq"])
        self._schema: Schema | None = None
        """As it was last read or written here: what differs from it was changed by hand."""
        self._work: Iterator[None] | None = None
        self._begun_at = 0.0
        self._live = 0

    def _erase(self, ids: Sequence[str]) -> int:
        """Take predictions out of the history where no thread copies into it."""
        with closing(Historian(self._home, self._settings)) as historian:
            return historian.erase(ids)

    def step(self, now: float, *, merging: bool = True) -> bool:
        """Do the next thing there is to do; `now` is monotonic seconds. True: look again at once.

        `merging`: whether segments may be replaced now, that is, no training is reading them.
        """
        self._leaving.try_again(now)
        self.holding.answer()
        # Every other step only, so that drops don't wait for a long purge.
        may_forget, self._has_forgotten = not self._has_forgotten, False
        return (
            self._go_on(now)
            or self._finish_commit()
            or self._clear_accepted()
            or self.upkeep.step()
            or (merging and may_forget and self._forget(now))
            or (merging and self._live > MOST_SEGMENTS and self._merging.step(now))
            or self._begin(now)
            or (merging and self._merging.step(now))
            or not may_forget
        )

    def _forget(self, now: float) -> bool:
        self._has_forgotten = self.forgetting.step(now)
        return self._has_forgotten

    # Taking drops

    def _begin(self, now: float) -> bool:
        settled = self._inbox.settled(now, self._limits.batch_drops)
        self.holding.look()
        if self._leaving.go_on(settled):
            return True
        for remark in self._inbox.strays.remarks():
            self._journal.events.tell(EventKind.PROBLEM, remark, level=Level.WARNING)
            log.warning("not_a_drop", reason=remark)
        schema_now = schema.load(self._home.schema) if settled else None
        self._tell_changes(schema_now)
        portion = self._portion(settled, now, self.holding.most_drops(schema_now)) if schema_now is not None else {}
        if schema_now is None or not portion:
            return False
        self._begun_at = now
        self._work = self._take(portion, schema_now)
        return True

    def _go_on(self, now: float) -> bool:
        """Take the drops of the batch under way a bit further; a large one needs many steps."""
        if self._work is None:
            return False
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except Exception as error:
            self._work = None
            self._attempts.reload()
            if isinstance(error, FAULTLESS):
                self._attempts.excuse(now)
            raise
        return True

    def close(self) -> None:
        """Give up the batch under way: its drops stay in the inbox, and being stopped is not their fault."""
        if self._work is not None:
            self._work = None
            self._attempts.reload()
            self._attempts.excuse(time.monotonic())

    def _portion(self, settled: Mapping[str, Stamp], now: float, most_files: int | None) -> dict[str, Stamp]:
        """The oldest drops that together stay within inbox.batch_bytes; a large or packed one comes alone.

        `most_files`: how many of them may have more than one row, as many as can be examined each; None: any number.
        """
        portion: dict[str, Stamp] = {}
        size = files = 0
        for name in self._attempts.choose(settled, now):
            stamp = settled[name]
            size += stamp.size
            files += not name.endswith(labelled_row.SUFFIX)
            alone = stamp.size > SMALL_BYTES or is_packed(name)
            if portion and (alone or size > self._limits.batch_bytes or files > (most_files or files)):
                break
            portion[name] = stamp
            if alone:
                break
        return portion

    def _take(self, portion: Mapping[str, Stamp], current: Schema) -> Iterator[None]:
        """Read, check and accept or refuse some drops; yields where other work may be done in between."""
        refused = Refused(utcnow())
        if not self._attempts.begin(portion):
            [(name, stamp)] = portion.items()
            reason = f"retraind failed or ended {TRIES} times while it read this file."
            refused.reject(name, stamp, None, InvalidDrop(reason))
            self._conclude(refused, None, [], current)
            return
        drops = yield from self._open(portion, refused)
        yield
        reader = Reader(current, self._limits, self._join, datetime.now(UTC), self._settings.train.beside)
        if len(drops) == 1 and drops[0].content.data is None:
            yield from self._take_large(drops[0], reader, current, refused)
            return
        readings, table = reader.read(drops)
        yield
        sealed = None
        if table is not None:
            yield from self._sifting.begin(reader.schema)
            table = self._sifting.batch(readings, table, reader.schema)
        if table is not None:
            self.examiner.examine(readings, table)
            if self._hold(readings):
                return
            yield
            self._save_schema(reader.schema, current)
            sealed = self._dataset.folder.write([table])
        self._conclude(refused, sealed, readings, reader.schema)

    def _take_large(self, drop: Drop, reader: Reader, current: Schema, refused: Refused) -> Iterator[None]:
        reading, sampled = Reading(drop), Sampled()
        yield from self._sifting.begin(current)
        with self._dataset.folder.writer() as writer:
            for part in reader.stream(reading):
                rest = self._sifting.part(reading, part, reader.schema) if part.num_rows else None
                if rest is not None:
                    writer.add(rest)
                    sampled.add(rest)
                yield
            known_row_filter.conclude(reading)
            sealed = None
            if reading.rows_accepted:
                self.examiner.examine([reading], sampled.table())
                if self._hold([reading]):
                    return
                self._save_schema(reader.schema, current)
                sealed = writer.seal()
        self._conclude(refused, sealed, [reading], reader.schema)

    def _open(self, portion: Mapping[str, Stamp], refused: Refused) -> Generator[None, None, list[Drop]]:
        """The drops with their content; those that can't be read, or are in the dataset already, go to `refused`."""
        opened: dict[str, Drop] = {}
        for name, stamp in portion.items():
            try:
                drop = yield from self._inbox.reading(name, stamp)
            except InvalidDrop as error:
                refused.reject(name, stamp, None, error)
                continue
            except OSError as error:
                self._attempts.pass_over(name, error, self._begun_at)
                continue
            # The same bytes twice: the second waits until it is known what becomes of the first.
            if drop is not None and drop.sha256 not in opened:
                opened[drop.sha256] = drop
        for sha256, batch in self._journal.drops.batches_of(opened).items():
            refused.repeat(opened.pop(sha256), batch, f"The same bytes are in batch {batch} already; they count once.")
        for sha256, forgotten in self._journal.erasures.among(opened).items():
            drop = opened.pop(sha256)
            refused.reject(drop.name, drop.stamp, Reading(drop), InvalidDrop(outcomes.forgotten(forgotten)))
        self.holding.sort(opened, refused)
        return list(opened.values())

    def _hold(self, readings: Sequence[Reading]) -> bool:
        """Hold the suspicious drops; True: there are some, so the others are read again by the schema as it was without them."""
        suspects = self.holding.suspects(self.examiner.suspicious, readings)
        if not suspects:
            return False
        with self._journal.together():
            self._attempts.end()
            self.holding.record(suspects)
        for suspect in suspects:
            self.holding.keep(suspect.reading.drop)
            log.warning("held", drop=suspect.reading.drop.sha256, reason=suspect.exam["reason"])
        self._sifting.give_up()
        return True

    def _join(self, ids: Sequence[str], truths: Sequence[str], current: Schema, pending: Mapping[str, str]) -> Joined:
        """Late labels with their predictions, once the history holds all that were made before the batch was begun."""
        asked = time.monotonic()
        while self._history_at() < self._begun_at:
            if time.monotonic() - asked > HISTORY_SECONDS:
                raise Unavailable("The prediction history does not get on.", hint="Late labels wait for it.")
            time.sleep(0.02)
        return self._labels.join(ids, truths, current, pending)

    def _tell_changes(self, current: Schema | None) -> None:
        """Say what was changed by hand in the schema, once."""
        if current is None:
            return
        before, self._schema = self._schema, current
        if before is None or before == current:
            return
        sentence = outcomes.changes(before, current)
        self._journal.events.tell(EventKind.SCHEMA, sentence)
        log.info("schema_changed", detail=sentence)

    def _save_schema(self, grown: Schema, current: Schema) -> None:
        """Before the rows that need it: read again after a kill, they find a schema that has grown already."""
        if grown is not current:
            if not schema_swap.replace(self._home.schema, current, grown):
                raise Unavailable(
                    f"{self._home.schema} was changed meanwhile.", hint="The drops are read again with it."
                )
            self._schema = grown
            for sentence in outcomes.growth(current, grown):
                self._journal.events.tell(EventKind.SCHEMA, sentence)
                log.info("schema_grown", detail=sentence)

    def _conclude(self, refused: Refused, sealed: Sealed | None, readings: Sequence[Reading], read_by: Schema) -> None:
        """Record what became of every drop in one transaction, then take the refused ones out of the inbox."""
        with nullcontext() if sealed is None else sealed.entry(self._journal.segments.has) as segment:
            taken = self._sort(refused, readings)
            with self._journal.together():
                self._attempts.end()
                if segment is not None:
                    self._accept(segment, taken, refused.settled_at)
                for drop, state, message, batch in refused.records:
                    self._journal.drops.refuse(drop, state, message, batch=batch)
                self._leaving.note(refused)
        if segment is not None:
            self._sifting.take(segment.name, read_by)
        self._leaving.take_out(refused)

    def _sort(self, refused: Refused, readings: Sequence[Reading]) -> list[tuple[Reading, str | None]]:
        """The drops that bring rows, each with the name of its quarantine file; the others go to `refused`."""
        taken = []
        for reading in readings:
            if reading.error is not None:
                refused.reject(reading.drop.name, reading.drop.stamp, reading, reading.error)
            elif reading.repeats and reading.rows_left_out:
                refused.skip(reading, self._set_apart(reading))
            elif reading.repeats:
                reason = "Every prediction in it has this label already; they count once."
                refused.repeat(reading.drop, None, reason, duplicates=reading.rows_duplicate)
            else:
                taken.append((reading, self._set_apart(reading)))
        return taken

    def _set_apart(self, reading: Reading) -> str | None:
        """The name of the quarantine file of a drop's bad rows, which it gets; None if there are none."""
        bad = self._inbox.quarantine(reading.drop, quarantined(reading)) if reading.bad else None
        return None if bad is None else shown(bad)

    def _accept(self, segment: Segment, taken: Sequence[tuple[Reading, str | None]], settled_at: str) -> None:
        records = [outcomes.accepted(reading, bad, settled_at) for reading, bad in taken]
        labelled = [label for reading, _ in taken for label in reading.labelled]
        seq = self._journal.batches.accept(segment.record, records, labelled)
        self.examiner.record(seq)
        for reading, bad in taken:
            repeats = outcomes.repeats(reading, skips=self._sifting.skips)
            if repeats is not None:
                kind, level, sentence = repeats
                self._journal.events.tell(kind, sentence, level=level, drop=reading.drop.sha256, batch=seq)
            if bad is not None:
                self._journal.events.tell(
                    EventKind.QUARANTINED,
                    outcomes.quarantine(reading, bad),
                    level=Level.WARNING,
                    drop=reading.drop.sha256,
                    batch=seq,
                )
        log.info("accepted", batch=seq, drops=len(records), rows=segment.rows)

    # From journal to revision

    def _finish_commit(self) -> bool:
        pending = self._journal.batches.uncommitted()
        if pending is None:
            return False
        self._say(f"committing batch {pending['seq']}")
        live = {one["name"]: one["md5"] for one in self._journal.segments.current()}
        present = self._dataset.folder.names()
        gone = self._journal.segments.replaced(present - live.keys())
        # Written, but then the journal could not be: a full disk, say.
        self._live = len(live)
        self._dataset.folder.set_aside(present - live.keys() - gone)
        message = git_history.subject(pending["seq"], pending["kind"], pending["rows"])
        revision = self._dataset.commit(pending["seq"], live, message, gone)
        self._journal.batches.commit(pending["seq"], revision.commit, revision.dvc_md5)
        self._to_clear = pending["seq"] if pending["kind"] == BatchKind.DROPS else self._to_clear
        log.info("committed", batch=pending["seq"], revision=revision.commit[:10], dvc_md5=revision.dvc_md5[:10])
        return True

    def _clear_accepted(self) -> bool:
        """Remove the drops of the newest committed batch from the inbox; also the first thing after a crash."""
        if self._to_clear is None:
            return False
        self._say(f"removing the files of batch {self._to_clear}")
        drops = self._journal.drops.of_batch(self._to_clear)
        self._leaving.clear((drop["name"], drop["sha256"]) for drop in drops)
        self._to_clear = None
        return True
