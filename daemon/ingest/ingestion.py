"""Ingestion: turns settled drops into one batch and one revision, so that every row is in the dataset exactly once.

The order on disk: quarantine files, schema, segment, journal *accepted*, DVC and git, their objects hashed and fsynced,
journal *committed*, drops removed. After a kill at any instant, the next call of `step` continues from the journal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.dataset.compaction import Compaction
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.repair import RepairRound
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.ingest.batch_commit import BatchCommit
from retraind.daemon.ingest.batch_intake import BatchIntake
from retraind.daemon.ingest.clearing import Clearing
from retraind.daemon.ingest.erasure.eraser import Eraser
from retraind.daemon.ingest.erasure.forgetting import Forgetting
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

log = logs.Logger()

MOST_SEGMENTS = 64
"""With more segments, merging comes before new drops: each revision lists all segments, so the cost of a long queue of
batches would be quadratic."""


class Ingestion:
    """The order of work between inbox and dataset; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        inbox: Inbox,
        dataset: Dataset,
        journal: Journal,
        labels: Labels,
        say: Callable[[str], None] = lambda _: None,
        erase: Callable[[Sequence[str]], int] | None = None,
        erase_old: Callable[[Sequence[str]], Iterator[int]] | None = None,
    ) -> None:
        """`erase` removes predictions from the history's database, `erase_old` from its files."""
        self._home, self._settings, self._inbox, self._journal = home, settings, inbox, journal
        self._clearing = Clearing(inbox, journal)
        self.intake = BatchIntake(home, settings, inbox, dataset, journal, labels, self._clearing)
        self._commit = BatchCommit(dataset, journal, self._clearing, say)
        self._has_forgotten = False
        """Whether the last step was part of forgetting, which may have more to do."""
        self.forgetting = Forgetting(home, dataset, journal, Eraser(home, journal, erase or self._erase, erase_old))
        self._merging = Compaction(dataset.folder, dataset.stored, journal)
        self.upkeep = RepairRound(home, dataset, journal)
        self.stored = dataset.stored

    def _erase(self, ids: Sequence[str]) -> int:
        """Remove predictions from the history if no thread copies into it."""
        with closing(HistoryCopier(self._home, self._settings)) as history_copier:
            return history_copier.erase(ids)

    def step(self, now: float, *, merging: bool = True) -> bool:
        """Do the most urgent work; `now` is monotonic seconds.

        True: call again at once. `merging`: whether segments may be replaced now, because no training reads them.
        """
        self._clearing.try_again(now)
        self.intake.holding.answer()
        # Only every other step, so that drops don't wait for a long purge.
        may_forget, self._has_forgotten = not self._has_forgotten, False
        return (
            self.intake.advance(now)
            or self._commit.commit()
            or self._commit.clear_drops()
            or self.upkeep.step()
            or (merging and may_forget and self._forget(now))
            or (merging and self._commit.live_segments > MOST_SEGMENTS and self._merging.step(now))
            or self._begin(now)
            or (merging and self._merging.step(now))
            or not may_forget
        )

    def close(self) -> None:
        """Abandon the batch in progress: its drops stay in the inbox."""
        self.intake.close()

    def _forget(self, now: float) -> bool:
        self._has_forgotten = self.forgetting.step(now)
        return self._has_forgotten

    def _begin(self, now: float) -> bool:
        """Look at the inbox and begin a batch; False if there is nothing to do."""
        settled = self._inbox.settled(now, self._settings.inbox.batch_drops)
        self.intake.holding.look()
        if self._clearing.resume(settled):
            return True
        for remark in self._inbox.strays.remarks():
            self._journal.events.record(EventKind.PROBLEM, remark, level=Level.WARNING)
            log.warning("not_a_drop", reason=remark)
        return self.intake.begin(settled, now)
