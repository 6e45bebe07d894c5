"""The journal: records every drop, batch, run, version and swap, with reasons.

Each noun has its own module in `retraind.daemon.storage.entries`; all of them share one connection. Every transition writes its
event in the same transaction, so the history for people is never ahead of the facts or behind them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.leader.identity import Leader, Term
from retraind.daemon.storage import journal_retention
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.database_file import DatabaseFile
from retraind.daemon.storage.entries.acknowledgements import Acknowledgements
from retraind.daemon.storage.entries.batches import Batches
from retraind.daemon.storage.entries.drift_checks import DriftChecks
from retraind.daemon.storage.entries.drops import Drops
from retraind.daemon.storage.entries.erasures import Erasures
from retraind.daemon.storage.entries.events import Events
from retraind.daemon.storage.entries.exams import Exams
from retraind.daemon.storage.entries.held_drops import HeldDrops
from retraind.daemon.storage.entries.history_files import HistoryFiles
from retraind.daemon.storage.entries.key_values import KeyValues
from retraind.daemon.storage.entries.labels import Labels
from retraind.daemon.storage.entries.notices import Notices
from retraind.daemon.storage.entries.requests import Requests
from retraind.daemon.storage.entries.runs import Runs
from retraind.daemon.storage.entries.segments import Segments
from retraind.daemon.storage.entries.swaps import Swaps
from retraind.daemon.storage.entries.versions import Versions

if TYPE_CHECKING:
    from retraind.daemon.storage.server.database import DatabaseServer


class Journal:
    """The only writer of a journal.

    Every method of its entries is one durable transaction, unless `together` combines several.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.drops = Drops(database)
        self.batches = Batches(database)
        self.segments = Segments(database)
        self.erasures = Erasures(database)
        self.held = HeldDrops(database)
        self.exams = Exams(database)
        self.runs = Runs(database)
        self.versions = Versions(database)
        self.drift_checks = DriftChecks(database)
        self.requests = Requests(database)
        self.events = Events(database)
        self.notices = Notices(database)
        self.acknowledgements = Acknowledgements(database)
        self.key_values = KeyValues(database)
        self.labels = Labels(database, self.key_values)
        self.swaps = Swaps(database, self.key_values)
        self.history_files = HistoryFiles(database, self.key_values)

    @classmethod
    def open(cls, path: Path, leader: Leader | None = None) -> Self:
        """Open or create the journal: this file, or, as `leader`, the journal on the server that the home names.

        Raises RetraindError when a newer retraind wrote it or it can't be used, AlreadyRunning when another process
        writes it.
        """
        server = journal_server.beside(path)
        if server is None:
            return cls(DatabaseFile.open(path))
        return cls(_servers().open(server, path.with_name(journal_server.NAME), leader))

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """A read-only journal, while the daemon writes it; raises RetraindError when it can't be used."""
        server = journal_server.beside(path)
        with DatabaseFile.reading(path) if server is None else _servers().reading(server) as database:
            yield cls(database)

    @property
    def writes(self) -> int:
        """Number of transactions so far: while it stays the same, so does the journal (there is no other writer)."""
        return self.database.writes

    @property
    def term(self) -> Term | None:
        """The leadership that began when this journal was opened; None for a file."""
        return self.database.term

    def close(self) -> None:
        """Close the connection; the last one to close a file folds the WAL into it."""
        self.database.close()

    def lost(self) -> str | None:
        """Why new records would be lost: the file is gone, or another file has its name."""
        return self.database.lost()

    def taken(self) -> str | None:
        """The reason why this process must end: its state in memory may differ from the journal."""
        return self.database.taken()

    def problem(self) -> str | None:
        """The reason why readers do not see new entries; reads as they do."""
        return self.database.problem()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record everything inside this context in one transaction, with one wait for the disk instead of many."""
        with self.database.writing():
            yield

    def checkpoint(self) -> None:
        """Move the WAL into the file and empty it, so that removed data is in neither, unless a reader delays it."""
        self.database.checkpoint()

    def trim(self, keep: int) -> int:
        """Remove some of the events and ended requests beyond the newest `keep` of each sort.

        Returns the number of rows.
        """
        due = journal_retention.overdue(self.database, keep)
        if not due:
            return 0
        with self.database.writing() as connection:
            self.swaps.note_batch()
            return sum(journal_retention.remove(connection, *sort) for sort in due)


def _servers() -> "type[DatabaseServer]":
    """Databases on servers: imported here, because the file needs no second set of tables."""
    from retraind.daemon.storage.server.database import DatabaseServer

    return DatabaseServer
