"""The index of old predictions as the copier of the prediction log asks for it, from its own thread."""

from retraind.daemon.core import clock
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.records.search import history_files
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier, set_aside


class Index:
    """The index of one home; only the log files `logs` become files, or all."""

    def __init__(self, home: Home, logs: frozenset[str] | None = None) -> None:
        self._journal, self.logs = home.journal, logs

    def last_seq(self) -> int:
        """The largest number of a prediction in files; 0 if there are none. Raises sqlite3.Error."""
        return history_files.last_seq(self._journal)

    def has_log(self, name: str) -> bool:
        """Whether the predictions of a log file are in files. Raises sqlite3.Error."""
        return history_files.is_archived(self._journal, name)


def copier(home: Home, settings: Settings, journal: Journal) -> HistoryCopier:
    """The copier of a home, which leaves log files to the archiver."""
    if settings.predictions.history != "parquet":
        # What was logged before the setting went back is archived all the same, because it would exceed `keep_rows`.
        return HistoryCopier(home, settings, clock.read, Index(home, history_files.waiting_logs(home.history)))
    if journal.term is not None and journal.term.overtaken and home.history.exists() and Index(home).last_seq():
        # The other home has numbered its predictions alike. What is in no file yet is copied again from the logs.
        set_aside(home.history, "another home has led, and its predictions have these numbers")
    return HistoryCopier(home, settings, clock.read, Index(home))
