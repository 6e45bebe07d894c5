"""The part of the prediction history that is in files, for the daemon and for commands."""

from collections.abc import Iterator, Sequence

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.history import erasing, lookup
from retraind.daemon.history.archiving import Archiver
from retraind.daemon.history.entries import Entry
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.history.searching import Search
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.records.predictions import LoggedPrediction, lowest_seq
from retraind.daemon.records.search.old_predictions import PredictionFilter, Stretch
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier


class OldPredictions:
    """Old predictions of a daemon; used by the loop's thread, `by_ids` by any."""

    def __init__(self, home: Home, place: HistoryPlace, journal: Journal, archiver: Archiver) -> None:
        self._home, self.place, self._journal, self.archiver = home, place, journal, archiver

    @property
    def problem(self) -> str | None:
        """Why old predictions stay in their logs; None if they do not."""
        return self.archiver.problem

    def by_ids(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Those of the predictions that are in files, by id; raises Unavailable, sqlite3.Error."""
        return lookup.by_ids(self._home, self.place, ids)

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
    return lookup.by_ids(home, HistoryPlace(home, store), ids)
