"""Shares of the history: counts the predictions of each caller, and decides whose oldest are removed beyond the limit.

Callers are tokens, `anonymous` for callers without one, and an empty name for programs of this machine.
"""

import sqlite3

TABLES = """
BEGIN IMMEDIATE;
CREATE INDEX IF NOT EXISTS predictions_caller ON predictions (caller, seq);
CREATE TABLE IF NOT EXISTS shares (caller TEXT PRIMARY KEY, n INTEGER NOT NULL);
DELETE FROM shares;
INSERT INTO shares SELECT caller, COUNT(*) FROM predictions GROUP BY caller;
CREATE TRIGGER IF NOT EXISTS predictions_came AFTER INSERT ON predictions BEGIN
    INSERT INTO shares VALUES (new.caller, 1) ON CONFLICT (caller) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS predictions_went AFTER DELETE ON predictions BEGIN
    UPDATE shares SET n = n - 1 WHERE caller = old.caller;
END;
COMMIT;
"""
"""Triggers keep the counts, whoever removes rows; they are counted again when the database is opened."""

CALLER = "ALTER TABLE predictions ADD COLUMN caller TEXT NOT NULL DEFAULT ''"
LARGEST = "SELECT caller, n, (SELECT SUM(n) FROM shares) FROM shares ORDER BY n DESC LIMIT 2"
GIVE_WAY = "DELETE FROM predictions WHERE seq IN (SELECT seq FROM predictions WHERE caller = ? ORDER BY seq LIMIT ?)"


def prepare(connection: sqlite3.Connection) -> None:
    """Create the counts in a history that has the table of predictions, even one from before callers were recorded."""
    if not any(column[1] == "caller" for column in connection.execute("PRAGMA table_info(predictions)")):
        connection.execute(CALLER)
    connection.executescript(TABLES)


def trim(connection: sqlite3.Connection, keep: int, most: int) -> None:
    """Remove rows beyond `keep`, at most about `most` of them: the oldest of the caller with the most rows.

    So a busy caller only pushes out its own predictions, and late labels for other callers' predictions still find
    them.
    """
    while most > 0 and (rows := connection.execute(LARGEST).fetchall()):
        (caller, count, total), second = rows[0], rows[1][1] if len(rows) > 1 else 0
        excess = min(total - keep, most)
        if excess <= 0:
            return
        # Down to the second largest share, and a bit further, because two equal shares would alternate row by row.
        gone = min(excess, max(count - second, 1 + excess // 16))
        with connection:
            connection.execute(GIVE_WAY, (caller, gone))
        most -= gone
