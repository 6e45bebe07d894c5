"""Access of reports to a home: its journal and the pointer to the served version."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from retraind.daemon.artifacts import manifest
from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core import home_integrity
from retraind.daemon.core.errors import HistoryLost, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.records import lineage
from retraind.daemon.schema.scores import Agreement


def served(home: Home) -> Pointer | None:
    """The served version; None if there is none, or the pointer can't be read."""
    try:
        return manifest.read_pointer(home.pointer)
    except RetraindError:
        return None


def has_journal(home: Home) -> bool:
    """Whether there is a journal; raises HistoryLost if there was one and it is gone."""
    if gone := home_integrity.journal(home):
        raise HistoryLost(gone)
    return journal_server.exists(home)


def agreements(home: Home, pointer: Pointer | None, versions: Sequence[int]) -> dict[int, Agreement]:
    """The agreement with the served version, by number, of those `versions` that have been held."""
    try:
        compared = lineage.agreements(home, versions, pointer.version) if pointer else []
    except sqlite3.Error:
        compared = []  # a damaged history is replaced by a new one; health must be shown meanwhile
    return {row["version"]: row for row in compared}


@contextmanager
def reading(home: Home) -> Iterator[None]:
    """Read inside this context; raises RetraindError if the journal can't be read."""
    try:
        yield
    except sqlite3.Error as error:
        raise RetraindError(
            f"{journal_server.shown(home)} can't be read: {error}.", hint="See `retraind doctor`."
        ) from None
