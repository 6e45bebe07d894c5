"""The prediction history: copies log lines into SQLite exactly once, whenever processes are killed.

The rows of a file and its offset advance in one transaction. A file is removed only when its rows are durable and no
worker writes to it any more. Like the journal, the database has one writer, which alone checkpoints it.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from retraind.daemon.core import clock, durable
from retraind.daemon.core.clock import Reading
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.home_integrity import OpenedFile
from retraind.daemon.core.settings import Settings
from retraind.daemon.storage import history_tables
from retraind.daemon.storage.history_lines import Lines
from retraind.daemon.storage.history_logs import LogFiles
from retraind.daemon.storage.history_retention import Retention
from retraind.daemon.storage.history_tables import AGREE, DISAGREE, FIRST, INSERT, TRIM

PERIOD_SECONDS = 0.5
"""Seconds that the history may lag behind the predictions."""

CHUNK_BYTES = 1_048_576
"""Bytes of log per transaction."""

KEEP_DISAGREEMENTS = 1000
"""Number of newest disagreements of champion and challenger that are kept."""

ERASE_SECONDS = 3.0
"""Seconds that an erasure waits for a pass of copying to end."""

_log = logging.getLogger("retraind.history")


class Archived(Protocol):
    """The index of older predictions in files."""

    logs: frozenset[str] | None
    """The names of the logs that become files; None: all."""

    def last_seq(self) -> int:
        """The largest number of a prediction in files; 0 if there are none."""

    def has_log(self, name: str) -> bool:
        """Whether the predictions of a log file are in files, so that it may go."""


class HistoryCopier:
    """Copies `logs/predictions-*.jsonl` into `logs/predictions.db`; `copy` may be called at any time."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        read_clock: Callable[[], Reading] = clock.read,
        archived: Archived | None = None,
    ) -> None:
        """With `archived`, copied log files stay until their predictions are there, too."""
        self._home, self._archived = home, archived
        self._logs, self._lines = LogFiles(home), Lines()
        self._retention = Retention(home, settings.predictions, read_clock)
        self._connection: sqlite3.Connection | None = None
        self._held = OpenedFile(home.history)
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Held while the database is used, by the copying thread or by an erasure."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self.counting: Callable[[sqlite3.Connection], None] | None = None
        """Called with the database after each pass, before old rows are removed; raises nothing."""
        self.problem: str | None = None
        """Why the last pass failed; None if it did not."""
        self.copied_at = 0.0
        """When the last successful pass began, in monotonic seconds; 0.0 before the first."""
        self.complete: tuple[Path, ...] = ()
        """Finished log files that are copied and wait to be archived, oldest first."""

    @property
    def alive(self) -> bool:
        """Whether the thread runs; `problem` says whether it makes progress."""
        return self._thread.is_alive()

    @property
    def archives(self) -> bool:
        """Whether some logs become files."""
        return self._archived is not None

    @property
    def skipped(self) -> int:
        """Complete lines that were no predictions, since the start."""
        return self._lines.skipped

    def start(self) -> None:
        """Copy in a thread until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current pass, and close the database."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the database; the next `copy` opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def copy(self) -> int:
        """Copy new lines; returns the number of predictions. Raises sqlite3.Error or OSError; nothing is lost then."""
        with self._lock:
            return self._copy()

    def _copy(self) -> int:
        began = time.monotonic()
        connection = self._opened()
        # Looked up before reading, so that all lines of an ended worker are before the end that is read.
        finished = self._logs.finished()
        copied = 0
        for path in self._logs.all():
            copied += self._copy_file(connection, path, torn=path in finished)
        # The rows must be durable before their only other copy is removed; a reader can delay that.
        if finished and connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
            self._release(finished)
        if self.counting is not None:
            self.counting(connection)
        self._retention.forget_files(connection, self._logs.all())
        self._retention.trim(connection)
        self.copied_at = began
        return copied

    def _release(self, finished: set[Path]) -> None:
        """Remove log files that are copied, or leave them to be archived."""
        waiting = {path for path in finished if self._becomes_file(path.name) and path.stat().st_size}
        for path in finished - waiting:
            durable.remove(path)
        self.complete = tuple(path for path in self._logs.all() if path in waiting)

    def _becomes_file(self, name: str) -> bool:
        return self._archived is not None and (self._archived.logs is None or name in self._archived.logs)

    def erase(self, ids: Sequence[str]) -> int:
        """Remove predictions from the database and its WAL, from any thread; returns their number.

        Raises Unavailable when the copying thread does not release the database in time, sqlite3.Error.
        """
        if not self._lock.acquire(timeout=ERASE_SECONDS):
            raise Unavailable("The prediction history is busy.", hint="It is tried again.")
        try:
            connection, count = self._opened(), 0
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for identity in ids:
                    count += connection.execute("DELETE FROM predictions WHERE prediction_id = ?", (identity,)).rowcount
                    connection.execute("DELETE FROM disagreements WHERE prediction_id = ?", (identity,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return count
        finally:
            self._lock.release()

    def take_notices(self) -> list[str]:
        """Notices for people since the last call; for the loop's thread."""
        return [self._news.get_nowait() for _ in range(self._news.qsize())]

    def _opened(self) -> sqlite3.Connection:
        """The database at its path now, because writes to a removed file would be lost."""
        if self._connection is not None and self._held.lost():
            self.close()
            sentence = (
                f"{self._home.history} was gone or replaced; a new history is filled from the remaining log files."
            )
            _log.error(sentence)
            self._news.put(sentence)
        if self._connection is None:
            self._connection = self._connect()
            self._held = OpenedFile(self._home.history)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = history_tables.connect(self._home.history)
        if self._archived is None:
            return connection
        if not history_tables.number_from(connection, self._archived.last_seq()):
            connection.close()
            set_aside(self._home.history, "it is older than the files in the index")
            connection = history_tables.connect(self._home.history)
            history_tables.number_from(connection, self._archived.last_seq())
        if self._archived.logs is None:
            history_tables.keep_copied(connection)
        return connection

    def _run(self) -> None:
        while True:
            try:
                self.copy()
                self.problem = None
            except Exception as error:  # noqa: BLE001 - without this thread no prediction is ever labelled
                self._fail(error)
            if self._ended.wait(PERIOD_SECONDS):
                return

    def _fail(self, error: Exception) -> None:
        if str(error) != self.problem:
            _log.error("Predictions can't be copied into the history: %s", error)
        self.problem = str(error)
        self.close()
        # Not an OperationalError (busy, full, read-only), so the file itself is broken, and it can be rebuilt.
        if type(error) is sqlite3.DatabaseError:
            set_aside(self._home.history, "it is damaged")

    def _copy_file(self, connection: sqlite3.Connection, path: Path, *, torn: bool) -> int:
        """Copy the complete lines of one file; a `torn` last line of an ended writer is skipped."""
        row = connection.execute("SELECT offset FROM offsets WHERE file = ?", (path.name,)).fetchone()
        if row is None and self._archived is not None and torn and self._archived.has_log(path.name):
            return 0  # it came back, from a backup
        offset, copied = row[0] if row else 0, 0
        with path.open("rb") as file:
            file.seek(offset)
            # Not by lines: at the end of the file, readline may return half a line, and then its other half as a new
            # line.
            while chunk := file.read(CHUNK_BYTES):
                if len(chunk) == CHUNK_BYTES:
                    chunk += file.readline()
                end = chunk.rfind(b"\n") + 1
                if end == 0:
                    if torn:
                        _log.warning("%s ends in the middle of a line (%d bytes).", path.name, len(chunk))
                    break
                offset += end
                copied += self._store(connection, path.name, offset, chunk[: end - 1].split(b"\n"))
                file.seek(offset)
        return copied

    def _store(self, connection: sqlite3.Connection, file: str, offset: int, lines: list[bytes]) -> int:
        rows, compared = self._lines.rows(lines, file)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if rows and self._becomes_file(file):
                connection.execute(FIRST, (file,))
            connection.executemany(INSERT, rows)
            for agreement, disagreements in compared:
                connection.execute(AGREE, agreement)
                connection.executemany(DISAGREE, disagreements)
            if compared:
                connection.execute(TRIM, (KEEP_DISAGREEMENTS,))
            connection.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?)", (file, offset))
        return len(rows)


def set_aside(path: Path, reason: str) -> None:
    """Rename a history that can't be used, so that a new one begins."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    _log.error("%s: %s. It is kept as %s and a new history begins.", path, reason, aside.name)
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
