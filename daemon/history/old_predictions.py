"""The part of the prediction history that is in files, for the daemon and for commands."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.history import erasing, lookup
from retraind.daemon.history.archiving import Archiver
from retraind.daemon.history.entries import Entry
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.history.lost_files import LostFiles
from retraind.daemon.history.searching import Search
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.records.predictions import LoggedPrediction, lowest_seq
from retraind.daemon.records.search import history_files
from retraind.daemon.records.search.old_predictions import PredictionFilter, Stretch
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier


class OldPredictions:
    """Old predictions of a daemon; used by the loop's thread, `by_ids` by any."""

    def __init__(self, home: Home, place: HistoryPlace, journal: Journal, archiver: Archiver) -> None:
        self._home, self.place, self._journal, self.archiver = home, place, journal, archiver
        self.lost_files = LostFiles(home, place)

    @property
    def problem(self) -> str | None:
        """Why old predictions can't be read, or stay in their logs; None if neither."""
        return self.lost_files.problem or self.archiver.problem

    def step(self, now: float) -> bool:
        """Archive, and look after what is archived, as far as it can be done now; whether that was anything. Raises Unavailable."""
        looked, archived = self.lost_files.step(now), self.archiver.step(now)
        return looked or archived

    def sentence(self) -> str:
        """How much is in files, and how much waits. Raises sqlite3.Error."""
        files, rows = history_files.totals(self._home.journal)
        waiting = len(self.archiver.waiting)
        waits = f"; {counted(waiting, 'finished log')} wait{'s' * (waiting == 1)} to fill one" if waiting else ""
        return f"{counted(rows, 'old prediction')} in {counted(files, 'file')}{waits}."

    def close(self) -> None:
        """End both threads after what they are doing."""
        self.archiver.close()
        self.lost_files.close()

    def by_ids(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Those of the predictions that are in files, by id; raises Unavailable, sqlite3.Error."""
        return lookup.by_ids(self._home, self.place, ids, self.lost_files)

    def lost(self, ids: Sequence[str]) -> dict[str, str]:
        """Why predictions can't be found, by id: those whose file is lost. Raises sqlite3.Error."""
        return self.lost_files.of(ids)

    def newest(self, version: int, most: int) -> list[LoggedPrediction]:
        """The newest predictions of a version that are in files only, at most so many, newest first; for any thread.

        Raises Unavailable, sqlite3.Error.
        """
        stretch = Stretch(most, lowest_seq(self._home.history))
        fitting = Fitting(self._home, PredictionFilter(version=version))
        return Search(self._home, self.place, fitting, stretch).page().rows

    def erase(self, ids: Sequence[str]) -> Iterator[int]:
        """Erase predictions, file by file; yields their number in each. Raises Unavailable, OSError."""
        self.archiver.discard()
        yield from erasing.erase(self._home, self.place, self._journal, ids)


def opened(
    home: Home, settings: Settings, store: ObjectStore | None, journal: Journal, copier: HistoryCopier
) -> OldPredictions:
    """The old predictions of a daemon's home."""
    place = HistoryPlace(home, store)
    return OldPredictions(home, place, journal, Archiver(home, settings, journal, place, copier))


def by_ids(home: Home, store: ObjectStore | None, ids: Sequence[str]) -> dict[str, Entry]:
    """As `OldPredictions.by_ids`, for a command."""
    place = HistoryPlace(home, store)
    with closing(LostFiles(home, place)) as lost_files:
        return lookup.by_ids(home, place, ids, lost_files)
