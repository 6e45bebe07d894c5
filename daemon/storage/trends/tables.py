"""The tables of the figures over time, and the connection that writes them."""

import sqlite3
from pathlib import Path

from retraind.daemon.core import file_modes

FORMAT = 1

TABLES = """
CREATE TABLE IF NOT EXISTS figures (
    span INTEGER, begin INTEGER, figures TEXT NOT NULL, PRIMARY KEY (span, begin)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL, version INTEGER,
    "drop" TEXT);
CREATE INDEX IF NOT EXISTS marks_at ON marks (at);
CREATE TABLE IF NOT EXISTS names (kind TEXT, name TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (source TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
"""

READ = "SELECT figures FROM figures WHERE span = ? AND begin = ?"
WRITE = "INSERT OR REPLACE INTO figures VALUES (?, ?, ?)"
MARK = 'INSERT INTO marks (at, kind, message, version, "drop") VALUES (?, ?, ?, ?, ?)'
TRIM = """
DELETE FROM figures WHERE span = ? AND begin <= (
    SELECT begin FROM figures WHERE span = ? ORDER BY begin DESC LIMIT 1 OFFSET ?)"""
TRIM_MARKS = "DELETE FROM marks WHERE id <= (SELECT MAX(id) FROM marks) - ?"
SHORTEN = (
    "DELETE FROM figures WHERE span = ? AND begin IN (SELECT begin FROM figures WHERE span = ? ORDER BY begin LIMIT ?)"
)


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database for its one writer; raises sqlite3.Error."""
    path.touch(file_modes.FILE)  # SQLite gives its other two files the mode of this one
    for suffix in ("", "-wal", "-shm"):
        file_modes.keep_file(path.with_name(path.name + suffix))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # NORMAL: after a power cut the last seconds are missing, together with the positions up to which they reach.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=1000", "mmap_size=0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(TABLES)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection
