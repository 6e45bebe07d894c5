"""The prediction history: log lines copied into SQLite exactly once, whatever is killed when.

The rows of a file and the offset behind them advance in one transaction. A file goes only when its rows are on the
disk and no worker writes to it any more. Like the journal, the database has one writer that is its only checkpointer.
"""

import contextlib
import logging
import os
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from daemon.core import clock, durable, file_modes
from daemon.core.clock import Clock, Reading
from daemon.core.errors import Unavailable
from daemon.core.foundations import Held
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.storage import history_shares

PERIOD_SECONDS = 0.5
"""How far the history may lag behind the predictions."""

CHUNK_BYTES = 1_048_576
"""Bytes of log that become one transaction."""

KEEP_DISAGREEMENTS = 1000
"""The newest rows on which champion and challenger disagree."""

TRIM_ROWS = 20_000
"""Old rows that one pass removes at most, so that less to keep does not hold the copying back."""

ERASE_SECONDS = 3.0
"""How long who erases waits for a pass of copying to end."""

FORMAT = 1
NAME = re.compile(r"predictions-\d+-\d{8}T\d{12}-\d+\.jsonl")
"""Worker slot, start time and process id of a log file."""

TABLES = """
CREATE TABLE IF NOT EXISTS predictions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT, timestamp TEXT, features TEXT, prediction INTEGER,
    prediction_name TEXT, confidence REAL, model_version INTEGER, latency_ms REAL, caller TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS predictions_version ON predictions (model_version, seq);
CREATE INDEX IF NOT EXISTS predictions_id ON predictions (prediction_id);
CREATE INDEX IF NOT EXISTS predictions_timestamp ON predictions (timestamp);
CREATE TABLE IF NOT EXISTS agreements (
    version INTEGER, champion INTEGER, n INTEGER, failed INTEGER, agreed INTEGER, difference REAL, largest REAL, at TEXT,
    PRIMARY KEY (version, champion));
CREATE TABLE IF NOT EXISTS disagreements (
    id INTEGER PRIMARY KEY, version INTEGER, champion INTEGER, prediction_id TEXT, told TEXT, shadow TEXT);
CREATE INDEX IF NOT EXISTS disagreements_version ON disagreements (version, id);
CREATE TABLE IF NOT EXISTS offsets (file TEXT PRIMARY KEY, offset INTEGER NOT NULL);
"""

COLUMNS = (
    "prediction_id", "timestamp", "features", "prediction", "prediction_name", "confidence", "model_version", "latency_ms",
    "caller",
)  # fmt: skip
INSERT = f"INSERT INTO predictions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
AGREE = """
INSERT INTO agreements VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    n = n + excluded.n, failed = failed + excluded.failed, agreed = agreed + excluded.agreed,
    difference = difference + excluded.difference, largest = MAX(largest, excluded.largest), at = excluded.at"""
"""`agreed` is null for values, `difference` a sum over the n rows; see `web.serving.agreement`."""
DISAGREE = "INSERT INTO disagreements (version, champion, prediction_id, told, shadow) VALUES (?, ?, ?, ?, ?)"
TRIM = "DELETE FROM disagreements WHERE id <= (SELECT MAX(id) FROM disagreements) - ?"
OLD = "SELECT seq FROM predictions WHERE timestamp >= ? AND timestamp < ? ORDER BY timestamp LIMIT ?"
FORGET = "DELETE FROM predictions WHERE seq = ?"
FORGET_ODD = """
DELETE FROM predictions WHERE seq IN (
    SELECT seq FROM predictions WHERE (timestamp < ? OR timestamp > ?) AND seq < ? LIMIT ?)"""

_log = logging.getLogger("retraind.history")


class Historian:
    """Copies `logs/predictions-*.jsonl` into `logs/predictions.db`; `copy` may be called as often as one likes."""

    def __init__(self, home: Home, settings: Settings, read_clock: Callable[[], Reading] = clock.read) -> None:
        self._home, self._read_clock, self._clock = home, read_clock, Clock()
        self._keep_rows = settings.predictions.keep_rows
        self._keep_days = settings.predictions.keep_days
        self._connection: sqlite3.Connection | None = None
        self._held = Held(home.history)
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Held while the database is used: by the thread that copies, or by who erases."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self.problem: str | None = None
        """Why the last pass failed; None if it did not."""
        self.skipped = 0
        """Complete lines that were no predictions, since the start."""
        self.copied_at = 0.0
        """When the last pass that succeeded began, in monotonic seconds; 0.0 before the first."""

    @property
    def alive(self) -> bool:
        """Whether the thread runs; `problem` says whether it gets on."""
        return self._thread.is_alive()

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
        """Copy what is new; returns how many predictions. Raises sqlite3.Error or OSError, then nothing is lost."""
        with self._lock:
            return self._copy()

    def _copy(self) -> int:
        began = time.monotonic()
        connection = self._opened()
        # Looked up before reading: what a worker wrote before it ended is then below the end that is read.
        finished = self._finished()
        copied = 0
        for path in self._files():
            copied += self._copy_file(connection, path, torn=path in finished)
        # The rows must be on the disk before the only other copy of them goes; a reader can delay that.
        if finished and connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
            for path in finished:
                durable.remove(path)
        self._forget(connection)
        self._trim(connection)
        self.copied_at = began
        return copied

    def erase(self, ids: Sequence[str]) -> int:
        """Remove predictions from the database and its WAL, for any thread; returns how many there were.

        Raises Unavailable when the thread that copies does not let go in time, sqlite3.Error.
        """
        if not self._lock.acquire(timeout=ERASE_SECONDS):
            raise Unavailable("The prediction history is busy.", hint="It is tried again.")
        try:
            connection, count = self._opened(), 0
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for one in ids:
                    count += connection.execute("DELETE FROM predictions WHERE prediction_id = ?", (one,)).rowcount
                    connection.execute("DELETE FROM disagreements WHERE prediction_id = ?", (one,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return count
        finally:
            self._lock.release()

    def news(self) -> list[str]:
        """What people should hear of, since the last call; for the loop's thread."""
        return [self._news.get_nowait() for _ in range(self._news.qsize())]

    def _opened(self) -> sqlite3.Connection:
        """The database that lies at its place now: what is written into one that is gone would be lost."""
        if self._connection is not None and self._held.lost():
            self.close()
            sentence = f"{self._home.history} was gone or exchanged; a new one takes what the log files still hold."
            _log.error(sentence)
            self._news.put(sentence)
        if self._connection is None:
            self._connection = _open(self._home.history)
            self._held = Held(self._home.history)
        return self._connection

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
        # Not an OperationalError (busy, full, read-only): the file itself is broken, and it can be rebuilt.
        if type(error) is sqlite3.DatabaseError:
            self._set_aside()

    def _set_aside(self) -> None:
        path = self._home.history
        aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        _log.error("%s is damaged; it is kept as %s and a new history begins.", path, aside.name)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        # Oldest first: the start time in the name follows the worker's number.
        named = (path for path in self._home.logs.iterdir() if NAME.fullmatch(path.name))
        return sorted(named, key=lambda path: path.stem.split("-")[2])

    def _finished(self) -> set[Path]:
        """Log files that nobody will append to: a newer file of the same process exists, or the process is gone."""
        newest: dict[tuple[str, str], Path] = {}
        files = self._files()
        for path in files:
            newest[_writer(path)] = path
        return {path for path in files if newest[_writer(path)] != path or not self._writing(*_writer(path))}

    def _writing(self, slot: str, pid: str) -> bool:
        lock = self._home.worker_lock(slot, pid)
        if not lock.exists():  # it removes its lock when it ends; somebody else may have, too
            return _serves(pid)
        fd = durable.try_lock(lock)
        if fd is None:
            return True
        os.close(fd)
        return False

    def _copy_file(self, connection: sqlite3.Connection, path: Path, *, torn: bool) -> int:
        """Copy the complete lines of one file; a `torn` last line, of a writer that is gone, is passed over."""
        found = connection.execute("SELECT offset FROM offsets WHERE file = ?", (path.name,)).fetchone()
        offset, copied = found[0] if found else 0, 0
        with path.open("rb") as file:
            file.seek(offset)
            # Not by lines: at the end of the file, readline gives half a line, and then its other half as another.
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
        entries = [entry for line in lines if (entry := self._parsed(line, file)) is not None]
        rows = [row for entry in entries if "shadow" not in entry and (row := self._row(entry, file))]
        compared = [one for entry in entries if "shadow" in entry and (one := self._compared(entry, file))]
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows)
            for agreement, disagreements in compared:
                connection.execute(AGREE, agreement)
                connection.executemany(DISAGREE, disagreements)
            if compared:
                connection.execute(TRIM, (KEEP_DISAGREEMENTS,))
            connection.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?)", (file, offset))
        return len(rows)

    def _parsed(self, line: bytes, file: str) -> dict[str, Any] | None:
        with contextlib.suppress(orjson.JSONDecodeError):
            entry = orjson.loads(line)
            if isinstance(entry, dict):
                return entry
        self._skip(file)
        return None

    def _row(self, entry: dict[str, Any], file: str) -> tuple[Any, ...] | None:
        try:
            entry["features"] = orjson.dumps(entry["features"]).decode()
            entry.setdefault("caller", "")  # a program of this machine
            return tuple(entry[name] for name in COLUMNS)
        except (KeyError, TypeError):
            self._skip(file)
            return None

    def _compared(self, entry: dict[str, Any], file: str) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]] | None:
        """How far a shadow agreed with the champion, and some rows on which it did not."""
        try:
            pair = entry["shadow"], entry["model_version"]
            figures = (entry[name] for name in ("n", "failed", "agreed", "difference", "largest", "timestamp"))
            return (*pair, *figures), [(*pair, name, told, shadow) for name, told, shadow in entry["differing"]]
        except (KeyError, TypeError, ValueError):
            self._skip(file)
            return None

    def _skip(self, file: str) -> None:
        self.skipped += 1
        _log.warning("%s holds a line that is no prediction; it is skipped.", file)

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Drop the offsets of files that are gone; only after them, or a kill in between would copy them again."""
        there = {path.name for path in self._files()}
        gone = [(name,) for (name,) in connection.execute("SELECT file FROM offsets") if name not in there]
        if gone:
            with connection:
                connection.executemany("DELETE FROM offsets WHERE file = ?", gone)

    def _trim(self, connection: sqlite3.Connection) -> None:
        history_shares.trim(connection, self._keep_rows, TRIM_ROWS)
        now = self._read_clock()
        if self._clock.trusts(now) and self._keep_days:
            self._trim_old(connection, now.wall)

    def _trim_old(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove rows by the time that each names, not by order: several workers' files are copied one after the other.

        A row whose time can't be right, later than now or before the home was made, goes with rows that came after it.
        """
        begin, limit = clock.made(self._home, now), now - self._keep_days * clock.DAY
        old = connection.execute(OLD, (clock.iso(begin), clock.iso(limit), TRIM_ROWS)).fetchall()
        if old:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(FORGET, old)
                connection.execute(FORGET_ODD, (clock.iso(begin), clock.iso(now), max(old)[0], TRIM_ROWS))


def _serves(pid: str) -> bool:
    """Whether a process with this number is an HTTP worker."""
    try:
        return b"web.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _writer(path: Path) -> tuple[str, str]:
    """Slot and process id in a log file's name."""
    _, slot, _, pid = path.stem.split("-")
    return slot, pid


def _open(path: Path) -> sqlite3.Connection:
    path.touch(file_modes.FILE)  # SQLite gives the other two the mode of this one
    for suffix in ("", "-wal", "-shm"):
        file_modes.keep_file(path.with_name(path.name + suffix))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "busy_timeout=10000",
            "mmap_size=0",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(TABLES)
        history_shares.prepare(connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection
