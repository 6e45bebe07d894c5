"""The threads that follow the leader while a home stands by: for its pointer, for all other copies, for the engines."""

from retraind.daemon.core.home import Home
from retraind.daemon.leadership import engines, journal_copy, served_copy
from retraind.daemon.leadership.engines import Engines
from retraind.daemon.leadership.follower import Follower
from retraind.daemon.leadership.journal_copy import JournalCopy
from retraind.daemon.leadership.served_copy import ServedCopy
from retraind.daemon.objects.store import ObjectStore


class Following:
    """Three threads, because a swap must not wait for the copy of a large segment."""

    def __init__(self, home: Home, url: str, store: ObjectStore) -> None:
        """`url` is the journal's server."""
        served, self._copy = ServedCopy(home, store), JournalCopy(home, store)
        self._threads = (
            Follower(url, "standby pointer", served_copy.CHANNEL, served.follow),
            Follower(url, "standby copies", journal_copy.CHANNEL, self._copy.follow),
            Follower(url, "standby engines", engines.CHANNEL, Engines(home, store).follow),
        )

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End; when this returns, nothing changes a file that only the leader may change."""
        for thread in self._threads:
            thread.end()

    @property
    def problem(self) -> str:
        """Why the home falls behind; empty if it does not."""
        return next((thread.problem for thread in self._threads if thread.problem), "")

    @property
    def sentence(self) -> str:
        """How far the copies are."""
        return "Its copies are complete." if self._copy.complete else "It fetches what the journal names."
