"""Retention of the prediction history: removes rows beyond their number or age, and offsets of removed log files."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from retraind.daemon.core import clock
from retraind.daemon.core.clock import Clock, Reading
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions
from retraind.daemon.storage import history_shares

TRIM_ROWS = 20_000
"""Maximum number of old rows that one pass removes, so that a lowered limit does not delay the copying."""

OLD = "SELECT seq FROM predictions WHERE timestamp >= ? AND timestamp < ? ORDER BY timestamp LIMIT ?"
FORGET = "DELETE FROM predictions WHERE seq = ?"
ENDS = "SELECT (SELECT MAX(seq) FROM predictions), (SELECT MIN(seq) FROM firsts)"
WAITING = "SELECT 1 FROM firsts LIMIT 1"
"""Whether log files wait to be archived, perhaps since before the setting went back."""
FORGET_FIRST = "DELETE FROM predictions WHERE seq IN (SELECT seq FROM predictions WHERE seq <= ? ORDER BY seq LIMIT ?)"
FORGET_ODD = """
DELETE FROM predictions WHERE seq IN (
    SELECT seq FROM predictions WHERE (timestamp < ? OR timestamp > ?) AND seq < ? LIMIT ?)"""


class Retention:
    """Removes rows beyond `predictions.keep_rows` and `predictions.keep_days`."""

    def __init__(self, home: Home, settings: Predictions, read_clock: Callable[[], Reading]) -> None:
        self._home, self._settings, self._read_clock = home, settings, read_clock
        self._clock = Clock()

    def forget_files(self, connection: sqlite3.Connection, files: Iterable[Path]) -> None:
        """Drop the offsets of removed files; only after the files, because a kill in between would copy them again."""
        there = {path.name for path in files}
        gone = [(name,) for (name,) in connection.execute("SELECT file FROM offsets") if name not in there]
        if gone:
            with connection:
                connection.executemany("DELETE FROM offsets WHERE file = ?", gone)
                connection.executemany("DELETE FROM firsts WHERE file = ?", gone)

    def trim(self, connection: sqlite3.Connection) -> None:
        """Remove some of the rows beyond the limits of number and age."""
        if self._settings.history == "parquet" or connection.execute(WAITING).fetchone():
            _trim_archived(connection, self._settings.keep_rows)
        else:
            history_shares.trim(connection, self._settings.keep_rows, TRIM_ROWS)
        now = self._read_clock()
        if self._clock.trusts(now) and self._settings.keep_days:
            self._trim_old(connection, now.wall)

    def _trim_old(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove rows by their own times, not by order, because several workers' files are copied one after the other.

        A row with an impossible time, in the future or before the home was made, is removed together with later rows.
        """
        begin, limit = clock.made(self._home, now), now - self._settings.keep_days * clock.DAY
        old = connection.execute(OLD, (clock.iso(begin), clock.iso(limit), TRIM_ROWS)).fetchall()
        if old:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(FORGET, old)
                connection.execute(FORGET_ODD, (clock.iso(begin), clock.iso(now), max(old)[0], TRIM_ROWS))


def _trim_archived(connection: sqlite3.Connection, keep: int) -> None:
    """Remove some of the oldest rows beyond `keep`, but none of a log file that is still there: others have it from files."""
    newest, waiting = connection.execute(ENDS).fetchone()
    if newest is not None:
        limit = newest - keep if waiting is None else min(newest - keep, waiting - 1)
        with connection:
            connection.execute(FORGET_FIRST, (limit, TRIM_ROWS))
