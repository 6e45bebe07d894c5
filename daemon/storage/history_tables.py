"""The tables of the prediction history, and the connection that writes them."""

import sqlite3
from pathlib import Path

from retraind.daemon.core import file_modes
from retraind.daemon.storage import history_shares

FORMAT = 1

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
CREATE TABLE IF NOT EXISTS firsts (file TEXT PRIMARY KEY, seq INTEGER NOT NULL);
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
"""`agreed` is null for values, `difference` a sum over the n rows; see `retraind.web.serving.agreement`."""
DISAGREE = "INSERT INTO disagreements (version, champion, prediction_id, told, shadow) VALUES (?, ?, ?, ?, ?)"
FIRST = """
INSERT OR IGNORE INTO firsts VALUES (
    ?, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'predictions'), 0) + 1)"""
"""Before the first row of a log file comes: the numbers of all its rows are at least this."""
TRIM = "DELETE FROM disagreements WHERE id <= (SELECT MAX(id) FROM disagreements) - ?"


def number_from(connection: sqlite3.Connection, last: int) -> bool:
    """Let new rows have numbers above `last`, which is in the files; False if the database is older than that."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'predictions'").fetchone()
    if row is not None and row[0] < last:
        return False
    if row is None:
        with connection:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('predictions', ?)", (last,))
    return True


def keep_copied(connection: sqlite3.Connection) -> None:
    """Keep the rows of log files that were copied before, until those files are archived."""
    with connection:
        connection.execute("INSERT OR IGNORE INTO firsts SELECT file, 1 FROM offsets")


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database for its one writer; raises sqlite3.Error."""
    path.touch(file_modes.FILE)  # SQLite gives its other two files the mode of this one
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
